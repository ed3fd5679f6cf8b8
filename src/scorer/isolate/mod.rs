//! Scoring in processes without credentials (the setting `isolate`): one beside each scoring thread.
//!
//! A model that crashes its process or takes all of its memory costs no more than that process. The
//! batch is halved until the rows that do it stand alone; a row that kills a fresh process twice is
//! refused, so a process that something else killed (the kernel for want of memory, a person) is
//! held against no row.

pub(super) mod inside;
mod process;
mod wire;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

pub(super) use process::Killer;
use process::{NotStarted, Process, Unanswered};

use super::{
    confined,
    image::Image,
    session::{RowOutcomes, RunError},
};
use crate::domain::{
    model::Signature,
    problem::Problem,
    tensor::{InputBatch, OutputBatch, TensorData},
};

/// The hidden subcommand.
pub const WORD: &str = "__score";
/// Bytes gathered before a pipe is used; larger tensors go past it.
const BUFFER: usize = 64 << 10;
/// Times that loading may end in a death before the model is given up.
const LOADS: u32 = 3;
/// Deaths of one thread's processes without a row scored in between, before a row that is known to
/// go through is tried. Finding one row among 65,536 takes 18.
const DEATHS_IN_A_ROW: u32 = 32;
/// Deaths of a run that are suffered in any case, and one more for so many rows scored.
const DEATHS: u64 = 1_000;
const ROWS_A_DEATH: u64 = 100;

/// What the processes load, and may take.
#[derive(Debug)]
pub struct Models {
    program: PathBuf,
    library: PathBuf,
    memory: u64,
    versions: Vec<(Image, Signature)>,
    tally: Tally,
}

/// What all threads know about their processes.
#[derive(Debug, Default)]
struct Tally {
    deaths: AtomicU64,
    scored: AtomicU64,
    hopeless: OnceLock<String>,
}

impl Models {
    /// `memory`: address space of a process in bytes; four times the models' size more.
    pub fn new(library: &Path, memory: u64, versions: Vec<(Image, Signature)>) -> Self {
        Self {
            program: confined::program(),
            library: library.to_owned(),
            memory,
            versions,
            tally: Tally::default(),
        }
    }

    fn memory(&self) -> u64 {
        let sizes = self.versions.iter().map(|(image, _)| image.bytes().len());
        let size: u64 = sizes.map(|size| size as u64).sum();
        self.memory.saturating_add(size.saturating_mul(4))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.versions.len()
    }
}

/// One thread's process, and those that take its place.
#[derive(Debug)]
pub(super) struct Isolated {
    models: Arc<Models>,
    process: Option<Process>,
    killer: Arc<Killer>,
    deaths_in_a_row: u32,
    /// Of each version, a row that was scored.
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

    /// Ends the process that is there when it is used. Of the following ones, too.
    pub(super) fn killer(&self) -> Arc<Killer> {
        Arc::clone(&self.killer)
    }

    /// How many versions there are.
    pub(super) fn versions(&self) -> usize {
        self.models.len()
    }

