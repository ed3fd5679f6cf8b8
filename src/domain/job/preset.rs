//! Presets of `as = "image"`: what training libraries do before a model, as an entry of
//! `[features]`.
//!
//! Sources: torchvision's `ImageClassification` (ImageNet statistics, 256 to 224), timm's
//! `pretrained_cfg`, Hugging Face's `preprocessor_config.json`, and `preprocess_input` of
//! `keras.applications` (modes `caffe` and `tf`), whose `load_img` resizes with `nearest`.

use serde_json::Value;

use super::manifest::key;
use crate::domain::{
    model::{Input, tensor::Element},
    problem::Problem,
};

const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];
/// Share of the resized picture that torchvision and timm keep.
const CROP_SHARE: f64 = 0.875;

/// What a preset is read from.
#[derive(Debug, Clone, PartialEq)]
pub enum Preset {
    Torchvision,
    KerasCaffe,
    KerasTf,
    /// The content of timm's `config.json`.
    Timm(Value),
    /// The content of `preprocessor_config.json`.
    HuggingFace(Value),
}

/// The options of an entry, besides its column.
struct Options {
    resize: String,
    crop: Option<(u64, u64)>,
    channels: &'static str,
    scale: Option<String>,
    mean: Option<Vec<f64>>,
    std: Option<Vec<f64>>,
}

/// Height and width of an input, and whether its channels come first.
struct Shape {
    height: u64,
    width: u64,
    is_nchw: bool,
}

impl Preset {
    /// Returns the line of `[features]` for the graph's only image input.
    ///
    /// # Errors
    /// The graph has no such input, or the preset says another size or layout.
    pub fn entry(&self, inputs: &[Input]) -> Result<String, Problem> {
        let images: Vec<(&Input, Shape)> = inputs
            .iter()
            .filter_map(|input| Some((input, shape(input)?)))
            .collect();
        let [(input, shape)] = images.as_slice() else {
            let shown: Vec<String> = inputs
                .iter()
                .map(|input| format!("`{}` {:?}", input.name, input.dims))
                .collect();
            return Err(unfit(format!(
                "the model has {} image inputs of three channels, not one: {}",
                images.len(),
                shown.join(", ")
            )));
        };
        let is_keras = matches!(self, Self::KerasCaffe | Self::KerasTf);
        if !is_keras && !shape.is_nchw {
            return Err(unfit(format!(
                "input `{}` has its channels last {:?}, but this preset is of models that have them first",
                input.name, input.dims
            )));
        }
        let options = match self {
            Self::Torchvision => torchvision(shape),
            Self::KerasCaffe => Options {
                channels: "bgr",
                mean: Some(vec![103.939, 116.779, 123.68]),
                ..keras(shape)
            },
            Self::KerasTf => Options {
                scale: Some("1/127.5".to_owned()),
                mean: Some(vec![1.0; 3]),
                ..keras(shape)
            },
            Self::Timm(config) => timm(config, shape)?,
            Self::HuggingFace(config) => hugging_face(config, shape)?,
        };
        Ok(options.line(input, shape))
    }
}

impl Options {
    fn line(&self, input: &Input, shape: &Shape) -> String {
        let mut parts = vec![
            "column = \"image\"".to_owned(),
            "as = \"image\"".to_owned(),
            "decode = [\"jpeg\", \"png\"]".to_owned(),
            format!("resize = {}", self.resize),
        ];
        if let Some(crop) = self.crop {
            parts.push(format!("crop = {}", size(crop)));
        }
        parts.push(format!("channels = \"{}\"", self.channels));
        let layout = if shape.is_nchw { "nchw" } else { "nhwc" };
        parts.push(format!("layout = \"{layout}\""));
        if let Some(scale) = &self.scale {
            parts.push(format!("scale = \"{scale}\""));
        }
        for (word, numbers) in [("mean", &self.mean), ("std", &self.std)] {
            if let Some(numbers) = numbers {
                parts.push(format!("{word} = {numbers:?}"));
            }
        }
        format!("{} = {{ {} }}", key(&input.name), parts.join(", "))
    }
}

fn shape(input: &Input) -> Option<Shape> {
    let is_floating = matches!(
        input.element,
        Element::Float16 | Element::Float | Element::Double
    );
    match input.dims.as_slice() {
        [3, height, width] if is_floating => Some(Shape {
            height: *height as u64,
            width: *width as u64,
            is_nchw: true,
        }),
        [height, width, 3] if is_floating => Some(Shape {
            height: *height as u64,
            width: *width as u64,
            is_nchw: false,
        }),
        _ => None,
    }
}

fn size((height, width): (u64, u64)) -> String {
    match height == width {
        true => height.to_string(),
        false => format!("[{height}, {width}]"),
    }
}

fn short(side: u64, filter: &str) -> String {
    format!("{{ short = {side}, filter = \"{filter}\" }}")
}

