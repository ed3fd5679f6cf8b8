//! What helenus measures of itself: every metric's name, unit, labels and meaning in one place.
//!
//! Numbers are kept in this process only, and only once [`install`] was called: without it every
//! call here does nothing. The label `job_name` has as many values as there are jobs; every other
//! label's values are listed here. Versions, runs and splits are no labels: they grow without end.

use std::{
    collections::BTreeMap,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use chrono::{DateTime, Utc};
use metrics::{Counter, Gauge, Histogram, Label, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::domain::run::{Counts, RunState};

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name, as Prometheus shows it.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What is counted or measured.
    pub unit: Unit,
    /// Labels with their values; without values: the jobs' names.
    pub labels: &'static [(&'static str, &'static [&'static str])],
    /// One sentence.
    pub help: &'static str,
}

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Seconds, in [`BUCKETS`].
    Histogram,
}

/// Upper bounds of the buckets of latencies, seconds: from a request within one machine to the
/// default time-out of a request.
pub const BUCKETS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

const fn metric(
    name: &'static str,
    kind: Kind,
    unit: Unit,
    labels: &'static [(&'static str, &'static [&'static str])],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind,
        unit,
        labels,
        help,
    }
}

const OPERATION: (&str, &[&str]) = ("operation", &["read", "write"]);
// Not `job`: Prometheus gives that name to what it scrapes, and would rename ours.
const JOB: (&str, &[&str]) = ("job_name", &[]);

use Kind::{Counter as C, Gauge as G, Histogram as H};

#[rustfmt::skip]
mod table {
    use super::*;

    pub static SOURCE_ROWS: Metric = metric("helenus_source_rows_total", C, Unit::Count, &[JOB],
        "Source rows read by runs; a split that is done again counts again.");
    pub static ROWS: Metric = metric("helenus_rows_total", C, Unit::Count,
        &[JOB, ("outcome", &["scored", "unchanged", "rejected", "orphaned"])],
        "Predictions by outcome, one for each source row and version.");
    pub static RUNS: Metric = metric("helenus_runs_total", C, Unit::Count,
        &[JOB, ("state", &["succeeded", "failed", "cancelled"])],
        "Runs that this worker ended.");
    pub static SPLITS: Metric = metric("helenus_splits_total", C, Unit::Count,
        &[JOB, ("state", &["done", "given_up", "failed"])],
        "Splits that this worker held, by how that ended; losses are in helenus_lease_losses_total.");
    pub static LEASE_LOSSES: Metric = metric("helenus_lease_losses_total", C, Unit::Count, &[],
        "Splits that this worker stopped because its lease had run out or was taken over.");
    pub static CLAIMS: Metric = metric("helenus_claims_total", C, Unit::Count,
        &[("outcome", &["new", "again", "collision"])],
        "Conditional writes that claim a split: a new one, one that was given up or left behind, or another worker was first.");
    pub static RETRIES: Metric = metric("helenus_retries_total", C, Unit::Count,
        &[("cause", &["overloaded", "write_timeout", "read_timeout", "no_answer", "unavailable", "connection", "other"])],
        "Requests to Cassandra that were sent again.");
    pub static STATEMENTS: Metric = metric("helenus_statements_total", C, Unit::Count,
        &[("mode", &["read", "serial_read", "write", "conditional"])],
        "Statements on helenus's own tables; an idle worker's reads are its polling.");
    pub static MODEL_LOADS: Metric = metric("helenus_model_loads_total", C, Unit::Count,
        &[("from", &["memory", "store"])],
        "Versions that runs began with: still loaded from a run before, or read from their chunks.");

    pub static READ_SECONDS: Metric = metric("helenus_read_seconds", H, Unit::Seconds, &[],
        "One page of source rows or stored predictions, one try.");
    pub static SCORE_SECONDS: Metric = metric("helenus_score_seconds", H, Unit::Seconds, &[],
        "One version's model over one batch, without waiting for a thread.");
    pub static WRITE_SECONDS: Metric = metric("helenus_write_seconds", H, Unit::Seconds, &[],
        "One batch of predictions, one try.");
    pub static CLAIM_SECONDS: Metric = metric("helenus_claim_seconds", H, Unit::Seconds, &[],
        "One conditional write that claims a split.");

