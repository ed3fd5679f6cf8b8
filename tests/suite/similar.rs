//! Search by similarity: the nearest rows of one version, by key, by text, over HTTP.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Model, Sandbox, Served, cli};

/// Mails 1 to 100 are ordinary; of 101 to 107, two have vectors, and the others must be rejected.
const WITH_VECTORS: usize = 102;
/// A mail without any word that the models know: its vector is zero.
const WORDLESS: i32 = 103;

/// Job `mails`, whose versions 1 (the champion) and 2 are two spaces. Nothing is scored yet.
struct Mails {
    sandbox: Sandbox,
}

impl Mails {
    fn new(test: &str) -> Self {
        let sandbox = Sandbox::migrated(test);
        Model::named("mails_vectors").load(&sandbox);
        for folder in ["mails_vectors", "mails_vectors_pairs"] {
            let push = Model::named(folder).push_arguments("mails");
            let push: Vec<&str> = push.iter().map(String::as_str).collect();
            sandbox.helenus(&push).ok();
        }
        sandbox.helenus(&["model", "promote", "mails", "1"]).ok();
        Self { sandbox }
    }

    fn manifest(&self, index: &str) -> String {
        let text = format!(
            r#"
job = "mails"
model = "mails"
versions = ["champion", 2]
[source]
table = "{{data}}.mails"
[features]
body = {{ column = "body", text = "lower" }}
[outputs.columns]
embedding = {{ output = "variable"{index} }}
[rules]
max_rejected = 20
"#
        );
        let file = self.sandbox.file("mails.toml", self.sandbox.filled(&text));
        file.display().to_string()
    }

    fn create(&self, index: &str) -> cli::Output {
        self.sandbox.json(&["job", "create", &self.manifest(index)])
    }

    fn score(&self) -> Value {
        self.sandbox.json(&["score", "mails"]).ok().result()
    }

    fn similar(&self, words: &[&str]) -> Value {
        self.try_similar(words).ok().result()
    }

    fn try_similar(&self, words: &[&str]) -> cli::Output {
        self.sandbox.json(&[&["similar", "mails"], words].concat())
    }

    /// The vectors that are stored for a version.
    fn vectors(&self, version: i32) -> BTreeMap<i64, Vec<f64>> {
        let rows = self.sandbox.rows(&format!(
            "SELECT id, model_version, embedding FROM {{data}}.mails_predictions WHERE model_version = {version} ALLOW FILTERING"
        ));
        let vectors = rows.iter().filter_map(|row| {
            let vector = row.get("embedding")?.as_vector()?;
            let vector = vector.iter().map(|value| value.as_float().unwrap().into());
            Some((row["id"].as_int().unwrap().into(), vector.collect()))
        });
        vectors.collect()
    }

    fn body(&self, id: i32) -> String {
        let row = self
            .sandbox
            .row(&format!("SELECT body FROM {{data}}.mails WHERE id = {id}"));
        row["body"].as_text().unwrap().clone()
    }
}

/// Cassandra's `similarity_cosine`.
pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = dot(a, a).sqrt() * dot(b, b).sqrt();
    (1.0 + dot(a, b) / lengths) / 2.0
}

/// Ids and similarities of a result, in its order.
fn found(result: &Value) -> Vec<(i64, f64)> {
    let rows = result["rows"].as_array().unwrap().iter();
    rows.map(|row| {
        let id = row["key"]["id"].as_i64().unwrap();
        (id, row["similarity"].as_f64().unwrap())
    })
    .collect()
}

/// Holds a search against a brute force over all vectors of the version. Mails may be equally similar,
/// so that the similarities must be the best ones, and each that of its mail.
#[track_caller]
fn assert_nearest(result: &Value, vectors: &BTreeMap<i64, Vec<f64>>, own: i64, top: usize) {
    let query = &vectors[&own];
    let mut best: Vec<f64> = vectors
        .iter()
        .filter(|(id, _)| **id != own)
        .map(|(_, vector)| cosine(query, vector))
        .collect();
    best.sort_by(|a, b| b.total_cmp(a));
    best.truncate(top);
    let found = found(result);
    assert_eq!(found.len(), best.len(), "{result}");
    for ((id, similarity), best) in found.iter().zip(best) {
        assert_ne!(*id, own, "{result}");
        let exact = cosine(query, &vectors[id]);
        assert!((similarity - exact).abs() < 1e-5, "{id}: {exact}: {result}");
        assert!((similarity - best).abs() < 1e-5, "{id}: {best}: {result}");
    }
}

