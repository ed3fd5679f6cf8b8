//! Admission: every registered version gets a verdict.
//!
//! All rows are treated alike, whether the command line, a driver or cqlsh wrote them. The
//! version's chunks are checked, a child process decides (`scorer::child`), and the verdict is
//! written once, under the lease `admission/<model>/<version>`. Claims of that lease are counted
//! before the work starts: a version that crashes its worker or its child twice is rejected.
//!
//! A hostile model cannot block others. A sweep takes a short look at each version, in order of
//! registration, and versions that need longer are examined outside the sweeps (`slow`).

mod look;
mod slow;

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use self::{
    look::{Looked, Looker, Patience, Trouble},
    slow::Slow,
};
use crate::{
    domain::{
        model::{AdmissionState, ReadyVersion, Signature},
        problem::Problem,
    },
    failpoint,
    failure::Failure,
    scorer::runtime,
    store::{
        Store,
        admin::leases::{Asked, Watches},
        driver::error::{StoreError, StoreErrorKind},
        registry::{
            admissions::{Admission, Decision},
            models::VersionRow,
        },
    },
};

/// Crashes, of workers or of children, after which a version is rejected.
const DEATHS: i32 = 2;

/// Decides about every version that waits for a verdict; returns how many verdicts were written.
///
/// # Errors
/// As [`Service::run_once`].
pub async fn run_once(store: &Store) -> Result<usize, Failure> {
    Service::new(store)?.run_once(store).await
}

/// Confirms that the library here accepts a version; call it before the first split of a run.
///
/// A version that an ONNX Runtime of another minor version admitted is examined again here. A newer
/// library writes its verdict. An older one only decides for this process, and does not undo what
/// the newer one found.
///
/// # Errors
/// `model.not_here`: the library here refuses the version, or finds another signature.
pub async fn confirm(store: &Store, ready: &ReadyVersion) -> Result<(), Failure> {
    static CONFIRMED: Mutex<BTreeSet<[u8; 32]>> = Mutex::new(BTreeSet::new());
    let confirmed = || CONFIRMED.lock().unwrap_or_else(PoisonError::into_inner);
    let admitted = &ready.admitted;
    let mut service = Service::new(store)?;
    let here = number(&service.looker.version);
    if number(&admitted.runtime_version) == here || confirmed().contains(&admitted.sha256) {
        return Ok(());
    }
    let reason = match service.again(store, ready).await? {
        Ok(signature) if signature == admitted.signature => {
            confirmed().insert(admitted.sha256);
            return Ok(());
        }
        Ok(_) => "it has another signature here; plan again".to_owned(),
        Err(reason) => reason,
    };
    let (model, version) = (&ready.model, ready.version);
    Err(Failure::system(Problem::new(
        "model.not_here",
        format!(
            "version {version} of model `{model}` was admitted by ONNX Runtime {}, and ONNX Runtime {} refuses it: {reason}",
            admitted.runtime_version, service.looker.version
        ),
    )))
}

/// Admission's state and limits; keep it between sweeps, so that leases of crashed workers are
/// noticed.
#[derive(Debug)]
pub struct Service {
    watches: Watches,
    looker: Looker,
    slow: Slow,
}

/// Outcome of considering a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Considered {
    /// Nothing to do, or another process does it.
    Nothing,
    /// A verdict was written.
    Decided,
    /// The version needs more time than a first look has.
    TooShort,
}

/// Answer to a request for one version's verdict.
#[derive(Debug)]
pub enum Answer {
    /// The verdict, whichever process wrote it.
    Decided(Box<Admission>),
    /// Another worker holds the lease and is deciding; contains the holder's name.
    Elsewhere(String),
    /// The version does not exist.
    Missing,
}

