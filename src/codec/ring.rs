//! Token ranges, and how a run's range is divided into splits.
//!
//! Tokens are those of Cassandra's Murmur3Partitioner: any `i64` but `i64::MIN`, which no row has.
//! A range is `(after, up_to]`; `i64::MIN` is permitted only as `after` (Cassandra returns the
//! whole table for `token <= MIN`).

use serde::{Deserialize, Serialize};

/// Tokens greater than `after` and at most `up_to`; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TokenRange {
    /// Exclusive lower bound.
    pub after: i64,
    /// Inclusive upper bound; never `i64::MIN`.
    pub up_to: i64,
}

impl TokenRange {
    /// The whole ring.
    pub const WHOLE: Self = Self {
        after: i64::MIN,
        up_to: i64::MAX,
    };

    /// Returns a range; `None` if it would contain no token.
    pub fn new(after: i64, up_to: i64) -> Option<Self> {
        (after < up_to).then_some(Self { after, up_to })
    }

    /// Returns the number of tokens, 1 to 2^64 - 1.
    pub fn width(self) -> u64 {
        self.up_to.wrapping_sub(self.after) as u64
    }

    /// Returns whether `token` is in the range.
    pub fn contains(self, token: i64) -> bool {
        self.after < token && token <= self.up_to
    }

    /// Returns whether any token is in both ranges.
    pub fn overlaps(self, other: Self) -> bool {
        self.after < other.up_to && other.after < self.up_to
    }

    /// Returns the lower and the upper half; `None` for a single token.
    pub fn halves(self) -> Option<(Self, Self)> {
        let middle = self.after.wrapping_add((self.width() / 2) as i64);
        Some((
            Self::new(self.after, middle)?,
            Self::new(middle, self.up_to)?,
        ))
    }

    /// Returns the parts of `self` that `other` does not cover, at most two.
    pub fn minus(self, other: Self) -> impl Iterator<Item = Self> {
        let (below, above) = if self.overlaps(other) {
            (
                Self::new(self.after, other.after.min(self.up_to)),
                Self::new(other.up_to.max(self.after), self.up_to),
            )
        } else {
            (Some(self), None)
        };
        below.into_iter().chain(above)
    }
}

/// Divides `range` into about `count` splits that never cross one of `cuts`.
///
/// `cuts` are tokens at which the replica sets change (the ring's tokens, where neighbours have
/// different replicas), in any order; every part between two cuts gets its proportional share of
/// `count`, at least one split. The splits are adjacent, ascending, and their widths sum to
/// `range.width()`.
pub fn split(range: TokenRange, cuts: &[i64], count: usize) -> Vec<TokenRange> {
    let mut bounds: Vec<i64> = cuts
        .iter()
        .copied()
        .filter(|cut| *cut > range.after && *cut < range.up_to)
        .collect();
    bounds.push(range.up_to);
    bounds.sort_unstable();
    bounds.dedup();
    let mut splits = Vec::with_capacity(count + bounds.len());
    let mut after = range.after;
    for up_to in bounds {
        let part = TokenRange { after, up_to };
        let share = u128::from(part.width()) * count as u128;
        let pieces = share.div_ceil(u128::from(range.width())).max(1) as u64;
        splits.extend(pieces_of(part, pieces));
        after = up_to;
    }
    splits
}

/// Returns equal pieces, each computed from the start so that rounding does not accumulate.
fn pieces_of(part: TokenRange, pieces: u64) -> impl Iterator<Item = TokenRange> {
    let width = u128::from(part.width());
    let pieces = u128::from(pieces).min(width);
    let bound = move |piece: u128| {
        part.after
            .wrapping_add((width * piece / pieces) as u64 as i64)
    };
    (0..pieces).map(move |piece| TokenRange {
        after: bound(piece),
        up_to: bound(piece + 1),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{TokenRange, split};

    fn assert_covers(range: TokenRange, splits: &[TokenRange]) {
        let widths: u128 = splits.iter().map(|split| u128::from(split.width())).sum();
        assert_eq!(widths, u128::from(range.width()));
        assert_eq!(splits.first().unwrap().after, range.after);
        assert_eq!(splits.last().unwrap().up_to, range.up_to);
        for pair in splits.windows(2) {
            assert_eq!(pair[0].up_to, pair[1].after);
        }
        assert!(splits.iter().all(|split| split.after < split.up_to));
    }

    proptest! {
        #[test]
        fn splits_cover_their_range_exactly(
            ends in (any::<i64>(), any::<i64>()).prop_filter("empty", |(a, b)| a != b),
            cuts in prop::collection::vec(any::<i64>(), 0..40),
            count in 1_usize..3_000,
        ) {
            let range = TokenRange::new(ends.0.min(ends.1), ends.0.max(ends.1)).unwrap();
            let splits = split(range, &cuts, count);
            assert_covers(range, &splits);
            for cut in cuts.iter().filter(|cut| range.contains(**cut) && **cut != range.up_to) {
                prop_assert!(splits.iter().any(|split| split.up_to == *cut));
            }
        }

        #[test]
        fn narrow_ranges_split_no_finer_than_their_tokens(start in any::<i64>(), width in 1_i64..20, count in 1_usize..50) {
            prop_assume!(start.checked_add(width).is_some());
            let range = TokenRange::new(start, start + width).unwrap();
            assert_covers(range, &split(range, &[], count));
        }

        #[test]
        fn what_minus_leaves_is_the_rest(a in any::<(i64, i64)>(), b in any::<(i64, i64)>(), token in any::<i64>()) {
            let (Some(a), Some(b)) = (TokenRange::new(a.0, a.1), TokenRange::new(b.0, b.1)) else { return Ok(()) };
            let left = a.minus(b).any(|part| part.contains(token));
            prop_assert_eq!(left, a.contains(token) && !b.contains(token));
        }
    }

    #[test]
    fn the_whole_ring_splits_without_min_as_an_upper_bound() {
        let splits = split(TokenRange::WHOLE, &[], 7);
        assert_covers(TokenRange::WHOLE, &splits);
        assert_eq!(splits.len(), 7);
    }

    #[test]
    fn halves_stop_at_one_token() {
        assert_eq!(TokenRange::new(5, 6).unwrap().halves(), None);
        let (low, high) = TokenRange::WHOLE.halves().unwrap();
        assert_eq!(
            (low.after, low.up_to, high.up_to),
            (i64::MIN, high.after, i64::MAX)
        );
    }
}
