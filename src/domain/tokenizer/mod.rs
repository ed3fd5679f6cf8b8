//! Tokenizers: texts to token ids, as the Python package `tokenizers` makes them from the same
//! `tokenizer.json`.
//!
//! The file may be hostile, so `parse` looks at it before the library does. Its own `truncation` and
//! `padding` are replaced by a [`TokenShape`]: what a model is fed stands in the job.

mod parse;
mod pattern;
mod shape;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

pub use shape::{Side, TokenShape, Truncation};

use super::problem::Problem;

/// Largest text that is tokenized, in bytes of UTF-8. A token needs some 60 bytes meanwhile.
pub const MAX_TEXT: usize = 2 << 20;

/// Longest run of white space that a pattern with a look-ahead is given. Its matcher keeps a stack
/// of at most 1,000,000 entries, and gives up silently beyond.
const MAX_SPACES: usize = 250_000;

/// A tokenizer that was read from `tokenizer.json`.
pub struct Tokenizer {
    /// The bytes of `tokenizer.json`.
    file: Arc<[u8]>,
    /// Without truncation and padding.
    inner: tokenizers::Tokenizer,
    facts: TokenizerFacts,
    /// Those that jobs use, by shape.
    shaped: Mutex<BTreeMap<TokenShape, Arc<ShapedTokenizer>>>,
}

/// What admission finds in a tokenizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizerFacts {
    /// `WordPiece`, `BPE`, `Unigram` or `WordLevel`.
    pub model: String,
    /// Number of its tokens.
    pub tokens: usize,
    /// The largest id that it can give.
    pub max_id: u32,
    /// The largest token type id.
    pub max_type: u32,
    /// The token that fills short texts, and its id, if the file names one.
    pub pad: Option<(String, u32)>,
    /// How many special tokens it adds to a text.
    pub special_tokens: usize,
    /// Whether it splits by a pattern that looks ahead.
    looks_ahead: bool,
}

/// A tokenizer whose results have a fixed length.
pub struct ShapedTokenizer {
    file: Arc<[u8]>,
    inner: tokenizers::Tokenizer,
    shape: TokenShape,
    looks_ahead: bool,
}

/// The tokens of a text, [`TokenShape::max_length`] of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    pub ids: Vec<u32>,
    /// 1 for tokens of the text and special tokens, 0 for padding.
    pub mask: Vec<u32>,
    /// Token type ids.
    pub types: Vec<u32>,
}

/// Why a text has no tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenFault {
    /// More bytes than [`MAX_TEXT`].
    TooLong(usize),
    /// A run of that many white-space characters.
    Spaces(usize),
    /// More tokens than fit, and the job rejects such texts.
    TooManyTokens { got: usize, room: usize },
    /// The library's own words.
    Failed(String),
}

impl Tokenizer {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    /// `artifact.tokenizer`: not a tokenizer, or one that could not give the same tokens each time.
    pub fn parse(json: &[u8]) -> Result<Self, Problem> {
        let (inner, facts) = parse::read(json)?;
        Ok(Self {
            file: json.into(),
            inner,
            facts,
            shaped: Mutex::default(),
        })
    }

    /// Returns what admission records.
    pub fn facts(&self) -> &TokenizerFacts {
        &self.facts
    }

    /// Returns the id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Returns the tokenizer for results of this shape. Equal shapes share one.
    ///
    /// # Errors
    /// The shape has no room for a token beside the special ones.
    pub fn shaped(&self, shape: &TokenShape) -> Result<Arc<ShapedTokenizer>, String> {
        let mut shaped = self.shaped.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shaped.get(shape) {
            return Ok(Arc::clone(known));
        }
        let mut inner = self.inner.clone();
        shape.apply(&mut inner, self.facts.special_tokens)?;
        let made = Arc::new(ShapedTokenizer {
            file: Arc::clone(&self.file),
            inner,
            shape: shape.clone(),
            looks_ahead: self.facts.looks_ahead,
        });
        shaped.insert(shape.clone(), Arc::clone(&made));
        Ok(made)
    }
}

impl ShapedTokenizer {
    /// Returns the shape of its results.
    pub fn shape(&self) -> &TokenShape {
        &self.shape
    }

    /// Returns the bytes of `tokenizer.json`.
    pub fn file(&self) -> &Arc<[u8]> {
        &self.file
    }

    /// Returns the tokens of a text.
    ///
    /// # Errors
    /// The text is too long, or the library fails.
    pub fn encode(&self, text: &str) -> Result<Tokens, TokenFault> {
        if text.len() > MAX_TEXT {
            return Err(TokenFault::TooLong(text.len()));
        }
        if self.looks_ahead
            && let Some(spaces) = long_spaces(text)
        {
            return Err(TokenFault::Spaces(spaces));
        }
        let encoded = guarded(|| self.inner.encode_fast(text, self.shape.special_tokens))?;
        let got = encoded.get_ids().len();
        if got != self.shape.max_length {
            // Only without truncation.
            return Err(TokenFault::TooManyTokens {
                got,
                room: self.shape.max_length,
            });
        }
        Ok(Tokens {
            ids: encoded.get_ids().to_vec(),
            mask: encoded.get_attention_mask().to_vec(),
            types: encoded.get_type_ids().to_vec(),
        })
    }

    /// Returns the token of an id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }
}

/// Calls the library, which panics on some files that it accepts.
fn guarded<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, TokenFault> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(TokenFault::Failed(error.to_string())),
        Err(_) => Err(TokenFault::Failed("the tokenizer panicked".to_owned())),
    }
}

/// Returns the length of a run of white space beyond [`MAX_SPACES`].
fn long_spaces(text: &str) -> Option<usize> {
    if text.len() <= MAX_SPACES {
        return None;
    }
    let mut run = 0_usize;
    let mut longest = 0;
    for character in text.chars() {
        run = match character.is_whitespace() || character.is_control() {
            true => run + 1,
            false => 0,
        };
        longest = longest.max(run);
    }
    (longest > MAX_SPACES).then_some(longest)
}

impl std::fmt::Display for TokenFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(bytes) => write!(
                f,
                "has {bytes} bytes; the limit for tokenization is {MAX_TEXT}"
            ),
            Self::Spaces(spaces) => write!(
                f,
                "has a run of {spaces} white-space characters; this tokenizer's limit is {MAX_SPACES}"
            ),
            Self::TooManyTokens { got, room } => write!(
                f,
                "has {got} tokens, but max_length is {room} (`truncation = \"right\"` would cut it)"
            ),
            Self::Failed(why) => write!(f, "cannot be tokenized: {why}"),
        }
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tokenizer").field(&self.facts).finish()
    }
}

impl std::fmt::Debug for ShapedTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ShapedTokenizer").field(&self.shape).finish()
    }
}

#[cfg(test)]
mod tests;
