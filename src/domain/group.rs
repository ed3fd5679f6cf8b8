//! Groups of entities for intervals: rows of one partition stay together.
//!
//! Metrics of a pass come with delete-a-group jackknife intervals (Kott 2001) over
//! [`GROUPS`] groups, drawn by a salted hash of the serialised partition key: rows of one entity
//! tell less than as many rows of different ones, so they are left out together.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Groups that entities fall into.
pub const GROUPS: u64 = 100;

/// Not the seed of any other hash of helenus, so that groups say nothing about tokens or arms.
const SALT: u64 = 0x6865_6c65_6e75_7301;

/// A hash of a serialised partition key, the same in every pass; the group is its remainder by
/// [`GROUPS`].
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
