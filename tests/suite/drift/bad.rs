//! References that cannot be used, by file and by row.

use super::World;
use crate::support::{Model, Sandbox};

#[test]
fn a_reference_that_does_not_fit_is_refused_before_anything_is_registered() {
    let sandbox = Sandbox::shared("drift_bad");
    let name = sandbox.name("bad");
    let model = Model::named("iris_mlp");
    let push = |text: &str| {
        let file = sandbox.file("reference.csv", text);
        let mut push = model.push_arguments(&name);
        push.extend(["--reference".to_owned(), file.display().to_string()]);
        let push: Vec<&str> = push.iter().map(String::as_str).collect();
        sandbox.json(&push).code(2).error()
    };
    let header = "sepal length,sepal width,petal length,petal width";
    let rows = |count: usize, row: &str| format!("{header}\n{}", format!("{row}\n").repeat(count));
    let error = push(&rows(199, "1,2,3,4"));
    assert_eq!(error["code"], "reference.too_few", "{error}");
    let error = push(&rows(200, "1,2,3,"));
    assert_eq!(error["code"], "reference.all_null", "{error}");
    let error = push(&rows(200, "1,2,x,4"));
    assert_eq!(error["code"], "reference.value", "{error}");
    assert!(
        error["where"]
            .as_str()
            .unwrap()
            .contains("line 2, column 5"),
        "{error}"
    );
    let error = push(&format!("{header},species\n1,2,3,4,rose\n"));
    assert_eq!(error["code"], "reference.column", "{error}");
    assert!(
        error["message"].as_str().unwrap().contains("`species`"),
        "{error}"
    );
    let error = push("id\n1\n");
    assert_eq!(error["others"][0]["code"], "reference.missing", "{error}");
    let versions = sandbox.rows(&format!(
        "SELECT version FROM {{helenus}}.model_versions WHERE name = '{name}'"
    ));
    assert!(versions.is_empty());
}

#[test]
fn rows_alone_make_a_reference_and_odd_ones_are_told() {
    let world = World::new("drift_rows", "");
    let sandbox = &world.sandbox;
    sandbox.cql("DELETE FROM {helenus}.model_references WHERE model = 'tumour' AND version = 1");
    sandbox.cql("INSERT INTO {helenus}.model_references (model, version, feature, kind, edges, cells) VALUES ('tumour', 1, 'mean radius', 'ranges', [10, 20], [0, 500, 0])");
    sandbox.cql("INSERT INTO {helenus}.model_references (model, version, feature, kind, edges, cells) VALUES ('tumour', 1, 'mean area', 'ranges', [10, 20], [0, 500])");
    sandbox.cql(
        "INSERT INTO {helenus}.run_requests (day, id, job) VALUES (toDate(now()), now(), 'tumour')",
    );
    sandbox.helenus(&["worker", "--once"]).ok();
    let run = sandbox.row("SELECT state, warnings FROM {helenus}.runs WHERE job = 'tumour'");
    assert_eq!(run["state"].as_text().unwrap(), "succeeded");
    let warnings = format!("{:?}", run["warnings"]);
    assert!(
        warnings.contains("feature `mean area`: 2 cells, not 3"),
        "{warnings}"
    );
    let row =
        sandbox.row("SELECT feature, verdict, n, m FROM {helenus}.drift WHERE job = 'tumour'");
    assert_eq!(row["feature"].as_text().unwrap(), "mean radius");
    assert_eq!(row["verdict"].as_text().unwrap(), "drifted");
    assert_eq!(row["n"].as_bigint(), Some(500));
}
