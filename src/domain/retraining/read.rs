//! Validates a row of `retrainings`.

use chrono_tz::Tz;

use super::{Retraining, RetrainingRow, TrainingSpec};
use crate::domain::{
    alarm::pattern::AlarmPattern,
    gate::CHALLENGER,
    model::{
        alias::{CHAMPION, PREVIOUS},
        check_name,
    },
    problem::Problem,
    trigger::{duration, schedule::Schedule},
};

const HELD_OUT: f64 = 0.2;
const SEED: i64 = 1;
const MIN_ROWS: i64 = 100;
const MAX_ROWS: i64 = 1_000_000;

impl Retraining {
    /// Validates a row.
    ///
    /// # Errors
    /// All problems, each with its column.
    pub fn read(row: &RetrainingRow) -> Result<Self, Vec<Problem>> {
        let mut reader = RetrainingReader {
            problems: Vec::new(),
        };
        let retraining = reader.retraining(row);
        match reader.problems.is_empty() {
            true => Ok(retraining),
            false => Err(reader.problems),
        }
    }
}

struct RetrainingReader {
    problems: Vec<Problem>,
}

impl RetrainingReader {
    fn wrong(&mut self, column: &str, message: impl Into<String>, help: &str) {
        let problem = Problem::new(&format!("retraining.{column}"), message);
        self.problems.push(problem.at(column).help(help));
    }

    fn needed(&mut self, column: &str, value: Option<&String>, help: &str) -> String {
        match value.filter(|text| !text.is_empty()) {
            Some(text) => text.clone(),
            None => {
                self.wrong(column, format!("`{column}` is missing"), help);
                String::new()
            }
        }
    }

    fn retraining(&mut self, row: &RetrainingRow) -> Retraining {
        if let Err(problem) = check_name("a retraining", &row.name) {
            self.problems.push(problem.at("name"));
        }
        let labels = self.needed(
            "labels",
            row.labels.as_ref(),
            "write KEYSPACE.TABLE.COLUMN: where the labels are",
        );
        if !labels.is_empty() && labels.split('.').filter(|part| !part.is_empty()).count() != 3 {
            let message = format!("`{labels}` is not a column");
            self.wrong("labels", message, "write KEYSPACE.TABLE.COLUMN");
        }
        let trainer = self.needed(
            "trainer",
            row.trainer.as_ref(),
            "name a trainer of the settings of `helenus trainer`",
        );
        if !trainer.is_empty()
            && let Err(problem) = check_name("a trainer", &trainer)
        {
            self.problems.push(problem.at("trainer"));
        }
        let spec = TrainingSpec {
            job: self.needed("job", row.job.as_ref(), "name the job whose rows are used"),
            trainer,
            labels,
            label_time: row.label_time.clone(),
            window_seconds: self.window(row),
            seed: self.at_least("seed", row.seed, SEED, 0),
            held_out: self.held_out(row.held_out),
            min_rows: self.at_least("min_rows", row.min_rows, MIN_ROWS, 1),
            max_rows: self.at_least("max_rows", row.max_rows, MAX_ROWS, 1),
            challenger: self.challenger(row),
            gate: row.gate.clone(),
            segment: row.segment.clone(),
        };
        if spec.min_rows > spec.max_rows {
            let help = "raise max_rows, or lower min_rows";
            self.wrong("min_rows", "min_rows is more than max_rows", help);
        }
        Retraining {
            model: row.model.clone(),
            name: row.name.clone(),
            spec,
            schedule: self.schedule(row),
            on_alarm: self.on_alarm(row),
            labelled_rows: row
                .labelled_rows
                .map(|rows| self.at_least("labelled_rows", Some(rows), 1, 1)),
            start: row.start,
            is_paused: row.paused == Some(true),
        }
    }

    fn at_least(&mut self, column: &str, value: Option<i64>, default: i64, least: i64) -> u64 {
        let value = value.unwrap_or(default);
        if value < least {
            let help = format!("write {least} or more");
            self.wrong(column, format!("invalid number {value}"), &help);
        }
        u64::try_from(value).unwrap_or_default()
    }

