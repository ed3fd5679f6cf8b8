//! `as = "tokens"` in the manifest.

use serde::Deserialize;

use super::{Feature, problems::Problems};
use crate::domain::{
    job::prepare::TokenPart,
    tokenizer::{Side, Truncation},
};

/// Largest `max_length`: an input has at most 2^20 values, and no model takes as many tokens.
const MAX_LENGTH: usize = 1 << 16;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTokens {
    pub column: String,
    /// `"tokens"`, or this type would not be read.
    #[serde(rename = "as")]
    _kind: String,
    pub tokenizer: String,
    pub max_length: usize,
    pub truncation: Option<String>,
    pub padding: Option<String>,
    pub pad_token: Option<String>,
    pub special_tokens: Option<bool>,
    pub inputs: Option<RawInputs>,
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "write a list such as [\"input_ids\", \"attention_mask\"], or { ids = \"…\", mask = \"…\", types = \"…\" }"
)]
pub(super) enum RawInputs {
    Usual(Vec<String>),
    Named(RawNamedInputs),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNamedInputs {
    pub ids: Option<String>,
    pub mask: Option<String>,
    pub types: Option<String>,
}

/// `as = "tokens"`: how a column's texts become tokens, before its tokenizer is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokensSpec {
    /// The artifact.
    pub tokenizer: String,
    pub max_length: usize,
    pub truncation: Truncation,
    pub padding: Side,
    /// `None`: the tokenizer's own.
    pub pad_token: Option<String>,
    pub special_tokens: bool,
    /// The inputs that it fills; `None`: those of the usual names that the model has.
    pub inputs: Option<Vec<(TokenPart, String)>>,
}

impl TokensSpec {
    /// Returns what the input of this name takes, if this fills it.
    pub fn part_of(&self, input: &str) -> Option<TokenPart> {
        match &self.inputs {
            None => TokenPart::of_input(input),
            Some(inputs) => {
                let mut inputs = inputs.iter();
                inputs
                    .find(|(_, name)| name == input)
                    .map(|(part, _)| *part)
            }
        }
    }
}

pub(super) fn check_tokens(place: &str, raw: RawTokens, p: &mut Problems) -> Feature {
    let at = |word: &str| format!("{place}.{word}");
    if !(1..=MAX_LENGTH).contains(&raw.max_length) {
        p.report(
            &at("max_length"),
            format!("`max_length` is {}", raw.max_length),
            format!("write the number of tokens that the model takes, from 1 to {MAX_LENGTH}"),
        );
    }
    let inputs = raw.inputs.map(|inputs| match inputs {
        RawInputs::Named(RawNamedInputs { ids, mask, types }) => [
            (TokenPart::Ids, ids),
            (TokenPart::Mask, mask),
            (TokenPart::Types, types),
        ]
        .into_iter()
        .filter_map(|(part, name)| Some((part, name?)))
        .collect(),
        RawInputs::Usual(names) => names
            .into_iter()
            .filter_map(|name| {
                let part = TokenPart::of_input(&name);
                if part.is_none() {
                    p.report(
                        &at("inputs"),
                        format!("what does input `{name}` take: ids, mask or types?"),
                        format!("write inputs = {{ ids = {name:?} }}, or mask or types"),
                    );
                }
                Some((part?, name))
            })
            .collect::<Vec<_>>(),
    });
    if inputs.as_ref().is_some_and(Vec::is_empty) {
        p.report(
            &at("inputs"),
            "no input is named",
            "remove `inputs`, or name the inputs that take the tokens",
        );
    }
    let sides = [("right", Side::Right), ("left", Side::Left)];
    let padding = raw.padding.as_deref().unwrap_or("right");
    let truncation = raw.truncation.as_deref().unwrap_or("right");
    Feature {
        column: raw.column,
        tokens: Some(TokensSpec {
            tokenizer: raw.tokenizer,
            max_length: raw.max_length,
            truncation: p.word(
                &at("truncation"),
                truncation,
                &[
                    ("right", Truncation::Cut(Side::Right)),
                    ("left", Truncation::Cut(Side::Left)),
                    ("reject", Truncation::Reject),
                ],
            ),
            padding: p.word(&at("padding"), padding, &sides),
            pad_token: raw.pad_token,
            special_tokens: raw.special_tokens.unwrap_or(true),
            inputs,
        }),
        ..Feature::default()
    }
}
