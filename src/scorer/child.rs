//! The admission process: this executable again, with resource limits and without credentials.
//!
//! Small files exist that crash ONNX Runtime, never terminate, or take all memory while a session
//! is created. So this process creates none before a separate process has survived it.

use std::{
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

pub use super::confined::{take_over, use_program};
use super::{
    admit::{Request, admit},
    confined::{command, confine, program, signal_name},
    error_text::{OUT_OF_MEMORY, is_out_of_memory},
    log,
};
use crate::domain::{model::Admitted, printable::printable, problem::Problem};

/// Name of the hidden subcommand.
pub const WORD: &str = "__admit";
const MAX_ANSWER: u64 = 64 << 20;

/// Resource limits of the admission process.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The executable: by default this one, or that of [`use_program`].
    pub program: PathBuf,
    /// Limit on wall-clock and processor time for a small model; one second more for each 8 MiB.
    pub time: Duration,
    /// Limit on address space for a small model, in bytes; four times the model's size more.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            program: program(),
            time: Duration::from_secs(50),
            memory: 2 << 30,
        }
    }
}

/// Outcome of the admission process.
#[derive(Debug)]
pub enum Outcome {
    /// The model may score.
    Admitted(Box<Admitted>),
    /// The model must not score; all problems.
    Rejected(Vec<Problem>),
    /// It exceeded the time limit, as another process with the same limit would.
    OutOfTime(Problem),
    /// It was ended by something other than the model or a limit: the machine may be the cause, so
    /// a retry may succeed.
    Died(Problem),
}

impl Outcome {
    /// Returns the verdict without a retry: a crash is a rejection.
    pub fn verdict(self) -> Result<Admitted, Vec<Problem>> {
        match self {
            Self::Admitted(admitted) => Ok(*admitted),
            Self::Rejected(problems) => Err(problems),
            Self::OutOfTime(problem) | Self::Died(problem) => Err(vec![problem]),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    request: Request,
    seconds: u64,
    memory: u64,
}

/// A line of the child's standard output, in JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Stage(String),
    Admitted(Box<Admitted>),
    Rejected(Vec<Problem>),
}

/// Runs an admission in a child process. Blocks for as long as the limits permit.
///
/// # Errors
/// The child or ONNX Runtime's library could not be started or loaded, which says nothing about the
/// model.
pub fn run(request: &Request, limits: &Limits) -> Result<Outcome, Problem> {
    let size = std::fs::metadata(&request.model).map_or(0, |metadata| metadata.len());
    let size = size.min(request.max_size);
    let time = limits.time + Duration::from_secs(size >> 23);
    let order = Order {
        request: request.clone(),
        seconds: time.as_secs().max(1),
        memory: limits.memory.saturating_add(size.saturating_mul(4)),
    };
    let place = tempfile::tempdir().map_err(|error| not_started(&error))?;
    let mut child = start(limits, place.path()).map_err(|error| not_started(&error))?;
    let talk = Talk::with(&mut child, &order);
    let (status, in_time) = wait(&mut child, time).map_err(|error| not_started(&error))?;
    let (lines, stderr) = talk.end();
    match judge(lines, &stderr, status, in_time, &order) {
        Outcome::Rejected(mut problems) if problems.iter().any(is_ours) => {
            problems.retain(is_ours);
            Err(problems.swap_remove(0))
        }
        outcome => Ok(outcome),
    }
}

fn is_ours(problem: &Problem) -> bool {
    problem.code.starts_with("runtime.")
}

fn start(limits: &Limits, place: &Path) -> std::io::Result<Child> {
    command(limits.program.as_os_str(), WORD)
        .current_dir(place)
        .spawn()
}

/// Threads that communicate with the child, so that neither side blocks the other.
struct Talk {
    stdout: Option<thread::JoinHandle<Vec<u8>>>,
    stderr: Option<thread::JoinHandle<Vec<u8>>>,
}

impl Talk {
    fn with(child: &mut Child, order: &Order) -> Self {
        fn drain(pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                // After an error, use what was read before.
                let _ = pipe.take(MAX_ANSWER).read_to_end(&mut bytes);
                bytes
            })
        }
        if let Some(mut stdin) = child.stdin.take() {
            let order = serde_json::to_vec(order).unwrap_or_default();
            // A child that exits before reading is detected by its exit status.
            thread::spawn(move || stdin.write_all(&order));
        }
        Self {
            stdout: child.stdout.take().map(drain),
            stderr: child.stderr.take().map(drain),
        }
    }

    fn end(self) -> (Vec<Line>, String) {
        let text = |thread: Option<thread::JoinHandle<Vec<u8>>>| {
            let bytes = thread.and_then(|thread| thread.join().ok());
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        };
        let lines = text(self.stdout);
        let lines = lines
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let stderr = text(self.stderr);
        let last_words = stderr.lines().filter(|line| !log::relayed(line));
        (lines.collect(), last_words.collect::<Vec<_>>().join("\n"))
    }
}

