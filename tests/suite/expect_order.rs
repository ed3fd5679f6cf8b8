//! Expected rows, held against every version whose order of features `[wide]` alone gives: a version
//! that was trained on its features in another order never predicts in silence.

use helenus::{
    control::{
        aliases::{self, Acted},
        requests::day_of,
    },
    domain::answer::AnswerKind,
    process::timeuuid,
    store::registry::alias_requests::AliasRequest,
};
use serde_json::{Value, json};

use crate::support::{Sandbox, block_on};

const EXPECTED: &str = "id,y\n1,21\n2,43\n";

/// y = a + 10 b, trained on (a, b) as version 1 and on (b, a) as version 2; no feature names.
struct Tens(Sandbox);

impl std::ops::Deref for Tens {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.0
    }
}

impl Tens {
    fn new(test: &str) -> Self {
        let tens = Self(Sandbox::migrated(test));
        tens.cql("CREATE TABLE {data}.points (id int PRIMARY KEY, a float, b float)");
        for (id, a, b) in [(1, 1, 2), (2, 3, 4)] {
            tens.cql(&format!(
                "INSERT INTO {{data}}.points (id, a, b) VALUES ({id}, {a}, {b})"
            ));
        }
        tens.push("tens");
        tens.push("tens_swapped");
        tens.helenus(&["model", "promote", "tens", "1"]).ok();
        tens
    }

    fn push(&self, file: &str) {
        let path = format!("{}/tests/models/{file}.onnx", env!("CARGO_MANIFEST_DIR"));
        self.helenus(&["model", "push", "tens", &path]).ok();
    }

    fn manifest(&self, versions: &str, rows: &str) -> String {
        self.filled(&format!(
            "job = \"tens\"\nmodel = \"tens\"\nversions = {versions}\n[source]\ntable = \"{{data}}.points\"\n[features]\na = \"a\"\nb = \"b\"\n[wide.X]\nfor_versions = {versions}\norder = [\"a\", \"b\"]\n[expect]\nrows = \"\"\"\n{rows}\"\"\"\n"
        ))
    }

    fn create(&self, versions: &str, rows: &str) -> crate::support::cli::Output {
        let file = self.file("tens.toml", self.manifest(versions, rows));
        self.json(&["job", "create", file.to_str().unwrap()])
    }

    fn champion(&self) -> i32 {
        let row = self.row("SELECT version FROM {helenus}.model_aliases WHERE model = 'tens' AND alias = 'champion' LIMIT 1");
        row["version"].as_int().unwrap()
    }

    /// What `job show` warns of.
    fn warnings(&self) -> Vec<String> {
        unproven(&self.json(&["job", "show", "tens"]).ok().json())
    }

    #[track_caller]
    fn assert_refused(&self, arguments: &[&str]) {
        let error = self.json(arguments).code(4).error();
        assert_eq!(error["code"], "alias.refused", "{error}");
        let message = error["message"].as_str().unwrap();
        for word in [
            "job `tens`, revision 1,",
            "version 2 of `tens`",
            "id = 1: y is 12.0, expected 21.0",
            "id = 2: y is 34.0, expected 43.0",
        ] {
            assert!(message.contains(word), "{word}: {message}");
        }
        assert_eq!(self.champion(), 1);
    }
}

/// The warnings of an answer that are about order.
fn unproven(answer: &Value) -> Vec<String> {
    let warnings = answer["warnings"].as_array().unwrap().iter();
    let warnings = warnings.map(|warning| warning.as_str().unwrap().to_owned());
    warnings
        .filter(|warning| warning.contains("order_unproven"))
        .collect()
}

#[test]
fn an_alias_does_not_move_to_a_version_of_another_order() {
    let tens = Tens::new("order_promote");
    tens.create("[\"champion\"]", EXPECTED).ok();
    tens.helenus(&["score", "tens"]).ok();
    for how in [&["--when-covered"][..], &["--now"], &[]] {
        let words = [&["model", "promote", "tens", "2"], how].concat();
        if how.is_empty() {
            // It covers nothing, and that is found first.
            tens.json(&words).code(4);
        } else {
            tens.assert_refused(&words);
        }
    }
    // As a row, answered by a worker.
    tens.cql("INSERT INTO {helenus}.alias_requests (day, id, action, model, alias, version, coverage) VALUES (toDate(now()), now(), 'promote', 'tens', 'champion', 2, 'when_covered')");
    tens.json(&["worker", "--once"]).ok();
    assert_eq!(tens.champion(), 1);
    let answers = tens.rows("SELECT answer, reason FROM {helenus}.answers");
    let refused = answers.iter().filter(|row| {
        row["answer"].as_text().unwrap() == "refused"
            && row["reason"]
                .as_text()
                .unwrap()
                .contains("id = 1: y is 12.0, expected 21.0")
    });
    assert_eq!(refused.count(), 3, "{answers:?}");
    // Nothing was scored with it.
    let versions = tens.rows("SELECT model_version FROM {data}.tens_predictions");
    assert!(
        versions
            .iter()
            .all(|row| row["model_version"].as_int() == Some(1))
    );
    // A version of the right order passes, and what was proven is not asked again: its way back is
    // not barred by rows that have changed since.
    tens.push("tens");
    tens.helenus(&["model", "promote", "tens", "3", "--when-covered"])
        .ok();
    assert_eq!(tens.champion(), 3);
    tens.cql("UPDATE {data}.points SET a = 5 WHERE id = 1");
    tens.helenus(&["score", "tens"]).ok();
    tens.helenus(&["model", "rollback", "tens", "--now"]).ok();
    assert_eq!(tens.champion(), 1);
}

