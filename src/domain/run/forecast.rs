//! Forecast of a run's rejections from a sample of the source's rows.

use std::collections::BTreeMap;

use crate::domain::job::{Guard, MaxRejected, Rules, rejection::Rejection};

/// Example keys stored per reason.
const EXAMPLES: usize = 3;

/// The result of a sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Forecast {
    /// Rows sampled.
    pub rows: u64,
    /// Whether the sample contains all rows of the source.
    pub is_whole: bool,
    /// By version of the model.
    pub versions: BTreeMap<i32, VersionForecast>,
}

/// The result for one version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VersionForecast {
    /// Rows that would be rejected before the model sees them.
    pub rejected: u64,
    /// Rows whose stored prediction is a rejection already.
    pub standing: u64,
    /// Rows that would be newly rejected.
    pub anew: u64,
    /// Reasons by code and subject.
    pub reasons: BTreeMap<(String, String), Reason>,
}

/// A reason for rejections.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reason {
    /// The text of its first occurrence.
    pub example: String,
    /// Number of rows.
    pub rows: u64,
    /// Keys of the first rows.
    pub keys: Vec<BTreeMap<String, String>>,
}

impl Forecast {
    /// Counts a row, after every version's outcome was added.
    pub fn count_row(&mut self) {
        self.rows += 1;
    }

    /// Adds a row's outcome for one version.
    pub fn take(
        &mut self,
        version: i32,
        outcome: Result<(), Rejection>,
        stands_rejected: bool,
        key: impl FnOnce() -> BTreeMap<String, String>,
    ) {
        let forecast = self.versions.entry(version).or_default();
        forecast.standing += u64::from(stands_rejected);
        let Err(rejection) = outcome else { return };
        forecast.rejected += 1;
        forecast.anew += u64::from(!stands_rejected);
        let about = (
            rejection.code.clone().into_owned(),
            rejection.subject().to_owned(),
        );
        let reason = forecast.reasons.entry(about).or_default();
        reason.rows += 1;
        if reason.keys.len() < EXAMPLES {
            reason.keys.push(key());
        }
        if reason.example.is_empty() {
            reason.example = rejection.to_string();
        }
    }

    /// Adds the result of another part of the sample.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        for (version, theirs) in other.versions {
            let mine = self.versions.entry(version).or_default();
            mine.rejected += theirs.rejected;
            mine.standing += theirs.standing;
            mine.anew += theirs.anew;
            for (about, theirs) in theirs.reasons {
                let mine = mine.reasons.entry(about).or_default();
                mine.rows += theirs.rows;
                let room = EXAMPLES.saturating_sub(mine.keys.len());
                mine.keys.extend(theirs.keys.into_iter().take(room));
                if mine.example.is_empty() {
                    mine.example = theirs.example;
                }
            }
        }
    }

    /// Returns the reason why a run under `rules` must not begin; `None` if it may. `table_rows` is
    /// the approximate number of rows of the source.
    ///
    /// Rows that are stored as rejected already do not count: rows that are always rejected block
    /// nothing.
    pub fn stops(&self, rules: &Rules, table_rows: u64) -> Option<String> {
        let mut versions = self.versions.iter();
        versions.find_map(|(number, version)| {
            let above = self.is_above(version, rules, table_rows)?;
            Some(format!(
                "guard: version {number} would newly reject {} of {} sampled rows, {above}; nothing was written. {}; for more, run `helenus job plan JOB --sample 1000`; fix the mapping, or permit this in [rules]: raise max_rejected, or set guard = false",
                version.anew,
                self.rows - version.standing,
                version.format_reasons(),
            ))
        })
    }

    fn is_above(&self, version: &VersionForecast, rules: &Rules, table: u64) -> Option<String> {
        let fresh = self.rows - version.standing;
        let allowed = rules.max_rejected;
        match rules.guard {
            Guard::Off => None,
            Guard::Half => {
                let is_normal = match allowed {
                    MaxRejected::Share(percent) => version.anew <= percent.of_rows(fresh),
                    MaxRejected::Count(rows) => self.foretold(version.anew, table) <= rows,
                };
                (version.anew > fresh / 2 && !is_normal).then(|| "more than half".to_owned())
            }
            Guard::MaxRejected => {
                let is_above = match (allowed, self.is_whole) {
                    (_, true) => version.anew > allowed.max_rows(self.rows),
                    (MaxRejected::Count(rows), false) => {
                        let share = rows as f64 / table.max(self.rows) as f64;
                        version.anew > rows || is_above_chance(version.anew, self.rows, share)
                    }
                    (MaxRejected::Share(percent), false) => {
                        is_above_chance(version.anew, self.rows, percent.share())
                    }
                };
                is_above.then(|| match allowed {
                    MaxRejected::Share(percent) => format!("more than max_rejected ({percent})"),
                    MaxRejected::Count(rows) => format!("more than max_rejected ({rows} rows)"),
                })
            }
        }
    }

    /// Returns the number of such rows in the table, extrapolated from the sample.
    fn foretold(&self, rows: u64, table: u64) -> u64 {
        let table = if self.is_whole { self.rows } else { table };
        (u128::from(rows) * u128::from(table.max(self.rows)) / u128::from(self.rows.max(1))) as u64
    }
}

impl VersionForecast {
    /// Returns the reasons, the most frequent first.
    pub fn by_frequency(&self) -> Vec<&Reason> {
        let mut reasons: Vec<_> = self.reasons.values().collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.rows));
        reasons
    }

    fn format_reasons(&self) -> String {
        const SHOWN: usize = 3;
        let reasons = self.by_frequency().into_iter().take(SHOWN);
        let texts = reasons.map(|reason| {
            let key = reason.keys.first().map(format_key).unwrap_or_default();
            format!(
                "{} ({} rows, for example {key})",
                reason.example, reason.rows
            )
        });
        texts.collect::<Vec<_>>().join("; ")
    }
}

