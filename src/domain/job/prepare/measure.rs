//! What profiles measure of a content, without preparing it.

use super::{PreparationKind, TokenPart, language};
use crate::domain::model::tensor::Element;

/// A property of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentMeasure {
    /// Its size.
    Bytes,
    /// An image's width in pixels.
    Width,
    /// An image's height in pixels.
    Height,
    /// A text's number of tokens, without padding.
    Tokens,
    /// A text's language.
    Language,
}

/// The value of a [`ContentMeasure`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MeasuredContent {
    /// NaN if the content cannot be read.
    Number(f64),
    Category(&'static str),
}

impl ContentMeasure {
    /// Returns the name of its feature in brackets: `page[width]`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Width => "width",
            Self::Height => "height",
            Self::Tokens => "tokens",
            Self::Language => "language",
        }
    }

    /// Returns the type that its values are counted as.
    pub fn element(self) -> Element {
        match self {
            Self::Bytes | Self::Width | Self::Height | Self::Tokens => Element::Double,
            Self::Language => Element::String,
        }
    }
}

impl PreparationKind {
    /// Returns what [`PreparationKind::measure`] measures.
    pub fn measures(&self) -> &'static [ContentMeasure] {
        use ContentMeasure::{Bytes, Height, Language, Tokens, Width};
        match self {
            Self::Bytes(_) => &[Bytes],
            // Once for all inputs that a text fills.
            Self::Tokens(rule) if rule.part == TokenPart::Ids => &[Tokens, Language],
            Self::Tokens(_) => &[],
            Self::Image(_) => &[Bytes, Width, Height],
        }
    }

    /// Measures a content without preparing it, for profiles: a value for each of
    /// [`PreparationKind::measures`]. (Brightness would mean to decode images that need not be
    /// scored.)
    pub fn measure(&self, content: &[u8]) -> Vec<MeasuredContent> {
        use MeasuredContent::{Category, Number};
        let bytes = Number(content.len() as f64);
        match self {
            Self::Bytes(_) => vec![bytes],
            Self::Tokens(rule) if rule.part == TokenPart::Ids => {
                let language = language::language_of(content);
                vec![Number(rule.length(content)), Category(language)]
            }
            Self::Tokens(_) => Vec::new(),
            Self::Image(rule) => match rule.header(content) {
                Some((_, width, height)) => {
                    vec![bytes, Number(width.into()), Number(height.into())]
                }
                None => vec![bytes, Number(f64::NAN), Number(f64::NAN)],
            },
        }
    }
}
