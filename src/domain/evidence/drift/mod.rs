//! Drift: whether the rows that a model is given, and its outputs, still look like those of a
//! reference.
//!
//! A [`Distribution`] counts one feature or output in fixed [`Bins`]: numbers between the
//! reference's quantiles, a few numbers or texts by value. Counts of splits are added in any order
//! ([`Counter`]). [`judge`] compares distributions: **drifted** means that the difference is large
//! enough to matter *and* that chance does not explain it at these numbers of rows. The share of
//! runs in which chance alone finds anything is at most [`ALPHA`]: all tests of a run are one family
//! (Holm 1979).

mod bins;
mod chance;
mod counter;
mod distance;
mod distribution;
mod judge;
mod profile;
mod reference;
mod verdict;

pub use bins::Bins;
pub use counter::{Counter, MAX_SAMPLED_VALUES, SAMPLED_ROWS};
pub use distribution::Distribution;
pub use judge::{Finding, Measure, Pair, judge};
pub use profile::{Counted, CountedVersion, CountingPlan, MAX_FEATURES, Profile, VersionProfile};
pub use reference::{ModelPlace, PREPARED, Reference, ReferenceCell, ReferenceReader};
pub use verdict::{Cause, DriftVerdict, Thresholds};

/// Probability that a run without any drift is reported to have drifted.
pub const ALPHA: f64 = 0.01;
/// Rows with a value that a distribution needs on both sides to be judged.
pub const MIN_ROWS: u64 = 200;

#[cfg(test)]
mod tests;
