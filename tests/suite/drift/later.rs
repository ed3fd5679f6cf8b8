//! References that versions get after they were registered.

use std::{collections::BTreeMap, process::Command};

use super::{World, verdicts};
use crate::support::required;

const TO_PARQUET: &str = "
import sys
from pyarrow import csv, parquet
parquet.write_table(csv.read_csv(sys.argv[1]), sys.argv[2])
";

#[test]
fn a_version_gets_its_reference_later_from_parquet_as_from_csv() {
    let world = World::new("drift_later", "");
    let sandbox = &world.sandbox;
    let cells = || -> BTreeMap<String, String> {
        let rows = sandbox.rows("SELECT feature, kind, edges, cells, offsets, nulls, mean, std FROM {helenus}.model_references WHERE model = 'tumour' AND version = 1");
        let told = rows.iter().map(|row| {
            (
                row["feature"].as_text().unwrap().clone(),
                format!("{row:?}"),
            )
        });
        told.collect()
    };
    let pushed = cells();
    assert_eq!(pushed.len(), 30);
    sandbox.cql("DELETE FROM {helenus}.model_references WHERE model = 'tumour' AND version = 1");
    world.score(&[]);
    let none = sandbox.json(&["drift", "tumour"]).code(5);
    assert_eq!(none.error()["code"], "drift.none");

    let csv = world.reference("training.csv");
    let parquet = sandbox
        .directory()
        .join("training.parquet")
        .display()
        .to_string();
    let python = Command::new(required("HELENUS_TEST_EXAMPLES"))
        .args(["-c", TO_PARQUET, &csv, &parquet])
        .status();
    assert!(python.unwrap().success());
    let given = sandbox.json(&["model", "reference", "tumour", "1", &parquet]);
    assert_eq!(given.ok().result()["features"], 30);
    assert_eq!(cells(), pushed);
    let again = sandbox.json(&["model", "reference", "tumour", "1", &csv]);
    assert_eq!(again.code(4).error()["code"], "reference.exists");
    let replaced = ["model", "reference", "tumour", "1", &csv, "--replace"];
    assert_eq!(sandbox.json(&replaced).ok().result()["replaced"], true);
    assert_eq!(cells(), pushed);
    world.score(&["--scope", "all"]);
    let found = verdicts(&world.drift(&[]), "reference");
    assert_eq!(found.len(), 30);
    assert!(
        found.values().all(|verdict| verdict == "stable"),
        "{found:?}"
    );

    let other = sandbox.file("other.csv", "id\n1\n").display().to_string();
    let refused = ["model", "reference", "tumour", "1", &other, "--replace"];
    assert_eq!(
        sandbox.json(&refused).code(2).error()["code"],
        "reference.column"
    );
    assert_eq!(cells(), pushed);
    sandbox
        .json(&["model", "reference", "tumour", "7", &csv])
        .code(5);
}
