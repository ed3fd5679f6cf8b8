//! Serialised keys: for the order of partitions, for the token, and for matching rows.

use super::{
    canonical::{Zeros, append_cell},
    schema::Column,
};

/// A partition key component exceeds Cassandra's limit of 65,535 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a partition key component has {0} bytes; Cassandra's limit is 65535")]
pub struct KeyTooLong(pub usize);

/// Appends the serialised partition key, whose hash is the token and whose unsigned bytes order
/// partitions of one token: the component itself if it is the only one, else each with a u16
/// length before and a zero byte after it (Cassandra's `CompositeType`).
pub fn append_partition_key<'a>(
    components: impl ExactSizeIterator<Item = &'a [u8]>,
    out: &mut Vec<u8>,
) -> Result<(), KeyTooLong> {
    let composite = components.len() > 1;
    for component in components {
        let length = u16::try_from(component.len()).map_err(|_| KeyTooLong(component.len()))?;
        if composite {
            out.extend_from_slice(&length.to_be_bytes());
        }
        out.extend_from_slice(component);
        if composite {
            out.push(0);
        }
    }
    Ok(())
}

/// Appends clustering values so that two rows of a partition have equal bytes if and only if
/// Cassandra considers their keys equal (1.0 and 1.00 are one decimal), each framed by
/// [`append_cell`].
pub fn append_clustering_key<'a>(
    columns: impl Iterator<Item = &'a Column>,
    cells: impl Iterator<Item = Option<&'a [u8]>>,
    out: &mut Vec<u8>,
) {
    for (column, cell) in columns.zip(cells) {
        append_cell(&column.cql_type, cell, Zeros::Distinct, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::cql_type::CqlType;

    #[test]
    fn one_component_is_itself_and_several_are_framed() {
        let mut out = Vec::new();
        append_partition_key([&b"abc"[..]].into_iter(), &mut out).unwrap();
        assert_eq!(out, b"abc");
        out.clear();
        append_partition_key([&b"abc"[..], b""].into_iter(), &mut out).unwrap();
        assert_eq!(out, b"\x00\x03abc\x00\x00\x00\x00");
        let long = vec![0; 65_536];
        assert_eq!(
            append_partition_key([&long[..]].into_iter(), &mut out),
            Err(KeyTooLong(65_536))
        );
    }

    #[test]
    fn decimal_keys_that_cassandra_holds_equal_match() {
        let columns = [
            Column {
                name: "amount".into(),
                cql_type: CqlType::Decimal,
            },
            Column {
                name: "note".into(),
                cql_type: CqlType::Text,
            },
        ];
        let key = |scale: i32, unscaled: &[u8]| {
            let decimal = [&scale.to_be_bytes()[..], unscaled].concat();
            let mut out = Vec::new();
            append_clustering_key(
                columns.iter(),
                [Some(&decimal[..]), Some(b"x")].into_iter(),
                &mut out,
            );
            out
        };
        assert_eq!(key(1, &[10]), key(2, &[100]));
        assert_ne!(key(1, &[10]), key(1, &[100]));
    }
}
