//! A job's life: planned, deleted and restored, followed by another, created twice at once, fed with poison.

use super::*;

#[test]
fn a_plan_shows_ddl_and_mapping_and_changes_nothing() {
    let flowers = Flowers::new("plan");
    let more = "[features]\n\"sepal length\" = { column = \"sepal_length\", null = 5.8 }\n\"sepal width\" = \"sepal_width\"\n\"petal length\" = \"petal_length\"\n\"petal width\" = { column = \"petal_width\", nonfinite = \"reject\" }\n";
    let manifest = flowers.manifest_of("[1, 2]", "flowers", more);
    let plan = flowers.run("plan", &manifest).ok().result();
    assert_eq!(plan["ddl"].as_array().unwrap().len(), 2, "{plan}");
    assert!(plan["ddl"][1].as_str().unwrap().starts_with("CREATE TABLE"));
    let places = &plan["versions"][1]["inputs"][0]["places"];
    assert_eq!(places[0]["feature"], "sepal length");
    assert_eq!(places[0]["null"], "5.8");
    assert_eq!(places[3]["nonfinite"], "reject");
    assert!(flowers.target().is_empty());
    assert!(flowers.rows_of("jobs").is_empty());
    flowers.create(&manifest);
    let text = flowers.sandbox.helenus(&["job", "plan", &flowers.job]).ok();
    assert!(text.stdout.contains("needs no DDL"), "{text:?}");
    assert!(text.stdout.contains("p_setosa"), "{text:?}");
    flowers
        .sandbox
        .helenus(&["job", "plan", "no_such_job"])
        .code(5);
}

#[test]
fn a_deleted_job_scores_nothing_and_comes_back() {
    let flowers = Flowers::new("delete");
    flowers.create(&flowers.manifest(""));
    flowers.sandbox.json(&["score", &flowers.job]).ok();
    let deleted = flowers
        .sandbox
        .helenus(&["job", "delete", &flowers.job])
        .ok();
    assert!(deleted.stdout.contains("stay in"), "{deleted:?}");
    let error = flowers
        .sandbox
        .json(&["score", &flowers.job])
        .code(2)
        .error();
    assert_eq!(error["code"], "job.deleted");
    assert_eq!(flowers.predictions().len(), 3);
    let listed = |options: &[&str]| {
        let jobs = flowers
            .sandbox
            .json(&[&["job", "list"], options].concat())
            .ok()
            .result();
        let jobs = jobs["jobs"].as_array().unwrap().clone();
        jobs.iter().any(|job| job["job"] == flowers.job)
    };
    assert!(!listed(&[]) && listed(&["--all"]));
    flowers.create(&flowers.manifest(""));
    flowers.sandbox.json(&["score", &flowers.job]).ok();
    flowers
        .sandbox
        .helenus(&["job", "pause", &flowers.job])
        .ok();
    assert_eq!(flowers.status()["paused"], true);
    flowers
        .sandbox
        .helenus(&["job", "resume", &flowers.job])
        .ok();
    assert_eq!(flowers.status()["paused"], false);
    flowers
        .sandbox
        .helenus(&["job", "pause", "no_such_job"])
        .code(5);
}

#[test]
fn predictions_are_the_source_of_the_next_job() {
    let flowers = Flowers::new("chain");
    flowers.create(&flowers.manifest_of("[1, 2]", "flowers", ""));
    flowers.sandbox.json(&["score", &flowers.job]).ok();
    let table = format!("{}_predictions", flowers.job);
    let features = "[features]\n\"sepal length\" = \"p_setosa\"\n\"sepal width\" = \"p_versicolor\"\n\"petal length\" = \"p_virginica\"\n\"petal width\" = \"p_setosa\"\n";
    let next = flowers.sandbox.name("next");
    let manifest = |more: &str| {
        flowers
            .manifest_of("[1]", &table, &format!("{more}{features}"))
            .replacen(&flowers.job, &next, 1)
    };
    let output = flowers.run("create", &manifest("")).code(2);
    assert_eq!(
        told(&output.error()),
        pairs(&[("job.source_version", "source")])
    );
    let output = flowers
        .run("create", &manifest("version = \"golden\"\n"))
        .code(2);
    assert_eq!(
        told(&output.error()),
        pairs(&[("job.unknown_alias", "source.version")])
    );
    flowers.create(&manifest("version = 2\n"));
    let scored = flowers.sandbox.json(&["score", &next]).ok().result();
    assert_eq!(scored["source_rows"], 3);
    let columns = flowers.columns(&format!("{next}_predictions"));
    let keys: Vec<_> = columns.iter().filter(|c| !c.contains(" regular")).collect();
    assert_eq!(
        keys,
        ["id int partition_key", "model_version int clustering desc"]
    );
}

#[test]
fn two_processes_that_create_one_job_at_once_both_succeed() {
    let flowers = Flowers::new("race");
    flowers.sandbox.file("job.toml", flowers.manifest(""));
    let arguments = ["job", "create", "job.toml", "--output", "json"];
    let both: Vec<_> = (0..2).map(|_| flowers.sandbox.start(&arguments)).collect();
    for output in both.into_iter().map(|process| process.finish()) {
        assert_eq!(output.ok().result()["state"], "ready");
    }
    assert_eq!(flowers.rows_of("jobs").len(), 1);
    let ready = flowers.rows_of("job_status");
    let ready = ready
        .iter()
        .filter(|row| row["state"].as_text().unwrap() == "ready");
    assert_eq!(ready.count(), 1);
}

#[test]
fn poison_rows_are_rejected_with_their_reasons() {
    let flowers = Flowers::new("poison");
    flowers.create(&flowers.manifest("[rules]\nmax_rejected = 2\n"));
    flowers.cql("INSERT INTO {data}.flowers (id, sepal_length) VALUES (4, 1)");
    flowers.cql("INSERT INTO {data}.flowers (id, sepal_length, sepal_width, petal_length, petal_width) VALUES (5, 1, NaN, 1, 1)");
    flowers.sandbox.json(&["score", &flowers.job]).ok();
    let reason = |id: i32| {
        let rows = flowers.predictions();
        let row = rows.iter().find(|row| row["id"] == CqlValue::Int(id));
        rejection(row.unwrap()).unwrap()
    };
    assert_eq!(reason(4), "null: feature `sepal width` is null");
    assert!(reason(5).starts_with("nan_output: "), "{}", reason(5));
}
