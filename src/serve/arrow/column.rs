//! Cells of a CQL type from the values of an Arrow array: exact, or refused.

use arrow_array::{
    Array, ArrayRef,
    cast::AsArray,
    types::{
        Date32Type, Decimal128Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
        Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
        UInt64Type,
    },
};
use arrow_schema::{DataType, TimeUnit};

use super::number::{Append, decimal, float, integer, time, timestamp};
use crate::codec::{
    cells::CellBuffer,
    cql_type::CqlType,
    json_value,
    wire::{fixed_size, insert_vint_length},
};

/// An Arrow array whose values become cells of a CQL type.
pub struct ArrowColumn<'a> {
    is_null: Box<dyn Fn(usize) -> bool + 'a>,
    append: Append<'a>,
}

impl<'a> ArrowColumn<'a> {
    /// Returns the column. `room`: size of all cells above which a list is cut off, because its
    /// caller refuses the rows then.
    ///
    /// # Errors
    /// Values of the array's type do not become values of the CQL type.
    pub fn open(cql_type: &'a CqlType, array: &'a ArrayRef, room: usize) -> Result<Self, String> {
        if *array.data_type() == DataType::Null {
            return Ok(Self {
                is_null: Box::new(|_| true),
                append: Box::new(|_, _| Ok(())),
            });
        }
        let unfit = || {
            format!(
                "Arrow type {} does not fit a column of type {cql_type}",
                array.data_type()
            )
        };
        let append = appender(cql_type.thawed(), array, room).ok_or_else(unfit)?;
        // Also those of a dictionary's values.
        let nulls = array.logical_nulls();
        Ok(Self {
            is_null: Box::new(move |at| nulls.as_ref().is_some_and(|nulls| nulls.is_null(at))),
            append,
        })
    }

    /// Appends the cell of a row.
    ///
    /// # Errors
    /// The value is not an exact value of the CQL type; `cells` is unchanged then.
    pub fn append(&self, row: usize, cells: &mut CellBuffer) -> Result<(), String> {
        match (self.is_null)(row) {
            true => {
                cells.push(None);
                Ok(())
            }
            false => cells.try_push_with(|out| (self.append)(row, out)),
        }
    }
}

/// Returns what appends values; `None` if the types do not fit.
fn appender<'a>(cql_type: &'a CqlType, array: &'a ArrayRef, room: usize) -> Option<Append<'a>> {
    macro_rules! value {
        ($arrow:ty) => {{
            let array = array.as_primitive::<$arrow>();
            move |at: usize| array.value(at)
        }};
    }
    macro_rules! integers {
        ($arrow:ty) => {{
            let value = value!($arrow);
            integer(cql_type, move |at| i128::from(value(at)))
        }};
    }
    match array.data_type() {
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt8 => integers!(UInt8Type),
        DataType::UInt16 => integers!(UInt16Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => integers!(UInt64Type),
        DataType::Float16 => {
            let value = value!(Float16Type);
            float(cql_type, move |at| value(at).to_f64())
        }
        DataType::Float32 => {
            let value = value!(Float32Type);
            float(cql_type, move |at| value(at).into())
        }
        DataType::Float64 => float(cql_type, value!(Float64Type)),
        DataType::Decimal128(_, scale) => decimal(cql_type, *scale, value!(Decimal128Type)),
        DataType::Boolean if *cql_type == CqlType::Boolean => {
            let array = array.as_boolean();
            Some(Box::new(move |at, out| {
                out.push(u8::from(array.value(at)));
                Ok(())
            }))
        }
        DataType::Date32 if *cql_type == CqlType::Date => {
            let value = value!(Date32Type);
            // CQL counts days with 1970-01-01 at 2^31.
            Some(Box::new(move |at, out| {
                out.extend_from_slice(&(value(at) as u32 ^ (1 << 31)).to_be_bytes());
                Ok(())
            }))
        }
        DataType::Time32(TimeUnit::Second) => {
            let value = value!(Time32SecondType);
            time(cql_type, move |at| {
                i64::from(value(at)).checked_mul(1_000_000_000)
            })
        }
        DataType::Time32(_) => {
            let value = value!(Time32MillisecondType);
            time(cql_type, move |at| {
                i64::from(value(at)).checked_mul(1_000_000)
            })
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let value = value!(Time64MicrosecondType);
            time(cql_type, move |at| value(at).checked_mul(1_000))
        }
        DataType::Time64(_) => {
            let value = value!(Time64NanosecondType);
            time(cql_type, move |at| Some(value(at)))
        }
        DataType::Timestamp(unit, zone) if is_utc(zone.as_deref()) => match unit {
            TimeUnit::Second => {
                let value = value!(TimestampSecondType);
                timestamp(cql_type, move |at| value(at).checked_mul(1_000))
            }
            TimeUnit::Millisecond => {
                let value = value!(TimestampMillisecondType);
                timestamp(cql_type, move |at| Some(value(at)))
            }
            TimeUnit::Microsecond => {
                let value = value!(TimestampMicrosecondType);
                timestamp(cql_type, move |at| whole(value(at), 1_000))
            }
            TimeUnit::Nanosecond => {
                let value = value!(TimestampNanosecondType);
                timestamp(cql_type, move |at| whole(value(at), 1_000_000))
            }
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let value = text(array)?;
            Some(Box::new(move |at, out| {
                json_value::write_text(cql_type, value(at), out)
            }))
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary_opt()?;
            // Without values all keys are null, and no value is asked for.
            let keys = match dictionary.values().is_empty() {
                true => Vec::new(),
                false => dictionary.normalized_keys(),
            };
            let value = text(dictionary.values())?;
            Some(Box::new(move |at, out| {
                json_value::write_text(cql_type, value(keys[at]), out)
            }))
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            bytes(cql_type, move |at| array.value(at))
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>();
            bytes(cql_type, move |at| array.value(at))
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            bytes(cql_type, move |at| array.value(at))
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            bytes(cql_type, move |at| array.value(at))
        }
        DataType::List(_) => {
            let array = array.as_list::<i32>();
            let offsets = array.value_offsets();
            list(cql_type, array.values(), room, move |at| {
                offsets[at] as usize..offsets[at + 1] as usize
            })
        }
        DataType::LargeList(_) => {
            let array = array.as_list::<i64>();
            let offsets = array.value_offsets();
            list(cql_type, array.values(), room, move |at| {
                offsets[at] as usize..offsets[at + 1] as usize
            })
        }
        DataType::FixedSizeList(..) => {
            let array = array.as_fixed_size_list();
            let length = array.value_length() as usize;
            list(cql_type, array.values(), room, move |at| {
                let start = array.value_offset_at(at);
                start..start + length
            })
        }
        _ => None,
    }
}

fn text<'a>(array: &'a ArrayRef) -> Option<Box<dyn Fn(usize) -> &'a str + 'a>> {
    Some(match array.data_type() {
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            Box::new(move |at| array.value(at))
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>();
            Box::new(move |at| array.value(at))
        }
        DataType::Utf8View => {
            let array = array.as_string_view();
            Box::new(move |at| array.value(at))
        }
        _ => return None,
    })
}

