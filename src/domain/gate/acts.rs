//! Gates that act by themselves: what they wait for, and what speaks for going back.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Evidence, Gate, GateRow};
use crate::domain::{evaluation::report::higher_is_better, trigger::duration};

/// What a gate may do without an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acts {
    /// Not before so long after the alias's last change.
    pub cooldown: Duration,
    /// Whether it rolls back, too.
    pub demotes: Demotes,
}

/// Whether a gate rolls back what turned out worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demotes {
    /// After two evaluations in a row.
    AfterTwo,
    /// That is for people.
    Never,
}

/// Reads the columns of a gate that acts; `None`: it waits for approvals.
///
/// # Errors
/// The column that makes no sense, what is wrong, and what would help.
pub(super) fn read(row: &GateRow) -> Result<Option<Acts>, (&'static str, String, &'static str)> {
    let demotes = match row.demote {
        Some(true) => Demotes::AfterTwo,
        _ => Demotes::Never,
    };
    if row.auto != Some(true) {
        let help = "without auto = true a gate moves nothing";
        return match (demotes, &row.cooldown) {
            (Demotes::AfterTwo, _) => Err(("demote", "it is wanted without auto".to_owned(), help)),
            (_, Some(_)) => Err(("cooldown", "it is named without auto".to_owned(), help)),
            (Demotes::Never, None) => Ok(None),
        };
    }
    let help = "how long an alias stays where it is before a gate moves it again, such as 1d";
    let cooldown = row.cooldown.as_deref().ok_or_else(|| {
        let message = "a gate that acts needs a cool-down".to_owned();
        ("cooldown", message, help)
    })?;
    let cooldown = duration::parse(cooldown).map_err(|error| ("cooldown", error, help))?;
    Ok(Some(Acts { cooldown, demotes }))
}

/// What an evaluation says of the version that an alias points at, held against the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    /// Why it does not count; none: it does.
    pub reasons: Vec<String>,
    /// Improvement over the version before; negative: it is worse.
    pub improvement: Option<f64>,
    /// The upper end of that, whatever the number of looks.
    pub high: Option<f64>,
}

impl Looked {
    /// Whether it may be one of two.
    pub fn counts(&self) -> bool {
        self.reasons.is_empty()
    }

    /// Whether it shows the version worse.
    pub fn is_worse(&self) -> bool {
        self.counts() && self.high.is_some_and(|high| high < 0.0)
    }
}

impl Evidence {
    /// The same, of the baseline against the version.
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
            // They speak of the version; a demotion does not go by them.
            segments: None,
            ..self
        }
    }
}

impl Gate {
    /// Looks at the version that the alias points at, held against `before`. Counts what would count
    /// for a promotion.
    pub fn look_back(&self, evidence: &Evidence, before: i32, now: DateTime<Utc>) -> Looked {
        let mut reasons = Vec::new();
        self.check_evidence(evidence, Some(before), now, &mut reasons);
        let sign = match higher_is_better(&self.metric) {
            true => 1.0,
            false => -1.0,
        };
        let difference = evidence.differences.get(&self.metric);
        let error = evidence.standard_errors.get(&self.metric);
        let improvement = difference.map(|difference| sign * difference);
        let bound = evidence.bounds.get(&self.metric).copied().unwrap_or(0.0);
        let high = improvement.zip(error).map(|(improvement, error)| {
            improvement + bound + self.margin(*error, evidence.evaluated)
        });
        if high.is_none() {
            reasons.push(format!(
                "{} has no difference with an interval",
                self.metric
            ));
        } else if error == Some(&0.0) {
            reasons.push(format!("{} does not vary", self.metric));
        }
        Looked {
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
        let look = |evidence: &Evidence| gate().look_back(evidence, 3, now());
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
