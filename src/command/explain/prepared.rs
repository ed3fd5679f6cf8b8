//! What a cell became that was prepared, as a table shows it.

use serde_json::Value;

use super::short;

/// Significant digits of a number: a pixel has fewer, and a mean does not need more.
const DIGITS: usize = 6;

/// Renders a model's input; the numbers of one that was prepared in a few digits.
pub(super) fn input_text(value: &Value) -> String {
    match value.get("as") {
        Some(_) => short(&rounded(value)),
        None => short(value),
    }
}

fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            let digits = format!("{number:.*e}", DIGITS - 1).parse::<f64>();
            digits.map_or_else(|_| value.clone(), Value::from)
        }
        Value::Array(values) => values.iter().map(rounded).collect(),
        Value::Object(parts) => {
            let parts = parts.iter();
            let parts = parts.map(|(name, part)| (name.clone(), rounded(part)));
            Value::Object(parts.collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_of_a_tensor_have_six_digits_and_those_of_a_cell_all() {
        let image = json!({
            "as": "image", "shape": [3, 224, 224], "mean": 0.123_456_789_012_345_6,
            "min": -2.117_903_930_131_004_6, "first": [1.0e-7, 1_234_567.891, 2.0, "NaN"],
        });
        let text = input_text(&image);
        for part in [
            "mean 0.123457,",
            "min -2.1179,",
            "shape [3, 224, 224]",
            "first [1e-7, 1234570.0, 2.0, … 4 values]",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(
            input_text(&json!(0.123_456_789_012_345_6)),
            "0.1234567890123456"
        );
        assert_eq!(input_text(&json!([0.333_333_333_3])), "[0.3333333333]");
    }
}
