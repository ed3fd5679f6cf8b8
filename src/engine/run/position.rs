//! The order of rows that the source and the prediction table share.

use xxhash_rust::xxh3::xxh3_128;

use crate::{
    codec::{key, schema::Column},
    store::driver::{error::StoreError, scan::token_of},
};

/// The position of a partition in its table. The field order gives the sort order.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Murmur3 token of the serialised key.
    pub token: i64,
    /// The serialised partition key.
    pub partition_key: Vec<u8>,
}

impl Clone for Position {
    fn clone(&self) -> Self {
        Self {
            token: self.token,
            partition_key: self.partition_key.clone(),
        }
    }

    /// Reuses the allocation: a walk does this for every partition.
    fn clone_from(&mut self, other: &Self) {
        self.token = other.token;
        self.partition_key.clone_from(&other.partition_key);
    }
}

impl Position {
    /// Sets the position to that of a row; `cells` are its partition key cells.
    ///
    /// # Errors
    /// A component that Cassandra could not have stored.
    pub fn set<'a>(
        &mut self,
        cells: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
    ) -> Result<(), StoreError> {
        self.partition_key.clear();
        key::append_partition_key(
            cells.map(Option::unwrap_or_default),
            &mut self.partition_key,
        )
        .map_err(|error| StoreError::corrupt(error.to_string(), "a partition key"))?;
        self.token = token_of(&self.partition_key);
        Ok(())
    }
}

/// Returns the identity of a row within its partition: a hash of its canonical clustering key.
pub fn row_identity<'a>(
    clustering: &'a [Column],
    cells: impl Iterator<Item = Option<&'a [u8]>>,
    scratch: &mut Vec<u8>,
) -> u128 {
    scratch.clear();
    key::append_clustering_key(clustering.iter(), cells, scratch);
    xxh3_128(scratch)
}
