//! `helenus plan` and `helenus apply`: a folder of Git as the desired state.

mod plans;

use std::fs;

use crate::support::{cli::Running, repository::Repository};

const FIRST: [&str; 5] = [
    "version identity 1: create",
    "alias identity/champion: create",
    "job visits: create",
    "trigger visits/nightly: create",
    "gate identity/better: create",
];

#[test]
fn a_plan_writes_nothing_an_apply_writes_all_and_a_second_one_nothing() {
    let repository = Repository::whole("apply_whole");
    let sandbox = &repository.sandbox;
    let planned = repository.plan(&["--detailed-exitcode"]).code(2).result();
    assert_eq!(repository.steps(&planned), FIRST);
    assert_eq!(planned["changes"], 5);
    let ddl = planned["steps"][2]["ddl"].to_string();
    assert!(ddl.contains("CREATE TABLE"), "{ddl}");
    let nothing: i64 = repository.counts().iter().map(|(_, count)| count).sum();
    assert_eq!(nothing, 0, "{:?}", repository.counts());

    let applied = repository.apply(&[]).ok().result();
    assert_eq!(applied["changed"], 5);
    let author = format!("git:{}", applied["commit"].as_str().unwrap());
    let version = sandbox.row(
        "SELECT registered_by, tags FROM {helenus}.model_versions WHERE name = 'identity' AND version = 1",
    );
    assert_eq!(version["registered_by"].as_text(), Some(&author));
    let shown = sandbox.json(&["model", "show", "identity", "1"]).ok();
    let tags = &shown.result()["registered"]["tags"];
    assert_eq!(tags["git.commit"], applied["commit"]);
    assert_eq!(tags["team"], "clinic");
    for (table, column) in [
        ("jobs", "created_by"),
        ("triggers", "created_by"),
        ("gates", "created_by"),
        ("alias_requests", "requested_by"),
        ("model_aliases", "who"),
    ] {
        let row = sandbox.row(&format!("SELECT {column} FROM {{helenus}}.{table}"));
        assert_eq!(row[column].as_text(), Some(&author), "{table}");
    }
    sandbox.helenus(&["score", "visits"]).ok();

    let counts = repository.counts();
    let again = repository.apply(&[]).ok().result();
    assert_eq!(again["changed"], 0);
    assert_eq!(repository.steps(&again), [""; 0]);
    assert_eq!(repository.counts(), counts);
    let planned = repository.plan(&["--detailed-exitcode"]).ok().result();
    assert_eq!(planned["changes"], 0);
}

#[test]
fn each_change_of_the_folder_is_one_step_and_says_what_differs() {
    let repository = Repository::whole("apply_change");
    let sandbox = &repository.sandbox;
    repository.apply(&[]).ok();
    sandbox.helenus(&["score", "visits"]).ok();

    repository.job("visits", "[rules]\nmax_rejected = 3\n");
    repository.write("triggers.toml", "[visits.nightly]\ncron = \"0 3 * * *\"\n");
    repository.write(
        "gates.toml",
        "[identity.better]\nmetric = \"mae\"\nlabels = \"clinic.outcomes.y\"\nmin_labelled_rows = 900\n",
    );
    let commit = repository.commit();
    let planned = repository.plan(&[]).ok().result();
    let changes = [
        "job visits: change",
        "trigger visits/nightly: change",
        "gate identity/better: change",
    ];
    assert_eq!(repository.steps(&planned), changes);
    let job = repository.details(&planned, "job");
    assert_eq!(job, "rules.max_rejected: none → 3");
    let trigger = repository.details(&planned, "trigger");
    assert!(
        trigger.contains("cron: \"30 2 * * *\" → \"0 3 * * *\""),
        "{trigger}"
    );
    assert!(trigger.contains("overlap: \"skip\" → none"), "{trigger}");
    let gate = repository.details(&planned, "gate");
    assert_eq!(gate, "min_labelled_rows: 500 → 900");
    let applied = repository.apply(&[]).ok().result();
    assert_eq!(applied["changed"], 3);
    let rows = sandbox.rows("SELECT revision, created_by FROM {helenus}.jobs WHERE job = 'visits'");
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[0]["created_by"].as_text(),
        Some(&format!("git:{commit}"))
    );

    // Other bytes: a new version, scored before the champion moves to it.
    repository.model("identity", 1);
    repository.commit();
    let planned = repository.plan(&[]).ok().result();
    assert_eq!(
        repository.steps(&planned),
        [
            "version identity 2: create",
            "alias identity/champion: change"
        ]
    );
    repository.apply(&[]).ok();
    let scored = sandbox.row("SELECT count(*) AS n FROM {data}.visits_predictions WHERE model_version = 2 ALLOW FILTERING");
    assert_eq!(scored["n"].as_bigint(), Some(20));
    let shown = sandbox.json(&["model", "list", "identity"]).ok();
    let text = shown.result().to_string();
    assert!(text.contains("champion"), "{text}");
    assert_eq!(repository.plan(&[]).ok().result()["changes"], 0);

    // The old bytes again are version 1, which is there.
    repository.model("identity", 0);
    repository.commit();
    let planned = repository.plan(&[]).ok().result();
    assert_eq!(
        repository.steps(&planned),
        ["alias identity/champion: change"]
    );
}

