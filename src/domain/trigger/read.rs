//! Validates a row of `triggers`.

use std::{collections::BTreeSet, fmt, time::Duration};

use chrono_tz::Tz;

use super::{Missed, Overlap, Trigger, TriggerRow, When, duration, schedule::Schedule};
use crate::domain::{
    alarm::pattern::AlarmPattern,
    model::{alias::PREVIOUS, check_name},
    names::{as_identifier, nearest},
    problem::Problem,
};

/// Default and maximum of `missed_limit`.
const MISSED_LIMIT: (u32, u32) = (100, 10_000);
/// Time zones in all known spellings.
const ZONES: &[Tz] = &chrono_tz::TZ_VARIANTS;

impl Trigger {
    /// Validates a row.
    ///
    /// # Errors
    /// All problems, each with its column.
    pub fn read(row: &TriggerRow) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader {
            row,
            problems: Vec::new(),
        };
        let trigger = reader.trigger();
        match trigger {
            Some(trigger) if reader.problems.is_empty() => Ok(trigger),
            _ => Err(reader.problems),
        }
    }
}

struct Reader<'r> {
    row: &'r TriggerRow,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn wrong(&mut self, column: &str, message: impl Into<String>, help: &str) {
        let problem = Problem::new(&format!("trigger.{column}"), message).at(column);
        self.problems.push(match help {
            "" => problem,
            help => problem.help(help),
        });
    }

    fn trigger(&mut self) -> Option<Trigger> {
        let row = self.row;
        // Runs name the trigger that started them; `request` marks those that people requested.
        if row.name == "request" || check_name("a trigger", &row.name).is_err() {
            self.wrong(
                "name",
                format!("`{}` is not a valid name for a trigger", row.name),
                "use a lower-case letter, then lower-case letters, digits and `_`; 48 at most, and not `request`",
            );
        }
        let when = self.when();
        let is_scheduled = matches!(when, Some(When::Scheduled(_)));
        let is_pending = matches!(when, Some(When::Pending { .. }));
        if when.is_some() {
            self.only(
                is_scheduled,
                "cron and every",
                &["missed", "missed_limit", "jitter"],
            );
            self.only(is_pending, "pending_rows and oldest_wait", &["use_hints"]);
            self.only(row.cron.is_some(), "cron", &["time_zone"]);
        }
        let overlap = self.overlap(&when);
        let missed = self.missed();
        let jitter = self.duration("jitter", row.jitter.as_deref());
        if let (Some(jitter), Some(When::Scheduled(Schedule::Every(every)))) = (jitter, &when)
            && jitter >= *every
        {
            self.wrong(
                "jitter",
                "the jitter must be shorter than the interval",
                "reduce the jitter: ticks would overtake each other",
            );
        }
        let deadline = self.duration("deadline", row.deadline.as_deref());
        let rewrite = match row.scope.as_deref() {
            None | Some("pending") => false,
            Some("all") => true,
            Some(other) => {
                self.wrong(
                    "scope",
                    format!("scope `{other}` is not supported in triggers"),
                    "write pending (or null) or all",
                );
                false
            }
        };
        if rewrite && is_pending {
            self.wrong(
                "scope",
                "a trigger on pending rows always scores pending rows",
                "set scope to null",
            );
        }
        if row.max_rows_per_s.is_some_and(|rows| rows < 1) {
            self.wrong(
                "max_rows_per_s",
                "`max_rows_per_s` must be at least 1",
                "write null for no limit",
            );
        }
        Some(Trigger {
            job: row.job.clone(),
            name: row.name.clone(),
            when: when?,
            overlap,
            missed,
            jitter: jitter.unwrap_or_default(),
            deadline,
            rewrite,
            versions: row.versions.clone().filter(|versions| !versions.is_empty()),
            priority: row.priority.unwrap_or_default(),
            max_rows_per_s: row.max_rows_per_s,
        })
    }

    fn when(&mut self) -> Option<When> {
        let row = self.row;
        let given: Vec<&str> = [
            ("cron", row.cron.is_some()),
            ("every", row.every.is_some()),
            (
                "pending_rows/oldest_wait",
                row.pending_rows.is_some() || row.oldest_wait.is_some(),
            ),
            ("after_job", row.after_job.is_some()),
            ("on_promotion", row.on_promotion.is_some()),
            ("on_alarm", row.on_alarm.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect();
        match given.as_slice() {
            ["cron"] => self.cron(),
            ["every"] => self
                .duration("every", row.every.as_deref())
                .map(|every| When::Scheduled(Schedule::Every(every))),
            ["pending_rows/oldest_wait"] => self.pending(),
            ["after_job"] => self.after(),
            ["on_promotion"] => self.promotion(),
            ["on_alarm"] => self.alarm(),
            [] => {
                self.problems.push(
                    Problem::new("trigger.no_kind", "the row does not specify when it fires")
                        .help("set exactly one of cron, every, pending_rows and/or oldest_wait, after_job, on_promotion, on_alarm"),
                );
                None
            }
            several => {
                self.problems.push(
                    Problem::new(
                        "trigger.several_kinds",
                        format!("the row specifies several events: {}", several.join(", ")),
                    )
                    .help("write one trigger for each"),
                );
                None
            }
        }
    }

    fn cron(&mut self) -> Option<When> {
        let pattern = self.row.cron.as_deref()?;
        let zone = match self.row.time_zone.as_deref() {
            None => Some(Tz::UTC),
            Some(name) => match name.parse::<Tz>() {
                Ok(zone) => Some(zone),
                Err(_) => {
                    let near = nearest(&as_identifier(name), ZONES.iter().map(|zone| zone.name()));
                    let help = near.map_or_else(
                        || {
                            "use a name of the IANA time zone database, such as Europe/Rome"
                                .to_owned()
                        },
                        |near| format!("did you mean {near}?"),
                    );
                    self.wrong("time_zone", format!("unknown time zone `{name}`"), &help);
                    None
                }
            },
        };
        match Schedule::cron(pattern, zone.unwrap_or(Tz::UTC)) {
            Ok(schedule) => zone.map(|_| When::Scheduled(schedule)),
            Err(error) => {
                self.wrong(
                    "cron",
                    format!("`{pattern}`: {error}"),
                    "write minute hour day month weekday, optionally preceded by second",
                );
                None
            }
        }
    }

    fn pending(&mut self) -> Option<When> {
        let row = self.row;
        let oldest = self.duration("oldest_wait", row.oldest_wait.as_deref());
        if row.pending_rows.is_some_and(|rows| rows < 1) {
            self.wrong("pending_rows", "`pending_rows` must be at least 1", "");
            return None;
        }
        Some(When::Pending {
            rows: row.pending_rows.and_then(|rows| u64::try_from(rows).ok()),
            oldest,
            hints: row.use_hints == Some(true),
        })
    }

    fn after(&mut self) -> Option<When> {
        let list = self.row.after_job.as_deref()?;
        let jobs: BTreeSet<String> = list.split(',').map(|job| job.trim().to_owned()).collect();
        if jobs.iter().any(String::is_empty) {
            self.wrong(
                "after_job",
                format!("`{list}` has an empty name"),
                "separate job names with commas",
            );
            return None;
        }
        if jobs.contains(&self.row.job) {
            self.wrong(
                "after_job",
                format!("cycle: {0} → {0}", self.row.job),
                "remove the job itself: it cannot run after itself",
            );
            return None;
        }
        Some(When::After(jobs))
    }

    fn promotion(&mut self) -> Option<When> {
        let alias = self.row.on_promotion.as_deref()?;
        if alias == PREVIOUS || check_name("an alias", alias).is_err() {
            self.wrong(
                "on_promotion",
                format!("`{alias}` is not an alias that can be moved"),
                "name an alias such as champion, with which `previous` also moves",
            );
            return None;
        }
        Some(When::Promotion(alias.to_owned()))
    }

    fn alarm(&mut self) -> Option<When> {
        match AlarmPattern::parse(self.row.on_alarm.as_deref()?, "trigger.on_alarm") {
            Ok(pattern) => Some(When::Alarm(pattern)),
            Err(problem) => {
                self.problems.push(problem.at("on_alarm"));
                None
            }
        }
    }

    fn overlap(&mut self, when: &Option<When>) -> Overlap {
        let is_pending = matches!(when, Some(When::Pending { .. }));
        match self.row.overlap.as_deref() {
            // A skipped event does not recur, a tick does.
            None => match when {
                Some(When::After(_) | When::Promotion(_) | When::Alarm(_)) => Overlap::Queue,
                _ => Overlap::Skip,
            },
            Some("skip") => Overlap::Skip,
            Some("queue" | "cancel") if is_pending => {
                self.wrong(
                    "overlap",
                    "a trigger on pending rows always waits for the open run",
                    "set overlap to null",
                );
                Overlap::Skip
            }
            Some("queue") => Overlap::Queue,
            Some("cancel") => Overlap::Cancel,
            Some(other) => {
                self.wrong(
                    "overlap",
                    format!("unknown overlap `{other}`"),
                    "use skip, queue or cancel",
                );
                Overlap::Skip
            }
        }
    }

    fn missed(&mut self) -> Missed {
        let row = self.row;
        let is_all = row.missed.as_deref() == Some("all");
        if row.missed_limit.is_some() && !is_all {
            self.wrong("missed_limit", "`missed_limit` requires missed = 'all'", "");
        }
        match row.missed.as_deref() {
            None | Some("once") => Missed::Once,
            Some("skip") => Missed::Skip,
            Some("all") => match u32::try_from(row.missed_limit.unwrap_or(MISSED_LIMIT.0 as i32)) {
                Ok(limit) if (1..=MISSED_LIMIT.1).contains(&limit) => Missed::All(limit),
                _ => {
                    self.wrong(
                        "missed_limit",
                        format!("`missed_limit` must be 1 to {}", MISSED_LIMIT.1),
                        "",
                    );
                    Missed::Once
                }
            },
            Some(other) => {
                self.wrong(
                    "missed",
                    format!("unknown value `{other}` of missed"),
                    "use once, all or skip",
                );
                Missed::Once
            }
        }
    }

    fn duration(&mut self, column: &str, text: Option<&str>) -> Option<Duration> {
        match duration::parse(text?) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.wrong(column, error, "");
                None
            }
        }
    }

    /// Reports columns that do not apply to this kind of trigger.
    fn only(&mut self, fits: bool, kinds: &str, columns: &[&str]) {
        let row = self.row;
        for column in columns {
            let given = match *column {
                "missed" => row.missed.is_some(),
                "missed_limit" => row.missed_limit.is_some(),
                "jitter" => row.jitter.is_some(),
                "use_hints" => row.use_hints == Some(true),
                _ => row.time_zone.is_some(),
            };
            if given && !fits {
                self.wrong(
                    column,
                    format!("`{column}` applies to {kinds} only"),
                    "set it to null",
                );
            }
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheduled(schedule) => schedule.fmt(f),
            Self::Pending {
                rows,
                oldest,
                hints,
            } => {
                let rows = rows.map(|rows| format!("pending rows >= {rows}"));
                let oldest =
                    oldest.map(|oldest| format!("oldest waits >= {}", duration::spoken(oldest)));
                let either: Vec<String> = rows.into_iter().chain(oldest).collect();
                f.write_str(&either.join(" or "))?;
                f.write_str(if *hints { ", with hints" } else { "" })
            }
            Self::After(jobs) => {
                let jobs: Vec<&str> = jobs.iter().map(String::as_str).collect();
                write!(f, "after {}", jobs.join(", "))
            }
            Self::Promotion(alias) => write!(f, "when {alias} moves"),
            Self::Alarm(pattern) => write!(f, "on alarm {pattern}"),
        }
    }
}
