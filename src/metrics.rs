//! The metrics: name, unit, labels and help of each in one place.
//!
//! Values are kept in this process only, and only after [`install`]: without it every call here does
//! nothing. The label `job_name` has one value per job and `route` one per route of the HTTP server;
//! the values of every other label are listed here. Versions, runs and splits are not labels, because
//! their number is unbounded.

mod serving;
mod streaming;

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

#[derive(Debug)]
pub struct Metric {
    /// The name in Prometheus.
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    /// Labels with their values; a label without values has the jobs' names or the routes.
    pub labels: &'static [(&'static str, &'static [&'static str])],
    /// One sentence.
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    /// A histogram of seconds with [`BUCKETS`].
    Histogram,
}

/// Upper bounds of the latency buckets in seconds, from a request within one machine to the default
/// time-out of a request.
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
// Not `job`: Prometheus uses that label for its scrape jobs and would rename ours.
const JOB: (&str, &[&str]) = ("job_name", &[]);
// Templates of paths, such as `/v1/jobs/{job}/score`; `none` for a path that no route has.
const ROUTE: (&str, &[&str]) = ("route", &[]);

use Kind::{Counter as C, Gauge as G, Histogram as H};

#[rustfmt::skip]
mod table {
    use super::*;

    pub static SOURCE_ROWS: Metric = metric("helenus_source_rows_total", C, Unit::Count, &[JOB],
        "Source rows read by runs; a split that is repeated counts again.");
    pub static ROWS: Metric = metric("helenus_rows_total", C, Unit::Count,
        &[JOB, ("outcome", &["scored", "unchanged", "rejected", "orphaned"])],
        "Predictions by outcome, one for each source row and version.");
    pub static RUNS: Metric = metric("helenus_runs_total", C, Unit::Count,
        &[JOB, ("state", &["succeeded", "failed", "cancelled"])],
        "Runs that this worker ended.");
    pub static EXPERIMENT_LOOKS: Metric = metric("helenus_experiment_looks_total", C, Unit::Count,
        &[JOB, ("verdict", &["running", "srm", "better", "worse", "no_difference", "inconclusive"])],
        "Looks at experiments that this worker took, by their verdict.");
    pub static DRIFT_VERDICTS: Metric = metric("helenus_drift_verdicts_total", C, Unit::Count,
        &[JOB, ("verdict", &["stable", "drifted", "new_category", "constant", "all_null", "too_few", "partial", "not_comparable"])],
        "Features and outputs that runs compared with their reference and with the run before, by verdict.");
    pub static SPLITS: Metric = metric("helenus_splits_total", C, Unit::Count,
        &[JOB, ("state", &["done", "given_up", "failed"])],
        "Splits that this worker held, by how they ended; losses are in helenus_lease_losses_total.");
    pub static LEASE_LOSSES: Metric = metric("helenus_lease_losses_total", C, Unit::Count, &[],
        "Splits that this worker stopped because its lease had run out or was taken over.");
    pub static CLAIMS: Metric = metric("helenus_claims_total", C, Unit::Count,
        &[("outcome", &["new", "again", "collision"])],
        "Conditional writes that claim a split: a new one, one that was given up or abandoned, or one that another worker claimed first.");
    pub static RETRIES: Metric = metric("helenus_retries_total", C, Unit::Count,
        &[("cause", &["overloaded", "write_timeout", "read_timeout", "no_answer", "unavailable", "connection", "other"])],
        "Requests to Cassandra that were sent again.");
    pub static STATEMENTS: Metric = metric("helenus_statements_total", C, Unit::Count,
        &[("mode", &["read", "serial_read", "write", "conditional"])],
        "Statements on helenus's own tables; an idle worker's reads are its polling.");
    pub static MODEL_LOADS: Metric = metric("helenus_model_loads_total", C, Unit::Count,
        &[("from", &["memory", "store"])],
        "Versions that runs began with: still loaded from an earlier run, or read from their chunks.");

    pub static READ_SECONDS: Metric = metric("helenus_read_seconds", H, Unit::Seconds, &[],
        "One page of source rows or stored predictions, one attempt.");
    pub static SCORE_SECONDS: Metric = metric("helenus_score_seconds", H, Unit::Seconds, &[],
        "One version's model over one batch, without waiting for a thread.");
    pub static WRITE_SECONDS: Metric = metric("helenus_write_seconds", H, Unit::Seconds, &[],
        "One batch of predictions, one attempt.");
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
        "Open runs of all jobs, as this worker last read them.");
    pub static OLDEST_OPEN_RUN: Metric = metric("helenus_oldest_open_run_seconds", G, Unit::Seconds, &[],
        "Time since the oldest open run was due; 0 without one.");
    pub static WORKERS: Metric = metric("helenus_workers", G, Unit::Count, &[],
        "Long-running workers with a recent heartbeat, including this one.");
    pub static ALARMS_OPEN: Metric = metric("helenus_alarms_open", G, Unit::Count,
        &[JOB, ("kind", &["run_failed", "run_late", "rejected_share", "constant_output", "moved_output", "drift", "sample_ratio_mismatch", "trigger_not_fired", "gate_demotion", "stale_labels", "stream_paused", "stream_waiting", "messages_lost"])],
        "Open alarms by kind, as the worker that leads last looked; 0 elsewhere.");
    pub static ALARM_DELIVERIES_WAITING: Metric = metric("helenus_alarm_deliveries_waiting", G, Unit::Count, &[],
        "Messages about alarms that a sink has not accepted yet, as the worker that leads last looked.");
    pub static RETRAININGS_OPEN: Metric = metric("helenus_retrainings_open", G, Unit::Count,
        &[("state", &["training", "admission", "challenger", "scoring", "evaluating", "judging"])],
        "Requests for trainings that are under way, as the worker that leads last looked.");

    /// All metrics, in the order of the documentation.
    pub static ALL: &[&Metric] = &[
        &SOURCE_ROWS, &ROWS, &RUNS, &EXPERIMENT_LOOKS, &DRIFT_VERDICTS, &SPLITS, &LEASE_LOSSES, &CLAIMS, &RETRIES, &STATEMENTS, &MODEL_LOADS,
        &READ_SECONDS, &SCORE_SECONDS, &WRITE_SECONDS, &CLAIM_SECONDS,
        &IN_FLIGHT, &WAITING, &LIMIT, &BATCHES_WAITING, &SPLITS_HELD,
        &OPEN_RUNS, &OLDEST_OPEN_RUN, &WORKERS, &ALARMS_OPEN, &ALARM_DELIVERIES_WAITING,
        &RETRAININGS_OPEN,
        &HTTP_REQUESTS, &HTTP_SECONDS, &HTTP_CONNECTIONS, &SERVED_ROWS, &SERVED_STALE, &RESIDENT_MODELS,
        &STREAM_RECEIVED, &STREAM_OUTCOMES, &STREAM_LAG, &STREAM_STATE, &STREAM_TRANSACTION_SECONDS,
    ];
}

