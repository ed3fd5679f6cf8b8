//! Exports predictions by token scan: the stored rows, one by one, in bounded memory.

mod columnar;
mod form;
mod parquet;

use std::{
    cmp::Ordering,
    io::{self, Write},
};

use uuid::Uuid;

pub use form::Form;
use form::Sink;
pub(in crate::inspect) use parquet::ParquetFile;

use crate::{
    codec::{cells::CellBuffer, cql_type::CqlType, ring::TokenRange, schema::Column},
    domain::{
        job::condition::{Condition, compare, is_ordered},
        problem::Problem,
    },
    engine::{
        jobs,
        run::pace::{Pace, Turn},
    },
    failure::Failure,
    store::{
        Store,
        driver::raw::Page,
        predictions::export_select::{LINEAGE, predictions_range},
    },
};

/// Maximum number of rows that `--top` keeps: they are held in memory.
pub const MOST_KEPT: usize = 100_000;

/// A request for an export.
#[derive(Debug, Clone, Default)]
pub struct ExportSpec {
    pub job: String,
    /// Only this version's rows, by number or alias.
    pub version: Option<String>,
    /// Only the rows that this run wrote.
    pub run: Option<Uuid>,
    /// Only the rows that meet this condition ([`Condition::parse_all`]).
    pub condition: Option<String>,
    /// Only this many rows with the largest values of this column, the largest first; at most
    /// [`MOST_KEPT`].
    pub top: Option<(usize, String)>,
    /// Limit on rows read per second.
    pub max_rate: Option<i32>,
}

/// A prepared export, before the first row is read.
pub struct Export {
    select: crate::store::driver::scan::RangeSelect,
    /// Key, model_version, outputs, and the lineage's fields.
    pub columns: Vec<Column>,
    conditions: Vec<Condition>,
    run: Option<(usize, Uuid)>,
    top: Option<(usize, usize)>,
    max_rate: Option<i32>,
    /// The request's parts by name, for formats that have a place for them.
    about: Vec<(String, String)>,
}

/// Counts of rows read and written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Rows read from the table.
    pub read: u64,
    /// Rows written to the file.
    pub written: u64,
}

impl Export {
    /// Resolves a request against the table as it is now.
    ///
    /// # Errors
    /// Those of [`jobs::prepare`]; unknown columns or aliases, and invalid conditions (exit 2).
    pub async fn prepare(store: &Store, wish: &ExportSpec) -> Result<Self, Failure> {
        let job = jobs::prepare(store, &wish.job, None).await?.job;
        let model = job.versions.first();
        let model = model.map_or("", |version| version.ready.model.as_str());
        let version = match &wish.version {
            None => None,
            Some(word) => match word.parse() {
                Ok(number) => Some(number),
                Err(_) => match store.alias(model, word).await? {
                    Some(number) => Some(number),
                    None => {
                        let problem = jobs::unknown_alias(store, model, word, "--version").await?;
                        return Err(Failure::input(problem));
                    }
                },
            },
        };
        let column = |name: &str, cql_type: CqlType| Column {
            name: name.to_owned(),
            cql_type,
        };
        let mut columns = job.key.clone();
        columns.push(column("model_version", CqlType::Int));
        let outputs = job.target.outputs.iter();
        columns.extend(outputs.map(|output| column(&output.name, output.cql_type.clone())));
        let lineage = [
            CqlType::Blob,
            CqlType::Timeuuid,
            CqlType::Timestamp,
            CqlType::Text,
        ];
        columns.extend(
            LINEAGE
                .into_iter()
                .zip(lineage)
                .map(|(name, cql_type)| column(name, cql_type)),
        );
        let conditions = wish.condition.as_deref();
        let conditions = conditions.map(|text| Condition::parse_all(text, &columns));
        let run_column = columns.len() - LINEAGE.len() + 1;
        let mut select = predictions_range(&job, version);
        if let Some(rate) = wish.max_rate {
            // Several pages per second: the limit holds from the first page on.
            select.pages = select.pages.at_most(rate / 5);
        }
        let target = &job.target;
        let about = [
            ("job", Some(job.job.clone())),
            (
                "table",
                Some(format!("{}.{}", target.keyspace, target.table)),
            ),
            ("model", Some(model.to_owned())),
            ("version", version.map(|version| version.to_string())),
            ("run", wish.run.map(|run| run.to_string())),
            ("where", wish.condition.clone()),
        ];
        let about = about.into_iter();
        let about = about.filter_map(|(name, value)| Some((format!("helenus.{name}"), value?)));
        Ok(Self {
            about: about.collect(),
            select,
            conditions: conditions
                .transpose()
                .map_err(Failure::input)?
                .unwrap_or_default(),
            run: wish.run.map(|run| (run_column, run)),
            top: match &wish.top {
                Some((rows, by)) => Some((*rows, ordered(&columns, by).map_err(Failure::input)?)),
                None => None,
            },
            columns,
            max_rate: wish.max_rate,
        })
    }

