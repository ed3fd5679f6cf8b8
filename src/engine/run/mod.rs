//! A run, from its request to its end.
//!
//! 1. [`plan`] opens it: one conditional batch takes the prediction table for (job, version). The
//!    WRITETIME that Cassandra assigns becomes the run's base timestamp. The splits are written
//!    once.
//! 2. [`work`] claims splits under leases ([`crate::store::runs::split_leases`]), each with a fencing number (epoch) that
//!    rises with every claim. Predictions carry the timestamp `base + 2 x epoch`, so late writes of
//!    a dead or frozen owner lose against those of its successor.
//! 3. [`split`] walks the source and the prediction table together and scores what is pending: scan
//!    → decode → score → write.
//!    Where the job says so, the predictions then go to topics ([`outbox`]).
//! 4. [`close`] sums the counts, reads a sample back, and makes the one terminal transition.
//!
//! There is no queue, and nothing is deleted on the way: after a crash the same command resumes the
//! run. How each failure is handled:
//! - A process dies: its splits' leases expire (at once if a process on the same machine can prove
//!   the death). Other processes claim them at the next epoch and rewrite them completely.
//! - A write times out: it is sent again, with the same bytes and the same timestamp.
//! - A conditional write times out: it is read back at SERIAL.
//! - An owner is frozen: when it wakes up its fence is closed, and its writes in flight lose.

pub mod base;
mod claim;
pub mod close;
pub mod context;
pub mod current;
pub mod drift;
pub mod heartbeat;
pub mod lane;
pub mod lineage;
pub mod open;
pub mod outbox;
mod output_warnings;
mod owned;
pub mod pace;
pub mod pending;
pub mod place;
pub mod plan;
pub mod position;
pub mod profiling;
mod read_back;
pub mod share;
pub mod shared;
pub mod slots;
pub mod source;
pub mod spent;
pub mod split;
pub mod split_error;
pub mod start;
pub mod stop;
pub mod stored;
pub mod tally;
pub mod walk;
pub mod work;
pub mod write;
