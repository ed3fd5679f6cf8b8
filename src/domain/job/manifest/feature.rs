//! One entry of `[features]`: its `as` decides which other options it has.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, de};

use super::{
    Feature, NullSpec,
    bytes::{RawBytes, check_bytes},
    check::key,
    image::{RawImage, check_image},
    problems::Problems,
    tokens::{RawTokens, check_tokens},
};
use crate::domain::job::{Cast, Epoch, TextRule};

/// An entry as it is written.
#[derive(Debug)]
pub(super) enum RawFeature {
    /// A number or text, converted by rules.
    Cell(Box<RawCell>),
    /// `as = "bytes"`
    Bytes(RawBytes),
    /// `as = "tokens"`
    Tokens(RawTokens),
    /// `as = "image"`
    Image(Box<RawImage>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCell {
    pub column: String,
    pub cast: Option<String>,
    #[serde(rename = "as")]
    pub epoch: Option<String>,
    pub null: Option<NullSpec>,
    pub text: Option<String>,
    pub width: Option<usize>,
    pub pad: Option<NullSpec>,
    pub nonfinite: Option<String>,
}

impl From<String> for RawFeature {
    fn from(column: String) -> Self {
        Self::Cell(Box::new(RawCell {
            column,
            ..RawCell::default()
        }))
    }
}

/// The options of all kinds.
const OPTIONS: &[&str] = &[
    "column",
    "as",
    "cast",
    "null",
    "text",
    "width",
    "pad",
    "nonfinite",
    "head",
    "tail",
    "strip",
    "block",
    "tokenizer",
    "max_length",
    "truncation",
    "padding",
    "pad_token",
    "special_tokens",
    "inputs",
    "decode",
    "exif",
    "resize",
    "crop",
    "channels",
    "layout",
    "scale",
    "mean",
    "std",
    "alpha",
    "cmyk",
    "max_pixels",
];

/// A name of [`OPTIONS`]. Any other is refused here, where the parser knows its line and column.
#[derive(PartialEq, Eq, Hash)]
struct OptionName(String);

impl<'de> Deserialize<'de> for OptionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        match OPTIONS.contains(&name.as_str()) {
            true => Ok(Self(name)),
            false => Err(de::Error::unknown_field(&name, OPTIONS)),
        }
    }
}

impl<'de> Deserialize<'de> for RawFeature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let options = HashMap::<OptionName, toml::Value>::deserialize(deserializer)?;
        let table: toml::Table = options
            .into_iter()
            .map(|(name, value)| (name.0, value))
            .collect();
        let kind = table.get("as").and_then(toml::Value::as_str);
        match kind.map(str::to_owned).as_deref() {
            Some("bytes") => read(table).map(Self::Bytes),
            Some("tokens") => read(table).map(Self::Tokens),
            Some("image") => read(table).map(|image| Self::Image(Box::new(image))),
            _ => read(table).map(|cell| Self::Cell(Box::new(cell))),
        }
    }
}

fn read<T: de::DeserializeOwned, E: de::Error>(table: toml::Table) -> Result<T, E> {
    T::deserialize(toml::Value::Table(table))
        .map_err(|error: toml::de::Error| E::custom(error.message()))
}

/// Checks an entry as far as possible without its column and input.
pub(super) fn check_feature(name: &str, raw: RawFeature, p: &mut Problems) -> Feature {
    let place = format!("features.{}", key(name));
    match raw {
        RawFeature::Cell(cell) => check_cell(&place, *cell, p),
        RawFeature::Bytes(bytes) => check_bytes(&place, bytes, p),
        RawFeature::Tokens(tokens) => check_tokens(&place, tokens, p),
        RawFeature::Image(image) => check_image(&place, *image, p),
    }
}

fn check_cell(place: &str, raw: RawCell, p: &mut Problems) -> Feature {
    let at = |word: &str| format!("{place}.{word}");
    if raw.width == Some(0) {
        p.report(
            &at("width"),
            "`width` must be at least 1",
            "remove it for a single number",
        );
    }
    Feature {
        column: raw.column,
        prepared: None,
        tokens: None,
        cast: raw.cast.map(|cast| {
            p.word(
                &at("cast"),
                &cast,
                &[("float", Cast::Float), ("lossy", Cast::Lossy)],
            )
        }),
        epoch: raw.epoch.map(|epoch| epoch_of(&at("as"), &epoch, p)),
        null: raw.null,
        text: raw
            .text
            .map(|text| p.word(&at("text"), &text, &TextRule::ALL)),
        width: raw.width,
        pad: raw.pad,
        reject_nonfinite: raw.nonfinite.map(|word| {
            p.word(
                &at("nonfinite"),
                &word,
                &[("reject", true), ("allow", false)],
            )
        }),
    }
}

/// Returns the unit; `as` names a preparation where it is none of these.
fn epoch_of(place: &str, word: &str, p: &mut Problems) -> Epoch {
    let prepared = ["bytes", "image", "tokens"].map(|kind| (kind, Epoch::Seconds));
    let mut words = vec![
        ("epoch_s", Epoch::Seconds),
        ("epoch_ms", Epoch::Milliseconds),
        ("epoch_days", Epoch::Days),
    ];
    words.extend(prepared);
    p.word(place, word, &words)
}