/// Formats a key in one line.
pub fn format_key(key: &BTreeMap<String, String>) -> String {
    let key = key.iter().map(|(name, value)| format!("{name}={value}"));
    key.collect::<Vec<_>>().join(" ")
}

/// Returns whether `hits` of `rows` would occur by chance in fewer than one of a hundred samples if
/// at most this share of all rows were such: the binomial's tail, for independent rows. So a few
/// rows by chance stop no run.
fn is_above_chance(hits: u64, rows: u64, share: f64) -> bool {
    const CHANCE: f64 = 0.01;
    if share >= 1.0 || hits == 0 {
        return false;
    }
    if share <= 0.0 {
        return true;
    }
    let odds = (share / (1.0 - share)).ln();
    let mut ln_of_exactly = rows as f64 * (1.0 - share).ln();
    let mut fewer = 0.0;
    for at in 0..hits.min(rows) {
        fewer += ln_of_exactly.exp();
        ln_of_exactly += ((rows - at) as f64 / (at + 1) as f64).ln() + odds;
    }
    1.0 - fewer < CHANCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::percent::Percent;

    fn forecast(rows: u64, standing: u64, anew: u64, is_whole: bool) -> Forecast {
        let mut forecast = Forecast {
            is_whole,
            ..Forecast::default()
        };
        for row in 0..rows {
            let rejection = || Rejection::new("null", "feature `a` is null");
            let (stands, rejected) = (row < standing, row < standing + anew);
            let outcome = if rejected { Err(rejection()) } else { Ok(()) };
            let key = || BTreeMap::from([("id".to_owned(), row.to_string())]);
            forecast.take(3, outcome, stands, key);
            forecast.count_row();
        }
        forecast
    }

    fn rules(guard: Guard, max_rejected: MaxRejected) -> Rules {
        Rules {
            max_rejected,
            guard,
            delete_orphans: false,
            ttl_seconds: 0,
        }
    }

    fn share(percent: &str) -> MaxRejected {
        MaxRejected::Share(Percent::parse(percent).unwrap())
    }

    #[test]
    fn more_than_half_of_the_rows_that_would_be_new_rejections_stop_a_run() {
        let usual = rules(Guard::Half, share("0.1%"));
        let stops = |rows, standing, anew| {
            let forecast = forecast(rows, standing, anew, true);
            forecast.stops(&usual, rows).is_some()
        };
        assert!(stops(1, 0, 1) && stops(100, 0, 51) && stops(100, 60, 21));
        assert!(!stops(100, 0, 50) && !stops(0, 0, 0));
        // What always is rejected blocks nothing.
        assert!(!stops(100, 100, 0) && !stops(100, 60, 20));
        let reason = forecast(4, 0, 4, true).stops(&usual, 4).unwrap();
        for said in [
            "version 3",
            "4 of 4",
            "feature `a` is null",
            "4 rows, for example id=0",
        ] {
            assert!(reason.contains(said), "{reason}");
        }
    }

    #[test]
    fn what_the_manifest_calls_normal_does_not_stop_a_run() {
        let all = forecast(100, 0, 100, false);
        for (guard, allowed, table, stops) in [
            (Guard::Half, share("100%"), 1_000, false),
            (Guard::Half, share("99%"), 1_000, true),
            (Guard::Half, MaxRejected::Count(1_000), 1_000, false),
            (Guard::Half, MaxRejected::Count(1_000), 5_000, true),
            (Guard::Off, share("0%"), 1_000, false),
            (Guard::MaxRejected, share("0%"), 1_000, true),
        ] {
            let stopped = all.stops(&rules(guard, allowed), table);
            assert_eq!(
                stopped.is_some(),
                stops,
                "{guard:?} {allowed:?} {stopped:?}"
            );
        }
    }

    #[test]
    fn a_strict_guard_is_exact_for_a_small_table_and_allows_chance_for_a_sample() {
        let strict = rules(Guard::MaxRejected, share("29%"));
        let stops = |anew, whole, rules: &Rules| {
            let forecast = forecast(100, 0, anew, whole);
            forecast.stops(rules, 10_000).is_some()
        };
        assert!(!stops(29, true, &strict) && stops(30, true, &strict));
        assert!(!stops(30, false, &strict) && stops(45, false, &strict));
        let one_in_a_thousand = rules(Guard::MaxRejected, share("0.1%"));
        assert!(!stops(1, false, &one_in_a_thousand) && stops(5, false, &one_in_a_thousand));
        // scipy.stats.binom.sf(hits - 1, rows, share)
        for (hits, rows, share, is_above) in [
            (3, 512, 0.001, false), // 0.0153
            (4, 512, 0.001, true),  // 0.0019
            (40, 100, 0.29, false), // 0.0119
            (41, 100, 0.29, true),  // 0.0068
            (1, 512, 0.0, true),
            (512, 512, 1.0, false),
            (0, 0, 0.5, false),
        ] {
            assert_eq!(
                is_above_chance(hits, rows, share),
                is_above,
                "{hits} of {rows}"
            );
        }
    }

    #[test]
    fn reasons_are_counted_by_what_they_are_about_and_not_by_value() {
        let mut forecast = Forecast::default();
        for number in [16_777_217, 16_777_219] {
            let message = format!("feature `n`: float cannot represent {number} exactly");
            let rejection = Rejection::new("inexact", message);
            forecast.take(1, Err(rejection), false, BTreeMap::new);
        }
        let reasons = forecast.versions[&1].by_frequency();
        assert_eq!((reasons.len(), reasons[0].rows), (1, 2));
        assert!(reasons[0].example.contains("16777217"));
    }
}
