//! `data` of a tensor in JSON: flat, or nested as the shape says.
//!
//! The text is JSON that was parsed once already, so only its meaning is checked here. Numbers are
//! read from their text, because a detour through another type would round them.

use super::{
    datatype::{Datatype, ValueKind},
    exact::{BadValue, push_float, push_integer},
};
use crate::domain::model::tensor::TensorData;

/// Appends the values of an array. `shape`: of the tensor, with its rows.
///
/// # Errors
/// `null` and values that are not of the data type, values that the input cannot represent exactly,
/// and arrays of another shape.
pub fn append(
    data: &mut TensorData,
    text: &str,
    datatype: Datatype,
    shape: &[usize],
) -> Result<(), BadValue> {
    let expected: usize = shape.iter().product();
    let mut tokens = Tokens { rest: text };
    if tokens.next() != Some(Token::Open) {
        return Err(BadValue::whole("it is not an array"));
    }
    let is_flat = !tokens.rest.trim_start().starts_with('[');
    // Depth of the values.
    let leaves = if is_flat { 1 } else { shape.len() };
    // Items so far of the arrays that are open.
    let mut open = vec![0];
    let mut count = 0;
    for token in tokens {
        match token {
            Token::Open if open.len() >= leaves => {
                return Err(BadValue::at(count, "it is nested deeper than its shape"));
            }
            Token::Open => open.push(0),
            Token::Close => {
                let length = open.pop().unwrap_or_default();
                let depth = open.len();
                if !is_flat && length != shape[depth] {
                    return Err(BadValue::whole(format!(
                        "an array of {length} before value {count}; its shape has {} there",
                        shape[depth]
                    )));
                }
                if let Some(parent) = open.last_mut() {
                    *parent += 1;
                }
            }
            _ if open.len() != leaves => {
                return Err(BadValue::at(count, "it is not nested as its shape"));
            }
            _ if count == expected => {
                return Err(BadValue::whole(format!(
                    "more values than the {expected} of its shape"
                )));
            }
            value => {
                push(data, value, datatype).map_err(|reason| BadValue::at(count, reason))?;
                count += 1;
                if let Some(items) = open.last_mut() {
                    *items += 1;
                }
            }
        }
    }
    match count == expected {
        true => Ok(()),
        false => Err(BadValue::count(count, expected)),
    }
}

