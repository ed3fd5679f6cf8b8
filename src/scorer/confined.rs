//! This executable again, as a separate process with resource limits and without credentials: it
//! admits models, and scores with `isolate`.
//!
//! Its environment has only the variables for finding libraries and locales, its only descriptors
//! are pipes, and it ends with its parent. It is the same user on the same machine: against code
//! that a model injects into ONNX Runtime it protects this process's memory and connections, not
//! the user's files.

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

use super::{error_text::is_out_of_memory, runtime::NO_TELEMETRY};
use crate::domain::printable::printable;

/// Environment variables that the process keeps.
const KEPT: [&str; 5] = ["LD_LIBRARY_PATH", "LOCPATH", "LANG", "LC_ALL", "LC_CTYPE"];

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Sets the executable to start, for a process that uses helenus as a library. Only the first call
/// has an effect.
pub fn use_program(path: impl Into<PathBuf>) {
    let _ = PROGRAM.set(path.into());
}

/// Returns the executable: by default this one, or that of [`use_program`].
pub(super) fn program() -> PathBuf {
    // Remains valid if a newer file replaces the one on disk.
    PROGRAM
        .get()
        .cloned()
        .unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// Returns the command that starts it with hidden subcommand `word`; all three streams are pipes.
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
        // An arena per thread would reserve address space that counts toward the limit.
        .env("MALLOC_ARENA_MAX", "2")
        .env(NO_TELEMETRY, "1")
        // Ctrl-C at a terminal is for the parent, which shuts down in order.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the child's side if this executable was called with a hidden subcommand. Returns `None` if
/// it was not.
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
    super::log::to_stderr();
    Some(match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

/// Permanently drops everything that a model does not need.
///
/// `memory` is the limit on address space in bytes, `seconds` the limit on processor time.
pub(super) fn confine(memory: u64, seconds: Option<u64>) -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    close_inherited()?;
    limit(Resource::Core, 0)?;
    // No file can grow; pipes are not files.
    limit(Resource::Fsize, 0)?;
    limit(Resource::As, memory)?;
    if let Some(seconds) = seconds {
        // At the hard limit the kernel kills without a reason; at the soft one it sends XCPU.
        limit_softly(Resource::Cpu, seconds, seconds + 2)?;
    }
    Ok(())
}

/// Prevents opening any further file or socket.
pub(super) fn forbid_opening() -> std::io::Result<()> {
    limit(Resource::Nofile, 3)
}

/// Closes descriptors that an ancestor process left open and did not mark close-on-exec.
fn close_inherited() -> std::io::Result<()> {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect();
    for descriptor in open {
        // Except the descriptor of the directory listing itself.
        if std::fs::read_link(format!("/proc/self/fd/{descriptor}")).is_ok() {
            // SAFETY: it is open, and this runs before this process has opened anything itself, so
            // no descriptor above the three streams has an owner in this process.
            unsafe { rustix::io::close(descriptor) };
        }
    }
    Ok(())
}

fn limit(resource: Resource, value: u64) -> std::io::Result<()> {
    limit_softly(resource, value, value)
}

fn limit_softly(resource: Resource, soft: u64, hard: u64) -> std::io::Result<()> {
    // A lower limit that was set for all of helenus remains in force.
    let before = getrlimit(resource).maximum;
    let within = |value: u64| Some(before.map_or(value, |maximum| maximum.min(value)));
    let limit = Rlimit {
        current: within(soft),
        maximum: within(hard),
    };
    Ok(setrlimit(resource, limit)?)
}

/// Returns the cause of a crash: `segmentation fault`, `out of memory (aborted)`.
pub(super) fn exit_cause(status: ExitStatus, stderr: &str) -> String {
    use std::os::unix::process::ExitStatusExt;
    let Some(signal) = status.signal() else {
        let last = stderr.trim().lines().last().unwrap_or("no message");
        return printable(last).chars().take(300).collect();
    };
    let name = signal_name(signal);
    match is_out_of_memory(stderr) {
        true => format!("out of memory ({name})"),
        false => name,
    }
}

pub(super) fn signal_name(number: i32) -> String {
    match number {
        4 => "illegal instruction".to_owned(),
        6 => "aborted".to_owned(),
        7 => "bus error".to_owned(),
        8 => "arithmetic exception".to_owned(),
        9 => "killed from outside, perhaps for lack of memory".to_owned(),
        11 => "segmentation fault".to_owned(),
        other => format!("signal {other}"),
    }
}
