//! ONNX Runtime's messages, through `tracing`, target `onnxruntime`. Each message is logged once,
//! then once a minute with the number of repetitions: a model can cause one at every call.
//!
//! A separate process has no log: it writes the messages to its stderr, marked, and its parent logs
//! them ([`relayed`]).

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ort::logging::LogLevel;

use crate::domain::printable::printable;

/// Minimum time between two logs of one message.
const REST: Duration = Duration::from_secs(60);
/// Maximum number of distinct messages; all others count as one.
const KINDS: usize = 256;
const MOST: usize = 2_000;
const MARK: &str = "onnxruntime: ";

static TO_STDERR: AtomicBool = AtomicBool::new(false);
static LOGGED: Mutex<Option<LoggedMessages>> = Mutex::new(None);

/// Writes messages to stderr, for a process whose parent reads it.
pub(super) fn to_stderr() {
    TO_STDERR.store(true, Ordering::Relaxed);
}

/// Handles a message of the library.
pub(super) fn log(level: LogLevel, _category: &str, _id: &str, _at: &str, message: &str) {
    let level = match level {
        LogLevel::Verbose => Level::Trace,
        LogLevel::Info => Level::Debug,
        // Advice about the export; errors are returned as errors and reported there.
        LogLevel::Warning | LogLevel::Error => Level::Info,
        LogLevel::Fatal => Level::Error,
    };
    emit(level, message);
}

/// Logs a line of a process's stderr if it is ONNX Runtime's; returns whether it was.
pub(super) fn relayed(line: &str) -> bool {
    let Some((level, message)) = line
        .strip_prefix(MARK)
        .and_then(|rest| Some((Level::from_letter(rest.chars().next()?)?, rest.get(2..)?)))
    else {
        return false;
    };
    emit(level, message);
    true
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Trace,
    Debug,
    Info,
    Error,
}

impl Level {
    const ALL: [(Self, char); 4] = [
        (Self::Trace, 'T'),
        (Self::Debug, 'D'),
        (Self::Info, 'I'),
        (Self::Error, 'E'),
    ];

    fn from_letter(letter: char) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|one| one.1 == letter).map(|one| one.0)
    }

    fn letter(self) -> char {
        let mut all = Self::ALL.iter();
        all.find(|one| one.0 == self).map_or('I', |one| one.1)
    }
}

fn emit(level: Level, message: &str) {
    let mut said = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    let again = said
        .get_or_insert_with(LoggedMessages::default)
        .again(message, Instant::now());
    drop(said);
    let Some(dropped) = again else { return };
    let message: String = printable(message).chars().take(MOST).collect();
    if TO_STDERR.load(Ordering::Relaxed) {
        eprintln!("{MARK}{} {message}", level.letter());
        return;
    }
    match level {
        Level::Trace => tracing::trace!(target: "onnxruntime", dropped, "{message}"),
        Level::Debug => tracing::debug!(target: "onnxruntime", dropped, "{message}"),
        Level::Info => tracing::info!(target: "onnxruntime", dropped, "{message}"),
        Level::Error => tracing::error!(target: "onnxruntime", dropped, "{message}"),
    }
}

/// Logged messages, without their numbers.
#[derive(Debug, Default)]
struct LoggedMessages(HashMap<String, (Instant, u64)>);

impl LoggedMessages {
    /// Returns how many repetitions were dropped since the last log, if the message is to be logged
    /// now.
    fn again(&mut self, message: &str, now: Instant) -> Option<u64> {
        let mut kind = kind_of(message);
        if self.0.len() >= KINDS && !self.0.contains_key(&kind) {
            kind = String::new();
        }
        match self.0.get_mut(&kind) {
            Some((at, dropped)) if now.duration_since(*at) < REST => {
                *dropped += 1;
                None
            }
            Some((at, dropped)) => {
                *at = now;
                Some(std::mem::take(dropped))
            }
            None => {
                self.0.insert(kind, (now, 0));
                Some(0)
            }
        }
    }
}

/// Replaces numbers: `{-1,1} does not match {64,3}` is the same kind as `{-1,1} does not match
/// {7,3}`.
fn kind_of(message: &str) -> String {
    let mut kind = String::new();
    for c in message.chars().take(MOST) {
        match c.is_ascii_digit() {
            true if kind.ends_with('#') => {}
            true => kind.push('#'),
            false => kind.push(c),
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_every_call_is_said_once_a_minute_and_counted() {
        let mut said = LoggedMessages::default();
        let begun = Instant::now();
        let shape = |rows: usize| {
            format!("Expected shape from model of {{1}} does not match actual shape of {{{rows}}}")
        };
        assert_eq!(said.again(&shape(64), begun), Some(0));
        for rows in 0..1_000 {
            assert_eq!(said.again(&shape(rows), begun), None);
        }
        assert_eq!(said.again("another", begun), Some(0));
        let later = begun + REST;
        assert_eq!(said.again(&shape(7), later), Some(1_000));
        assert_eq!(said.again(&shape(7), later + REST), Some(0));
    }

    #[test]
    fn messages_without_end_take_no_memory_without_end() {
        let mut said = LoggedMessages::default();
        let now = Instant::now();
        let name = |at: usize| "x".repeat(at);
        let told = (1..1_000).filter(|at| said.again(&name(*at), now).is_some());
        assert_eq!(told.count(), KINDS + 1);
        assert!(said.0.len() <= KINDS + 1);
    }

    #[test]
    fn only_marked_lines_are_passed_on() {
        assert!(relayed("onnxruntime: I Expected shape from model of {1}"));
        for line in [
            "terminate called",
            "onnxruntime: ",
            "onnxruntime: X y",
            "onnxruntime: I",
        ] {
            assert!(!relayed(line), "{line}");
        }
    }
}
