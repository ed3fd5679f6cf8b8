//! Limit on requests in flight, learned from Cassandra's responses.
//!
//! Two signals, two rules:
//! - **Latency**: Gradient2 of Netflix's concurrency-limits (`Gradient2Limit.java`). It compares
//!   the mean latency of a short window with a long-term average. Up to `TOLERANCE` times that
//!   average, the limit rises by `QUEUE` per window, smoothed; above, it falls with their ratio. The
//!   long-term average follows a new normal, so a server that is merely slower is not starved for
//!   ever.
//! - **Overload**, reported by Cassandra or a timeout: the limit is halved, as in TCP (RFC 5681),
//!   once for all requests that were in flight together, since they show the same overload.
//!
//! Unlike Netflix's, it starts at its upper bound, which an operator has permitted.
//! Latency alone takes it down to about 2 x `QUEUE`, overload to 1.

use std::time::Duration;

/// A window ends after this time and [`SAMPLES`] responses. In shorter windows, garbage collection
/// pauses, which are not load, weigh too much.
const WINDOW: Duration = Duration::from_secs(1);
/// Minimum number of samples for a mean.
const SAMPLES: u32 = 10;
/// Number of windows in the long-term average (Netflix: 600 samples; here a window is one).
const LONG_WINDOWS: f64 = 240.0;
/// Number of windows after which the long-term average begins to forget; until then it is the mean.
const WARM_UP: f64 = 10.0;
/// Ratio to the long-term average up to which the latency is no reason to reduce the limit.
const TOLERANCE: f64 = 1.5;
/// Requests that may queue inside Cassandra: how fast the limit rises (Netflix: 4, which takes more
/// than a minute from the minimum to usual values here).
const QUEUE: f64 = 8.0;
/// Weight of a window's new limit in the smoothed limit.
const SMOOTHING: f64 = 0.2;

/// Outcome of a request, as far as it concerns load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// Success.
    Served,
    /// Cassandra reported overload, or did not answer in time.
    Overloaded,
    /// An error that is unrelated to load.
    Other,
}

/// One completed request.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// When it ended, on any monotonic clock.
    pub at: Duration,
    /// How long it took.
    pub latency: Duration,
    /// Requests in flight when it ended, itself included.
    pub in_flight: usize,
    /// Its outcome.
    pub answer: Response,
}

/// A limit that adapts to the outcomes.
#[derive(Debug)]
pub struct Limiter {
    most: f64,
    limit: f64,
    /// Long-term mean latency in seconds, and the number of its windows.
    long: f64,
    windows: f64,
    window: Window,
    lowered_at: Option<Duration>,
}

#[derive(Debug, Default)]
struct Window {
    began: Option<Duration>,
    samples: u32,
    seconds: f64,
    in_flight: usize,
}

impl Limiter {
    /// Returns a limit between 1 and `most` that starts at `most`.
    pub fn new(most: usize) -> Self {
        let most = most.max(1) as f64;
        Self {
            most,
            limit: most,
            long: 0.0,
            windows: 0.0,
            window: Window::default(),
            lowered_at: None,
        }
    }

    /// Returns the current limit, at least 1.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Adds a completed request. Samples must be in the order of their `at`.
    pub fn learn(&mut self, sample: Sample) {
        match sample.answer {
            Response::Other => {}
            Response::Overloaded => self.halve(sample),
            Response::Served => self.gather(sample),
        }
    }

    fn halve(&mut self, sample: Sample) {
        let sent_at = sample.at.saturating_sub(sample.latency);
        // It was sent before the limit was lowered, so it says nothing about the lower limit.
        if self.lowered_at.is_some_and(|lowered| sent_at < lowered) {
            return;
        }
        self.limit = (self.limit / 2.0).max(1.0);
        self.lowered_at = Some(sample.at);
        self.window = Window::default();
    }

    fn gather(&mut self, sample: Sample) {
        let window = &mut self.window;
        let began = *window.began.get_or_insert(sample.at);
        window.samples += 1;
        window.seconds += sample.latency.as_secs_f64();
        window.in_flight = window.in_flight.max(sample.in_flight);
        if sample.at.saturating_sub(began) >= WINDOW && window.samples >= SAMPLES {
            let short = window.seconds / f64::from(window.samples);
            let in_flight = window.in_flight;
            self.window = Window::default();
            self.adapt(short, in_flight);
        }
    }