    fn held_out(&mut self, share: Option<f64>) -> f64 {
        let share = share.unwrap_or(HELD_OUT);
        if !(share > 0.0 && share < 1.0) {
            let help = "write a share above 0 and below 1, such as 0.2";
            self.wrong("held_out", format!("invalid share {share}"), help);
        }
        share
    }

    fn window(&mut self, row: &RetrainingRow) -> Option<u64> {
        let text = row.window.as_deref()?;
        if row.label_time.is_none() {
            let help = "name the column of the label table with the time of a label: label_time";
            self.wrong("window", "a window needs the time of labels", help);
        }
        match duration::parse(text) {
            Ok(window) => Some(window.as_secs()),
            Err(error) => {
                self.wrong("window", error, "write a duration such as 180d");
                None
            }
        }
    }

    fn challenger(&mut self, row: &RetrainingRow) -> String {
        let alias = row.challenger.clone();
        let alias = alias.unwrap_or_else(|| CHALLENGER.to_owned());
        if check_name("an alias", &alias).is_err() || [CHAMPION, PREVIOUS].contains(&&*alias) {
            let help = "name an alias such as challenger; only a gate moves the champion";
            let message = format!("a new version cannot get the alias `{alias}`");
            self.wrong("challenger", message, help);
        }
        alias
    }

    fn schedule(&mut self, row: &RetrainingRow) -> Option<Schedule> {
        let zone = row.time_zone.as_deref().unwrap_or("UTC");
        let Ok(zone) = zone.parse::<Tz>() else {
            let message = format!("unknown time zone `{zone}`");
            self.wrong("time_zone", message, "write a name such as Europe/Berlin");
            return None;
        };
        match Schedule::cron(row.cron.as_deref()?, zone) {
            Ok(schedule) => Some(schedule),
            Err(error) => {
                self.wrong("cron", error, "write five fields, such as `0 3 * * 0`");
                None
            }
        }
    }

    fn on_alarm(&mut self, row: &RetrainingRow) -> Option<AlarmPattern> {
        let pattern = AlarmPattern::parse(row.on_alarm.as_deref()?, "retraining.on_alarm");
        match pattern {
            Ok(pattern) => Some(pattern),
            Err(problem) => {
                self.problems.push(problem.at("on_alarm"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> RetrainingRow {
        RetrainingRow {
            model: "tumour".to_owned(),
            name: "weekly".to_owned(),
            job: Some("tumour".to_owned()),
            trainer: Some("lightgbm".to_owned()),
            labels: Some("clinic.outcomes.diagnosis".to_owned()),
            ..RetrainingRow::default()
        }
    }

    #[test]
    fn a_row_needs_job_trainer_and_labels_only() {
        let read = Retraining::read(&row()).unwrap();
        assert_eq!((read.spec.held_out, read.spec.seed), (0.2, 1));
        assert_eq!(read.spec.challenger, "challenger");
        assert!(read.schedule.is_none() && read.on_alarm.is_none());
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let odd = RetrainingRow {
            trainer: Some("rm -rf".to_owned()),
            labels: Some("outcomes".to_owned()),
            cron: Some("soon".to_owned()),
            on_alarm: Some("fire".to_owned()),
            held_out: Some(1.0),
            window: Some("30d".to_owned()),
            challenger: Some("champion".to_owned()),
            min_rows: Some(10),
            max_rows: Some(5),
            ..row()
        };
        let problems = Retraining::read(&odd).unwrap_err();
        let places: Vec<_> = problems
            .iter()
            .filter_map(|problem| problem.place.as_deref())
            .collect();
        for place in [
            "trainer",
            "labels",
            "cron",
            "on_alarm",
            "held_out",
            "window",
            "challenger",
            "min_rows",
        ] {
            assert!(places.contains(&place), "{place}: {places:?}");
        }
        let empty = RetrainingRow {
            model: "m".to_owned(),
            name: "n".to_owned(),
            ..RetrainingRow::default()
        };
        assert_eq!(Retraining::read(&empty).unwrap_err().len(), 3);
    }
}
