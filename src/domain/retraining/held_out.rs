//! Rows that a trainer never sees, so that the version it makes can be judged by them.
//!
//! Whole partitions are held out: rows of one entity are alike. The share is drawn by a seeded hash
//! of the partition key, so that the same rows are held out in each training with the same seed,
//! and an evaluation finds them again from the version's tag alone.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The tag of a version that says which rows were held out: `SEED:SHARE`.
pub const TAG: &str = "helenus.held_out";

/// A share of all partitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOut {
    pub seed: u64,
    /// Above 0, below 1.
    pub share: f64,
}

impl HeldOut {
    /// Returns whether a partition is held out; `group` is
    /// [`crate::domain::evidence::group::hash_of`] its key.
    pub fn contains(&self, group: u64) -> bool {
        let hash = xxh3_64_with_seed(&group.to_le_bytes(), self.seed);
        // 53 bits: exact in a double.
        ((hash >> 11) as f64) < self.share * (1_u64 << 53) as f64
    }

    /// Returns the value of [`TAG`].
    pub fn to_tag(self) -> String {
        format!("{}:{}", self.seed, self.share)
    }

    /// Reads the tag of a version; `None` if it has none.
    ///
    /// # Errors
    /// The tag is invalid.
    pub fn of_tags(tags: &BTreeMap<String, String>) -> Result<Option<Self>, String> {
        let Some(text) = tags.get(TAG) else {
            return Ok(None);
        };
        let parsed = text.split_once(':').and_then(|(seed, share)| {
            let (seed, share) = (seed.parse().ok()?, share.parse().ok()?);
            (share > 0.0 && share < 1.0).then_some(Self { seed, share })
        });
        parsed
            .map(Some)
            .ok_or_else(|| format!("the tag {TAG} is `{text}`; it must be SEED:SHARE"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::evidence::group::hash_of;

    #[test]
    fn the_share_is_met_and_another_seed_holds_out_other_rows() {
        let of = |seed| {
            let held_out = HeldOut { seed, share: 0.2 };
            let ids = (0..50_000_u32).map(|id| hash_of(&id.to_be_bytes()));
            ids.map(|group| held_out.contains(group))
                .collect::<Vec<_>>()
        };
        let (one, other) = (of(1), of(2));
        let count = |rows: &[bool]| rows.iter().filter(|held| **held).count();
        // Binomial around 10,000 with a standard deviation of 89.
        assert!((9_600..10_400).contains(&count(&one)), "{}", count(&one));
        let both = one.iter().zip(&other).filter(|(a, b)| **a && **b).count();
        assert!((1_700..2_300).contains(&both), "{both}");
        assert_eq!(one, of(1));
    }

    #[test]
    fn the_tag_is_read_as_it_is_written() {
        let held_out = HeldOut {
            seed: u64::MAX,
            share: 0.123_456_789,
        };
        let tags = |text: String| BTreeMap::from([(TAG.to_owned(), text)]);
        assert_eq!(
            HeldOut::of_tags(&tags(held_out.to_tag())),
            Ok(Some(held_out))
        );
        assert_eq!(HeldOut::of_tags(&BTreeMap::new()), Ok(None));
        for wrong in ["", "1", "1:0", "1:1", "1:NaN", "-1:0.5", "x:0.5"] {
            assert!(
                HeldOut::of_tags(&tags(wrong.to_owned())).is_err(),
                "{wrong}"
            );
        }
    }
}
