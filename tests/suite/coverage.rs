//! Aliases move to what readers will find: coverage, and the runs that make it.

use helenus::{
    control::{aliases, requests::day_of},
    process::timeuuid,
    store::registry::alias_requests::AliasRequest,
};
use scylla::value::CqlValue;

use crate::support::{Model, Sandbox, block_on};

/// Two versions of one model, the first the champion and scored by a job that names `versions`.
struct World {
    sandbox: Sandbox,
}

impl World {
    fn new(test: &str, versions: &str) -> Self {
        let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
        Model::named("breast_cancer_lr").load(&sandbox);
        let world = Self { sandbox };
        for folder in ["breast_cancer_lr", "breast_cancer_lgbm"] {
            let push = Model::named(folder).push_arguments("tumour");
            let push: Vec<&str> = push.iter().map(String::as_str).collect();
            world.sandbox.helenus(&push).ok();
        }
        // Nobody reads by an alias that is new.
        world.helenus(&["model", "promote", "tumour", "1"]);
        let manifest = format!(
            "job = \"tumour\"\nmodel = \"tumour\"\nversions = [\"champion\"]\n[source]\ntable = \"{}.biopsies\"\n[outputs]\npositive = \"malignant\"\n",
            world.sandbox.data
        );
        let first = world.sandbox.file("first.toml", &manifest);
        world.helenus(&["job", "create", &first.display().to_string()]);
        if versions != "\"champion\"" {
            world.helenus(&["model", "promote", "tumour", "2", "--now"]);
            world.helenus(&["model", "rollback", "tumour", "--now"]);
            let manifest = manifest.replace("\"champion\"", versions);
            let second = world.sandbox.file("second.toml", manifest);
            world.helenus(&["job", "create", &second.display().to_string()]);
        }
        world.helenus(&["score", "tumour"]);
        world
    }

    #[track_caller]
    fn helenus(&self, arguments: &[&str]) -> serde_json::Value {
        self.sandbox.json(arguments).ok().result()
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], code: &str) -> String {
        let error = self.sandbox.json(arguments).code(4).error();
        assert_eq!(error["code"], code, "{error}");
        error["message"].as_str().unwrap().to_owned()
    }

    fn champion(&self) -> i32 {
        let row = &self.sandbox.rows("SELECT version FROM {helenus}.model_aliases WHERE model = 'tumour' AND alias = 'champion' LIMIT 1")[0];
        row["version"].as_int().unwrap()
    }

    fn evidence(&self) -> String {
        let row = &self.sandbox.rows("SELECT evidence FROM {helenus}.model_aliases WHERE model = 'tumour' AND alias = 'champion' LIMIT 1")[0];
        row["evidence"].as_text().unwrap().clone()
    }

    fn predictions(&self, version: i32) -> usize {
        let rows = self
            .sandbox
            .rows("SELECT model_version FROM {data}.tumour_predictions");
        rows.into_iter()
            .filter(|row| row["model_version"] == CqlValue::Int(version))
            .count()
    }

    /// Asks by a row, as any client may.
    fn ask(&self, columns: &str, values: &str) -> AliasRequest {
        let request = AliasRequest {
            id: timeuuid(),
            ..AliasRequest::default()
        };
        let request = AliasRequest {
            day: day_of(request.id),
            ..request
        };
        self.sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.alias_requests (day, id, model, {columns}) VALUES ('{}', {}, 'tumour', {values})",
            request.day, request.id
        ));
        request
    }

    fn when_covered(&self, version: i32) -> AliasRequest {
        let values = format!("'promote', 'champion', {version}, 'when_covered'");
        self.ask("action, alias, version, coverage", &values)
    }

    fn answer(&self, request: &AliasRequest) -> Option<(String, String)> {
        let select = format!(
            "SELECT answer, reason FROM {{helenus}}.answers WHERE day = '{}' AND id = {}",
            request.day, request.id
        );
        let row = self.sandbox.rows(&select).pop()?;
        let text = |column: &str| row[column].as_text().unwrap().clone();
        Some((text("answer"), text("reason")))
    }

    /// One round of the service, without working on any run.
    fn round(&self) -> aliases::AliasRound {
        block_on(async {
            let store = self.sandbox.store().await;
            aliases::run_once(&store, &mut Default::default())
                .await
                .unwrap()
        })
    }

    fn runs_of(&self, request: &AliasRequest) -> Vec<(String, String)> {
        self.sandbox
            .rows("SELECT run_id, state, request_id FROM {helenus}.runs WHERE job = 'tumour'")
            .into_iter()
            .filter(|row| row["request_id"].as_timeuuid().map(Into::into) == Some(request.id))
            .map(|row| {
                let id = row["run_id"].as_timeuuid().unwrap().to_string();
                (id, row["state"].as_text().unwrap().clone())
            })
            .collect()
    }
}

