//! A compiled job: a manifest combined with live schemas and admitted signatures.
//!
//! `compile` (mapping, outputs) creates it; planning stores its fingerprint; scan, decode and write
//! use it. Nothing here is looked up again while rows are processed.

pub mod cast;
pub mod classes;
pub mod compile;
pub mod condition;
pub mod drift;
pub mod entity;
pub mod expect;
pub mod feature_places;
pub mod hash;
pub mod manifest;
pub mod mapping;
pub mod outputs;
pub mod postprocess;
pub mod prepare;
pub mod preset;
pub mod rejection;
pub mod served;
mod server_fit;
pub mod similarity;
pub mod stream;

use std::sync::Arc;

use self::{
    postprocess::Postprocess,
    served::Served,
    similarity::{OutputIndex, Similarity},
    stream::StreamRules,
};
use super::{
    model::{Output, ReadyVersion},
    percent::Percent,
};
use crate::{
    codec::{
        cql_type::CqlType,
        schema::{Column, TableSchema},
    },
    domain::model::tensor::Element,
};
pub use drift::DriftRules;
pub use prepare::{Preparation, PreparationKind};

/// Everything a run needs to know about what it reads, scores and writes.
#[derive(Debug, Clone)]
pub struct CompiledJob {
    pub job: String,
    /// The live source table.
    pub source: TableSchema,
    /// Key columns of source and target, partition key first; for a source that is a prediction
    /// table, without its `model_version`.
    pub key: Vec<Column>,
    /// How many of `key` are the partition key.
    pub partition_key_len: usize,
    /// When the source is a prediction table: the model version whose rows are read.
    pub source_version: Option<i32>,
    /// What is served: set by those who know it, not by compilation.
    pub served: Served,
    /// Columns that the job reads, each once, in SELECT order (after the key).
    pub columns: Vec<Column>,
    /// In ascending order of version number.
    pub versions: Vec<CompiledVersion>,
    /// Where predictions go.
    pub target: PredictionTable,
    /// The manifest's `[rules]`.
    pub rules: Rules,
    /// The manifest's `[drift]`.
    pub drift: Arc<DriftRules>,
    /// The manifest's `[stream]`.
    pub stream: Arc<StreamRules>,
    /// How many of `columns`, at their end, are read for another purpose than scoring: they belong
    /// to no hash. Compilation sets none; a run may read the segment column of `drift` in addition.
    pub extra_columns: usize,
    /// The manifest's `outputs.positive`: a class, where there are classes.
    pub positive: Option<String>,
    /// Lasting warnings of this compilation.
    pub warnings: Vec<String>,
    /// xxh3-128 over all versions' mapping and output fingerprints: changes if the manifest or the
    /// tables change what would be written.
    pub fingerprint: [u8; 16],
}

impl CompiledJob {
    /// Returns the columns that `source_hash` covers.
    pub fn hashed_columns(&self) -> &[Column] {
        &self.columns[..self.columns.len() - self.extra_columns]
    }
}

/// Conversion of one version's cells to tensors, and of tensors to cells.
#[derive(Debug, Clone)]
pub struct CompiledVersion {
    /// The model version.
    pub ready: ReadyVersion,
    /// One entry an input, in signature order.
    pub inputs: Vec<InputMapping>,
    /// Inputs filled by several features in an order that only `[wide]` gives: the file has no
    /// names.
    pub ordered_by_manifest: Vec<String>,
    /// One entry per output column of the target, in the target's order. `None` is written as null:
    /// an earlier revision filled that column, and its value must not be combined with a newer
    /// lineage.
    pub outputs: Vec<Option<OutputCell>>,
    /// Handling of a NaN in an output.
    pub nan_output: NanOutput,
    /// xxh3-128 over model sha256, mapping fingerprint and output fingerprint: the prefix of every
    /// row's `input_hash`.
    pub hash_prefix: [u8; 16],
}

/// The features of one input tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct InputMapping {
    /// Places in tensor order; widths sum to the input's width.
    pub places: Vec<Place>,
}

/// A feature at its place(s) of an input.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Name in the model.
    pub feature: String,
    /// Index into [`CompiledJob::columns`].
    pub column: usize,
    /// Number of consecutive values it fills.
    pub width: usize,
    /// Conversion of a cell to values.
    pub conversion: Conversion,
}

impl Place {
    /// Returns the rule of a place that is converted as soon as its row is read.
    pub fn rule(&self) -> Option<&Rule> {
        match &self.conversion {
            Conversion::Cell(rule) => Some(rule),
            Conversion::Prepared(_) => None,
        }
    }
}

/// When and how a cell becomes the values of its place.
#[derive(Debug, Clone, PartialEq)]
pub enum Conversion {
    /// When the row is read; the values are hashed.
    Cell(Rule),
    /// Only if the row must be scored; the cell's bytes are hashed. The place fills its input alone.
    Prepared(Preparation),
}

impl Conversion {
    /// Returns the column's type.
    pub fn cql_type(&self) -> &CqlType {
        match self {
            Self::Cell(rule) => &rule.cql_type,
            Self::Prepared(preparation) => &preparation.cql_type,
        }
    }

    /// Returns the input's element type.
    pub fn element(&self) -> Element {
        match self {
            Self::Cell(rule) => rule.element,
            Self::Prepared(preparation) => preparation.element,
        }
    }
}

