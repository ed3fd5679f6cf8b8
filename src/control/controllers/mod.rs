//! One controller for each kind of row, and the list of them.

mod alarm_deliveries;
mod alarms;
mod alias_requests;
mod current;
mod experiments;
mod gates;
mod jobs;
mod retention;
mod retrainings;
mod run_requests;
mod triggers;
mod versions;

use super::Controller;

/// Returns every controller, in the order in which one pass runs them: versions before the jobs
/// that name them, both before the requests for runs; alarms before what they bring about.
pub(super) fn list() -> Vec<Box<dyn Controller>> {
    vec![
        Box::<versions::Versions>::default(),
        Box::new(jobs::Jobs),
        Box::<gates::Gates>::default(),
        Box::<alias_requests::AliasRequests>::default(),
        Box::<experiments::Experiments>::default(),
        Box::<run_requests::RunRequests>::default(),
        Box::<triggers::Triggers>::default(),
        Box::<current::CurrentTables>::default(),
        Box::<alarms::Alarms>::default(),
        Box::<retrainings::Retrainings>::default(),
        Box::<alarm_deliveries::AlarmDeliveries>::default(),
        Box::new(retention::Retention),
    ]
}
