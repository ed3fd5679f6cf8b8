//! Assigns units (patients, keys) to the arms of an experiment, by a hash alone: the same unit is in
//! the same arm in every process and at every time.
//!
//! A unit has two buckets out of [`BUCKETS`], each by xxh3-64 over a salt, a zero byte and the unit's
//! canonical bytes: one decides whether it takes part, the other its arm. With two hashes, the
//! share that takes part can be changed in a later experiment without a correlation with its arms.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::codec::{
    canonical::{Zeros, append_cell, append_value},
    schema::Column,
};

/// Number of buckets.
pub const BUCKETS: u32 = 10_000;

/// Returns the bucket of a unit: `(h * 10000) >> 64` of its 64-bit hash, which has no modulo bias.
pub fn bucket(salt: &str, unit: &[u8], scratch: &mut Vec<u8>) -> u32 {
    scratch.clear();
    scratch.extend_from_slice(salt.as_bytes());
    scratch.push(0);
    scratch.extend_from_slice(unit);
    ((u128::from(xxh3_64(scratch)) * u128::from(BUCKETS)) >> 64) as u32
}

/// Appends the canonical bytes of a unit, so that equal values have equal bytes (1.0 and 1.00 are one
/// decimal): of one column the value alone, of several each framed by [`append_cell`].
/// Returns `false`, and appends nothing, if the unit is one column that is null or empty.
pub fn append_unit(columns: &[Column], cells: &[Option<&[u8]>], out: &mut Vec<u8>) -> bool {
    if let [column] = columns {
        let Some(cell) = cells.first().copied().flatten().filter(|it| !it.is_empty()) else {
            return false;
        };
        append_value(&column.cql_type, cell, Zeros::Distinct, out);
        return true;
    }
    for (column, cell) in columns.iter().zip(cells) {
        append_cell(&column.cql_type, *cell, Zeros::Distinct, out);
    }
    true
}

/// An arm as it is frozen when the experiment starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    pub name: String,
    /// The version that its units are served by.
    pub version: i32,
    /// Its first bucket.
    pub from: u32,
    /// The bucket after its last one.
    pub to: u32,
}

/// The arms of a running experiment, as they are frozen when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    pub experiment: String,
    pub model: String,
    pub revision: i32,
    /// The source column whose values are the units; `None`: the key.
    pub unit: Option<String>,
    pub salt: String,
    /// Buckets that take part, from the first one.
    pub traffic: u32,
    /// Ascending by name; their ranges follow each other and cover all buckets.
    pub arms: Vec<Arm>,
}

impl Allocation {
    /// Returns the index of a unit's arm; `None` if it does not take part.
    pub fn arm_of(&self, unit: &[u8], scratch: &mut Vec<u8>) -> Option<usize> {
        if self.traffic < BUCKETS {
            let salt = format!("{}/traffic", self.salt);
            if bucket(&salt, unit, scratch) >= self.traffic {
                return None;
            }
        }
        let bucket = bucket(&self.salt, unit, scratch);
        self.arms
            .iter()
            .position(|arm| (arm.from..arm.to).contains(&bucket))
    }

    /// Returns what `lineage.arm` holds for the units of an arm: the experiment's name, a slash, and
    /// the arm's name.
    pub fn label(&self, arm: usize) -> String {
        format!("{}/{}", self.experiment, self.arms[arm].name)
    }

    /// Returns the arms' shares of those who take part, which sum to 1.
    pub fn shares(&self) -> Vec<f64> {
        let width = |arm: &Arm| f64::from(arm.to - arm.from) / f64::from(BUCKETS);
        self.arms.iter().map(width).collect()
    }
}

