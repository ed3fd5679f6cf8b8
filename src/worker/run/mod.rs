//! A run, from a wish to its end.
//!
//! 1. [`plan`] opens it: one conditional batch takes the prediction table for (job, version), and
//!    the WRITETIME that Cassandra gives it becomes the run's base timestamp. The splits are
//!    written once.
//! 2. [`work`] claims splits under leases ([`lease`]), each with a fencing number (epoch) that
//!    rises with every claim. Predictions carry `base + 2 x epoch` as their timestamp, so whatever
//!    a dead or frozen owner sends late loses against its successor.
//! 3. [`split`] walks source and prediction table together and scores what is pending:
//!    scan → decode → score → write.
//! 4. [`close`] sums the counts, reads a sample back, and makes the one terminal transition.
//!
//! Nothing is a queue and nothing is deleted on the way: after a crash the same command goes on.
//! What fails where:
//! - A process dies: its splits' leases run out (at once where the same machine can prove it
//!   dead), others claim them at the next epoch and rewrite them wholly.
//! - A write times out: it is sent again, the same bytes under the same timestamp.
//! - A conditional write times out: it is read back at SERIAL.
//! - An owner is frozen: when it wakes up its fence is closed, and what was on its way loses.

pub mod batch;
mod claim;
pub mod close;
pub mod context;
pub mod current;
pub mod lane;
pub mod lease;
pub mod lineage;
pub mod open;
mod owned;
pub mod pace;
pub mod pending;
pub mod plan;
pub mod shared;
pub mod slots;
pub mod source;
pub mod spent;
pub mod split;
pub mod start;
pub mod stop;
pub mod stored;
pub mod tally;
pub mod walk;
pub mod work;
pub mod write;
