//! Starts, calls and ends a scoring process.

use std::{
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    process::{Child, ChildStdin, ChildStdout},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{
    super::{confined, log, session::RowOutcomes},
    BUFFER, Models, WORD,
    wire::{
        Answer, Ask, Load, read_header, read_tensor, write_block, write_cells, write_header,
        write_plan, write_tensor,
    },
};
use crate::domain::{
    model::{Signature, tensor::InputBatch},
    problem::Problem,
};

/// Maximum number of bytes of the process's last stderr output that are kept.
const LAST_WORDS: usize = 4096;
const LONGEST_LINE: u64 = 64 << 10;

/// Kills a thread's process from another thread; shared by all successive processes.
#[derive(Debug, Default)]
pub(in crate::scorer) struct Killer {
    child: Mutex<Option<Child>>,
    told: AtomicBool,
}

impl Killer {
    /// Kills the running process, which says nothing about its rows.
    pub(in crate::scorer) fn stop(&self) {
        self.told.store(true, Ordering::Relaxed);
        if let Some(child) = self.lock().as_mut() {
            // It may have exited by itself meanwhile.
            let _ = child.kill();
        }
    }

    /// Returns whether [`Killer::stop`] was called since the last [`Killer::take_stop`].
    pub(super) fn is_stopped(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// Does the same and resets it.
    pub(super) fn take_stop(&self) -> bool {
        self.told.swap(false, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process with all models loaded. The thread that owns it must start it and outlive it: the
/// kernel kills the child when the thread that created it ends (prctl(2), PR_SET_PDEATHSIG).
#[derive(Debug)]
pub(super) struct Process {
    killer: Arc<Killer>,
    stdin: BufWriter<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    last_words: Option<thread::JoinHandle<String>>,
}

/// Reason why there is no process.
#[derive(Debug)]
pub(super) enum NotStarted {
    /// It could not be started, or ONNX Runtime refuses a model: a retry would fail, too.
    Refused(Problem),
    /// It crashed.
    Died(String),
}

/// Reason why rows have no results.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The process crashed; with the cause.
    Died(String),
    /// The model does not behave as admitted.
    Misaligned(String),
}

impl Process {
    /// Starts a process and loads the models in it.
    pub(super) fn start(models: &Models, killer: &Arc<Killer>) -> Result<Self, NotStarted> {
        let refused = |error: &io::Error| {
            NotStarted::Refused(Problem::new(
                "scorer.not_started",
                format!("cannot start the scoring process: {error}"),
            ))
        };
        let mut child = confined::command(models.program.as_os_str(), WORD)
            .current_dir("/")
            .spawn()
            .map_err(|error| refused(&error))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(refused(&io::Error::other("it has no streams")));
        };
        *killer.lock() = Some(child);
        let mut process = Self {
            killer: Arc::clone(killer),
            stdin: BufWriter::with_capacity(BUFFER, stdin),
            stdout: BufReader::with_capacity(BUFFER, stdout),
            last_words: Some(thread::spawn(move || last_words(stderr))),
        };
        match process.load(models) {
            Ok(Some(Answer::Ready)) => Ok(process),
            Ok(Some(Answer::NotLoaded(problem))) => {
                process.end();
                Err(NotStarted::Refused(
                    serde_json::from_str(&problem)
                        .unwrap_or_else(|_| Problem::new("model.runtime_refused", problem)),
                ))
            }
            Ok(_) | Err(_) => Err(NotStarted::Died(process.end())),
        }
    }

    fn load(&mut self, models: &Models) -> io::Result<Option<Answer>> {
        let plan = models.preparation.as_ref().map(|it| &it.plan);
        let load = Load {
            library: models.library.clone(),
            memory: models.memory(),
            models: models
                .versions
                .iter()
                .map(|(image, signature)| (image.bytes().len() as u64, signature.clone()))
                .collect(),
            tokenizers: plan.map(|plan| plan.tokenizers.len()),
        };
        write_block(&mut self.stdin, &serde_json::to_vec(&load)?)?;
        if let Some(plan) = plan {
            write_plan(&mut self.stdin, plan)?;
        }
        for (image, _) in &models.versions {
            self.stdin.write_all(image.bytes())?;
        }
        self.stdin.flush()?;
        read_header(&mut self.stdout)
    }

    /// Scores the rows and appends their outcomes. After an error `outcomes` is unchanged; after a
    /// crash this process is unusable.
    pub(super) fn ask(
        &mut self,
        version: usize,
        signature: &Signature,
        batch: &InputBatch,
        rows: std::ops::Range<usize>,
        outcomes: &mut RowOutcomes,
    ) -> Result<(), Unanswered> {
        let (before, refused) = (outcomes.outputs.rows, outcomes.refused.len());
        let asked = self.exchange(version, signature, batch, rows, outcomes);
        let answered = match asked {
            Ok(answered) => answered,
            Err(_) => Err(Unanswered::Died(self.end())),
        };
        if answered.is_err() {
            outcomes.outputs.rows = before;
            outcomes.refused.truncate(refused);
            let outputs = outcomes.outputs.outputs.iter_mut();
            for (data, output) in outputs.zip(&signature.outputs) {
                data.truncate(before * output.width());
            }
        }
        answered
    }

    fn exchange(
        &mut self,
        version: usize,
        signature: &Signature,
        batch: &InputBatch,
        rows: std::ops::Range<usize>,
        outcomes: &mut RowOutcomes,
    ) -> io::Result<Result<(), Unanswered>> {
        let ask = Ask {
            version: version as u32,
            rows: rows.len() as u32,
        };
        write_header(&mut self.stdin, &ask)?;
        for (input, data) in signature.inputs.iter().zip(&batch.inputs) {
            let width = input.width();
            write_tensor(&mut self.stdin, data, rows.start * width..rows.end * width)?;
        }
        if !batch.cells.is_empty() {
            write_cells(&mut self.stdin, &batch.cells, rows.clone())?;
        }
        self.stdin.flush()?;
        let answer = read_header(&mut self.stdout)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let misaligned = |what: &str| Ok(Err(Unanswered::Misaligned(what.to_owned())));
        let (scored, refused) = match answer {
            Answer::Scored { rows, refused } => (rows as usize, refused),
            Answer::Misaligned(what) => return misaligned(&what),
            Answer::Ready | Answer::NotLoaded(_) => {
                return misaligned("its process returns an unexpected answer");
            }
        };
        let ascending = refused.windows(2).all(|pair| pair[0].0 < pair[1].0)
            && refused
                .last()
                .is_none_or(|(row, _)| (*row as usize) < rows.len());
        if !ascending || scored + refused.len() != rows.len() {
            return misaligned("its process does not return exactly one answer per row");
        }
        let outputs = outcomes.outputs.outputs.iter_mut();
        for (data, output) in outputs.zip(&signature.outputs) {
            read_tensor(&mut self.stdout, data, scored * output.width())?;
        }
        outcomes.outputs.rows += scored;
        let refused = refused.into_iter();
        let refused = refused.map(|(row, why)| (rows.start + row as usize, why));
        outcomes.refused.extend(refused);
        Ok(Ok(()))
    }

    /// Ends the process and returns the cause of its crash, if it had crashed already.
    pub(super) fn end(&mut self) -> String {
        let Some(mut child) = self.killer.lock().take() else {
            return "ended already".to_owned();
        };
        // A process that closed its streams but is still running would never exit by itself; the
        // status of one that has exited is not affected.
        let _ = child.kill();
        let status = child.wait();
        let words = self.last_words.take().and_then(|words| words.join().ok());
        match status {
            Ok(status) => confined::exit_cause(status, &words.unwrap_or_default()),
            Err(error) => error.to_string(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads stderr until its end: passes ONNX Runtime's messages on and returns the end of the rest. A
/// full pipe would block the process.
fn last_words(stderr: impl Read) -> String {
    let mut stderr = BufReader::new(stderr);
    let mut kept = String::new();
    let mut line = Vec::new();
    while let Ok(1..) = stderr
        .by_ref()
        .take(LONGEST_LINE)
        .read_until(b'\n', &mut line)
    {
        let text = String::from_utf8_lossy(&line);
        if !log::relayed(text.trim_end()) {
            kept.push_str(&text);
            let excess = kept.len().saturating_sub(LAST_WORDS);
            kept.drain(..kept.ceil_char_boundary(excess));
        }
        line.clear();
    }
    kept
}
