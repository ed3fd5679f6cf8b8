//! Groups of entities for intervals: the rows of a partition are in one group.
//!
//! Metrics of a pass have delete-a-group jackknife intervals (Kott 2001) over [`GROUPS`] groups,
//! drawn by a salted hash of the serialised partition key. Rows of one entity carry less
//! information than as many rows of different ones, so they are left out together.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Number of groups.
pub const GROUPS: u64 = 100;

/// Differs from the seeds of helenus's other hashes, so that groups are independent of them.
const SALT: u64 = 0x6865_6c65_6e75_7301;

/// Returns a hash of a serialised partition key, the same in every pass; the group is its remainder
/// by [`GROUPS`].
pub fn hash_of(partition_key: &[u8]) -> u64 {
    xxh3_64_with_seed(partition_key, SALT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_about_equal_and_never_change() {
        let mut sizes = vec![0_u32; GROUPS as usize];
        for id in 0..100_000_u32 {
            sizes[(hash_of(&id.to_be_bytes()) % GROUPS) as usize] += 1;
        }
        // Binomial around 1,000 with a standard deviation of 31.
        assert!(sizes.iter().all(|size| (850..1_150).contains(size)));
        assert_eq!(hash_of(&7_u32.to_be_bytes()) % GROUPS, FIXED);
    }

    const FIXED: u64 = 67;
}
