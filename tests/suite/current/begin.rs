//! How a job comes by such a table, and when it must not.

use super::*;

#[test]
fn a_table_that_begins_later_is_filled_and_one_that_ends_is_left() {
    let without = MANIFEST.replace("current = true", "");
    let numbers = Numbers::new("later", &without);
    numbers.score(&[]);
    let refused = numbers
        .sandbox
        .json(&["score", "numbers", "--scope", "current"]);
    let refused = refused.code(2).json();
    assert_eq!(
        refused["error"]["code"], "run.no_current_table",
        "{refused}"
    );
    numbers.create(MANIFEST).ok();
    assert_eq!(numbers.worker().len(), 1);
    numbers.assert_current(1);
    // A new output is a new column there, too.
    let more = MANIFEST.replace(
        "[rules]",
        "[outputs.columns]\nalso = { output = \"y\" }\n[rules]",
    );
    numbers.create(&more).ok();
    numbers.worker();
    let row = numbers
        .sandbox
        .row("SELECT also FROM {data}.numbers_current WHERE name = 'patient-7' AND visit = 1");
    assert_eq!(row["also"].as_float(), Some(22.0));
    numbers.create(&without).ok();
    assert_eq!(
        numbers
            .sandbox
            .rows("SELECT job FROM {helenus}.current_tables")
            .len(),
        0
    );
    numbers.score(&[]);
    numbers.promote(2);
    assert_eq!(numbers.worker().len(), 0);
    numbers.create(MANIFEST).ok();
    numbers.worker();
    numbers.assert_current(2);
}

/// A planner that stalled while a revision came that keeps the table would write past it.
#[test]
fn a_run_of_a_revision_from_before_the_table_is_not_begun_after_it() {
    let without = MANIFEST.replace("current = true", "");
    let numbers = Numbers::new("outdated", &without);
    numbers.score(&[]);
    let store = block_on(numbers.sandbox.store());
    let table = helenus::domain::job::manifest::TableName {
        keyspace: numbers.sandbox.data.clone(),
        table: "numbers_current".to_owned(),
    };
    block_on(store.keep_current_table("numbers", "numbers", 2, Some(&table))).unwrap();
    numbers.set("1000");
    let refused = numbers.sandbox.json(&["score", "numbers"]).code(3);
    assert_eq!(refused.error()["code"], "run.outdated", "{refused:?}");
    let runs = block_on(store.runs("numbers", 1)).unwrap();
    assert_eq!(runs[0].state.as_str(), "failed");
    // Nobody is held up by it.
    numbers.create(MANIFEST).ok();
    numbers.score(&[]);
    numbers.assert_current(1);
}

#[test]
fn it_takes_no_name_that_is_somebody_elses() {
    let without = MANIFEST.replace("current = true", "");
    let numbers = Numbers::new("names", &without);
    let refused = |manifest: &str| {
        let said = numbers.create(manifest).code(2).json();
        said["error"]["code"].as_str().unwrap().to_owned()
    };
    numbers
        .sandbox
        .cql("CREATE TABLE {data}.numbers_current (id int PRIMARY KEY)");
    assert_eq!(refused(MANIFEST), "job.target_taken");
    numbers.sandbox.cql("DROP TABLE {data}.numbers_current");
    let twice = MANIFEST.replace(
        "current = true",
        "table = \"{data}.numbers_current\"\ncurrent = true",
    );
    assert_eq!(refused(&twice), "job.name_collision");
    // Nor the source's.
    numbers
        .sandbox
        .cql("CREATE TABLE {data}.own_current (id int PRIMARY KEY, x float)");
    let own = MANIFEST
        .replace("job = \"numbers\"", "job = \"own\"")
        .replace("{data}.numbers", "{data}.own_current");
    assert_eq!(refused(&own), "job.target_is_source");
    // Nobody writes the champion's predictions there.
    assert_eq!(
        refused(&MANIFEST.replace(", \"champion\"", "")),
        "job.manifest"
    );
}
