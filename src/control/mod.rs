//! The control plane: users write rows, controllers answer them.
//!
//! Each kind of row has one [`Controller`]. It finds the rows that have no answer, does what they
//! ask for, and writes the answer. All controllers are in one list,
//! [`controllers`]. The leading
//! worker (`leader`) runs the whole list, each controller at its own period, until another worker
//! takes over the lead; `worker --once` ([`once`]) runs the same list to its end.
//!
//! Between rounds, a controller keeps only state that saves reads. Everything that matters is in
//! Cassandra, and each write is safe when two processes make it at the same time, so a successor
//! misses nothing.
//!
//! To add a kind of row, add a file to `controllers/` that implements [`Controller`] and one line
//! to its list; docs/controllers.md shows an example.

pub mod alarms;
pub mod aliases;
mod board;
pub mod controllers;
pub mod current;
pub mod experiments;
pub mod forget;
pub mod gates;
pub mod health;
pub mod http;
mod inbox;
pub mod jobs;
mod leader;
pub mod once;
pub mod planning;
mod presence;
pub mod purge;
pub mod requests;
pub mod retention;
pub mod retraining;
mod rounds;
pub mod scheduler;
mod scoring;
pub mod service;
pub mod trainer;

use std::{future::pending, time::Duration};

use futures::future::{BoxFuture, FutureExt, ready};
use uuid::Uuid;

use crate::{failure::Failure, store::Store};

/// Finds the rows of one kind that have no answer, and answers them.
pub trait Controller: Send {
    /// Returns the name used in the log and by `worker --once`.
    fn name(&self) -> &'static str;

    /// Returns the time from the end of a round to the next one.
    fn period(&self) -> Duration;

    /// Answers what can be answered now; long work continues in the background.
    ///
    /// # Errors
    /// Fails only if the rows could not be read; the round is then repeated after a growing pause.
    /// An invalid row gets an answer, and a row that cannot be answered now is listed in
    /// [`Round::errors`].
    fn round<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Result<Round, Failure>>;

    /// Returns whether work continues in the background.
    fn is_busy(&self) -> bool {
        false
    }

    /// Waits until one piece of background work has ended. Dropping the future loses nothing.
    fn background<'a>(&'a mut self, _store: &'a Store) -> BoxFuture<'a, Round> {
        pending().boxed()
    }

    /// Starts nothing more, and waits for background work that must not be interrupted.
    fn finish(&mut self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }

    /// Tells the controller that runs have ended: the next round checks all rows that waited for a
    /// run, however recently it checked them.
    fn wake(&mut self) {}
}

/// What a controller did.
#[derive(Debug, Default)]
pub struct Round {
    /// Rows that were answered.
    pub answered: usize,
    /// Runs that were opened or joined.
    pub runs: Vec<Opened>,
    /// Rows that wait for the end of a run.
    pub waiting: usize,
    /// What could not be done now; a later round tries again.
    pub errors: Vec<String>,
    /// Whether there may already be more to do.
    pub again_soon: bool,
}

/// A run that a controller opened or joined, and its cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub job: String,
    pub run_id: Uuid,
    /// For example ``trigger `nightly` ``.
    pub cause: String,
}