/// Conversion of one cell to tensor values. Validated against column type and element by
/// compilation.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The input's element type.
    pub element: Element,
    /// The column's type, which determines how bytes are read.
    pub cql_type: CqlType,
    /// `cast`.
    pub cast: Cast,
    /// `as`, for timestamp, date and time.
    pub epoch: Option<Epoch>,
    /// `null`.
    pub null: NullRule,
    /// `pad`: fills a list that is shorter than its place; `Reject` rejects the row.
    pub pad: NullRule,
    /// `text`.
    pub text: TextRule,
    /// `nonfinite = "reject"`: a stored NaN or infinity rejects the row.
    pub reject_nonfinite: bool,
}

/// `cast` of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    /// Integers only while exact; decimal and varint refused at compile time.
    Exact,
    /// `"float"`: decimal or varint to the tensor's floating type, rounding to nearest.
    Float,
    /// `"lossy"`: integers beyond the exact range round to nearest.
    Lossy,
}

/// `as` of the manifest; UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epoch {
    Seconds,
    Milliseconds,
    Days,
}

/// `null` and `pad` of the manifest: the replacement for a missing value.
#[derive(Debug, Clone, PartialEq)]
pub enum NullRule {
    /// The row is rejected (the default).
    Reject,
    /// NaN is passed to the model.
    Nan,
    /// This number is passed to the model.
    Number(f64),
    /// This integer is passed to the model.
    Integer(i64),
    /// This Boolean is passed to the model.
    Bool(bool),
    /// This text is passed to the model.
    Text(String),
}

/// `text` of the manifest: normalisation of a text, in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextRule {
    /// White space is trimmed.
    pub trim: bool,
    /// Unicode NFC.
    pub nfc: bool,
    /// Unicode lower case, as Python's `str.lower`.
    pub lower: bool,
}

impl TextRule {
    /// All rules with their spelling in the manifest and in fingerprints.
    pub const ALL: [(&str, Self); 8] = [
        ("raw", Self::new(false, false, false)),
        ("trim", Self::new(true, false, false)),
        ("nfc", Self::new(false, true, false)),
        ("lower", Self::new(false, false, true)),
        ("trim+nfc", Self::new(true, true, false)),
        ("trim+lower", Self::new(true, false, true)),
        ("nfc+lower", Self::new(false, true, true)),
        ("trim+nfc+lower", Self::new(true, true, true)),
    ];

    const fn new(trim: bool, nfc: bool, lower: bool) -> Self {
        Self { trim, nfc, lower }
    }

    /// Returns the manifest's spelling.
    pub fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(_, rule)| *rule == self);
        named.map_or("raw", |(name, _)| name)
    }
}

/// `outputs.nan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NanOutput {
    /// Rejects the row.
    Reject,
    /// NaN is written.
    Allow,
}

/// The job's prediction table.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionTable {
    /// Exact keyspace name.
    pub keyspace: String,
    /// Exact table name.
    pub table: String,
    /// Output columns in a fixed order (name, CQL type).
    pub outputs: Vec<OutputColumn>,
    /// The history table, which keeps replaced predictions.
    pub history: Option<HistoryTable>,
    /// The exact name of the table of the champion's predictions, one row per entity.
    pub current: Option<String>,
}

/// The table of all predictions ever made, in the prediction table's keyspace. Its key is the
/// prediction table's, then `scored_at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryTable {
    /// Exact table name.
    pub table: String,
    /// TTL of a row in seconds; 0 is none.
    pub ttl_seconds: i32,
}

/// One output column of the prediction table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    /// Exact column name.
    pub name: String,
    /// float, double, bigint, int, boolean, text or `vector<float, n>`.
    pub cql_type: CqlType,
    /// The SAI index that is requested.
    pub index: Option<OutputIndex>,
    /// The class of its value, or of each of a vector's values; empty if there are none.
    pub classes: Vec<String>,
}

/// Position of an output column's value in the model's outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputCell {
    /// Index into the signature's outputs.
    pub output: usize,
    /// Offset within a row of that output.
    pub offset: usize,
    /// Number of the output's values that the column is made from: 1, or the vector's width.
    pub width: usize,
    /// For labels: names of integer labels, if the column is text and the tensor is not.
    pub rename: Option<Vec<(i64, String)>>,
    /// The function of the index that its column has, or will have, for search by similarity.
    pub similarity: Option<Similarity>,
    /// What becomes of the values.
    pub postprocess: Postprocess,
}

impl OutputCell {
    /// Returns how far rounding in the model may move value `place` of the column.
    pub fn rounding(&self, output: &Output, place: usize) -> f64 {
        self.postprocess.rounding(output, self.offset + place)
    }
}

/// The manifest's `[rules]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// The run fails if more rows are rejected.
    pub max_rejected: MaxRejected,
    /// `guard`.
    pub guard: Guard,
    /// Delete predictions whose source row is gone.
    pub delete_orphans: bool,
    /// TTL of predictions in seconds; 0 is none.
    pub ttl_seconds: i32,
}

/// When a run stops before it writes, judged by a sample of the rows that it would reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Default: if more than half of them are rejected, or `max_rejected` if that is more.
    Half,
    /// `guard = true`: if more than `max_rejected` are rejected.
    MaxRejected,
    /// `guard = false`.
    Off,
}

/// `rules.max_rejected`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxRejected {
    /// A number of rows.
    Count(u64),
    /// A share of the source rows.
    Share(Percent),
}

impl MaxRejected {
    /// Returns how many of `rows` may be rejected.
    pub fn max_rows(self, rows: u64) -> u64 {
        match self {
            Self::Count(count) => count,
            Self::Share(percent) => percent.of_rows(rows),
        }
    }
}
