//! Jobs: what is refused before anything is made, what is made, and what a revision changes.

use std::sync::OnceLock;

use scylla::value::CqlValue;
use serde_json::Value;

use crate::support::{Model, Sandbox, cli::Output, model::rejection};

/// Three iris classifiers' worth of registry in the keyspace that tests share: versions 1 and 2 of
/// a model are the same multi-layer perceptron (label and three probabilities), 3 is a clustering
/// (label as a number, four distances).
fn iris(sandbox: &Sandbox) -> String {
    static IRIS: OnceLock<String> = OnceLock::new();
    IRIS.get_or_init(|| {
        let name = sandbox.name("iris");
        push(sandbox, "iris_mlp", &name);
        push(sandbox, "iris_mlp", &name);
        push(sandbox, "iris_kmeans", &name);
        name
    })
    .clone()
}

fn push(sandbox: &Sandbox, folder: &str, name: &str) {
    let arguments = Model::named(folder).push_arguments(name);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    sandbox.helenus(&arguments).ok();
}

/// A user's table of flowers, and a job over it.
struct Flowers {
    sandbox: Sandbox,
    job: String,
    model: String,
}

const COLUMNS: &str =
    "sepal_length float, sepal_width float, petal_length float, petal_width float";

impl Flowers {
    fn new(test: &str) -> Self {
        let flowers = Self::without_table(test);
        flowers.cql(&format!(
            "CREATE TABLE {{data}}.flowers (id int PRIMARY KEY, {COLUMNS})"
        ));
        for (id, values) in [
            (1, "5.1, 3.5, 1.4, 0.2"),
            (2, "7.0, 3.2, 4.7, 1.4"),
            (3, "6.3, 3.3, 6.0, 2.5"),
        ] {
            flowers.cql(&format!("INSERT INTO {{data}}.flowers (id, sepal_length, sepal_width, petal_length, petal_width) VALUES ({id}, {values})"));
        }
        flowers
    }

    fn without_table(test: &str) -> Self {
        let sandbox = Sandbox::shared(test);
        let model = iris(&sandbox);
        let job = sandbox.name("job");
        Self {
            sandbox,
            job,
            model,
        }
    }

    fn cql(&self, statement: &str) {
        self.sandbox.cql(statement);
    }

    /// A manifest over version 1 and the table `flowers`, with `more` after its head.
    fn manifest(&self, more: &str) -> String {
        self.manifest_of("[1]", "flowers", more)
    }

    fn manifest_of(&self, versions: &str, table: &str, more: &str) -> String {
        format!(
            "job = \"{}\"\nmodel = \"{}\"\nversions = {versions}\n[source]\ntable = \"{}.{table}\"\n{}",
            self.job,
            self.model,
            self.sandbox.data,
            self.sandbox.filled(more)
        )
    }

    fn run(&self, command: &str, manifest: &str) -> Output {
        self.sandbox.file("job.toml", manifest);
        self.sandbox.json(&["job", command, "job.toml"])
    }

    fn create(&self, manifest: &str) -> Value {
        self.run("create", manifest).ok().result()
    }

    /// The codes of everything that is wrong with a manifest; nothing may have been written.
    #[track_caller]
    fn refused(&self, manifest: &str) -> Vec<(String, String)> {
        let output = self.run("create", manifest).code(2);
        assert!(self.rows_of("jobs").is_empty());
        assert!(self.target().is_empty());
        told(&output.error())
    }

    fn rows_of(&self, table: &str) -> Vec<crate::support::cassandra::Named> {
        self.sandbox.rows(&format!(
            "SELECT * FROM {{helenus}}.{table} WHERE job = '{}'",
            self.job
        ))
    }

    /// `name type kind` of the prediction table's columns.
    fn target(&self) -> Vec<String> {
        self.columns(&format!("{}_predictions", self.job))
    }

