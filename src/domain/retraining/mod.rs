//! Retraining: when a model is trained again, by whom, on which rows, and what becomes of it.

pub mod due;
pub mod held_out;
mod read;
pub mod state;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{alarm::pattern::AlarmPattern, trigger::schedule::Schedule};
use held_out::HeldOut;

/// A row of `retrainings` as written by a person.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RetrainingRow {
    pub model: String,
    pub name: String,
    pub job: Option<String>,
    pub trainer: Option<String>,
    pub labels: Option<String>,
    pub label_time: Option<String>,
    pub cron: Option<String>,
    pub time_zone: Option<String>,
    pub on_alarm: Option<String>,
    pub labelled_rows: Option<i64>,
    pub start: Option<Uuid>,
    pub window: Option<String>,
    pub held_out: Option<f64>,
    pub seed: Option<i64>,
    pub min_rows: Option<i64>,
    pub max_rows: Option<i64>,
    pub challenger: Option<String>,
    pub gate: Option<String>,
    pub segment: Option<String>,
    pub paused: Option<bool>,
    pub removed: Option<bool>,
    pub created_by: Option<String>,
    pub note: Option<String>,
}

/// A valid retraining.
#[derive(Debug, Clone)]
pub struct Retraining {
    pub model: String,
    /// Its name, unique among the model's retrainings.
    pub name: String,
    pub spec: TrainingSpec,
    /// The clock by which it is due.
    pub schedule: Option<Schedule>,
    pub on_alarm: Option<AlarmPattern>,
    /// Labelled rows more than at the last training.
    pub labelled_rows: Option<u64>,
    /// Changes when a person asks for a training.
    pub start: Option<Uuid>,
    pub is_paused: bool,
}

/// What a trainer needs to know; a request keeps it as it was when it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingSpec {
    /// The job whose source and features are used.
    pub job: String,
    /// The name that a trainer's settings map to a command.
    pub trainer: String,
    /// `keyspace.table.column`.
    pub labels: String,
    /// Column of the label table that says when a label was known.
    pub label_time: Option<String>,
    /// Only labels known within this time.
    pub window_seconds: Option<u64>,
    pub seed: u64,
    /// Share of the partitions that the trainer does not see.
    pub held_out: f64,
    /// Fewer training rows are an error.
    pub min_rows: u64,
    /// More training rows are an error.
    pub max_rows: u64,
    /// The alias that the version gets.
    pub challenger: String,
    /// The gate that judges it.
    pub gate: Option<String>,
    /// Source column whose values are the segments of the evaluation.
    pub segment: Option<String>,
}

impl TrainingSpec {
    /// Returns which rows are held out.
    pub fn held_out(&self) -> HeldOut {
        HeldOut {
            seed: self.seed,
            share: self.held_out,
        }
    }
}
