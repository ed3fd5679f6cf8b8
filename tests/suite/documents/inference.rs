//! Documents through the Open Inference Protocol: by the clients of Triton and KServe, with the
//! numbers and hashes of the job's own route.

use std::process::{Command, Stdio};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    cards::{self, BAD, Card},
    images::ORIENTATION,
    manifest,
};
use crate::{
    serve_oip::serve,
    serve_oip_jobs::clients::{ask, assert_same, blobs, column, request, scored},
    support::{Sandbox, Served, cli, documents, required},
};

/// A server with a job over `files (id, content)`.
fn served(test: &str, model: &str, feature: &str, settings: &[(&str, &str)]) -> (Sandbox, Served) {
    let sandbox = Sandbox::migrated(test);
    let path = documents::folder().join(model);
    let push = ["model", "push", "files", path.to_str().unwrap()];
    sandbox.helenus(&push).ok();
    sandbox.cql("CREATE TABLE {data}.files (id int PRIMARY KEY, content blob, title text)");
    let path = sandbox.file("files.toml", manifest(&sandbox, "files", "files", feature));
    sandbox
        .helenus(&["job", "create", path.to_str().unwrap()])
        .ok();
    let served = serve(&sandbox, settings);
    served.wait_until_ready();
    (sandbox, served)
}

fn rows(files: &[Vec<u8>]) -> Vec<Value> {
    let rows = files.iter();
    rows.map(|file| json!({"content": {"b64": STANDARD.encode(file)}}))
        .collect()
}

/// Asks for a prediction of each file, and then with a broken one among them.
fn assert_files(
    sandbox: &Sandbox,
    served: &mut Served,
    files: &[Vec<u8>],
    (broken, reason): (&[u8], &str),
) {
    let mut with_broken = files.to_vec();
    with_broken.insert(2, broken.to_vec());
    let requests = [
        request("files", "", &[blobs("content", files)]),
        request("files", "", &[blobs("content", &with_broken)]),
    ];
    let answers = ask(sandbox, served, &requests);
    assert_eq!(answers[0].len(), 7);
    assert_same(&answers[0], &scored(served, "files", "", &rows(files)));
    let expected = &scored(served, "files", "", &rows(&with_broken))["rows"][2]["predictions"][0];
    let words = expected["rejected"].as_str().unwrap();
    assert!(words.contains(reason), "{expected}");
    for answer in &answers[1] {
        let error = answer["error"].as_str().unwrap();
        let expected = format!("inputs: the job rejects row 2: {words}");
        assert!(error.starts_with(&expected), "{error}\n{expected}");
    }
}

#[test]
fn kinds_of_files_are_those_of_the_jobs_own_route() {
    let feature = "bytes = { column = \"content\", as = \"bytes\", head = 1024, tail = 1024, strip = true, pad = 256 }";
    let (sandbox, mut served) = served("inference_bytes", "magika.onnx", feature, &[]);
    let mut files = documents::contents("files", "files.json");
    files.truncate(6);
    // Bytes that are text: in JSON they would be hexadecimal digits by accident.
    files.push(b"2024".to_vec());
    assert_files(&sandbox, &mut served, &files, (b"", "empty"));
    let input = json!({"name": "content", "datatype": "BYTES", "shape": [1], "data": ["2024"]});
    let reply = served.post("/v2/models/job:files/infer", &json!({"inputs": [input]}));
    let error = reply.status(400).json()["error"].to_string();
    assert!(
        error.contains("`content`, row 0: a string is not a blob"),
        "{error}"
    );
    run_example(&sandbox, &served, &files[0]);
    served.stop().ok();
}

