//! Search by similarity: the rows whose stored vectors are nearest to that of a key or of a given row.
//!
//! Vectors of two versions are in two spaces, so a search is among the predictions of one version: the
//! one that the query's vector is of.

mod build;
mod query;
mod search;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    codec::schema::Column,
    domain::{
        job::{
            CompiledJob,
            mapping::listed,
            similarity::{OutputIndex, Similarity},
        },
        model::alias::CHAMPION,
        names::nearest,
        problem::Problem,
    },
    engine::jobs::PreparedJob,
    failure::Failure,
    store::Store,
};
pub use build::wait_built;
pub use query::{SearchVector, row_of_text, vector_of_key, vector_of_row};

/// Largest number of rows that can be asked for; Cassandra's limit includes the key itself.
pub const MAX_TOP: u32 = 999;

/// The rows that are most similar to a query.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SimilarResult {
    pub job: String,
    /// The model version whose vectors were compared.
    pub version: i32,
    /// The output column that has the vectors.
    pub column: String,
    /// `cosine`, `dot_product` or `euclidean`.
    pub function: &'static str,
    /// Most similar first. Fewer than were asked for, if the version has no more.
    pub rows: Vec<SimilarRow>,
}

/// A row that is similar to a query.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SimilarRow {
    /// Key columns by name.
    #[schema(value_type = Object)]
    pub key: Map<String, Value>,
    /// Cassandra's `similarity_…` of both vectors; 1 is the highest for `cosine` and `euclidean`.
    pub similarity: f32,
    /// The requested columns of its source row, if any were; null if the source has no such row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub source: Option<Value>,
}

/// Where to search, and for how many rows.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    pub store: &'a Store,
    pub job: &'a CompiledJob,
    pub column: SearchColumn<'a>,
    pub version: i32,
    /// At most [`MAX_TOP`].
    pub top: usize,
    /// Columns of the source to return with each row.
    pub show: &'a [Column],
}

/// An output column with an index for search by similarity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchColumn<'a> {
    pub name: &'a str,
    /// Index into the target's output columns.
    pub at: usize,
    pub similarity: Similarity,
}

/// Returns the column to search: the one that is named, or the only one with such an index.
///
/// # Errors
/// Exit 2: there is none, or several and none is named.
pub fn search_column<'a>(
    job: &'a CompiledJob,
    wanted: Option<&str>,
) -> Result<SearchColumn<'a>, Failure> {
    let indexed = job.target.outputs.iter().enumerate();
    let indexed = indexed.filter_map(|(at, column)| match column.index? {
        OutputIndex::Comparison => None,
        OutputIndex::Similarity(similarity) => Some(SearchColumn {
            name: &column.name,
            at,
            similarity,
        }),
    });
    let indexed: Vec<_> = indexed.collect();
    let names = || listed(indexed.iter().map(|column| column.name));
    let found = match (wanted, indexed.as_slice()) {
        (None, [only]) => Some(only),
        (Some(wanted), all) => all.iter().find(|column| column.name == wanted),
        (None, _) => None,
    };
    if let Some(found) = found {
        return Ok(*found);
    }
    let problem = match (wanted, indexed.as_slice()) {
        (_, []) => {
            let message = format!("job `{}` has no index for search by similarity", job.job);
            Problem::new("similar.no_index", message).help(
                "create it again with index = \"cosine\" on a column of [outputs.columns] that is a vector of float",
            )
        }
        (Some(wanted), _) => {
            let message = format!("`{wanted}` has no index for search by similarity");
            let help = format!("choose from {}", names());
            Problem::new("similar.column", message).help(help)
        }
        (None, _) => {
            let message = format!("job `{}` has several vectors to search", job.job);
            let help = format!("choose from {}", names());
            Problem::new("similar.column", message).help(help)
        }
    };
    Err(Failure::input(problem.at("column")))
}

/// Returns the version to search among: the one that is named by number or alias, else the champion,
/// or the job's only version.
///
/// # Errors
/// Exit 2: the job does not score it.
pub fn search_version(job: &PreparedJob, wanted: Option<&str>) -> Result<i32, Failure> {
    let versions = job.job.versions.iter();
    let numbers: Vec<i32> = versions.map(|version| version.ready.version).collect();
    let number = match (wanted, numbers.as_slice()) {
        (Some(word), _) => {
            let alias = || job.aliases.get(word).copied();
            word.parse().ok().or_else(alias)
        }
        (None, [only]) => Some(*only),
        (None, _) => job.aliases.get(CHAMPION).copied(),
    };
    if let Some(number) = number.filter(|number| numbers.contains(number)) {
        return Ok(number);
    }
    let name = &job.job.job;
    let message = match wanted {
        Some(wanted) => format!("job `{name}` does not score `{wanted}`"),
        None => format!("job `{name}` has no champion; name a version"),
    };
    let numbers = numbers.iter().map(ToString::to_string);
    let known: Vec<_> = job.aliases.keys().cloned().chain(numbers).collect();
    let help = format!("it scores {}", known.join(", "));
    let problem = Problem::new("job.unknown_version", message).at("--version");
    Err(Failure::input(problem.help(help)))
}

/// Returns the columns of the source with these names.
///
/// # Errors
/// Exit 2: the source has no such column.
pub fn shown_columns(job: &CompiledJob, names: &[String]) -> Result<Vec<Column>, Failure> {
    let source = &job.source;
    let found = names.iter().map(|name| {
        source.column(name).cloned().ok_or_else(|| {
            let table = format!("{}.{}", source.keyspace, source.table);
            let message = format!("{table} has no column `{name}`");
            let all = source.key().chain(&source.statics).chain(&source.regulars);
            let near = nearest(name, all.map(|column| column.name.as_str()));
            let problem = Problem::new("similar.unknown_column", message).at("--show");
            Failure::input(match near {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem,
            })
        })
    });
    found.collect()
}
