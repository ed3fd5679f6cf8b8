//! Scoring in processes without credentials (the setting `isolate`), one per scoring thread.
//!
//! A model that crashes its process, takes all of its memory or hangs costs no more than that
//! process: the pool kills a hanging process and searches for the row. After a crash the batch is
//! halved until the rows that cause it are isolated. A row that crashes a fresh process twice is
//! refused, so a process that something else killed (the kernel for lack of memory, a person) does
//! not reject a row.
//!
//! Processes of another kind prepare the cells of one version: what holds for models and batches
//! holds for decoders and cells.

pub(super) mod inside;
mod models;
mod process;
mod wire;

use std::{
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

pub use models::Models;
pub(super) use process::Killer;
use process::{NotStarted, Process, Unanswered};

use super::{
    session::{RowOutcomes, RunError},
    subject::Subject,
};
use crate::{
    codec::cells::CellBuffer,
    domain::{
        model::{
            Signature,
            tensor::{InputBatch, OutputBatch, TensorData},
        },
        problem::Problem,
    },
};

/// Name of the hidden subcommand.
pub const WORD: &str = "__score";
/// Bytes buffered before a write to a pipe; larger tensors bypass the buffer.
const BUFFER: usize = 64 << 10;
/// Maximum number of attempts to load the models.
const LOADS: u32 = 3;
/// Number of consecutive crashes of a thread's processes after which a row that was scored before
/// is tried again. Finding one row among 65,536 takes 18.
const MAX_CRASHES_IN_A_ROW: u32 = 32;
/// Maximum number of crashes of a run, plus one for each [`ROWS_PER_CRASH`] rows scored.
const MAX_CRASHES: u64 = 1_000;
const ROWS_PER_CRASH: u64 = 100;

/// Counters shared by all threads.
#[derive(Debug, Default)]
struct ProcessTally {
    deaths: AtomicU64,
    scored: AtomicU64,
    hopeless: OnceLock<String>,
}

/// Phase of a call; each has a separate time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Starting a process and loading its models.
    Loading,
    /// Scoring.
    Scoring,
}

/// One thread's process and its successors.
#[derive(Debug)]
pub(super) struct Isolated {
    models: Arc<Models>,
    process: Option<Process>,
    killer: Arc<Killer>,
    deaths_in_a_row: u32,
    /// A row that was scored, by version.
    proven: Vec<Option<InputBatch>>,
}

impl Isolated {
    pub(super) fn new(models: Arc<Models>) -> Self {
        Self {
            proven: vec![None; models.len()],
            models,
            process: None,
            killer: Arc::default(),
            deaths_in_a_row: 0,
        }
    }

    /// Returns a handle that kills the current process, whichever it is then.
    pub(super) fn killer(&self) -> Arc<Killer> {
        Arc::clone(&self.killer)
    }

    /// Returns the number of versions.
    pub(super) fn versions(&self) -> usize {
        self.models.len()
    }

    /// Starts the process unless it is running.
    ///
    /// # Errors
    /// `model.process_died` if none survives loading; ONNX Runtime's refusal; no process could be
    /// started.
    pub(super) fn load(&mut self) -> Result<(), Problem> {
        if self.process.is_some() {
            return Ok(());
        }
        let mut last = String::new();
        for _ in 0..LOADS {
            match Process::start(&self.models, &self.killer) {
                Ok(process) => {
                    self.process = Some(process);
                    return Ok(());
                }
                Err(NotStarted::Refused(problem)) => return Err(problem),
                Err(NotStarted::Died(cause)) => last = cause,
            }
            if self.killer.is_stopped() {
                break;
            }
        }
        Err(Problem::new(
            "model.process_died",
            match self.models.subject() {
                Subject::Model => {
                    format!("the scoring process crashes while it loads the models: {last}")
                }
                subject => format!("{} crashes while it starts: {last}", subject.process()),
            },
        )
        .help("raise its memory limit isolate_memory_mib if memory is the cause"))
    }

    /// Scores as [`super::session::Model::run_rows`] does; rows that crash the process are among
    /// the refused. `alive` is called when a phase begins.
    ///
    /// # Errors
    /// [`RunError::Died`] if every row does; never `Refused`.
    pub(super) fn run_rows(
        &mut self,
        version: usize,
        batch: &InputBatch,
        alive: &dyn Fn(Phase),
    ) -> Result<RowOutcomes, RunError> {
        if let Some(why) = self.models.tally.hopeless.get() {
            return Err(RunError::Died(why.clone()));
        }
        if self.killer.take_stop() {
            // It was killed during the last batch, perhaps after its end.
            self.process = None;
        }
        let mut outcomes = none_yet(self.models.signature(version));
        self.halve(version, batch, 0..batch.rows, &mut outcomes, alive)?;
        Ok(outcomes)
    }

