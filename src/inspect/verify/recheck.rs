//! Re-scores today's rows and compares the stored predictions with the results.

use serde_json::{Value, json};

use super::tally::{Difference, LISTED, Tally};
use crate::{
    codec::{cell_json, cells::CellBuffer},
    domain::{
        job::{CompiledJob, CompiledVersion, hash::append_row, outputs, prepare::TypedRows},
        model::{
            tensor::InputBatch,
            tolerance::Tolerance,
            verdict::{Verdict, after_scoring, before_scoring},
        },
    },
    engine::{
        predict::{BATCH_BYTES, ScoredRows, TENSOR_BYTES, score},
        run::{
            split_error::SplitError,
            stored::StoredPredictions,
            walk::{Arrived, Next, SourceRow, Visit},
        },
        second_look::SecondLook,
    },
    scorer::pool::{Pool, ScoreError},
    store::runs::rejected_rows::key_text_of_cells,
};

/// Rows of a range for which a second look may confirm the difference. More would score each
/// differing row 74 times, to find what is known by then.
const SECOND_LOOKS: usize = 100;

/// Collects rows whose prediction can be judged only by scoring, and judges them.
pub struct Recheck<'a> {
    job: &'a CompiledJob,
    pool: &'a Pool,
    tolerance: Tolerance,
    batch_rows: usize,
    /// Rows for which a second look confirmed the difference.
    confirmed: usize,
    /// Source rows still to be seen; `None`: all.
    left: Option<u64>,
    /// Key cells of the waiting rows.
    keys: CellBuffer,
    /// Bytes of the waiting rows' cells, counted for each version that scores them.
    bytes: usize,
    /// Bytes of the tensors that are prepared from them.
    tensor_bytes: usize,
    /// One entry per version of the job, in the job's order.
    waiting: Vec<Waiting>,
    scratch: Vec<u8>,
    /// The findings so far.
    pub tally: Tally,
}

/// Rows of one version that wait to be scored.
struct Waiting {
    inputs: TypedRows,
    /// The waiting rows, aligned with the rows of `inputs`.
    rows: Vec<RecheckedRow>,
    /// Stored outputs, aligned with the rows of `inputs`.
    stored: CellBuffer,
}

struct RecheckedRow {
    /// Row of `keys`.
    key: usize,
    /// The stored reason, if the row is stored as rejected.
    rejected: Option<String>,
}

impl Waiting {
    fn new(job: &CompiledJob, version: &CompiledVersion) -> Self {
        Self {
            inputs: TypedRows::new(version),
            rows: Vec::new(),
            stored: CellBuffer::new(job.target.outputs.len()),
        }
    }
}

