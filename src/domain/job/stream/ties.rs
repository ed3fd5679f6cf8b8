//! Write timestamps of messages: by time, and by offset within a millisecond.
//!
//! Kafka's times are milliseconds, Cassandra's microseconds. Of two messages of a partition the one
//! with the later time gets the larger timestamp, and of two with the same time the one with the
//! larger offset. The newest times are remembered and stored with the position in the topic, so that
//! a message that is read again, by this process or another, gets the same timestamp again.

use std::collections::BTreeMap;

/// Milliseconds that are remembered. A message that is older than all of them is late by so many
/// distinct times.
const REMEMBERED: usize = 64;
const VERSION: &str = "t1";

/// The newest timestamps of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ties {
    /// Millisecond -> the largest timestamp that a message of it got, in microseconds. Ascending in
    /// both.
    newest: BTreeMap<i64, i64>,
    /// Whether earlier milliseconds were forgotten.
    is_cut: bool,
}

impl Ties {
    /// Returns the timestamp, in microseconds, of the partition's next message.
    pub fn next(&mut self, time_ms: i64, offset: i64) -> i64 {
        let start = time_ms.saturating_mul(1_000);
        let before = self.newest.range(..=time_ms).next_back();
        let timestamp = match before {
            // More than a thousand messages of a millisecond reach into the next one.
            Some((_, timestamp)) => start.max(timestamp + 1),
            // Too late to know which ones came before it within its millisecond.
            None if self.is_cut => return start + 500 + offset.rem_euclid(500),
            None => start,
        };
        self.newest.insert(time_ms, timestamp);
        while self.newest.len() > REMEMBERED {
            self.newest.pop_first();
            self.is_cut = true;
        }
        timestamp
    }

    /// Returns the form that is stored with the position.
    pub fn to_text(&self) -> String {
        let mut text = format!("{VERSION}{}", if self.is_cut { "c" } else { "" });
        let mut last = 0;
        for (time_ms, timestamp) in &self.newest {
            text.push_str(&format!(
                " {:x}.{:x}",
                time_ms.wrapping_sub(last),
                timestamp.wrapping_sub(time_ms.wrapping_mul(1_000))
            ));
            last = *time_ms;
        }
        text
    }

    /// Parses what [`Ties::to_text`] wrote; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let is_cut = match words.next()?.strip_prefix(VERSION)? {
            "" => false,
            "c" => true,
            _ => return None,
        };
        let number = |text: &str| u64::from_str_radix(text, 16).map(|bits| bits as i64).ok();
        let (mut newest, mut last) = (BTreeMap::new(), 0_i64);
        for word in words {
            let (step, more) = word.split_once('.')?;
            last = last.wrapping_add(number(step)?);
            newest.insert(last, last.wrapping_mul(1_000).wrapping_add(number(more)?));
        }
        Some(Self { newest, is_cut })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timestamps(times: &[i64]) -> Vec<i64> {
        let mut ties = Ties::default();
        let next = |(offset, time): (usize, &i64)| ties.next(*time, offset as i64);
        times.iter().enumerate().map(next).collect()
    }

    #[test]
    fn messages_of_a_millisecond_are_ordered_by_offset() {
        assert_eq!(timestamps(&[7, 7, 8, 7]), [7_000, 7_001, 8_000, 7_002]);
        // A late message does not win over one that is newer by its time.
        assert_eq!(timestamps(&[7, 9, 8]), [7_000, 9_000, 8_000]);
        assert_eq!(timestamps(&[-1, -1]), [-1_000, -999]);
    }

    #[test]
    fn more_than_a_thousand_messages_of_a_millisecond_stay_before_the_next_one() {
        let mut times = vec![7; 2_500];
        times.extend([8, 8, 12]);
        let timestamps = timestamps(&times);
        assert_eq!(timestamps[2_499], 9_499);
        assert_eq!(timestamps[2_500..], [9_500, 9_501, 12_000]);
    }

    #[test]
    fn a_text_that_is_not_ours_is_not_read() {
        for text in ["", "t2 1.0", "t1 x", "t1 1", "by hand"] {
            assert_eq!(Ties::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn order_is_by_time_then_offset_also_across_a_restart(
            times in prop::collection::vec(1_700_000_000_000_i64..1_700_000_000_040, 1..200),
            cut in 0_usize..200,
        ) {
            let all = timestamps(&times);
            let mut ties = Ties::default();
            let mut resumed = Vec::new();
            for (offset, time) in times.iter().enumerate() {
                if offset == cut {
                    ties = Ties::parse(&ties.to_text()).unwrap();
                }
                resumed.push(ties.next(*time, offset as i64));
            }
            prop_assert_eq!(&all, &resumed);
            for (at, time) in times.iter().enumerate() {
                for (before, earlier) in times[..at].iter().enumerate() {
                    if earlier <= time {
                        prop_assert!(all[before] < all[at]);
                    } else {
                        prop_assert!(all[before] > all[at]);
                    }
                }
            }
        }
    }
}
