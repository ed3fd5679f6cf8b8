//! Admission: every version that somebody registered gets a verdict.
//!
//! Whoever wrote the row (the command line, a driver, cqlsh), the same happens: its chunks are
//! checked, a child process decides (`scorer::child`), and the verdict is written once, under the
//! lease `admission/<model>/<version>`. Claims of that lease are counted before the work starts:
//! what kills its worker or its child twice is rejected. One hostile model stops no other.

mod look;

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use self::look::{Looker, Trouble};
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
        admissions::{Admission, Decision},
        error::{StoreError, StoreErrorKind},
        leases::{Asked, Watches},
        models::VersionRow,
    },
};

/// Deaths, of workers or of children, after which a version is rejected.
const DEATHS: i32 = 2;

/// Decides about every version that waits for it; gives how many verdicts were written.
///
/// # Errors
/// As [`Service::run_once`].
pub async fn run_once(store: &Store) -> Result<usize, Failure> {
    Service::new(store)?.run_once(store).await
}

/// Call before the first split of a run: a version that an ONNX Runtime of another minor version
/// admitted is looked at again here. A newer library writes its verdict; an older one only finds
/// out for this process, and does not undo what the newer one found.
///
/// # Errors
/// `model.not_here`: the library here refuses the version, or sees another signature.
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

/// What deciding takes; keep it between sweeps, so that leases of dead workers are noticed.
#[derive(Debug)]
pub struct Service {
    watches: Watches,
    looker: Looker,
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
        let named = store.config().onnxruntime.as_deref();
        let runtime = runtime::load(named).map_err(Failure::system)?;
        Ok(Self {
            watches: Watches::default(),
            looker: Looker::new(store, runtime),
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

    /// The signature that the library here sees in an admitted version, or why it refuses.
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
        Ok(match self.looker.look(store, &row, &blob, DEATHS).await? {
            Decision::Ready(admitted) => Ok(admitted.signature),
            Decision::Rejected { reason, .. } => Err(reason),
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
        if number(admitted_by) < number(&self.looker.version) {
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
        let blob = match self.looker.sensible(row) {
            Ok(blob) => blob,
            Err(reason) => {
                let decision = self.looker.rejected(reason);
                store.decide(row, &decision, over).await?;
                return Ok(true);
            }
        };
        let lease = match store.ask_lease(&lease_name(row), &mut self.watches).await? {
            Asked::Granted(lease) => lease,
            Asked::Held(_) => return Ok(false),
        };
        failpoint::hit("during_admission");
        // Somebody may have decided before the lease was ours.
        let standing = store.admission(&row.name, row.version).await?;
        if standing.as_ref().map(|a| a.decided_at) != over.map(|a| a.decided_at) {
            lease.release().await?;
            return Ok(false);
        }
        let died = lease.attempts() - 1;
        let decided = if died >= DEATHS {
            Ok(self
                .looker
                .rejected(format!("{died} workers died while they looked at it")))
        } else {
            self.looker.look(store, row, &blob, DEATHS - died).await
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
        failpoint::hit("after_admission");
        lease.release().await?;
        let (model, version, state) = (&row.name, row.version, admission.state);
        tracing::info!(model, version, %state, "decided");
        Ok(true)
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

#[cfg(test)]
mod tests {
    #[test]
    fn versions_compare_by_number() {
        assert!(super::number("1.9.0") < super::number("1.31.1"));
        assert_eq!(super::number("1.31.0"), super::number("1.31.9"));
        assert!(super::number("") < super::number("1.0"));
    }
}