#[test]
fn what_people_did_meanwhile_is_shown_and_undone_only_where_git_decides() {
    let repository = Repository::whole("apply_drift");
    let sandbox = &repository.sandbox;
    repository.write(
        "aliases.toml",
        "[identity.champion]\nversion = \"folder\"\nmoved_by = \"git\"\n[identity.canary]\nversion = 1\nmoved_by = \"people\"\n",
    );
    repository.commit();
    repository.apply(&[]).ok();
    let file = sandbox.file(
        "by_hand.onnx",
        fs::read(repository.folder.join("models/identity/model.onnx")).unwrap(),
    );
    sandbox
        .helenus(&[
            "model",
            "push",
            "identity",
            file.to_str().unwrap(),
            "--rtol",
            "1e-3",
        ])
        .ok();
    for alias in ["champion", "canary"] {
        sandbox
            .helenus(&[
                "model", "promote", "identity", "2", "--alias", alias, "--now",
            ])
            .ok();
    }
    sandbox
        .helenus(&["trigger", "pause", "visits", "nightly"])
        .ok();
    sandbox
        .helenus(&["trigger", "add", "visits", "by_hand", "--every", "1h"])
        .ok();
    let planned = repository.plan(&[]).ok().result();
    assert_eq!(
        repository.steps(&planned),
        [
            "trigger visits/by_hand: leave",
            "alias identity/canary: leave",
            "alias identity/champion: change",
        ]
    );
    let details = repository.details(&planned, "alias");
    assert!(details.contains("version: 2 → 1"), "{details}");
    assert!(details.contains("drift: `"), "{details}");
    assert!(
        details.contains("people move it: it points at 2, the folder names 1"),
        "{details}"
    );
    repository.apply(&[]).ok();
    let at = |alias: &str| {
        let row = sandbox.row(&format!("SELECT version FROM {{helenus}}.model_aliases WHERE model = 'identity' AND alias = '{alias}' LIMIT 1"));
        row["version"].as_int().unwrap()
    };
    assert_eq!((at("champion"), at("canary")), (1, 2));
    let paused = sandbox
        .row("SELECT paused FROM {helenus}.triggers WHERE job = 'visits' AND name = 'nightly'");
    assert_eq!(paused["paused"].as_boolean(), Some(true));
}

