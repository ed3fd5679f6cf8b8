//! Admission: every version that somebody registered gets a verdict.
//!
//! Whoever wrote the row (the command line, a driver, cqlsh), the same happens: its chunks are
//! checked, a child process decides (`scorer::child`), and the verdict is written once, under the
//! lease `admission/<model>/<version>`. Claims of that lease are counted before the work starts:
//! what kills its worker or its child twice is rejected. One hostile model stops no other.

use std::{io::Write, path::PathBuf};

use crate::{
    domain::{csv, model::AdmissionState, problem::Problem, tolerance::Tolerance},
    failure::Failure,
    scorer::{
        admit::{Request, Sha, too_big},
        child::{self, Limits, Outcome},
        runtime,
    },
    store::{
        Store,
        admissions::{Admission, Decision},
        chunks::{Blob, BlobError},
        error::{StoreError, StoreErrorKind},
        leases::{Asked, Watches},
        models::VersionRow,
    },
};

/// Deaths, of workers or of children, after which a version is rejected.
const DEATHS: i32 = 2;
/// Golden rows are read into memory.
const MAX_GOLDEN: usize = 64 << 20;

/// Decides about every version that waits for it; gives how many verdicts were written.
///
/// # Errors
/// As [`Service::run_once`].
pub async fn run_once(store: &Store) -> Result<usize, Failure> {
    Service::new(store)?.run_once(store).await
}

/// What deciding takes; keep it between sweeps, so that leases of dead workers are noticed.
#[derive(Debug)]
pub struct Service {
    watches: Watches,
    limits: Limits,
    max_size: u64,
    library: PathBuf,
    /// ONNX Runtime's version here.
    version: String,
}

/// What came of asking for one version's verdict.
#[derive(Debug)]
pub enum Answer {
    /// This verdict stands, whoever wrote it.
    Decided(Box<Admission>),
    /// Another worker (so its lease says) is deciding.
    Elsewhere(String),
    /// There is no such version.
    Missing,
}

impl Service {
    /// With the limits that are configured.
    ///
    /// # Errors
    /// `runtime.library`: without ONNX Runtime nothing can be decided.
    pub fn new(store: &Store) -> Result<Self, Failure> {
        let config = store.config();
        let runtime = runtime::load(config.onnxruntime.as_deref()).map_err(Failure::system)?;
        Ok(Self {
            watches: Watches::default(),
            limits: Limits {
                time: config.admission_timeout,
                memory: (config.admission_memory_mib as u64) << 20,
                ..Limits::default()
            },
            max_size: (config.max_model_mib as u64) << 20,
            library: runtime.library.clone(),
            version: runtime.version.clone(),
        })
    }

    /// Looks at every version row: those without a verdict are decided, those whose row was altered
    /// since become `tampered`, those that an older ONNX Runtime admitted are looked at again.
    ///
    /// # Errors
    /// Cassandra being away or refusing; trouble with one version is logged, and the others go on.
    pub async fn run_once(&mut self, store: &Store) -> Result<usize, Failure> {
        let mut decided = 0;
        for name in store.models().await? {
            let admissions = match store.admissions(&name).await {
                Ok(admissions) => admissions,
                Err(error) if ends_the_sweep(&error) => return Err(error.into()),
                Err(error) => {
                    tracing::error!(model = name, %error, "its admissions cannot be read");
                    continue;
                }
            };
            // The oldest first, as they were registered.
            for row in store.versions(&name).await?.into_iter().rev() {
                let standing = admissions
                    .iter()
                    .find(|admission| admission.version == row.version);
                match self.consider(store, &row, standing).await {
                    Ok(wrote) => decided += usize::from(wrote),
                    Err(Trouble::Store(error)) if ends_the_sweep(&error) => {
                        return Err(error.into());
                    }
                    Err(trouble) => {
                        let version = row.version;
                        tracing::error!(model = name, version, %trouble, "no verdict");
                    }
                }
            }
        }
        Ok(decided)
    }

