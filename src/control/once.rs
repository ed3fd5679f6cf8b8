//! One pass: every controller answers what it finds, and every open run is worked on to its end.

use uuid::Uuid;

use super::{Controller, Round, controllers};
use crate::{
    engine::run::{open::open_runs, shared::Shared, work::Worked},
    failure::Failure,
    store::Store,
};

/// What one pass did.
#[derive(Debug, Default)]
pub struct Pass {
    /// Each controller's name, and how many rows it answered.
    pub answered: Vec<(&'static str, usize)>,
    /// Runs that triggers opened or joined.
    pub fired: usize,
    /// Runs that were worked on.
    pub runs: Vec<Uuid>,
    /// What could not be done.
    pub errors: Vec<String>,
}

impl Pass {
    /// Returns how many rows the controller of this name answered.
    pub fn answered_by(&self, name: &str) -> usize {
        let of_name = self.answered.iter().filter(|(of, _)| *of == name);
        of_name.map(|(_, answered)| answered).sum()
    }

    fn add(&mut self, name: &'static str, round: Round) {
        self.answered.push((name, round.answered));
        if name == "triggers" {
            self.fired += round.runs.len();
        }
        self.errors.extend(round.errors);
    }
}

/// Runs every controller to its end, and works on every open run to its end. Then repeats this for
/// the controllers whose rows waited for a run, until no row waits for a run that this process
/// could end.
///
/// # Errors
/// Errors of Cassandra or of the ONNX Runtime library. One bad row, model or run does not affect
/// the others.
pub async fn once(store: &Store, shared: &Shared) -> Result<Pass, Failure> {
    let mut pass = Pass::default();
    let mut waiting = Vec::new();
    for mut controller in controllers::list() {
        if settle(store, controller.as_mut(), &mut pass).await?.1 > 0 {
            waiting.push(controller);
        }
    }
    work_on_all(store, shared, &mut pass).await?;
    while !waiting.is_empty() {
        let mut answered = 0;
        let mut still = Vec::new();
        for mut controller in waiting {
            controller.wake();
            let (now, left) = settle(store, controller.as_mut(), &mut pass).await?;
            answered += now;
            if left > 0 {
                still.push(controller);
            }
        }
        // The remaining rows wait for runs that could not be ended here.
        if answered == 0 {
            break;
        }
        waiting = still;
        work_on_all(store, shared, &mut pass).await?;
    }
    Ok(pass)
}

/// Runs one round and all its background work. Returns how many rows were answered, and how many
/// wait for a run.
async fn settle(
    store: &Store,
    controller: &mut dyn Controller,
    pass: &mut Pass,
) -> Result<(usize, usize), Failure> {
    let name = controller.name();
    let mut round = match controller.round(store).await {
        // With its clock off, this process must not decide what is due. It still works on runs that
        // others planned, which do not depend on the wall clock.
        Err(failure) if failure.is("clock.off") => Round {
            errors: vec![failure.to_string()],
            ..Round::default()
        },
        round => round?,
    };
    while controller.is_busy() {
        let more = controller.background(store).await;
        round.answered += more.answered;
        round.waiting += more.waiting;
        round.runs.extend(more.runs);
        round.errors.extend(more.errors);
    }
    let sums = (round.answered, round.waiting);
    pass.add(name, round);
    Ok(sums)
}

async fn work_on_all(store: &Store, shared: &Shared, pass: &mut Pass) -> Result<(), Failure> {
    for run in open_runs(store).await? {
        let (job, run_id) = (run.job.clone(), run.run_id);
        pass.runs.push(run_id);
        match Box::pin(crate::engine::work_on(store, run, shared)).await {
            Ok(Worked::Ended(_) | Worked::Stopped) => {}
            Ok(Worked::GaveUp(reason)) => pass
                .errors
                .push(format!("job `{job}`, run {run_id}: {reason}")),
            Err(failure) => pass
                .errors
                .push(format!("job `{job}`, run {run_id}: {failure}")),
        }
    }
    Ok(())
}