#[test]
fn a_version_is_promoted_once_it_covers_what_readers_read() {
    let world = World::new("coverage", "\"champion\"");
    let promote = ["model", "promote", "tumour", "2"];
    let said = world.refused(&promote, "alias.not_covered");
    assert!(said.contains("never scored it"), "{said}");
    let asked = world.ask("action, alias, version", "'promote', 'champion', 2");
    world.round();
    let (answer, reason) = world.answer(&asked).unwrap();
    assert_eq!(answer, "refused");
    assert!(
        reason.contains("readers would miss") && reason.contains("when_covered"),
        "{reason}"
    );
    assert_eq!((world.champion(), world.predictions(2)), (1, 0));

    // This login may answer, so it scores the rest itself.
    let moved = world.helenus(&["model", "promote", "tumour", "2", "--when-covered"]);
    assert_eq!(moved["version"], 2, "{moved}");
    assert_eq!((world.champion(), world.predictions(2)), (2, 569));
    let run = world.helenus(&["run", "list", "tumour", "--limit", "1"])[0].clone();
    assert_eq!(run["state"], "succeeded");
    let id = run["run_id"].as_str().unwrap();
    assert!(world.evidence().contains(id), "{} {id}", world.evidence());
    // What was scored for it is what the champion's next run would write.
    let next = world.helenus(&["score", "tumour"]);
    assert_eq!(next["unchanged"]["2"], 569, "{next}");

    // The way back is covered until rows change.
    world.helenus(&["model", "rollback", "tumour"]);
    world
        .sandbox
        .cql("UPDATE {data}.biopsies SET mean_radius = 20.5 WHERE id = 172");
    world.helenus(&["score", "tumour"]);
    let said = world.refused(&promote, "alias.not_covered");
    assert!(said.contains("1 found changed since"), "{said}");
    let moved = world.helenus(&["model", "promote", "tumour", "2", "--now"]);
    assert_eq!(moved["coverage"][0]["changed"], 1, "{moved}");
    assert!(
        world.evidence().starts_with("moved at once"),
        "{}",
        world.evidence()
    );
}

#[test]
fn a_request_that_waits_for_its_run_keeps_nobody_waiting_and_survives_deaths() {
    let world = World::new("covering", "\"champion\"");
    let asked = world.when_covered(2);
    let other = world.ask("action, alias, version", "'promote', 'challenger', 2");
    let round = world.round();
    assert_eq!((round.waiting, round.answered), (1, 1));
    assert_eq!(world.answer(&other).unwrap().0, "done");
    // Whoever looks again, after a death or beside us, finds the run that is open.
    for _ in 0..3 {
        assert_eq!(world.round().waiting, 1);
    }
    assert_eq!(world.runs_of(&asked).len(), 1);
    assert!(world.answer(&asked).is_none());
    assert_eq!((world.champion(), world.predictions(2)), (1, 0));
    world.sandbox.helenus(&["worker", "--once"]).ok();
    assert_eq!(world.answer(&asked).unwrap().0, "done");
    assert_eq!((world.champion(), world.predictions(2)), (2, 569));
    assert!(world.evidence().contains(&world.runs_of(&asked)[0].0));
}

