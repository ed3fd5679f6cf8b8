//! Aggregates each entity into a comparison.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use crate::{
    codec::literal,
    domain::{
        evidence::comparison::{
            columns::{Compared, Score, distance, label, number},
            difference::Limits,
            joint::{BINS, COARSE, Edges},
            most::{Differing, Most},
            pair::{Pair, PairedRow, Scales},
        },
        model::proof::Prediction,
    },
    inspect::pass::{Entity, Fold, Running, Scope, Standing},
};

/// Maximum number of segments; a column with more values is rejected.
pub const SEGMENTS: usize = 50;
/// Maximum length of a segment's name in bytes.
const SEGMENT_BYTES: usize = 200;

/// Score bins and histogram limits, fixed before the first row is counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Score bin edges by version, in the scope's order.
    pub edges: Vec<Edges>,
    /// Limits of the histogram of differences, by pair.
    pub limits: Vec<Limits>,
}

/// Counts of source rows by the state of one version's prediction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standings {
    /// Predictions of the rows as they are now.
    pub current: u64,
    /// Rows that the version could not score.
    pub rejected: u64,
    /// Predictions made from other values, or by another model.
    pub stale: u64,
    /// Rows without a prediction.
    pub missing: u64,
}

/// The comparison of one version with the baseline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Against {
    /// Over all rows.
    pub all: Pair,
    /// By segment; the key is `None` where the column is null.
    pub segments: BTreeMap<Option<String>, Pair>,
    /// The entities that differ most.
    pub most: Most,
}

/// The aggregate of some entities.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// By version, in the scope's order.
    pub standings: Vec<Standings>,
    /// By version after the first, which is the baseline.
    pub against: Vec<Against>,
    /// Whether there were too many segments; the other fields are then meaningless.
    pub too_many_segments: bool,
}

/// Compares all versions with the first one.
pub struct Comparing {
    /// The scope of the pass.
    pub scope: Arc<Scope>,
    /// The columns that are compared.
    pub compared: Compared,
    /// Bins and limits.
    pub settings: Settings,
    /// Maximum number of entities listed.
    pub top: usize,
    /// The walk, stopped when there are too many segments.
    pub running: Running,
    /// Set when there are too many segments.
    pub too_many_segments: AtomicBool,
}

/// Returns a segment's name. The outer `None` means that the name is too long; the inner one that
/// the column is null or that no segment column is set.
pub fn segment_of(scope: &Scope, entity: &Entity<'_>) -> Option<Option<String>> {
    let Some((segment, cell)) = scope.segment.as_ref().zip(entity.segment) else {
        return Some(None);
    };
    let text = literal::to_text(&segment.column.cql_type, cell);
    (text.len() <= SEGMENT_BYTES).then_some(Some(text))
}

/// Returns what the baseline and another version predict for a row.
pub fn row_of(scope: &Scope, compared: &Compared, pair: [Prediction<'_>; 2]) -> PairedRow {
    let outputs = &scope.job.target.outputs;
    let cells = |at: usize| pair.map(|prediction| prediction.outputs().nth(at).flatten());
    let mut row = PairedRow::default();
    if let Some(at) = compared.label {
        row.labels = cells(at).map(|cell| label(&outputs[at].cql_type, cell));
    }
    match &compared.score {
        Score::None => {}
        Score::One(at) => {
            let scores = cells(*at).map(|cell| {
                let score = number(&outputs[*at].cql_type, cell);
                score.filter(|score| score.is_finite())
            });
            if let [Some(a), Some(b)] = scores {
                row.scores = Some([a, b]);
                row.difference = Some(b - a).filter(|difference| difference.is_finite());
            }
        }
        Score::Largest(columns) => {
            row.difference = columns.iter().try_fold(0_f64, |largest, at| {
                let [a, b] = cells(*at);
                Some(largest.max(distance(&outputs[*at].cql_type, a, b)?))
            });
        }
    }
    row
}

impl Comparing {
    fn versions(&self, part: &mut Part, entity: &Entity<'_>) {
        for (standing, counts) in entity.versions.iter().zip(&mut part.standings) {
            *match standing {
                Standing::Missing => &mut counts.missing,
                Standing::Rejected(_) => &mut counts.rejected,
                Standing::Stale(_) => &mut counts.stale,
                Standing::Current(_) => &mut counts.current,
            } += 1;
        }
    }

    fn give_up(&self) {
        self.too_many_segments.store(true, Ordering::Relaxed);
        self.running.stop();
    }

    fn scales(&self, at: usize, with_bars: bool) -> Scales<'_> {
        let edges = &self.settings.edges;
        Scales {
            limits: with_bars.then_some(self.settings.limits[at]),
            edges: match self.compared.score {
                Score::One(_) => Some((&edges[0], &edges[at + 1])),
                _ => None,
            },
        }
    }

    fn list(
        &self,
        most: &mut Most,
        entity: &Entity<'_>,
        row: &PairedRow,
        segment: &Option<String>,
    ) {
        let distance = row.difference.map_or(0.0, f64::abs);
        let relabelled = row.is_relabelled();
        if !most.takes(distance, relabelled) {
            return;
        }
        let key = self.scope.job.key.iter().zip(entity.key);
        let key = key.map(|(column, cell)| (&*column.name, &column.cql_type, *cell));
        most.add(Differing {
            distance,
            relabelled,
            key: literal::condition(key),
            labels: row.labels.clone(),
            scores: row.scores.map_or([None; 2], |scores| scores.map(Some)),
            segment: segment.clone(),
        });
    }
}

