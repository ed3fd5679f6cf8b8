//! A keyspace with 150 flowers and jobs over them, for what runs by itself: `iris_kmeans` gives
//! four numbers from four numbers, so that one job's predictions can be the next one's source.

use chrono::{DateTime, Utc};
use helenus::{
    control::scheduler::{Fired, Scheduler},
    domain::{run::Run, trigger::TriggerStatus},
    engine::run::{shared::Shared, work::Worked},
    store::Store,
};

use super::{Model, Sandbox, block_on};

/// Flowers in the table.
pub const ROWS: u64 = 150;

pub struct Garden {
    pub sandbox: Sandbox,
    pub store: Store,
}

impl Garden {
    /// Model `kmeans` with version 1 as champion, no jobs.
    pub fn new(test: &str) -> Self {
        let sandbox = Sandbox::migrated(test);
        let model = Model::named("iris_kmeans");
        assert_eq!(model.load(&sandbox) as u64, ROWS);
        let push = model.push_arguments("kmeans");
        sandbox
            .helenus(&push.iter().map(String::as_str).collect::<Vec<_>>())
            .ok();
        sandbox
            .helenus(&["model", "promote", "kmeans", "1", "--why", "test"])
            .ok();
        let store = block_on(sandbox.store());
        Self { sandbox, store }
    }

    /// A job over the flowers.
    pub fn job(&self, job: &str) {
        self.create(job, "flowers", "", "");
    }

    /// A job over the predictions of another.
    pub fn dependent(&self, job: &str, upstream: &str) {
        let features = "[features]\n\"sepal length\" = \"score_0\"\n\"sepal width\" = \"score_1\"\n\"petal length\" = \"score_2\"\n\"petal width\" = \"score_3\"\n";
        self.create(
            job,
            &format!("{upstream}_predictions"),
            "version = \"champion\"",
            features,
        );
    }

    fn create(&self, job: &str, table: &str, version: &str, features: &str) {
        let manifest = format!(
            "job = \"{job}\"\nmodel = \"kmeans\"\nversions = [1]\n[source]\ntable = \"{}.{table}\"\n{version}\n{features}",
            self.sandbox.data
        );
        let file = self.sandbox.file(&format!("{job}.toml"), manifest);
        self.sandbox
            .helenus(&["job", "create", file.to_str().unwrap()])
            .ok();
    }

    /// A row of `triggers`: `columns` and their `values`, after job and name.
    pub fn trigger(&self, job: &str, name: &str, columns: &str, values: &str) {
        self.sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.triggers (job, name, {columns}) VALUES ('{job}', '{name}', {values})"
        ));
    }

    /// One round at a time, to its end.
    pub fn round(&self, scheduler: &mut Scheduler, now: DateTime<Utc>) -> Vec<Fired> {
        block_on(async {
            let begun = scheduler.round(&self.store, now).await.unwrap();
            let ended = scheduler.settle().await;
            assert_eq!(begun.troubles, [""; 0]);
            assert_eq!(ended.troubles, [""; 0]);
            [begun.fired, ended.fired].concat()
        })
    }

    /// Works on the job's open run to its end, as a worker does; where there is none, scores what is
    /// pending.
    pub fn finish(&self, job: &str) -> Run {
        let open = self
            .runs(job)
            .into_iter()
            .find(|run| !run.state.is_terminal());
        let Some(run) = open else {
            self.sandbox.helenus(&["score", job]).ok();
            return self.runs(job).remove(0);
        };
        let worked = block_on(async {
            let shared = Shared::new(self.store.config());
            helenus::engine::work_on(&self.store, run, &shared)
                .await
                .unwrap()
        });
        match worked {
            Worked::Ended(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    /// `helenus worker --once`; nothing went wrong.
    pub fn worker(&self) -> serde_json::Value {
        let said = self.sandbox.json(&["worker", "--once"]).ok().json();
        assert_eq!(said["warnings"], serde_json::json!([]), "{said}");
        said["result"].clone()
    }

    /// Newest first.
    pub fn runs(&self, job: &str) -> Vec<Run> {
        block_on(self.store.runs(job, 100)).unwrap()
    }

    /// Due times of a job's runs, the oldest first.
    pub fn dues(&self, job: &str) -> Vec<DateTime<Utc>> {
        let mut dues: Vec<_> = self.runs(job).iter().map(|run| run.due_at).collect();
        dues.sort();
        dues
    }

    pub fn status(&self, job: &str, name: &str) -> TriggerStatus {
        block_on(self.store.trigger_status(job, name))
            .unwrap()
            .unwrap_or_else(|| panic!("{job}/{name} has no answer"))
    }

    /// What the status says it last came to.
    pub fn outcome(&self, job: &str, name: &str) -> (String, String) {
        let status = self.status(job, name);
        (
            status.last_outcome.unwrap_or_default(),
            status.last_reason.unwrap_or_default(),
        )
    }
}

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}