    /// One version's verdict, now: for whoever waits for it.
    ///
    /// # Errors
    /// Cassandra, or a machine on which nothing can be decided.
    pub async fn decide(
        &mut self,
        store: &Store,
        name: &str,
        version: i32,
    ) -> Result<Answer, Failure> {
        let Some(row) = store.version(name, version).await? else {
            return Ok(Answer::Missing);
        };
        let standing = store.admission(name, version).await?;
        self.consider(store, &row, standing.as_ref()).await?;
        Ok(match store.admission(name, version).await? {
            Some(admission) => Answer::Decided(Box::new(admission)),
            None => Answer::Elsewhere(
                store
                    .lease(&lease_name(&row))
                    .await?
                    .process
                    .as_deref()
                    .map_or_else(|| "somebody".to_owned(), crate::process::spoken),
            ),
        })
    }

    /// True when a verdict was written.
    async fn consider(
        &mut self,
        store: &Store,
        row: &VersionRow,
        standing: Option<&Admission>,
    ) -> Result<bool, Trouble> {
        let Some(admission) = standing else {
            return self.admit(store, row, None).await;
        };
        if admission.state != AdmissionState::Ready {
            return Ok(false);
        }
        if admission.version_row_hash.as_deref() != Some(row.hash().as_slice()) {
            let reason = "its row in model_versions was altered after it was admitted";
            let (from, to) = (AdmissionState::Ready, AdmissionState::Tampered);
            let moved = store.move_admission(&row.name, row.version, from, to, Some(reason));
            return Ok(moved.await?);
        }
        // An older library here does not undo what a newer one found: it looks again before its
        // first split, not in every sweep.
        let admitted_by = admission.runtime_version.as_deref().unwrap_or_default();
        if number(admitted_by) < number(&self.version) {
            return self.admit(store, row, Some(admission)).await;
        }
        Ok(false)
    }

    async fn admit(
        &mut self,
        store: &Store,
        row: &VersionRow,
        over: Option<&Admission>,
    ) -> Result<bool, Trouble> {
        let blob = match self.sensible(row) {
            Ok(blob) => blob,
            Err(reason) => {
                let decision = self.rejected(reason);
                store.decide(row, &decision, over).await?;
                return Ok(true);
            }
        };
        let lease = match store.ask_lease(&lease_name(row), &mut self.watches).await? {
            Asked::Granted(lease) => lease,
            Asked::Held(_) => return Ok(false),
        };
        // Somebody may have decided before the lease was ours.
        let standing = store.admission(&row.name, row.version).await?;
        if standing.as_ref().map(|a| a.decided_at) != over.map(|a| a.decided_at) {
            lease.release().await?;
            return Ok(false);
        }
        let died = lease.attempts() - 1;
        let decided = if died >= DEATHS {
            Ok(self.rejected(format!("{died} workers died while they looked at it")))
        } else {
            self.look(store, row, &blob, DEATHS - died).await
        };
        let decision = match decided {
            Ok(decision) => decision,
            // Says nothing about the model, so it is not held against it.
            Err(trouble) => {
                lease.release().await?;
                return Err(trouble);
            }
        };
        lease.check()?;
        let admission = store.decide(row, &decision, over).await?;
        lease.release().await?;
        let (model, version, state) = (&row.name, row.version, admission.state);
        tracing::info!(model, version, %state, "decided");
        Ok(true)
    }

