//! Run ids that all planners of the same request derive alike.

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

/// 100 ns intervals between 1582-10-15 and 1970-01-01 (RFC 9562, 5.1).
const GREGORIAN_OFFSET: u64 = 0x01B2_1DD2_1381_4000;

/// Returns a timeuuid whose time is `due_at_100ns` (since 1970, in units of 100 ns) and whose clock
/// sequence and node are a hash of `job` and `cause` (a trigger's name, or a request's id). So ids
/// of a job sort by time, and the same request has the same run everywhere.
pub fn derive(job: &str, cause: &str, due_at_100ns: u64) -> Uuid {
    let ticks = due_at_100ns.wrapping_add(GREGORIAN_OFFSET);
    let hash = xxh3_128(format!("{job}\0{cause}").as_bytes()).to_be_bytes();
    let mut node = [hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]];
    // RFC 9562, 6.10: the multicast bit marks a node that is not an IEEE 802 address.
    node[0] |= 1;
    let clock_sequence = u16::from_be_bytes([hash[0], hash[1]]) & 0x3FFF;
    Uuid::from_fields(
        ticks as u32,
        (ticks >> 32) as u16,
        ((ticks >> 48) as u16 & 0x0FFF) | 0x1000,
        &[
            (clock_sequence >> 8) as u8 | 0x80,
            clock_sequence as u8,
            node[0],
            node[1],
            node[2],
            node[3],
            node[4],
            node[5],
        ],
    )
}

/// Returns the first timeuuid of that time (since 1970, in units of 100 ns) in Cassandra's order,
/// which compares the bytes after the time as signed ones.
pub fn first_at(time_100ns: u64) -> Uuid {
    let ticks = time_100ns.wrapping_add(GREGORIAN_OFFSET);
    Uuid::from_fields(
        ticks as u32,
        (ticks >> 32) as u16,
        ((ticks >> 48) as u16 & 0x0FFF) | 0x1000,
        &[0x80; 8],
    )
}

/// Returns the time of a timeuuid, in 100 ns since 1970; `None` for other kinds of UUID or earlier
/// times.
pub fn time_100ns(id: Uuid) -> Option<u64> {
    if id.get_version_num() != 1 {
        return None;
    }
    let (low, middle, high, _) = id.as_fields();
    let ticks = u64::from(low) | u64::from(middle) << 32 | u64::from(high & 0x0FFF) << 48;
    ticks.checked_sub(GREGORIAN_OFFSET)
}

#[cfg(test)]
mod tests {
    use super::{derive, first_at, time_100ns};

    #[test]
    fn the_same_wish_gives_the_same_id_and_another_one_does_not() {
        let due = 17_000_000_000_000_000;
        assert_eq!(
            derive("tumour", "nightly", due),
            derive("tumour", "nightly", due)
        );
        assert_ne!(
            derive("tumour", "nightly", due),
            derive("tumour", "weekly", due)
        );
        assert_ne!(
            derive("tumour", "nightly", due),
            derive("other", "nightly", due)
        );
    }

    #[test]
    fn an_id_is_a_timeuuid_with_the_due_time() {
        let id = derive("tumour", "nightly", 17_000_000_123_456_789);
        assert_eq!(id.get_version_num(), 1);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(time_100ns(id), Some(17_000_000_123_456_789));
        let first = first_at(17_000_000_123_456_789);
        assert_eq!(time_100ns(first), Some(17_000_000_123_456_789));
    }
}