pub use serving::*;
pub use streaming::*;
pub use table::*;

impl Metric {
    /// Returns the counter with these label values, in the order of the labels.
    pub fn counter<const N: usize>(&self, values: [&str; N]) -> Counter {
        metrics::counter!(self.name, self.labelled(values))
    }

    /// Returns the gauge with these label values, in the order of the labels.
    pub fn gauge<const N: usize>(&self, values: [&str; N]) -> Gauge {
        metrics::gauge!(self.name, self.labelled(values))
    }

    /// Increments the gauge until the returned guard is dropped.
    pub fn hold<const N: usize>(&self, values: [&str; N]) -> GaugeGuard {
        GaugeGuard::new(self.gauge(values))
    }

    pub fn histogram(&self) -> Histogram {
        self.labelled_histogram([])
    }

    /// Returns the histogram with these label values, in the order of the labels.
    pub fn labelled_histogram<const N: usize>(&self, values: [&str; N]) -> Histogram {
        metrics::histogram!(self.name, self.labelled(values))
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

    /// Exports 0 for events that have not happened yet: a rate needs a point before the first event.
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

/// Guard that increments a gauge and decrements it when dropped.
pub struct GaugeGuard(Gauge);

impl GaugeGuard {
    /// Increments `gauge`.
    pub fn new(gauge: Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

impl std::fmt::Debug for GaugeGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GaugeGuard")
    }
}

/// The row counters of one job, looked up once because there are many batches.
pub struct RowCounters {
    source: Counter,
    scored: Counter,
    unchanged: Counter,
    rejected: Counter,
    orphaned: Counter,
}

impl RowCounters {
    /// Looks up the counters of `job`.
    pub fn for_job(job: &str) -> Self {
        let rows = |outcome| ROWS.counter([job, outcome]);
        Self {
            source: SOURCE_ROWS.counter([job]),
            scored: rows("scored"),
            unchanged: rows("unchanged"),
            rejected: rows("rejected"),
            orphaned: rows("orphaned"),
        }
    }

    /// Counts written rows.
    pub fn wrote(&self, scored: u64, rejected: u64) {
        self.scored.increment(scored);
        self.rejected.increment(rejected);
    }

    /// Counts the rows that a walk read, and those that it did not score.
    pub fn walked(&self, counts: &Counts) {
        let sum = |by_version: &BTreeMap<i32, u64>| by_version.values().sum();
        self.source.increment(counts.source_rows);
        self.unchanged.increment(sum(&counts.unchanged));
        self.rejected.increment(sum(&counts.rejected));
        self.orphaned.increment(counts.orphaned);
    }
}

/// Renders the metrics for Prometheus.
#[derive(Debug)]
pub struct Recorder(PrometheusHandle);

/// Due time of the oldest open run in milliseconds since 1970; 0 without one.
static OLDEST_DUE: AtomicI64 = AtomicI64::new(0);

/// Records the states and due times of all open runs.
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

/// Returns whether metrics are kept, for callers that look up their gauges once.
pub fn are_kept() -> bool {
    INSTALLED.load(Ordering::Acquire)
}

/// Starts keeping metrics, for the lifetime of this process.
pub fn install() -> &'static Recorder {
    static RECORDER: OnceLock<Recorder> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let mut builder = PrometheusBuilder::new();
        for metric in ALL.iter().filter(|metric| metric.kind == H) {
            let name = Matcher::Full(metric.name.to_owned());
            builder = match builder.set_buckets_for_metric(name, BUCKETS) {
                Ok(builder) => builder,
                // The only error is an empty list.
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
    /// Renders the metrics in Prometheus's text format 0.0.4.
    pub fn render(&self) -> String {
        let age = match OLDEST_DUE.load(Ordering::Relaxed) {
            0 => 0,
            due => (Utc::now().timestamp_millis() - due).max(0),
        };
        OLDEST_OPEN_RUN.gauge([]).set(age as f64 / 1000.0);
        self.0.render()
    }

    /// Aggregates the samples of the histograms, which grow without this or [`Recorder::render`].
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
    fn events_that_have_not_happened_yet_are_exported_as_zero() {
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
