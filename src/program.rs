//! Runs a program that the settings name, within limits.
//!
//! It gets a process group of its own, which is killed as a whole when the time is over or the
//! future is dropped. Its environment is what is given here and nothing else: neither passwords nor
//! addresses of Cassandra reach it. It dies with the process that started it.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getrlimit, kill_process_group, set_parent_process_death_signal,
    setrlimit,
};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};

/// Environment variables of this process that the program keeps.
const KEPT: [&str; 8] = [
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
];

/// A program and its limits.
#[derive(Debug, Default)]
pub struct Program {
    /// The executable and its arguments.
    pub words: Vec<String>,
    /// Further environment variables.
    pub environment: Vec<(String, OsString)>,
    /// Working directory; this process's if `None`.
    pub directory: Option<PathBuf>,
    /// Sent to its standard input, which then ends.
    pub input: Vec<u8>,
    /// File that gets its standard output and error; both are discarded if `None`.
    pub log: Option<PathBuf>,
    /// Limit on address space in bytes, of each of its processes.
    pub max_memory: Option<u64>,
    pub time_limit: Duration,
}

/// How a program ended.
#[derive(Debug)]
pub enum Ended {
    /// It exited, or a signal ended it.
    Exited(ExitStatus),
    /// Its time was over, and it was killed.
    TimedOut,
}

/// Kills the group when dropped: children of the program must not outlive it.
struct ProcessGroup(Option<Pid>);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // Without a process in it, the group does not exist any more.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Program {
    /// Runs the program to its end. Call it on a thread that lives as long as this process: the
    /// kernel ends the program with the thread that started it.
    ///
    /// # Errors
    /// It could not be started, or its log not written.
    pub async fn run(&self) -> io::Result<Ended> {
        let mut child = self.start()?;
        let _group = ProcessGroup(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let stdin = child.stdin.take();
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program that does not read its input is judged by its exit status.
                let _ = stdin.write_all(&self.input).await;
            }
        };
        let run = async { tokio::join!(write, child.wait()).1 };
        match tokio::time::timeout(self.time_limit, run).await {
            Ok(status) => status.map(Ended::Exited),
            Err(_) => Ok(Ended::TimedOut),
        }
    }

    fn start(&self) -> io::Result<Child> {
        let (name, arguments) = self.words.split_first().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the command has no words")
        })?;
        let kept = KEPT
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut command = Command::new(name);
        command
            .args(arguments)
            .env_clear()
            .envs(kept)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::piped());
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let [stdout, stderr] = self.streams()?;
        command.stdout(stdout).stderr(stderr);
        let max_memory = self.max_memory;
        // SAFETY: between fork and exec only system calls are made, which are async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                limit(Resource::Core, 0)?;
                max_memory.map_or(Ok(()), |bytes| limit(Resource::As, bytes))
            });
        }
        command.spawn()
    }

    fn streams(&self) -> io::Result<[Stdio; 2]> {
        let Some(log) = &self.log else {
            return Ok([Stdio::null(), Stdio::null()]);
        };
        let file = std::fs::File::create(log)?;
        Ok([file.try_clone()?.into(), file.into()])
    }
}

fn limit(resource: Resource, value: u64) -> io::Result<()> {
    // A lower limit that was set for all of helenus remains in force.
    let maximum = getrlimit(resource).maximum;
    let value = Some(maximum.map_or(value, |maximum| maximum.min(value)));
    let limit = Rlimit {
        current: value,
        maximum: value,
    };
    Ok(setrlimit(resource, limit)?)
}

/// Returns the last `max` bytes of a file as text; empty if it cannot be read.
pub fn tail(path: &Path, max: usize) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(max as u64)))?;
        let mut bytes = Vec::new();
        file.take(max as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    // A character that was cut in two.
    text.trim_start_matches('\u{fffd}').trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program {
            words: ["sh", "-c", script].map(str::to_owned).to_vec(),
            time_limit: Duration::from_secs(20),
            ..Program::default()
        }
    }

    #[tokio::test]
    async fn it_reads_its_input_and_sees_a_scrubbed_environment() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let program = Program {
            input: b"hello".to_vec(),
            environment: vec![("GIVEN".to_owned(), "yes".into())],
            log: Some(log.clone()),
            ..shell("cat; env | cut -d= -f1 | sort | tr '\\n' ' '")
        };
        let Ended::Exited(status) = program.run().await.unwrap() else {
            panic!("timed out");
        };
        assert!(status.success());
        let text = tail(&log, 10_000);
        assert!(
            text.starts_with("hello") && text.contains("GIVEN"),
            "{text}"
        );
        let names: Vec<&str> = text["hello".len()..].split_whitespace().collect();
        let is_known = |name: &&str| {
            KEPT.contains(name) || ["GIVEN", "PWD", "OLDPWD", "SHLVL", "_"].contains(name)
        };
        assert!(names.iter().all(is_known), "{names:?}");
        assert!(text.ends_with(&tail(&log, 8)));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_killed_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join("mark");
        let program = Program {
            time_limit: Duration::from_millis(300),
            ..shell(&format!("(sleep 2; touch {}) & wait", mark.display()))
        };
        assert!(matches!(program.run().await.unwrap(), Ended::TimedOut));
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert!(!mark.exists());
    }

    #[tokio::test]
    async fn memory_is_limited_and_a_missing_program_is_an_error() {
        let program = Program {
            max_memory: Some(200 << 20),
            ..shell("exec python3 -c 'x = bytearray(400 << 20)'")
        };
        let Ended::Exited(status) = program.run().await.unwrap() else {
            panic!("timed out");
        };
        assert!(!status.success());
        let missing = Program {
            words: vec!["/no/such/program".to_owned()],
            ..shell("")
        };
        assert!(missing.run().await.is_err());
    }
}
