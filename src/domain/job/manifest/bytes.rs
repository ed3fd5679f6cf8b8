//! `as = "bytes"` in the manifest.

use serde::Deserialize;

use super::{Feature, problems::Problems};
use crate::domain::job::{PreparationKind, prepare::BytesRule};

/// Largest `head`, `tail` and `block`: an input has at most 2^20 values.
const MAX_BYTES: usize = 1 << 20;
const DEFAULT_BLOCK: usize = 4096;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBytes {
    pub column: String,
    /// `"bytes"`, or this type would not be read.
    #[serde(rename = "as")]
    _kind: String,
    #[serde(default)]
    pub head: usize,
    #[serde(default)]
    pub tail: usize,
    #[serde(default)]
    pub strip: bool,
    pub pad: Option<i32>,
    pub block: Option<usize>,
}

pub(super) fn check_bytes(place: &str, raw: RawBytes, p: &mut Problems) -> Feature {
    let longest = raw.head.max(raw.tail);
    let block = raw.block.unwrap_or(DEFAULT_BLOCK.max(longest));
    if longest == 0 {
        p.report(
            place,
            "neither the first nor the last bytes are asked for",
            "write head = 1024, tail = 1024 or both: the numbers of bytes that the model takes",
        );
    }
    for (word, value) in [("head", raw.head), ("tail", raw.tail), ("block", block)] {
        if value > MAX_BYTES {
            p.report(
                &format!("{place}.{word}"),
                format!("`{word}` must not exceed {MAX_BYTES}"),
                "write a smaller number",
            );
        }
    }
    if block < longest {
        p.report(
            &format!("{place}.block"),
            format!("`block` is {block}, which is less than the {longest} bytes asked for"),
            "write a larger number, or remove it",
        );
    }
    Feature {
        column: raw.column,
        prepared: Some(PreparationKind::Bytes(BytesRule {
            head: raw.head,
            tail: raw.tail,
            strip: raw.strip,
            pad: raw.pad.unwrap_or(0),
            block,
        })),
        ..Feature::default()
    }
}
