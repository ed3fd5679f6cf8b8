//! What a plan says: every mistake, what has moved since, and comments in Markdown.

use std::collections::BTreeSet;

use super::*;

#[test]
fn the_mistakes_of_five_files_are_told_at_once() {
    let repository = Repository::whole("apply_mistakes");
    repository.write("models/identity/model.toml", "file = \"model.onx\"\n");
    repository.write(
        "jobs/visits.toml",
        "job = \"visits\"\nmodel = \"identity\"\n",
    );
    repository.write("triggers.toml", "[visits.nightly]\ncron = \"often\"\n");
    repository.write(
        "gates.toml",
        "[identity.better]\nmetric = \"mae\"\nlabels = \"y\"\nmin_labelled_rows = 0\n",
    );
    repository.write("alias.toml", "");
    repository.commit();
    let error = repository.plan(&[]).code(2).error();
    let others = error["others"].as_array().unwrap().clone();
    let places: BTreeSet<String> = [error]
        .iter()
        .chain(&others)
        .map(|problem| {
            let place = problem["where"].as_str().unwrap();
            place.split(':').next().unwrap().to_owned()
        })
        .collect();
    let files = [
        "alias.toml",
        "gates.toml",
        "jobs/visits.toml",
        "models/identity/model.toml",
        "triggers.toml",
    ];
    assert_eq!(places, files.map(str::to_owned).into());
    // Both of the gate's.
    assert_eq!(others.len() + 1, 6, "{others:#?}");
    repository.apply(&[]).code(2);
    repository.plan(&["--detailed-exitcode"]).code(1);
}

#[test]
fn names_that_nothing_has_are_mistakes_too() {
    let repository = Repository::whole("apply_names");
    repository.write("triggers.toml", "[visit.nightly]\nevery = \"1h\"\n");
    repository.write(
        "aliases.toml",
        "[identity.champion]\nversion = 7\nmoved_by = \"git\"\n",
    );
    repository.commit();
    let error = repository.plan(&[]).code(2).error();
    let text = error.to_string();
    assert!(text.contains("has a job `visit`"), "{text}");
    assert!(text.contains("model `identity` has no version 7"), "{text}");
    repository.write(
        "models/identity/model.toml",
        "file = \"../../../outside.onnx\"\n",
    );
    repository.sandbox.file("outside.onnx", "x");
    let error = repository.plan(&[]).code(2).error();
    assert_eq!(error["code"], "folder.outside");
}

#[test]
fn a_saved_plan_is_applied_only_while_nothing_has_moved() {
    let repository = Repository::whole("apply_saved");
    let sandbox = &repository.sandbox;
    repository.plan(&["--out", "plan.json"]).ok();
    sandbox
        .helenus(&[
            "gate",
            "add",
            "identity",
            "other",
            "--metric",
            "mae",
            "--labels",
            "a.b.c",
            "--min-labelled-rows",
            "10",
        ])
        .ok();
    let error = repository.apply(&["--plan", "plan.json"]).code(4).error();
    assert_eq!(error["code"], "plan.stale");
    assert!(
        error["message"].as_str().unwrap().contains("database"),
        "{error}"
    );
    repository.plan(&["--out", "plan.json"]).ok();
    repository.model("identity", 1);
    repository.commit();
    let error = repository.apply(&["--plan", "plan.json"]).code(4).error();
    assert!(
        error["message"].as_str().unwrap().contains("folder"),
        "{error}"
    );
    repository.plan(&["--out", "plan.json"]).ok();
    let applied = repository.apply(&["--plan", "plan.json"]).ok().result();
    assert_eq!(applied["changed"], 5);
    repository.apply(&["--plan", "plan.json"]).code(4);
}

#[test]
fn markdown_is_for_a_comment_and_escapes_what_files_say() {
    let repository = Repository::whole("apply_markdown");
    let mut command = repository
        .sandbox
        .command(&["plan", "ml", "--output", "markdown"]);
    command.env("NO_COLOR", "1");
    let shown = crate::support::cli::run(command).ok().stdout;
    assert!(shown.starts_with("### helenus plan for `"), "{shown}");
    assert!(
        shown.contains("| create | `version identity 1` |"),
        "{shown}"
    );
    assert!(shown.contains("```sql\nCREATE TYPE"), "{shown}");
    repository.write("gates.toml", "[identity.better]\nmetric = \"mae\"\nlabels = \"<img src=x>|@you\"\nmin_labelled_rows = 5\n");
    let refused = repository
        .sandbox
        .helenus(&["plan", "ml", "--output", "markdown"])
        .code(2);
    let text = refused.stdout;
    assert!(
        text.contains("**There is no plan:**") && text.contains("&lt;img"),
        "{text}"
    );
    assert!(!text.contains("<img") && !text.contains("@you"), "{text}");
    repository
        .sandbox
        .helenus(&["job", "list", "--output", "markdown"])
        .code(2);
}
