//! `drift`: what the newest run over the whole table found about features and outputs.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{AlarmKind, Condition};
use crate::domain::evidence::drift::DriftVerdict;

/// Names in a sentence; all of them are in the evidence.
const NAMED: usize = 5;

/// What a run found about a feature or an output, over all rows.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftFinding {
    pub version: i32,
    pub feature: String,
    /// `reference` or `previous`.
    pub against: String,
    pub verdict: DriftVerdict,
    /// The population stability index.
    pub psi: Option<f64>,
}

/// Returns the versions of which features or outputs drifted. A version is compared with its
/// reference; where it has none, with the run before.
pub fn drifted(job: &str, run_id: Uuid, findings: &[DriftFinding]) -> Vec<Condition> {
    let versions: BTreeSet<i32> = findings.iter().map(|finding| finding.version).collect();
    versions
        .into_iter()
        .filter_map(|version| {
            let of = || findings.iter().filter(move |finding| finding.version == version);
            let has_reference = of().any(|finding| finding.against == "reference");
            let against = if has_reference { "reference" } else { "previous" };
            let judged = || of().filter(move |finding| finding.against == against);
            let drifted: Vec<&DriftFinding> =
                judged().filter(|finding| finding.verdict.is_drift()).collect();
            if drifted.is_empty() {
                return None;
            }
            let mut names: Vec<String> = drifted.iter().take(NAMED).map(|one| describe(one)).collect();
            if drifted.len() > NAMED {
                names.push(format!("{} more", drifted.len() - NAMED));
            }
            let mut evidence = BTreeMap::from([
                ("run_id".to_owned(), run_id.to_string()),
                ("version".to_owned(), version.to_string()),
                ("against".to_owned(), against.to_owned()),
            ]);
            evidence.extend(drifted.iter().map(|one| {
                let name = format!("feature {}", one.feature);
                (name, one.verdict.to_string())
            }));
            Some(Condition {
                job: job.to_owned(),
                kind: AlarmKind::Drift,
                subject: format!("version {version}"),
                what: format!(
                    "run {run_id}: {} of {} features and outputs of version {version} drifted from the {against}: {}",
                    drifted.len(),
                    judged().count(),
                    names.join(", ")
                ),
                evidence,
                run: Some(run_id),
            })
        })
        .collect()
}

fn describe(finding: &DriftFinding) -> String {
    let DriftFinding {
        feature, verdict, ..
    } = finding;
    match finding.psi {
        Some(psi) => format!("`{feature}` {verdict} (PSI {psi:.2})"),
        None => format!("`{feature}` {verdict}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alarm_a_version_names_what_drifted_from_the_reference() {
        let finding = |version, feature: &str, against: &str, verdict| DriftFinding {
            version,
            feature: feature.to_owned(),
            against: against.to_owned(),
            verdict,
            psi: Some(0.314),
        };
        let findings = [
            finding(1, "a", "reference", DriftVerdict::Drifted),
            finding(1, "b", "reference", DriftVerdict::Stable),
            finding(1, "b", "previous", DriftVerdict::Drifted),
            finding(2, "a", "reference", DriftVerdict::TooFew),
            finding(2, "a", "previous", DriftVerdict::Drifted),
            finding(3, "c", "previous", DriftVerdict::AllNull),
        ];
        let found = drifted("j", Uuid::nil(), &findings);
        let keys: Vec<_> = found.iter().map(Condition::key).collect();
        assert_eq!(keys, ["drift/version 1", "drift/version 3"]);
        assert!(
            found[0].what.contains("1 of 2 features"),
            "{}",
            found[0].what
        );
        assert!(found[0].what.contains("`a` drifted (PSI 0.31)"));
        assert_eq!(found[0].evidence["feature a"], "drifted");
    }
}
