//! Examines one version: its row, its chunks, and a child process that decides.

use std::{io::Write, path::PathBuf, time::Duration};

use super::DEATHS;
use crate::{
    domain::{csv, model::tolerance::Tolerance, printable::printable, problem::Problem},
    engine::artifacts,
    failure::Failure,
    scorer::{
        admit::{Request, Sha, too_big},
        child::{self, Limits, Outcome},
        output_checks::SHAPE_DIFFERS,
        runtime::Runtime,
    },
    store::{
        Store,
        driver::error::StoreError,
        registry::{
            admissions::Decision,
            chunks::{Blob, BlobError},
            models::VersionRow,
        },
    },
};

/// Largest size of golden rows in bytes; they are read into memory.
const MAX_GOLDEN: usize = 64 << 20;

/// Time limit of a first look; `child` adds a second for each 8 MiB. Hardly any model needs as
/// much.
const FIRST: Duration = Duration::from_secs(2);

/// Time that a look may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// [`FIRST`]: work that is not done by then is left for later, so that the next model is
    /// examined soon.
    Short,
    /// The configured limit: a version that is not examined by then is rejected.
    Full,
}

/// Outcome of a look.
#[derive(Debug)]
pub(super) enum Looked {
    Decided(Decision),
    /// The look was not done within [`Patience::Short`].
    TooShort,
}

/// Library and limits for looks on this machine.
#[derive(Debug, Clone)]
pub(super) struct Looker {
    limits: Limits,
    max_size: u64,
    library: PathBuf,
    /// ONNX Runtime's version here.
    pub(super) version: String,
}

impl Looker {
    /// Returns a looker with the configured limits.
    pub(super) fn new(store: &Store, runtime: &Runtime) -> Self {
        let config = store.config();
        Self {
            limits: Limits {
                time: config.admission_timeout,
                memory: (config.admission_memory_mib as u64) << 20,
                ..Limits::default()
            },
            max_size: (config.max_model_mib as u64) << 20,
            library: runtime.library.clone(),
            version: runtime.version.clone(),
        }
    }

    /// Checks the row alone; returns the model's blob, or what is wrong with the row.
    pub(super) fn sensible(&self, row: &VersionRow) -> Result<Blob, String> {
        let mut wrong = Vec::new();
        if row.version < 1 {
            wrong.push(format!("version is {}; versions count from 1", row.version));
        }
        for (name, value) in [("rtol", row.rtol), ("atol", row.atol)] {
            if let Some(value) = value.filter(|value| value.is_nan() || *value < 0.0) {
                wrong.push(format!("{name} is {value}; it must be a number from 0"));
            }
        }
        for what in row.accepts.iter().flatten() {
            if what != SHAPE_DIFFERS {
                wrong.push(format!(
                    "accepts holds `{}`; only `{SHAPE_DIFFERS}` is known",
                    printable(what)
                ));
            }
        }
        let blob = row.blob().map_err(|more| wrong.extend(more));
        match blob {
            Ok(blob) if wrong.is_empty() && blob.size > self.max_size => {
                Err(too_big(blob.size, self.max_size).line())
            }
            Ok(blob) if wrong.is_empty() => Ok(blob),
            _ => Err(wrong.join("\n")),
        }
    }