    /// Starts the process unless it is there.
    ///
    /// # Errors
    /// `model.process_died` when none survives loading, ONNX Runtime's refusal, no process.
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
            if self.killer.was_told() {
                break;
            }
        }
        Err(Problem::new(
            "model.process_died",
            format!("the scoring process dies while it loads the models: {last}"),
        )
        .help("the limit on its memory is isolate_memory_mib"))
    }

    /// As [`super::session::Model::run_rows`]; rows that kill the process are among the refused.
    /// `alive` is called before each attempt.
    ///
    /// # Errors
    /// [`RunError::Died`] when everything does; never `Refused`.
    pub(super) fn run_rows(
        &mut self,
        version: usize,
        batch: &InputBatch,
        alive: &dyn Fn(),
    ) -> Result<RowOutcomes, RunError> {
        if let Some(why) = self.models.tally.hopeless.get() {
            return Err(RunError::Died(why.clone()));
        }
        if self.killer.take_told() {
            // Killed over the last batch, perhaps after it was done with it.
            self.process = None;
        }
        let mut outcomes = none_yet(&self.models.versions[version].1);
        self.halve(version, batch, 0..batch.rows, &mut outcomes, alive)?;
        Ok(outcomes)
    }

    fn halve(
        &mut self,
        version: usize,
        batch: &InputBatch,
        rows: Range<usize>,
        outcomes: &mut RowOutcomes,
        alive: &dyn Fn(),
    ) -> Result<(), RunError> {
        alive();
        if self.ask(version, batch, rows.clone(), outcomes)?.is_none() {
            return Ok(());
        }
        if rows.len() > 1 {
            let middle = rows.start + rows.len() / 2;
            self.halve(version, batch, rows.start..middle, outcomes, alive)?;
            return self.halve(version, batch, middle..rows.end, outcomes, alive);
        }
        alive();
        if let Some(cause) = self.ask(version, batch, rows.clone(), outcomes)? {
            let reason = format!("the model's process died on it: {cause}");
            outcomes.refused.push((rows.start, reason));
        }
        Ok(())
    }

    /// Has the rows scored; gives the cause if the process died of them.
    fn ask(
        &mut self,
        version: usize,
        batch: &InputBatch,
        rows: Range<usize>,
        outcomes: &mut RowOutcomes,
    ) -> Result<Option<String>, RunError> {
        self.load()
            .map_err(|problem| self.give_up(problem.line()))?;
        let models = Arc::clone(&self.models);
        let signature = &models.versions[version].1;
        let Some(process) = &mut self.process else {
            return Err(RunError::Died("there is no process".to_owned()));
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
                    self.proven[version] = Some(row_of(batch, signature, first));
                }
                Ok(None)
            }
            Err(Unanswered::Misaligned(what)) => Err(RunError::Misaligned(what)),
            Err(Unanswered::Died(cause)) => {
                self.process = None;
                if self.killer.take_told() {
                    return Err(RunError::Stopped);
                }
                self.died(version, &cause)?;
                Ok(Some(cause))
            }
        }
    }

    /// Counts a death, unless there is no end to them.
    fn died(&mut self, version: usize, cause: &str) -> Result<(), RunError> {
        let tally = &self.models.tally;
        let deaths = 1 + tally.deaths.fetch_add(1, Ordering::Relaxed);
        let scored = tally.scored.load(Ordering::Relaxed);
        tracing::warn!(version, deaths, "a scoring process died: {cause}");
        if deaths > DEATHS + scored / ROWS_A_DEATH {
            return Err(self.give_up(format!(
                "the model's processes died {deaths} times over {scored} rows, the last time of: {cause}"
            )));
        }
        self.deaths_in_a_row += 1;
        if self.deaths_in_a_row < DEATHS_IN_A_ROW {
            return Ok(());
        }
        if !self.still_scores(version)? {
            return Err(self.give_up(format!(
                "the model's process dies on everything it is given, the last time of: {cause}"
            )));
        }
        self.deaths_in_a_row = 0;
        Ok(())
    }

    /// Whether a row that went through once still does.
    fn still_scores(&mut self, version: usize) -> Result<bool, RunError> {
        let Some(row) = self.proven[version].clone() else {
            return Ok(false);
        };
        self.load()
            .map_err(|problem| self.give_up(problem.line()))?;
        let models = Arc::clone(&self.models);
        let signature = &models.versions[version].1;
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

    /// No thread tries any more.
    fn give_up(&self, why: String) -> RunError {
        if self.killer.take_told() {
            return RunError::Stopped;
        }
        RunError::Died(self.models.tally.hopeless.get_or_init(|| why).clone())
    }
}

fn none_yet(signature: &Signature) -> RowOutcomes {
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

fn row_of(batch: &InputBatch, signature: &Signature, row: usize) -> InputBatch {
    let inputs = signature.inputs.iter().zip(&batch.inputs);
    InputBatch {
        rows: 1,
        inputs: inputs
            .map(|(input, data)| data.slice(row * input.width()..(row + 1) * input.width()))
            .collect(),
    }
}
