//! Versions that somebody registered, whoever and however: each gets a verdict.

mod limits;

use std::{
    io::Cursor,
    path::PathBuf,
    time::{Duration, Instant},
};

use helenus::{
    config::Config,
    domain::model::{AdmissionState, ReadyVersion},
    engine::admission::{Answer, Service, confirm},
    scorer::image::Image,
    store::{
        Store,
        registry::{
            admissions::{Admission, Readiness},
            chunks::Blob,
            models::VersionRow,
        },
    },
};

use crate::support::{Model, Sandbox, block_on};

/// What pushes a folder of `models/`, or any file.
struct Push {
    file: Vec<u8>,
    golden: Option<Vec<u8>>,
    row: VersionRow,
}

impl Push {
    fn shipped(folder: &str, name: &str) -> Self {
        let model = Model::named(folder);
        let file = std::fs::read(model.path("model.onnx")).unwrap();
        let mut push = Self::of(file, name);
        let features = std::fs::read_to_string(model.path("features.txt"));
        push.row.feature_names = features
            .ok()
            .map(|text| text.lines().map(str::to_owned).collect());
        push.golden = std::fs::read(model.path("golden.csv")).ok();
        push
    }

    fn hostile(file: &str, name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
        Self::of(std::fs::read(folder.join(file)).unwrap(), name)
    }

    fn of(file: Vec<u8>, name: &str) -> Self {
        let blob = Blob::measure(Cursor::new(&file)).unwrap();
        let row = VersionRow {
            name: name.to_owned(),
            format: Some("onnx".to_owned()),
            sha256: Some(blob.sha256.to_vec()),
            size: Some(blob.size as i64),
            chunks: Some(blob.chunks),
            ..VersionRow::default()
        };
        Self {
            file,
            golden: None,
            row,
        }
    }

    /// Chunks, then the row: gives the version.
    async fn send(mut self, store: &Store) -> i32 {
        let blob = Blob::measure(Cursor::new(&self.file)).unwrap();
        store
            .upload(Cursor::new(&self.file), &blob, |_| ())
            .await
            .unwrap();
        if let Some(golden) = &self.golden {
            let blob = Blob::measure(Cursor::new(golden)).unwrap();
            store
                .upload(Cursor::new(golden), &blob, |_| ())
                .await
                .unwrap();
            self.row.golden_sha256 = Some(blob.sha256.to_vec());
        }
        store.insert_version(self.row).await.unwrap()
    }
}

fn quick(sandbox: &Sandbox) -> Config {
    let mut config = sandbox.config();
    config.admission_timeout = Duration::from_secs(2);
    config
}

async fn decide(store: &Store, name: &str, version: i32) -> Admission {
    match Service::new(store)
        .unwrap()
        .decide(store, name, version)
        .await
        .unwrap()
    {
        Answer::Decided(admission) => *admission,
        other => panic!("no verdict: {other:?}"),
    }
}

#[track_caller]
fn assert_rejected(admission: &Admission, word: &str) {
    let reason = admission.reason.as_deref().unwrap_or_default();
    assert_eq!(admission.state, AdmissionState::Rejected);
    assert!(reason.contains(word), "`{word}` is not in: {reason}");
}

/// A statement in the middle of asynchronous work.
#[track_caller]
fn cql(sandbox: &Sandbox, statement: &str) {
    tokio::task::block_in_place(|| sandbox.cql(statement));
}

#[test]
fn a_good_version_becomes_ready_with_all_that_was_found() {
    let sandbox = Sandbox::shared("admit_good");
    let name = sandbox.name("good");
    block_on(async {
        let store = sandbox.store().await;
        let version = Push::shipped("breast_cancer_lr", &name).send(&store).await;
        let admission = decide(&store, &name, version).await;
        assert_eq!(admission.state, AdmissionState::Ready);
        assert_eq!(admission.class_names, ["benign", "malignant"]);
        assert_eq!(admission.class_names_source.as_deref(), Some("zipmap"));
        assert_eq!(admission.feature_names.len(), 30);
        assert_eq!(admission.warnings, Vec::<String>::new());
        assert_eq!(admission.opsets.get("ai.onnx.ml"), Some(&1));
        assert!(
            admission
                .signature
                .as_deref()
                .is_some_and(|text| text.contains("output_probability"))
        );
        // A verdict stands: nobody decides twice.
        assert_eq!(decide(&store, &name, version).await, admission);
        assert!(store.names("model").await.unwrap().contains(&name));
        let readiness = store.readiness(&name, version).await.unwrap();
        let Readiness::Ready(ready) = readiness else {
            panic!("{readiness:?}");
        };
        assert_eq!(Some(ready.admitted), admission.admitted);
        let lease = store
            .lease(&format!("admission/{name}/{version}"))
            .await
            .unwrap();
        assert_eq!((lease.owner, lease.attempts), (None, 0));
    });
}