    fn columns(&self, table: &str) -> Vec<String> {
        let rows = self.sandbox.rows(&format!("SELECT column_name, type, kind, clustering_order FROM system_schema.columns WHERE keyspace_name = '{{data}}' AND table_name = '{table}'"));
        let text = |value: &CqlValue| value.as_text().cloned().unwrap_or_default();
        rows.iter()
            .map(|row| {
                let order = match text(&row["clustering_order"]).as_str() {
                    "none" => String::new(),
                    order => format!(" {order}"),
                };
                format!(
                    "{} {} {}{order}",
                    text(&row["column_name"]),
                    text(&row["type"]),
                    text(&row["kind"])
                )
            })
            .collect()
    }

    fn predictions(&self) -> Vec<crate::support::cassandra::Named> {
        self.sandbox
            .rows(&format!("SELECT * FROM {{data}}.{}_predictions", self.job))
    }

    fn status(&self) -> Value {
        self.sandbox.json(&["job", "show", &self.job]).ok().result()
    }
}

/// `(code, where)` of an error and those beside it.
fn told(error: &Value) -> Vec<(String, String)> {
    let others = error["others"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    [error.clone()]
        .iter()
        .chain(&others)
        .map(|problem| (text(&problem["code"]), text(&problem["where"])))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(code, place)| ((*code).to_owned(), (*place).to_owned()))
        .collect()
}

#[test]
fn a_job_makes_the_table_that_its_predictions_need() {
    let flowers = Flowers::new("makes");
    let created = flowers.create(&flowers.manifest(""));
    assert_eq!(created["state"], "ready");
    assert_eq!(created["revision"], 1);
    assert_eq!(
        flowers.target(),
        [
            "id int partition_key",
            "label text regular",
            "lineage frozen<helenus_lineage> regular",
            "model_version int clustering desc",
            "p_setosa float regular",
            "p_versicolor float regular",
            "p_virginica float regular",
        ]
    );
    flowers.sandbox.json(&["score", &flowers.job]).ok();
    let predictions = flowers.predictions();
    let label = |id: i32| {
        let row = predictions
            .iter()
            .find(|row| row["id"] == CqlValue::Int(id));
        row.unwrap()["label"].as_text().unwrap().clone()
    };
    assert_eq!(
        [label(1), label(2), label(3)],
        ["setosa", "versicolor", "virginica"]
    );
}

