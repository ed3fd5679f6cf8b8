//! The engine: what scores rows.
//!
//! [`run`] is a run from its request to its end, with its splits and leases. [`jobs`] compiles a job
//! and its versions, [`models`] loads them, [`predict`] scores a batch of rows, and [`admission`] decides what may be loaded at all.

pub mod admission;
pub mod artifacts;
pub mod bundle;
pub mod clock;
pub mod forecast;
pub mod jobs;
pub mod model_files;
pub mod models;
pub mod predict;
pub mod reference;
pub mod run;
pub mod sample;
pub mod second_look;
pub mod warm;

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    failure::Failure,
    process,
    store::{Store, runs::splits::Claimant},
};
use run::{
    shared::Shared,
    start::{Started, start_or_fail},
    work::{Work, Worked},
};

/// Returns an identity of this process for one run: a random owner id, and where it runs.
pub fn claimant() -> Claimant {
    Claimant {
        owner: Uuid::new_v4(),
        process: process::identity().to_owned(),
    }
}

/// Works on one open run to its end.
///
/// # Errors
/// Errors of Cassandra, or of the ONNX Runtime library.
pub async fn work_on(
    store: &Store,
    run: crate::domain::run::Run,
    shared: &Shared,
) -> Result<Worked, Failure> {
    let context = match start_or_fail(store, run, Arc::default(), shared).await? {
        Started::Failed(run) => return Ok(Worked::Ended(run)),
        Started::Ready(context) => Arc::from(context),
    };
    let say = Arc::new(|text: String| tracing::info!("{text}"));
    Ok(Work::new(context, claimant(), shared, say).run().await?)
}
