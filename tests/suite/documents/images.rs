//! `as = "image"`: against Pillow, and the orientation model against its own library.

use std::collections::BTreeMap;

use helenus::domain::model::tensor::TensorData;
use serde_json::{Value, json};

use super::{assert_served_alike, manifest, prepared, rejected};
use crate::support::{Sandbox, documents};

/// As the model was trained, but for the filter: its library resizes with OpenCV's Lanczos.
pub const ORIENTATION: &str = "as = \"image\", decode = [\"jpeg\"], resize = { short = 256, filter = \"lanczos3\" }, \
    crop = 224, channels = \"bgr\", scale = \"1/255\", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225]";

fn floats(entry: &str, content: &[u8]) -> Vec<f32> {
    match prepared(entry, content, TensorData::Float(Vec::new())) {
        Ok(TensorData::Float(values)) => values,
        other => panic!("{other:?}"),
    }
}

/// Differences from Pillow's grey levels over the images of a format.
#[derive(Debug, Default)]
struct Difference {
    largest: f32,
    mean: f64,
    /// Share of samples that differ by more than one grey level.
    beyond_one: f64,
}

fn difference(entry: &str, expected: &str, extension: &str) -> Difference {
    let expected = std::fs::read(documents::folder().join(expected)).unwrap();
    let names = documents::json("images.json");
    let images = documents::contents("images", "images.json");
    let size = expected.len() / images.len();
    let (mut all, mut count) = (Difference::default(), 0.0);
    let listed = names.iter().zip(&images).zip(expected.chunks(size));
    for ((_, content), expected) in
        listed.filter(|((name, _), _)| name.as_str().unwrap().ends_with(extension))
    {
        let values = floats(entry, content);
        assert_eq!(values.len(), size);
        for (got, expected) in values.iter().zip(expected) {
            let difference = (got - f32::from(*expected)).abs();
            all.largest = all.largest.max(difference);
            all.mean += f64::from(difference);
            all.beyond_one += f64::from(u8::from(difference > 1.0));
            count += 1.0;
        }
    }
    all.mean /= count;
    all.beyond_one /= count;
    all
}

#[test]
fn pixels_are_pillows_up_to_a_grey_level_and_what_jpeg_decoders_differ_by() {
    let entry = |options: &str| {
        format!("{{ column = \"c\", as = \"image\", layout = \"nhwc\", {options} }}")
    };
    let cut = |filter: &str| {
        entry(&format!(
            "resize = {{ short = 256, filter = \"{filter}\" }}, crop = 224"
        ))
    };
    let grey = "channels = \"grey\", resize = { exact = [32, 48], filter = \"lanczos3\" }";
    // Of PNG, where only resizing differs, then of JPEG: the largest difference, as measured.
    for (entry, expected, largest) in [
        (cut("bilinear"), "bilinear.bin", [1.0, 4.0]),
        (cut("bicubic"), "bicubic.bin", [2.0, 4.0]),
        (entry(grey), "grey.bin", [1.0, 1.0]),
    ] {
        let png = difference(&entry, expected, ".png");
        // JPEG decoders enlarge the halved colours differently, which shows at sharp edges.
        let jpeg = difference(&entry, expected, ".jpg");
        println!("{expected}: {png:?}, {jpeg:?}");
        assert!(
            png.largest <= largest[0] && png.mean <= 0.02 && png.beyond_one <= 1e-5,
            "{expected}: {png:?}"
        );
        assert!(
            jpeg.largest <= largest[1] && jpeg.mean <= 0.2 && jpeg.beyond_one <= 0.02,
            "{expected}: {jpeg:?}"
        );
    }
}

