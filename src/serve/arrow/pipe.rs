//! Arrow streams of any length: source columns in, predictions out, batch by batch.
//!
//! Reading and writing have a thread each; between them calls of the scorer run side by side, and
//! their answers keep the order of the rows. The number of rows in flight is bounded.

use std::{
    io::{Read, Write},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use arrow_array::RecordBatch;
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_schema::{ArrowError, Schema};
use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use super::{
    column::ArrowColumn,
    decode::is_supported,
    encode::{ArrowAnswer, ArrowKeys, VersionAnswer},
};
use crate::{
    codec::{cells::CellBuffer, schema::Column},
    domain::{job::CompiledJob, problem::Problem, run::Counts},
    engine::predict::{Batch, Predicted, predict},
    failure::Failure,
    scorer::pool::Pool,
    serve::batcher::Answers,
};

/// Size of the cells of a call at which it is cut off: an arena of cells must stay under 2 GiB.
const MAX_CALL_BYTES: usize = 256 << 20;
/// Chunks that wait to be scored or written.
const WAITING: usize = 4;

/// What a pipe scores with.
pub struct ArrowPipe {
    pub job: Arc<CompiledJob>,
    pub revision: i32,
    /// The models in the order of the job's versions.
    pub pool: Arc<Pool>,
    /// Rows of one call of the scorer.
    pub batch_rows: usize,
    /// Calls at a time.
    pub calls: usize,
    /// The time that all predictions get.
    pub scored_at: DateTime<Utc>,
}

/// What went through a pipe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Piped {
    pub rows: u64,
    /// Predictions: rows times versions.
    pub predictions: u64,
    pub rejected: u64,
}

/// Rows of a call: the key, then the columns that the job reads.
type PipeRows = Result<CellBuffer, Failure>;

impl ArrowPipe {
    /// Scores all rows of a stream.
    ///
    /// # Errors
    /// Exit 2: not an Arrow stream, columns that are missing or do not fit; exit 3: a model cannot
    /// score, or the output cannot be written. What was written before is a stream without an end.
    pub async fn run(
        self: Arc<Self>,
        input: impl Read + Send + 'static,
        output: impl Write + Send + 'static,
    ) -> Result<Piped, Failure> {
        let (rows, waiting) = mpsc::channel(WAITING);
        let reader = Arc::clone(&self);
        // Not of the runtime, which would wait for it at the end: it may be blocked in a read of a
        // stream whose writer waits for this process.
        std::thread::spawn(move || reader.read(input, &rows));
        let (encoded, written) = mpsc::channel(WAITING);
        let schema = self.schema()?;
        let writing = tokio::task::spawn_blocking(move || write(&schema, output, written));
        let waiting = stream::unfold(waiting, async |mut waiting: mpsc::Receiver<PipeRows>| {
            let next = waiting.recv().await?;
            Some((next, waiting))
        });
        let scoring = waiting
            .map(|rows| {
                let pipe = Arc::clone(&self);
                async move {
                    let task = tokio::spawn(async move { pipe.score(rows?).await });
                    let scored = task.await;
                    scored.map_err(|error| broken(&error))?
                }
            })
            .buffered(self.calls);
        let mut scoring = std::pin::pin!(scoring);
        let mut piped = Piped::default();
        let mut failed = None;
        while let Some(scored) = scoring.next().await {
            match scored {
                Ok((batch, more)) => {
                    piped.rows += more.rows;
                    piped.predictions += more.predictions;
                    piped.rejected += more.rejected;
                    if encoded.send(Some(batch)).await.is_err() {
                        // The writer has failed; its error is told below.
                        break;
                    }
                }
                Err(failure) => {
                    failed = Some(failure);
                    break;
                }
            }
        }
        if failed.is_some() {
            // Without an end: a reader must not take a part for the whole. A writer that has failed
            // does not write one either.
            let _ = encoded.send(None).await;
        }
        drop(encoded);
        let written = writing.await.map_err(|error| broken(&error))?;
        if let Some(failure) = failed {
            return Err(failure);
        }
        written.map(|()| piped)
    }

    /// Returns the columns that the stream must have: the key, then those that the job reads.
    fn columns(&self) -> Vec<Column> {
        let read = self.job.columns.iter();
        self.job.key.iter().chain(read).cloned().collect()
    }

