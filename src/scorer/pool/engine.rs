//! A thread's sessions: in this process, or in a separate one.

use std::sync::Arc;

use super::super::{
    image::Image,
    isolate::{Isolated, Killer, Phase},
    runtime::Runtime,
    session::{Model, RowOutcomes, RunError, Stop},
};
use crate::domain::{
    model::{Signature, tensor::InputBatch},
    problem::Problem,
};

/// Stops a thread's call.
#[derive(Clone)]
pub(super) enum StopHandle {
    Run(Stop),
    Process(Arc<Killer>),
}

impl StopHandle {
    pub(super) fn stop(&self) {
        match self {
            Self::Run(stop) => stop.stop(),
            Self::Process(killer) => killer.stop(),
        }
    }
}

impl std::fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stop")
    }
}

/// The sessions of one thread.
pub(super) enum Engine {
    /// In this process.
    Here(Vec<Model>),
    /// In a separate process.
    Isolated(Isolated),
}

impl Engine {
    /// Creates sessions in this process.
    ///
    /// # Errors
    /// ONNX Runtime refuses to load a version.
    pub(super) fn here(
        runtime: &Runtime,
        versions: &[(Image, Signature)],
    ) -> Result<Self, Problem> {
        let loaded: Result<Vec<Model>, Problem> = versions
            .iter()
            .map(|(image, signature)| Model::load(runtime, image, signature))
            .collect();
        Ok(Self::Here(loaded?))
    }

    /// Starts the process, if there is to be one, in the thread that will own it: it ends with the
    /// thread that starts it.
    ///
    /// # Errors
    /// As [`Isolated::load`].
    pub(super) fn load(&mut self) -> Result<(), Problem> {
        match self {
            Self::Here(_) => Ok(()),
            Self::Isolated(isolated) => isolated.load(),
        }
    }

    /// Returns a handle for one call of [`Engine::run_rows`]; `None`: there is no such version.
    pub(super) fn stop(&self, version: usize) -> Option<Result<StopHandle, Problem>> {
        match self {
            Self::Here(models) => {
                let stop = models.get(version)?.stop();
                Some(stop.map(StopHandle::Run))
            }
            Self::Isolated(isolated) => {
                (version < isolated.versions()).then(|| Ok(StopHandle::Process(isolated.killer())))
            }
        }
    }

    /// Scores the rows. `alive` is called when a phase with a separate time limit begins.
    pub(super) fn run_rows(
        &mut self,
        version: usize,
        batch: &InputBatch,
        stop: &StopHandle,
        alive: &dyn Fn(Phase),
    ) -> Result<RowOutcomes, RunError> {
        match (self, stop) {
            (Self::Here(models), StopHandle::Run(stop)) => models[version].run_rows(batch, stop),
            (Self::Isolated(isolated), _) => isolated.run_rows(version, batch, alive),
            (Self::Here(_), StopHandle::Process(_)) => Err(RunError::Stopped),
        }
    }
}
