//! Automatic gates: their cooldown, and the evidence for a rollback.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Evidence, Gate, GateRow};
use crate::domain::trigger::duration;

/// Actions of a gate without an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acts {
    /// Minimum time since the alias's last change.
    pub cooldown: Duration,
    /// Whether it also rolls back.
    pub demotes: Demotes,
}

/// Whether a gate rolls back a version that turned out to be worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demotes {
    /// After two evaluations in a row.
    AfterTwo,
    /// Never: people decide.
    Never,
}

/// Reads the columns of an automatic gate; `None`: it waits for approvals.
///
/// # Errors
/// The invalid column, the problem and a remedy.
pub(super) fn read(row: &GateRow) -> Result<Option<Acts>, (&'static str, String, &'static str)> {
    let demotes = match row.demote {
        Some(true) => Demotes::AfterTwo,
        _ => Demotes::Never,
    };
    if row.auto != Some(true) {
        let help = "set auto = true: other gates move no alias";
        return match (demotes, &row.cooldown) {
            (Demotes::AfterTwo, _) => Err(("demote", "requires auto = true".to_owned(), help)),
            (_, Some(_)) => Err(("cooldown", "requires auto = true".to_owned(), help)),
            (Demotes::Never, None) => Ok(None),
        };
    }
    let help = "set the minimum time between two moves of the alias, such as 1d";
    let cooldown = row.cooldown.as_deref().ok_or_else(|| {
        let message = "an automatic gate requires a cooldown".to_owned();
        ("cooldown", message, help)
    })?;
    let cooldown = duration::parse(cooldown).map_err(|error| ("cooldown", error, help))?;
    Ok(Some(Acts { cooldown, demotes }))
}

/// Comparison of the version that an alias points at with the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Reasons why it does not count; empty if it counts.
    pub reasons: Vec<String>,
    /// Improvement over the version before; negative if it is worse.
    pub improvement: Option<f64>,
    /// Upper end of its confidence sequence, valid at every look.
    pub high: Option<f64>,
}

impl Comparison {
    /// Returns whether it may be one of the two.
    pub fn counts(&self) -> bool {
        self.reasons.is_empty()
    }

    /// Returns whether it shows that the version is worse.
    pub fn is_worse(&self) -> bool {
        self.counts() && self.high.is_some_and(|high| high < 0.0)
    }
}

impl Evidence {
    /// Returns the comparison of the baseline with the version.
    pub fn mirrored(self) -> Self {
        let Some(baseline) = self.baseline else {
            return self;
        };
        let [version, before] = self.unusable;
        Self {
            baseline: Some(self.version),
            version: baseline,
            unusable: [before, version],
            differences: self.differences.into_iter().map(|(m, d)| (m, -d)).collect(),
            // Segments are of the version, and a demotion ignores them.
            segments: None,
            ..self
        }
    }
}

impl Gate {
    /// Compares the version that the alias points at with `before`, by the rules of a promotion.
    pub fn compare_with(&self, evidence: &Evidence, before: i32, now: DateTime<Utc>) -> Comparison {
        let mut reasons = Vec::new();
        self.check_evidence(evidence, Some(before), now, &mut reasons);
        let difference = evidence.differences.get(&self.metric);
        let error = evidence.standard_errors.get(&self.metric);
        let improvement = difference.map(|difference| self.better.improvement(*difference));
        let bound = evidence.bounds.get(&self.metric).copied().unwrap_or(0.0);
        let high = improvement.zip(error).map(|(improvement, error)| {
            improvement + bound + self.margin(*error, evidence.evaluated)
        });
        if high.is_none() {
            reasons.push(self.without_interval());
        } else if error == Some(&0.0) {
            reasons.push(self.without_variation());
        }
        Comparison {
            reasons,
            improvement,
            high,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{evidence, gate, now},
        *,
    };

    fn row(auto: Option<bool>, demote: Option<bool>, cooldown: Option<&str>) -> GateRow {
        GateRow {
            auto,
            demote,
            cooldown: cooldown.map(str::to_owned),
            ..GateRow::default()
        }
    }

    #[test]
    fn acting_must_be_chosen_with_a_cooldown() {
        let place = |row| read(&row).map_err(|(place, ..)| place);
        assert_eq!(place(row(None, None, None)), Ok(None));
        assert_eq!(place(row(Some(false), Some(false), None)), Ok(None));
        assert_eq!(place(row(None, Some(true), None)), Err("demote"));
        assert_eq!(place(row(None, None, Some("1d"))), Err("cooldown"));
        assert_eq!(place(row(Some(true), None, None)), Err("cooldown"));
        assert_eq!(place(row(Some(true), None, Some("soon"))), Err("cooldown"));
        let acts = place(row(Some(true), Some(true), Some("1d"))).unwrap();
        assert_eq!(
            acts,
            Some(Acts {
                cooldown: Duration::from_secs(86_400),
                demotes: Demotes::AfterTwo
            })
        );
    }

    #[test]
    fn only_what_is_surely_worse_speaks_for_going_back() {
        let look = |evidence: &Evidence| gate().compare_with(evidence, 3, now());
        assert!(!look(&evidence()).is_worse());
        // Of 3 against 4: what is better for one is worse for the other.
        let mirrored = Evidence {
            version: 3,
            baseline: Some(4),
            ..evidence()
        };
        let mirrored = mirrored.mirrored();
        assert_eq!((mirrored.version, mirrored.baseline), (4, Some(3)));
        let looked = look(&mirrored);
        assert!(looked.is_worse(), "{looked:?}");
        assert_eq!(looked.improvement, Some(-0.02));
        let metric = |value: f64| [("roc_auc".to_owned(), value)].into();
        let doubtful = Evidence {
            standard_errors: metric(0.008),
            ..mirrored.clone()
        };
        assert!(look(&doubtful).counts() && !look(&doubtful).is_worse());
        // Binning may have made it.
        let binned = Evidence {
            bounds: metric(0.02),
            ..mirrored.clone()
        };
        assert!(!look(&binned).is_worse());
        for useless in [
            Evidence {
                leakage_checked: false,
                ..mirrored.clone()
            },
            Evidence {
                evaluated: 10,
                ..mirrored.clone()
            },
            Evidence {
                baseline: Some(2),
                ..mirrored.clone()
            },
            Evidence {
                standard_errors: metric(0.0),
                ..mirrored.clone()
            },
        ] {
            assert!(!look(&useless).counts(), "{useless:?}");
            assert!(!look(&useless).is_worse());
        }
    }
}
