//! Conversions between number types that round once, to nearest, ties to even.

use half::f16;
use num_bigint::BigInt;

use super::canonical::integer;

/// Largest magnitude up to which every integer is exact.
pub const EXACT_F16: i64 = 1 << 11;
/// Largest magnitude up to which every integer is exact.
pub const EXACT_F32: i64 = 1 << 24;
/// Largest magnitude up to which every integer is exact.
pub const EXACT_F64: i64 = 1 << 53;

/// Maximum number of bytes of a decimal's unscaled number.
const MAX_UNSCALED: usize = 4096;

/// Converts with a single rounding: processors differ in converting f64 to f16, but the hash of a
/// row must not. It uses round-to-odd at f32 (Boldo and Melquiond 2008), which preserves the
/// information for the second rounding.
pub fn f16_from_f64(value: f64) -> f16 {
    let near = value as f32;
    if f64::from(near) == value || !near.is_finite() {
        return f16::from_f32(near);
    }
    let bits = near.to_bits();
    let truncated = if f64::from(near).abs() > value.abs() {
        bits - 1
    } else {
        bits
    };
    f16::from_f32(f32::from_bits(truncated | 1))
}

/// Returns a varint as a floating-point number, infinite if out of range.
pub fn varint_as<F: Float>(bytes: &[u8]) -> Option<F> {
    decimal_as(0, bytes)
}

/// Returns `unscaled x 10^-scale` as a floating-point number, infinite if out of range; `None` for
/// no bytes or too many digits.
pub fn decimal_as<F: Float>(scale: i32, unscaled: &[u8]) -> Option<F> {
    let exponent = -i64::from(scale);
    match integer(unscaled) {
        Some(number) => {
            if exponent == 0 {
                return Some(F::of_i128(number));
            }
            // i128 has at most 40 characters, the exponent 11.
            let mut text = [0_u8; 64];
            let mut rest = &mut text[..];
            std::io::Write::write_fmt(&mut rest, format_args!("{number}e{exponent}")).ok()?;
            let unused = rest.len();
            F::parse(std::str::from_utf8(&text[..text.len() - unused]).ok()?)
        }
        None if unscaled.is_empty() || unscaled.len() > MAX_UNSCALED => None,
        None => F::parse(&format!(
            "{}e{exponent}",
            BigInt::from_signed_bytes_be(unscaled)
        )),
    }
}

/// A floating-point type to which decimals are converted.
pub trait Float: Sized {
    /// Rounds to nearest.
    fn of_i128(number: i128) -> Self;
    /// Rounds to nearest.
    fn parse(text: &str) -> Option<Self>;
}

impl Float for f32 {
    fn of_i128(number: i128) -> Self {
        number as f32
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Float for f64 {
    fn of_i128(number: i128) -> Self {
        number as f64
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_double_just_above_a_tie_rounds_up_once() {
        // Halfway between 1 and the next f16 is 1 + 2^-11; the excess vanishes at f32.
        let tie = 1.0 + f64::powi(2.0, -11);
        assert_eq!(f16_from_f64(tie), f16::from_f32(1.0));
        let above = tie + f64::powi(2.0, -40);
        assert_eq!(f16_from_f64(above).to_bits(), 0x3c01);
        assert_eq!(f16_from_f64(65_519.999), f16::MAX);
        assert_eq!(f16_from_f64(65_520.0), f16::INFINITY);
        assert_eq!(f16_from_f64(1e300), f16::INFINITY);
    }

    #[test]
    fn decimals_round_as_their_text_does() {
        assert_eq!(decimal_as::<f64>(1, &[1]), Some(0.1));
        assert_eq!(decimal_as::<f32>(1, &[0xff]), Some(-0.1));
        assert_eq!(decimal_as::<f64>(i32::MAX, &[1]), Some(0.0));
        assert_eq!(decimal_as::<f64>(i32::MIN, &[1]), Some(f64::INFINITY));
        let big = BigInt::from(10).pow(50).to_signed_bytes_be();
        assert_eq!(decimal_as::<f64>(50, &big), Some(1.0));
        assert_eq!(varint_as::<f32>(&big), Some(f32::INFINITY));
        assert_eq!(varint_as::<f64>(&[]), None);
    }

    proptest! {
        #[test]
        fn every_f16_survives_the_way_through_f64(bits: u16) {
            let value = f16::from_bits(bits);
            if !value.is_nan() {
                prop_assert_eq!(f16_from_f64(value.to_f64()).to_bits(), bits);
            }
        }
    }
}
