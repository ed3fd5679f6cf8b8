//! What is refused before anything is made.

use super::*;

#[test]
fn every_missing_thing_is_named_with_the_nearest() {
    let flowers = Flowers::new("missing");
    let manifest = flowers
        .manifest_of(
            "[\"champoin\", 9]",
            "flwers",
            "[features]\n\"sepal length\" = \"sepal_lenght\"\n",
        )
        .replace(&flowers.model, &format!("{}x", flowers.model));
    assert_eq!(
        flowers.refused(&manifest),
        pairs(&[
            ("job.unknown_table", "source.table"),
            ("job.unknown_model", "model")
        ])
    );
    let manifest = flowers.manifest_of("[\"champoin\", 9]", "flwers", "");
    let output = flowers.run("check", &manifest).code(2);
    assert_eq!(
        told(&output.error()),
        pairs(&[
            ("job.unknown_table", "source.table"),
            ("job.unknown_alias", "versions"),
            ("model.no_version", "versions"),
        ])
    );
    let help = output.error()["help"].as_str().unwrap().to_owned();
    assert!(help.contains(".flowers`?"), "{help}");
    let features = "[features]\n\"sepal length\" = \"sepal_lenght\"\n\"sepal width\" = \"sepal_width\"\n\"petal lenght\" = \"petal_length\"\n\"petal width\" = \"petal_width\"\n[outputs.columns]\nsure = { output = \"certainty\" }\np = { output = \"probabilities\", class = \"Setosa\" }\n";
    assert_eq!(
        flowers.refused(&flowers.manifest(features)),
        pairs(&[
            ("job.unknown_class", "outputs.columns.p"),
            ("job.unknown_output", "outputs.columns.sure"),
            ("job.unknown_column", "features.\"sepal length\""),
            ("job.feature_missing", "features"),
        ])
    );
    let elsewhere = "[outputs]\ntable = \"no_such_keyspace.t\"\n";
    assert_eq!(
        flowers.refused(&flowers.manifest(elsewhere)),
        pairs(&[("job.unknown_keyspace", "outputs.table")])
    );
}

#[test]
fn types_and_widths_that_do_not_fit_are_refused() {
    let flowers = Flowers::without_table("types");
    flowers.cql("CREATE TABLE {data}.flowers (id int PRIMARY KEY, a text, b decimal, c timestamp, d vector<float, 3>)");
    let features = "[features]\n\"sepal length\" = \"a\"\n\"sepal width\" = \"b\"\n\"petal length\" = \"c\"\n\"petal width\" = { column = \"d\", width = 4, null = \"none\" }\n";
    assert_eq!(
        flowers.refused(&flowers.manifest(features)),
        pairs(&[
            ("job.feature_type", "features.\"sepal length\""),
            ("job.cast_missing", "features.\"sepal width\""),
            ("job.as_missing", "features.\"petal length\""),
            ("job.width", "features.\"petal width\".width"),
            ("job.null_value", "features.\"petal width\".null"),
        ])
    );
    let features = features
        .replace("\"a\"", "\"id\"")
        .replace("\"b\"", "{ column = \"b\", cast = \"float\" }")
        .replace("\"c\"", "{ column = \"c\", as = \"epoch_days\" }")
        .replace(", width = 4, null = \"none\"", "");
    assert_eq!(
        flowers.refused(&flowers.manifest(&features)),
        pairs(&[("job.width", "features")])
    );
}

#[test]
fn malformed_manifests_are_placed_by_file_line_and_column() {
    let flowers = Flowers::new("malformed");
    for (text, place) in [
        ("job = \"x\"\nmodel =\n", "job.toml: line 2, column 8"),
        (
            &flowers.manifest("[rules]\norfans = \"keep\"\n"),
            "job.toml: line 7, column 1",
        ),
    ] {
        let error = flowers.run("create", text).code(2).error();
        assert_eq!(told(&error), pairs(&[("job.manifest", place)]));
    }
    let missing = flowers
        .sandbox
        .json(&["job", "create", "absent.toml"])
        .code(2);
    assert_eq!(missing.error()["where"], "absent.toml");
    flowers.sandbox.file("latin1.toml", b"job = \"\xe9\"");
    let error = flowers
        .sandbox
        .json(&["job", "check", "latin1.toml"])
        .code(2);
    assert_eq!(error.error()["code"], "file.unusable");
}

#[test]
fn names_that_collide_are_refused() {
    let flowers = Flowers::without_table("collide");
    flowers.cql(&format!(
        "CREATE TABLE {{data}}.flowers (label int PRIMARY KEY, {COLUMNS})"
    ));
    assert_eq!(
        flowers.refused(&flowers.manifest("")),
        pairs(&[("job.name_collision", "outputs.columns")])
    );
    flowers.cql(&format!(
        "CREATE TABLE {{data}}.versioned (id int, model_version int, {COLUMNS}, PRIMARY KEY (id, model_version))"
    ));
    assert_eq!(
        flowers.refused(&flowers.manifest_of("[1]", "versioned", "")),
        pairs(&[("job.reserved_name", "source.table")])
    );
    let renamed = "[outputs.columns]\nspecies = { output = \"label\" }\n";
    assert_eq!(flowers.create(&flowers.manifest(renamed))["state"], "ready");
}

#[test]
fn a_prediction_table_belongs_to_one_job() {
    let flowers = Flowers::new("owner");
    let table = "[outputs]\ntable = \"{data}.shared_predictions\"\n";
    flowers.create(&flowers.manifest(table));
    let other = flowers
        .manifest(table)
        .replace(&flowers.job, &flowers.sandbox.name("other"));
    let output = flowers.run("create", &other).code(2);
    assert_eq!(
        told(&output.error()),
        pairs(&[("job.target_claimed", "outputs.table")])
    );
    let onto = flowers
        .manifest("[outputs]\ntable = \"{data}.flowers\"\n")
        .replace(&flowers.job, &flowers.sandbox.name("third"));
    let output = flowers.run("create", &onto).code(2);
    assert_eq!(
        told(&output.error()),
        pairs(&[
            ("job.target_is_source", "outputs.table"),
            ("job.target_taken", "outputs.table")
        ])
    );
}

#[test]
fn versions_of_other_classes_need_another_job() {
    let flowers = Flowers::new("fit");
    let output = flowers
        .run("create", &flowers.manifest_of("[1, 3]", "flowers", ""))
        .code(2);
    let told = told(&output.error());
    assert!(
        told.iter()
            .all(|(code, _)| code == "job.version_does_not_fit"),
        "{told:?}"
    );
    let help = output.error()["help"].as_str().unwrap().to_owned();
    assert!(help.contains("another job"), "{help}");
    flowers.create(&flowers.manifest_of("[1, 2]", "flowers", ""));
    // Nor can it join by a new revision.
    let output = flowers
        .run("create", &flowers.manifest_of("[3]", "flowers", ""))
        .code(2);
    assert_eq!(output.error()["code"], "job.version_does_not_fit");
}
