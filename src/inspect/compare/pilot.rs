//! Draws a sample, from which bins and bars are made before the first row is counted.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::fold::{SEGMENTS, Settings, row_of, segment_of};
use crate::{
    domain::evidence::comparison::{
        columns::{Compared, Score},
        difference::Limits,
        joint::Edges,
    },
    failure::Failure,
    inspect::pass::{self, Entity, Fold, Running, Scope, Standing},
    store::Store,
};

/// Approximate number of source rows in the sample.
const ROWS: u64 = 4_096;

/// Collects scores, differences and segments.
struct Sampling {
    scope: Arc<Scope>,
    compared: Compared,
}

#[derive(Default, Serialize, Deserialize)]
struct Sampled {
    /// By version.
    scores: Vec<Vec<f64>>,
    /// By pair.
    differences: Vec<Vec<f64>>,
    segments: BTreeSet<Option<Option<String>>>,
}

impl Fold for Sampling {
    type Part = Sampled;

    fn empty(&self) -> Sampled {
        let versions = self.scope.versions.len();
        Sampled {
            scores: vec![Vec::new(); versions],
            differences: vec![Vec::new(); versions - 1],
            segments: BTreeSet::new(),
        }
    }

    fn fold(&self, part: &mut Sampled, entity: &Entity<'_>) {
        if part.segments.len() <= SEGMENTS {
            part.segments.insert(segment_of(&self.scope, entity));
        }
        let Standing::Current(first) = entity.versions[0] else {
            return;
        };
        for (at, standing) in entity.versions.iter().enumerate() {
            let Standing::Current(prediction) = standing else {
                continue;
            };
            let row = row_of(&self.scope, &self.compared, [first, *prediction]);
            part.scores[at].extend(row.scores.map(|scores| scores[1]));
            if at > 0 {
                part.differences[at - 1].extend(row.difference);
            }
        }
    }

    fn merge(&self, sum: &mut Sampled, part: Sampled) {
        let lists = |sum: &mut Vec<Vec<f64>>, part: Vec<Vec<f64>>| {
            sum.iter_mut()
                .zip(part)
                .for_each(|(sum, part)| sum.extend(part));
        };
        lists(&mut sum.scores, part.scores);
        lists(&mut sum.differences, part.differences);
        sum.segments.extend(part.segments);
    }
}

/// Returns bins and bars; `None` if the sample alone has too many segments, or a segment's name is
/// too long.
pub async fn settings(
    store: &Store,
    scope: &Arc<Scope>,
    compared: &Compared,
    running: &Running,
) -> Result<Option<Settings>, Failure> {
    let sampling = Sampling {
        scope: Arc::clone(scope),
        compared: compared.clone(),
    };
    let sampled = pass::sample(store, scope, &sampling, ROWS, running).await?;
    let signed = matches!(compared.score, Score::One(_));
    let limits = sampled.differences.iter();
    let too_many = sampled.segments.len() > SEGMENTS || sampled.segments.contains(&None);
    Ok((!too_many).then(|| Settings {
        limits: limits.map(|list| Limits::around(list, signed)).collect(),
        edges: sampled.scores.into_iter().map(Edges::from_sample).collect(),
    }))
}