#[test]
fn missing_and_altered_chunks_are_a_reason() {
    let sandbox = Sandbox::shared("admit_chunks");
    block_on(async {
        let store = sandbox.store().await;
        // Contents of their own: chunks are shared by their sha256.
        let unlike = |what: &str| {
            let name = sandbox.name(what);
            let mut file = std::fs::read(Model::named("iris_kmeans").path("model.onnx")).unwrap();
            file.extend_from_slice(name.as_bytes());
            Push::of(file, &name)
        };
        let hex = |push: &Push| hex::encode(push.row.sha256.as_deref().unwrap());
        for (what, change, word) in [
            (
                "missing",
                "DELETE FROM {helenus}.model_chunks WHERE sha256 = 0xSHA AND chunk = 0",
                "missing",
            ),
            (
                "altered",
                "UPDATE {helenus}.model_chunks SET data = 0x01 WHERE sha256 = 0xSHA AND chunk = 0",
                "altered",
            ),
            // With a checksum that fits; the whole does not.
            (
                "forged",
                "UPDATE {helenus}.model_chunks SET data = 0x, checksum = 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 WHERE sha256 = 0xSHA AND chunk = 0",
                "fewer bytes",
            ),
        ] {
            let push = unlike(what);
            let (name, sha) = (push.row.name.clone(), hex(&push));
            let version = push.send(&store).await;
            cql(&sandbox, &change.replace("SHA", &sha));
            assert_rejected(&decide(&store, &name, version).await, word);
        }
    });
}

#[test]
fn a_row_by_hand_is_told_all_that_it_lacks() {
    let sandbox = Sandbox::shared("admit_row");
    let name = sandbox.name("by_hand");
    sandbox.cql(&format!("INSERT INTO {{helenus}}.model_versions (name, version, format, size, rtol) VALUES ('{name}', 1, 'pmml', -1, -0.5)"));
    sandbox.cql(&format!("INSERT INTO {{helenus}}.model_versions (name, version, format, sha256, size, chunks) VALUES ('{name}', 2, 'onnx', 0x{}, 4294967296, 8192)", "07".repeat(32)));
    sandbox.cql(&format!(
        "INSERT INTO {{helenus}}.model_versions (name, version) VALUES ('{name}', -3)"
    ));
    block_on(async {
        let store = sandbox.store().await;
        let first = decide(&store, &name, 1).await;
        for word in [
            "pmml",
            "sha256 is null",
            "size is -1",
            "chunks is null",
            "rtol is -0.5",
        ] {
            assert_rejected(&first, word);
        }
        assert_rejected(&decide(&store, &name, 2).await, "the limit is");
        assert_rejected(&decide(&store, &name, -3).await, "versions count from 1");
        let missing = Service::new(&store)
            .unwrap()
            .decide(&store, &name, 9)
            .await
            .unwrap();
        assert!(matches!(missing, Answer::Missing));
    });
}

#[test]
fn a_version_row_altered_after_its_verdict_is_tampered() {
    let sandbox = Sandbox::shared("admit_tamper");
    let name = sandbox.name("tampered");
    block_on(async {
        let store = sandbox.store().await;
        let version = Push::shipped("iris_mlp", &name).send(&store).await;
        assert_eq!(
            decide(&store, &name, version).await.state,
            AdmissionState::Ready
        );
        cql(
            &sandbox,
            &format!(
                "UPDATE {{helenus}}.model_versions SET class_names = ['a', 'b', 'c'] WHERE name = '{name}' AND version = {version}"
            ),
        );
        // Whoever plans sees it before any sweep.
        let readiness = store.readiness(&name, version).await.unwrap();
        assert!(matches!(readiness, Readiness::Tampered(_)), "{readiness:?}");
        let admission = decide(&store, &name, version).await;
        assert_eq!(admission.state, AdmissionState::Tampered);
        assert!(
            admission
                .reason
                .is_some_and(|reason| reason.contains("altered"))
        );
    });
}

#[test]
fn chunks_altered_after_the_verdict_are_noticed_when_loading() {
    let sandbox = Sandbox::shared("admit_swap");
    let name = sandbox.name("swapped");
    block_on(async {
        let store = sandbox.store().await;
        let mut file = std::fs::read(Model::named("iris_mlp").path("model.onnx")).unwrap();
        // An unknown field with the name: bytes of its own.
        file.extend_from_slice(&[0xa2, 0x06, name.len() as u8]);
        file.extend_from_slice(name.as_bytes());
        let push = Push::of(file, &name);
        let blob = push.row.blob().unwrap();
        let version = push.send(&store).await;
        let admission = decide(&store, &name, version).await;
        let admitted = admission.admitted.expect("ready");
        let mut bytes = Vec::new();
        let mut load = async || {
            bytes.clear();
            let loaded = store.download(&blob, |part| {
                bytes.extend_from_slice(part);
                Ok(())
            });
            loaded.await.map(|()| Image::new(bytes.clone(), &admitted))
        };
        assert!(load().await.is_ok_and(|image| image.is_ok()));
        cql(
            &sandbox,
            &format!(
                "UPDATE {{helenus}}.model_chunks SET data = 0xffff WHERE sha256 = 0x{} AND chunk = 0",
                hex::encode(blob.sha256)
            ),
        );
        assert!(load().await.is_err());
    });
}

#[test]
fn golden_rows_travel_with_the_version() {
    let sandbox = Sandbox::shared("admit_golden");
    let name = sandbox.name("golden");
    block_on(async {
        let store = sandbox.store().await;
        let mut push = Push::shipped("breast_cancer_lr", &name);
        if let Some(features) = &mut push.row.feature_names {
            features.swap(3, 4);
        }
        let version = push.send(&store).await;
        assert_rejected(&decide(&store, &name, version).await, "golden row");
        let mut push = Push::shipped("breast_cancer_lr", &name);
        push.golden = Some(b"in.mean radius,out.output_label\n1\n".to_vec());
        let version = push.send(&store).await;
        assert_rejected(&decide(&store, &name, version).await, "line 2");
        let mut push = Push::shipped("breast_cancer_lr", &name);
        push.golden = None;
        push.row.golden_sha256 = Some(vec![9; 32]);
        let version = push.send(&store).await;
        assert_rejected(
            &decide(&store, &name, version).await,
            "golden rows: chunk 0",
        );
    });
}
