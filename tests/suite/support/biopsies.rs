//! The biopsies scored by two versions, for whatever looks at predictions.

use serde_json::Value;

use super::{Model, Sandbox};

/// The biopsies scored by two versions, in a keyspace of their own.
pub struct Biopsies {
    pub sandbox: Sandbox,
    pub rows: u64,
}

impl Biopsies {
    pub fn scored(test: &str) -> Self {
        let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
        let rows = Model::named("breast_cancer_lr").load(&sandbox) as u64;
        for name in ["breast_cancer_lr", "breast_cancer_lgbm"] {
            let push = Model::named(name).push_arguments("tumour");
            sandbox
                .helenus(&push.iter().map(String::as_str).collect::<Vec<_>>())
                .ok();
        }
        let biopsies = Self { sandbox, rows };
        biopsies.create("[1, 2]");
        biopsies.score();
        biopsies
    }

    pub fn create(&self, versions: &str) {
        let manifest = format!(
            "job = \"tumour\"\nmodel = \"tumour\"\nversions = {versions}\n[source]\ntable = \"{}.biopsies\"\n[outputs]\npositive = \"malignant\"\n[rules]\nmax_rejected = 5\n",
            self.sandbox.data
        );
        let file = self.sandbox.file("tumour.toml", manifest);
        self.sandbox
            .helenus(&["job", "create", file.to_str().unwrap()])
            .ok();
    }

    pub fn score(&self) {
        self.sandbox.helenus(&["score", "tumour"]).ok();
    }

    pub fn verify(&self, options: &[&str], code: i32) -> Value {
        let verified = self
            .sandbox
            .json(&[&["verify", "tumour"], options].concat());
        verified.code(code).result()
    }

    pub fn explain(&self, id: &str) -> Value {
        self.sandbox.json(&["explain", "tumour", id]).ok().result()
    }
}