fn exact(sides: (u64, u64), filter: &str) -> String {
    format!("{{ exact = {}, filter = \"{filter}\" }}", size(sides))
}

fn torchvision(shape: &Shape) -> Options {
    let side = shape.height.min(shape.width) as f64 / CROP_SHARE;
    Options {
        resize: short(side.floor() as u64, "bilinear"),
        crop: Some((shape.height, shape.width)),
        channels: "rgb",
        scale: Some("1/255".to_owned()),
        mean: Some(IMAGENET_MEAN.to_vec()),
        std: Some(IMAGENET_STD.to_vec()),
    }
}

fn keras(shape: &Shape) -> Options {
    Options {
        resize: exact((shape.height, shape.width), "nearest"),
        crop: None,
        channels: "rgb",
        scale: None,
        mean: None,
        std: None,
    }
}

fn timm(config: &Value, shape: &Shape) -> Result<Options, Problem> {
    // Older files have the same keys at the top.
    let config = config.get("pretrained_cfg").unwrap_or(config);
    let sides: Vec<u64> = numbers(config, "input_size")?
        .iter()
        .map(|n| *n as u64)
        .collect();
    let &[3, height, width] = sides.as_slice() else {
        return Err(unfit(format!(
            "input_size is {sides:?}, not three channels"
        )));
    };
    fits(shape, (height, width))?;
    let filter = match word(config, "interpolation")? {
        filter @ ("bilinear" | "bicubic" | "nearest") => filter,
        "lanczos" => "lanczos3",
        other => return Err(unfit(format!("interpolation `{other}` is not supported"))),
    };
    let share = match config.get("crop_pct") {
        None => CROP_SHARE,
        Some(share) => number(share, "crop_pct")?,
    };
    let mode = config
        .get("crop_mode")
        .and_then(Value::as_str)
        .unwrap_or("center");
    let grown = |side: u64| (side as f64 / share).floor() as u64;
    let resize = match mode {
        "center" if height == width => short(grown(height), filter),
        "squash" => exact((grown(height), grown(width)), filter),
        _ => {
            return Err(unfit(format!(
                "crop_mode `{mode}` of {height} x {width} is not supported"
            )));
        }
    };
    Ok(Options {
        resize,
        crop: Some((height, width)),
        channels: "rgb",
        scale: Some("1/255".to_owned()),
        mean: Some(numbers(config, "mean")?),
        std: Some(numbers(config, "std")?),
    })
}

fn hugging_face(config: &Value, shape: &Shape) -> Result<Options, Problem> {
    let does = |step: &str, usual: bool| config.get(step).and_then(Value::as_bool).unwrap_or(usual);
    let crop = match does("do_center_crop", false) {
        false => None,
        true => Some(sides(config, "crop_size")?),
    };
    let filter = match config.get("resample").and_then(Value::as_u64).unwrap_or(2) {
        0 => "nearest",
        1 => "lanczos3",
        2 => "bilinear",
        3 => "bicubic",
        4 => "box",
        5 => "hamming",
        other => return Err(unfit(format!("resample {other} is unknown"))),
    };
    if !does("do_resize", true) {
        return Err(unfit(
            "do_resize is false: the model takes images of any size",
        ));
    }
    let of_size = config.get("size");
    let edge = of_size.and_then(|size| size.get("shortest_edge").and_then(Value::as_u64));
    // Before sizes were objects, a number meant the shorter side where the centre is cut out.
    let edge = edge.or_else(|| crop.and(of_size.and_then(Value::as_u64)));
    let resize = match (edge, crop) {
        (Some(side), Some(_)) => short(side, filter),
        (Some(_), None) => return Err(unfit("the image is resized, but not cut to one size")),
        (None, _) => exact(sides(config, "size")?, filter),
    };
    fits(
        shape,
        match crop {
            Some(crop) => crop,
            None => sides(config, "size")?,
        },
    )?;
    let scale = match (does("do_rescale", true), config.get("rescale_factor")) {
        (false, _) => None,
        (true, None) => Some("1/255".to_owned()),
        (true, Some(factor)) => {
            let factor = number(factor, "rescale_factor")?;
            let is_usual = (factor * 255.0 - 1.0).abs() < 1e-9;
            Some(if is_usual {
                "1/255".to_owned()
            } else {
                factor.to_string()
            })
        }
    };
    let normalised = does("do_normalize", true);
    Ok(Options {
        resize,
        crop,
        channels: "rgb",
        scale,
        mean: normalised
            .then(|| numbers(config, "image_mean"))
            .transpose()?,
        std: normalised
            .then(|| numbers(config, "image_std"))
            .transpose()?,
    })
}

