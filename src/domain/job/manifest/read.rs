//! The manifest's structure: its keys and their types.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        self, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

use super::{ClassNames, NullSpec, VersionWish, feature::RawFeature};
use crate::domain::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub job: String,
    pub model: String,
    pub versions: Vec<VersionWish>,
    #[serde(default)]
    pub shadow: Vec<VersionWish>,
    pub source: RawSource,
    pub features: Option<BTreeMap<String, OrColumn<RawFeature>>>,
    #[serde(default)]
    pub wide: BTreeMap<String, RawWide>,
    #[serde(default)]
    pub outputs: RawOutputs,
    #[serde(default)]
    pub rules: RawRules,
    #[serde(default)]
    pub drift: RawDrift,
    #[serde(default)]
    pub stream: RawStream,
    pub expect: Option<RawExpect>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSource {
    pub table: String,
    pub version: Option<VersionWish>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWide {
    pub for_versions: Vec<VersionWish>,
    pub order: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOutputs {
    pub table: Option<String>,
    pub positive: Option<String>,
    pub classes: Option<ClassNames>,
    #[serde(default)]
    pub omit: Vec<String>,
    #[serde(default)]
    pub omit_classes: Vec<String>,
    pub nan: Option<String>,
    pub history: Option<bool>,
    pub history_ttl: Option<String>,
    #[serde(default)]
    pub current: bool,
    #[serde(default)]
    pub columns: BTreeMap<String, RawColumn>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawColumn {
    pub output: String,
    pub class: Option<String>,
    #[serde(default)]
    pub index: bool,
    pub labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRules {
    pub max_rejected: Option<CountOrShare>,
    pub guard: Option<bool>,
    pub orphans: Option<String>,
    pub ttl: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDrift {
    pub profile: Option<bool>,
    pub psi: Option<f64>,
    pub share: Option<f64>,
    pub segment: Option<String>,
    #[serde(default)]
    pub features: BTreeMap<String, RawThresholds>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawThresholds {
    pub psi: Option<f64>,
    pub share: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStream {
    #[serde(rename = "in")]
    pub input: Option<RawStreamInput>,
    #[serde(rename = "out")]
    pub output: Option<RawStreamOutput>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStreamInput {
    pub topic: String,
    pub format: Option<String>,
    pub envelope: Option<String>,
    #[serde(default)]
    pub upsert: bool,
    pub timestamp: Option<String>,
    pub deletes: Option<String>,
    pub max_rejected: Option<CountOrShare>,
    pub window: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStreamOutput {
    pub topic: String,
    #[serde(default)]
    pub versions: Vec<VersionWish>,
    pub from: Option<Vec<String>>,
    pub dead_letters: Option<String>,
}

#[derive(Debug)]
pub(super) enum CountOrShare {
    Count(i64),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExpect {
    pub file: Option<String>,
    pub rows: Option<String>,
    pub files: Option<String>,
    pub rtol: Option<f64>,
    pub atol: Option<f64>,
}

/// Parses the text; an error has its line.
pub(super) fn read(text: &str) -> Result<Raw, Problem> {
    toml::from_str(text).map_err(|error| {
        let message = error.message().trim().replace('\n', "; ");
        let problem = Problem::new("job.manifest", message);
        match error.span() {
            Some(span) => problem.at(line_and_column(text, span.start)),
            None => problem,
        }
    })
}

/// Returns `line 3, column 7` of a byte offset.
pub(super) fn line_and_column(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    format!("line {line}, column {column}")
}

/// A table, or a string that is the value of its first key.
#[derive(Debug)]
pub(super) struct OrColumn<T>(pub T);

impl<'de, T: Deserialize<'de> + From<String>> Deserialize<'de> for OrColumn<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + From<String>> Visitor<'de> for Either<T> {
            type Value = OrColumn<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column name or a table such as { column = \"…\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(OrColumn(text.to_owned().into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(OrColumn)
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl<'de> Deserialize<'de> for VersionWish {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrAlias;
        impl Visitor<'_> for NumberOrAlias {
            type Value = VersionWish;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a version number of at least 1, or an alias such as \"champion\"")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                match i32::try_from(number) {
                    Ok(number) if number > 0 => Ok(VersionWish::Number(number)),
                    _ => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, alias: &str) -> Result<Self::Value, E> {
                let good = alias.starts_with(|c: char| c.is_ascii_alphabetic())
                    && alias
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
                match good {
                    true => Ok(VersionWish::Alias(alias.to_owned())),
                    false => Err(E::invalid_value(de::Unexpected::Str(alias), &self)),
                }
            }
        }
        deserializer.deserialize_any(NumberOrAlias)
    }
}

impl<'de> Deserialize<'de> for NullSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = NullSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"reject\", \"nan\", a number, true, false or a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(NullSpec::Text(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Self::Value, E> {
                Ok(NullSpec::Bool(truth))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(NullSpec::Integer(number))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
                Ok(NullSpec::Float(number))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

impl<'de> Deserialize<'de> for ClassNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListOrTable;
        impl<'de> Visitor<'de> for ListOrTable {
            type Value = ClassNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of class names, or a table of such lists by output")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(ClassNames::OfOne)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(map)).map(ClassNames::ByOutput)
            }
        }
        deserializer.deserialize_any(ListOrTable)
    }
}

impl<'de> Deserialize<'de> for CountOrShare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = CountOrShare;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of rows, or a share such as \"0.1%\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(CountOrShare::Text(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(CountOrShare::Count(number))
            }
        }
        deserializer.deserialize_any(Either)
    }
}
