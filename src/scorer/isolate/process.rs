//! A scoring process: started, asked, ended.

use std::{
    io::{self, BufReader, BufWriter, Read, Write},
    process::{Child, ChildStdin, ChildStdout},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{
    super::{confined, session::RowOutcomes},
    BUFFER, Models, WORD,
    wire::{Answer, Ask, Load, read_header, read_tensor, write_block, write_header, write_tensor},
};
use crate::domain::{model::Signature, problem::Problem, tensor::InputBatch};

/// Bytes of the process's last words that are kept.
const LAST_WORDS: usize = 4096;

/// Ends a thread's process from another thread; shared by all that follow each other.
#[derive(Debug, Default)]
pub(in crate::scorer) struct Killer {
    child: Mutex<Option<Child>>,
    told: AtomicBool,
}

impl Killer {
    /// Kills whatever process runs now, which says nothing about the rows it was given.
    pub(in crate::scorer) fn stop(&self) {
        self.told.store(true, Ordering::Relaxed);
        if let Some(child) = self.lock().as_mut() {
            // It may have ended by itself meanwhile.
            let _ = child.kill();
        }
    }

    /// Whether [`Killer::stop`] was called and nobody has asked since.
    pub(super) fn was_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// The same, and it counts as asked.
    pub(super) fn take_told(&self) -> bool {
        self.told.swap(false, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process with all models loaded. Must be started by the thread that owns it, and while that one
/// lives: the kernel ends the child with the thread that made it (prctl(2), PR_SET_PDEATHSIG).
#[derive(Debug)]
pub(super) struct Process {
    killer: Arc<Killer>,
    stdin: BufWriter<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    last_words: Option<thread::JoinHandle<String>>,
}

/// Why there is no process.
#[derive(Debug)]
pub(super) enum NotStarted {
    /// None could be made, or ONNX Runtime refuses a model: the next one would fare no better.
    Refused(Problem),
    /// It died.
    Died(String),
}

/// Why rows have no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The process died on them, of this.
    Died(String),
    /// It does not behave as admitted.
    Misaligned(String),
}

impl Process {
    /// Starts one and has it load the models.
    pub(super) fn start(models: &Models, killer: &Arc<Killer>) -> Result<Self, NotStarted> {
        let refused = |error: &io::Error| {
            NotStarted::Refused(Problem::new(
                "scorer.not_started",
                format!("the scoring process could not be started: {error}"),
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
        let load = Load {
            library: models.library.clone(),
            memory: models.memory(),
            models: models
                .versions
                .iter()
                .map(|(image, signature)| (image.bytes().len() as u64, signature.clone()))
                .collect(),
        };
        write_block(&mut self.stdin, &serde_json::to_vec(&load)?)?;
        for (image, _) in &models.versions {
            self.stdin.write_all(image.bytes())?;
        }
        self.stdin.flush()?;
        read_header(&mut self.stdout)
    }

    /// Has the rows scored and appends what came of them; on an error `outcomes` is as it was, and
    /// after a death this process is of no more use.
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
        self.stdin.flush()?;
        let answer = read_header(&mut self.stdout)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let misaligned = |what: &str| Ok(Err(Unanswered::Misaligned(what.to_owned())));
        let (scored, refused) = match answer {
            Answer::Scored { rows, refused } => (rows as usize, refused),
            Answer::Misaligned(what) => return misaligned(&what),
            Answer::Ready | Answer::NotLoaded(_) => {
                return misaligned("its process answers what it was not asked");
            }
        };
        let ascending = refused.windows(2).all(|pair| pair[0].0 < pair[1].0)
            && refused
                .last()
                .is_none_or(|(row, _)| (*row as usize) < rows.len());
        if !ascending || scored + refused.len() != rows.len() {
            return misaligned("its process does not answer for each row once");
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

    /// Ends the process and tells what it died of, if it was dead already.
    pub(super) fn end(&mut self) -> String {
        let Some(mut child) = self.killer.lock().take() else {
            return "ended already".to_owned();
        };
        // One that closed its streams and lives on would be waited for for ever; the status of one
        // that has died stays what it was.
        let _ = child.kill();
        let status = child.wait();
        let words = self.last_words.take().and_then(|words| words.join().ok());
        match status {
            Ok(status) => confined::cause_of_death(status, &words.unwrap_or_default()),
            Err(error) => error.to_string(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// The end of what the process says on stderr; a full pipe would hold it up.
fn last_words(mut stderr: impl Read) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..read]);
        let excess = kept.len().saturating_sub(LAST_WORDS);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
