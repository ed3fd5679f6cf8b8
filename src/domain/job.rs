//! A compiled job: manifest, live schema and admitted signatures brought together.
//!
//! `compile` (mapping, outputs) makes it; planning stores its fingerprint; scan, decode and write
//! follow it. Nothing here is looked up again while rows flow.

use super::{model::ReadyVersion, schema::Column, schema::TableSchema, tensor::Element};

/// Everything a run needs to know about what it reads, feeds and writes.
#[derive(Debug, Clone)]
pub struct CompiledJob {
    /// The job's name.
    pub job: String,
    /// The source as it stands.
    pub source: TableSchema,
    /// Key columns of source and target, partition key first; for a source that is a prediction
    /// table, without its `model_version`.
    pub key: Vec<Column>,
    /// How many of `key` are the partition key.
    pub partition_key_len: usize,
    /// When the source is a prediction table: the model version whose rows are read.
    pub source_version: Option<i32>,
    /// Columns that the job reads, each once, in SELECT order (after the key).
    pub columns: Vec<Column>,
    /// In ascending order of version number.
    pub versions: Vec<CompiledVersion>,
    /// Where predictions go.
    pub target: PredictionTable,
    /// The manifest's `[rules]`.
    pub rules: Rules,
    /// The manifest's `outputs.positive`: a class, where there are classes.
    pub positive: Option<String>,
    /// Lasting warnings of this compilation.
    pub warnings: Vec<String>,
    /// xxh3-128 over all versions' mapping and output fingerprints: changes when the manifest or
    /// the tables change what would be written.
    pub fingerprint: [u8; 16],
}

/// One version's way from cells to tensors and from tensors to cells.
#[derive(Debug, Clone)]
pub struct CompiledVersion {
    /// The model version.
    pub ready: ReadyVersion,
    /// One entry an input, in signature order.
    pub inputs: Vec<InputMapping>,
    /// One entry an output column of the target, in the target's order. `None` is written as null:
    /// an earlier revision filled that column, and its value must not stand beside a newer lineage.
    pub outputs: Vec<Option<OutputCell>>,
    /// What a NaN in an output does.
    pub nan_output: NanOutput,
    /// xxh3-128 over model sha256, mapping fingerprint and output fingerprint: the prefix of every
    /// row's `input_hash`.
    pub hash_prefix: [u8; 16],
}

/// What fills one input tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct InputMapping {
    /// Places in tensor order; widths sum to the input's width.
    pub places: Vec<Place>,
}

/// A feature at its place(s) of an input.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Name as the model knows it.
    pub feature: String,
    /// Index into [`CompiledJob::columns`].
    pub column: usize,
    /// Number of consecutive values it fills.
    pub width: usize,
    /// How a cell becomes a value.
    pub rule: Rule,
}

/// How one cell becomes tensor values. Validated against column type and element when compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The input's element type.
    pub element: Element,
    /// The column's type decides how bytes are read.
    pub cql_type: super::cql_type::CqlType,
    /// `cast`.
    pub cast: Cast,
    /// `as`, for timestamp, date and time.
    pub epoch: Option<Epoch>,
    /// `null`.
    pub null: NullRule,
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
#[allow(missing_docs)]
pub enum Epoch {
    Seconds,
    Milliseconds,
    Days,
}

/// `null` of the manifest.
#[derive(Debug, Clone, PartialEq)]
pub enum NullRule {
    /// The row is rejected (the default).
    Reject,
    /// NaN goes to the model.
    Nan,
    /// This number goes to the model.
    Number(f64),
    /// This integer goes to the model.
    Integer(i64),
    /// This truth value.
    Bool(bool),
    /// This text.
    Text(String),
}

/// `text` of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextRule {
    /// Bytes as stored.
    Raw,
    /// Unicode NFC.
    Nfc,
    /// Trimmed of white space, then NFC.
    TrimNfc,
}

/// `outputs.nan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NanOutput {
    /// Rejects the row.
    Reject,
    /// Is written.
    Allow,
}

/// The job's prediction table as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionTable {
    /// Exact keyspace name.
    pub keyspace: String,
    /// Exact table name.
    pub table: String,
    /// Output columns in a fixed order (name, CQL type).
    pub outputs: Vec<OutputColumn>,
    /// Where each prediction is kept, too, when it is replaced.
    pub history: Option<HistoryTable>,
    /// The table of the champion's predictions beside it, one row an entity: its exact name.
    pub current: Option<String>,
}

/// The table of all predictions ever made, in the prediction table's keyspace: its key, then
/// `scored_at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryTable {
    /// Exact table name.
    pub table: String,
    /// Seconds that a row lives; 0 for ever.
    pub ttl_seconds: i32,
}

/// One output column of the prediction table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    /// Exact column name.
    pub name: String,
    /// float, double, bigint, int, boolean, text or `vector<float, n>`.
    pub cql_type: super::cql_type::CqlType,
    /// Whether an SAI index is wanted.
    pub index: bool,
    /// The class of its value, or of each of a vector's values; empty where there are none.
    pub classes: Vec<String>,
}

/// Where one output column's value stands in the model's outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputCell {
    /// Index into the signature's outputs.
    pub output: usize,
    /// Offset within a row of that output.
    pub offset: usize,
    /// 1, or the vector's width.
    pub width: usize,
    /// For labels: names for integer labels, when the column is text and the tensor is not.
    pub rename: Option<Vec<(i64, String)>>,
}

/// The manifest's `[rules]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// More rejected rows than this fail the run.
    pub max_rejected: MaxRejected,
    /// Delete predictions whose source row is gone.
    pub delete_orphans: bool,
    /// TTL of predictions in seconds; 0 is none.
    pub ttl_seconds: i32,
}

/// `rules.max_rejected`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxRejected {
    /// A number of rows.
    Count(u64),
    /// A share of the source rows, 0 to 1.
    Share(f64),
}