#[test]
fn a_version_stays_covered_however_many_runs_over_keys_follow() {
    let world = World::new("many_runs", "\"champion\", 1, 2");
    for id in 0..220 {
        world.sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.runs (job, run_id, state, scope, keys, versions) VALUES ('tumour', now(), 'succeeded', 'keys', [{{'id': '{id}'}}], {{1}})"
        ));
    }
    world.helenus(&["model", "promote", "tumour", "2"]);
    assert_eq!(world.champion(), 2);
}

#[test]
fn an_alias_does_not_move_on_a_run_that_failed_was_cancelled_or_came_too_late() {
    let world = World::new("uncovered", "\"champion\"");
    // Cancelled.
    let asked = world.when_covered(2);
    world.round();
    let (run, _) = world.runs_of(&asked).pop().unwrap();
    world.helenus(&["run", "cancel", "tumour", &run]);
    world.round();
    let (answer, reason) = world.answer(&asked).unwrap();
    assert!(
        answer == "refused" && reason.contains(&run) && reason.contains("cancelled"),
        "{reason}"
    );
    // Moved by somebody else meanwhile.
    let push = Model::named("breast_cancer_lr").push_arguments("tumour");
    let push: Vec<&str> = push.iter().map(String::as_str).collect();
    world.helenus(&push);
    let asked = world.when_covered(2);
    world.round();
    world.helenus(&["model", "promote", "tumour", "3", "--now"]);
    world.sandbox.helenus(&["worker", "--once"]).ok();
    let (answer, reason) = world.answer(&asked).unwrap();
    assert!(
        answer == "refused" && reason.contains("was moved while"),
        "{reason}"
    );
    assert_eq!(world.champion(), 3);
    world.helenus(&["model", "rollback", "tumour", "--now"]);
    // Failed: a row that no version can score.
    world
        .sandbox
        .cql("INSERT INTO {data}.biopsies (id, mean_radius) VALUES (9001, 14.2)");
    world
        .sandbox
        .cql("UPDATE {data}.biopsies SET mean_radius = 20.5 WHERE id = 172");
    world.sandbox.json(&["score", "tumour"]).code(1);
    world
        .sandbox
        .cql("DELETE FROM {data}.biopsies WHERE id = 9001");
    world.helenus(&["score", "tumour"]);
    world
        .sandbox
        .cql("INSERT INTO {data}.biopsies (id, mean_radius) VALUES (9001, 14.2)");
    let asked = world.when_covered(2);
    world.sandbox.helenus(&["worker", "--once"]).ok();
    let (answer, reason) = world.answer(&asked).unwrap();
    assert!(
        answer == "refused" && reason.contains("failed"),
        "{answer} {reason}"
    );
    assert_eq!(world.champion(), 1);
    // And a word that means nothing.
    let asked = world.ask(
        "action, alias, version, coverage",
        "'promote', 'champion', 2, 'perhaps'",
    );
    world.round();
    assert!(
        world
            .answer(&asked)
            .unwrap()
            .1
            .contains("unknown coverage `perhaps`")
    );
}

#[test]
fn previous_is_kept_ready_for_the_way_back() {
    let world = World::new("previous", "\"champion\", \"previous\"");
    assert_eq!(world.champion(), 1);
    world
        .sandbox
        .cql("UPDATE {data}.biopsies SET mean_radius = 20.5 WHERE id = 172");
    let run = world.helenus(&["score", "tumour"]);
    assert_eq!(
        (&run["scored"]["1"], &run["scored"]["2"]),
        (&1.into(), &1.into()),
        "{run}"
    );
    let said = world.refused(&["model", "retire", "tumour", "2"], "alias.refused");
    assert!(
        said.contains("`previous`") && said.contains("`tumour`"),
        "{said}"
    );
    let back = world.helenus(&["model", "rollback", "tumour"]);
    assert_eq!(
        (&back["version"], &back["coverage"][0]["percent"]),
        (&2.into(), &100.0.into())
    );
}
