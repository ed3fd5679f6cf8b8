//! Two workers that make the same prediction table.

use std::collections::BTreeSet;

use crate::{
    stage::Stage,
    support::{cli, cli::Running},
};

const RACERS: usize = 4;

#[test]
fn workers_that_make_the_same_prediction_table_make_one() {
    let stage = Stage::new("tables", 60);
    for turn in 0..4 {
        let job = format!("race_{turn}");
        // By plain CQL, so that nobody answers before all are at it.
        let manifest = format!(
            "job = \"{job}\"\nmodel = \"identity\"\nversions = [1, 2]\n[source]\ntable = \"{}.visits\"\n",
            stage.sandbox.data
        );
        stage.sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.jobs (job, revision, manifest) VALUES ('{job}', 1, '{manifest}')"
        ));
        let racers: Vec<Running> = (0..RACERS)
            .map(|_| Running::start(stage.command(&["score", &job])))
            .collect();
        let mut runs = BTreeSet::new();
        for racer in racers {
            let result = racer.finish().ok().result();
            assert_eq!(result["state"], "succeeded", "{result}");
            runs.insert(result["run_id"].as_str().unwrap().to_owned());
        }
        // Racers that came while a run was open joined it; what is written is there for all.
        let run = cli::run(stage.command(&["score", &job])).ok().result();
        assert_eq!(run["unchanged"]["1"], 60, "{run}");
        let tables = stage.sandbox.rows(&format!(
            "SELECT id FROM system_schema.tables WHERE keyspace_name = '{{data}}' AND table_name = '{job}_predictions'"
        ));
        let id = tables[0]["id"].as_uuid().unwrap();
        let named = helenus::store::driver::script::table_id(
            &stage.sandbox.data,
            &format!("{job}_predictions"),
        );
        assert_eq!(id, named);
    }
}

#[test]
fn a_worker_that_dies_or_freezes_while_it_makes_the_table_is_succeeded() {
    let stage = Stage::new("tables_dead", 60);
    // Dead or frozen when the table is made and its indexes are not.
    for (job, action) in [("dead", "kill"), ("frozen", "stop")] {
        let manifest = format!(
            "job = \"{job}\"\nmodel = \"identity\"\nversions = [1, 2]\n[source]\ntable = \"{}.visits\"\n[outputs.columns]\ny = {{ output = \"y\", index = true }}\n",
            stage.sandbox.data
        );
        stage.sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.jobs (job, revision, manifest) VALUES ('{job}', 1, '{manifest}')"
        ));
        let failpoints = format!("between_ddl={action}:2");
        let frozen = match action {
            "kill" => {
                stage.killed(&["score", job], &failpoints);
                None
            }
            _ => Some(stage.frozen(&["score", job], &failpoints)),
        };
        let result = cli::run(stage.command(&["score", job])).ok().result();
        let run = stage.run(job, &result);
        if let Some(frozen) = frozen {
            frozen.signal("CONT");
            frozen.finish();
        }
        stage.assert_whole(&run);
    }
}