/// Returns the quotient if there is no remainder.
fn whole(value: i64, size: i64) -> Option<i64> {
    (value % size == 0).then_some(value / size)
}

/// Returns whether a time zone has the clock of UTC; without one, CQL takes times as UTC.
fn is_utc(zone: Option<&str>) -> bool {
    zone.is_none_or(|zone| {
        matches!(
            zone,
            "" | "UTC" | "utc" | "Etc/UTC" | "Z" | "+00:00" | "GMT" | "Zulu"
        )
    })
}

fn bytes<'a>(cql_type: &'a CqlType, value: impl Fn(usize) -> &'a [u8] + 'a) -> Option<Append<'a>> {
    match cql_type {
        CqlType::Blob => Some(Box::new(move |at, out| {
            out.extend_from_slice(value(at));
            Ok(())
        })),
        CqlType::Uuid | CqlType::Timeuuid => Some(Box::new(move |at, out| {
            let uuid = <[u8; 16]>::try_from(value(at))
                .map_err(|_| format!("a {cql_type} has 16 bytes"))?;
            if *cql_type == CqlType::Timeuuid && uuid[6] >> 4 != 1 {
                return Err("a timeuuid is a uuid of version 1".to_owned());
            }
            out.extend_from_slice(&uuid);
            Ok(())
        })),
        _ => None,
    }
}

/// `range`: the places of a list's elements in `values`.
fn list<'a>(
    cql_type: &'a CqlType,
    values: &'a ArrayRef,
    room: usize,
    range: impl Fn(usize) -> std::ops::Range<usize> + 'a,
) -> Option<Append<'a>> {
    let (element, width) = match cql_type {
        CqlType::List(element) => (&**element, None),
        CqlType::Vector(element, width) => (&**element, Some(usize::from(*width))),
        _ => return None,
    };
    let inner = ArrowColumn::open(element, values, room).ok()?;
    let size = fixed_size(element);
    Some(Box::new(move |at, out| {
        let range = range(at);
        let count = range.len();
        match width {
            Some(width) if width != count => {
                return Err(format!("{count} elements are not a valid {cql_type}"));
            }
            Some(_) => {}
            None => {
                let count = i32::try_from(count).map_err(|_| "the list is too long")?;
                out.extend_from_slice(&count.to_be_bytes());
            }
        }
        for (number, place) in range.enumerate() {
            if (inner.is_null)(place) {
                return Err(format!("element {number} must not be null"));
            }
            if out.len() > room {
                return Ok(());
            }
            let start = out.len();
            if width.is_none() {
                out.extend_from_slice(&[0; 4]);
            }
            (inner.append)(place, out).map_err(|error| format!("element {number}: {error}"))?;
            match (width, size) {
                (None, _) => {
                    let length = (out.len() - start - 4) as i32;
                    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
                }
                (Some(_), Some(size)) if out.len() - start != size => {
                    return Err(format!("element {number} must not be empty"));
                }
                (Some(_), Some(_)) => {}
                (Some(_), None) => insert_vint_length(start, out),
            }
        }
        Ok(())
    }))
}
