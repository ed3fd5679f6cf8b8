//! `as = "tokens"`: the ids of the Python package `tokenizers`, and embeddings from them.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, OnceLock},
};

use arrow_array::{Array, Int32Array, RecordBatch, StringArray, cast::AsArray};
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_schema::{DataType, Field, Schema};
use helenus::domain::tokenizer::{Side, TokenShape, Tokenizer, Truncation};
use serde_json::Value;

use crate::support::{Model, Sandbox, block_on, cassandra::session, cli::run, required};

mod languages;

const SCRIPT: &str = include_str!("../documents/tokens.py");

/// The folder that `tests/documents/tokens.py` makes. It is made once, and again when the script
/// changes.
fn made() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let digest = xxhash_rust::xxh3::xxh3_64(SCRIPT.as_bytes());
        let whole = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tokens-{digest:016x}"));
        if whole.exists() {
            return whole;
        }
        let making = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents/tokens.py");
        let mut command = Command::new(required("HELENUS_TEST_DOCUMENTS"));
        command.arg(script).arg(making.path()).stdin(Stdio::null());
        run(command).ok();
        // Another process may have been quicker.
        if let Err(error) = fs::rename(making.path(), &whole) {
            assert!(whole.exists(), "{error}");
        }
        whole
    })
}