    /// Fetches the bytes and has a child process decide. If the machine may have ended the child,
    /// another one is started, until `deaths` are used up; exceeding a limit of helenus is a
    /// verdict at once.
    pub(super) async fn decide(
        &self,
        store: &Store,
        row: &VersionRow,
        blob: &Blob,
        deaths: i32,
        patience: Patience,
    ) -> Result<Looked, Trouble> {
        let rejected = |reason| Ok(Looked::Decided(self.rejected(reason)));
        let mut limits = self.limits.clone();
        let is_short = patience == Patience::Short && FIRST < limits.time;
        if is_short {
            limits.time = FIRST;
        }
        let golden = match golden(store, row).await? {
            Ok(golden) => golden,
            Err(reason) => return rejected(reason),
        };
        let place = tempfile::tempdir().map_err(Trouble::local)?;
        let path = place.path().join("model.onnx");
        let mut file = std::fs::File::create(&path).map_err(Trouble::local)?;
        match store.download(blob, |bytes| file.write_all(bytes)).await {
            Ok(()) => {}
            Err(BlobError::Damaged(problem)) => return rejected(problem.line()),
            Err(BlobError::Store(error)) => return Err(error.into()),
            Err(BlobError::Local(error)) => return Err(Trouble::local(error)),
        }
        drop(file);
        let artifacts = match artifacts::fetch(store, row, place.path()).await {
            Ok(artifacts) => artifacts,
            Err(BlobError::Damaged(problem)) => return rejected(problem.line()),
            Err(BlobError::Store(error)) => return Err(error.into()),
            Err(BlobError::Local(error)) => return Err(Trouble::local(error)),
        };
        let usual = Tolerance::default();
        let request = Request {
            feature_names: row.feature_names.clone().unwrap_or_default(),
            class_names: row.class_names.clone().unwrap_or_default(),
            widths: row.widths.clone().unwrap_or_default(),
            golden,
            tolerance: Tolerance {
                rtol: row.rtol.unwrap_or(usual.rtol),
                atol: row.atol.unwrap_or(usual.atol),
            },
            accepts: row.accepts.iter().flatten().cloned().collect(),
            max_size: self.max_size,
            sha256: Some(Sha(blob.sha256)),
            artifacts,
            ..Request::new(path, self.library.clone())
        };
        let mut last = String::new();
        for _ in 0..deaths {
            let (request, limits) = (request.clone(), limits.clone());
            let outcome = tokio::task::spawn_blocking(move || child::run(&request, &limits))
                .await
                .map_err(|error| Trouble::local(std::io::Error::other(error)))?
                .map_err(Trouble::Here)?;
            match outcome {
                Outcome::Admitted(admitted) => {
                    return Ok(Looked::Decided(Decision::Ready(admitted)));
                }
                Outcome::Rejected(problems) => {
                    let lines: Vec<_> = problems.iter().map(Problem::line).collect();
                    return rejected(lines.join("\n"));
                }
                Outcome::OutOfTime(_) if is_short => return Ok(Looked::TooShort),
                Outcome::OutOfTime(problem) => return rejected(problem.line()),
                Outcome::Died(problem) => {
                    let (model, version) = (&row.name, row.version);
                    last = problem.line();
                    tracing::warn!(model, version, "the admission process died: {last}");
                }
            }
        }
        rejected(format!("the admission process died {DEATHS} times: {last}"))
    }

    /// Returns a rejection for this reason.
    pub(super) fn rejected(&self, reason: String) -> Decision {
        Decision::Rejected {
            reason,
            runtime_version: Some(self.version.clone()),
        }
    }
}

/// Returns the golden rows' text, or why they are not available.
async fn golden(
    store: &Store,
    row: &VersionRow,
) -> Result<Result<Option<String>, String>, Trouble> {
    let sha256 = row.golden_sha256.as_deref();
    let Some(sha256) = sha256.and_then(|sha| <[u8; 32]>::try_from(sha).ok()) else {
        return Ok(Ok(None));
    };
    match store.download_small(&sha256, MAX_GOLDEN).await {
        Ok(bytes) => Ok(csv::decode(&bytes)
            .map(|text| Some(text.to_owned()))
            .map_err(|problem| format!("golden rows: {}", problem.line()))),
        Err(BlobError::Damaged(problem)) => Ok(Err(format!("golden rows: {problem}"))),
        Err(BlobError::Store(error)) => Err(error.into()),
        Err(BlobError::Local(error)) => Err(Trouble::local(error)),
    }
}

/// Why there is no verdict; never the model's fault.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A failure of this machine: no disk space, no processes, no library.
    #[error("{}", .0.line())]
    Here(Problem),
}

impl Trouble {
    pub(super) fn local(error: std::io::Error) -> Self {
        Self::Here(Problem::new(
            "admission.no_room",
            format!("the model cannot be looked at here: {error}"),
        ))
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Store(error) => error.into(),
            Trouble::Here(problem) => Self::system(problem),
        }
    }
}