    fn halve(
        &mut self,
        version: usize,
        batch: &InputBatch,
        rows: Range<usize>,
        outcomes: &mut RowOutcomes,
        alive: &dyn Fn(Phase),
    ) -> Result<(), RunError> {
        if self
            .ask(version, batch, rows.clone(), outcomes, alive)?
            .is_none()
        {
            return Ok(());
        }
        if rows.len() > 1 {
            let middle = rows.start + rows.len() / 2;
            self.halve(version, batch, rows.start..middle, outcomes, alive)?;
            return self.halve(version, batch, middle..rows.end, outcomes, alive);
        }
        if let Some(cause) = self.ask(version, batch, rows.clone(), outcomes, alive)? {
            let reason = self.models.subject().crashed(&cause);
            outcomes.refused.push((rows.start, reason));
        }
        Ok(())
    }

    /// Scores the rows in the process; returns the cause if it crashed.
    fn ask(
        &mut self,
        version: usize,
        batch: &InputBatch,
        rows: Range<usize>,
        outcomes: &mut RowOutcomes,
        alive: &dyn Fn(Phase),
    ) -> Result<Option<String>, RunError> {
        alive(Phase::Loading);
        self.load()
            .map_err(|problem| self.give_up(problem.line()))?;
        alive(Phase::Scoring);
        let models = Arc::clone(&self.models);
        let signature = models.signature(version);
        let Some(process) = &mut self.process else {
            return Err(RunError::Died("there is no scoring process".to_owned()));
        };
        let first = rows.start;
        let refused = outcomes.refused.len();
        let scored = outcomes.outputs.rows;
        match process.ask(version, signature, batch, rows, outcomes) {
            Ok(()) => {
                self.deaths_in_a_row = 0;
                let scored = (outcomes.outputs.rows - scored) as u64;
                models.tally.scored.fetch_add(scored, Ordering::Relaxed);
                if self.proven[version].is_none()
                    && scored > 0
                    && outcomes
                        .refused
                        .get(refused)
                        .is_none_or(|row| row.0 > first)
                {
                    self.proven[version] = Some(part_of(batch, signature, first..first + 1));
                }
                Ok(None)
            }
            Err(Unanswered::Misaligned(what)) => Err(RunError::Misaligned(what)),
            Err(Unanswered::Died(cause)) => {
                self.process = None;
                if self.killer.take_stop() {
                    return Err(RunError::Stopped);
                }
                self.died(version, &cause)?;
                Ok(Some(cause))
            }
        }
    }

    /// Counts a crash, and fails if there are too many.
    fn died(&mut self, version: usize, cause: &str) -> Result<(), RunError> {
        let tally = &self.models.tally;
        let deaths = 1 + tally.deaths.fetch_add(1, Ordering::Relaxed);
        let scored = tally.scored.load(Ordering::Relaxed);
        tracing::warn!(version, deaths, "a scoring process crashed: {cause}");
        if deaths > MAX_CRASHES + scored / ROWS_PER_CRASH {
            return Err(self.give_up(format!(
                "{} crashed {deaths} times over {scored} rows, most recently: {cause}",
                self.models.subject().process()
            )));
        }
        self.deaths_in_a_row += 1;
        if self.deaths_in_a_row < MAX_CRASHES_IN_A_ROW {
            return Ok(());
        }
        if !self.still_scores(version)? {
            return Err(self.give_up(format!(
                "{} crashes on every row, most recently: {cause}",
                self.models.subject().process()
            )));
        }
        self.deaths_in_a_row = 0;
        Ok(())
    }

    /// Returns whether a row that was scored before can still be scored.
    fn still_scores(&mut self, version: usize) -> Result<bool, RunError> {
        let Some(row) = self.proven[version].clone() else {
            return Ok(false);
        };
        self.load()
            .map_err(|problem| self.give_up(problem.line()))?;
        let models = Arc::clone(&self.models);
        let signature = models.signature(version);
        let mut outcomes = none_yet(signature);
        let asked = self
            .process
            .as_mut()
            .map(|process| process.ask(version, signature, &row, 0..1, &mut outcomes));
        match asked {
            Some(Ok(())) => Ok(true),
            _ => {
                self.process = None;
                Ok(false)
            }
        }
    }

    /// Makes all threads give up.
    fn give_up(&self, why: String) -> RunError {
        if self.killer.take_stop() {
            return RunError::Stopped;
        }
        RunError::Died(self.models.tally.hopeless.get_or_init(|| why).clone())
    }
}

/// Returns outcomes without rows.
pub(super) fn none_yet(signature: &Signature) -> RowOutcomes {
    let outputs = signature.outputs.iter();
    RowOutcomes {
        outputs: OutputBatch {
            rows: 0,
            outputs: outputs
                .map(|output| TensorData::new(output.element))
                .collect(),
        },
        refused: Vec::new(),
    }
}

/// Returns some rows of a batch.
pub(super) fn part_of(batch: &InputBatch, signature: &Signature, rows: Range<usize>) -> InputBatch {
    let inputs = signature.inputs.iter().zip(&batch.inputs);
    InputBatch {
        rows: rows.len(),
        inputs: inputs
            .map(|(input, data)| data.slice(rows.start * input.width()..rows.end * input.width()))
            .collect(),
        cells: match batch.cells.is_empty() {
            true => CellBuffer::default(),
            false => batch.cells.slice(rows),
        },
    }
}
