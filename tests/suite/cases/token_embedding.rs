//! Three inputs `[N, ?]`, as every transformer exporter writes them.

use crate::support::cases::Case;

const FOLDER: &str = "10_token_embedding";
const WIDTHS: [&str; 6] = [
    "--width",
    "input_ids=16",
    "--width",
    "attention_mask=16",
    "--width",
    "token_type_ids=16",
];

#[test]
fn a_fixed_sequence_length_scores_every_document() {
    let case = Case::load(FOLDER, "docs");
    let (model, job) = (case.name("embed"), case.name("embed"));
    let file = case.path("model_fixed.onnx");
    let golden = case.path("golden.csv");
    case.sandbox
        .helenus(&["model", "push", &model, &file, "--golden", &golden])
        .ok();
    case.create_and_score(&case.manifest("manifest.toml"), &job);
    case.assert_predictions("embed", 1, "expected.csv", &["doc"]);
}

#[test]
fn widths_of_a_file_as_exported_are_given_and_kept_with_the_version() {
    let case = Case::load(FOLDER, "docs");
    let model = case.name("embed_dyn");
    let file = case.path("model.onnx");
    let golden = case.path("golden.csv");
    let push = [
        &["model", "push", &model, &file, "--golden", &golden][..],
        &WIDTHS,
    ]
    .concat();
    case.sandbox.helenus(&push).ok();
    let shown = case.sandbox.json(&["model", "show", &model]).result();
    let widths = serde_json::json!({"attention_mask": 16, "input_ids": 16, "token_type_ids": 16});
    assert_eq!(shown["registered"]["widths"], widths, "{shown}");
    case.create_and_score(&case.manifest("manifest_dyn.toml"), &model);
    case.assert_predictions("embed_dyn", 1, "expected.csv", &["doc"]);
}

#[test]
fn the_message_about_open_widths_names_what_works() {
    let case = Case::load(FOLDER, "docs");
    let file = case.path("model.onnx");
    let check = |more: &[&str]| {
        let arguments = [&["model", "check", &file][..], more].concat();
        case.sandbox.json(&arguments)
    };
    let error = check(&[]).code(1).error();
    assert_eq!(error["others"], serde_json::Value::Null, "{error}");
    assert_eq!(error["code"], "model.unknown_width");
    let help = error["help"].as_str().unwrap();
    for part in [
        "--width input_ids=128 --width attention_mask=128 --width token_type_ids=128",
        "model_versions.widths",
        "in.input_ids[0]",
    ] {
        assert!(help.contains(part), "{help}");
    }
    let golden = case.path("golden.csv");
    check(&["--golden", &golden]).ok();
    check(&[&WIDTHS[..], &["--golden", &golden]].concat()).ok();
    let wrong = check(&["--width", "ids=16", "--golden", &case.path("golden.csv")]).code(1);
    assert_eq!(wrong.error()["code"], "model.width");
    for odd in ["input_ids", "input_ids=0", "=3", "input_ids=x"] {
        check(&["--width", odd]).code(2);
    }
    let fixed = case.path("model_fixed.onnx");
    let arguments = ["model", "check", &fixed, "--width", "input_ids=15"];
    let error = case.sandbox.json(&arguments).code(1).error();
    assert_eq!(error["code"], "model.width", "{error}");
}

/// Documents are stored as their tokenizer gave them, without the zeros that fill up the others of
/// its batch: the manifest pads, and the predictions are those of the padded documents.
#[test]
fn lists_shorter_than_the_width_are_padded_where_the_manifest_says_so() {
    let case = Case::load(FOLDER, "docs");
    let model = case.name("embed_pad");
    let file = case.path("model.onnx");
    let golden = case.path("golden.csv");
    let push = [
        &["model", "push", &model, &file, "--golden", &golden][..],
        &WIDTHS,
    ]
    .concat();
    case.sandbox.helenus(&push).ok();
    let text = case
        .text("manifest_dyn.toml")
        .replace("embed_dyn", "embed_pad");
    let text = text.replace("bug10.docs", "bug10.unpadded");
    case.sandbox.cql("CREATE TABLE IF NOT EXISTS \"{data}\".unpadded (doc bigint PRIMARY KEY, ids frozen<list<bigint>>, mask list<int>, types list<tinyint>)");
    // Document 1 of the case, its twelve tokens only; one that is too long; and an empty one.
    let ids = "265, 242, 222, 121, 60, 40, 230, 160, 86, 246, 212, 73";
    let ones = ["1"; 12].join(", ");
    let zeros = ["0"; 12].join(", ");
    for (doc, ids, mask, types) in [
        (1, ids.to_owned(), ones, zeros),
        (
            2,
            ["1"; 17].join(", "),
            ["1"; 16].join(", "),
            ["0"; 16].join(", "),
        ),
    ] {
        case.sandbox.cql(&format!(
            "INSERT INTO \"{{data}}\".unpadded (doc, ids, mask, types) VALUES ({doc}, [{ids}], [{mask}], [{types}])"
        ));
    }
    let scored = |text: &str| {
        case.create_and_score(&case.manifest_text("pad.toml", text), &model);
        let rows = case.sandbox.rows(&format!(
            "SELECT doc, lineage FROM \"{{data}}\".\"{model}_predictions\""
        ));
        let mut rejected: Vec<_> = rows
            .iter()
            .map(|row| {
                let reason = crate::support::model::rejection(row);
                (
                    crate::support::model::spelled(&row["doc"]),
                    reason.unwrap_or_default(),
                )
            })
            .collect();
        rejected.sort();
        rejected
    };
    let rejected = scored(&text);
    assert!(
        rejected[0].1.starts_with(
            "width: feature `input_ids` has 12 elements, but the model takes 16 (`pad`"
        ),
        "{rejected:?}"
    );
    let rejected = scored(&text.replace("width = 16", "width = 16, pad = 0"));
    assert_eq!(rejected[0].1, "");
    assert!(
        rejected[1]
            .1
            .starts_with("width: feature `input_ids` has 17 elements"),
        "{rejected:?}"
    );
    let table = format!("{model}_predictions");
    let differences = case.differences(&table, 1, "expected.csv", &["doc"]);
    let of_one: Vec<_> = differences
        .iter()
        .filter(|line| line.starts_with("[\"1\"]."))
        .collect();
    assert!(of_one.is_empty(), "{of_one:?}");
}