#[test]
fn orientations_are_those_of_the_models_own_library() {
    let sandbox = Sandbox::migrated("orientation");
    let model = documents::folder().join("orientation.onnx");
    let (job, name) = (sandbox.name("pages"), sandbox.name("orientation"));
    let push = ["model", "push", &name, model.to_str().unwrap()];
    let other_size = r#"{"size": {"height": 384, "width": 384}, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}"#;
    sandbox.file("other.json", other_size);
    let refused = sandbox.json(&[&push[..], &["--preprocess", "hf:other.json"]].concat());
    let refused = refused.code(2).error().to_string();
    assert!(refused.contains("384 x 384"), "{refused}");
    let options = ["--classes", "0,90,180,270", "--preprocess", "torchvision"];
    let pushed = sandbox.json(&[&push[..], &options].concat()).ok();
    let warnings = pushed.json()["warnings"].to_string();
    assert!(!warnings.contains("order_unproven"), "{warnings}");
    let pushed = pushed.result();
    let entry = pushed["features_entry"].as_str().unwrap();
    assert!(
        entry.starts_with("x = { column = \"image\", as = \"image\""),
        "{entry}"
    );
    assert_eq!(pushed["version"], 1, "the refused push registered nothing");
    sandbox.cql("CREATE TABLE {data}.files (id int PRIMARY KEY, content blob)");
    let known = documents::json("pages.json");
    let mut pages = documents::contents("pages", "pages.json");
    let count = pages.len();
    let hostile = super::hostile::contents(&pages[0]);
    pages.extend(hostile.iter().map(|(_, content, _)| content.clone()));
    documents::insert(&sandbox, "files", &pages);
    let feature = format!("x = {{ column = \"content\", {ORIENTATION} }}");
    let path = sandbox.file("pages.toml", manifest(&sandbox, &job, &name, &feature));
    sandbox
        .helenus(&["job", "create", path.to_str().unwrap()])
        .ok();
    let run = sandbox.json(&["score", &job]).ok().result();
    assert_eq!(run["scored"]["1"], count, "{run}");

    let table = format!("{job}_predictions");
    let reasons = rejected(&sandbox, &table);
    assert_eq!(reasons.len(), hostile.len(), "{reasons:?}");
    for ((what, _, words), id) in hostile.iter().zip(count as i32..) {
        let reason = &reasons[&id];
        assert!(
            reason.starts_with("image: feature `x`: ") && reason.contains(words),
            "{what}: {reason}"
        );
    }
    let labels = labels(&sandbox, &table);
    for (id, page) in known.iter().enumerate() {
        assert_eq!(Value::from(labels[&(id as i32)]), page["label"], "{page}");
    }

    let again = sandbox.json(&["score", &job]).ok().result();
    assert_eq!(again["unchanged"]["1"], count, "{again}");
    assert_eq!(again["rejected"]["1"], hostile.len(), "{again}");
    let proof = sandbox.json(&["verify", &job]).ok().result();
    assert_eq!(proof["versions"]["1"]["matching"], count, "{proof}");

    let seen = sandbox.json(&["explain", &job, "id=0"]).ok().result();
    let fed = &seen["versions"]["1"]["fed"][0];
    assert_eq!(fed["value"]["format"], "jpeg", "{seen}");
    assert_eq!(fed["value"]["shape"], json!([3, 224, 224]));
    assert_eq!(fed["stored"]["bytes"], pages[0].len());
    let broken = (&pages[0][..500], "image: feature `x`");
    assert_served_alike(&sandbox, &job, &pages[..3], broken);
}

/// The class with the largest score by id.
fn labels(sandbox: &Sandbox, table: &str) -> BTreeMap<i32, i64> {
    let rows = sandbox.rows(&format!("SELECT * FROM {{data}}.{table}"));
    rows.iter()
        .filter_map(|row| {
            let scores = row.iter().filter_map(|(name, value)| {
                let class = name.strip_prefix("p_")?.parse().ok()?;
                Some((class, value.as_float()?))
            });
            let (best, _) = scores.max_by(|a, b| a.1.total_cmp(&b.1))?;
            Some((row["id"].as_int()?, best))
        })
        .collect()
}
