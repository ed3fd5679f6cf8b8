//! `helenus bundle` and `helenus pipe`: the predictions of a run, without Cassandra.

use std::{collections::BTreeMap, fs, io::Write, process::Stdio};

use arrow_array::{
    ArrayRef, Float32Array, Int32Array, RecordBatch, StringArray,
    cast::AsArray,
    types::{Float32Type, Int32Type},
};
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_schema::{DataType, Field, Schema};
use std::sync::Arc;

use crate::support::{Sandbox, biopsies::Biopsies, cli::Output};

/// What a pipe answered: its exit code, and its batches as far as they can be read.
struct PipeAnswer {
    output: Output,
    batches: Vec<RecordBatch>,
    is_whole: bool,
}

/// Pipes a stream through a bundle, with an environment that knows no Cassandra.
fn pipe(sandbox: &Sandbox, options: &[&str], stream: Vec<u8>) -> PipeAnswer {
    let mut command = sandbox.command(&[&["pipe", "tumour.bundle"], options].concat());
    command
        .env("HELENUS_CONTACT_POINTS", "127.0.0.1:9")
        .env("HELENUS_BATCH_ROWS", "100")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A pipe that fails early does not read to the end.
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&stream)));
    let ended = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    let mut batches = Vec::new();
    let mut is_whole = ended
        .stdout
        .ends_with(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    match StreamReader::try_new(&ended.stdout[..], None) {
        Ok(reader) => batches.extend(reader.map_while(Result::ok)),
        Err(_) => is_whole = false,
    }
    PipeAnswer {
        output: Output {
            code: ended.status.code(),
            stdout: String::new(),
            stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
        },
        batches,
        is_whole,
    }
}

/// The biopsies as Arrow batches of 150 rows.
fn stream(biopsies: &Biopsies) -> (Vec<u8>, Arc<Schema>) {
    let rows = biopsies.sandbox.rows("SELECT * FROM {data}.biopsies");
    let mut names: Vec<String> = rows[0].keys().cloned().collect();
    for row in &rows {
        names.extend(
            row.keys()
                .filter(|name| !names.contains(name))
                .cloned()
                .collect::<Vec<_>>(),
        );
    }
    names.sort();
    names.retain(|name| name != "diagnosis_truth");
    let fields: Vec<Field> = names
        .iter()
        .map(|name| match name.as_str() {
            "id" => Field::new(name, DataType::Int32, false),
            _ => Field::new(name, DataType::Float32, true),
        })
        .chain([Field::new("ignored", DataType::Utf8, true)])
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    for rows in rows.chunks(150) {
        let mut columns: Vec<ArrayRef> = Vec::new();
        for name in &names {
            columns.push(match name.as_str() {
                "id" => Arc::new(
                    rows.iter()
                        .map(|row| row["id"].as_int())
                        .collect::<Int32Array>(),
                ),
                _ => Arc::new(
                    rows.iter()
                        .map(|row| row.get(name).and_then(|cell| cell.as_float()))
                        .collect::<Float32Array>(),
                ),
            });
        }
        columns.push(Arc::new(
            rows.iter().map(|_| Some("x")).collect::<StringArray>(),
        ));
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        writer.write(&batch).unwrap();
    }
    (writer.into_inner().unwrap(), schema)
}

/// A prediction as both sides have it.
#[derive(Debug, PartialEq)]
struct Prediction {
    input_hash: String,
    source_hash: String,
    model_sha256: String,
    rejected: Option<String>,
    label: Option<String>,
    p_malignant: Option<f32>,
}