    pub static IN_FLIGHT: Metric = metric("helenus_requests_in_flight", G, Unit::Count, &[OPERATION],
        "Page reads and prediction writes that Cassandra has not answered yet.");
    pub static WAITING: Metric = metric("helenus_requests_waiting", G, Unit::Count, &[OPERATION],
        "Page reads and prediction writes that wait for a place in flight.");
    pub static LIMIT: Metric = metric("helenus_in_flight_limit", G, Unit::Count, &[OPERATION],
        "Places in flight, as adapted to Cassandra's latency and errors.");
    pub static BATCHES_WAITING: Metric = metric("helenus_batches_waiting", G, Unit::Count, &[],
        "Batches that wait for a scoring thread.");
    pub static SPLITS_HELD: Metric = metric("helenus_splits_held", G, Unit::Count, &[],
        "Splits on which this worker has a lease.");
    pub static OPEN_RUNS: Metric = metric("helenus_open_runs", G, Unit::Count,
        &[("state", &["planning", "running", "waiting"])],
        "Open runs of all jobs, when this worker last looked.");
    pub static OLDEST_OPEN_RUN: Metric = metric("helenus_oldest_open_run_seconds", G, Unit::Seconds, &[],
        "Time since the oldest open run was due; 0 without one.");
    pub static WORKERS: Metric = metric("helenus_workers", G, Unit::Count, &[],
        "Long-running workers that gave a sign of life lately, this one included.");

    /// All of them, in the order of the documentation.
    pub static ALL: &[&Metric] = &[
        &SOURCE_ROWS, &ROWS, &RUNS, &SPLITS, &LEASE_LOSSES, &CLAIMS, &RETRIES, &STATEMENTS, &MODEL_LOADS,
        &READ_SECONDS, &SCORE_SECONDS, &WRITE_SECONDS, &CLAIM_SECONDS,
        &IN_FLIGHT, &WAITING, &LIMIT, &BATCHES_WAITING, &SPLITS_HELD,
        &OPEN_RUNS, &OLDEST_OPEN_RUN, &WORKERS,
    ];
}

pub use table::*;

impl Metric {
    /// The counter with these values of the labels, in their order.
    pub fn counter<const N: usize>(&self, values: [&str; N]) -> Counter {
        metrics::counter!(self.name, self.labelled(values))
    }

    /// The gauge with these values of the labels, in their order.
    pub fn gauge<const N: usize>(&self, values: [&str; N]) -> Gauge {
        metrics::gauge!(self.name, self.labelled(values))
    }

    /// Counts one thing in the gauge until the answer is dropped.
    pub fn hold<const N: usize>(&self, values: [&str; N]) -> Held {
        Held::new(self.gauge(values))
    }

    /// The histogram.
    pub fn histogram(&self) -> Histogram {
        metrics::histogram!(self.name)
    }

    fn labelled<const N: usize>(&self, values: [&str; N]) -> Vec<Label> {
        debug_assert_eq!(N, self.labels.len(), "{}", self.name);
        let labels = self.labels.iter().zip(values);
        labels
            .map(|((name, _), value)| Label::new(*name, value.to_owned()))
            .collect()
    }

    fn describe(&self) {
        match self.kind {
            C => metrics::describe_counter!(self.name, self.unit, self.help),
            G => metrics::describe_gauge!(self.name, self.unit, self.help),
            H => metrics::describe_histogram!(self.name, self.unit, self.help),
        }
    }

    /// Shows 0 for what has not happened yet: a rate needs the point before the first event.
    fn begin(&self) {
        let values: Vec<Option<&str>> = match self.labels {
            [] => vec![None],
            [(_, values)] => values.iter().map(|value| Some(*value)).collect(),
            _ => return,
        };
        for value in values {
            let labels: Vec<Label> = self
                .labels
                .iter()
                .zip(value)
                .map(|((name, _), value)| Label::new(*name, value))
                .collect();
            match self.kind {
                C => metrics::counter!(self.name, labels).increment(0),
                G => metrics::gauge!(self.name, labels).set(0),
                H => drop(metrics::histogram!(self.name, labels)),
            }
        }
    }
}

/// One thing that a gauge counts while this lives.
pub struct Held(Gauge);

