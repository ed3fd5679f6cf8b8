//! Aggregates the entities of a pass.

use serde::{Serialize, de::DeserializeOwned};

use super::{Entity, Label};

/// Maximum size of a part in bytes (bincode), stored in rows of one MiB.
/// Only parts that hold scores come near it: the parts of all splits together take about as much as
/// the scores themselves may.
pub const PART_BYTES: usize = 64 << 20;

/// Aggregates the entities of each split into a part, and merges the parts.
///
/// A part depends only on the entities that it has seen and on the fold's own parameters. Those
/// parameters must be part of the identity or the settings of the pass.
pub trait Fold: Send + Sync + 'static {
    /// The aggregate of some entities; at most [`PART_BYTES`] when serialised.
    type Part: Serialize + DeserializeOwned + Send + 'static;

    /// Returns the part of no entity, with which each split begins.
    fn empty(&self) -> Self::Part;

    /// Returns the empty sum to which all parts are added.
    fn sum(&self) -> Self::Part {
        self.empty()
    }

    /// Returns the time before which the prediction of a row with this label must have been made,
    /// in milliseconds since 1970. Then the last earlier prediction counts, as far as the job's
    /// history has it. `None`: the stored prediction counts.
    fn before(&self, _label: Option<&Label<'_>>) -> Option<i64> {
        None
    }

    /// Adds an entity to a part.
    fn fold(&self, part: &mut Self::Part, entity: &Entity<'_>);

    /// Adds another part to the sum; its splits follow in ring order.
    fn merge(&self, sum: &mut Self::Part, part: Self::Part);
}