impl Service {
    /// Returns a service with the configured limits.
    ///
    /// # Errors
    /// `runtime.library`: no verdict is possible without ONNX Runtime.
    pub fn new(store: &Store) -> Result<Self, Failure> {
        let named = store.config().onnxruntime.as_deref();
        let runtime = runtime::load(named).map_err(Failure::system)?;
        Ok(Self {
            watches: Watches::default(),
            looker: Looker::new(store, runtime),
            slow: Slow::default(),
        })
    }

    /// Sweeps until every version has its verdict; returns how many were written.
    ///
    /// # Errors
    /// As [`Service::sweep`].
    pub async fn run_once(&mut self, store: &Store) -> Result<usize, Failure> {
        let mut decided = self.sweep(store).await?;
        while let Some(verdict) = self.slow_verdict(store).await {
            decided += usize::from(verdict);
        }
        Ok(decided)
    }

    /// Returns whether versions that need more time are being examined.
    pub fn has_slow(&self) -> bool {
        !self.slow.is_empty()
    }

    /// Waits until a version that needs more time has been examined; returns whether it got a
    /// verdict. Returns `None` if no version needs more time. Dropping the future loses nothing.
    pub async fn slow_verdict(&mut self, store: &Store) -> Option<bool> {
        self.slow.next(store, &self.looker).await
    }

    /// Waits for the looks that are under way, and starts no other.
    pub async fn finish(&mut self) {
        self.slow.finish().await;
    }

