//! `as = "tokens"`: the tokens of a text, as ids, mask and types.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::{
    job::cast::Fault,
    model::tensor::TensorData,
    tokenizer::{ShapedTokenizer, TokenShape, Tokens},
};

/// Version of what the tokenizers' library makes; raised when a new library makes other tokens.
const LIBRARY: u32 = 1;

/// One input of a tokenized column.
#[derive(Debug, Clone)]
pub struct TokensRule {
    /// The artifact's name.
    pub name: String,
    /// sha256 of its bytes.
    pub sha256: [u8; 32],
    pub tokenizer: Arc<ShapedTokenizer>,
    pub part: TokenPart,
}

/// What an input takes of a text's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenPart {
    Ids,
    /// 1 for a token, 0 for padding.
    Mask,
    /// Token type ids.
    Types,
}

/// The tokens of the cell that is being prepared: its inputs share them.
#[derive(Debug, Default)]
pub struct CellTokens(Option<(Arc<ShapedTokenizer>, Tokens)>);

impl TokenPart {
    /// Returns the part that goes to the input of this name unless the manifest says otherwise.
    pub fn of_input(name: &str) -> Option<Self> {
        let all = [Self::Ids, Self::Mask, Self::Types];
        all.into_iter().find(|part| part.input() == name)
    }

    /// Returns the usual name of its input.
    pub fn input(self) -> &'static str {
        match self {
            Self::Ids => "input_ids",
            Self::Mask => "attention_mask",
            Self::Types => "token_type_ids",
        }
    }
}

impl TokensRule {
    /// Returns the number of values.
    pub fn width(&self) -> usize {
        self.shape().max_length
    }

    fn shape(&self) -> &TokenShape {
        self.tokenizer.shape()
    }

    /// Appends `max_length` values. `tokens` are those of this cell, if another input had them made.
    ///
    /// # Errors
    /// [`Fault::Unprepared`]: the content is not UTF-8, or too long.
    pub fn append(
        &self,
        content: &[u8],
        data: &mut TensorData,
        tokens: &mut CellTokens,
    ) -> Result<(), Fault> {
        let tokens = match &mut tokens.0 {
            Some((by, tokens)) if Arc::ptr_eq(by, &self.tokenizer) => tokens,
            other => {
                let text = text(content)?;
                let made = self.tokenizer.encode(text);
                let made = made.map_err(|fault| Fault::Unprepared("tokens", fault.to_string()))?;
                &mut other.insert((Arc::clone(&self.tokenizer), made)).1
            }
        };
        let values = match self.part {
            TokenPart::Ids => &tokens.ids,
            TokenPart::Mask => &tokens.mask,
            TokenPart::Types => &tokens.types,
        };
        let too_large = |_| {
            let reason = "has a token id beyond the input's type".to_owned();
            Fault::Unprepared("tokens", reason)
        };
        match data {
            TensorData::Int64(data) => data.extend(values.iter().copied().map(i64::from)),
            TensorData::Int32(data) => {
                for value in values {
                    data.push(i32::try_from(*value).map_err(too_large)?);
                }
            }
            _ => return Err(Fault::Unsupported),
        }
        Ok(())
    }

    /// Returns the number of tokens without padding, `max_length` at most; NaN if the content cannot
    /// be tokenized.
    pub(super) fn length(&self, content: &[u8]) -> f64 {
        let tokens = text(content).ok().map(|text| self.tokenizer.encode(text));
        match tokens {
            Some(Ok(tokens)) => tokens.mask.iter().filter(|mask| **mask != 0).count() as f64,
            _ => f64::NAN,
        }
    }

    pub(super) fn fingerprint(&self) -> Value {
        let shape = self.shape();
        json!([
            "tokens",
            LIBRARY,
            hex::encode(self.sha256),
            shape.max_length,
            shape.truncation.name(),
            shape.padding.name(),
            shape.pad.1,
            shape.special_tokens,
            self.part.input()
        ])
    }

    pub(super) fn describe(&self) -> String {
        let shape = self.shape();
        format!(
            "as = tokens, tokenizer = {}, max_length = {}, truncation = {}, padding = {}",
            self.name,
            shape.max_length,
            shape.truncation.name(),
            shape.padding.name()
        )
    }
}

/// Returns the content as text.
pub fn text(content: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(content).map_err(|error| {
        let at = error.valid_up_to();
        Fault::Unprepared("not_utf8", format!("is not UTF-8 from byte {at} on"))
    })
}

impl PartialEq for TokensRule {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}