    /// Returns the schema of the answer.
    ///
    /// # Errors
    /// None that a job that was compiled can cause.
    pub fn schema(&self) -> Result<Arc<Schema>, Failure> {
        let versions = self.job.versions.iter();
        let empty = versions.map(|version| (Predicted::new(version), Vec::new()));
        let rows = CellBuffer::new(self.job.key.len());
        let batch = self.encode(&rows, &empty.collect::<Vec<_>>())?;
        Ok(batch.schema())
    }

    /// Reads the stream and passes its rows on, in calls.
    fn read(&self, input: impl Read, rows: &mpsc::Sender<PipeRows>) {
        // The reader of arrow-ipc panics on some damaged streams, which are bad input.
        let reading = AssertUnwindSafe(|| self.try_read(input, rows));
        let result = std::panic::catch_unwind(reading)
            .unwrap_or_else(|_| Err(malformed("its structure is inconsistent")));
        if let Err(failure) = result {
            // Nobody receives it: something else failed before.
            let _ = rows.blocking_send(Err(failure));
        }
    }

    fn try_read(&self, input: impl Read, rows: &mpsc::Sender<PipeRows>) -> Result<(), Failure> {
        let unread = |error: ArrowError| malformed(&error.to_string());
        let reader = StreamReader::try_new(input, None).map_err(unread)?;
        let columns = self.columns();
        let places = self.places(&columns, &reader.schema())?;
        let mut before = 0;
        for batch in reader {
            let batch = batch.map_err(unread)?;
            let opened = open(&columns, &places, &batch)?;
            let mut cells = CellBuffer::new(columns.len());
            for row in 0..batch.num_rows() {
                for (column, opened) in columns.iter().zip(&opened) {
                    opened.append(row, &mut cells).map_err(|error| {
                        let place = format!("row {}, column {}", before + row, column.name);
                        let problem = Problem::new("row.not_a_value", error).at(place);
                        Failure::input(problem.help("convert the value, or leave the row out"))
                    })?;
                }
                if cells.rows() >= self.batch_rows || cells.byte_len() >= MAX_CALL_BYTES {
                    let full = std::mem::replace(&mut cells, CellBuffer::new(columns.len()));
                    if rows.blocking_send(Ok(full)).is_err() {
                        return Ok(());
                    }
                }
            }
            before += batch.num_rows();
            if cells.rows() > 0 && rows.blocking_send(Ok(cells)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns the index in the stream of each column. Others are ignored.
    fn places(&self, columns: &[Column], schema: &Schema) -> Result<Vec<usize>, Failure> {
        let mut problems = Vec::new();
        let mut places = Vec::new();
        for column in columns {
            let fields = schema.fields().iter().enumerate();
            let mut named = fields.filter(|(_, field)| *field.name() == column.name);
            let name = &column.name;
            let job = &self.job.job;
            match (named.next(), named.next()) {
                (Some((at, field)), None) if is_supported(field.data_type()) => places.push(at),
                (Some((_, field)), None) => problems.push(
                    Problem::new(
                        "arrow.unsupported_type",
                        format!("Arrow type {} is not supported", field.data_type()),
                    )
                    .at(format!("column {name}"))
                    .help("cast the column, or send its values as text"),
                ),
                (Some(_), Some(_)) => problems.push(
                    Problem::new("arrow.repeated_column", format!("`{name}` is there twice"))
                        .at(format!("column {name}")),
                ),
                (None, _) => problems.push(
                    Problem::new(
                        "arrow.missing_column",
                        format!("the stream has no column `{name}`"),
                    )
                    .at(format!("column {name}"))
                    .help(format!(
                        "job `{job}` needs it as {}; send nulls if there are no values",
                        column.cql_type
                    )),
                ),
            }
        }
        match problems.is_empty() {
            true => Ok(places),
            false => Err(Failure::inputs(problems)),
        }
    }

    /// Scores the rows of one call, by the function that runs use.
    async fn score(&self, rows: CellBuffer) -> Result<(RecordBatch, Piped), Failure> {
        let job = &self.job;
        let mut batch = Batch::new(job);
        let (mut counts, mut scratch) = (Counts::default(), Vec::new());
        let mut cells = Vec::with_capacity(rows.width());
        for row in 0..rows.rows() {
            cells.clear();
            cells.extend(rows.row(row));
            batch.offer(job, &cells, true, None, &mut counts, &mut scratch);
        }
        let mut scored = Vec::with_capacity(job.versions.len());
        let mut piped = Piped {
            rows: rows.rows() as u64,
            ..Piped::default()
        };
        for (at, version) in job.versions.iter().enumerate() {
            let mut predicted = Predicted::new(version);
            let of_version = &mut batch.versions[at];
            predict(
                version,
                (&self.pool, at),
                of_version,
                &mut predicted,
                |_, _| {},
            )
            .await
            .map_err(|error| Failure::system(Problem::new("scorer.failed", error.to_string())))?;
            piped.predictions += rows.rows() as u64;
            piped.rejected += predicted.rejected.len() as u64;
            scored.push((predicted, batch.source_hashes.clone()));
        }
        Ok((self.encode(&rows, &scored)?, piped))
    }

    fn encode(
        &self,
        rows: &CellBuffer,
        scored: &[(Predicted, Vec<u128>)],
    ) -> Result<RecordBatch, Failure> {
        let job = &self.job;
        let versions: Vec<VersionAnswer> = job
            .versions
            .iter()
            .zip(scored)
            .map(|(version, (predicted, source_hashes))| VersionAnswer {
                version: version.ready.version,
                model_sha256: version.ready.admitted.sha256,
                scored: Answers::new(predicted, source_hashes).take_rows(0..rows.rows()),
            })
            .collect();
        let order = (0..rows.rows())
            .flat_map(|row| (0..versions.len()).map(move |version| (version, row)))
            .collect();
        let answer = ArrowAnswer {
            job: &job.job,
            revision: self.revision,
            outputs: &job.target.outputs,
            versions: &versions,
            order,
            arms: None,
            keys: Some(ArrowKeys {
                columns: &job.key,
                cells: rows,
                scored_at: self.scored_at,
            }),
        };
        answer.batch().map_err(|error| {
            // Admission and compilation decide the outputs' types: no row can cause this.
            Failure::system(Problem::new("answer.malformed", error))
        })
    }
}

fn open<'a>(
    columns: &'a [Column],
    places: &[usize],
    batch: &'a RecordBatch,
) -> Result<Vec<ArrowColumn<'a>>, Failure> {
    let open = |(column, at): (&'a Column, &usize)| {
        let opened = ArrowColumn::open(&column.cql_type, batch.column(*at), MAX_CALL_BYTES);
        opened.map_err(|error| {
            Failure::input(
                Problem::new("arrow.type_mismatch", error)
                    .at(format!("column {}", column.name))
                    .help("cast the column, or send its values as text"),
            )
        })
    };
    columns.iter().zip(places).map(open).collect()
}

/// Writes the answer: its schema, also without any row, its batches, and its end. `None`: something
/// failed, and there is no end.
fn write(
    schema: &Arc<Schema>,
    output: impl Write,
    mut batches: mpsc::Receiver<Option<RecordBatch>>,
) -> Result<(), Failure> {
    let failed = |error: ArrowError| {
        let message = format!("the answer cannot be written: {error}");
        Failure::system(Problem::new("pipe.output", message))
    };
    let mut writer = StreamWriter::try_new(output, schema).map_err(failed)?;
    writer.flush().map_err(failed)?;
    while let Some(batch) = batches.blocking_recv() {
        let Some(batch) = batch else {
            return writer.flush().map_err(failed);
        };
        writer.write(&batch).map_err(failed)?;
        writer.flush().map_err(failed)?;
    }
    writer.finish().map_err(failed)
}

fn malformed(why: &str) -> Failure {
    let message = format!("standard input is not an Arrow IPC stream: {why}");
    Failure::input(
        Problem::new("arrow.malformed", message)
            .help("send the stream format without compression: pyarrow.ipc.new_stream"),
    )
}

/// A thread that panicked: a defect of helenus.
fn broken(error: &tokio::task::JoinError) -> Failure {
    Failure::system(Problem::new("system.thread", error.to_string()))
}