    /// Sweeps all version rows. Versions without a verdict are decided, those whose row was altered
    /// since become `tampered`, and those that an older ONNX Runtime admitted are examined again.
    /// Versions that need more time than a first look has are left to [`Service::slow_verdict`].
    ///
    /// # Errors
    /// Cassandra is unavailable or refuses. A failure with one version is logged, and the sweep
    /// continues.
    pub async fn sweep(&mut self, store: &Store) -> Result<usize, Failure> {
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
            // Oldest first, in order of registration.
            for row in store.versions(&name).await?.into_iter().rev() {
                if self.slow.holds(&row.name, row.version) {
                    continue;
                }
                let standing = admissions
                    .iter()
                    .find(|admission| admission.version == row.version);
                match self.consider(store, &row, standing, Patience::Short).await {
                    Ok(Considered::Nothing) => {}
                    Ok(Considered::Decided) => decided += 1,
                    Ok(Considered::TooShort) => self.slow.add(row.name, row.version),
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

    /// Decides about one version now, for a caller that waits for the verdict.
    ///
    /// # Errors
    /// Errors of Cassandra, or of a machine on which no verdict is possible.
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
        self.consider(store, &row, standing.as_ref(), Patience::Full)
            .await?;
        Ok(match store.admission(name, version).await? {
            Some(admission) => Answer::Decided(Box::new(admission)),
            None => Answer::Elsewhere(
                store
                    .lease(&lease_name(&row))
                    .await?
                    .process
                    .as_deref()
                    .map_or_else(|| "somebody".to_owned(), crate::process::readable),
            ),
        })
    }

    /// Returns the signature that the library here finds in an admitted version, or why it refuses
    /// the version.
    async fn again(
        &mut self,
        store: &Store,
        ready: &ReadyVersion,
    ) -> Result<Result<Signature, String>, Failure> {
        let (model, version) = (&ready.model, ready.version);
        let Some(row) = store.version(model, version).await? else {
            return Ok(Err("its row is gone".to_owned()));
        };
        if number(&ready.admitted.runtime_version) < number(&self.looker.version) {
            return Ok(match self.decide(store, model, version).await? {
                Answer::Decided(admission) => match admission.admitted {
                    Some(admitted) if admission.state == AdmissionState::Ready => {
                        Ok(admitted.signature)
                    }
                    _ => Err(admission.reason.unwrap_or_default()),
                },
                Answer::Elsewhere(who) => Err(format!("{who} is looking at it; try again")),
                Answer::Missing => Err("its row is gone".to_owned()),
            });
        }
        let blob = match self.looker.sensible(&row) {
            Ok(blob) => blob,
            Err(reason) => return Ok(Err(reason)),
        };
        let looked = self
            .looker
            .decide(store, &row, &blob, DEATHS, Patience::Full)
            .await?;
        Ok(match looked {
            Looked::Decided(Decision::Ready(admitted)) => Ok(admitted.signature),
            Looked::Decided(Decision::Rejected { reason, .. }) => Err(reason),
            Looked::TooShort => Err("it was not looked at for long enough".to_owned()),
        })
    }

    async fn consider(
        &mut self,
        store: &Store,
        row: &VersionRow,
        standing: Option<&Admission>,
        patience: Patience,
    ) -> Result<Considered, Trouble> {
        let Some(admission) = standing else {
            return self.admit(store, row, None, patience).await;
        };
        if admission.state != AdmissionState::Ready {
            return Ok(Considered::Nothing);
        }
        if admission.version_row_hash.as_deref() != Some(row.hash().as_slice()) {
            let reason = "its row in model_versions was altered after it was admitted";
            let (from, to) = (AdmissionState::Ready, AdmissionState::Tampered);
            let moved = store.move_admission(&row.name, row.version, from, to, Some(reason));
            return Ok(match moved.await? {
                true => Considered::Decided,
                false => Considered::Nothing,
            });
        }
        // An older library here does not undo what a newer one found: it examines the version
        // before its first split, not in every sweep.
        let admitted_by = admission.runtime_version.as_deref().unwrap_or_default();
        if number(admitted_by) < number(&self.looker.version) {
            return self.admit(store, row, Some(admission), patience).await;
        }
        Ok(Considered::Nothing)
    }

    async fn admit(
        &mut self,
        store: &Store,
        row: &VersionRow,
        over: Option<&Admission>,
        patience: Patience,
    ) -> Result<Considered, Trouble> {
        let blob = match self.looker.sensible(row) {
            Ok(blob) => blob,
            Err(reason) => {
                let decision = self.looker.rejected(reason);
                store.decide(row, &decision, over).await?;
                return Ok(Considered::Decided);
            }
        };
        let lease = match store.ask_lease(&lease_name(row), &mut self.watches).await? {
            Asked::Granted(lease) => lease,
            Asked::Held(_) => return Ok(Considered::Nothing),
        };
        failpoint::hit("during_admission");
        // Another process may have decided before this one acquired the lease.
        let standing = store.admission(&row.name, row.version).await?;
        if standing.as_ref().map(|a| a.decided_at) != over.map(|a| a.decided_at) {
            lease.release().await?;
            return Ok(Considered::Nothing);
        }
        let died = lease.attempts() - 1;
        let looked = if died >= DEATHS {
            let reason = format!("{died} workers died while they looked at it");
            Ok(Looked::Decided(self.looker.rejected(reason)))
        } else {
            self.looker
                .decide(store, row, &blob, DEATHS - died, patience)
                .await
        };
        let decision = match looked {
            Ok(Looked::Decided(decision)) => decision,
            Ok(Looked::TooShort) => {
                lease.release().await?;
                return Ok(Considered::TooShort);
            }
            // This failure says nothing about the model, so it does not count against it.
            Err(trouble) => {
                lease.release().await?;
                return Err(trouble);
            }
        };
        lease.check()?;
        let admission = store.decide(row, &decision, over).await?;
        failpoint::hit("after_admission");
        lease.release().await?;
        let (model, version, state) = (&row.name, row.version, admission.state);
        tracing::info!(model, version, %state, "decided");
        Ok(Considered::Decided)
    }
}

fn lease_name(row: &VersionRow) -> String {
    format!("admission/{}/{}", row.name, row.version)
}

/// Returns the major and minor version: (1, 31) for `1.31.1`.
fn number(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Returns whether Cassandra is unavailable or will keep refusing, so that the next version would
/// fail, too.
fn ends_the_sweep(error: &StoreError) -> bool {
    matches!(
        error.kind,
        StoreErrorKind::Unavailable | StoreErrorKind::Denied | StoreErrorKind::Missing
    )
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
