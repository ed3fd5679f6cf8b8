//! Aggregates each entity into an evaluation.

use crate::{
    codec::{cql_type::CqlType, literal},
    domain::{
        evidence::evaluation::{
            GROUPS, Merge,
            labels::{Label, Labels},
            partial::{Kind, LeftOut, Partial, Predicted},
            target::{Reading, Target},
        },
        model::proof::Prediction,
        retraining::held_out::HeldOut,
    },
    inspect::pass::{Entity, Fold, Label as LabelRow, Standing},
};

/// Compares predictions with labels.
pub struct EvaluateFold {
    /// What is evaluated.
    pub target: Target,
    /// How labels are read.
    pub labels: Labels,
    /// Only rows that all of these hold out count.
    pub held_out: Vec<HeldOut>,
    /// Type of the labels' time column; `None` if none was named.
    pub time: Option<CqlType>,
    /// A prediction must be older than the label's time by more than this.
    pub gap_ms: i64,
    /// A prediction must have been made before this time.
    pub made_before_ms: Option<i64>,
    /// Type of the segment column.
    pub segment: Option<CqlType>,
    /// Maximum size of the scores of one split.
    pub split_bytes: usize,
}

impl EvaluateFold {
    fn kinds(&self) -> Vec<Kind> {
        let readings = self.target.versions.iter();
        readings.map(|reading| reading.kind.clone()).collect()
    }
}

/// When a label was known.
enum Known {
    /// At this time, in milliseconds since 1970.
    At(i64),
    /// The label is not known yet, or its time is not requested.
    Open,
    /// The label is known, but without a time.
    Untimed,
}

impl EvaluateFold {
    fn known(&self, label: Option<&LabelRow<'_>>) -> Known {
        let Some(cql_type) = &self.time else {
            return Known::Open;
        };
        let Some(label) = label.filter(|label| label.value.is_some()) else {
            return Known::Open;
        };
        label.known_at(cql_type).map_or(Known::Untimed, Known::At)
    }

    fn predicted<'s>(
        &self,
        reading: &Reading,
        standing: &Standing<'_>,
        known: &Known,
        scores: &'s mut Vec<f64>,
    ) -> Result<Predicted<'s>, LeftOut> {
        let prediction: Prediction<'_> = match standing {
            Standing::Missing => return Err(LeftOut::Missing),
            Standing::Rejected(_) => return Err(LeftOut::Rejected),
            Standing::Stale(_) => return Err(LeftOut::Stale),
            Standing::Current(prediction) => *prediction,
        };
        // Without a lineage the time is unknown; such a prediction counts as stale already.
        let made = prediction.scored_at().unwrap_or(i64::MAX);
        if let Known::At(at) = known
            && made >= at.saturating_sub(self.gap_ms)
        {
            return Err(LeftOut::Leaked);
        }
        if self.made_before_ms.is_some_and(|before| made >= before) {
            return Err(LeftOut::Immature);
        }
        reading
            .prediction(&self.target.meaning, prediction, scores)
            .ok_or(LeftOut::NotANumber)
    }
}

impl Fold for EvaluateFold {
    type Part = Partial;

    fn empty(&self) -> Partial {
        Partial::within(self.kinds(), self.split_bytes)
    }

    fn sum(&self) -> Partial {
        Partial::new(self.kinds())
    }

    fn before(&self, label: Option<&LabelRow<'_>>) -> Option<i64> {
        match self.known(label) {
            Known::At(at) => Some(at.saturating_sub(self.gap_ms)),
            Known::Open | Known::Untimed => None,
        }
    }

    fn fold(&self, part: &mut Partial, entity: &Entity<'_>) {
        part.source_rows += 1;
        let mut held_out = self.held_out.iter();
        if !held_out.all(|held_out| held_out.contains(entity.group)) {
            return;
        }
        let truth = match self.labels.read(entity.label.and_then(|label| label.value)) {
            Label::Missing => return,
            Label::Unexpected(label) => return part.unexpected(&label, 1),
            Label::Truth(truth) => truth,
        };
        part.labelled += 1;
        let known = self.known(entity.label.as_ref());
        if matches!(known, Known::Untimed) {
            part.untimed += 1;
            return;
        }
        let mut scores = vec![Vec::new(); self.target.versions.len()];
        let mut said = Vec::with_capacity(scores.len());
        let versions = self.target.versions.iter().zip(entity.versions);
        for (((reading, standing), scores), usable) in
            versions.zip(&mut scores).zip(&mut part.usable)
        {
            let outcome = self.predicted(reading, standing, &known, scores);
            usable.count(outcome.as_ref().err().copied());
            said.extend(outcome.ok());
        }
        if said.len() < self.target.versions.len() {
            return;
        }
        let segment = self.segment.as_ref().map(|cql_type| {
            let cell = entity.segment;
            cell.map(|cell| literal::to_text(cql_type, cell))
        });
        let group = (entity.group % u64::from(GROUPS)) as u8;
        part.add(group, segment.as_ref(), truth, &said);
    }

    fn merge(&self, sum: &mut Partial, part: Partial) {
        Merge::merge(sum, &part);
    }
}