impl Held {
    /// Counts one thing in `gauge`.
    pub fn new(gauge: Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

/// What becomes of one job's rows; looked up once, since batches are many.
pub struct RowCounters {
    source: Counter,
    scored: Counter,
    unchanged: Counter,
    rejected: Counter,
    orphaned: Counter,
}

impl RowCounters {
    /// Those of `job`.
    pub fn of(job: &str) -> Self {
        let rows = |outcome| ROWS.counter([job, outcome]);
        Self {
            source: SOURCE_ROWS.counter([job]),
            scored: rows("scored"),
            unchanged: rows("unchanged"),
            rejected: rows("rejected"),
            orphaned: rows("orphaned"),
        }
    }

    /// Rows were written.
    pub fn wrote(&self, scored: u64, rejected: u64) {
        self.scored.increment(scored);
        self.rejected.increment(rejected);
    }

    /// What a walk found beside the rows that it handed on.
    pub fn walked(&self, counts: &Counts) {
        let sum = |by_version: &BTreeMap<i32, u64>| by_version.values().sum();
        self.source.increment(counts.source_rows);
        self.unchanged.increment(sum(&counts.unchanged));
        self.rejected.increment(sum(&counts.rejected));
        self.orphaned.increment(counts.orphaned);
    }
}

/// Keeps the numbers and prints them.
#[derive(Debug)]
pub struct Recorder(PrometheusHandle);

/// When the oldest open run was due, milliseconds since 1970; 0 without one.
static OLDEST_DUE: AtomicI64 = AtomicI64::new(0);

/// Notes all open runs: their states, and when they were due.
pub fn open_runs(runs: &[(RunState, DateTime<Utc>)]) {
    for state in [RunState::Planning, RunState::Running, RunState::Waiting] {
        let of_state = runs.iter().filter(|run| run.0 == state).count();
        OPEN_RUNS.gauge([state.as_str()]).set(of_state as f64);
    }
    let open = runs.iter().filter(|run| !run.0.is_terminal());
    let oldest = open.map(|run| run.1.timestamp_millis()).min();
    OLDEST_DUE.store(oldest.unwrap_or_default(), Ordering::Relaxed);
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Whether numbers are kept, for what happens so often that its gauges are looked up once.
pub fn are_kept() -> bool {
    INSTALLED.load(Ordering::Acquire)
}

/// Begins to keep numbers, for the rest of this process's life.
pub fn install() -> &'static Recorder {
    static RECORDER: OnceLock<Recorder> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let mut builder = PrometheusBuilder::new();
        for metric in ALL.iter().filter(|metric| metric.kind == H) {
            let name = Matcher::Full(metric.name.to_owned());
            builder = match builder.set_buckets_for_metric(name, BUCKETS) {
                Ok(builder) => builder,
                // It refuses an empty list only.
                Err(error) => unreachable!("{error}"),
            };
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if let Err(error) = metrics::set_global_recorder(recorder) {
            tracing::warn!(%error, "metrics stay empty");
        }
        for metric in ALL {
            metric.describe();
            metric.begin();
        }
        INSTALLED.store(true, Ordering::Release);
        Recorder(handle)
    })
}

impl Recorder {
    /// In Prometheus's text format 0.0.4.
    pub fn render(&self) -> String {
        let age = match OLDEST_DUE.load(Ordering::Relaxed) {
            0 => 0,
            due => (Utc::now().timestamp_millis() - due).max(0),
        };
        OLDEST_OPEN_RUN.gauge([]).set(age as f64 / 1000.0);
        self.0.render()
    }

    /// Folds what the histograms have gathered; without it, or [`Recorder::render`], they grow.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_prometheus() {
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("helenus_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == C, "{name}");
            assert_eq!(
                name.ends_with("_seconds"),
                metric.unit == Unit::Seconds,
                "{name}"
            );
            assert!(metric.help.ends_with('.'), "{name}");
            let same = ALL.iter().filter(|other| other.name == name);
            assert_eq!(same.count(), 1, "{name}");
        }
    }

    #[test]
    fn what_has_not_happened_yet_is_shown_as_nothing() {
        let text = install().render();
        for line in [
            "helenus_lease_losses_total 0",
            "helenus_retries_total{cause=\"overloaded\"} 0",
            "helenus_oldest_open_run_seconds 0",
            "helenus_claim_seconds_count 0",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}:\n{text}");
        }
        let due = Utc::now() - chrono::Duration::seconds(5);
        open_runs(&[(RunState::Running, due), (RunState::Waiting, Utc::now())]);
        let text = install().render();
        let age = text
            .lines()
            .find_map(|line| line.strip_prefix("helenus_oldest_open_run_seconds "));
        let age: f64 = age.unwrap().parse().unwrap();
        assert!((5.0..600.0).contains(&age), "{age}");
        open_runs(&[]);
    }
}
