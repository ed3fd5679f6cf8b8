//! `run_failed` and `run_late`: the last run of each trigger.
//!
//! Runs on request are one more trigger, `request`. A job's runs are compared by trigger so that two
//! triggers with different fates do not open and close one alarm in turns.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{AlarmKind, Condition, RunOutcome};
use crate::{codec::utc, domain::run::RunState};

/// Returns the triggers with a failed run that no later run made good. `runs` are newest first. A
/// cancelled run says nothing.
pub fn failed(job: &str, runs: &[RunOutcome]) -> Vec<Condition> {
    let failed = |run: &&RunOutcome| run.state == RunState::Failed;
    last_of_each_trigger(runs.iter().filter(failed))
        .into_iter()
        .filter(|run| !is_made_good(run, runs))
        .map(|run| {
            let reason = run.reason.as_deref().unwrap_or("no reason is recorded");
            let mut evidence = evidence_of(run);
            evidence.insert("reason".to_owned(), reason.to_owned());
            let what = format!("run {} of {} failed: {reason}", run.run_id, origin(run));
            condition(job, AlarmKind::RunFailed, run, what, evidence)
        })
        .collect()
}

/// Returns the triggers whose last run is past its deadline, or ended after it.
pub fn late(job: &str, runs: &[RunOutcome], now: DateTime<Utc>) -> Vec<Condition> {
    let not_cancelled = |run: &&RunOutcome| run.state != RunState::Cancelled;
    last_of_each_trigger(runs.iter().filter(not_cancelled))
        .into_iter()
        .filter_map(|run| {
            let is_open = !run.state.is_terminal();
            let is_past = run.deadline.is_some_and(|deadline| deadline < now);
            if !(run.late || is_open && is_past) {
                return None;
            }
            let deadline = run.deadline.map(utc::to_second).unwrap_or_default();
            let mut evidence = evidence_of(run);
            evidence.insert("deadline".to_owned(), deadline.clone());
            let outcome = match is_open {
                true => "has not ended by its deadline",
                false => "ended after its deadline",
            };
            let what = format!(
                "run {} of {} {outcome}, {deadline}",
                run.run_id,
                origin(run)
            );
            Some(condition(job, AlarmKind::RunLate, run, what, evidence))
        })
        .collect()
}

fn last_of_each_trigger<'r>(runs: impl Iterator<Item = &'r RunOutcome>) -> Vec<&'r RunOutcome> {
    let mut known = BTreeSet::new();
    runs.filter(|run| known.insert(run.trigger.as_str()))
        .collect()
}

/// Returns whether a run that ended later did what the failed run was to do: one over the whole
/// table with its versions, or one of the same trigger that is not about less.
fn is_made_good(failed: &RunOutcome, runs: &[RunOutcome]) -> bool {
    runs.iter().any(|run| {
        let is_wide_enough = run.whole || !failed.whole;
        let same_trigger = run.trigger == failed.trigger && is_wide_enough;
        let same_versions = run.whole && run.versions.is_superset(&failed.versions);
        run.state == RunState::Succeeded
            && run.finished_at > failed.finished_at
            && (same_trigger || same_versions)
    })
}

/// Returns where a run came from, for people.
fn origin(run: &RunOutcome) -> String {
    match run.trigger.as_str() {
        "request" => "a request".to_owned(),
        trigger => format!("trigger `{trigger}`"),
    }
}

/// Returns the evidence that every kind about runs has.
pub(super) fn evidence_of(run: &RunOutcome) -> BTreeMap<String, String> {
    let mut evidence = BTreeMap::from([
        ("run_id".to_owned(), run.run_id.to_string()),
        ("trigger".to_owned(), run.trigger.clone()),
    ]);
    if let Some(at) = run.finished_at {
        evidence.insert("finished_at".to_owned(), utc::to_second(at));
    }
    evidence
}

fn condition(
    job: &str,
    kind: AlarmKind,
    run: &RunOutcome,
    what: String,
    evidence: BTreeMap<String, String>,
) -> Condition {
    Condition {
        job: job.to_owned(),
        kind,
        subject: run.trigger.clone(),
        what,
        evidence,
        run: Some(run.run_id),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::alarm::tests::run;

    fn subjects(conditions: &[Condition]) -> Vec<&str> {
        let subjects = conditions.iter();
        subjects
            .map(|condition| condition.subject.as_str())
            .collect()
    }

    #[test]
    fn the_last_run_of_each_trigger_counts() {
        use RunState::{Cancelled, Failed, Running, Succeeded};
        let other = |run: RunOutcome| RunOutcome {
            trigger: "hourly".to_owned(),
            versions: BTreeSet::from([2]),
            ..run
        };
        let runs = [
            run(9, Running),
            run(8, Cancelled),
            run(7, Failed),
            other(run(6, Succeeded)),
            other(run(5, Failed)),
            run(4, Succeeded),
        ];
        assert_eq!(subjects(&failed("j", &runs)), ["nightly"]);
        // A run of another trigger that scored the same versions later made it good.
        let healed = [
            RunOutcome {
                trigger: "request".to_owned(),
                ..run(10, Succeeded)
            },
            run(7, Failed),
        ];
        assert_eq!(failed("j", &healed), []);
        let partly = [
            RunOutcome {
                trigger: "request".to_owned(),
                whole: false,
                ..run(10, Succeeded)
            },
            run(7, Failed),
        ];
        assert_eq!(subjects(&failed("j", &partly)), ["nightly"]);
        // A run over a few keys does not make one over the whole table good, of whatever trigger.
        let few = |number| RunOutcome {
            whole: false,
            ..run(number, Succeeded)
        };
        let narrow = [few(10), run(7, Failed)];
        assert_eq!(subjects(&failed("j", &narrow)), ["nightly"]);
        let as_narrow = RunOutcome {
            whole: false,
            ..run(7, Failed)
        };
        assert_eq!(failed("j", &[few(10), as_narrow]), []);
    }

    #[test]
    fn a_run_is_late_while_open_and_after_its_end() {
        let now = Utc::now();
        let past = Some(now - TimeDelta::seconds(1));
        let open = RunOutcome {
            deadline: past,
            ..run(2, RunState::Running)
        };
        assert_eq!(
            subjects(&late("j", std::slice::from_ref(&open), now)),
            ["nightly"]
        );
        let in_time = RunOutcome {
            deadline: past,
            ..run(3, RunState::Succeeded)
        };
        assert_eq!(late("j", &[in_time, open.clone()], now), []);
        let ended_late = RunOutcome {
            late: true,
            ..run(3, RunState::Succeeded)
        };
        assert_eq!(subjects(&late("j", &[ended_late, open], now)), ["nightly"]);
    }
}
