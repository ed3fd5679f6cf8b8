//! A row of `triggers`, and its answer.

use super::{
    super::ask::{self, Intent, Reconciled},
    Context, TriggerView, find,
};
pub use crate::command::ask::Wait;
use crate::{control::scheduler::Scheduler, failure::Failure, store::Store};

/// Answers the row here if this login is permitted to, or waits for a worker's answer.
///
/// # Errors
/// Exit 3: nobody answered, or Cassandra. The row remains.
pub async fn answered(
    store: &Store,
    context: &Context,
    (job, name): (&str, &str),
    wait: Wait,
) -> Result<TriggerView, Failure> {
    let mut row = TriggerIntent { job, name };
    Ok(ask::ask(store, context, &mut row, wait).await?.0)
}

struct TriggerIntent<'n> {
    job: &'n str,
    name: &'n str,
}

impl Intent for TriggerIntent<'_> {
    type Answer = TriggerView;

    fn what(&self) -> &'static str {
        "answer triggers"
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Reconciled<TriggerView>, Failure> {
        Scheduler::default().answer(store).await?;
        Ok(match self.answer(store).await? {
            Some(answer) => Reconciled::Answered(answer),
            None => Reconciled::Waits(None),
        })
    }

    async fn answer(&mut self, store: &Store) -> Result<Option<TriggerView>, Failure> {
        let found = find(store, Some(self.job), Some(self.name), true).await?;
        let mut found = found.into_iter();
        Ok(found.find(|trigger| trigger.state() != "unanswered"))
    }
}