/// Counts a row that can't be compared.
fn unlike(part: &mut Pair, a: Standing<'_>, b: Standing<'_>) {
    let either = |is: fn(Standing<'_>) -> bool| is(a) || is(b);
    if either(|standing| matches!(standing, Standing::Missing)) {
        part.rows.missing += 1;
    } else if either(|standing| matches!(standing, Standing::Stale(_))) {
        part.rows.stale += 1;
    } else {
        part.rows.rejected += 1;
    }
}

impl Fold for Comparing {
    type Part = Part;

    fn empty(&self) -> Part {
        let against = || Against {
            all: Pair::new(BINS),
            segments: BTreeMap::new(),
            most: Most::new(self.top),
        };
        let versions = self.scope.versions.len();
        Part {
            standings: vec![Standings::default(); versions],
            against: (1..versions).map(|_| against()).collect(),
            too_many_segments: false,
        }
    }

    fn fold(&self, part: &mut Part, entity: &Entity<'_>) {
        if part.too_many_segments {
            return;
        }
        self.versions(part, entity);
        let name = segment_of(&self.scope, entity);
        for (at, against) in part.against.iter_mut().enumerate() {
            let Against {
                all,
                segments,
                most,
            } = against;
            let mut segment = None;
            if self.scope.segment.is_some() {
                let known = |name: &Option<String>| {
                    segments.len() < SEGMENTS || segments.contains_key(name)
                };
                let Some(name) = name.clone().filter(known) else {
                    part.too_many_segments = true;
                    self.give_up();
                    return;
                };
                let pair = segments.entry(name);
                segment = Some(pair.or_insert_with(|| Pair::new(COARSE)));
            }
            match (entity.versions[0], entity.versions[at + 1]) {
                (Standing::Current(a), Standing::Current(b)) => {
                    let row = row_of(&self.scope, &self.compared, [a, b]);
                    let scored = self.compared.score != Score::None;
                    all.add(&row, scored, self.scales(at, true));
                    if let Some(segment) = segment {
                        segment.add(&row, scored, self.scales(at, false));
                    }
                    self.list(most, entity, &row, name.as_ref().unwrap_or(&None));
                }
                (a, b) => {
                    unlike(all, a, b);
                    if let Some(segment) = segment {
                        unlike(segment, a, b);
                    }
                }
            }
        }
    }

    fn merge(&self, sum: &mut Part, part: Part) {
        for (own, other) in sum.standings.iter_mut().zip(&part.standings) {
            own.current += other.current;
            own.rejected += other.rejected;
            own.stale += other.stale;
            own.missing += other.missing;
        }
        for (own, other) in sum.against.iter_mut().zip(part.against) {
            own.all.merge(other.all);
            own.most.merge(other.most);
            for (name, pair) in other.segments {
                let known = own.segments.entry(name);
                known.or_insert_with(|| Pair::new(COARSE)).merge(pair);
            }
            // Each part may have had different segments.
            sum.too_many_segments |= own.segments.len() > SEGMENTS;
        }
        sum.too_many_segments |= part.too_many_segments;
        if sum.too_many_segments {
            self.give_up();
        }
    }
}
