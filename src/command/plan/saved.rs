//! Plans that were saved to be applied later.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FolderPlan, step_json};
use crate::{domain::problem::Problem, failure::Failure};

/// What a saved plan's file begins with.
const SCHEMA: &str = "helenus-plan/1";

/// A plan as it is saved: what it was made for, and what it would write.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedPlan {
    schema: String,
    folder: String,
    database: String,
    prune: bool,
    commit: Option<String>,
    /// For people.
    steps: Vec<Value>,
}

impl SavedPlan {
    /// Returns what is saved of a plan.
    pub fn from_plan(planned: &FolderPlan, prune: bool, commit: Option<String>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            folder: planned.folder.clone(),
            database: planned.database.clone(),
            prune,
            commit,
            steps: written(planned),
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Exit 2: it can't be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).map_err(|error| unusable(path, &error))?;
        std::fs::write(path, text + "\n").map_err(|error| unusable(path, &error))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Exit 2: it can't be read, or is not a plan.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| unusable(path, &error))?;
        let saved: Self = serde_json::from_str(&text).map_err(|error| unusable(path, &error))?;
        match saved.schema == SCHEMA {
            true => Ok(saved),
            false => Err(unusable(path, &format!("its schema is not {SCHEMA}"))),
        }
    }

    /// Checks that the plan is still the one that would be made now.
    ///
    /// # Errors
    /// Exit 4: the folder or the database changed since.
    pub fn check(&self, now: &FolderPlan) -> Result<(), Failure> {
        let stale = |what: &str| {
            let problem = Problem::new("plan.stale", what);
            Err(Failure::conflict(
                problem.help("run `helenus plan` again and look at the new plan"),
            ))
        };
        if self.folder != now.folder {
            return stale("the folder is not the one that the plan was made for");
        }
        if self.database != now.database {
            return stale("the database has changed since the plan was made");
        }
        if self.steps != written(now) {
            return stale("the plan would write something else now");
        }
        Ok(())
    }
}

/// Returns the steps that write something, without what checks found: that may depend on the machine.
fn written(planned: &FolderPlan) -> Vec<Value> {
    let steps = planned.steps.iter();
    let writes = steps.filter(|one| one.step.action.is_write());
    let plain = writes.map(|checked| {
        let mut json = step_json(checked);
        for key in ["warnings", "problems"] {
            json.as_object_mut().map(|object| object.remove(key));
        }
        json
    });
    plain.collect()
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let problem = Problem::new("plan.file", format!("the plan cannot be used: {error}"));
    Failure::input(problem.at(path.display().to_string()))
}
