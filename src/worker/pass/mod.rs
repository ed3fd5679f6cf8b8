//! A pass over all predictions of some versions, in step with the source: what `compare` and
//! `evaluate` are made of.
//!
//! 1. [`Scope::resolve`] names what is looked at: the job as it stands, versions by number or
//!    alias, a source column to tell segments apart, a table of labels.
//! 2. [`begin`] cuts the ring into at most [`MOST_SPLITS`] splits and notes them in `passes`; who
//!    asks the same while it is under way shares it.
//! 3. [`run`] walks the splits, several at a time, and shows each entity whole ([`Entity`]) to a
//!    [`Fold`], which makes a small part of each split. Parts are kept in `pass_parts` as they
//!    come, and added up in ring order.
//! 4. [`end`] removes the parts, once the result stands.
//!
//! It is the walk of a run ([`super::run::walk`]), read-only. After a crash or Ctrl-C the same call
//! finds the parts that were kept and goes on; parts are as old as the pass, so whoever shows the
//! result tells when that began. Memory: a page of each table, a partition's predictions and
//! labels, and a part for each split that is under way.

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
pub use scope::{LabelWish, Labels, Scope, Segment, Wish};
pub use work::{Found, Progress, Running, run};
