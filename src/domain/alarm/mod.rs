//! Alarms: conditions of a job that people should know of.
//!
//! The kinds are pure functions, one file each, from rows that are stored to the [`Condition`]s that
//! hold now. [`changes`] compares these with the alarms that are open.

pub mod delivery;
pub mod demotion;
pub mod drift;
pub mod outputs;
pub mod pattern;
pub mod rejected;
pub mod runs;
pub mod sample_ratio;
pub mod stale_labels;
pub mod streams;
pub mod triggers;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    run::{Counts, RunState},
    spelling::spelled,
};

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlarmKind {
    /// A run failed, and no later run made it good.
    RunFailed,
    /// A trigger's last run is past its deadline.
    RunLate,
    /// A run rejected a large share of the rows.
    RejectedShare,
    /// An output is the same for all rows.
    ConstantOutput,
    /// The share of a label changed from one run to the next.
    MovedOutput,
    /// Features or outputs of a version drifted.
    Drift,
    /// The arms of an experiment do not have their sizes.
    SampleRatioMismatch,
    /// A trigger should have fired, and did not.
    TriggerNotFired,
    /// A gate moved an alias back.
    GateDemotion,
    /// The labels that a gate needs no longer arrive.
    StaleLabels,
    /// A stream rejected too many messages, and pauses until people say otherwise.
    StreamPaused,
    /// A stream has waited for long.
    StreamWaiting,
    /// Messages were gone from a topic before they were read.
    MessagesLost,
}

spelled! {
    AlarmKind {
        RunFailed => "run_failed",
        RunLate => "run_late",
        RejectedShare => "rejected_share",
        ConstantOutput => "constant_output",
        MovedOutput => "moved_output",
        Drift => "drift",
        SampleRatioMismatch => "sample_ratio_mismatch",
        TriggerNotFired => "trigger_not_fired",
        GateDemotion => "gate_demotion",
        StaleLabels => "stale_labels",
        StreamPaused => "stream_paused",
        StreamWaiting => "stream_waiting",
        MessagesLost => "messages_lost",
    }
}

impl AlarmKind {
    /// Kinds that follow from a job's stream.
    pub const OF_STREAMS: [Self; 3] = [Self::StreamPaused, Self::StreamWaiting, Self::MessagesLost];
    /// Kinds that follow from a job's runs.
    pub const OF_RUNS: [Self; 5] = [
        Self::RunFailed,
        Self::RunLate,
        Self::RejectedShare,
        Self::ConstantOutput,
        Self::MovedOutput,
    ];
    /// Kinds that follow from a model's gates.
    pub const OF_GATES: [Self; 2] = [Self::GateDemotion, Self::StaleLabels];
}

/// A condition that holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub job: String,
    pub kind: AlarmKind,
    /// What it is about within the job: a trigger, a version and column, a gate.
    pub subject: String,
    /// One sentence for people.
    pub what: String,
    /// Names and values for programs.
    pub evidence: BTreeMap<String, String>,
    /// The run that shows it, for kinds that are about runs.
    pub run: Option<Uuid>,
}

impl Condition {
    /// Returns its key among the job's open alarms.
    pub fn key(&self) -> String {
        format!("{}/{}", self.kind.as_str(), self.subject)
    }
}

/// A row of `alarms`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alarm {
    pub job: String,
    pub id: Uuid,
    /// An [`AlarmKind`], or a kind of a newer helenus.
    pub kind: String,
    pub subject: String,
    pub what: String,
    pub evidence: BTreeMap<String, String>,
    pub since: Option<DateTime<Utc>>,
    /// Number of runs in which the condition held.
    pub seen: i32,
    /// The last of these runs.
    pub last_run: Option<Uuid>,
    pub closed_at: Option<DateTime<Utc>>,
}

impl Alarm {
    /// Returns its key among the job's open alarms.
    pub fn key(&self) -> String {
        format!("{}/{}", self.kind, self.subject)
    }

