//! Predictions that runs store, sent to topics.

use std::collections::{BTreeMap, BTreeSet};

use helenus::engine::{
    self,
    run::{open::open_runs, shared::Shared},
};
use serde_json::{Value, json};

use crate::support::{
    Model, Sandbox, block_on,
    cli::{self, Output},
    kafka::{Broker, Message, shared},
};

/// `model`s of `models/` over their rows, sent by one job.
struct Sending {
    sandbox: Sandbox,
    job: String,
    environment: Vec<(String, String)>,
}

impl Sending {
    /// Models of one source table, as versions 1, 2 … of one model. `stream`: lines of the manifest.
    fn new(test: &str, models: &[&str], stream: &str, broker: &Broker) -> Self {
        let sandbox = Sandbox::migrated(test);
        let first = Model::named(models[0]);
        first.load(&sandbox);
        for name in models {
            let push = Model::named(name).push_arguments(models[0]);
            let push: Vec<&str> = push.iter().map(String::as_str).collect();
            sandbox.helenus(&push).ok();
        }
        sandbox
            .helenus(&["model", "promote", models[0], "1", "--why", "test"])
            .ok();
        let sending = Self {
            job: first.name.clone(),
            environment: vec![("HELENUS_KAFKA_BROKERS".to_owned(), broker.bootstrap.clone())],
            sandbox,
        };
        let manifest = first.manifest(&sending.sandbox, &sending.job, &sending.job);
        let mut text = std::fs::read_to_string(&manifest).unwrap();
        if models.len() > 1 {
            text = text.replace("versions = [1]", "versions = [1, 2, \"champion\"]");
        }
        let file = sending
            .sandbox
            .file("sending.toml", format!("{text}\n{stream}\n"));
        sending
            .sandbox
            .helenus(&["job", "create", file.to_str().unwrap()])
            .ok();
        sending
    }

    fn score(&self, options: &[&str]) -> Output {
        let arguments = [&["score", &self.job, "--output", "json"], options].concat();
        let mut command = self.sandbox.command(&arguments);
        command.envs(self.environment.iter().cloned());
        cli::run(command)
    }

    /// What is stored: key and version → (outputs by column, input hash, rejection).
    fn stored(&self) -> BTreeMap<(String, i64), (Value, String, Value)> {
        let select = format!("SELECT JSON * FROM {{data}}.{}_predictions", self.job);
        let rows = self.sandbox.rows(&select);
        rows.iter()
            .map(|row| {
                let row: Value = serde_json::from_str(row["[json]"].as_text().unwrap()).unwrap();
                let id = json!({"id": row["id"]}).to_string();
                let version = row["model_version"].as_i64().unwrap();
                let lineage = &row["lineage"];
                let hash = lineage["input_hash"].as_str().unwrap();
                let hash = hash.strip_prefix("0x").unwrap().to_owned();
                let rejected = lineage["rejected"].clone();
                ((id, version), (row, hash, rejected))
            })
            .collect()
    }

    fn stored_count(&self) -> usize {
        self.stored().len()
    }
}

fn is_prediction(message: &&Message) -> bool {
    message.header("helenus-event").is_empty()
}

fn predictions(messages: &[Message]) -> Vec<&Message> {
    messages.iter().filter(is_prediction).collect()
}

fn ends(messages: &[Message]) -> Vec<&Message> {
    let event = |message: &&Message| message.header("helenus-event") == "run-end";
    messages.iter().filter(event).collect()
}

