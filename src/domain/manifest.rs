//! A job's manifest: the TOML text that people write, and what it says.

mod check;
mod inline;
mod read;

use std::collections::BTreeMap;

pub use check::key;
pub use inline::inline_expect;

use super::{
    job::{Cast, Epoch, NanOutput, Rules, TextRule},
    problem::Problem,
};

/// What a manifest says, checked as far as it can be without tables and models.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// `job`: `[a-z][a-z0-9_]{0,27}`.
    pub job: String,
    /// `model`.
    pub model: String,
    /// `versions`: at least one, none twice.
    pub versions: Vec<VersionWish>,
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
    /// `[expect]`.
    pub expect: Option<Expect>,
}

/// A version by number or by alias, resolved when a run is planned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
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
#[allow(missing_docs)]
pub struct TableName {
    pub keyspace: String,
    pub table: String,
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.keyspace, self.table)
    }
}

/// One entry of `[features]`. What is `None` was not said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Feature {
    /// Exact column name.
    pub column: String,
    /// `cast`.
    pub cast: Option<Cast>,
    /// `as`.
    pub epoch: Option<Epoch>,
    /// `null`.
    pub null: Option<NullWish>,
    /// `text`.
    pub text: Option<TextRule>,
    /// `width`.
    pub width: Option<usize>,
    /// `nonfinite = "reject"`.
    pub reject_nonfinite: Option<bool>,
}

/// `null` as written; what it means depends on the tensor.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum NullWish {
    Text(String),
    Bool(bool),
    Integer(i64),
    Float(f64),
}

/// `[wide.<input>]`: the order of features in a wide input, for versions whose file carries none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wide {
    /// Versions that it is for.
    pub for_versions: Vec<VersionWish>,
    /// Feature names, in the input's order.
    pub order: Vec<String>,
}

/// `[outputs]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    /// `table`, when said.
    pub table: Option<TableName>,
    /// `positive`.
    pub positive: Option<String>,
    /// `classes`: names of the class output's columns, in their order.
    pub classes: Option<Vec<String>>,
    /// `nan`.
    pub nan: NanOutput,
    /// `history` with its `history_ttl`: seconds that a row of it lives, 0 for ever.
    pub history: Option<i32>,
    /// `current`: a table of the champion's predictions, too.
    pub current: bool,
    /// `[outputs.columns]` by exact column name.
    pub columns: BTreeMap<String, ColumnWish>,
}

/// One entry of `[outputs.columns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnWish {
    /// The output by name, or by its role: `label`, `probabilities`, `scores`.
    pub output: String,
    /// One class of it; without it the whole output.
    pub class: Option<String>,
    /// `index`.
    pub index: bool,
    /// `labels`: integer label -> text stored for it.
    pub labels: Option<BTreeMap<i64, String>>,
}

/// `[expect]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    /// Path of a CSV file, relative to the manifest.
    pub file: Option<String>,
    /// The CSV text itself, as `job create` inlines it.
    pub rows: Option<String>,
    /// Relative tolerance (default 1e-5).
    pub rtol: f64,
    /// Absolute tolerance (default 1e-6).
    pub atol: f64,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// All mistakes that can be told apart at once: a mistake of TOML itself, an unknown key or a
    /// value of the wrong type ends the reading at its line and column; everything else is listed.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let raw = read::read(text).map_err(|problem| vec![problem])?;
        check::check(raw)
    }

    /// The version that `versions` names first, its aliases standing where `aliases` says.
    pub fn first_version(&self, aliases: &BTreeMap<String, i32>) -> i32 {
        match self.versions.first() {
            Some(VersionWish::Number(number)) => *number,
            Some(VersionWish::Alias(alias)) => aliases.get(alias).copied().unwrap_or_default(),
            None => 0,
        }
    }

    /// The prediction table: as said, or `<source keyspace>.<job>_predictions`.
    pub fn target(&self) -> TableName {
        self.outputs.table.clone().unwrap_or_else(|| TableName {
            keyspace: self.source.keyspace.clone(),
            table: format!("{}_predictions", self.job),
        })
    }
}

#[cfg(test)]
mod tests;
