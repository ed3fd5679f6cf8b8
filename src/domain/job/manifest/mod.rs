//! A job's manifest: a TOML text and its meaning.

mod bytes;
mod check;
mod drift;
mod feature;
mod image;
mod inline;
mod problems;
mod read;
mod stream;
mod tokens;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use check::key;
pub use inline::inline_expect;
pub use tokens::TokensSpec;

use crate::domain::{
    job::{
        Cast, DriftRules, Epoch, NanOutput, PreparationKind, Rules, TextRule,
        similarity::OutputIndex, stream::StreamRules,
    },
    problem::Problem,
};

/// A manifest, validated as far as possible without tables and models.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// `job`: `[a-z][a-z0-9_]{0,27}`.
    pub job: String,
    /// `model`.
    pub model: String,
    /// `versions`: at least one, none twice.
    pub versions: Vec<VersionWish>,
    /// `shadow`: versions that are scored and stored, but never served.
    pub shadow: Vec<VersionWish>,
    /// `[source] table`.
    pub source: TableName,
    /// `[source] version`, when the source is a prediction table.
    pub source_version: Option<VersionWish>,
    /// `[features]` by feature name; `None` when the section is left out.
    pub features: Option<BTreeMap<String, Feature>>,
    /// `[wide.<input>]` by input name.
    pub wide: BTreeMap<String, Wide>,
    /// `[outputs]`.
    pub outputs: Outputs,
    /// `[rules]`.
    pub rules: Rules,
    /// `[drift]`.
    pub drift: Arc<DriftRules>,
    /// `[stream]`.
    pub stream: Arc<StreamRules>,
    /// `[expect]`.
    pub expect: Option<Expect>,
}

/// A version by number or by alias; aliases are resolved when a run is planned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum VersionWish {
    Number(i32),
    Alias(String),
}

impl std::fmt::Display for VersionWish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Alias(alias) => f.write_str(alias),
        }
    }
}

/// A table by its exact names, without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    pub keyspace: String,
    pub table: String,
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.keyspace, self.table)
    }
}

/// One entry of `[features]`. `None` means not given.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Feature {
    /// Exact column name.
    pub column: String,
    /// `as`, if the column's content is prepared; then nothing below is given.
    pub prepared: Option<PreparationKind>,
    /// `as = "tokens"`, for all inputs that it fills; then nothing else is given.
    pub tokens: Option<TokensSpec>,
    /// `cast`.
    pub cast: Option<Cast>,
    /// `as`, for a time.
    pub epoch: Option<Epoch>,
    /// `null`.
    pub null: Option<NullSpec>,
    /// `text`.
    pub text: Option<TextRule>,
    /// `width`.
    pub width: Option<usize>,
    /// `pad`.
    pub pad: Option<NullSpec>,
    /// `nonfinite = "reject"`.
    pub reject_nonfinite: Option<bool>,
}

/// `null` or `pad` as written; its meaning depends on the tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum NullSpec {
    Text(String),
    Bool(bool),
    Integer(i64),
    Float(f64),
}

/// `[wide.<input>]`: the order of features in a wide input, for versions whose file has no names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wide {
    /// Versions to which it applies.
    pub for_versions: Vec<VersionWish>,
    /// Feature names, in the input's order.
    pub order: Vec<String>,
}

/// `[outputs]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    /// `table`, if given.
    pub table: Option<TableName>,
    /// `positive`.
    pub positive: Option<String>,
    /// `classes`.
    pub classes: Option<ClassNames>,
    /// `omit`: outputs, or columns by their default names, that are not stored.
    pub omit: Vec<String>,
    /// `omit_classes`: classes whose columns are not stored, of any output.
    pub omit_classes: Vec<String>,
    /// `nan`.
    pub nan: NanOutput,
    /// `top_k`.
    pub top_k: Option<TopK>,
    /// `history` with its `history_ttl`: TTL of its rows in seconds, 0 is none.
    pub history: Option<i32>,
    /// `current`: whether there is a table of the champion's predictions.
    pub current: bool,
    /// `[outputs.columns]` by exact column name.
    pub columns: BTreeMap<String, ColumnSpec>,
}

/// `outputs.classes`: names of score columns, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassNames {
    /// A list: of the only output with this many scores.
    OfOne(Vec<String>),
    /// A table: of each output named.
    ByOutput(BTreeMap<String, Vec<String>>),
}

/// One entry of `[outputs.columns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    /// The output by name, or by its role: `label`, `probabilities`, `scores`.
    pub output: String,
    /// One class of it; `None`: the whole output.
    pub class: Option<String>,
    /// `index`.
    pub index: Option<OutputIndex>,
    /// `labels`: integer label -> text stored for it.
    pub labels: Option<BTreeMap<i64, String>>,
    /// `mean_pool`: the input with the mask.
    pub mean_pool: Option<String>,
    /// `l2_normalise`.
    pub l2_normalise: bool,
}

/// `outputs.top_k`: only the classes with the highest scores are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopK {
    /// Number of classes.
    pub k: usize,
    /// The output with the scores; `None`: the only one.
    pub output: Option<String>,
    /// The artifact with the labels; `None`: the classes' names.
    pub labels: Option<String>,
}

/// `[expect]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    /// Path of a CSV file, relative to the manifest.
    pub file: Option<String>,
    /// The CSV text itself, as `job create` inlines it.
    pub rows: Option<String>,
    /// Path of a CSV file that names documents, relative to the manifest; not inlined.
    pub files: Option<String>,
    /// Relative tolerance (default 1e-5).
    pub rtol: f64,
    /// Absolute tolerance (default 1e-6).
    pub atol: f64,
}

impl Manifest {
    /// Parses and validates a manifest.
    ///
    /// # Errors
    /// All mistakes that can be told apart at once. An error in the TOML, an unknown key or a value
    /// of the wrong type ends the parsing at its line and column; all other mistakes are listed.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let raw = read::read(text).map_err(|problem| vec![problem])?;
        check::check(raw)
    }

    /// Returns the versions that are scored only as shadows; `aliases` resolves aliases.
    pub fn shadows(&self, aliases: &BTreeMap<String, i32>) -> BTreeSet<i32> {
        let numbers = |wishes: &[VersionWish]| -> BTreeSet<i32> {
            let numbers = wishes.iter().filter_map(|wish| match wish {
                VersionWish::Number(number) => Some(*number),
                VersionWish::Alias(alias) => aliases.get(alias).copied(),
            });
            numbers.collect()
        };
        &numbers(&self.shadow) - &numbers(&self.versions)
    }

    /// Returns the version that `versions` names first; `aliases` resolves aliases.
    pub fn first_version(&self, aliases: &BTreeMap<String, i32>) -> i32 {
        match self.versions.first() {
            Some(VersionWish::Number(number)) => *number,
            Some(VersionWish::Alias(alias)) => aliases.get(alias).copied().unwrap_or_default(),
            None => 0,
        }
    }

    /// Returns the prediction table: as given, or `<source keyspace>.<job>_predictions`.
    pub fn target(&self) -> TableName {
        self.outputs.table.clone().unwrap_or_else(|| TableName {
            keyspace: self.source.keyspace.clone(),
            table: format!("{}_predictions", self.job),
        })
    }
}

#[cfg(test)]
mod tests;