#[test]
fn the_nearest_rows_are_those_of_a_brute_force_over_one_version() {
    let mails = Mails::new("similar");
    mails.create(", index = \"cosine\"").ok();
    let scored = mails.score();
    assert_eq!(scored["scored"], json!({"1": 102, "2": 102}), "{scored}");
    for (version, words) in [(1, &[][..]), (2, &["--version", "2"])] {
        let vectors = mails.vectors(version);
        assert_eq!(vectors.len(), WITH_VECTORS);
        // Of the hundred nearest of both versions, enough are of this one; or not.
        for (key, top) in [("7", "5"), ("42", "5"), ("42", "101")] {
            let result = mails.similar(&[&[key, "--top", top], words].concat());
            assert_eq!(result["version"], version, "{result}");
            assert_eq!(result["function"], "cosine", "{result}");
            let (own, top) = (key.parse().unwrap(), top.parse().unwrap());
            assert_nearest(&result, &vectors, own, top);
        }
    }
    // The two spaces differ: neither could have answered for the other.
    let [one, two] = [1, 2].map(|version| mails.vectors(version));
    assert!(one.iter().any(|(id, v)| cosine(v, &two[id]) < 0.9));

    let shown = mails.similar(&["7", "--top", "3", "--show", "subject,sender"]);
    for row in shown["rows"].as_array().unwrap() {
        let id = &row["key"]["id"];
        let stored = mails.sandbox.row(&format!(
            "SELECT subject, sender FROM {{data}}.mails WHERE id = {id}"
        ));
        let text = |name: &str| stored[name].as_text().unwrap().clone();
        let expected = json!({"subject": text("subject"), "sender": text("sender")});
        assert_eq!(row["source"], expected, "{row}");
    }
    let printed = mails
        .sandbox
        .helenus(&["similar", "mails", "7", "--top", "3", "--show", "subject"])
        .ok();
    assert!(printed.stdout.contains("SIMILARITY"), "{}", printed.stdout);

    assert_rejections_and_errors(&mails);
    assert_given_rows(&mails);
    assert_served(&mails);
    assert_moves(&mails);
}

fn assert_rejections_and_errors(mails: &Mails) {
    let row = mails.sandbox.row(&format!(
        "SELECT lineage.rejected AS reason FROM {{data}}.mails_predictions WHERE id = {WORDLESS} AND model_version = 1"
    ));
    let reason = row["reason"].as_text().unwrap();
    assert!(reason.starts_with("zero_vector: "), "{reason}");
    let failed = |words: &[&str], code: i32| {
        let said = mails.try_similar(words).code(code).json();
        said["error"]["code"].as_str().unwrap().to_owned()
    };
    let wordless = WORDLESS.to_string();
    assert_eq!(failed(&[&wordless], 1), "similar.rejected");
    assert_eq!(failed(&["--text", "qqq zzz"], 1), "similar.rejected");
    assert_eq!(failed(&["999"], 5), "similar.no_prediction");
    assert_eq!(failed(&["7", "--version", "9"], 2), "job.unknown_version");
    assert_eq!(failed(&["7", "--column", "x"], 2), "similar.column");
    assert_eq!(
        failed(&["7", "--show", "subjekt"], 2),
        "similar.unknown_column"
    );
    assert_eq!(failed(&["--row", "[1]"], 2), "similar.row");
    assert_eq!(failed(&["--row", "{\"bodi\": 1}"], 2), "row.unknown_column");
    assert_eq!(failed(&["7", "--text", "both"], 2), "usage");
    assert_eq!(failed(&[], 2), "usage");
    // The index takes no part in what is pending.
    let again = mails.score();
    assert_eq!(again["scored"], json!({"1": 0, "2": 0}), "{again}");
}

/// A given row has the vector that a run stores for it.
fn assert_given_rows(mails: &Mails) {
    let body = mails.body(42);
    let row = json!({"body": body}).to_string();
    for words in [["--text", &body], ["--row", &row]] {
        let result = mails.similar(&[&words[..], &["--top", "6"]].concat());
        let stored = mails.similar(&["42", "--top", "5"]);
        let (given, stored) = (found(&result), found(&stored));
        let own = given.iter().find(|(id, _)| *id == 42);
        assert!(
            own.is_some_and(|(_, similarity)| *similarity > 0.9999),
            "{result}"
        );
        let others: Vec<f64> = given
            .iter()
            .filter(|(id, _)| *id != 42)
            .map(|(_, s)| *s)
            .collect();
        for (given, (_, stored)) in others.iter().zip(&stored) {
            assert!((given - stored).abs() < 1e-5, "{result}");
        }
    }
}