/// Returns the ranges of buckets of arms with these shares, in their order. Ends are rounded to whole
/// buckets, so the ranges follow each other without a gap.
pub fn ranges(shares: &[f64]) -> Vec<(u32, u32)> {
    let (mut sum, mut from) = (0.0, 0);
    let mut ranges: Vec<(u32, u32)> = Vec::with_capacity(shares.len());
    for share in shares {
        sum += share;
        let to = ((sum * f64::from(BUCKETS)).round() as u32).clamp(from, BUCKETS);
        ranges.push((from, to));
        from = to;
    }
    if let Some(last) = ranges.last_mut() {
        last.1 = BUCKETS;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::cql_type::CqlType,
        domain::evidence::experiment::sample_ratio::{p_value, statistic},
    };

    fn halves(salt: &str) -> Allocation {
        let arm = |name: &str, version, from, to| Arm {
            name: name.to_owned(),
            version,
            from,
            to,
        };
        Allocation {
            experiment: "e".to_owned(),
            model: "m".to_owned(),
            revision: 1,
            unit: None,
            salt: salt.to_owned(),
            traffic: BUCKETS,
            arms: vec![arm("a", 1, 0, 5_000), arm("b", 2, 5_000, BUCKETS)],
        }
    }

    #[test]
    fn buckets_are_those_of_the_published_vectors() {
        let mut scratch = Vec::new();
        for (salt, unit, hash, expected) in [
            ("exp1", &b"42"[..], 0xc5a4_64bf_2d20_79e6_u64, 7_720),
            ("exp1", b"", 0x01ce_44eb_89cc_48d0, 70),
            (
                "tumour/2026-11",
                &[0, 0, 0, 0x2a],
                0xf987_89dc_9fb2_1e11,
                9_747,
            ),
        ] {
            assert_eq!(bucket(salt, unit, &mut scratch), expected, "{salt}");
            assert_eq!(xxh3_64(&scratch), hash, "{salt}");
        }
    }

    #[test]
    fn equal_values_are_one_unit_and_null_is_none() {
        let column = |cql_type| Column {
            name: "u".to_owned(),
            cql_type,
        };
        let unit = |column: &Column, cell: Option<&[u8]>| {
            let mut out = Vec::new();
            append_unit(std::slice::from_ref(column), &[cell], &mut out).then_some(out)
        };
        let decimal = column(CqlType::Decimal);
        let one = [0, 0, 0, 1, 10];
        let same = [0, 0, 0, 2, 100];
        assert_eq!(unit(&decimal, Some(&one)), unit(&decimal, Some(&same)));
        let int = column(CqlType::Int);
        assert_eq!(unit(&int, Some(&[0, 0, 0, 42])), Some(vec![0, 0, 0, 42]));
        assert_eq!(unit(&int, None), None);
        assert_eq!(unit(&column(CqlType::Text), Some(b"")), None);
        // The parts of a compound key cannot run into each other.
        let key = [column(CqlType::Text), column(CqlType::Text)];
        let pair = |a: &[u8], b: &[u8]| {
            let mut out = Vec::new();
            append_unit(&key, &[Some(a), Some(b)], &mut out);
            out
        };
        assert_ne!(pair(b"ab", b"c"), pair(b"a", b"bc"));
    }

    #[test]
    fn ranges_follow_each_other_and_cover_all_buckets() {
        assert_eq!(ranges(&[0.5, 0.5]), [(0, 5_000), (5_000, 10_000)]);
        let third = 1.0 / 3.0;
        let thirds = [(0, 3_333), (3_333, 6_667), (6_667, 10_000)];
        assert_eq!(ranges(&[third; 3]), thirds);
        let tenths = ranges(&[0.1; 10]);
        assert!(
            tenths.iter().all(|(from, to)| to - from == 1_000),
            "{tenths:?}"
        );
    }

    #[test]
    fn arms_are_even_and_those_of_two_salts_are_independent() {
        let (one, other) = (halves("expa"), halves("expb"));
        let mut counts = [0_u64; 4];
        let mut scratch = Vec::new();
        for id in 0..50_000_i32 {
            let unit = id.to_be_bytes();
            let a = one.arm_of(&unit, &mut scratch).unwrap();
            let b = other.arm_of(&unit, &mut scratch).unwrap();
            counts[2 * a + b] += 1;
        }
        let chi2 = statistic(&counts, &[0.25; 4]);
        assert!(p_value(chi2, 3) > 0.01, "{counts:?}");
    }

    #[test]
    fn a_larger_share_of_traffic_keeps_everybody_in_their_arm() {
        let all = halves("expa");
        let some = Allocation {
            traffic: 2_000,
            ..all.clone()
        };
        let more = Allocation {
            traffic: 6_000,
            ..all
        };
        let (mut scratch, mut taking_part, mut second) = (Vec::new(), 0, 0);
        for id in 0..20_000_i32 {
            let unit = id.to_be_bytes();
            if let Some(arm) = some.arm_of(&unit, &mut scratch) {
                assert_eq!(more.arm_of(&unit, &mut scratch), Some(arm));
                taking_part += 1;
                second += arm;
            }
        }
        assert!((3_800..4_200).contains(&taking_part), "{taking_part}");
        // Who takes part says nothing about the arm.
        assert!((1_850..2_150).contains(&second), "{second}");
    }
}
