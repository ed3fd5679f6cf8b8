//! Which version's prediction of a row is served: the champion's, or that of the row's arm while an
//! experiment runs. Runs, serving and `explain` all ask here.

use std::sync::Arc;

use super::CompiledJob;
use crate::{
    codec::schema::Column,
    domain::{
        evidence::experiment::allocation::{Allocation, append_unit},
        problem::Problem,
    },
};

/// What is served, as a run or a serving process knows it.
#[derive(Debug, Clone, Default)]
pub struct Served {
    /// The version of rows that are in no arm; `None`: it is not known, or nothing is served.
    pub champion: Option<i32>,
    /// The arms of the running experiment.
    pub arms: Option<Arc<Arms>>,
}

/// The place of a row in the running experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// In the arm with this index.
    Arm(usize),
    /// Its unit does not take part; the champion serves it.
    Outside,
    /// Its unit is null; the champion serves it.
    WithoutUnit,
}

impl Membership {
    /// Returns the arm.
    pub fn arm(self) -> Option<usize> {
        match self {
            Self::Arm(arm) => Some(arm),
            Self::Outside | Self::WithoutUnit => None,
        }
    }
}

/// The arms of an experiment, for the rows of a job.
#[derive(Debug, Clone)]
pub struct Arms {
    pub allocation: Allocation,
    /// The columns whose values are a unit: one column, or the key.
    unit: Vec<Column>,
    /// Where they are among a row's cells: key, columns of the job, `extra`.
    at: Vec<usize>,
    /// The unit's column, if the job reads it neither as a key nor as a feature.
    pub extra: Option<Column>,
    /// What `lineage.arm` says of each arm.
    labels: Vec<String>,
}

impl Arms {
    /// Finds the unit among what the job reads.
    ///
    /// # Errors
    /// The source has no such column.
    pub fn new(job: &CompiledJob, allocation: Allocation) -> Result<Self, Problem> {
        let read: Vec<&Column> = job.key.iter().chain(&job.columns).collect();
        let mut extra = None;
        let (unit, at) = match &allocation.unit {
            None => (job.key.clone(), (0..job.key.len()).collect()),
            Some(name) => match read.iter().position(|column| column.name == *name) {
                Some(at) => (vec![read[at].clone()], vec![at]),
                None => {
                    let found = job.source.column(name);
                    let found = found.ok_or_else(|| no_unit(job, &allocation, name))?;
                    extra = Some(found.clone());
                    (vec![found.clone()], vec![read.len()])
                }
            },
        };
        let labels = (0..allocation.arms.len()).map(|arm| allocation.label(arm));
        Ok(Self {
            labels: labels.collect(),
            allocation,
            unit,
            at,
            extra,
        })
    }

    /// Returns the unit's columns.
    pub fn unit(&self) -> &[Column] {
        &self.unit
    }

    /// Returns the place of a row. `cells`: the key, the job's columns, then [`Arms::extra`].
    /// `scratch` is overwritten.
    pub fn of_row(&self, cells: &[Option<&[u8]>], scratch: &mut Vec<u8>) -> Membership {
        let unit: Vec<_> = self
            .at
            .iter()
            .map(|at| cells.get(*at).copied().flatten())
            .collect();
        self.of_unit(&unit, scratch)
    }

    /// Returns the place of a unit; `cells` are those of [`Arms::unit`].
    pub fn of_unit(&self, cells: &[Option<&[u8]>], scratch: &mut Vec<u8>) -> Membership {
        let mut unit = Vec::with_capacity(32);
        if !append_unit(&self.unit, cells, &mut unit) {
            return Membership::WithoutUnit;
        }
        match self.allocation.arm_of(&unit, scratch) {
            Some(arm) => Membership::Arm(arm),
            None => Membership::Outside,
        }
    }

    /// Returns what `lineage.arm` says of an arm.
    pub fn label(&self, arm: usize) -> &str {
        &self.labels[arm]
    }

    /// Returns the index of the arm with this label.
    pub fn labelled(&self, label: &str) -> Option<usize> {
        self.labels.iter().position(|own| own == label)
    }
}

fn no_unit(job: &CompiledJob, allocation: &Allocation, name: &str) -> Problem {
    let message = format!(
        "{}.{} has no column `{name}`, the unit of experiment `{}`",
        job.source.keyspace, job.source.table, allocation.experiment
    );
    let help = format!(
        "helenus experiment stop {} {}",
        job.job, allocation.experiment
    );
    Problem::new("experiment.unknown_unit", message)
        .at("unit")
        .help(help)
}

impl Served {
    /// Returns the arm of a row; `None` if it is in none. `cells` as for [`Arms::of_row`].
    pub fn arm_of(&self, cells: &[Option<&[u8]>], scratch: &mut Vec<u8>) -> Option<usize> {
        self.arms.as_ref()?.of_row(cells, scratch).arm()
    }

    /// Returns the version that serves the rows of an arm, or of no arm.
    pub fn version_of(&self, arm: Option<usize>) -> Option<i32> {
        let champion = self.champion?;
        Some(match (&self.arms, arm) {
            (Some(arms), Some(arm)) => arms.allocation.arms[arm].version,
            _ => champion,
        })
    }

    /// Returns what `lineage.arm` says of an arm.
    pub fn label(&self, arm: Option<usize>) -> Option<&str> {
        Some(self.arms.as_ref()?.label(arm?))
    }

    /// Returns all versions that serve some rows, the champion first.
    pub fn versions(&self) -> Vec<i32> {
        let mut versions: Vec<i32> = self.champion.into_iter().collect();
        for arm in self.arms.iter().flat_map(|arms| &arms.allocation.arms) {
            if !versions.contains(&arm.version) {
                versions.push(arm.version);
            }
        }
        versions
    }
}

impl CompiledJob {
    /// Returns the columns that are read after the key: those of the job, then the unit of the
    /// running experiment if the job does not read it.
    pub fn read_columns(&self) -> impl Iterator<Item = &Column> {
        let arms = self.served.arms.as_ref();
        self.columns
            .iter()
            .chain(arms.and_then(|arms| arms.extra.as_ref()))
    }
}
