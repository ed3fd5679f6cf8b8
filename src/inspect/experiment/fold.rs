//! Aggregates each entity into the counts and outcomes of its arm.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::outcome::OutcomeReader;
use crate::{
    codec::cql_type::CqlType,
    domain::{
        evidence::{
            evaluation::{GROUPS, Merge, partial::Partial},
            experiment::{
                allocation::append_unit,
                arm_sums::ArmSums,
                units::{Stage, Units},
            },
        },
        job::served::{Arms, Membership},
    },
    inspect::{
        evaluate::EvaluateFold,
        pass::{Entity, Fold, Label, Standing},
    },
};

/// What decides an experiment.
pub enum Measured {
    /// A metric of predictions against labels: a fold of each arm's version, and one of all versions
    /// on the same rows if they differ.
    Metric {
        arms: Vec<EvaluateFold>,
        paired: Option<Box<EvaluateFold>>,
    },
    /// The mean of the label column.
    Mean(Box<OutcomeReader>),
}

/// Counts and sums what happened in each arm.
pub struct ExperimentFold {
    pub arms: Arms,
    /// Arm → index of its version in the pass.
    pub versions: Vec<usize>,
    /// Whether units have several rows, which are then not independent.
    pub is_clustered: bool,
    pub measured: Measured,
    /// Type of the labels' time column; `None` if none was named.
    pub time: Option<CqlType>,
    /// Labels known before this do not count: milliseconds since 1970.
    pub started_ms: i64,
}

/// What was found in some entities.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExperimentPart {
    /// Arm → rows that reached each stage.
    pub rows: Vec<[u64; 3]>,
    /// The units, where they have several rows.
    pub units: Units,
    pub without_unit: u64,
    pub outside: u64,
    pub early: u64,
    pub leaked: u64,
    /// Labels that are not numbers.
    pub unreadable: u64,
    /// Arm → its rows' predictions against their labels.
    pub metrics: Vec<Partial>,
    /// All versions' predictions of the same rows.
    pub paired: Option<Partial>,
    /// Arm → outcomes by group of units.
    pub outcomes: Vec<Vec<ArmSums>>,
    /// Arm → the outcomes that have a covariate.
    pub with_covariate: Vec<ArmSums>,
}

impl ExperimentFold {
    /// Returns the hash by which a unit has its group; `entity.key` or its segment is the unit.
    fn unit<'e>(&self, entity: &Entity<'e>) -> Vec<Option<&'e [u8]>> {
        match self.arms.allocation.unit {
            Some(_) => vec![entity.segment],
            None => entity.key.to_vec(),
        }
    }

    fn part(&self, partial: impl Fn(&EvaluateFold) -> Partial) -> ExperimentPart {
        let arms = self.versions.len();
        let (metrics, paired) = match &self.measured {
            Measured::Mean(_) => (Vec::new(), None),
            Measured::Metric { arms, paired } => (
                arms.iter().map(&partial).collect(),
                paired.as_ref().map(|fold| partial(fold)),
            ),
        };
        ExperimentPart {
            rows: vec![[0; 3]; arms],
            units: Units::default(),
            without_unit: 0,
            outside: 0,
            early: 0,
            leaked: 0,
            unreadable: 0,
            metrics,
            paired,
            outcomes: vec![vec![ArmSums::default(); GROUPS.into()]; arms],
            with_covariate: vec![ArmSums::default(); arms],
        }
    }

    /// Returns whether the label counts for an arm, and counts it if it does not.
    fn is_late_enough(&self, part: &mut ExperimentPart, label: Option<&Label<'_>>) -> bool {
        let Some(label) = label.filter(|label| label.value.is_some()) else {
            return false;
        };
        let known = self.time.as_ref().and_then(|time| label.known_at(time));
        let is_early = known.is_some_and(|known| known < self.started_ms);
        part.early += u64::from(is_early);
        !is_early
    }

    /// Adds the outcome of a row of an arm; returns whether there is one.
    fn measure(
        &self,
        part: &mut ExperimentPart,
        arm: usize,
        entity: &Entity<'_>,
        unit_hash: u64,
    ) -> bool {
        match &self.measured {
            Measured::Metric { arms, .. } => {
                let metrics = &mut part.metrics[arm];
                let before = (metrics.all.rows, metrics.usable[0].leaked);
                let version = self.versions[arm];
                let own = Entity {
                    versions: &entity.versions[version..=version],
                    group: unit_hash,
                    segment: None,
                    ..*entity
                };
                arms[arm].fold(metrics, &own);
                part.leaked += metrics.usable[0].leaked - before.1;
                metrics.all.rows > before.0
            }
            Measured::Mean(outcome) => {
                if self.time.is_some() && entity.label.is_none_or(|label| label.time.is_none()) {
                    return false;
                }
                let label = entity.label.and_then(|label| label.value);
                let Some(value) = label.and_then(|label| outcome.number(label)) else {
                    part.unreadable += u64::from(label.is_some());
                    return false;
                };
                let group = (unit_hash % u64::from(GROUPS)) as usize;
                part.outcomes[arm][group].add(value, None);
                if let Some(covariate) = outcome.covariate(entity.versions, self.started_ms) {
                    part.with_covariate[arm].add(value, Some(covariate));
                }
                true
            }
        }
    }
}

