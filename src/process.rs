//! The identity of this process in lease rows, and the clock that leases use.

use std::{fs, sync::OnceLock, time::Duration};

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
    time::{ClockId, clock_gettime},
};
use uuid::Uuid;

/// Returns the time since boot, including suspend (CLOCK_BOOTTIME). Leases use it: it never steps.
pub fn boot_time() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// Returns the identity of this process in lease rows: `host/boot/pid namespace/pid/start`, where
/// `boot` is the kernel's boot id and `start` the process's start time in clock ticks since boot.
///
/// Another process on the same machine can tell from it whether this process is gone ([`is_gone`]).
pub fn identity() -> &'static str {
    static IDENTITY: OnceLock<String> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let pid = std::process::id();
        format!(
            "{}/{}/{}/{pid}/{}",
            host(),
            boot_id(),
            pid_namespace(),
            start_ticks(pid).unwrap_or_default()
        )
    })
}

/// Returns the part of an [`identity`] for people: `HOST pid N`.
pub fn readable(identity: &str) -> String {
    match identity.split('/').collect::<Vec<_>>().as_slice() {
        [host, _, _, pid, _] => format!("{host} pid {pid}"),
        _ => identity.to_owned(),
    }
}

/// Returns whether that process is provably gone: it ran on this boot of this machine, in this pid
/// namespace, and its pid is free or was reused. Returns `false` when unsure.
///
/// `/proc` alone is no proof: mounted with `hidepid=2` it hides the processes of other users.
pub fn is_gone(identity: &str) -> bool {
    let parts: Vec<_> = identity.split('/').collect();
    let [_, boot, namespace, pid, start] = parts.as_slice() else {
        return false;
    };
    if boot.is_empty()
        || *boot != boot_id()
        || namespace.is_empty()
        || *namespace != pid_namespace()
    {
        return false;
    }
    let (Ok(raw), Ok(start)) = (pid.parse::<i32>(), start.parse::<u64>()) else {
        return false;
    };
    let Some(pid) = Pid::from_raw(raw) else {
        return false;
    };
    proves_gone(
        test_kill_process(pid),
        start_ticks(raw.unsigned_abs()),
        start,
    )
}

/// Judges the kernel's facts about a pid: the result of signalling it, and when its process started
/// (`None` if `/proc` does not show it). `start` is the recorded start time; 0 if it was unknown.
fn proves_gone(signal: rustix::io::Result<()>, runs_since: Option<u64>, start: u64) -> bool {
    // SRCH: no such process. PERM ("not permitted") means that the process exists.
    signal == Err(Errno::SRCH) || start != 0 && runs_since.is_some_and(|since| since != start)
}

/// Returns a timeuuid of now, with a random node id that is not an IEEE 802 address (RFC 9562, 6.10).
pub fn timeuuid() -> Uuid {
    static NODE: OnceLock<[u8; 6]> = OnceLock::new();
    let node = NODE.get_or_init(|| {
        let random = Uuid::new_v4();
        let bytes = random.as_bytes();
        [
            bytes[0] | 1,
            bytes[1],
            bytes[2],
            bytes[3],
            bytes[4],
            bytes[5],
        ]
    });
    Uuid::now_v1(node)
}

/// Returns the current user as `user@host`, as every row names who wrote it.
pub fn user() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| format!("uid{}", rustix::process::getuid().as_raw()));
    format!("{user}@{}", host())
}

/// Returns this machine's name.
pub fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .replace('/', "_")
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

fn pid_namespace() -> String {
    fs::read_link("/proc/self/ns/pid")
        .map(|link| {
            let link = link.to_string_lossy();
            link.chars().filter(char::is_ascii_digit).collect()
        })
        .unwrap_or_default()
}

/// Returns field 22 of `/proc/<pid>/stat` (proc(5)). Field 2, the name, may have spaces and
/// parentheses.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_not_gone_and_an_ended_one_is() {
        assert!(!is_gone(identity()), "{}", identity());
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let parts: Vec<_> = identity().split('/').collect();
        let start = start_ticks(child.id()).unwrap();
        let childs = [
            parts[0],
            parts[1],
            parts[2],
            &child.id().to_string(),
            &start.to_string(),
        ]
        .join("/");
        assert!(!is_gone(&childs));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_gone(&childs));
    }

    #[test]
    fn a_pid_given_to_another_process_since_is_gone_and_another_boot_is_unsure() {
        let parts: Vec<_> = identity().split('/').collect();
        let other_start = [parts[0], parts[1], parts[2], parts[3], "1"].join("/");
        assert!(is_gone(&other_start));
        let other_boot = [parts[0], "another", parts[2], "4194305", "1"].join("/");
        assert!(!is_gone(&other_boot));
        assert!(!is_gone("somebody"));
    }

    #[test]
    fn a_process_that_proc_hides_is_not_gone() {
        // With hidepid=2: a process of another user, which we are not permitted to signal.
        assert!(!proves_gone(Err(Errno::PERM), None, 77));
        // Permitted, because we are root in a container that can't see it.
        assert!(!proves_gone(Ok(()), None, 77));
        assert!(!proves_gone(Ok(()), Some(77), 77));
        assert!(proves_gone(Err(Errno::SRCH), None, 77));
        assert!(proves_gone(Err(Errno::PERM), Some(78), 77));
        // Without a recorded start time the pid alone is no proof.
        assert!(!proves_gone(Ok(()), Some(78), 0));
    }

    #[test]
    fn the_clock_goes_on() {
        assert!(boot_time() <= boot_time());
    }
}
