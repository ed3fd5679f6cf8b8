//! Documents under `isolate`: other processes decode them, with the same result, and what a file
//! does to its decoder stays there.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use helenus::{
    codec::cql_type::CqlType,
    domain::{
        job::{
            Conversion, Place, Preparation,
            manifest::Manifest,
            prepare::{Preparer, Unprepared},
        },
        model::tensor::Element,
    },
    scorer::{child, preparers::Preparers},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use super::{
    hostile,
    images::ORIENTATION,
    manifest,
    mutated::{self, mutated},
    rejected,
};
use crate::support::{Sandbox, Served, block_on, cli, documents};

const CRASHED: &str = "unprepared: feature `x` could not be prepared: its process crashed: aborted";
const TOOK_ALL: &str =
    "unprepared: feature `x` could not be prepared: its process crashed: out of memory (aborted)";
const HUNG: &str = "unprepared: feature `x` could not be prepared: it did not end within 3 s";

/// A page whose decoder does something else.
fn marked(page: &[u8], what: &str) -> Vec<u8> {
    [page, b"failpoint:", what.as_bytes()].concat()
}

/// A sandbox with files, and a job that tells their orientation.
fn orientation(test: &str, files: &[Vec<u8>], rules: &str) -> (Sandbox, String) {
    let sandbox = Sandbox::migrated(test);
    let model = documents::folder().join("orientation.onnx");
    let (job, name) = (sandbox.name("pages"), sandbox.name("orientation"));
    let push = ["model", "push", &name, model.to_str().unwrap()];
    sandbox.helenus(&push).ok();
    sandbox.cql("CREATE TABLE {data}.files (id int PRIMARY KEY, content blob)");
    documents::insert(&sandbox, "files", files);
    let feature = format!("x = {{ column = \"content\", {ORIENTATION} }}");
    let text = manifest(&sandbox, &job, &name, &feature) + rules;
    let path = sandbox.file("pages.toml", text);
    sandbox
        .helenus(&["job", "create", path.to_str().unwrap()])
        .ok();
    (sandbox, job)
}

/// Each row's outputs, hash and reason by id, as JSON text.
fn stored(sandbox: &Sandbox, job: &str) -> BTreeMap<i64, String> {
    let rows = sandbox.rows(&format!("SELECT JSON * FROM {{data}}.{job}_predictions"));
    rows.iter()
        .map(|row| {
            let mut row: Value = serde_json::from_str(row["[json]"].as_text().unwrap()).unwrap();
            let lineage = row["lineage"].take();
            let kept = ["input_hash", "source_hash", "model_sha256", "rejected"];
            for name in kept {
                row[name] = lineage[name].clone();
            }
            assert!(row["input_hash"].is_string(), "{row}");
            (row["id"].as_i64().unwrap(), row.to_string())
        })
        .collect()
}

#[test]
fn isolated_decoders_give_the_same_numbers_hashes_and_rejections() {
    let mut files = documents::contents("pages", "pages.json");
    files.truncate(9);
    let pages = files.len();
    let hostile = hostile::contents(&files[0]);
    files.extend(hostile.iter().map(|(_, content, _)| content.clone()));
    let (sandbox, job) = orientation("isolated_pages", &files, "");
    let here = sandbox.json(&["score", &job]).ok().result();
    assert_eq!(here["scored"]["1"], pages, "{here}");
    let here = stored(&sandbox, &job);
    assert_eq!(here.len(), files.len());
    sandbox.cql(&format!("TRUNCATE {{data}}.{job}_predictions"));
    let isolated = sandbox.json(&["score", &job, "--isolate"]).ok().result();
    assert_eq!(isolated["scored"]["1"], pages, "{isolated}");
    assert_eq!(isolated["rejected"]["1"], hostile.len(), "{isolated}");
    assert_eq!(stored(&sandbox, &job), here);
    // What one way has stored is unchanged for the other, and verified by both.
    let again = sandbox.json(&["score", &job]).ok().result();
    assert_eq!(again["unchanged"]["1"], pages, "{again}");
    let proof = sandbox.json(&["verify", &job, "--isolate"]).ok().result();
    assert_eq!(proof["versions"]["1"]["matching"], pages, "{proof}");
    for id in ["id=0", &format!("id={pages}")] {
        let explain = ["explain", &job, id];
        let there = sandbox.json(&[&explain[..], &["--isolate"]].concat()).ok();
        let here = sandbox.json(&explain).ok().result();
        let fed = |explained: &Value| explained["versions"]["1"]["fed"].clone();
        assert_eq!(fed(&there.result()), fed(&here), "{here}");
        assert!(fed(&here)[0].is_object(), "{here}");
    }
}