impl<'a> Recheck<'a> {
    /// Returns a visitor that has seen no row.
    pub fn new(
        job: &'a CompiledJob,
        pool: &'a Pool,
        tolerance: Tolerance,
        batch_rows: usize,
        limit: Option<u64>,
    ) -> Self {
        Self {
            job,
            pool,
            tolerance,
            batch_rows,
            confirmed: 0,
            left: limit,
            keys: CellBuffer::new(job.key.len()),
            bytes: 0,
            tensor_bytes: 0,
            waiting: waiting(job),
            scratch: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Lists what is wrong, by column, while the list has room.
    fn list(&mut self, found: Found<'_>, verdict: &Verdict) {
        let room = LISTED.saturating_sub(self.tally.differences.len());
        if room == 0 || !verdict.is_wrong() {
            return;
        }
        let differences = found.differences(self.job, verdict);
        self.tally
            .differences
            .extend(differences.into_iter().take(room));
    }

    async fn judge(
        &mut self,
        at: usize,
        waiting: Waiting,
        keys: &CellBuffer,
        scored: &ScoredRows,
    ) -> Result<(), ScoreError> {
        let job = self.job;
        let version = &job.versions[at];
        let signature = &version.ready.admitted.signature;
        let mut cells = CellBuffer::new(job.target.outputs.len());
        for (row, waits) in waiting.rows.iter().enumerate() {
            cells.clear();
            let output_row = scored.output_row(row);
            let recomputed = match scored.reason(row) {
                Some(reason) => Err(reason.to_owned()),
                None => outputs::encode(version, scored.row(row), &mut cells)
                    .map_err(|rejection| rejection.to_string()),
            };
            let is_scored = recomputed.is_ok() && waits.rejected.is_none();
            let tied =
                |label| (self.tolerance).label_ties(signature, label, &scored.outputs, output_row);
            let mut verdict = after_scoring(
                version,
                &job.target.outputs,
                self.tolerance,
                waits.rejected.is_some(),
                waiting.stored.row(row),
                recomputed.map(|()| cells.row(0)),
                tied,
            );
            if is_scored && matches!(verdict, Verdict::Differing(_)) {
                let mut stored = CellBuffer::new(job.target.outputs.len());
                waiting.stored.row(row).for_each(|cell| stored.push(cell));
                if self
                    .is_rounding(at, &scored.rows.tensors, scored.tensor_row(row), &stored)
                    .await?
                {
                    verdict = Verdict::Matching;
                }
            }
            self.tally.count(version.ready.version, &verdict);
            let found = Found {
                version,
                key: &|| key_text_of_cells(job, keys.row(waits.key)),
                rejected: waits.rejected.as_deref(),
                sha256: None,
                stored: &|column| waiting.stored.cell(row, column),
                recomputed: &|column| cells.cell(0, column),
            };
            self.list(found, &verdict);
        }
        Ok(())
    }

    /// Takes a second look at a row that differs, and returns whether rounding explains the
    /// difference. After [`SECOND_LOOKS`] confirmed rows it returns `false` at once, since the
    /// whole table may differ.
    async fn is_rounding(
        &mut self,
        at: usize,
        inputs: &InputBatch,
        row: usize,
        stored: &CellBuffer,
    ) -> Result<bool, ScoreError> {
        if self.confirmed >= SECOND_LOOKS {
            return Ok(false);
        }
        let look = SecondLook {
            pool: self.pool,
            at,
            version: &self.job.versions[at],
            columns: &self.job.target.outputs,
            tolerance: self.tolerance,
        };
        let is_rounding = look.is_rounding(inputs, row, stored).await?;
        self.confirmed += usize::from(!is_rounding);
        Ok(is_rounding)
    }
}

fn waiting(job: &CompiledJob) -> Vec<Waiting> {
    let versions = job.versions.iter();
    versions.map(|version| Waiting::new(job, version)).collect()
}

impl Visit for Recheck<'_> {
    fn arrived(&self, _: &Arrived) {}

    fn row(&mut self, row: &SourceRow<'_>, stored: &StoredPredictions<'_>) -> Next {
        let job = self.job;
        let (key, columns) = row.cells.split_at(job.key.len());
        let (mut waits, cells) = (false, row.cells.iter().flatten());
        let row_bytes: usize = cells.map(|cell| cell.len()).sum();
        for (at, version) in job.versions.iter().enumerate() {
            let number = version.ready.version;
            let Some(whole) = stored.proof(row.identity, number) else {
                self.tally
                    .miss(number, || key_text_of_cells(job, key.iter().copied()));
                continue;
            };
            let waiting = &mut self.waiting[at];
            let (hash, typed) =
                append_row(version, columns, &mut waiting.inputs, &mut self.scratch);
            let decided = before_scoring(version, whole, hash);
            let rejected = whole.rejected();
            let verdict = match (decided, typed) {
                (None, Ok(())) => {
                    whole.outputs().for_each(|cell| waiting.stored.push(cell));
                    waiting.rows.push(RecheckedRow {
                        key: self.keys.rows(),
                        rejected,
                    });
                    waits = true;
                    self.bytes += row_bytes;
                    self.tensor_bytes += waiting.inputs.prepared_row_bytes();
                    continue;
                }
                (Some(verdict), typed) => {
                    if typed.is_ok() {
                        waiting.inputs.truncate(waiting.inputs.rows() - 1);
                    }
                    verdict
                }
                (None, Err(rejection)) => after_scoring(
                    version,
                    &job.target.outputs,
                    self.tolerance,
                    rejected.is_some(),
                    whole.outputs(),
                    Err::<std::iter::Empty<_>, _>(rejection.to_string()),
                    |_| false,
                ),
            };
            self.tally.count(number, &verdict);
            let found = Found {
                version,
                key: &|| key_text_of_cells(job, key.iter().copied()),
                rejected: rejected.as_deref(),
                sha256: whole.model_sha256(),
                stored: &|column| whole.outputs().nth(column).flatten(),
                recomputed: &|_| None,
            };
            self.list(found, &verdict);
        }
        if waits {
            key.iter().for_each(|cell| self.keys.push(*cell));
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
            if *left == 0 {
                return Next::End;
            }
        }
        let is_full = self.keys.rows() >= self.batch_rows
            || self.bytes >= BATCH_BYTES
            || self.tensor_bytes >= TENSOR_BYTES;
        match is_full {
            true => Next::Flush,
            false => Next::Row,
        }
    }

    async fn flush(&mut self) -> Result<(), SplitError> {
        if self.keys.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        self.tensor_bytes = 0;
        let all = std::mem::replace(&mut self.waiting, waiting(self.job));
        let keys = std::mem::replace(&mut self.keys, CellBuffer::new(self.job.key.len()));
        for (at, mut waiting) in all.into_iter().enumerate() {
            if waiting.rows.is_empty() {
                continue;
            }
            let rows = std::mem::take(&mut waiting.inputs);
            let scored = score((self.pool, at), rows)
                .await
                .map_err(SplitError::Score)?;
            self.judge(at, waiting, &keys, &scored)
                .await
                .map_err(SplitError::Score)?;
        }
        Ok(())
    }
}

/// The parts of a wrong prediction, looked up only if they are listed.
struct Found<'f> {
    version: &'f CompiledVersion,
    key: &'f dyn Fn() -> std::collections::BTreeMap<String, String>,
    rejected: Option<&'f str>,
    sha256: Option<&'f [u8]>,
    stored: &'f dyn Fn(usize) -> Option<&'f [u8]>,
    recomputed: &'f dyn Fn(usize) -> Option<&'f [u8]>,
}

