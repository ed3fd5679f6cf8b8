//! This executable again, as a process of its own with limits and without credentials: what looks
//! at a model before it is admitted, and what scores with `isolate`.
//!
//! It gets no environment but how libraries and locales are found, no descriptor but its pipes, and
//! ends with its parent. It is the same user on the same machine: against code that a model smuggles
//! into ONNX Runtime it keeps this process's memory and connections, not the user's files.

use std::{
    ffi::OsStr,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode, ExitStatus, Stdio},
    sync::OnceLock,
};

use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit,
};

use super::runtime::NO_TELEMETRY;

/// What the process keeps of the environment.
const KEPT: [&str; 5] = ["LD_LIBRARY_PATH", "LOCPATH", "LANG", "LC_ALL", "LC_CTYPE"];

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Which executable is started, in a process that has helenus as a library. Only the first call counts.
pub fn use_program(path: impl Into<PathBuf>) {
    let _ = PROGRAM.set(path.into());
}

/// The executable; by default this one, or that of [`use_program`].
pub(super) fn program() -> PathBuf {
    // Also right after the file on disk was replaced by a newer one.
    PROGRAM
        .get()
        .cloned()
        .unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// The command that starts it with the hidden subcommand `word`, all three streams being pipes.
pub(super) fn command(program: &OsStr, word: &str) -> Command {
    let kept = KEPT
        .iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut command = Command::new(program);
    command
        .arg0("helenus")
        .arg(word)
        .env_clear()
        .envs(kept)
        // One arena a thread reserves address space that the limit would count.
        .env("MALLOC_ARENA_MAX", "2")
        .env(NO_TELEMETRY, "1")
        // Ctrl-C at a terminal is for the parent, which ends its work in order.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The child's side, when this executable was called with a hidden subcommand: never returns to the
/// command line. `None` when it was called otherwise.
pub fn take_over() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let (word, None) = (arguments.next()?, arguments.next()) else {
        return None;
    };
    let answer = match word.to_str()? {
        super::child::WORD => super::child::answer,
        super::isolate::WORD => super::isolate::inside::serve,
        _ => return None,
    };
    Some(match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

/// Gives up everything that a model has no need of, for good.
///
/// `memory` is address space in bytes, `seconds` processor time.
pub(super) fn confine(memory: u64, seconds: Option<u64>) -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    close_strangers()?;
    limit(Resource::Core, 0)?;
    // No file can grow; pipes are none.
    limit(Resource::Fsize, 0)?;
    limit(Resource::As, memory)?;
    if let Some(seconds) = seconds {
        limit(Resource::Cpu, seconds)?;
    }
    Ok(())
}

/// No file and no socket can be opened from here on.
pub(super) fn open_nothing() -> std::io::Result<()> {
    limit(Resource::Nofile, 3)
}

/// Closes what the parent, or whoever started that one, had open and did not mark close-on-exec.
fn close_strangers() -> std::io::Result<()> {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect();
    for descriptor in open {
        // Not the one that the listing itself was read from.
        if std::fs::read_link(format!("/proc/self/fd/{descriptor}")).is_ok() {
            // SAFETY: it is open, and runs before this process has opened anything of its own, so
            // no descriptor above the three streams belongs to anybody here.
            unsafe { rustix::io::close(descriptor) };
        }
    }
    Ok(())
}

fn limit(resource: Resource, value: u64) -> std::io::Result<()> {
    // A lower limit that somebody set for all of helenus stands.
    let value = getrlimit(resource)
        .maximum
        .map_or(value, |maximum| maximum.min(value));
    let limit = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    Ok(setrlimit(resource, limit)?)
}

/// How a process ended that should not have: `segmentation fault`, `out of memory (aborted)`.
pub(super) fn cause_of_death(status: ExitStatus, stderr: &str) -> String {
    use std::os::unix::process::ExitStatusExt;
    let Some(signal) = status.signal() else {
        let last = stderr.trim().lines().last().unwrap_or("without a word");
        return last.chars().take(300).collect();
    };
    let name = signal_name(signal);
    match is_out_of_memory(stderr) {
        true => format!("out of memory ({name})"),
        false => name,
    }
}

/// Whether an allocator's last words stand in `stderr`.
pub(super) fn is_out_of_memory(stderr: &str) -> bool {
    ["memory allocation of", "bad_alloc"]
        .iter()
        .any(|sign| stderr.contains(sign))
}

pub(super) fn signal_name(number: i32) -> String {
    match number {
        4 => "illegal instruction".to_owned(),
        6 => "aborted".to_owned(),
        7 => "bus error".to_owned(),
        8 => "arithmetic exception".to_owned(),
        9 => "killed from outside, perhaps for want of memory".to_owned(),
        11 => "segmentation fault".to_owned(),
        other => format!("signal {other}"),
    }
}