#[test]
fn what_left_the_folder_is_kept_until_it_is_pruned_and_predictions_always() {
    let repository = Repository::whole("apply_prune");
    let sandbox = &repository.sandbox;
    repository.apply(&[]).ok();
    sandbox.helenus(&["score", "visits"]).ok();
    sandbox
        .helenus(&["trigger", "add", "visits", "by_hand", "--every", "1h"])
        .ok();
    for file in ["triggers.toml", "gates.toml", "jobs/visits.toml"] {
        repository.remove(file);
    }
    repository.commit();
    let kept = [
        "job visits: leave",
        "trigger visits/by_hand: leave",
        "trigger visits/nightly: leave",
        "gate identity/better: leave",
    ];
    let applied = repository.apply(&[]).ok().result();
    assert_eq!(
        (applied["changed"].clone(), repository.steps(&applied)),
        (0.into(), kept.map(str::to_owned).into())
    );

    // Made by a commit that this repository does not have: another team's.
    let author = "UPDATE {helenus}.gates SET created_by = 'git:0123456789012345678901234567890123456789' WHERE model = 'identity' AND name = 'better'";
    sandbox.cql(author);
    let pruned = repository.apply(&["--prune"]).ok().result();
    assert_eq!(
        repository.steps(&pruned),
        [
            "trigger visits/by_hand: leave",
            "gate identity/better: leave",
            "trigger visits/nightly: remove",
            "job visits: remove",
        ]
    );
    let listed = sandbox.json(&["trigger", "list"]).ok().result().to_string();
    assert!(
        listed.contains("by_hand") && !listed.contains("nightly"),
        "{listed}"
    );
    sandbox.helenus(&["score", "visits"]).code(2);
    let left = sandbox.row("SELECT count(*) AS n FROM {data}.visits_predictions");
    assert_eq!(left["n"].as_bigint(), Some(20));

    // It comes back with its file.
    repository.job("visits", "");
    repository.commit();
    let applied = repository.apply(&[]).ok().result();
    assert_eq!(applied["changed"], 1);
    sandbox.helenus(&["score", "visits"]).ok();
}

#[test]
fn a_refused_model_or_wrong_expectation_leaves_everything_as_it_was() {
    let repository = Repository::whole("apply_refused");
    repository.write("models/identity/model.onnx", "not a model");
    repository.commit();
    for output in [repository.plan(&[]), repository.apply(&[])] {
        let error = output.code(1).error();
        assert!(
            error["where"]
                .as_str()
                .unwrap()
                .contains("models/identity/model.toml"),
            "{error}"
        );
    }
    let exit = repository.plan(&["--detailed-exitcode"]);
    exit.code(1);

    repository.model("identity", 0);
    repository.write("jobs/expected.csv", "id,y\n3,3.5\n4,44\n");
    repository.job("visits", "[expect]\nfile = \"expected.csv\"\n");
    repository.commit();
    let error = repository.apply(&[]).code(1).error();
    assert_eq!(error["code"], "job.expect_differs");
    assert!(
        error["message"].as_str().unwrap().starts_with("id = 4: "),
        "{error}"
    );
    let nothing: i64 = repository.counts().iter().map(|(_, count)| count).sum();
    assert_eq!(nothing, 0);

    repository.write("jobs/expected.csv", "id,y\n3,3.5\n4,4.5\n");
    repository.commit();
    repository.apply(&[]).ok();
}

#[test]
fn only_committed_files_are_applied_unless_asked() {
    let repository = Repository::whole("apply_dirty");
    repository.model("identity", 1);
    let error = repository.apply(&[]).code(2).error();
    assert_eq!(error["code"], "apply.commit");
    repository.plan(&[]).ok();
    let applied = repository.apply(&["--allow-dirty"]).ok().result();
    assert!(
        applied["commit"].as_str().unwrap().ends_with("+changes"),
        "{applied}"
    );
    // Outside of Git a commit must be named.
    fs::remove_dir_all(repository.folder.join(".git")).unwrap();
    repository.apply(&[]).code(2);
    let applied = repository.apply(&["--commit", "abc"]).ok().result();
    assert_eq!(
        (applied["commit"].clone(), applied["changed"].clone()),
        ("abc".into(), 0.into())
    );
}

#[test]
fn two_applies_at_once_end_as_one() {
    let repository = Repository::whole("apply_twice");
    let both = [(); 2].map(|()| Running::start(repository.command("apply", &[])));
    for output in both.map(Running::finish) {
        assert!(matches!(output.code, Some(0 | 4)), "{output:#?}");
    }
    assert_eq!(repository.apply(&[]).ok().result()["changed"], 0);
    let sandbox = &repository.sandbox;
    assert_eq!(
        sandbox
            .rows("SELECT version FROM {helenus}.model_versions")
            .len(),
        1
    );
    assert_eq!(sandbox.rows("SELECT revision FROM {helenus}.jobs").len(), 1);
    let moves = sandbox.rows("SELECT seq FROM {helenus}.model_aliases");
    assert_eq!(moves.len(), 1);
}