#[test]
fn files_that_crash_hang_or_exhaust_a_decoder_reject_their_row_and_nothing_else() {
    let mut files = documents::contents("pages", "pages.json");
    files.truncate(11);
    for (id, what) in [(2, "crash"), (3, "crash"), (6, "memory"), (8, "hang")] {
        files[id] = marked(&files[id], what);
    }
    let (sandbox, job) = orientation("decoders_crash", &files, "guard = false\n");
    let mut command = sandbox.command(&["score", &job, "--isolate", "--output", "json"]);
    command.envs([
        ("HELENUS_ISOLATE_MEMORY_MIB", "1024"),
        ("HELENUS_BATCH_TIMEOUT", "3s"),
    ]);
    let run = cli::run(command).ok().result();
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(run["scored"]["1"], 7, "{run}");
    let reasons = rejected(&sandbox, &format!("{job}_predictions"));
    let expected = [(2, CRASHED), (3, CRASHED), (6, TOOK_ALL), (8, HUNG)];
    let expected = expected.map(|(id, reason)| (id, reason.to_owned()));
    assert_eq!(reasons, BTreeMap::from(expected));

    // The file does what it says to the process that decodes it.
    let explain = ["explain", &job, "id=2", "--output", "json"];
    let here = sandbox.helenus(&explain);
    assert_eq!(here.code, None, "{here:#?}");
    let there = sandbox.helenus(&[&explain[..], &["--isolate"]].concat());
    let there = there.ok().result();
    assert_eq!(
        there["versions"]["1"]["fed"][0]["rejected"], CRASHED,
        "{there}"
    );
    // A run looks at rows before it begins, and so does a plan.
    sandbox.cql("DELETE FROM {data}.files WHERE id IN (6, 8)");
    let plan = ["job", "plan", &job, "--sample", "20", "--isolate"];
    let plan = sandbox.json(&plan).ok().result().to_string();
    assert!(plan.contains("unprepared"), "{plan}");

    let served = Served::start(&sandbox, &[&job, "--isolate"]);
    let content = |id: usize| json!({"content": {"b64": STANDARD.encode(&files[id])}});
    for _ in 0..2 {
        let rows = json!({"rows": [content(0), content(2), content(1)]});
        let answer = served.post(&format!("/v1/jobs/{job}/score"), &rows);
        let answer = answer.status(200).json();
        let rejected = |row: usize| &answer["rows"][row]["predictions"][0]["rejected"];
        assert!(rejected(0).is_null() && rejected(2).is_null(), "{answer}");
        assert!(
            rejected(1).to_string().contains("its process crashed"),
            "{answer}"
        );
    }
    served.stop().ok();
}

/// Prepares files here and in a separate process, which must agree.
#[test]
fn mutated_files_are_prepared_or_rejected_alike_in_a_separate_process() {
    child::use_program(env!("CARGO_BIN_EXE_helenus"));
    let text = format!(
        "job = \"j\"\nmodel = \"m\"\nversions = [1]\n[source]\ntable = \"k.t\"\n[features]\nx = {}\n",
        mutated::ENTRY
    );
    let features = Manifest::parse(&text).unwrap().features.unwrap();
    let place = Place {
        feature: "x".to_owned(),
        column: 0,
        width: 3 * 32 * 32,
        conversion: Conversion::Prepared(Preparation {
            element: Element::Float,
            cql_type: CqlType::Blob,
            kind: features["x"].prepared.clone().unwrap(),
        }),
    };
    let preparer = Preparer::from_places([(0, place)].into_iter());
    let preparers = Preparers::new(4096 << 20, 1, Duration::from_secs(60));
    let mut seeds = documents::contents("images", "images.json");
    seeds.truncate(8);
    let seed = rand::rng().random();
    let mut random = StdRng::seed_from_u64(seed);
    let mut whole = 0;
    block_on(async {
        for number in 0..150 {
            let at = random.random_range(0..seeds.len());
            let file = mutated(&seeds[at], &mut random);
            let row = Unprepared::of_cell(preparer.clone(), Some(&file));
            let there = preparers.prepare(&row, 0..1).await.unwrap();
            whole += u32::from(there.rejected.is_empty());
            let here = row.prepare(0..1);
            assert_eq!(
                format!("{there:?}"),
                format!("{here:?}"),
                "seed {seed}, file {number}"
            );
        }
    });
    println!("seed {seed}: {whole} of 150 prepared");
}
