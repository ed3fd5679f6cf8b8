//! Scoring today's rows again, and holding what stands against it.

use serde_json::{Value, json};

use super::tally::{Difference, LISTED, Tally, key_of};
use crate::{
    domain::{
        cell_json,
        cells::CellBuffer,
        hash::append_row,
        job::{CompiledJob, CompiledVersion},
        outputs,
        tensor::InputBatch,
        tolerance::Tolerance,
        verdict::{Verdict, after_scoring, before_scoring},
    },
    scorer::pool::{Pool, Scored},
    worker::run::{
        split::SplitError,
        stored::StoredPredictions,
        walk::{Arrived, Next, SourceRow, Visit},
    },
};

/// Gathers rows whose prediction needs scoring to be judged, and judges them.
pub struct Recheck<'a> {
    job: &'a CompiledJob,
    pool: &'a Pool,
    batch_rows: usize,
    /// Source rows still to be seen; `None`: all there are.
    left: Option<u64>,
    /// Key cells of the rows that wait.
    keys: CellBuffer,
    /// One entry a version of the job, in its order.
    waiting: Vec<Waiting>,
    scratch: Vec<u8>,
    /// What was found.
    pub tally: Tally,
}

/// Rows of one version that wait to be scored.
struct Waiting {
    inputs: InputBatch,
    /// By row of `inputs`.
    rows: Vec<Row>,
    /// Stored outputs, by row of `inputs`.
    stored: CellBuffer,
}

struct Row {
    /// Row of the keys.
    key: usize,
    /// Why it stands as rejected, if it does.
    rejected: Option<String>,
}

impl Waiting {
    fn new(job: &CompiledJob, version: &CompiledVersion) -> Self {
        Self {
            inputs: InputBatch::new(&version.ready.admitted.signature.inputs),
            rows: Vec::new(),
            stored: CellBuffer::new(job.target.outputs.len()),
        }
    }
}

impl<'a> Recheck<'a> {
    /// Nothing was seen yet.
    pub fn new(
        job: &'a CompiledJob,
        pool: &'a Pool,
        batch_rows: usize,
        limit: Option<u64>,
    ) -> Self {
        Self {
            job,
            pool,
            batch_rows,
            left: limit,
            keys: CellBuffer::new(job.key.len()),
            waiting: waiting(job),
            scratch: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// What is wrong, by column: named only while the list has room.
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

    fn judge(&mut self, at: usize, waiting: Waiting, keys: &CellBuffer, scored: &Scored) {
        let job = self.job;
        let version = &job.versions[at];
        let signature = &version.ready.admitted.signature;
        let mut refused = scored.refused.iter().peekable();
        let mut accepted = 0;
        let mut cells = CellBuffer::new(job.target.outputs.len());
        for (row, waits) in waiting.rows.iter().enumerate() {
            cells.clear();
            let recomputed = match refused.next_if(|(refused, _)| *refused == row) {
                Some((_, reason)) => Err(format!("refused: {reason}")),
                None => {
                    accepted += 1;
                    outputs::encode(version, &scored.outputs, accepted - 1, &mut cells)
                        .map_err(|rejection| rejection.to_string())
                }
            };
            let tied = || Tolerance::default().scores_tie(signature, &scored.outputs, accepted - 1);
            let verdict = after_scoring(
                version,
                &job.target.outputs,
                waits.rejected.is_some(),
                waiting.stored.row(row),
                recomputed.map(|()| cells.row(0)),
                tied,
            );
            self.tally.count(version.ready.version, &verdict);
            let found = Found {
                version,
                key: &|| key_of(job, keys.row(waits.key)),
                rejected: waits.rejected.as_deref(),
                sha256: None,
                stored: &|column| waiting.stored.cell(row, column),
                recomputed: &|column| cells.cell(0, column),
            };
            self.list(found, &verdict);
        }
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
        let mut waits = false;
        for (at, version) in job.versions.iter().enumerate() {
            let number = version.ready.version;
            let Some(whole) = stored.proof(row.identity, number) else {
                self.tally.miss(number, || key_of(job, key.iter().copied()));
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
                    waiting.rows.push(Row {
                        key: self.keys.rows(),
                        rejected,
                    });
                    waits = true;
                    continue;
                }
                (Some(verdict), typed) => {
                    if typed.is_ok() {
                        waiting.inputs.truncate(waiting.inputs.rows - 1);
                    }
                    verdict
                }
                (None, Err(rejection)) => after_scoring(
                    version,
                    &job.target.outputs,
                    rejected.is_some(),
                    whole.outputs(),
                    Err::<std::iter::Empty<_>, _>(rejection.to_string()),
                    || false,
                ),
            };
            self.tally.count(number, &verdict);
            let found = Found {
                version,
                key: &|| key_of(job, key.iter().copied()),
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
        match self.keys.rows() >= self.batch_rows {
            true => Next::Flush,
            false => Next::Row,
        }
    }

    async fn flush(&mut self) -> Result<(), SplitError> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let all = std::mem::replace(&mut self.waiting, waiting(self.job));
        let keys = std::mem::replace(&mut self.keys, CellBuffer::new(self.job.key.len()));
        for (at, mut waiting) in all.into_iter().enumerate() {
            if waiting.rows.is_empty() {
                continue;
            }
            let inputs = std::mem::replace(&mut waiting.inputs, InputBatch::new(&[]));
            let scored = self
                .pool
                .score(at, inputs)
                .await
                .map_err(SplitError::Score)?;
            self.judge(at, waiting, &keys, &scored);
        }
        Ok(())
    }
}

/// A wrong prediction's parts, looked up only if they are listed.
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
