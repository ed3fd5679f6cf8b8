//! `rejected_share`: the last run over the whole table rejected a large share of the rows.

use super::{AlarmKind, Condition, RunOutcome, runs::evidence_of};
use crate::domain::{percent::Percent, run::RunState};

/// Minimum number of rows of which a share says something.
const MIN_ROWS: u64 = 100;

/// Returns the versions of which more than `limit` of the rows were rejected. `runs` are newest
/// first.
pub fn share(job: &str, runs: &[RunOutcome], limit: Percent) -> Vec<Condition> {
    let is_whole = |run: &&RunOutcome| {
        run.whole && matches!(run.state, RunState::Succeeded | RunState::Failed)
    };
    let Some(run) = runs.iter().find(is_whole) else {
        return Vec::new();
    };
    let of = |version: i32| {
        let count = |counts: &std::collections::BTreeMap<i32, u64>| {
            counts.get(&version).copied().unwrap_or_default()
        };
        let rejected = count(&run.counts.rejected);
        (
            rejected,
            rejected + count(&run.counts.scored) + count(&run.counts.unchanged),
        )
    };
    let versions = run.versions.iter().map(|version| (*version, of(*version)));
    versions
        .filter(|(_, (rejected, rows))| *rows >= MIN_ROWS && *rejected > limit.of_rows(*rows))
        .map(|(version, (rejected, rows))| {
            let mut evidence = evidence_of(run);
            for (name, value) in [
                ("version", version.to_string()),
                ("rejected", rejected.to_string()),
                ("rows", rows.to_string()),
                ("limit", limit.to_string()),
            ] {
                evidence.insert(name.to_owned(), value);
            }
            Condition {
                job: job.to_owned(),
                kind: AlarmKind::RejectedShare,
                subject: format!("version {version}"),
                what: format!(
                    "run {} rejected {rejected} of {rows} rows for version {version}; the limit is {limit}",
                    run.run_id
                ),
                evidence,
                run: Some(run.run_id),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alarm::tests::run;

    #[test]
    fn a_share_above_the_limit_alarms_and_few_rows_do_not() {
        let limit = Percent::parse("1%").unwrap();
        let of = |rejected: u64, scored: u64| {
            let mut run = run(1, RunState::Succeeded);
            run.counts.rejected.insert(1, rejected);
            run.counts.scored.insert(1, scored);
            run
        };
        assert_eq!(share("j", &[of(2, 98)], limit).len(), 1);
        assert_eq!(share("j", &[of(1, 99)], limit), []);
        assert_eq!(share("j", &[of(50, 49)], limit), []);
        let partly = RunOutcome {
            whole: false,
            ..of(90, 10)
        };
        assert_eq!(share("j", &[partly, of(0, 100)], limit), []);
    }
}