impl Found<'_> {
    fn differences(&self, job: &CompiledJob, verdict: &Verdict) -> Vec<Difference> {
        let key = (self.key)();
        let difference = |column: &str, stored: Value, recomputed: Value| Difference {
            key: key.clone(),
            version: self.version.ready.version,
            column: column.to_owned(),
            stored,
            recomputed,
        };
        let model = hex::encode(self.version.ready.admitted.sha256);
        match verdict {
            Verdict::Matching | Verdict::Stale | Verdict::Rejected => Vec::new(),
            Verdict::Unproven => vec![difference("lineage", Value::Null, json!(model))],
            Verdict::OtherModel => vec![difference(
                "lineage.model_sha256",
                json!(self.sha256.map(hex::encode)),
                json!(model),
            )],
            Verdict::NoLongerRejected => vec![difference(
                "lineage.rejected",
                json!(self.rejected),
                Value::Null,
            )],
            Verdict::NowRejected(reason) => {
                vec![difference("lineage.rejected", Value::Null, json!(reason))]
            }
            Verdict::Differing(columns) => columns
                .iter()
                .map(|at| {
                    let column = &job.target.outputs[*at];
                    let shown = |cell| cell_json::cell(&column.cql_type, cell);
                    let (stored, recomputed) = ((self.stored)(*at), (self.recomputed)(*at));
                    difference(&column.name, shown(stored), shown(recomputed))
                })
                .collect(),
        }
    }
}
