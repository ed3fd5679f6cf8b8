//! Chooses the rows of a sample: some after each of several random tokens.

use rand::{Rng, RngExt};

use crate::codec::ring::{self, TokenRange};

/// Maximum number of places at which a sample reads.
const PLACES: u64 = 64;

/// A part of the ring, where to begin in it, and how many rows to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stratum {
    /// The part of the ring.
    pub range: TokenRange,
    /// Where to begin: a token of the range.
    pub begin: i64,
    /// Maximum number of source rows.
    pub rows: u64,
}

impl Stratum {
    /// Returns the range from `begin` to the end, then the range before `begin`; together they are
    /// the whole range.
    pub fn ranges(&self) -> impl Iterator<Item = TokenRange> + use<> {
        let behind = TokenRange::new(self.begin, self.range.up_to);
        let before = TokenRange::new(self.range.after, self.begin);
        behind.into_iter().chain(before)
    }
}

/// Returns strata of about equal width over the whole ring, with `rows` rows in total.
pub fn strata(rows: u64, random: &mut impl Rng) -> Vec<Stratum> {
    strata_at(PLACES, rows, random)
}

/// Returns at most `places` strata, otherwise as in [`strata`].
pub fn strata_at(places: u64, rows: u64, random: &mut impl Rng) -> Vec<Stratum> {
    let places = rows.clamp(1, places);
    let ranges = ring::split(TokenRange::WHOLE, &[], places as usize);
    let places = ranges.len() as u64;
    ranges
        .into_iter()
        .zip(0..)
        .map(|(range, place)| {
            // The first strata take the remainder.
            let rows = rows / places + u64::from(place < rows % places);
            let offset = random.random_range(0..range.width());
            Stratum {
                range,
                begin: range.after.wrapping_add(offset as i64),
                rows,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strata_cover_the_ring_and_their_rows_add_up() {
        for rows in [1, 5, 64, 65, 1_000] {
            let strata = strata(rows, &mut rand::rng());
            assert_eq!(strata.iter().map(|stratum| stratum.rows).sum::<u64>(), rows);
            let mut after = i64::MIN;
            for stratum in &strata {
                assert_eq!(stratum.range.after, after);
                after = stratum.range.up_to;
                let width: u64 = stratum.ranges().map(TokenRange::width).sum();
                assert_eq!(width, stratum.range.width());
            }
            assert_eq!(after, i64::MAX);
        }
    }
}