fn words(path: &Path) -> Vec<u32> {
    let bytes = fs::read(path).unwrap();
    let (words, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

fn side(value: &Value) -> Side {
    match value.as_str().unwrap() {
        "left" => Side::Left,
        _ => Side::Right,
    }
}

#[test]
fn ten_thousand_texts_have_the_tokens_of_the_python_package() {
    let folder = made();
    let texts = fs::read_to_string(folder.join("texts.jsonl")).unwrap();
    let texts: Vec<String> = texts
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(texts.len(), 10_000);
    let cases = fs::read_to_string(folder.join("cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    assert!(cases.len() >= 5);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let json = fs::read(folder.join(format!("{}.json", case["kind"].as_str().unwrap())));
        let tokenizer = Tokenizer::parse(&json.unwrap()).unwrap();
        let length = case["max_length"].as_u64().unwrap() as usize;
        let shape = TokenShape {
            max_length: length,
            truncation: Truncation::Cut(side(&case["truncation"])),
            padding: side(&case["padding"]),
            pad: tokenizer.facts().pad.clone().unwrap(),
            special_tokens: true,
        };
        let shaped = tokenizer.shaped(&shape).unwrap();
        let expected = words(&folder.join(format!("{name}.bin")));
        assert_eq!(expected.len(), texts.len() * 3 * length, "{name}");
        for (text, expected) in texts.iter().zip(expected.chunks_exact(3 * length)) {
            let tokens = shaped.encode(text).unwrap();
            let got = [tokens.ids, tokens.mask, tokens.types].concat();
            let start: String = text.chars().take(60).collect();
            assert_eq!(got, expected, "{name}: {start:?}");
        }
    }
}

/// The model `mails_tokens` in a sandbox, and a job over a table of blobs.
struct Mails {
    sandbox: Sandbox,
    model: String,
    job: String,
}

impl Mails {
    fn new(test: &str) -> Self {
        let sandbox = Sandbox::shared(test);
        let (model, job) = (sandbox.name("m"), sandbox.name("job"));
        let mails = Model::named("mails_tokens");
        let push = mails.push_arguments(&model);
        let push: Vec<&str> = push.iter().map(String::as_str).collect();
        sandbox.helenus(&push).ok();
        sandbox.cql("CREATE TABLE {data}.mails (id int PRIMARY KEY, body blob)");
        Self {
            sandbox,
            model,
            job,
        }
    }

    /// Writes the manifest, with these lines of `[features]`.
    fn manifest(&self, features: &str) -> String {
        let (job, model, data) = (&self.job, &self.model, &self.sandbox.data);
        let text = format!(
            "job = {job:?}\nmodel = {model:?}\nversions = [1]\n[source]\ntable = \"{data}.mails\"\n[features]\n{features}\n[outputs.columns]\nembedding = {{ output = \"last_hidden_state\", mean_pool = \"attention_mask\", l2_normalise = true }}\n[rules]\nmax_rejected = 100\nguard = false\n"
        );
        self.sandbox.file("job.toml", text).display().to_string()
    }

    fn create(&self, features: &str) {
        self.sandbox
            .helenus(&["job", "create", &self.manifest(features)])
            .ok();
    }

    /// Returns the codes with which `job create` refuses these lines.
    fn refused(&self, features: &str) -> Vec<String> {
        let manifest = self.manifest(features);
        let output = self.sandbox.json(&["job", "create", &manifest]).code(2);
        let error = output.error();
        let others = error["others"].as_array().cloned().unwrap_or_default();
        let codes = std::iter::once(&error).chain(&others);
        codes
            .map(|error| error["code"].as_str().unwrap().to_owned())
            .collect()
    }

    fn insert(&self, id: i32, body: Option<&[u8]>) {
        let insert = format!(
            "INSERT INTO \"{}\".mails (id, body) VALUES (?, ?)",
            self.sandbox.data
        );
        block_on(async {
            let insert = session().prepare(insert).await.unwrap();
            let row = session().execute_unpaged(&insert, (id, body)).await;
            row.unwrap();
        });
    }

    /// Returns the stored rows by id, as JSON.
    fn predictions(&self) -> Vec<Value> {
        let rows = self.sandbox.rows(&format!(
            "SELECT JSON id, embedding, lineage FROM {{data}}.{}_predictions",
            self.job
        ));
        let mut rows: Vec<Value> = rows
            .iter()
            .map(|row| serde_json::from_str(row["[json]"].as_text().unwrap()).unwrap())
            .collect();
        rows.sort_by_key(|row| row["id"].as_i64());
        rows
    }
}

const USUAL: &str =
    r#"text = { column = "body", as = "tokens", tokenizer = "mails", max_length = 24 }"#;

#[test]
fn texts_that_cannot_be_tokenized_are_rejected_and_the_others_scored() {
    let mails = Mails::new("tokens_bad");
    mails.create(USUAL);
    let huge = vec![b'a'; (2 << 20) + 1];
    let rows: [Option<&[u8]>; 6] = [
        Some(b"Please send the invoice."),
        Some(b"caf\xe9"),
        None,
        Some(b""),
        Some(&huge),
        Some(&huge[..1 << 20]),
    ];
    for (id, body) in (1..).zip(rows) {
        mails.insert(id, body);
    }
    let scored = mails.sandbox.json(&["score", &mails.job]).ok().result();
    assert_eq!(
        (&scored["scored"]["1"], &scored["rejected"]["1"]),
        (&3.into(), &3.into())
    );
    let stored = mails.predictions();
    let reasons: Vec<&str> = stored
        .iter()
        .map(|row| row["lineage"]["rejected"].as_str().unwrap_or("scored"))
        .map(|reason| reason.split(':').next().unwrap())
        .collect();
    assert_eq!(
        reasons,
        ["scored", "not_utf8", "null", "scored", "tokens", "scored"]
    );
    let reason = stored[1]["lineage"]["rejected"].as_str().unwrap();
    assert!(
        reason.contains("`text`") && reason.contains("byte 3"),
        "{reason}"
    );
    assert!(stored[1]["embedding"].is_null());
    // Another process tokenizes to the same.
    let data = |row: &Value| {
        let lineage = &row["lineage"];
        let parts = ["input_hash", "rejected"].map(|name| lineage[name].to_string());
        format!("{} {} {parts:?}", row["id"], row["embedding"])
    };
    let here: Vec<String> = stored.iter().map(data).collect();
    let job = &mails.job;
    mails
        .sandbox
        .cql(&format!("TRUNCATE {{data}}.{job}_predictions"));
    mails.sandbox.json(&["score", job, "--isolate"]).ok();
    let there: Vec<String> = mails.predictions().iter().map(data).collect();
    assert_eq!(there, here);
    // Unchanged, rejected rows included.
    let again = mails.sandbox.json(&["score", &mails.job]).ok().result();
    assert_eq!(again["scored"]["1"], 0, "{again}");
    mails.sandbox.json(&["verify", &mails.job]).ok();
    let explained = mails.sandbox.json(&["explain", &mails.job, "id=1"]).ok();
    let explained = explained.result();
    let isolated = ["explain", &mails.job, "id=1", "--isolate"];
    let isolated = mails.sandbox.json(&isolated).ok().result();
    let fed = |explained: &Value| explained["versions"]["1"]["fed"].clone();
    assert_eq!(fed(&isolated), fed(&explained));
    let explained = explained.to_string();
    for part in [r#""tokens":["[CLS]","please""#, r#""as":"tokens""#] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
}

#[test]
fn a_model_of_tokens_is_tried_with_ids_that_it_has() {
    let mails = Sandbox::shared("tokens_trial");
    let model = Model::named("mails_tokens");
    let widths =
        ["input_ids", "attention_mask", "token_type_ids"].map(|input| format!("{input}=24"));
    let mut check = vec!["model", "check"];
    let file = model.path("model.onnx");
    check.push(&file);
    for width in &widths {
        check.extend(["--width", width]);
    }
    // Golden rows would be half of the random ones, too.
    let found = mails.json(&check).ok().json();
    let warnings = found["warnings"].to_string();
    assert!(
        !warnings.contains("barely_tried") && !warnings.contains("all_nan"),
        "{found}"
    );
    // Ids have no order that names could give.
    assert!(!warnings.contains("order_unproven"), "{found}");
}

#[test]
fn a_manifest_that_does_not_fit_its_model_or_tokenizer_is_refused() {
    let mails = Mails::new("tokens_misfit");
    let with = |change: &str| {
        let options = r#"column = "body", as = "tokens", tokenizer = "mails", max_length = 24"#;
        let options = match change.split_once(" = ") {
            Some((word, _)) if options.contains(&format!("{word} = ")) => options
                .split(", ")
                .map(|option| {
                    if option.starts_with(word) {
                        change
                    } else {
                        option
                    }
                })
                .collect::<Vec<_>>()
                .join(", "),
            _ => format!("{options}, {change}"),
        };
        format!("text = {{ {options} }}")
    };
    for (change, code) in [
        ("max_length = 32", "job.width"),
        ("tokenizer = \"mail\"", "job.artifact"),
        ("pad_token = \"[NOTHING]\"", "job.pad_token"),
        ("inputs = [\"input_ids\", \"words\"]", "job.manifest"),
        ("inputs = { ids = \"words\" }", "job.unknown_input"),
        ("truncation = \"middle\"", "job.manifest"),
        ("max_length = 0", "job.manifest"),
        ("strip = true", "job.manifest"),
    ] {
        let codes = mails.refused(&with(change));
        assert!(
            codes.iter().any(|found| found == code),
            "{change}: {codes:?}"
        );
    }
    // Another model's tokenizer: one id more than the table has rows.
    let folder = Model::named("mails_tokens");
    let mut tokenizer: Value = serde_json::from_str(&folder.text("tokenizer.json")).unwrap();
    let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    vocabulary.insert("zzz".to_owned(), vocabulary.len().into());
    let foreign = mails.sandbox.file("foreign.json", tokenizer.to_string());
    let mut push = folder.push_arguments(&mails.model);
    push.pop();
    push.push(format!("mails={}", foreign.display()));
    let push: Vec<&str> = push.iter().map(String::as_str).collect();
    mails.sandbox.helenus(&push).ok();
    let manifest = fs::read_to_string(mails.manifest(USUAL)).unwrap();
    let second = manifest.replace("versions = [1]", "versions = [2]");
    let second = mails.sandbox.file("second.toml", second);
    let refused = mails
        .sandbox
        .json(&["job", "create", second.to_str().unwrap()])
        .code(2);
    assert_eq!(refused.error()["code"], "job.vocabulary", "{refused:?}");
}

#[test]
fn a_pipe_gives_what_a_run_has_stored() {
    let mails = Mails::new("tokens_pipe");
    mails.create(USUAL);
    let texts = [
        "Please send the invoice.",
        "",
        "Größe 5, naïve",
        "the display stays dark",
    ];
    for (id, text) in (1..).zip(texts) {
        mails.insert(id, Some(text.as_bytes()));
    }
    let sandbox = &mails.sandbox;
    sandbox.helenus(&["score", &mails.job]).ok();
    sandbox
        .helenus(&["bundle", &mails.job, "mails.bundle"])
        .ok();
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("body", DataType::Binary, true),
    ]));
    let bodies = arrow_array::BinaryArray::from_iter_values(texts);
    let columns: Vec<arrow_array::ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(1..=texts.len() as i32)),
        Arc::new(bodies),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    writer.write(&batch).unwrap();
    let stream = writer.into_inner().unwrap();
    let mut command = sandbox.command(&["pipe", "mails.bundle"]);
    command
        .env("HELENUS_CONTACT_POINTS", "127.0.0.1:9")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&stream).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    let stored = mails.predictions();
    let mut seen = 0;
    for batch in StreamReader::try_new(&ended.stdout[..], None).unwrap() {
        let batch = batch.unwrap();
        let ids = batch.column_by_name("id").unwrap();
        let ids = ids.as_primitive::<arrow_array::types::Int32Type>();
        let hashes = batch.column_by_name("input_hash").unwrap();
        let hashes: &StringArray = hashes.as_string::<i32>();
        for row in 0..batch.num_rows() {
            let stored = &stored[ids.value(row) as usize - 1];
            let hash = stored["lineage"]["input_hash"].as_str().unwrap();
            assert_eq!(hashes.value(row), hash.trim_start_matches("0x"));
            seen += 1;
        }
        assert_eq!(hashes.null_count(), 0);
    }
    assert_eq!(seen, texts.len());
}