impl Fold for ExperimentFold {
    type Part = ExperimentPart;

    fn empty(&self) -> ExperimentPart {
        self.part(EvaluateFold::empty)
    }

    fn sum(&self) -> ExperimentPart {
        self.part(EvaluateFold::sum)
    }

    fn before(&self, label: Option<&Label<'_>>) -> Option<i64> {
        match &self.measured {
            Measured::Metric { arms, .. } => arms.first()?.before(label),
            Measured::Mean(_) => None,
        }
    }

    fn fold(&self, part: &mut ExperimentPart, entity: &Entity<'_>) {
        let unit_cells = self.unit(entity);
        let mut scratch = Vec::new();
        let mut unit = Vec::new();
        append_unit(self.arms.unit(), &unit_cells, &mut unit);
        // Not the hash of the assignment: groups must cut across arms.
        let unit_hash = xxh3_64(&unit);
        if let (Measured::Metric { paired, .. }, Some(sum)) = (&self.measured, &mut part.paired)
            && let Some(paired) = paired
        {
            let all = Entity {
                group: unit_hash,
                segment: None,
                ..*entity
            };
            paired.fold(sum, &all);
        }
        let arm = match self.arms.of_unit(&unit_cells, &mut scratch) {
            Membership::Arm(arm) => arm,
            Membership::Outside => return part.outside += 1,
            Membership::WithoutUnit => return part.without_unit += 1,
        };
        let standing = &entity.versions[self.versions[arm]];
        let mut stage = Stage::Assigned;
        if matches!(standing, Standing::Current(_)) {
            stage = Stage::Scored;
            if self.is_late_enough(part, entity.label.as_ref())
                && self.measure(part, arm, entity, unit_hash)
            {
                stage = Stage::Labelled;
            }
        }
        for reached in Stage::ALL.into_iter().filter(|reached| *reached <= stage) {
            part.rows[arm][reached as usize] += 1;
        }
        if self.is_clustered {
            part.units.add(&unit, arm, stage);
        }
    }

    fn merge(&self, sum: &mut ExperimentPart, part: ExperimentPart) {
        for (mine, theirs) in sum.rows.iter_mut().zip(&part.rows) {
            mine.iter_mut()
                .zip(theirs)
                .for_each(|(mine, theirs)| *mine += theirs);
        }
        sum.units.merge(part.units);
        sum.without_unit += part.without_unit;
        sum.outside += part.outside;
        sum.early += part.early;
        sum.leaked += part.leaked;
        sum.unreadable += part.unreadable;
        for (mine, theirs) in sum.metrics.iter_mut().zip(&part.metrics) {
            mine.merge(theirs);
        }
        if let (Some(mine), Some(theirs)) = (&mut sum.paired, &part.paired) {
            mine.merge(theirs);
        }
        for (mine, theirs) in sum.outcomes.iter_mut().zip(&part.outcomes) {
            mine.iter_mut()
                .zip(theirs)
                .for_each(|(mine, theirs)| mine.merge(theirs));
        }
        for (mine, theirs) in sum.with_covariate.iter_mut().zip(&part.with_covariate) {
            mine.merge(theirs);
        }
    }
}
