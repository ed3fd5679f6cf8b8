//! What `helenus serve` measures, and counters that are looked up once.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use metrics::{Counter, Histogram};

use super::{JOB, Metric, ROUTE, metric};
use metrics::Unit;

use super::Kind::{Counter as C, Gauge as G, Histogram as H};

/// Classes of HTTP statuses, as labels.
const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[rustfmt::skip]
mod table {
    use super::*;

    pub static HTTP_REQUESTS: Metric = metric("helenus_http_requests_total", C, Unit::Count,
        &[ROUTE, ("status", &STATUSES)],
        "HTTP and gRPC requests that were answered, by class of the status; for gRPC, of the HTTP status that means the same.");
    pub static HTTP_SECONDS: Metric = metric("helenus_http_request_seconds", H, Unit::Seconds, &[ROUTE],
        "One HTTP or gRPC request, from its head to the head of its answer.");
    pub static HTTP_CONNECTIONS: Metric = metric("helenus_http_connections", G, Unit::Count, &[],
        "Open HTTP connections, idle ones included.");
    pub static SERVED_ROWS: Metric = metric("helenus_served_rows_total", C, Unit::Count,
        &[JOB, ("outcome", &["scored", "stored", "rejected"])],
        "Predictions for requests, one for each row and version: scored now, read as stored, or rejected.");
    pub static SERVED_STALE: Metric = metric("helenus_served_stale_seconds", G, Unit::Seconds, &[],
        "Time since Cassandra last confirmed the aliases and jobs that are served.");
    pub static RESIDENT_MODELS: Metric = metric("helenus_resident_models", G, Unit::Count, &[],
        "Versions of models that are loaded to answer requests.");

    /// The metrics that only `helenus serve` changes.
    pub static SERVING: &[&Metric] = &[
        &HTTP_REQUESTS, &HTTP_SECONDS, &HTTP_CONNECTIONS, &SERVED_ROWS, &SERVED_STALE, &RESIDENT_MODELS,
    ];
}

pub use table::*;

/// The metrics of each route, looked up once because there are many requests.
#[derive(Default)]
pub struct RouteMeters(RwLock<HashMap<String, Arc<RouteMeter>>>);

/// The metrics of one route.
pub struct RouteMeter {
    statuses: [Counter; 5],
    seconds: Histogram,
}

impl RouteMeters {
    /// Counts a request. `route`: the template of its path, so that their number is bounded.
    pub fn record(&self, route: &str, status: u16, took: Duration) {
        // The guard must be gone before a new route takes the lock to write.
        let known = {
            let meters = self.0.read().unwrap_or_else(PoisonError::into_inner);
            meters.get(route).map(Arc::clone)
        };
        let meter = known.unwrap_or_else(|| {
            let mut meters = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let meter = meters
                .entry(route.to_owned())
                .or_insert_with(|| Arc::new(RouteMeter::for_route(route)));
            Arc::clone(meter)
        });
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        meter.statuses[class].increment(1);
        meter.seconds.record(took);
    }
}

impl RouteMeter {
    fn for_route(route: &str) -> Self {
        Self {
            statuses: STATUSES.map(|status| HTTP_REQUESTS.counter([route, status])),
            seconds: HTTP_SECONDS.labelled_histogram([route]),
        }
    }
}

/// The row counters of one served job, looked up once.
pub struct ServedRowCounters {
    scored: Counter,
    stored: Counter,
    rejected: Counter,
}

impl ServedRowCounters {
    /// Looks up the counters of `job`.
    pub fn for_job(job: &str) -> Self {
        let rows = |outcome| SERVED_ROWS.counter([job, outcome]);
        Self {
            scored: rows("scored"),
            stored: rows("stored"),
            rejected: rows("rejected"),
        }
    }

    /// Counts rows that were scored for a request.
    pub fn scored(&self, scored: usize, rejected: usize) {
        self.scored.increment(scored as u64);
        self.rejected.increment(rejected as u64);
    }

    /// Counts a stored prediction that was answered.
    pub fn stored(&self) {
        self.stored.increment(1);
    }
}
