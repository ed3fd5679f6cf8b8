//! `helenus similar`.

use std::time::Duration;

use serde_json::Value;

use super::{Context, explain::short};
use crate::{
    codec::cells::CellBuffer,
    domain::{job::CompiledJob, problem::Problem},
    engine::{
        jobs::{self, PreparedJob},
        models,
    },
    failure::Failure,
    inspect::{
        explain::{KeyWords, typed_key},
        similar::{
            MAX_TOP, Search, SearchColumn, SearchVector, SimilarResult, SimilarRow, row_of_text,
            search_column, search_version, shown_columns, vector_of_key, vector_of_row, wait_built,
        },
    },
    output::{self, Answer},
    serve::rows::{self, Row, RowColumns, RowLimits},
    store::Store,
};

/// The code of a search whose index is still being built.
const NOT_BUILT: &str = "cassandra.index_not_built";
/// How long an index that is still being built is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Find the rows whose stored vectors are most similar to a row's
///
/// The job's manifest has index = "cosine" (or "dot_product", "euclidean") on an output column that is a
/// vector, such as an embedding. KEY searches with the vector that is stored for that key, and leaves the
/// key itself out. --text and --row score the given row as a run would, store nothing, and search with
/// the result. Only predictions of one version are compared: vectors of two versions are not comparable.
/// The index is approximate, so that a search may miss a few of the nearest rows.
///
/// Examples:
///
///     helenus similar mails 42 --top 5 --show subject
///     helenus similar mails --text "the printer does not switch on" --show subject,sender
///     helenus similar mails --row "{\"body\": \"where is my order?\"}" --version 2 --output json
///
/// Exit code 1: the row is rejected, so that it has no vector; 2: the job has no such index; 3: the index
/// is still being built; 5: no prediction has that key.
///
/// JSON result: {"job", "version", "column", "function", "rows": [{"key": {…}, "similarity",
///   "source" (with --show): {column: value} or null if the source has no such row}]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[command(group(clap::ArgGroup::new("query").required(true).args(["key", "text", "row"])))]
pub struct Args {
    /// The job
    job: String,
    /// The key to search with: NAME=VALUE for each primary key column (CQL literals without quotes), or
    /// one value if the key is one column
    #[arg(value_name = "KEY", allow_negative_numbers = true)]
    key: Vec<String>,
    /// Search with this text: the value of the only text column that the job reads
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Search with this row: a JSON object with the columns that the job reads
    #[arg(long, value_name = "JSON")]
    row: Option<String>,
    /// Number of rows to find
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_TOP)))]
    top: u32,
    /// The version, by number or alias [default: the champion, or the job's only version]
    #[arg(long, value_name = "V")]
    version: Option<String>,
    /// The output column to search, if the job has several with such an index
    #[arg(long, value_name = "COLUMN")]
    column: Option<String>,
    /// Columns of the source to show with each row, separated by commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    show: Vec<String>,
}

/// Searches and prints what it finds.
///
/// # Errors
/// See the exit codes.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let prepared = jobs::read_ready(&store, &args.job).await?;
    let version = search_version(&prepared, args.version.as_deref())?;
    let job = with_version(&prepared, version);
    let column = search_column(&job, args.column.as_deref())?;
    let show = shown_columns(&job, &args.show)?;
    let vector = query(&store, &job, column, &args).await?;
    let search = Search {
        store: &store,
        job: &job,
        column,
        version,
        top: args.top as usize,
        show: &show,
    };
    let found = match search.run(&vector).await {
        Err(failure) if failure.is(NOT_BUILT) => {
            output::tell("the index is still being built; waiting up to 30 s");
            wait_built(&store, &job, PATIENCE).await?;
            search.run(&vector).await?
        }
        found => found?,
    };
    let text = text(&found);
    Ok(Answer::new(serde_json::json!(found), text))
}

fn with_version(prepared: &PreparedJob, version: i32) -> CompiledJob {
    let mut job = prepared.job.clone();
    job.versions.retain(|own| own.ready.version == version);
    job
}

async fn query(
    store: &Store,
    job: &CompiledJob,
    column: SearchColumn<'_>,
    args: &Args,
) -> Result<SearchVector, Failure> {
    let row = match (&args.text, &args.row) {
        (Some(text), _) => row_of_text(job, text)?,
        (None, Some(row)) => row_of_json(job, row)?,
        (None, None) => {
            let (_, key) = typed_key(job, &KeyWords(args.key.clone()))?;
            let version = job.versions[0].ready.version;
            return vector_of_key(store, job, column, version, key).await;
        }
    };
    let pool = models::load(store, &job.versions, 1).await?;
    let vector = vector_of_row(job, column, &pool, &row).await;
    models::unload(pool).await;
    vector
}

/// Returns the cells of a row as requests over HTTP write it.
fn row_of_json(job: &CompiledJob, json: &str) -> Result<CellBuffer, Failure> {
    let row: Row<'_> = serde_json::from_str(json).map_err(|error| {
        let message = format!("not a row: {error}");
        Failure::input(Problem::new("similar.row", message).at("--row"))
    })?;
    let limits = RowLimits {
        rows: 1,
        bytes: usize::MAX,
    };
    let cells = rows::cells(RowColumns::from(job), &[row], limits);
    cells.map_err(|error| Failure::inputs(error.moved("rows[0]", "--row").problems))
}

fn text(found: &SimilarResult) -> String {
    if found.rows.is_empty() {
        return format!("version {} has no other vectors", found.version);
    }
    let rows = found.rows.iter().map(|row| {
        let source = row.source.as_ref().map(shown).unwrap_or_default();
        [format!("{:.4}", row.similarity), key(row), source]
    });
    let table = output::table(["SIMILARITY", "KEY", "SOURCE"], rows);
    format!(
        "by {} of `{}`, version {}\n\n{table}",
        found.function, found.column, found.version
    )
}

fn key(row: &SimilarRow) -> String {
    let mut values = row.key.values();
    match (values.next(), values.next()) {
        (Some(only), None) => short(only),
        _ => pairs(&row.key),
    }
}

fn shown(source: &Value) -> String {
    match source {
        Value::Object(columns) if columns.len() == 1 => {
            columns.values().map(short).collect::<String>()
        }
        Value::Object(columns) => pairs(columns),
        _ => "(the source has no such row)".to_owned(),
    }
}

fn pairs(columns: &serde_json::Map<String, Value>) -> String {
    let pairs = columns
        .iter()
        .map(|(name, value)| format!("{name}={}", short(value)));
    pairs.collect::<Vec<_>>().join(" ")
}
