//! The length of a tokenizer's results.

use serde::{Deserialize, Serialize};
use tokenizers::{
    PaddingDirection, PaddingParams, PaddingStrategy, TruncationDirection, TruncationParams,
    TruncationStrategy,
};

/// `max_length`, `truncation` and `padding` of a job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TokenShape {
    /// Number of tokens of every text, special tokens included.
    pub max_length: usize,
    pub truncation: Truncation,
    /// Where short texts are filled.
    pub padding: Side,
    /// The token that fills them; its type id is 0.
    pub pad: (String, u32),
    /// Whether the tokenizer's post-processor adds its tokens, such as `[CLS]`.
    pub special_tokens: bool,
}

/// What happens to longer texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Truncation {
    /// Tokens are removed there.
    Cut(Side),
    /// The row is rejected.
    Reject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Side {
    Left,
    Right,
}

impl Side {
    /// Returns the manifest's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

impl Truncation {
    /// Returns the manifest's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cut(side) => side.name(),
            Self::Reject => "reject",
        }
    }
}

impl TokenShape {
    /// Sets the library's parameters.
    pub(super) fn apply(
        &self,
        tokenizer: &mut tokenizers::Tokenizer,
        special_tokens: usize,
    ) -> Result<(), String> {
        // The library subtracts without a check, whether or not it adds them.
        if self.max_length <= special_tokens {
            return Err(format!(
                "max_length = {} leaves no room beside {special_tokens} special token(s)",
                self.max_length
            ));
        }
        let truncation = match self.truncation {
            Truncation::Reject => None,
            Truncation::Cut(side) => Some(TruncationParams {
                direction: match side {
                    Side::Left => TruncationDirection::Left,
                    Side::Right => TruncationDirection::Right,
                },
                max_length: self.max_length,
                strategy: TruncationStrategy::LongestFirst,
                stride: 0,
            }),
        };
        let failed = |error: tokenizers::Error| error.to_string();
        tokenizer.with_truncation(truncation).map_err(failed)?;
        let (pad_token, pad_id) = self.pad.clone();
        tokenizer.with_padding(Some(PaddingParams {
            strategy: PaddingStrategy::Fixed(self.max_length),
            direction: match self.padding {
                Side::Left => PaddingDirection::Left,
                Side::Right => PaddingDirection::Right,
            },
            pad_to_multiple_of: None,
            pad_id,
            pad_type_id: 0,
            pad_token,
        }));
        Ok(())
    }
}
