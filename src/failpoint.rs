//! Named places where a test may end or freeze this process.
//!
//! Without the feature `failpoints`, as in every release, [`hit`] is nothing at all. With it, the
//! environment says what happens where: `HELENUS_FAILPOINTS="after_claim=kill;mid_split=stop:3"`
//! kills the process (SIGKILL) when it first comes by `after_claim`, and freezes it (SIGSTOP) when
//! it comes by `mid_split` for the third time.

/// The process comes by the place `name`.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &'static str) {}

#[cfg(feature = "failpoints")]
pub use on::hit;

#[cfg(feature = "failpoints")]
mod on {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    };

    use rustix::process::{Signal, getpid, kill_process};

    struct Failpoint {
        name: String,
        signal: Signal,
        /// How often the process must come by.
        at: u32,
        passed: AtomicU32,
    }

    /// The process comes by the place `name`.
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
                if let Err(error) = kill_process(getpid(), failpoint.signal) {
                    panic!("failpoint {name}: {error}");
                }
            }
        }
    }

    fn parse(entry: &str) -> Failpoint {
        let bad = || -> ! { panic!("HELENUS_FAILPOINTS: `{entry}` is no NAME=kill|stop[:N]") };
        let (name, action) = entry.split_once('=').unwrap_or_else(|| bad());
        let (action, at) = action.split_once(':').unwrap_or((action, "1"));
        Failpoint {
            name: name.to_owned(),
            signal: match action {
                "kill" => Signal::KILL,
                "stop" => Signal::STOP,
                _ => bad(),
            },
            at: at.parse().unwrap_or_else(|_| bad()),
            passed: AtomicU32::new(0),
        }
    }
}