fn assert_served(mails: &Mails) {
    let served = Served::start(&mails.sandbox, &["mails"]);
    let ask = |body: &Value| {
        let path = "/v1/jobs/mails/similar";
        served.post(path, body)
    };
    let body = mails.body(42);
    for (request, words) in [
        (
            json!({"key": {"id": 42}, "top": 5}),
            vec!["42", "--top", "5"],
        ),
        (
            json!({"key": {"id": "42"}, "version": 2}),
            vec!["42", "--version", "2"],
        ),
        (
            json!({"text": body, "column": "embedding"}),
            vec!["--text", &body],
        ),
        (
            json!({"row": {"body": body}, "version": "champion"}),
            vec!["--text", &body],
        ),
    ] {
        let answered = ask(&request).status(200).json();
        let printed = mails.similar(&words);
        assert_eq!(answered["version"], printed["version"], "{request}");
        assert_eq!(answered["column"], printed["column"], "{request}");
        let (answered, printed) = (found(&answered), found(&printed));
        assert_eq!(answered.len(), printed.len(), "{request}");
        for ((_, a), (_, b)) in answered.iter().zip(&printed) {
            assert!((a - b).abs() < 1e-6, "{request}");
        }
    }
    for (request, status, code) in [
        (json!({}), 400, "similar.query"),
        (json!({"key": {"id": 1}, "text": "x"}), 400, "similar.query"),
        (json!({"key": {"id": 1}, "top": 0}), 400, "similar.top"),
        (json!({"key": {"id": 1}, "top": 1000}), 400, "similar.top"),
        (json!({"key": {"id": "x"}}), 400, "keys.not_a_value"),
        (json!({"row": {"bodi": "x"}}), 400, "row.unknown_column"),
        (
            json!({"key": {"id": 1}, "version": 3}),
            400,
            "job.unknown_version",
        ),
        (
            json!({"key": {"id": 1}, "show": ["subject"]}),
            400,
            "request.json",
        ),
        (json!({"key": {"id": 999}}), 404, "similar.no_prediction"),
        (json!({"key": {"id": WORDLESS}}), 409, "similar.rejected"),
        (json!({"text": "qqq zzz"}), 409, "similar.rejected"),
    ] {
        let reply = ask(&request).status(status);
        assert_eq!(reply.code(), code, "{request}: {}", reply.text());
    }
    served.stop();
}

/// A changed row moves with the next run, and a forgotten one is gone.
fn assert_moves(mails: &Mails) {
    let body = mails.body(9).replace('\'', "''");
    mails.sandbox.cql(&format!(
        "UPDATE {{data}}.mails SET body = '{body}' WHERE id = 7"
    ));
    let scored = mails.score();
    assert_eq!(scored["scored"], json!({"1": 1, "2": 1}), "{scored}");
    for words in [&["9"][..], &["9", "--version", "2"]] {
        let result = mails.similar(&[words, &["--top", "101"]].concat());
        let seven = found(&result).into_iter().find(|(id, _)| *id == 7);
        assert!(
            seven.is_some_and(|(_, similarity)| similarity > 0.9999),
            "{result}"
        );
    }
    assert_nearest(&mails.similar(&["7"]), &mails.vectors(1), 7, 10);

    mails.sandbox.cql("DELETE FROM {data}.mails WHERE id = 7");
    mails.sandbox.json(&["forget", "mails", "7"]).ok();
    for words in [&["9"][..], &["9", "--version", "2"]] {
        let result = mails.similar(&[words, &["--top", "200"]].concat());
        let found = found(&result);
        assert_eq!(found.len(), WITH_VECTORS - 2, "{result}");
        assert!(found.iter().all(|(id, _)| *id != 7), "{result}");
    }
}

#[test]
fn an_index_is_added_kept_and_never_changed_silently() {
    let mails = Mails::new("similar_index");
    mails.create("").ok();
    // Without an index zero vectors are stored.
    let scored = mails.score();
    assert_eq!(scored["rejected"], json!({"1": 1, "2": 1}), "{scored}");
    let refused = mails.try_similar(&["7"]).code(2).json();
    assert_eq!(refused["error"]["code"], "similar.no_index", "{refused}");

    let created = mails.create(", index = \"cosine\"").ok().json();
    assert_eq!(created["warnings"], json!([]), "{created}");
    let ddl = created["result"]["ddl"].as_array().unwrap();
    assert_eq!(ddl.len(), 2, "{created}");
    // The rows that were there are found, and nothing is scored again.
    let again = mails.score();
    assert_eq!(again["scored"], json!({"1": 0, "2": 0}), "{again}");
    let result = mails.similar(&["7", "--top", "999"]);
    assert_eq!(found(&result).len(), WITH_VECTORS - 1, "{result}");
    assert!(
        found(&result)
            .iter()
            .all(|(id, _)| *id != i64::from(WORDLESS))
    );

    let differs = mails.create(", index = \"euclidean\"").code(2).json();
    assert_eq!(differs["error"]["code"], "job.index_differs", "{differs}");
    let help = differs["error"]["help"].as_str().unwrap();
    let drop = help.split('`').nth(1).unwrap().to_owned();
    assert!(drop.starts_with("DROP INDEX "), "{differs}");

    // Cassandra refuses what the index cannot hold, whatever the manifest says of it.
    let kept = mails.create("").ok().json();
    let warnings = kept["warnings"].to_string();
    assert!(warnings.contains("index_kept: "), "{kept}");
    mails
        .sandbox
        .cql("UPDATE {data}.mails SET body = '????' WHERE id = 8");
    let scored = mails.score();
    assert_eq!(scored["state"], "succeeded", "{scored}");
    let row = mails.sandbox.row(
        "SELECT lineage.rejected AS reason FROM {data}.mails_predictions WHERE id = 8 AND model_version = 1",
    );
    assert!(
        row["reason"]
            .as_text()
            .unwrap()
            .starts_with("zero_vector: ")
    );

    mails.sandbox.cql(&drop);
    let created = mails.create(", index = \"euclidean\"").ok().json();
    assert_eq!(created["warnings"], json!([]), "{created}");
    let result = mails.similar(&["9", "--top", "3"]);
    assert_eq!(result["function"], "euclidean", "{result}");
}