/// Waits for the child and kills it at the limit. Returns true if it exited by itself.
fn wait(child: &mut Child, time: Duration) -> std::io::Result<(ExitStatus, bool)> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, true));
        }
        if started.elapsed() > time {
            child.kill()?;
            return Ok((child.wait()?, false));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn judge(
    lines: Vec<Line>,
    stderr: &str,
    status: ExitStatus,
    in_time: bool,
    order: &Order,
) -> Outcome {
    let mut stage = "starting".to_owned();
    for line in lines {
        match line {
            Line::Stage(name) => stage = name,
            Line::Admitted(mut admitted) if status.success() => {
                for warning in &mut admitted.warnings {
                    *warning = printable(warning).into_owned();
                }
                return Outcome::Admitted(admitted);
            }
            Line::Rejected(mut problems) if status.success() => {
                // The child knows neither the stage nor its limits.
                if problems.iter().any(|problem| problem.code == OUT_OF_MEMORY) {
                    problems = vec![out_of_memory(&stage, order)];
                }
                return Outcome::Rejected(problems.into_iter().map(made_printable).collect());
            }
            Line::Admitted(_) | Line::Rejected(_) => {}
        }
    }
    let signal = status.signal().and_then(Signal::from_named_raw);
    if !in_time || signal == Some(Signal::XCPU) {
        return Outcome::OutOfTime(
            Problem::new(
                "model.time_limit",
                format!("took more than {} s while {stage}", order.seconds),
            )
            .help("look for an endless loop or a huge computed constant; raise admission_timeout if the model is only slow"),
        );
    }
    if is_out_of_memory(stderr) {
        return Outcome::Rejected(vec![out_of_memory(&stage, order)]);
    }
    let Some(number) = status.signal() else {
        let last = stderr.trim().lines().last().unwrap_or("no message");
        let last: String = printable(last).chars().take(300).collect();
        return Outcome::Died(Problem::new(
            "model.crash",
            format!("the admission process failed while {stage}: {last}"),
        ));
    };
    let crash = Problem::new(
        "model.crash",
        format!("crashed ({}) while {stage}", signal_name(number)),
    );
    match signal {
        // A process that crashes by itself crashes again.
        Some(Signal::SEGV | Signal::ABORT | Signal::ILL | Signal::FPE | Signal::TRAP) => {
            Outcome::Rejected(vec![crash])
        }
        // The kernel does this when memory runs out, which other processes may have used.
        Some(Signal::KILL) => Outcome::Died(
            Problem::new(
                OUT_OF_MEMORY,
                format!("was killed while {stage}, probably because the machine ran out of memory"),
            )
            .help("lower admission_memory_mib below the machine's free memory"),
        ),
        _ => Outcome::Died(crash),
    }
}

/// Escapes a problem's texts, which quote names from the model.
fn made_printable(problem: Problem) -> Problem {
    let safe = |text: String| printable(&text).into_owned();
    Problem {
        code: problem.code,
        message: safe(problem.message),
        place: problem.place.map(safe),
        help: problem.help.map(safe),
    }
}

fn out_of_memory(stage: &str, order: &Order) -> Problem {
    Problem::new(
        OUT_OF_MEMORY,
        format!(
            "needs more than {} MiB of memory while {stage}",
            order.memory >> 20
        ),
    )
    .help("look for a huge constant, or an output that grows with a value; raise admission_memory_mib if the machine has the memory")
}

fn not_started(error: &std::io::Error) -> Problem {
    Problem::new(
        "admission.not_started",
        format!("cannot start the admission process: {error}"),
    )
}

/// Runs the child's side: reads the order, reports its stages and the verdict.
pub(super) fn answer() -> std::io::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let order: Order = serde_json::from_str(&text)?;
    confine(order.memory, Some(order.seconds))?;
    let send = |line: &Line| -> std::io::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        std::io::stdout().write_all(&line)
    };
    let verdict = admit(&order.request, &mut |stage| {
        // Without a reader the verdict is useless.
        if send(&Line::Stage(stage.to_owned())).is_err() {
            std::process::exit(1);
        }
    });
    send(&match verdict {
        Ok(admitted) => Line::Admitted(Box::new(admitted)),
        Err(problems) => Line::Rejected(problems),
    })
}
