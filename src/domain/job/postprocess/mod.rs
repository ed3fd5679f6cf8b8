//! What a column holds instead of an output's own values: an embedding, or the best of many
//! classes.

mod embedding;
mod top;

use std::sync::Arc;

use serde_json::{Value, json};

pub use embedding::embed_row;
pub use top::best_class;

use crate::domain::model::Output;

/// How an output's values become a column's value.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Postprocess {
    /// They are stored as they are.
    #[default]
    Nothing,
    Embedding(Embedding),
    Top(Top),
}

/// A vector computed from all values of an output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Embedding {
    /// Index of the input with the mask, if the vectors of a row's tokens are averaged. The mask has
    /// one value per token: a token counts if its value is not 0.
    pub mask: Option<usize>,
    /// Number of tokens; 1 without a mask.
    pub tokens: usize,
    /// Whether its Euclidean length becomes 1.
    pub is_normalised: bool,
}

/// One of the classes with the highest scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Top {
    /// 0 is the best.
    pub rank: usize,
    pub value: TopValue,
}

/// What is stored of a class.
#[derive(Debug, Clone, PartialEq)]
pub enum TopValue {
    /// Its name, from all names in the output's order.
    Label(Arc<[String]>),
    Score,
}

impl Postprocess {
    /// Returns what a prediction depends on, for the fingerprint; `None` for [`Self::Nothing`].
    /// `input` gives an input's name.
    pub fn fingerprint<'n>(&self, input: impl Fn(usize) -> Option<&'n str>) -> Option<Value> {
        match self {
            Self::Nothing => None,
            Self::Embedding(it) => Some(json!([
                "embedding",
                it.mask.map(input),
                it.tokens,
                it.is_normalised
            ])),
            Self::Top(Top { rank, value }) => Some(match value {
                TopValue::Label(names) => json!(["top", rank, &names[..]]),
                TopValue::Score => json!(["top", rank]),
            }),
        }
    }

    /// Returns how the values of `output` become the column's, for people; empty for
    /// [`Self::Nothing`].
    pub fn described(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Embedding(it) => {
                let pooled = it.mask.map(|_| "mean_pool");
                let normalised = it.is_normalised.then_some("l2_normalise");
                let parts: Vec<&str> = pooled.into_iter().chain(normalised).collect();
                parts.join(", ")
            }
            Self::Top(top) => format!("top {}", top.rank + 1),
        }
    }

    /// Returns how far rounding in the model may move value `place` of the column, by what admission
    /// observed of `output`.
    pub fn rounding(&self, output: &Output, place: usize) -> f64 {
        match self {
            Self::Nothing => output.rounding(place),
            // A mean moves no further than the token that moves most.
            Self::Embedding(it) => {
                let width = output.width() / it.tokens.max(1);
                let tokens = (0..it.tokens).map(|token| output.rounding(token * width + place));
                tokens.fold(0.0, f64::max)
            }
            Self::Top(_) => {
                let classes = (0..output.width()).map(|class| output.rounding(class));
                classes.fold(0.0, f64::max)
            }
        }
    }
}
