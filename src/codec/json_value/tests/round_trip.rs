//! What `cell_json` writes is read back to the same bytes, for values of any type.

use num_bigint::BigInt;
use proptest::{collection, option, prelude::*};

use super::{super::*, cql, read};
use crate::codec::{
    cell_json,
    wire::{fixed_size, write_unsigned_vint},
};

/// Any type whose values `cell_json` writes as themselves.
fn types() -> impl Strategy<Value = CqlType> {
    let scalars = [
        "ascii",
        "bigint",
        "blob",
        "boolean",
        "counter",
        "date",
        "decimal",
        "double",
        "duration",
        "float",
        "inet",
        "int",
        "smallint",
        "text",
        "time",
        "timestamp",
        "timeuuid",
        "tinyint",
        "uuid",
        "varint",
    ];
    let names = prop::sample::subsequence(vec!["a", "A", "No", "x y", "q\"", "ü"], 1..4);
    prop::sample::select(scalars.to_vec())
        .prop_map(cql)
        .prop_recursive(3, 16, 3, move |inner| {
            let boxed = || inner.clone().prop_map(Box::new);
            let frozen = |cql_type| CqlType::Frozen(Box::new(cql_type));
            prop_oneof![
                boxed().prop_map(CqlType::List).prop_map(frozen),
                boxed().prop_map(CqlType::Set).prop_map(frozen),
                (boxed(), boxed())
                    .prop_map(|(key, value)| CqlType::Map(key, value))
                    .prop_map(frozen),
                collection::vec(inner.clone(), 1..4).prop_map(CqlType::Tuple),
                (boxed(), 1..4_u16).prop_map(|(element, width)| CqlType::Vector(element, width)),
                (names.clone(), collection::vec(inner.clone(), 3)).prop_map(|(names, types)| {
                    let names = names.into_iter().map(str::to_owned);
                    CqlType::Udt("user_type".to_owned(), names.zip(types).collect())
                }),
            ]
        })
}

/// The bytes of a value, not empty unless the type permits it in text.
fn values(cql_type: &CqlType) -> BoxedStrategy<Vec<u8>> {
    fn values_of<T: Arbitrary + 'static, const N: usize>(
        bytes: fn(T) -> [u8; N],
    ) -> BoxedStrategy<Vec<u8>> {
        any::<T>()
            .prop_map(move |value| bytes(value).to_vec())
            .boxed()
    }
    let integer = || {
        collection::vec(any::<u8>(), 0..24)
            .prop_map(|bytes| BigInt::from_signed_bytes_be(&bytes).to_signed_bytes_be())
    };
    match cql_type {
        CqlType::Frozen(inner) => values(inner),
        CqlType::Ascii => "[ -~\n]{0,8}".prop_map(String::into_bytes).boxed(),
        CqlType::Text => any::<String>().prop_map(String::into_bytes).boxed(),
        CqlType::Blob => any::<Vec<u8>>().boxed(),
        CqlType::Boolean => values_of(|value: bool| [u8::from(value)]),
        CqlType::Tinyint => values_of(i8::to_be_bytes),
        CqlType::Smallint => values_of(i16::to_be_bytes),
        CqlType::Int => values_of(i32::to_be_bytes),
        CqlType::Bigint | CqlType::Counter | CqlType::Timestamp => values_of(i64::to_be_bytes),
        CqlType::Date => values_of(u32::to_be_bytes),
        CqlType::Time => (0..86_400_000_000_000_i64)
            .prop_map(|nanos| nanos.to_be_bytes().to_vec())
            .boxed(),
        // The canonical NaN only: JSON does not keep the others' bits.
        CqlType::Float => any::<u32>()
            .prop_map(f32::from_bits)
            .prop_map(|value| if value.is_nan() { f32::NAN } else { value })
            .prop_map(|value| value.to_be_bytes().to_vec())
            .boxed(),
        CqlType::Double => any::<u64>()
            .prop_map(f64::from_bits)
            .prop_map(|value| if value.is_nan() { f64::NAN } else { value })
            .prop_map(|value| value.to_be_bytes().to_vec())
            .boxed(),
        CqlType::Varint => integer().boxed(),
        CqlType::Decimal => (any::<i32>(), integer())
            .prop_map(|(scale, unscaled)| [&scale.to_be_bytes()[..], &unscaled].concat())
            .boxed(),
        CqlType::Duration => collection::vec(any::<u8>(), 1..10).boxed(),
        CqlType::Inet => {
            prop_oneof![values_of(u32::to_be_bytes), values_of(u128::to_be_bytes)].boxed()
        }
        CqlType::Uuid => values_of(u128::to_be_bytes),
        CqlType::Timeuuid => any::<u128>()
            .prop_map(|bits| bits & !(0xf << 76) | (1 << 76))
            .prop_map(|bits| bits.to_be_bytes().to_vec())
            .boxed(),
        CqlType::List(element) => collection::vec(values(element), 0..4)
            .prop_map(|parts| counted(parts.len(), parts.iter().map(Some)))
            .boxed(),
        CqlType::Set(element) => collection::hash_set(values(element), 0..4)
            .prop_map(|parts| counted(parts.len(), parts.iter().map(Some)))
            .boxed(),
        CqlType::Map(key, value) => collection::hash_map(values(key), values(value), 0..4)
            .prop_map(|entries| {
                let parts = entries.iter().flat_map(|(key, value)| [key, value]);
                counted(entries.len(), parts.map(Some))
            })
            .boxed(),
        CqlType::Tuple(types) => parts(types.iter()),
        CqlType::Udt(_, fields) => parts(fields.iter().map(|(_, cql_type)| cql_type)),
        CqlType::Vector(element, width) => {
            let size = fixed_size(element);
            collection::vec(values(element), usize::from(*width))
                .prop_map(move |elements| {
                    let mut out = Vec::new();
                    for element in elements {
                        if size.is_none() {
                            write_unsigned_vint(element.len() as u64, &mut out);
                        }
                        out.extend_from_slice(&element);
                    }
                    out
                })
                .boxed()
        }
        CqlType::Named(_) => any::<Vec<u8>>().boxed(),
    }
}

