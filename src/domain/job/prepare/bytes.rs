//! `as = "bytes"`: the first and the last bytes of a content, as integers.
//!
//! The same as the preprocessing of magika 1.0.3 (`_extract_features_from_seekable`): at most
//! `block` bytes are looked at from either end; white space is removed from the outer ends of both;
//! a head that is too short is padded at its end, a tail at its beginning.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::{job::cast::Fault, model::tensor::TensorData};

/// The options of `as = "bytes"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BytesRule {
    /// Number of first bytes.
    pub head: usize,
    /// Number of last bytes.
    pub tail: usize,
    /// White space (ASCII space, tab, line feed, vertical tab, form feed, carriage return) at the
    /// content's beginning and end is skipped.
    pub strip: bool,
    /// Value where the content has no byte.
    pub pad: i32,
    /// Number of bytes looked at from either end; at least `head` and `tail`.
    pub block: usize,
}

impl BytesRule {
    /// Returns the number of values.
    pub fn width(&self) -> usize {
        self.head + self.tail
    }

    /// Appends `head + tail` values.
    ///
    /// # Errors
    /// [`Fault::Unsupported`] if `data` holds texts or Booleans, which compilation excludes.
    pub fn append(&self, content: &[u8], data: &mut TensorData) -> Result<(), Fault> {
        let block = self.block.min(content.len());
        let (mut head, mut tail) = (&content[..block], &content[content.len() - block..]);
        if self.strip {
            head = &head[head.iter().take_while(|byte| is_space(**byte)).count()..];
            tail = &tail[..tail.len()
                - tail
                    .iter()
                    .rev()
                    .take_while(|byte| is_space(**byte))
                    .count()];
        }
        let head = &head[..head.len().min(self.head)];
        let tail = &tail[tail.len() - tail.len().min(self.tail)..];
        let pads = |count| std::iter::repeat_n(self.pad, count);
        let bytes = |part: &'_ [u8]| part.iter().map(|byte| i32::from(*byte)).collect::<Vec<_>>();
        let values = bytes(head)
            .into_iter()
            .chain(pads(self.head - head.len()))
            .chain(pads(self.tail - tail.len()))
            .chain(bytes(tail));
        match data {
            TensorData::Int32(data) => data.extend(values),
            TensorData::Int64(data) => data.extend(values.map(i64::from)),
            TensorData::Float(data) => data.extend(values.map(|value| value as f32)),
            TensorData::Double(data) => data.extend(values.map(f64::from)),
            _ => return Err(Fault::Unsupported),
        }
        Ok(())
    }

    pub(super) fn fingerprint(&self) -> Value {
        json!([
            "bytes", self.head, self.tail, self.strip, self.pad, self.block
        ])
    }

    pub(super) fn describe(&self) -> String {
        format!(
            "as = bytes, head = {}, tail = {}, strip = {}, pad = {}, block = {}",
            self.head, self.tail, self.strip, self.pad, self.block
        )
    }
}

/// White space as Python's `bytes.strip` removes it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(rule: &BytesRule, content: &[u8]) -> Vec<i32> {
        let mut data = TensorData::Int32(Vec::new());
        rule.append(content, &mut data).unwrap();
        let TensorData::Int32(values) = data else {
            panic!("{data:?}")
        };
        values
    }

    #[test]
    fn heads_are_padded_behind_and_tails_before() {
        let rule = BytesRule {
            head: 4,
            tail: 3,
            strip: true,
            pad: 256,
            block: 6,
        };
        assert_eq!(
            prepared(&rule, b" \t\x0babcdefgh\n\r\x0c"),
            [97, 98, 99, 256, 102, 103, 104],
            "only a block of six bytes is looked at from either end"
        );
        assert_eq!(prepared(&rule, b"  x "), [120, 32, 256, 256, 32, 32, 120]);
        assert_eq!(prepared(&rule, b"  \n "), [256; 7]);
        let raw = BytesRule {
            strip: false,
            ..rule
        };
        assert_eq!(prepared(&raw, b" x"), [32, 120, 256, 256, 256, 32, 120]);
    }

    #[test]
    fn other_elements_get_the_same_numbers() {
        let rule = BytesRule {
            head: 2,
            tail: 0,
            strip: false,
            pad: 0,
            block: 2,
        };
        let mut floats = TensorData::Float(Vec::new());
        rule.append(&[255], &mut floats).unwrap();
        assert_eq!(floats, TensorData::Float(vec![255.0, 0.0]));
        let mut texts = TensorData::String(Default::default());
        assert_eq!(rule.append(&[255], &mut texts), Err(Fault::Unsupported));
    }
}