#[test]
fn folders_with_numbers_are_the_versions_with_these_numbers() {
    let repository = Repository::new("apply_numbered");
    for number in [1, 2] {
        repository.model(&format!("identity/{number}"), number);
    }
    repository.write("aliases.toml", "[identity.champion]\nversion = 1\nmoved_by = \"git\"\n[identity.challenger]\nversion = \"folder\"\nmoved_by = \"git\"\n");
    repository.commit();
    let applied = repository.apply(&[]).ok().result();
    assert_eq!(applied["changed"], 4);
    let at = |alias: &str| {
        let sandbox = &repository.sandbox;
        sandbox.row(&format!("SELECT version FROM {{helenus}}.model_aliases WHERE model = 'identity' AND alias = '{alias}' LIMIT 1"))["version"].as_int()
    };
    assert_eq!((at("champion"), at("challenger")), (Some(1), Some(2)));
    // A version never changes, and none is left out.
    repository.model("identity/2", 5);
    repository.model("identity/4", 4);
    let text = repository.plan(&[]).code(2).error().to_string();
    assert!(
        text.contains("version 2 of model `identity` is registered with other content"),
        "{text}"
    );
    assert!(
        text.contains("version 4 of model `identity` is out of order"),
        "{text}"
    );
}

#[test]
fn an_experiment_is_started_changed_by_a_revision_and_stopped_with_its_file() {
    let repository = Repository::new("apply_experiment");
    let sandbox = &repository.sandbox;
    sandbox.cql("CREATE TABLE {data}.outcomes (id int PRIMARY KEY, y float, known_at timestamp)");
    for number in [1, 2] {
        repository.model(&format!("identity/{number}"), number);
    }
    repository.write(
        "jobs/visits.toml",
        "job = \"visits\"\nmodel = \"identity\"\nversions = [\"champion\", 1, 2]\n[source]\ntable = \"{data}.visits\"\n",
    );
    repository.write(
        "aliases.toml",
        "[identity.champion]\nversion = 1\nmoved_by = \"git\"\n",
    );
    let experiment = |margin: &str| {
        repository.write(
            "experiments.toml",
            format!("[visits.sharper]\narms = {{ control = \"champion\", sharper = 2 }}\nmetric = \"mae\"\nlabels = \"{{data}}.outcomes.y\"\nends = \"2999-01-31T00:00:00Z\"\nmargin = {margin}\n"),
        );
        repository.commit();
    };
    experiment("0.5");
    // The champion, which the arms name, is made by the same apply.
    let applied = repository.apply(&[]).ok().result();
    assert_eq!(applied["changed"], 5);
    let newest = || {
        let row = sandbox.row("SELECT revision, margin, stopped FROM {helenus}.experiments WHERE job = 'visits' AND name = 'sharper' LIMIT 1");
        let stopped = row.get("stopped").and_then(|stopped| stopped.as_boolean());
        (
            row["revision"].as_int().unwrap(),
            row["margin"].as_double().unwrap(),
            stopped,
        )
    };
    assert_eq!(newest(), (1, 0.5, None));
    assert_eq!(repository.apply(&[]).ok().result()["changed"], 0);
    experiment("0.25");
    let applied = repository.apply(&[]).ok().result();
    assert_eq!(applied["changed"], 1);
    let details = repository.details(&applied, "experiment");
    assert!(details.contains("margin: 0.5 → 0.25"), "{details}");
    assert_eq!(newest(), (2, 0.25, None));
    repository.remove("experiments.toml");
    repository.commit();
    assert_eq!(repository.apply(&[]).ok().result()["changed"], 0);
    assert_eq!(repository.apply(&["--prune"]).ok().result()["changed"], 1);
    assert_eq!(newest(), (2, 0.25, Some(true)));
}
