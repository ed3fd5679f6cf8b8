//! What a new revision changes, and what a job does when its tables change.

use super::*;

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
