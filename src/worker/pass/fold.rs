//! What is made of the entities of a pass.

use serde::{Serialize, de::DeserializeOwned};

use super::{Entity, Label};

/// A part takes at most so many bytes (bincode): 256 of them are read again by whoever goes on.
pub const PART_BYTES: usize = 1 << 20;

/// Makes a part of each split, and adds parts up.
///
/// A part depends on nothing but the entities it has seen and what the fold was made with, which
/// must be part of the identity or the settings of the pass.
pub trait Fold: Send + Sync + 'static {
    /// What is known of some entities; at most [`PART_BYTES`] when serialised.
    type Part: Serialize + DeserializeOwned + Send + 'static;

    /// Of no entity.
    fn empty(&self) -> Self::Part;

    /// Of a row with this label, what counts is the last prediction that was made before this time,
    /// milliseconds since 1970, as far as the job's history knows; `None`: what stands.
    fn before(&self, _label: Option<&Label<'_>>) -> Option<i64> {
        None
    }

    /// Takes an entity in.
    fn fold(&self, part: &mut Self::Part, entity: &Entity<'_>);

    /// Takes another part in, whose splits follow in ring order.
    fn merge(&self, sum: &mut Self::Part, part: Self::Part);
}