/// What a gate that acts asks for goes the same way as a person's request.
#[test]
fn a_gate_does_not_move_it_either() {
    let tens = Tens::new("order_gate");
    tens.create("[\"champion\"]", EXPECTED).ok();
    tens.helenus(&["score", "tens"]).ok();
    let id = timeuuid();
    let request = AliasRequest {
        id,
        day: day_of(id),
        action: Some("promote".to_owned()),
        model: Some("tens".to_owned()),
        alias: Some("champion".to_owned()),
        version: Some(2),
        coverage: Some("when_covered".to_owned()),
        ..AliasRequest::default()
    };
    let acted = block_on(async {
        let store = tens.store().await;
        aliases::serve_directly(&store, &mut Default::default(), &request).await
    });
    match acted.unwrap() {
        Acted::Answered(answer) => {
            assert_eq!(answer.kind, AnswerKind::Refused);
            let reason = answer.reason.unwrap();
            assert!(
                reason.contains("id = 1: y is 12.0, expected 21.0"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(tens.champion(), 1);
}

#[test]
fn rows_hold_for_every_version_of_the_job() {
    let tens = Tens::new("order_versions");
    let error = tens.create("[1, 2]", EXPECTED).code(2).error();
    assert_eq!(error["code"], "job.expect_differs", "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("y is 12.0, expected 21.0") && message.contains("version 2"),
        "{error}"
    );
    // Rows that name a version prove that one alone, and the other is warned of, once.
    let named = "id,model_version,y\n1,1,21\n";
    let created = tens.create("[1, 2]", named).ok().json();
    let warnings = unproven(&created);
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("order_unproven: version 2 "),
        "{created}"
    );
    assert_eq!(tens.warnings(), warnings);
    let scored = tens.json(&["score", "tens"]).ok().json();
    assert_eq!(unproven(&scored), [""; 0], "{scored}");
    let run = tens.row("SELECT warnings FROM {helenus}.runs");
    assert!(!format!("{run:?}").contains("order_unproven"), "{run:?}");
    // Its own rows, as they rightly are.
    let both = "id,model_version,y\n1,1,21\n1,2,12\n";
    let created = tens.create("[1, 2]", both).ok().json();
    assert_eq!(unproven(&created), [""; 0], "{created}");
}

#[test]
fn a_run_with_a_newly_resolved_version_holds_them_too() {
    let tens = Tens::new("order_run");
    tens.create("[\"champion\"]", EXPECTED).ok();
    tens.helenus(&["score", "tens"]).ok();
    // Moved behind everybody's back.
    tens.cql("INSERT INTO {helenus}.model_aliases (model, alias, changed_at, version, last_seq, seq, from_version, to_version) VALUES ('tens', 'champion', now(), 2, 2, 2, 1, 2)");
    for more in [&[][..], &["--dry-run"]] {
        let error = tens.json(&[&["score", "tens"], more].concat()).code(2);
        let error = error.error();
        assert_eq!(error["code"], "job.expect_differs", "{error}");
    }
    let versions: Vec<Value> = tens
        .rows("SELECT model_version FROM {data}.tens_predictions")
        .iter()
        .map(|row| json!(row["model_version"].as_int()))
        .collect();
    assert!(!versions.contains(&json!(2)), "{versions:?}");
}

#[test]
fn a_version_that_no_row_is_about_is_warned_of_once_it_is_the_champion() {
    let tens = Tens::new("order_named");
    let rows = "id,model_version,y\n1,1,21\n";
    tens.create("[\"champion\"]", rows).ok();
    assert_eq!(tens.warnings(), [""; 0]);
    tens.helenus(&["score", "tens"]).ok();
    tens.helenus(&["model", "promote", "tens", "2", "--when-covered"])
        .ok();
    tens.helenus(&["score", "tens"]).ok();
    let warnings = tens.warnings();
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("order_unproven: version 2 "),
        "{warnings:?}"
    );
    // Rows of a version that an alias may move to are written before it does.
    let more = format!("{rows}1,2,12\n1,3,21\n");
    tens.create("[\"champion\"]", &more).ok();
    assert_eq!(tens.warnings(), [""; 0]);
    tens.push("tens");
    tens.helenus(&["model", "promote", "tens", "3", "--when-covered"])
        .ok();
    tens.helenus(&["score", "tens"]).ok();
    assert_eq!(tens.warnings(), [""; 0]);
}

#[test]
fn a_revision_heals_when_its_expected_row_arrives_or_is_mended() {
    let tens = Tens::new("order_heals");
    tens.cql("DELETE FROM {data}.points WHERE id = 2");
    let manifest = tens.manifest("[1]", EXPECTED).replace('\'', "''");
    tens.cql(&format!(
        "INSERT INTO {{helenus}}.jobs (job, revision, manifest) VALUES ('tens', 1, '{manifest}')"
    ));
    let answered = || {
        tens.json(&["worker", "--once"]).ok();
        let shown = tens.json(&["job", "show", "tens"]).ok().result();
        (
            shown["state"].as_str().unwrap().to_owned(),
            shown["problems"].to_string(),
            shown["decided_at"].to_string(),
        )
    };
    let missing = answered();
    assert_eq!(missing.0, "invalid");
    assert!(missing.1.contains("no such row"), "{}", missing.1);
    // The same again while nothing changes.
    assert_eq!(answered(), missing);
    tens.cql("INSERT INTO {data}.points (id, a, b) VALUES (2, 3, 5)");
    let wrong = answered();
    assert_eq!(wrong.0, "invalid");
    assert!(wrong.1.contains("y is 53.0, expected 43.0"), "{}", wrong.1);
    tens.cql("UPDATE {data}.points SET b = 4 WHERE id = 2");
    assert_eq!(answered().0, "ready");
    tens.helenus(&["score", "tens"]).ok();
}
