//! `constant_output` and `moved_output`: what a run found of its outputs, as its warnings report it.

use super::{AlarmKind, Condition, RunOutcome, runs::evidence_of};
use crate::domain::{
    evidence::statistics::warning::{MIN_ROWS, OutputWarning},
    run::RunState,
};

/// Returns the outputs that are constant, or whose labels moved, in the newest run over the whole
/// table that scored enough rows. `runs` are newest first.
///
/// A run that scored only what changed since the last one says nothing about a distribution.
pub fn warned(job: &str, runs: &[RunOutcome]) -> Vec<Condition> {
    let is_enough = |run: &&RunOutcome| {
        let most = run.counts.scored.values().max().copied();
        run.whole && run.state == RunState::Succeeded && most.unwrap_or_default() > MIN_ROWS
    };
    let Some(run) = runs.iter().find(is_enough) else {
        return Vec::new();
    };
    let warnings = run.warnings.iter();
    let found = warnings.filter_map(|warning| Some((warning, OutputWarning::parse(warning)?)));
    found
        .map(|(text, warning)| {
            let mut evidence = evidence_of(run);
            evidence.insert("version".to_owned(), warning.version.to_string());
            evidence.insert("column".to_owned(), warning.column.to_owned());
            Condition {
                job: job.to_owned(),
                kind: match warning.is_constant {
                    true => AlarmKind::ConstantOutput,
                    false => AlarmKind::MovedOutput,
                },
                subject: format!("version {}: {}", warning.version, warning.column),
                what: format!("run {}: {text}", run.run_id),
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
    fn a_run_that_scored_few_rows_hides_nothing() {
        let warned_run = |number, scored, warnings: &[&str]| {
            let mut run = run(number, RunState::Succeeded);
            run.counts.scored.insert(3, scored);
            run.warnings = warnings.iter().map(|text| (*text).to_owned()).collect();
            run
        };
        let constant = "constant_output: version 3: `label` is `a` for all 569 rows scored";
        let runs = [
            warned_run(3, 5, &[]),
            warned_run(2, 569, &[constant, "order_unproven: version 3"]),
        ];
        let found = warned("j", &runs);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].key(), "constant_output/version 3: label");
        assert_eq!(found[0].run, Some(runs[1].run_id));
        assert_eq!(warned("j", &[warned_run(4, 569, &[]), runs[1].clone()]), []);
    }
}
