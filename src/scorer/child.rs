//! The admission process: this executable again, with limits and without credentials.
//!
//! Small files exist that crash ONNX Runtime, never end, or take all memory while a session is
//! created, so none is created here before a process of its own survived it.

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
    confined::{command, confine, is_out_of_memory, program, signal_name},
};
use crate::domain::{model::Admitted, problem::Problem};

/// The hidden subcommand.
pub const WORD: &str = "__admit";
const MAX_ANSWER: u64 = 64 << 20;

/// What the admission process may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The executable; by default this one, or that of [`use_program`].
    pub program: PathBuf,
    /// Wall-clock and processor time for a small model; one second more for each 8 MiB.
    pub time: Duration,
    /// Address space for a small model, in bytes; four times the model's size more.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            program: program(),
            time: Duration::from_secs(60),
            memory: 4 << 30,
        }
    }
}

/// How the admission process ended.
#[derive(Debug)]
pub enum Outcome {
    /// May score.
    Admitted(Box<Admitted>),
    /// May not; all problems.
    Rejected(Vec<Problem>),
    /// Crashed or hit a limit: perhaps the model's fault, perhaps the machine's. Twice is the
    /// model's.
    Died(Problem),
}

impl Outcome {
    /// The verdict when there is no second chance: a death is a rejection.
    pub fn verdict(self) -> Result<Admitted, Vec<Problem>> {
        match self {
            Self::Admitted(admitted) => Ok(*admitted),
            Self::Rejected(problems) => Err(problems),
            Self::Died(problem) => Err(vec![problem]),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    request: Request,
    seconds: u64,
    memory: u64,
}

/// A line of the child's standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Stage(String),
    Admitted(Box<Admitted>),
    Rejected(Vec<Problem>),
}

/// Has a child decide, and waits for it. Blocks for as long as the limits allow.
///
/// # Errors
/// When no child could be started, or ONNX Runtime's library not be loaded: that says nothing about
/// the model.
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

/// The threads that talk to the child: it must never wait for us, nor we for it.
struct Talk {
    stdout: Option<thread::JoinHandle<Vec<u8>>>,
    stderr: Option<thread::JoinHandle<Vec<u8>>>,
}

impl Talk {
    fn with(child: &mut Child, order: &Order) -> Self {
        fn drain(pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                // What was read before an error is what there is.
                let _ = pipe.take(MAX_ANSWER).read_to_end(&mut bytes);
                bytes
            })
        }
        if let Some(mut stdin) = child.stdin.take() {
            let order = serde_json::to_vec(order).unwrap_or_default();
            // A child that died before reading is found out by its exit status.
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
        (lines.collect(), text(self.stderr))
    }
}

/// Waits, and kills at the limit. True when it ended by itself.
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
            Line::Admitted(admitted) if status.success() => return Outcome::Admitted(admitted),
            Line::Rejected(problems) if status.success() => return Outcome::Rejected(problems),
            Line::Admitted(_) | Line::Rejected(_) => {}
        }
    }
    let seconds = order.seconds;
    let out_of_memory = is_out_of_memory(stderr);
    let signal = status.signal();
    let problem = if !in_time || signal == Some(Signal::XCPU.as_raw()) {
        Problem::new("model.time_limit", format!("took more than {seconds} s while {stage}"))
            .help("the limit is admission_timeout; an endless loop or an exploding constant would look like this")
    } else if out_of_memory {
        Problem::new(
            "model.memory_limit",
            format!(
                "took more than {} MiB of memory while {stage}",
                order.memory >> 20
            ),
        )
        .help("the limit is admission_memory_mib; a huge constant would look like this")
    } else if let Some(signal) = signal {
        Problem::new(
            "model.crash",
            format!("crashed ({}) while {stage}", signal_name(signal)),
        )
    } else {
        let last = stderr.trim().lines().last().unwrap_or("without a word");
        let last: String = last.chars().take(300).collect();
        Problem::new(
            "model.crash",
            format!("the admission process gave up while {stage}: {last}"),
        )
    };
    Outcome::Died(problem)
}

fn not_started(error: &std::io::Error) -> Problem {
    Problem::new(
        "admission.not_started",
        format!("the admission process could not be started: {error}"),
    )
}

/// The child's side: reads the order, says how far it is, and its verdict.
pub(super) fn answer() -> std::io::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let order: Order = serde_json::from_str(&text)?;
    confine(order.memory, Some(order.seconds))?;
    let say = |line: &Line| -> std::io::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        std::io::stdout().write_all(&line)
    };
    let verdict = admit(&order.request, &mut |stage| {
        // Without a reader there is nobody to decide for.
        if say(&Line::Stage(stage.to_owned())).is_err() {
            std::process::exit(1);
        }
    });
    say(&match verdict {
        Ok(admitted) => Line::Admitted(Box::new(admitted)),
        Err(problems) => Line::Rejected(problems),
    })
}