fn parts<'a>(types: impl Iterator<Item = &'a CqlType>) -> BoxedStrategy<Vec<u8>> {
    let parts: Vec<_> = types.map(|cql_type| option::of(values(cql_type))).collect();
    parts
        .prop_map(|parts| framed(parts.iter().map(Option::as_ref)))
        .boxed()
}

fn counted<'a>(count: usize, parts: impl Iterator<Item = Option<&'a Vec<u8>>>) -> Vec<u8> {
    [(count as i32).to_be_bytes().to_vec(), framed(parts)].concat()
}

fn framed<'a>(parts: impl Iterator<Item = Option<&'a Vec<u8>>>) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        let length = part.map_or(-1, |part| part.len() as i32);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend(part.into_iter().flatten());
    }
    out
}

fn typed_values() -> impl Strategy<Value = (CqlType, Vec<u8>)> {
    types().prop_flat_map(|cql_type| {
        let values = values(&cql_type);
        (Just(cql_type), values)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_written_as_json_is_read_back((cql_type, bytes) in typed_values()) {
        let json = cell_json::cell(&cql_type, Some(&bytes)).to_string();
        let found = read(&cql_type, &json);
        prop_assert_eq!(found, Ok(Some(bytes)), "{} {}", cql_type, json);
    }

    #[test]
    fn no_text_makes_reading_panic(cql_type in types(), text: String) {
        let _ = read(&cql_type, &text);
        let _ = read(&cql_type, &serde_json::Value::from(text).to_string());
    }

    #[test]
    fn broken_json_does_not_panic((cql_type, bytes) in typed_values(), at: prop::sample::Index, with: char) {
        let json = cell_json::cell(&cql_type, Some(&bytes)).to_string();
        let mut text: Vec<char> = json.chars().collect();
        let at = at.index(text.len());
        text[at] = with;
        let _ = read(&cql_type, &text.iter().collect::<String>());
        let _ = read(&cql_type, &text[..at].iter().collect::<String>());
    }

    #[test]
    fn json_of_another_type_does_not_panic((_, bytes) in typed_values(), other in types(), from in types()) {
        let json = cell_json::cell(&from, Some(&bytes)).to_string();
        let _ = read(&other, &json);
    }
}