    /// Reads the whole ring and writes the requested rows.
    ///
    /// # Errors
    /// Cassandra's errors; the file's (`export.write`, exit 3); [`CLOSED`]; a cell whose bytes are
    /// not a valid value of its type, so that Parquet has no form for it (`export.malformed`, exit
    /// 3).
    pub async fn write(
        &self,
        store: &Store,
        form: Form,
        out: &mut (impl Write + Send),
    ) -> Result<Exported, Failure> {
        let mut exported = Exported::default();
        let pace = Pace::new(self.max_rate);
        let mut sink = Sink::begin(form, &self.columns, &self.about, out)?;
        let mut top = Top::new(self);
        let mut pages = store.scan(self.select.clone(), TokenRange::WHOLE);
        while let Some(page) = pages.recv().await.transpose()? {
            if pace.take(page.rows()).await == Turn::Closed {
                break;
            }
            exported.read += page.rows() as u64;
            for row in (0..page.rows()).filter(|row| self.is_wanted(&page, *row)) {
                if let Some(top) = &mut top {
                    top.add(&page, row);
                    continue;
                }
                sink.row(|at| page.cell(row, at))?;
                exported.written += 1;
            }
        }
        if let Some(mut top) = top {
            top.cut();
            for row in 0..top.order.len() {
                sink.row(|at| top.cells.cell(top.order[row], at))?;
                exported.written += 1;
            }
        }
        sink.finish()?;
        Ok(exported)
    }

    fn is_wanted(&self, page: &Page, row: usize) -> bool {
        let of_run = self
            .run
            .is_none_or(|(column, run)| page.cell(row, column) == Some(run.as_bytes().as_slice()));
        let mut conditions = self.conditions.iter();
        of_run
            && conditions.all(|condition| condition.is_met(&self.columns, |at| page.cell(row, at)))
    }
}

fn ordered(columns: &[Column], by: &str) -> Result<usize, Problem> {
    let found = columns.iter().position(|column| column.name == by);
    match found {
        Some(at) if is_ordered(&columns[at].cql_type) => Ok(at),
        _ => {
            let ordered = columns.iter().filter(|column| is_ordered(&column.cql_type));
            let names: Vec<_> = ordered.map(|column| column.name.as_str()).collect();
            let message = format!("rows cannot be ordered by `{by}`");
            Err(Problem::new("export.order", message)
                .at("--by")
                .help(format!("there are {}", names.join(", "))))
        }
    }
}

/// Problem code of a closed output: the reader has seen enough (`helenus export … | head`).
pub const CLOSED: &str = "export.closed";

fn unwritten(error: io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::BrokenPipe => CLOSED,
        _ => "export.write",
    };
    let message = format!("can't be written: {error}");
    Failure::system(Problem::new(code, message))
}

/// The rows with the largest values so far, and up to as many again before they are cut.
struct Top {
    wanted: usize,
    by: usize,
    cql_type: CqlType,
    cells: CellBuffer,
    order: Vec<usize>,
}

impl Top {
    fn new(export: &Export) -> Option<Self> {
        let (wanted, by) = export.top?;
        Some(Self {
            wanted,
            by,
            cql_type: export.columns[by].cql_type.clone(),
            cells: CellBuffer::new(export.columns.len()),
            order: Vec::new(),
        })
    }

    fn add(&mut self, page: &Page, row: usize) {
        // A null or a NaN has no place in the order and is not among the largest.
        let value = page.cell(row, self.by);
        let has_place = value.is_some_and(|value| compare(&self.cql_type, value, value).is_some());
        if !has_place {
            return;
        }
        page.row(row).for_each(|cell| self.cells.push(cell));
        self.order.push(self.cells.rows() - 1);
        if self.order.len() >= 2 * self.wanted.max(500) {
            self.cut();
        }
    }

    /// Keeps the largest values. Of equal values it keeps those that came first, so that the order
    /// is that of the ring.
    fn cut(&mut self) {
        let (cells, by, cql_type) = (&self.cells, self.by, &self.cql_type);
        self.order.sort_by(|a, b| {
            let (a, b) = (cells.cell(*a, by), cells.cell(*b, by));
            let order = a.zip(b).and_then(|(a, b)| compare(cql_type, b, a));
            order.unwrap_or(Ordering::Equal)
        });
        self.order.truncate(self.wanted);
        let mut kept = CellBuffer::new(cells.width());
        for row in &self.order {
            cells.row(*row).for_each(|cell| kept.push(cell));
        }
        self.cells = kept;
        self.order = (0..self.order.len()).collect();
    }
}