#[test]
fn what_a_run_stores_arrives_once_with_the_same_outputs_and_hashes() {
    let broker = shared();
    let topic = broker.topic("stored", 2);
    let stream =
        format!("[rules]\nmax_rejected = 1\n[stream.out]\ntopic = \"{topic}\"\nfrom = [\"runs\"]");
    let sending = Sending::new("stream_runs", &["breast_cancer_lr"], &stream, broker);
    let run = sending.score(&[]).ok().result();
    let messages = broker.read(&topic);
    let stored = sending.stored();
    let sent = predictions(&messages);
    assert_eq!(sent.len(), stored.len());
    for message in &sent {
        let body = message.json();
        let key = (message.key.clone().unwrap(), 1);
        let (row, hash, rejected) = &stored[&key];
        assert_eq!(message.header("helenus-input-hash"), hash);
        assert_eq!(body["lineage"]["input_hash"], json!(hash));
        assert_eq!(message.header("helenus-version"), "1");
        assert_eq!(message.header("helenus-run"), run["run_id"]);
        assert_eq!(body["lineage"]["run_id"], run["run_id"]);
        assert_eq!(body["rejected"], *rejected);
        for (column, value) in body["outputs"].as_object().into_iter().flatten() {
            assert_eq!(row[column], *value, "{column}: {row}");
        }
    }
    // Each partition has the end of the run behind all its predictions.
    let end = ends(&messages);
    assert_eq!(end.len(), 2);
    for end in end {
        assert_eq!(end.json()["run_id"], run["run_id"]);
        assert_eq!(end.json()["state"], "succeeded");
        assert_eq!(end.json()["scored"]["1"], json!(sent.len()));
        let mut of_partition = sent.iter().filter(|sent| sent.partition == end.partition);
        assert!(of_partition.all(|sent| sent.offset < end.offset));
    }

    // What is unchanged is not sent again; a changed row is.
    sending
        .sandbox
        .cql("UPDATE {data}.biopsies SET mean_radius = 21.5 WHERE id = 172");
    sending
        .sandbox
        .cql("INSERT INTO {data}.biopsies (id, mean_radius) VALUES (9001, 14.2)");
    sending.score(&[]).ok();
    let later = broker.read(&topic);
    let new: Vec<_> = later
        .iter()
        .filter(|message| is_prediction(message) && message.header("helenus-run") != run["run_id"])
        .collect();
    let keys: BTreeSet<&str> = new.iter().filter_map(|new| new.key.as_deref()).collect();
    assert_eq!(keys, BTreeSet::from(["{\"id\":172}", "{\"id\":9001}"]));
    assert_eq!(new.len(), 2);
    // A rejected row has no outputs, so that no reader keeps those of before.
    let rejected = new
        .iter()
        .find(|new| new.key.as_deref() == Some("{\"id\":9001}"));
    let rejected = rejected.unwrap();
    assert_eq!(rejected.json()["outputs"], Value::Null);
    assert!(
        rejected.header("helenus-error").starts_with("null"),
        "{rejected:?}"
    );
    assert_eq!(rejected.header("helenus-error-code"), "row.rejected");
}

#[test]
fn only_the_chosen_versions_go_to_the_topic_of_their_label() {
    let broker = shared();
    let stem = crate::support::random_name();
    let topics = [format!("{stem}.malignant"), format!("{stem}.benign")];
    for topic in &topics {
        broker.create_topic(topic, 1);
    }
    let dead = broker.topic("dead", 1);
    let stream = format!(
        "[rules]\nmax_rejected = 1\n[stream.out]\ntopic = \"{stem}.{{label}}\"\nfrom = [\"runs\"]\nversions = [2]\ndead_letters = \"{dead}\""
    );
    let models = ["breast_cancer_lr", "breast_cancer_lgbm"];
    let sending = Sending::new("stream_route", &models, &stream, broker);
    sending
        .sandbox
        .cql("INSERT INTO {data}.biopsies (id, mean_radius) VALUES (9001, 14.2)");
    sending.score(&[]).ok();
    let stored = sending.stored();
    let mut sent = 0;
    for topic in &topics {
        let messages = broker.read(topic);
        for message in predictions(&messages) {
            let label = topic.rsplit_once('.').unwrap().1;
            assert_eq!(message.json()["outputs"]["label"], label);
            assert_eq!(message.header("helenus-version"), "2");
            let (row, hash, _) = &stored[&(message.key.clone().unwrap(), 2)];
            assert_eq!(
                (&row["label"], hash.as_str()),
                (&json!(label), message.header("helenus-input-hash"))
            );
            sent += 1;
        }
        assert_eq!(ends(&messages).len(), 1, "{topic}");
    }
    let of_two = stored.iter().filter(|((_, version), _)| *version == 2);
    let (rejected, scored): (Vec<_>, Vec<_>) =
        of_two.partition(|(_, (_, _, rejected))| !rejected.is_null());
    assert_eq!(sent, scored.len());
    let dead = broker.read(&dead);
    assert_eq!((dead.len(), rejected.len()), (1, 1));
    assert_eq!(dead[0].key.as_deref(), Some("{\"id\":9001}"));
    assert!(dead[0].header("helenus-error").starts_with("null"));
}