    pub fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }
}

/// A run as alarms see it: a row of `runs` without its plan.
#[derive(Debug, Clone)]
pub struct RunOutcome {
    /// Its time is when the run was due.
    pub run_id: Uuid,
    /// The trigger's name, or `request`.
    pub trigger: String,
    pub versions: BTreeSet<i32>,
    /// Whether it is over the whole ring.
    pub whole: bool,
    pub state: RunState,
    pub reason: Option<String>,
    pub warnings: Vec<String>,
    pub late: bool,
    pub deadline: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub counts: Counts,
}

/// What must change so that the open alarms of a job are the conditions that hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Conditions without an open alarm.
    pub open: Vec<Condition>,
    /// Conditions whose alarm is open.
    pub remain: Vec<(Condition, Uuid)>,
    /// Open alarms whose condition no longer holds: key and id.
    pub close: Vec<(String, Uuid)>,
}

/// Compares a job's conditions of these kinds with its open alarms (key -> id). Alarms of other
/// kinds are left alone: what was not looked at is not gone.
pub fn changes(
    conditions: Vec<Condition>,
    kinds: &[AlarmKind],
    open: &BTreeMap<String, Uuid>,
) -> Changes {
    let mut changes = Changes::default();
    let mut held = BTreeSet::new();
    for condition in conditions {
        let key = condition.key();
        if !held.insert(key.clone()) {
            continue;
        }
        match open.get(&key) {
            Some(id) => changes.remain.push((condition, *id)),
            None => changes.open.push(condition),
        }
    }
    for (key, id) in open {
        let kind = key.split('/').next().and_then(AlarmKind::parse);
        if kind.is_some_and(|kind| kinds.contains(&kind)) && !held.contains(key) {
            changes.close.push((key.clone(), *id));
        }
    }
    changes
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn condition(kind: AlarmKind, subject: &str) -> Condition {
        Condition {
            job: "j".to_owned(),
            kind,
            subject: subject.to_owned(),
            what: "it happened".to_owned(),
            evidence: BTreeMap::new(),
            run: None,
        }
    }

    /// A run over the whole table by trigger `nightly`, which ended `number` seconds after 1970.
    pub fn run(number: u32, state: RunState) -> RunOutcome {
        RunOutcome {
            run_id: Uuid::from_u128(number.into()),
            trigger: "nightly".to_owned(),
            versions: BTreeSet::from([1]),
            whole: true,
            state,
            reason: None,
            warnings: Vec::new(),
            late: false,
            deadline: None,
            finished_at: state
                .is_terminal()
                .then(|| DateTime::from_timestamp(number.into(), 0))
                .flatten(),
            counts: Counts::default(),
        }
    }

    #[test]
    fn every_kind_is_parsed_as_it_is_stored() {
        for kind in AlarmKind::ALL {
            assert_eq!(AlarmKind::parse(kind.as_str()), Some(kind));
        }
    }

    #[test]
    fn only_kinds_that_were_looked_at_are_closed() {
        let failed = AlarmKind::RunFailed;
        let open: BTreeMap<String, Uuid> = [
            ("run_failed/a", 1),
            ("run_failed/b", 2),
            ("run_late/a", 3),
            ("of_a_newer_helenus/a", 4),
        ]
        .map(|(key, id)| (key.to_owned(), Uuid::from_u128(id)))
        .into();
        let now = vec![
            condition(failed, "a"),
            condition(failed, "c"),
            condition(failed, "c"),
        ];
        let changes = changes(now, &[failed], &open);
        assert_eq!(changes.open, [condition(failed, "c")]);
        assert_eq!(
            changes.remain,
            [(condition(failed, "a"), Uuid::from_u128(1))]
        );
        assert_eq!(
            changes.close,
            [("run_failed/b".to_owned(), Uuid::from_u128(2))]
        );
    }
}