#[test]
fn a_pipe_gives_what_a_run_of_the_same_rows_has_stored() {
    let biopsies = Biopsies::scored("pipe");
    let sandbox = &biopsies.sandbox;
    // A rejected row, too.
    sandbox.cql("INSERT INTO {data}.biopsies (id, mean_radius) VALUES (9001, 14.2)");
    biopsies.score();
    let made = sandbox
        .json(&["bundle", "tumour", "tumour.bundle"])
        .ok()
        .result();
    assert_eq!(made["versions"].to_string(), "[1,2]");
    let bundle = fs::read(sandbox.directory().join("tumour.bundle")).unwrap();
    let has = |text: &str| {
        bundle
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(has("helenus-bundle/1") && has("malignant"));
    assert!(!has("9042") && !has("password"), "credentials or addresses");

    let (rows, schema) = stream(&biopsies);
    let piped = pipe(sandbox, &[], rows.clone());
    piped.output.ok();
    assert!(piped.is_whole);
    let mut found = BTreeMap::new();
    for batch in &piped.batches {
        assert_eq!(batch.schema().metadata()["helenus.job"], "tumour");
        let text = |name: &str, row: usize| {
            let column = batch.column_by_name(name).unwrap().as_string::<i32>();
            (!arrow_array::Array::is_null(column, row)).then(|| column.value(row).to_owned())
        };
        let ids = batch
            .column_by_name("id")
            .unwrap()
            .as_primitive::<Int32Type>();
        let versions = batch
            .column_by_name("version")
            .unwrap()
            .as_primitive::<Int32Type>();
        let scores = batch
            .column_by_name("p_malignant")
            .unwrap()
            .as_primitive::<Float32Type>();
        assert!(batch.column_by_name("scored_at").is_some());
        for row in 0..batch.num_rows() {
            let score = (!arrow_array::Array::is_null(scores, row)).then(|| scores.value(row));
            let prediction = Prediction {
                input_hash: text("input_hash", row).unwrap(),
                source_hash: text("source_hash", row).unwrap(),
                model_sha256: text("model_sha256", row).unwrap(),
                rejected: text("rejected", row),
                label: text("label", row),
                p_malignant: score,
            };
            assert!(
                found
                    .insert((ids.value(row), versions.value(row)), prediction)
                    .is_none()
            );
        }
    }
    let stored = sandbox.rows(
        "SELECT id, model_version, label, p_malignant, lineage FROM {data}.tumour_predictions",
    );
    assert_eq!(stored.len(), found.len());
    assert_eq!(found.len() as u64, 2 * (biopsies.rows + 1));
    let mut rejected = 0;
    for row in &stored {
        let lineage = row["lineage"].as_udt().unwrap();
        let field = |name: &str| {
            let found = lineage.iter().find(|(field, _)| field == name);
            found.and_then(|(_, value)| value.clone())
        };
        let hex = |name: &str| hex::encode(field(name).unwrap().as_blob().unwrap());
        let prediction = Prediction {
            input_hash: hex("input_hash"),
            source_hash: hex("source_hash"),
            model_sha256: hex("model_sha256"),
            rejected: field("rejected").map(|text| text.as_text().unwrap().clone()),
            label: row.get("label").map(|text| text.as_text().unwrap().clone()),
            p_malignant: row
                .get("p_malignant")
                .map(|score| score.as_float().unwrap()),
        };
        let key = (
            row["id"].as_int().unwrap(),
            row["model_version"].as_int().unwrap(),
        );
        let piped = &found[&key];
        // The same bits where the batch is of another size would be luck: the tolerance is the project's.
        let close = match (piped.p_malignant, prediction.p_malignant) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-6 + 1e-5 * b.abs(),
            (a, b) => a == b,
        };
        assert!(close, "{key:?}: {piped:?} {prediction:?}");
        assert_eq!(
            *piped,
            Prediction {
                p_malignant: piped.p_malignant,
                ..prediction
            },
            "{key:?}"
        );
        rejected += usize::from(piped.rejected.is_some());
    }
    assert_eq!(rejected, 2);

    // The schema alone, and a stream without rows.
    let empty = StreamWriter::try_new(Vec::new(), &schema)
        .unwrap()
        .into_inner()
        .unwrap();
    for (options, stream) in [(&["--schema"][..], Vec::new()), (&[][..], empty)] {
        let answered = pipe(sandbox, options, stream);
        answered.output.ok();
        assert!(answered.is_whole && answered.batches.is_empty());
    }
    // One version by its alias.
    sandbox.helenus(&["model", "promote", "tumour", "2"]).ok();
    biopsies.create("[1, 2, \"champion\"]");
    sandbox
        .helenus(&["bundle", "tumour", "tumour.bundle", "--version", "champion"])
        .ok();
    let piped = pipe(sandbox, &[], rows.clone());
    piped.output.ok();
    let count: usize = piped.batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(count as u64, biopsies.rows + 1);
    sandbox
        .helenus(&["bundle", "tumour", "x.bundle", "--version", "7"])
        .code(2);

    // What is not a stream, or was cut off, is told and has no end.
    for bad in [
        b"id,mean_radius\n1,2\n".to_vec(),
        rows[..rows.len() / 2].to_vec(),
    ] {
        let answered = pipe(sandbox, &[], bad);
        assert!(
            answered.output.stderr.contains("not an Arrow IPC stream"),
            "{}",
            answered.output.stderr
        );
        answered.output.code(2);
        assert!(!answered.is_whole);
    }
    let lacking = Schema::new(vec![Field::new("id", DataType::Int32, false)]);
    let lacking = StreamWriter::try_new(Vec::new(), &lacking)
        .unwrap()
        .into_inner()
        .unwrap();
    let answered = pipe(sandbox, &[], lacking);
    assert!(
        answered
            .output
            .stderr
            .contains("has no column `mean_radius`"),
        "{}",
        answered.output.stderr
    );
    answered.output.code(2);

    // A pipe that fails ends, although its caller keeps the input open: here nobody reads the answer.
    let mut command = sandbox.command(&["pipe", "tumour.bundle"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    // Without the end of the stream: more could come.
    stdin.write_all(&rows[..rows.len() - 8]).unwrap_or_default();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    drop(stdin);

    // A bundle that was damaged anywhere is refused.
    let whole = fs::read(sandbox.directory().join("tumour.bundle")).unwrap();
    for at in [3, 200, whole.len() - 5] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(sandbox.directory().join("tumour.bundle"), &damaged).unwrap();
        assert!(
            matches!(
                pipe(sandbox, &["--schema"], Vec::new()).output.code,
                Some(2)
            ),
            "{at}"
        );
    }
    fs::write(
        sandbox.directory().join("tumour.bundle"),
        &whole[..whole.len() / 2],
    )
    .unwrap();
    pipe(sandbox, &["--schema"], Vec::new()).output.code(2);
}