#[test]
fn a_build_without_kafka_leaves_the_run_to_another_process() {
    let broker = shared();
    let topic = broker.topic("left", 1);
    let stream = format!("[stream.out]\ntopic = \"{topic}\"\nfrom = [\"runs\"]");
    let sending = Sending::new("stream_without", &["iris_kmeans"], &stream, broker);
    // Without brokers: as without the feature, a matter of this process and not of the run.
    let refused = sending.sandbox.json(&["score", &sending.job]).code(3);
    assert_eq!(refused.error()["code"], "kafka.no_brokers");
    let failure = block_on(async {
        let store = sending.sandbox.store().await;
        let run = open_runs(&store).await.unwrap().pop().unwrap();
        let shared = Shared::new(store.config());
        engine::work_on(&store, run, &shared).await.unwrap_err()
    });
    assert!(
        failure.is("stream.no_kafka") && failure.is_retryable(),
        "{failure:?}"
    );
    assert!(broker.read(&topic).is_empty());
    assert!(sending.stored_count() == 0);
    // The same command goes on with the open run, and nothing is missing.
    let run = sending.score(&[]).ok().result();
    assert_eq!(run["state"], "succeeded");
    let messages = broker.read(&topic);
    assert_eq!(predictions(&messages).len(), sending.stored_count());
}

#[test]
fn a_missing_topic_is_named_and_the_run_goes_on_once_it_is_there() {
    let broker = shared();
    let stem = broker.topic("x", 1);
    let topic = format!("{stem}.later");
    let stream = format!("[stream.out]\ntopic = \"{topic}\"\nfrom = [\"runs\"]");
    let sending = Sending::new("stream_missing", &["iris_kmeans"], &stream, broker);
    let failed = sending.score(&[]).code(3);
    let error = failed.error();
    assert_eq!(error["code"], "run.gave_up");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains(&topic) && message.contains("create the topic"),
        "{message}"
    );
    broker.create_topic(&topic, 3);
    sending.score(&[]).ok();
    let messages = broker.read(&topic);
    let keys: BTreeSet<_> = predictions(&messages)
        .iter()
        .map(|sent| &sent.key)
        .collect();
    assert_eq!(keys.len(), sending.stored_count());
    // The run that was open, and that of the second request, which found nothing to do.
    let mut of_runs = BTreeMap::<_, BTreeSet<_>>::new();
    for end in ends(&messages) {
        let run = end.header("helenus-run").to_owned();
        of_runs.entry(run).or_default().insert(end.partition);
    }
    let all = BTreeSet::from([0, 1, 2]);
    assert!(!of_runs.is_empty() && of_runs.values().all(|partitions| *partitions == all));
}

#[test]
fn runs_send_over_tls_with_a_login_and_say_when_it_is_refused() {
    let broker = Broker::start("secure", &["--secure"]);
    let topic = broker.topic("secure", 1);
    let stream = format!("[stream.out]\ntopic = \"{topic}\"\nfrom = [\"runs\"]");
    let mut sending = Sending::new("stream_secure", &["iris_kmeans"], &stream, &broker);
    let bootstrap = std::fs::read_to_string(broker.file("secure-bootstrap")).unwrap();
    let path = |name: &str| broker.file(name).display().to_string();
    let wrong = sending.sandbox.file("wrong", "not the password\n");
    let settings = |password: String| {
        let named = [
            ("BROKERS", bootstrap.trim().to_owned()),
            ("SECURITY", "sasl_ssl".to_owned()),
            ("TLS_CA", path("secure/ca.pem")),
            ("SASL_USERNAME", "helenus".to_owned()),
            ("SASL_PASSWORD_FILE", password),
        ];
        named
            .map(|(name, value)| (format!("HELENUS_KAFKA_{name}"), value))
            .to_vec()
    };
    sending.environment = settings(wrong.display().to_string());
    let refused = sending.score(&[]).code(3);
    assert_eq!(refused.error()["code"], "run.gave_up", "{refused:?}");
    sending.environment = settings(path("secure/password"));
    sending.score(&[]).ok();
    assert_eq!(
        predictions(&broker.read(&topic)).len(),
        sending.stored_count()
    );
    // The other mechanism that logins by name use.
    sending.environment.push((
        "HELENUS_KAFKA_SASL_MECHANISM".to_owned(),
        "PLAIN".to_owned(),
    ));
    sending.score(&["--scope", "all"]).ok();
    assert_eq!(
        predictions(&broker.read(&topic)).len(),
        2 * sending.stored_count()
    );
}