    /// What can be told from the row alone.
    fn sensible(&self, row: &VersionRow) -> Result<Blob, String> {
        let mut wrong = Vec::new();
        if row.version < 1 {
            wrong.push(format!("version is {}; versions count from 1", row.version));
        }
        for (name, value) in [("rtol", row.rtol), ("atol", row.atol)] {
            if let Some(value) = value.filter(|value| value.is_nan() || *value < 0.0) {
                wrong.push(format!("{name} is {value}; it must be a number from 0"));
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

    /// Fetches the bytes and has a child decide, again after a death until `deaths` are used up.
    async fn look(
        &self,
        store: &Store,
        row: &VersionRow,
        blob: &Blob,
        deaths: i32,
    ) -> Result<Decision, Trouble> {
        let golden = match golden(store, row).await? {
            Ok(golden) => golden,
            Err(reason) => return Ok(self.rejected(reason)),
        };
        let place = tempfile::tempdir().map_err(Trouble::local)?;
        let path = place.path().join("model.onnx");
        let mut file = std::fs::File::create(&path).map_err(Trouble::local)?;
        match store.download(blob, |bytes| file.write_all(bytes)).await {
            Ok(()) => {}
            Err(BlobError::Damaged(reason)) => return Ok(self.rejected(reason)),
            Err(BlobError::Store(error)) => return Err(error.into()),
            Err(BlobError::Local(error)) => return Err(Trouble::local(error)),
        }
        drop(file);
        let usual = Tolerance::default();
        let request = Request {
            feature_names: row.feature_names.clone().unwrap_or_default(),
            class_names: row.class_names.clone().unwrap_or_default(),
            golden,
            tolerance: Tolerance {
                rtol: row.rtol.unwrap_or(usual.rtol),
                atol: row.atol.unwrap_or(usual.atol),
            },
            max_size: self.max_size,
            sha256: Some(Sha(blob.sha256)),
            ..Request::new(path, self.library.clone())
        };
        let mut last = String::new();
        for _ in 0..deaths {
            let (request, limits) = (request.clone(), self.limits.clone());
            let outcome = tokio::task::spawn_blocking(move || child::run(&request, &limits))
                .await
                .map_err(|error| Trouble::local(std::io::Error::other(error)))?
                .map_err(Trouble::Here)?;
            match outcome {
                Outcome::Admitted(admitted) => return Ok(Decision::Ready(admitted)),
                Outcome::Rejected(problems) => {
                    let lines: Vec<_> = problems.iter().map(Problem::line).collect();
                    return Ok(self.rejected(lines.join("\n")));
                }
                Outcome::Died(problem) => {
                    let (model, version) = (&row.name, row.version);
                    last = problem.line();
                    tracing::warn!(model, version, "the admission process died: {last}");
                }
            }
        }
        Ok(self.rejected(format!("killed the admission process twice: {last}")))
    }

    fn rejected(&self, reason: String) -> Decision {
        Decision::Rejected {
            reason,
            runtime_version: Some(self.version.clone()),
        }
    }
}

/// Golden rows' text, or why they cannot be had.
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
        Err(BlobError::Damaged(reason)) => Ok(Err(format!("golden rows: {reason}"))),
        Err(BlobError::Store(error)) => Err(error.into()),
        Err(BlobError::Local(error)) => Err(Trouble::local(error)),
    }
}

fn lease_name(row: &VersionRow) -> String {
    format!("admission/{}/{}", row.name, row.version)
}

/// (1, 31) of `1.31.1`.
fn number(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Cassandra is away, or will go on refusing: the next version would fare no better.
fn ends_the_sweep(error: &StoreError) -> bool {
    matches!(
        error.kind,
        StoreErrorKind::Unavailable | StoreErrorKind::Denied | StoreErrorKind::Missing
    )
}

/// Why there is no verdict; nothing that the model is to blame for.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This machine: no room, no processes, no library.
    #[error("{}", .0.line())]
    Here(Problem),
}

impl Trouble {
    fn local(error: std::io::Error) -> Self {
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

#[cfg(test)]
mod tests {
    #[test]
    fn versions_compare_by_number() {
        assert!(super::number("1.9.0") < super::number("1.31.1"));
        assert_eq!(super::number("1.31.0"), super::number("1.31.9"));
        assert!(super::number("") < super::number("1.0"));
    }
}