#[test]
fn any_primary_key_will_do() {
    let flowers = Flowers::without_table("keys");
    flowers.cql("CREATE TYPE {data}.\"Place\" (street text, no int)");
    flowers.cql(&format!(
        "CREATE TABLE {{data}}.\"OddKeys\" (
            \"Region\" text, p_decimal decimal, p_blob blob,
            c_ascii ascii, c_bigint bigint, c_boolean boolean, c_date date, c_decimal decimal, c_double double, c_float float,
            c_inet inet, c_int int, c_smallint smallint, c_time time, c_timestamp timestamp, c_timeuuid timeuuid,
            c_tinyint tinyint, c_uuid uuid, c_varint varint, c_list frozen<list<int>>, c_set frozen<set<text>>,
            c_map frozen<map<text, int>>, c_tuple frozen<tuple<int, text>>, c_udt frozen<\"Place\">, \"c vector\" vector<float, 2>,
            {COLUMNS}, shared float static,
            PRIMARY KEY ((\"Region\", p_decimal, p_blob), c_ascii, c_bigint, c_boolean, c_date, c_decimal, c_double, c_float,
                c_inet, c_int, c_smallint, c_time, c_timestamp, c_timeuuid, c_tinyint, c_uuid, c_varint, c_list, c_set,
                c_map, c_tuple, c_udt, \"c vector\")
        ) WITH CLUSTERING ORDER BY (c_ascii DESC, c_bigint ASC, c_boolean DESC, c_date ASC, c_decimal DESC, c_double ASC, c_float DESC,
                c_inet ASC, c_int DESC, c_smallint ASC, c_time DESC, c_timestamp ASC, c_timeuuid DESC, c_tinyint ASC, c_uuid DESC,
                c_varint ASC, c_list DESC, c_set ASC, c_map DESC, c_tuple ASC, c_udt DESC, \"c vector\" ASC)"
    ));
    for (number, decimal) in [(1, "1.00"), (2, "1E2")] {
        flowers.cql(&format!(
            "INSERT INTO {{data}}.\"OddKeys\" (\"Region\", p_decimal, p_blob, c_ascii, c_bigint, c_boolean, c_date, c_decimal, c_double, c_float,
                c_inet, c_int, c_smallint, c_time, c_timestamp, c_timeuuid, c_tinyint, c_uuid, c_varint, c_list, c_set, c_map, c_tuple,
                c_udt, \"c vector\", sepal_length, sepal_width, petal_length, petal_width)
             VALUES ('', {decimal}, 0x00ff, 'a', {number}, true, '1969-12-31', {decimal}, -0.0, NaN,
                '2001:db8::1', -1, 2, '13:30:54.234', '2024-01-31T12:00:00Z', 50554d6e-29bb-11e5-b345-feff819cdc9f, 3,
                123e4567-e89b-42d3-a456-426614174000, 123456789012345678901, [1, 2], {{'b', 'a'}}, {{'k': 1}}, (1, null),
                {{street: 's', no: 1}}, [0.5, 1.5], 5.1, 3.5, 1.4, 0.2)"
        ));
    }
    // A partition that holds static columns only is no row.
    flowers.cql("INSERT INTO {data}.\"OddKeys\" (\"Region\", p_decimal, p_blob, shared) VALUES ('s', 1, 0x, 7)");
    // A key column may be a feature, too.
    let features = "[features]\n\"sepal length\" = \"sepal_length\"\n\"sepal width\" = \"sepal_width\"\n\"petal length\" = \"petal_length\"\n\"petal width\" = \"c_smallint\"\n";
    flowers.create(&flowers.manifest_of("[1]", "OddKeys", features));
    let key = |table: &str| -> Vec<String> {
        let columns = flowers.columns(table).into_iter();
        columns
            .filter(|column| column.contains("partition_key") || column.contains("clustering"))
            .filter(|column| !column.starts_with("model_version"))
            .collect()
    };
    assert_eq!(key(&format!("{}_predictions", flowers.job)), key("OddKeys"));
    let first = flowers.sandbox.json(&["score", &flowers.job]).ok().result();
    assert_eq!(first["scored"]["1"], 2, "{first}");
    let second = flowers.sandbox.json(&["score", &flowers.job]).ok().result();
    assert_eq!(second["unchanged"]["1"], 2, "{second}");
}

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

#[test]
fn revisions_add_columns_and_never_drop_any() {
    let flowers = Flowers::new("evolve");
    flowers.create(&flowers.manifest("[outputs.columns]\nsure = { output = \"probabilities\" }\n"));
    flowers.sandbox.json(&["score", &flowers.job]).ok();
    assert!(flowers.predictions()[0].contains_key("sure"));
    flowers.cql(&format!(
        "ALTER TABLE {{data}}.{}_predictions ADD remark text",
        flowers.job
    ));
    flowers.cql(&format!(
        "INSERT INTO {{data}}.{}_predictions (id, model_version, remark) VALUES (1, 1, 'mine')",
        flowers.job
    ));
    let second = flowers.run("create", &flowers.manifest("")).ok();
    assert_eq!(second.result()["revision"], 2);
    let warnings = second.json()["warnings"].to_string();
    assert!(
        warnings.contains("target_stranger") && warnings.contains("`remark`"),
        "{warnings}"
    );
    let states: Vec<_> = flowers
        .rows_of("job_status")
        .iter()
        .map(|row| row["state"].as_text().unwrap().clone())
        .collect();
    assert_eq!(states, ["ready", "superseded"]);
    flowers.sandbox.json(&["score", &flowers.job]).ok();
    for row in flowers.predictions() {
        assert!(row.contains_key("p_setosa"), "{row:?}");
        assert!(
            !row.contains_key("sure"),
            "a value of yesterday's revision: {row:?}"
        );
        assert_eq!(
            row.contains_key("remark"),
            row["id"] == CqlValue::Int(1),
            "{row:?}"
        );
    }
}

#[test]
fn the_same_manifest_is_no_new_revision() {
    let flowers = Flowers::new("same");
    assert_eq!(flowers.create(&flowers.manifest(""))["created"], true);
    let again = flowers.create(&flowers.manifest(""));
    assert_eq!(
        (&again["created"], &again["revision"]),
        (&false.into(), &1.into())
    );
    assert_eq!(flowers.rows_of("jobs").len(), 1);
}

#[test]
fn an_index_answers_the_question_for_one_versions_best_scores() {
    let flowers = Flowers::new("index");
    let index = "[outputs.columns]\np_setosa = { output = \"probabilities\", class = \"setosa\", index = true }\n";
    flowers.create(&flowers.manifest(index));
    let indexes = flowers.sandbox.rows(&format!("SELECT index_name, options FROM system_schema.indexes WHERE keyspace_name = '{{data}}' AND table_name = '{}_predictions'", flowers.job));
    assert_eq!(indexes.len(), 2, "{indexes:?}");
    flowers.sandbox.json(&["score", &flowers.job]).ok();
    let best = flowers.sandbox.rows(&format!(
        "SELECT id FROM {{data}}.{}_predictions WHERE model_version = 1 AND p_setosa > 0.9",
        flowers.job
    ));
    assert_eq!(best.len(), 1);
    // Asked for again, they are there already.
    let again = flowers.create(&flowers.manifest(&format!("{index}[rules]\nttl = \"9d\"\n")));
    assert_eq!(again["ddl"], serde_json::json!([]));
}

#[test]
fn a_dropped_table_or_column_is_made_again_and_a_changed_one_told() {
    let flowers = Flowers::new("altered");
    flowers.create(&flowers.manifest(""));
    let table = format!("{{data}}.{}_predictions", flowers.job);
    flowers.cql(&format!("ALTER TABLE {table} DROP p_setosa"));
    flowers.sandbox.json(&["score", &flowers.job]).ok();
    assert!(
        flowers
            .predictions()
            .iter()
            .all(|row| row.contains_key("p_setosa"))
    );
    flowers.cql(&format!("DROP TABLE {table}"));
    flowers.sandbox.json(&["score", &flowers.job]).ok();
    assert_eq!(flowers.predictions().len(), 3);
    flowers.cql(&format!("DROP TABLE {table}"));
    flowers.cql(&format!(
        "CREATE TABLE {table} (id int PRIMARY KEY, label text)"
    ));
    let error = flowers
        .sandbox
        .json(&["score", &flowers.job])
        .code(2)
        .error();
    assert_eq!(error["code"], "job.source_changed");
    assert!(
        told(&error).contains(&("job.target_taken".into(), "outputs.table".into())),
        "{error}"
    );
}

#[test]
fn a_source_that_changed_is_told_until_it_fits_again() {
    let flowers = Flowers::new("source");
    flowers.create(&flowers.manifest(""));
    flowers.cql("ALTER TABLE {data}.flowers DROP petal_width");
    let error = flowers
        .sandbox
        .json(&["score", &flowers.job])
        .code(2)
        .error();
    assert_eq!(error["code"], "job.source_changed");
    assert_eq!(flowers.status()["state"], "source_changed");
    flowers.sandbox.json(&["worker", "--once"]).ok();
    assert_eq!(flowers.status()["state"], "source_changed");
    flowers.cql("ALTER TABLE {data}.flowers ADD petal_width float");
    flowers.sandbox.json(&["worker", "--once"]).ok();
    assert_eq!(flowers.status()["state"], "ready");
    flowers.cql("DROP TABLE {data}.flowers");
    let error = flowers
        .sandbox
        .json(&["score", &flowers.job])
        .code(2)
        .error();
    assert_eq!(error["code"], "job.source_changed");
}

#[test]
fn a_row_written_by_cqlsh_is_answered_like_any_other() {
    let flowers = Flowers::new("cqlsh");
    let insert = |revision: i32, manifest: &str| {
        let manifest = manifest.replace('\'', "''");
        flowers.sandbox.cqlsh(&format!("INSERT INTO {}.jobs (job, revision, manifest) VALUES ('{}', {revision}, '{manifest}');", flowers.sandbox.keyspace, flowers.job)).ok();
        flowers.sandbox.json(&["worker", "--once"]).ok();
        flowers.status()
    };
    let status = insert(1, &flowers.manifest("[expect]\nfile = \"rows.csv\"\n"));
    assert_eq!(status["state"], "invalid");
    assert!(
        status["problems"][0]
            .as_str()
            .unwrap()
            .contains("name of a file"),
        "{status}"
    );
    let status = insert(2, "job = 'other'");
    assert_eq!(status["state"], "invalid");
    let status = insert(3, &flowers.manifest(""));
    assert_eq!(status["state"], "ready", "{status}");
    assert_eq!(flowers.target().len(), 7);
    flowers
        .sandbox
        .cqlsh(&format!(
            "INSERT INTO {}.jobs (job, revision) VALUES ('{}', 4);",
            flowers.sandbox.keyspace, flowers.job
        ))
        .ok();
    let scored = flowers.sandbox.json(&["score", &flowers.job]).ok();
    assert_eq!(scored.result()["source_rows"], 3);
    assert_eq!(flowers.status()["state"], "invalid");
}

const EXPECTED: &str = "id,label,p_setosa\n1,setosa,0.99875386\n2,versicolor,\n3,virginica,\n";

#[test]
fn expected_rows_prove_the_mapping_before_anything_is_made() {
    let flowers = Flowers::new("expect");
    flowers.sandbox.file("rows.csv", EXPECTED);
    let expect = "[expect]\nfile = \"rows.csv\" # known flowers\n";
    let swapped = format!(
        "[features]\n\"sepal length\" = \"petal_width\"\n\"sepal width\" = \"sepal_width\"\n\"petal length\" = \"petal_length\"\n\"petal width\" = \"sepal_length\"\n{expect}"
    );
    let problems = flowers.refused(&flowers.manifest(&swapped));
    assert!(
        problems.len() > 1
            && problems
                .iter()
                .all(|(code, _)| code == "job.expect_differs"),
        "{problems:?}"
    );
    let output = flowers.run("check", &flowers.manifest(&swapped)).code(2);
    let message = output.error()["message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("id = 1: ") && message.contains("p_setosa is"),
        "{message}"
    );

    for (rows, code) in [
        ("id,label\n9,setosa\n", "job.expect_differs"),
        ("id,label\nx,setosa\n", "job.expect_rows"),
        ("label\nsetosa\n", "job.expect_rows"),
        ("id,lable\n1,setosa\n", "job.expect_rows"),
        ("id,label\n1\n", "csv.field_count"),
        ("id,label,rejected\n1,,true\n", "job.expect_differs"),
    ] {
        flowers.sandbox.file("rows.csv", rows);
        assert_eq!(
            flowers.refused(&flowers.manifest(expect))[0].0,
            code,
            "{rows}"
        );
    }

    flowers.sandbox.file("rows.csv", EXPECTED);
    flowers.create(&flowers.manifest(expect));
    let stored = flowers.rows_of("jobs")[0]["manifest"]
        .as_text()
        .unwrap()
        .clone();
    assert!(
        stored.contains("# known flowers\nrows = '''\nid,label,p_setosa\n"),
        "{stored}"
    );
}

#[test]
fn expected_rows_are_held_to_a_job_that_cql_wrote_as_well() {
    let flowers = Flowers::new("expectcql");
    let manifest = flowers.manifest("[expect]\nrows = \"\"\"\nid,label\n1,virginica\n\"\"\"\n");
    flowers
        .sandbox
        .cqlsh(&format!(
            "INSERT INTO {}.jobs (job, revision, manifest) VALUES ('{}', 1, '{manifest}');",
            flowers.sandbox.keyspace, flowers.job
        ))
        .ok();
    flowers.sandbox.json(&["worker", "--once"]).ok();
    let status = flowers.status();
    assert_eq!(status["state"], "invalid");
    assert_eq!(
        status["problems"][0]
            .as_str()
            .unwrap()
            .split(" (")
            .next()
            .unwrap(),
        "job.expect_differs: expect, line 2: id = 1: label is setosa, expected virginica"
    );
    assert!(flowers.target().is_empty(), "made before it was proven");
    let error = flowers
        .sandbox
        .json(&["score", &flowers.job])
        .code(2)
        .error();
    assert_eq!(error["code"], "job.invalid");
}

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
