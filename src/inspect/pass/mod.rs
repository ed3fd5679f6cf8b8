//! A pass over all predictions of some versions, in step with the source; `compare` and `evaluate`
//! are built on it.
//!
//! 1. [`Scope::resolve`] names what is read: the job as it is now, versions by number or alias, a
//!    source column for segments, a table of labels.
//! 2. [`begin`] cuts the ring into at most [`MOST_SPLITS`] splits and stores them in `passes`; an
//!    identical request made while the pass is in progress shares it.
//! 3. [`run`] walks the splits, several at a time, and presents each entity whole ([`Entity`]) to a
//!    [`Fold`], which reduces each split to a small part. Parts are stored in `pass_parts` as they
//!    are completed, and merged in ring order.
//! 4. [`end`] removes the parts, once the result is stored.
//!
//! It uses the walk of a run ([`crate::engine::run::walk`]), read-only. After a crash or Ctrl-C the same
//! call finds the stored parts and resumes. Parts are as old as the pass, so a caller that shows
//! the result also shows when the pass began. Memory: a page of each table, one partition's
//! predictions and labels, a part for each split in progress, and their sum. The fold determines
//! the size of parts and sum.

mod asked;
mod begin;
mod entity;
mod fold;
mod join;
mod past;
mod sample;
mod scope;
mod side;
mod work;

pub use asked::{Options, versions};
pub use begin::{Begun, MOST_SPLITS, begin, end};
pub use entity::{Entity, Label, Standing};
pub use fold::{Fold, PART_BYTES};
pub use sample::sample;
pub use scope::{LabelSpec, Labels, PassSpec, Scope, Segment};
pub(in crate::inspect) use side::Side;
pub use work::{Found, Progress, Running, resumed, run};
