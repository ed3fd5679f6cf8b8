//! A row of `experiments`, and its answer.

use chrono::Utc;

use super::{
    super::ask::{self, Intent, Reconciled},
    Context,
};
pub use crate::command::ask::Wait;
use crate::{
    control::experiments,
    failure::Failure,
    store::{Store, evidence::experiments::ExperimentStatus},
};

/// Answers the row here if this login is permitted to, or waits for a worker's answer. `is_answered`:
/// whether an answer is about the row as it was written.
///
/// # Errors
/// Exit 3: nobody answered, or Cassandra. The row remains.
pub async fn answered(
    store: &Store,
    context: &Context,
    (job, name, revision): (&str, &str, i32),
    is_answered: fn(&ExperimentStatus) -> bool,
    wait: Wait,
) -> Result<ExperimentStatus, Failure> {
    let mut row = ExperimentIntent {
        job,
        name,
        revision,
        is_answered,
    };
    Ok(ask::ask(store, context, &mut row, wait).await?.0)
}

struct ExperimentIntent<'n> {
    job: &'n str,
    name: &'n str,
    revision: i32,
    is_answered: fn(&ExperimentStatus) -> bool,
}

impl Intent for ExperimentIntent<'_> {
    type Answer = ExperimentStatus;

    fn what(&self) -> &'static str {
        "answer experiments"
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Reconciled<ExperimentStatus>, Failure> {
        Box::pin(experiments::answer(store, self.job, Utc::now())).await?;
        Ok(match self.answer(store).await? {
            Some(answer) => Reconciled::Answered(answer),
            None => Reconciled::Waits(None),
        })
    }

    async fn answer(&mut self, store: &Store) -> Result<Option<ExperimentStatus>, Failure> {
        let statuses = store.experiment_statuses(self.job).await?;
        let mut statuses = statuses.into_iter().filter(self.is_answered);
        Ok(statuses
            .find(|status| (status.name.as_str(), status.revision) == (self.name, self.revision)))
    }
}