/// Runs the example of the documentation with a file.
fn run_example(sandbox: &Sandbox, served: &Served, file: &[u8]) {
    let page = include_str!("../../../docs/serving-oip.md");
    let section = page.split_once("## Jobs").unwrap().1;
    let example = section.split_once("```python\n").unwrap().1;
    let example = example.split_once("```").unwrap().0;
    assert!(example.contains("127.0.0.1:8080") && example.contains("job:file_kinds"));
    let example = example
        .replace("127.0.0.1:8080", &served.address.to_string())
        .replace("job:file_kinds", "job:files");
    sandbox.file("letter.pdf", file);
    let mut command = Command::new(required("HELENUS_TEST_SERVING"));
    command
        .args(["-c", &example])
        .current_dir(sandbox.directory())
        .stdin(Stdio::null());
    let printed = cli::run(command).ok().stdout;
    let scored = scored(served, "files", "", &rows(&[file.to_vec()]));
    let lineage = &scored["rows"][0]["predictions"][0]["lineage"];
    let hash = lineage["input_hash"].as_str().unwrap();
    assert!(printed.contains(hash), "{printed}");
}

#[test]
fn pages_are_decoded_in_isolated_processes_too() {
    let feature = format!("x = {{ column = \"content\", {ORIENTATION} }}");
    let settings = [("HELENUS_ISOLATE", "true")];
    let (sandbox, mut served) = served("inference_pages", "orientation.onnx", &feature, &settings);
    let mut pages = documents::contents("pages", "pages.json");
    pages.truncate(4);
    let broken = pages[0][..500].to_vec();
    let reason = "image: feature `x`";
    assert_files(&sandbox, &mut served, &pages, (&broken, reason));
    served.stop().ok();
}

/// A picture and words together, an embedding, two versions.
#[test]
fn cards_have_pictures_words_and_vectors() {
    let sandbox = cards::pushed("inference_cards");
    let job = "[outputs.columns]\nembedding = { output = \"embedding\", index = \"cosine\" }\n";
    cards::create(&sandbox, "[\"champion\", 2]", job).ok();
    let mut served = serve(&sandbox, &[]);
    served.wait_until_ready();
    let metadata = served.get("/v2/models/job:cards").status(200).json();
    assert_eq!(metadata["versions"], json!(["1", "2"]));
    let input = |name: &str| json!({"name": name, "datatype": "BYTES", "shape": [-1]});
    let inputs = metadata["inputs"].as_array().unwrap();
    assert!(
        inputs.len() == 2 && inputs.contains(&input("photo")) && inputs.contains(&input("words"))
    );
    let outputs = metadata["outputs"].as_array().unwrap();
    let embedding = outputs
        .iter()
        .find(|output| output["name"] == "embedding")
        .unwrap();
    assert_eq!(embedding["datatype"], "FP32");
    assert!(embedding["shape"][1].as_i64() > Some(1), "{embedding}");

    let good: Vec<Card> = (BAD..BAD + 9).map(Card::new).collect();
    let photos: Vec<_> = good
        .iter()
        .map(|card| card.photo.clone().unwrap())
        .collect();
    let words: Vec<_> = good
        .iter()
        .map(|card| card.words.clone().unwrap())
        .collect();
    let photos = blobs("photo", &photos);
    let columns = [photos.clone(), column("words", "BYTES", &words)];
    let versions = ["", "1", "2", "champion"];
    let mut requests: Vec<_> = versions
        .iter()
        .map(|version| request("cards", version, &columns))
        .collect();
    requests.push(request("cards", "", &[photos]));
    let answers = ask(&sandbox, &mut served, &requests);
    let rows: Vec<_> = good.iter().map(Card::json).collect();
    for (version, answers) in versions.iter().zip(&answers) {
        assert_same(answers, &scored(&served, "cards", version, &rows));
    }
    assert_eq!(answers[0][0], answers[1][0]);
    assert_ne!(answers[1][0], answers[2][0]);
    // Without words all cards are rejected.
    for answer in answers.last().unwrap() {
        let error = answer["error"].as_str().unwrap();
        let expected = "inputs: the job rejects row 0: null: feature `text`";
        assert!(error.starts_with(expected), "{error}");
        assert!(
            error.contains("; and row(s) 1, 2, 3, 4, 5, 6, 7, 8 (send"),
            "{error}"
        );
    }
    served.stop().ok();
}
