//! Named points where a test can kill or freeze this process.
//!
//! Without the feature `failpoints`, as in every release, [`hit`] does nothing. With it, the
//! environment defines what happens: `HELENUS_FAILPOINTS="after_claim=kill;mid_split=stop:3"` kills
//! the process (SIGKILL) when it first reaches `after_claim`, and freezes it (SIGSTOP) when it
//! reaches `mid_split` for the third time. `wait` blocks the thread for six seconds while the process
//! continues.
//!
//! [`obey`] does in whatever process decodes a content what its last bytes say, also in one without
//! this environment.

/// Marks the point `name`.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &'static str) {}

/// Does what the end of a content says: `failpoint:crash` aborts this process, `failpoint:memory`
/// takes all of its memory, and `failpoint:hang` blocks the thread for ever.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn obey(_content: &[u8]) {}

#[cfg(feature = "failpoints")]
pub use on::{hit, obey};

#[cfg(feature = "failpoints")]
mod on {
    use std::{
        sync::{
            OnceLock,
            atomic::{AtomicU32, Ordering},
        },
        time::{Duration, Instant},
    };

    use rustix::process::{Signal, getpid, kill_process};

    /// Three lease times of the tests.
    const WAIT: Duration = Duration::from_secs(6);
    /// Longest time until a signal to this process acts. It goes to the main thread, and on a busy
    /// machine the others run on until that one has its turn.
    const ACTS: Duration = Duration::from_secs(1);

    struct Failpoint {
        name: String,
        /// The signal to send; `None` blocks the thread.
        signal: Option<Signal>,
        /// The visit at which it acts, counted from 1.
        at: u32,
        passed: AtomicU32,
        /// When the signal was sent.
        sent: OnceLock<Instant>,
    }

    /// Marks the point `name`.
    pub fn hit(name: &'static str) {
        static FAILPOINTS: OnceLock<Vec<Failpoint>> = OnceLock::new();
        let failpoints = FAILPOINTS.get_or_init(|| {
            let text = std::env::var("HELENUS_FAILPOINTS").unwrap_or_default();
            let entries = text.split(';').filter(|entry| !entry.is_empty());
            entries.map(parse).collect()
        });
        for failpoint in failpoints.iter().filter(|point| point.name == name) {
            if failpoint.passed.fetch_add(1, Ordering::SeqCst) + 1 == failpoint.at {
                eprintln!("failpoint {name}: {:?}", failpoint.signal);
                let Some(signal) = failpoint.signal else {
                    std::thread::sleep(WAIT);
                    continue;
                };
                failpoint.sent.get_or_init(Instant::now);
                if let Err(error) = kill_process(getpid(), signal) {
                    panic!("failpoint {name}: {error}");
                }
            }
            // Nobody passes the point meanwhile. After a stop the time is over.
            if let Some(sent) = failpoint.sent.get() {
                std::thread::sleep(ACTS.saturating_sub(sent.elapsed()));
            }
        }
    }

    /// Does what the end of a content says.
    pub fn obey(content: &[u8]) {
        if content.ends_with(b"failpoint:crash") {
            std::process::abort();
        }
        if content.ends_with(b"failpoint:hang") {
            loop {
                std::thread::sleep(WAIT);
            }
        }
        if content.ends_with(b"failpoint:memory") {
            let mut taken = Vec::new();
            loop {
                taken.push(std::hint::black_box(vec![0_u8; 64 << 20]));
            }
        }
    }

    fn parse(entry: &str) -> Failpoint {
        let bad = || -> ! {
            panic!("invalid HELENUS_FAILPOINTS entry `{entry}`: use NAME=kill|stop|wait[:N]")
        };
        let (name, action) = entry.split_once('=').unwrap_or_else(|| bad());
        let (action, at) = action.split_once(':').unwrap_or((action, "1"));
        Failpoint {
            name: name.to_owned(),
            signal: match action {
                "kill" => Some(Signal::KILL),
                "stop" => Some(Signal::STOP),
                "wait" => None,
                _ => bad(),
            },
            at: at.parse().unwrap_or_else(|_| bad()),
            passed: AtomicU32::new(0),
            sent: OnceLock::new(),
        }
    }
}