    fn adapt(&mut self, short: f64, in_flight: usize) {
        self.windows = (self.windows + 1.0).min(LONG_WINDOWS);
        let share = match self.windows <= WARM_UP {
            true => 1.0 / self.windows,
            false => 2.0 / (LONG_WINDOWS + 1.0),
        };
        self.long += (short - self.long) * share;
        // After a long period of load the average is far too high: let it fall faster.
        if self.long > 2.0 * short {
            self.long *= 0.95;
        }
        // An under-used limit is no evidence of overload, so keep it.
        if (in_flight as f64) < self.limit / 2.0 {
            return;
        }
        let gradient = (TOLERANCE * self.long / short.max(f64::MIN_POSITIVE)).clamp(0.5, 1.0);
        let wanted = self.limit * gradient + QUEUE;
        self.limit = (self.limit * (1.0 - SMOOTHING) + wanted * SMOOTHING).clamp(1.0, self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A server that answers `capacity` requests in `service`, and lets the others queue: by
    /// Little's law latency grows with what is in flight.
    struct Server {
        capacity: usize,
        service: Duration,
        /// More than this in flight is refused.
        refuses_above: usize,
    }

    /// Lets a client that always has work use the limiter for `seconds`; gives the limits seen at
    /// the end of each tenth of a second.
    fn serve(
        limiter: &mut Limiter,
        now: &mut Duration,
        server: &Server,
        seconds: u32,
    ) -> Vec<usize> {
        let mut seen = Vec::new();
        for _ in 0..seconds * 10 {
            let until = *now + 100 * MS;
            while *now < until {
                let in_flight = limiter.limit();
                let rounds = in_flight.div_ceil(server.capacity) as u32;
                let latency = server.service * rounds;
                *now += latency;
                for place in 0..in_flight {
                    let answer = match place < server.refuses_above {
                        true => Response::Served,
                        false => Response::Overloaded,
                    };
                    let (at, latency) = (*now, latency);
                    limiter.learn(Sample {
                        at,
                        latency,
                        in_flight,
                        answer,
                    });
                }
            }
            seen.push(limiter.limit());
        }
        seen
    }

    fn healthy() -> Server {
        Server {
            capacity: 32,
            service: 5 * MS,
            refuses_above: usize::MAX,
        }
    }

    #[test]
    fn a_steady_server_is_sent_all_that_is_allowed() {
        let (mut limiter, mut now) = (Limiter::new(64), Duration::ZERO);
        let seen = serve(&mut limiter, &mut now, &healthy(), 60);
        assert!(seen.iter().all(|limit| *limit == 64), "{seen:?}");
    }

    #[test]
    fn a_server_that_slows_down_is_sent_less_and_again_all_when_it_recovers() {
        let (mut limiter, mut now) = (Limiter::new(64), Duration::ZERO);
        serve(&mut limiter, &mut now, &healthy(), 30);
        let slow = Server {
            service: 50 * MS,
            ..healthy()
        };
        let seen = serve(&mut limiter, &mut now, &slow, 20);
        let least = *seen.iter().min().unwrap();
        assert!((16..=32).contains(&least), "{seen:?}");
        let seen = serve(&mut limiter, &mut now, &healthy(), 60);
        assert_eq!(seen.last(), Some(&64), "{seen:?}");
    }

    #[test]
    fn a_server_that_stays_slow_becomes_the_new_normal() {
        let (mut limiter, mut now) = (Limiter::new(64), Duration::ZERO);
        serve(&mut limiter, &mut now, &healthy(), 10);
        let slow = Server {
            service: 25 * MS,
            ..healthy()
        };
        let seen = serve(&mut limiter, &mut now, &slow, 300);
        assert!(*seen.iter().min().unwrap() < 32, "{seen:?}");
        assert_eq!(seen.last(), Some(&64));
    }

    #[test]
    fn overload_halves_once_for_all_that_was_under_way() {
        let mut limiter = Limiter::new(64);
        let overloaded = |at: u32, latency: u32| Sample {
            at: at * MS,
            latency: latency * MS,
            in_flight: 64,
            answer: Response::Overloaded,
        };
        for at in 100..164 {
            limiter.learn(overloaded(at, 100));
        }
        assert_eq!(limiter.limit(), 32);
        // Sent after the first was answered.
        limiter.learn(overloaded(200, 100));
        assert_eq!(limiter.limit(), 16);
        for at in 3..20 {
            limiter.learn(overloaded(at * 100, 100));
        }
        assert_eq!(limiter.limit(), 1);
    }

    #[test]
    fn the_limit_finds_what_a_server_takes_without_refusing() {
        let (mut limiter, mut now) = (Limiter::new(1024), Duration::ZERO);
        let server = Server {
            refuses_above: 48,
            ..healthy()
        };
        let seen = serve(&mut limiter, &mut now, &server, 60);
        let later = &seen[100..];
        assert!(
            later.iter().all(|limit| (12..=60).contains(limit)),
            "{later:?}"
        );
        let mean = later.iter().sum::<usize>() / later.len();
        assert!(mean > 24, "{mean}");
    }

    #[test]
    fn it_comes_back_from_one_and_never_goes_below() {
        let (mut limiter, mut now) = (Limiter::new(64), Duration::ZERO);
        for _ in 0..20 {
            now += 10 * MS;
            limiter.learn(Sample {
                at: now,
                latency: MS,
                in_flight: 1,
                answer: Response::Overloaded,
            });
        }
        assert_eq!(limiter.limit(), 1);
        // Slower above 32: what it has learned meanwhile is how quick few requests are.
        let seen = serve(&mut limiter, &mut now, &healthy(), 120);
        assert_eq!(seen.last(), Some(&64), "{seen:?}");
    }

    #[test]
    fn who_uses_little_learns_nothing_about_more() {
        let mut limiter = Limiter::new(64);
        for at in 0..10_000 {
            // Ten times as slow in the second half.
            let latency = if at < 5_000 { 2 * MS } else { 20 * MS };
            limiter.learn(Sample {
                at: at * 5 * MS,
                latency,
                in_flight: 4,
                answer: Response::Served,
            });
        }
        assert_eq!(limiter.limit(), 64);
    }

    #[test]
    fn one_stays_one() {
        let (mut limiter, mut now) = (Limiter::new(1), Duration::ZERO);
        let seen = serve(&mut limiter, &mut now, &healthy(), 5);
        assert!(seen.iter().all(|limit| *limit == 1));
        assert_eq!(Limiter::new(0).limit(), 1);
    }
}
