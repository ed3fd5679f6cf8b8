//! This process among others: its name in lease rows, the clock that leases are watched by.

use std::{fs, sync::OnceLock, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

/// Time since boot, asleep or awake (CLOCK_BOOTTIME): what leases are timed by. Never steps.
pub fn boot_time() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// This process as lease rows name it: `host/boot/pid namespace/pid/start`, where `boot` is the
/// kernel's boot id and `start` the process's start time in clock ticks since boot.
///
/// Whoever reads it on the same machine can tell whether the process is gone ([`is_gone`]).
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

/// The part of an [`identity`] that people read: `host pid`.
pub fn spoken(identity: &str) -> String {
    match identity.split('/').collect::<Vec<_>>().as_slice() {
        [host, _, _, pid, _] => format!("{host} pid {pid}"),
        _ => identity.to_owned(),
    }
}

/// Whether that process is provably gone: it ran on this boot of this machine, in this pid
/// namespace, and its pid is free or was given to another process since. `false` when unsure.
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
    let (Ok(pid), Ok(start)) = (pid.parse::<u32>(), start.parse::<u64>()) else {
        return false;
    };
    match fs::metadata(format!("/proc/{pid}")) {
        Err(error) => {
            error.kind() == std::io::ErrorKind::NotFound
                && start_ticks(std::process::id()).is_some()
        }
        Ok(_) => start_ticks(pid).is_some_and(|ticks| ticks != start),
    }
}

/// A timeuuid of now, of a node that is no IEEE 802 address (RFC 9562, 6.10).
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

/// Who works here: `user@host`.
pub fn user() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    format!(
        "{}@{}",
        user.unwrap_or_else(|_| "somebody".to_owned()),
        host()
    )
}

/// This machine's name.
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

/// Field 22 of `/proc/<pid>/stat` (proc(5)). The name in field 2 may hold spaces and parentheses.
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
    fn the_clock_goes_on() {
        assert!(boot_time() <= boot_time());
    }
}
