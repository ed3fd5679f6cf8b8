//! Jobs: what is refused before anything is made, what is made, and what a revision changes.

mod expected;
mod lives;
mod refusals;
mod revisions;

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