fn push(data: &mut TensorData, token: Token<'_>, datatype: Datatype) -> Result<(), String> {
    let wrong = || format!("{} is not {}", token.shown(), datatype.described());
    match (datatype.kind(), token) {
        (ValueKind::Truth, Token::Word(word @ ("true" | "false"))) => match data {
            TensorData::Bool(values) => values.push(word == "true"),
            _ => return Err(wrong()),
        },
        (ValueKind::Text, Token::Text(text)) => {
            let text: std::borrow::Cow<'_, str> = match text.contains('\\') {
                true => serde_json::from_str(text).map_err(|_| wrong())?,
                false => text[1..text.len() - 1].into(),
            };
            match data {
                TensorData::String(values) => values.push(&text),
                _ => return Err(wrong()),
            }
        }
        (ValueKind::Float, Token::Word(number)) => match (data, datatype) {
            (TensorData::Float(values), Datatype::Fp32) => {
                values.push(finite(number.parse().map_err(|_| wrong())?, number)?);
            }
            (data, Datatype::Fp32) => {
                let value: f32 = finite(number.parse().map_err(|_| wrong())?, number)?;
                push_float(data, f64::from(value))?;
            }
            (data, _) => push_float(data, finite(number.parse().map_err(|_| wrong())?, number)?)?,
        },
        (ValueKind::Integer(min, max), Token::Word(number)) => {
            let value: i128 = number.parse().map_err(|_| wrong())?;
            if value < min || value > max {
                return Err(wrong());
            }
            push_integer(data, value)?;
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

fn finite<T: Copy + Into<f64>>(value: T, text: &str) -> Result<T, String> {
    match value.into().is_finite() {
        true => Ok(value),
        false => Err(format!("{text} is too large")),
    }
}

impl Datatype {
    fn described(self) -> String {
        match self.kind() {
            ValueKind::Truth => "true or false".to_owned(),
            ValueKind::Text => "a string".to_owned(),
            ValueKind::Float => format!("a number ({self})"),
            ValueKind::Integer(..) => format!("an integer in the range of {self}"),
        }
    }
}

/// The parts of valid JSON; commas and white space are left out.
#[derive(Clone, Copy)]
struct Tokens<'a> {
    rest: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Open,
    Close,
    /// With its quotes and escapes.
    Text(&'a str),
    /// A number, `true`, `false` or `null`.
    Word(&'a str),
    /// An object or one of its parts.
    Brace,
}

impl Token<'_> {
    /// The value for an error message, shortened.
    fn shown(self) -> String {
        match self {
            Self::Open | Self::Close => "an array".to_owned(),
            Self::Brace => "an object".to_owned(),
            Self::Text(text) | Self::Word(text) => match text.char_indices().nth(40) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text.to_owned(),
            },
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let is_gap = |c: u8| matches!(c, b',' | b' ' | b'\n' | b'\r' | b'\t');
        let bytes = self.rest.as_bytes();
        let start = bytes.iter().position(|c| !is_gap(*c))?;
        let rest = &bytes[start..];
        let (token, length): (fn(&'a str) -> Token<'a>, _) = match rest[0] {
            b'[' => (|_| Token::Open, 1),
            b']' => (|_| Token::Close, 1),
            b'{' | b'}' | b':' => (|_| Token::Brace, 1),
            b'"' => (Token::Text, quoted(rest)),
            _ => {
                let is_end = |c: &u8| is_gap(*c) || matches!(c, b']' | b'}' | b':');
                let end = rest.iter().position(is_end);
                (Token::Word, end.unwrap_or(rest.len()))
            }
        };
        let text = &self.rest[start..start + length];
        self.rest = &self.rest[start + length..];
        Some(token(text))
    }
}

/// Returns the length of the string at the beginning, with its quotes.
fn quoted(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::tensor::Element;

    fn read(
        element: Element,
        text: &str,
        datatype: Datatype,
        shape: &[usize],
    ) -> Result<TensorData, BadValue> {
        serde_json::from_str::<&serde_json::value::RawValue>(text).unwrap();
        let mut data = TensorData::new(element);
        append(&mut data, text, datatype, shape).map(|()| data)
    }

    #[test]
    fn flat_and_nested_arrays_are_the_same_tensor() {
        let flat = read(Element::Float, "[1, 2.5,3,-4e1]", Datatype::Fp32, &[2, 2]);
        let nested = " [ [1, 2.5] ,[3,\n-4e1]]";
        let nested = read(Element::Float, nested, Datatype::Fp32, &[2, 2]);
        assert_eq!(flat, Ok(TensorData::Float(vec![1.0, 2.5, 3.0, -40.0])));
        assert_eq!(nested, flat);
    }

    #[test]
    fn arrays_of_another_shape_are_refused() {
        for text in [
            "[]",
            "[1,2,3]",
            "[1,2,3,4,5]",
            "[[1,2],[3]]",
            "[[1,2],[3,4],[5,6]]",
            "[[1,2,3,4]]",
            "[[[1,2]],[[3,4]]]",
            "[[1,2],3,4]",
            "[1,2,[3,4]]",
            "[[],[]]",
            "{\"a\":[1,2,3,4]}",
            "[1,2,{\"a\":3},4]",
            "7",
        ] {
            let answer = read(Element::Float, text, Datatype::Fp32, &[2, 2]);
            assert!(answer.is_err(), "{text}: {answer:?}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused_with_its_index() {
        for (text, datatype, element) in [
            ("[1,null]", Datatype::Fp32, Element::Float),
            ("[1,\"NaN\"]", Datatype::Fp32, Element::Float),
            ("[1,\"2\"]", Datatype::Fp64, Element::Double),
            ("[1,1e39]", Datatype::Fp32, Element::Float),
            ("[1,1e999]", Datatype::Fp64, Element::Double),
            ("[1,true]", Datatype::Fp32, Element::Float),
            ("[1,2.0]", Datatype::Int64, Element::Int64),
            ("[1,300]", Datatype::Uint8, Element::Int64),
            ("[1,-1]", Datatype::Uint64, Element::Int64),
            ("[true,1]", Datatype::Bool, Element::Bool),
            ("[\"a\",1]", Datatype::Bytes, Element::String),
            ("[0.5,0.1]", Datatype::Fp64, Element::Float),
            ("[0,9223372036854775808]", Datatype::Uint64, Element::Int64),
        ] {
            let answer = read(element, text, datatype, &[2]);
            assert_eq!(
                answer.as_ref().unwrap_err().at,
                Some(1),
                "{text}: {answer:?}"
            );
        }
    }

    #[test]
    fn integers_and_floats_keep_every_digit() {
        let integers = "[9223372036854775807,-9223372036854775808]";
        assert_eq!(
            read(Element::Int64, integers, Datatype::Int64, &[2]),
            Ok(TensorData::Int64(vec![i64::MAX, i64::MIN]))
        );
        // Rounded twice, by way of a double, this would be 1.0000001.
        let text = "[1.00000005960464477539062500000000001]";
        assert_eq!(
            read(Element::Float, text, Datatype::Fp32, &[1]),
            Ok(TensorData::Float(vec![1.000_000_1]))
        );
        assert_eq!(
            read(Element::Double, "[5e-324]", Datatype::Fp64, &[1]),
            Ok(TensorData::Double(vec![5e-324]))
        );
    }

    #[test]
    fn strings_are_unescaped() {
        let text = r#"["K\u00f6ln","a\"b\\","],[","", "\ud83e\udd80"]"#;
        let expected = ["Köln", "a\"b\\", "],[", "", "🦀"];
        assert_eq!(
            read(Element::String, text, Datatype::Bytes, &[5]),
            Ok(TensorData::String(expected.into()))
        );
    }
}
