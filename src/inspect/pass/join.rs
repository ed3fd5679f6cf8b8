//! Joins source, predictions and labels of one split, row by row.

use super::{Entity, Fold, Label, Scope, Standing, past::Past, side::Side};
use crate::{
    domain::{
        evidence::group,
        job::{
            CompiledVersion,
            hash::{append_row, source_hash},
            prepare::TypedRows,
        },
        model::proof::Prediction,
    },
    engine::run::{
        pace::{Pace, Turn},
        position::Position,
        split_error::SplitError,
        stored::StoredPredictions,
        walk::{Arrived, Next, SourceRow, Visit},
    },
};

/// Rows between two waits for the rate limit.
const PACED: usize = 500;

/// Presents the entities of a split to a fold.
pub struct Join<'a, F: Fold> {
    scope: &'a Scope,
    fold: &'a F,
    pace: &'a Pace,
    /// One entry per version of the scope: its index in the job, and a buffer for its inputs.
    inputs: Vec<(usize, TypedRows)>,
    labels: Option<Side>,
    past: Option<Past>,
    group: u64,
    unpaced: usize,
    scratch: Vec<u8>,
    /// The aggregate of the entities so far.
    pub part: F::Part,
}

impl<'a, F: Fold> Join<'a, F> {
    /// Returns a join that has seen no row.
    pub fn new(
        scope: &'a Scope,
        fold: &'a F,
        pace: &'a Pace,
        labels: Option<Side>,
        past: Option<Past>,
    ) -> Self {
        let places = scope.versions.iter().filter_map(|number| {
            let versions = scope.job.versions.iter();
            let at = versions.clone().position(|v| v.ready.version == *number)?;
            Some((at, TypedRows::new(&scope.job.versions[at])))
        });
        Self {
            scope,
            fold,
            pace,
            inputs: places.collect(),
            labels,
            past,
            group: 0,
            unpaced: 0,
            scratch: Vec::new(),
            part: fold.empty(),
        }
    }

    /// Reads the remaining labels. Returns the part, and the number of labels without a source row.
    pub async fn finish(self) -> Result<(F::Part, u64), SplitError> {
        let strays = match self.labels {
            None => 0,
            Some(mut labels) => {
                labels.finish().await?;
                labels.strays
            }
        };
        Ok((self.part, strays))
    }
}

/// Returns whether a prediction was made from these columns as they are now, by this very model.
/// That is so if it names the same source row, or if it was made from the same values by the same
/// mapping. (Columns that the job began to read later change the source hash, but not the input
/// hash.)
fn is_current(
    version: &CompiledVersion,
    prediction: Prediction<'_>,
    columns: &[Option<&[u8]>],
    source: u128,
    inputs: &mut TypedRows,
    scratch: &mut Vec<u8>,
) -> bool {
    if prediction.model_sha256() != Some(&version.ready.admitted.sha256[..]) {
        return false;
    }
    if prediction.source_hash() == Some(source) {
        return true;
    }
    let (input_hash, _) = append_row(version, columns, inputs, scratch);
    inputs.clear();
    prediction.input_hash() == Some(input_hash)
}

/// Returns the last prediction that was made before `limit`. It is the stored one, if that is old
/// enough: the history may have begun later, or keep its rows for a shorter time. Otherwise it
/// comes from the history.
fn last<'p>(
    past: &'p Past,
    stands: Option<Prediction<'p>>,
    identity: u128,
    version: i32,
    limit: i64,
) -> Option<Prediction<'p>> {
    let made_before =
        |prediction: &Prediction<'_>| prediction.scored_at().is_some_and(|made| made < limit);
    stands
        .filter(made_before)
        .or_else(|| past.before(identity, version, limit))
}

impl<F: Fold> Visit for Join<'_, F> {
    fn arrived(&self, _: &Arrived) {}

    async fn enter(&mut self, position: &Position) -> Result<(), SplitError> {
        self.group = group::hash_of(&position.partition_key);
        if let Some(labels) = &mut self.labels {
            labels.seek(position).await?;
        }
        if let Some(past) = &mut self.past {
            past.seek(position).await?;
        }
        Ok(())
    }

    fn row(&mut self, row: &SourceRow<'_>, stored: &StoredPredictions<'_>) -> Next {
        let job = &self.scope.job;
        let (key, columns) = row.cells.split_at(job.key.len());
        let own = self.scope.own_columns;
        let source = source_hash(&job.columns[..own], columns, &mut self.scratch);
        let labels = self.labels.as_mut();
        let label = labels.and_then(|labels| {
            let mut cells = labels.get(row.identity)?;
            Some(Label {
                value: cells.next().flatten(),
                time: cells.next().flatten(),
            })
        });
        let past = self.past.as_ref().zip(self.fold.before(label.as_ref()));
        let mut standings = Vec::with_capacity(self.inputs.len());
        for (at, inputs) in &mut self.inputs {
            let version = &job.versions[*at];
            let number = version.ready.version;
            let found = stored.proof(row.identity, number);
            let last =
                past.and_then(|(past, limit)| last(past, found, row.identity, number, limit));
            if let Some(last) = last {
                standings.push(match last.is_rejected() {
                    true => Standing::Rejected(last),
                    false => Standing::Current(last),
                });
                continue;
            }
            let Some(found) = found else {
                standings.push(Standing::Missing);
                continue;
            };
            let current = is_current(version, found, columns, source, inputs, &mut self.scratch);
            standings.push(match (current, found.is_rejected()) {
                (false, _) => Standing::Stale(found),
                (true, true) => Standing::Rejected(found),
                (true, false) => Standing::Current(found),
            });
        }
        let segment = self.scope.segment.as_ref();
        let entity = Entity {
            key,
            cells: row.cells,
            hash: row.hash(),
            group: self.group,
            versions: &standings,
            segment: segment.and_then(|segment| row.cells[segment.at]),
            label,
        };
        self.fold.fold(&mut self.part, &entity);
        self.unpaced += 1;
        match self.unpaced >= PACED {
            true => Next::Flush,
            false => Next::Row,
        }
    }

    async fn flush(&mut self) -> Result<(), SplitError> {
        let rows = std::mem::take(&mut self.unpaced);
        match self.pace.take(rows).await {
            Turn::Go => Ok(()),
            Turn::Closed => Err(SplitError::Stopped),
        }
    }
}