fn fits(shape: &Shape, (height, width): (u64, u64)) -> Result<(), Problem> {
    match (shape.height, shape.width) == (height, width) {
        true => Ok(()),
        false => Err(unfit(format!(
            "the preset gives {height} x {width} pixels, but the model takes {} x {}",
            shape.height, shape.width
        ))),
    }
}

/// Returns height and width of `224`, `{"height": …, "width": …}`.
fn sides(config: &Value, key: &str) -> Result<(u64, u64), Problem> {
    let size = config.get(key);
    let side = |name: &str| size.and_then(|size| size.get(name)?.as_u64());
    let square = size.and_then(Value::as_u64).map(|side| (side, side));
    square
        .or_else(|| Some((side("height")?, side("width")?)))
        .ok_or_else(|| unfit(format!("`{key}` has no height and width")))
}

fn word<'c>(config: &'c Value, key: &str) -> Result<&'c str, Problem> {
    let word = config.get(key).and_then(Value::as_str);
    word.ok_or_else(|| unfit(format!("`{key}` is missing or is not a text")))
}

fn number(value: &Value, key: &str) -> Result<f64, Problem> {
    let number = value.as_f64().filter(|number| *number > 0.0);
    number.ok_or_else(|| unfit(format!("`{key}` is not a positive number")))
}

fn numbers(config: &Value, key: &str) -> Result<Vec<f64>, Problem> {
    let list = config.get(key).and_then(Value::as_array);
    let numbers: Option<Vec<f64>> = list.and_then(|list| list.iter().map(Value::as_f64).collect());
    numbers
        .filter(|numbers| numbers.len() == 3)
        .ok_or_else(|| unfit(format!("`{key}` is not a list of three numbers")))
}

fn unfit(message: impl Into<String>) -> Problem {
    Problem::new("preset.unfit", message).help(
        "write the entry of [features] yourself (docs/manifest-documents.md), or export the model as the preset says",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{
        fixture::input,
        job::{PreparationKind, manifest::Manifest},
    };

    /// The dimensions that the entry gives, after the manifest has read it.
    fn dims(preset: &Preset, dims: &[usize]) -> Result<(String, [usize; 3]), String> {
        let inputs = [input("x", Element::Float, dims)];
        let line = preset.entry(&inputs).map_err(|problem| problem.message)?;
        let text = format!(
            "job = \"j\"\nmodel = \"m\"\nversions = [1]\nsource = {{ table = \"k.t\" }}\n[features]\n{line}\n"
        );
        let features = Manifest::parse(&text).unwrap().features.unwrap();
        let Some(PreparationKind::Image(rule)) = &features["x"].prepared else {
            panic!("{line}")
        };
        Ok((line, rule.dims().unwrap()))
    }

    #[test]
    fn every_preset_gives_what_the_graph_takes() {
        let timm_config = json!({"architecture": "vit", "pretrained_cfg": {
            "input_size": [3, 384, 384], "interpolation": "bicubic", "crop_pct": 1.0,
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]
        }});
        let clip = json!({
            "crop_size": {"height": 224, "width": 224}, "do_center_crop": true, "do_resize": true,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 224}
        });
        let vit = json!({
            "do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
            "resample": 2, "size": 224
        });
        for (preset, of, part) in [
            (
                Preset::Torchvision,
                [3, 224, 224],
                "resize = { short = 256, filter = \"bilinear\" }, crop = 224",
            ),
            (
                Preset::KerasTf,
                [299, 299, 3],
                "scale = \"1/127.5\", mean = [1.0, 1.0, 1.0]",
            ),
            (
                Preset::KerasCaffe,
                [224, 224, 3],
                "channels = \"bgr\", layout = \"nhwc\"",
            ),
            (Preset::KerasCaffe, [3, 224, 224], "layout = \"nchw\""),
            (
                Preset::Timm(timm_config.clone()),
                [3, 384, 384],
                "short = 384, filter = \"bicubic\"",
            ),
            (
                Preset::HuggingFace(clip),
                [3, 224, 224],
                "scale = \"1/255\", mean = [0.48145466",
            ),
            (Preset::HuggingFace(vit), [3, 224, 224], "exact = 224"),
        ] {
            let (line, given) = dims(&preset, &of).unwrap();
            assert!(given == of && line.contains(part), "{line}");
        }
        let other_size = dims(&Preset::Timm(timm_config), &[3, 224, 224]).unwrap_err();
        assert!(other_size.contains("384 x 384"), "{other_size}");
        let last = dims(&Preset::Torchvision, &[224, 224, 3]).unwrap_err();
        assert!(last.contains("channels last"), "{last}");
        let table = dims(&Preset::Torchvision, &[30]).unwrap_err();
        assert!(table.contains("0 image inputs"), "{table}");
        let empty = dims(&Preset::HuggingFace(json!({})), &[3, 224, 224]).unwrap_err();
        assert!(empty.contains("`size`"), "{empty}");
    }
}
