//! Partial result of one split: excluded rows with reasons, each version's result, also by segment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Detail, Merge, Precision,
    binary::{Binary, Scores},
    classes::Classes,
    measure::Measure,
    paired::{Judged, Paired},
    ranking::Ranking,
    regression::Regression,
    room::{MEMORY_BYTES, Room},
};
use crate::domain::evidence::segment::Segment;

/// Maximum number of values of a segment column.
pub const MOST_SEGMENTS: usize = 32;
/// Maximum number of unexpected labels counted by name.
const NAMED: usize = 8;

/// Prediction task of a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    /// Scores of the positive class.
    Binary(Scores),
    /// One of this many classes, with probabilities of this type or without.
    Classes(u16, Option<Precision>),
    /// A number.
    Regression,
}

/// The label of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Truth {
    /// Whether it is the positive class.
    Positive(bool),
    /// The class.
    Class(u16),
    /// The number.
    Number(f64),
}

/// A version's prediction of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Predicted<'a> {
    /// The positive class's score.
    Score(f64),
    /// A class, and a probability for each class if available.
    Class(u16, &'a [f64]),
    /// A number.
    Number(f64),
}

/// One version's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum OfVersion {
    Binary(Binary),
    Classes(Classes),
    Regression(Box<Regression>),
}

impl OfVersion {
    fn new(kind: &Kind, detail: Detail) -> Self {
        match kind {
            Kind::Binary(scores) => Self::Binary(Binary::new(scores.clone(), detail)),
            Kind::Classes(classes, probabilities) => {
                Self::Classes(Classes::new(*classes, *probabilities, detail))
            }
            Kind::Regression => Self::Regression(Box::new(Regression::new(detail))),
        }
    }

    /// Adds a row. A row of another kind changes nothing; the caller ensures that all are of one
    /// kind.
    fn add(&mut self, group: u8, truth: Truth, said: Predicted<'_>) -> Judged {
        match (self, truth, said) {
            (Self::Binary(own), Truth::Positive(positive), Predicted::Score(score)) => {
                own.add(group, positive, score)
            }
            (Self::Classes(own), Truth::Class(truth), Predicted::Class(class, probabilities)) => {
                own.add(group, truth, class, probabilities)
            }
            (Self::Regression(own), Truth::Number(truth), Predicted::Number(number)) => {
                own.add(group, truth, number)
            }
            _ => Judged::default(),
        }
    }

    /// Returns every metric by name.
    pub fn measures(&self) -> BTreeMap<String, Measure> {
        match self {
            Self::Binary(own) => own.measures(),
            Self::Classes(own) => own.measures(),
            Self::Regression(own) => own.measures(),
        }
    }

    fn ranking_mut(&mut self) -> Option<&mut Ranking> {
        match self {
            Self::Binary(own) => Some(own.ranking_mut()),
            Self::Classes(_) | Self::Regression(_) => None,
        }
    }
}

impl Merge for OfVersion {
    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Binary(own), Self::Binary(other)) => own.merge(other),
            (Self::Classes(own), Self::Classes(other)) => own.merge(other),
            (Self::Regression(own), Self::Regression(other)) => own.merge(other),
            _ => {}
        }
    }
}

/// Results of several versions on the same rows. The first is the baseline of the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// Rows evaluated.
    pub rows: u64,
    /// In the order of the request.
    pub versions: Vec<OfVersion>,
    /// Comparison of each version after the first with the first.
    pub paired: Vec<Paired>,
}

impl Versions {
    fn new(kinds: &[Kind], detail: Detail) -> Self {
        let fresh = kinds.iter().map(|kind| OfVersion::new(kind, detail));
        Self {
            rows: 0,
            versions: fresh.collect(),
            paired: vec![Paired::default(); kinds.len().saturating_sub(1)],
        }
    }

    fn add(&mut self, group: u8, truth: Truth, said: &[Predicted<'_>]) {
        self.rows += 1;
        let mut judged = self.versions.iter_mut().zip(said);
        let Some((baseline, said)) = judged.next() else {
            return;
        };
        let baseline = baseline.add(group, truth, *said);
        for (paired, (version, said)) in self.paired.iter_mut().zip(judged) {
            paired.add(&version.add(group, truth, *said), &baseline);
        }
    }

    fn rankings(&mut self) -> impl Iterator<Item = &mut Ranking> {
        self.versions.iter_mut().filter_map(OfVersion::ranking_mut)
    }
}

/// Compacts stored scores, and bins them if they exceed the limit: all of them, so that versions
/// and segments are evaluated alike.
fn settle<'a>(room: &mut Room, all: impl Iterator<Item = &'a mut Versions>) {
    let mut rankings: Vec<_> = all.flat_map(Versions::rankings).collect();
    rankings.iter_mut().for_each(|ranking| ranking.compact());
    let distinct = rankings.iter().map(|ranking| ranking.cells()).sum();
    if room.settle(distinct) {
        rankings.into_iter().for_each(Ranking::bin);
    }
}

impl Merge for Versions {
    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.versions.merge(&other.versions);
        self.paired.merge(&other.paired);
    }
}

/// Reason why a version's prediction of a labelled row is excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// There is no prediction.
    Missing,
    /// It is stored as rejected.
    Rejected,
    /// It is of other values than the source row's, or by another model.
    Stale,
    /// It was scored at or after the label's time minus the gap.
    Leaked,
    /// It is younger than the time that labels need to arrive.
    Immature,
    /// Its score is null, NaN or infinite.
    NotANumber,
}

/// Counts of predictions of labelled rows by usability.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usable {
    pub usable: u64,
    pub missing: u64,
    pub rejected: u64,
    pub stale: u64,
    pub leaked: u64,
    pub immature: u64,
    pub not_a_number: u64,
}

impl Usable {
    /// Counts one prediction.
    pub fn count(&mut self, left_out: Option<LeftOut>) {
        *match left_out {
            None => &mut self.usable,
            Some(LeftOut::Missing) => &mut self.missing,
            Some(LeftOut::Rejected) => &mut self.rejected,
            Some(LeftOut::Stale) => &mut self.stale,
            Some(LeftOut::Leaked) => &mut self.leaked,
            Some(LeftOut::Immature) => &mut self.immature,
            Some(LeftOut::NotANumber) => &mut self.not_a_number,
        } += 1;
    }
}

impl Merge for Usable {
    fn merge(&mut self, other: &Self) {
        self.usable += other.usable;
        self.missing += other.missing;
        self.rejected += other.rejected;
        self.stale += other.stale;
        self.leaked += other.leaked;
        self.immature += other.immature;
        self.not_a_number += other.not_a_number;
    }
}

/// Results by segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Segments {
    /// Not requested, or few enough.
    Few(BTreeMap<Segment, Versions>),
    /// More than [`MOST_SEGMENTS`]: none is reported, since each would have too few rows.
    TooMany,
}

/// Result of one split, or of several merged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    kinds: Vec<Kind>,
    /// Source rows.
    pub source_rows: u64,
    /// Source rows with a label.
    pub labelled: u64,
    /// Labels that are not a known class or number, by value; at most a few by name.
    pub unexpected: BTreeMap<String, u64>,
    /// Rows with such labels.
    pub unexpected_rows: u64,
    /// Rows without a required label time: excluded, since leakage cannot be detected.
    pub untimed: u64,
    /// By version, in the order of the request.
    pub usable: Vec<Usable>,
    /// Rows evaluated: labelled, with a usable prediction by every version.
    pub all: Versions,
    /// The same rows by segment.
    pub segments: Segments,
    /// Memory for the scores of all rows.
    room: Room,
    /// Memory for the scores of all segments.
    room_of_segments: Room,
}

impl Partial {
    /// Returns an empty result.
    pub fn new(kinds: Vec<Kind>) -> Self {
        Self::within(kinds, MEMORY_BYTES)
    }

    /// Returns an empty result that stores all rows' scores up to `bytes` of memory, and all
    /// segments' scores up to the same again.
    pub fn within(kinds: Vec<Kind>, bytes: usize) -> Self {
        Self {
            room: Room::new(bytes),
            room_of_segments: Room::new(bytes),
            source_rows: 0,
            labelled: 0,
            unexpected: BTreeMap::new(),
            unexpected_rows: 0,
            untimed: 0,
            usable: vec![Usable::default(); kinds.len()],
            all: Versions::new(&kinds, Detail::Whole),
            segments: Segments::Few(BTreeMap::new()),
            kinds,
        }
    }

    /// Adds an evaluated row. `said` has one entry per version; `segment` is `None` if not
    /// requested.
    pub fn add(
        &mut self,
        group: u8,
        segment: Option<&Segment>,
        truth: Truth,
        said: &[Predicted<'_>],
    ) {
        self.all.add(group, truth, said);
        if self.room.take(said.len()) {
            settle(&mut self.room, std::iter::once(&mut self.all));
        }
        let (Some(segment), Segments::Few(segments)) = (segment, &mut self.segments) else {
            return;
        };
        if let Some(versions) = segments.get_mut(segment) {
            versions.add(group, truth, said);
        } else if segments.len() < MOST_SEGMENTS {
            let mut versions = Versions::new(&self.kinds, Detail::Segment);
            if self.room_of_segments.is_full() {
                versions.rankings().for_each(Ranking::bin);
            }
            versions.add(group, truth, said);
            segments.insert(segment.clone(), versions);
        } else {
            self.segments = Segments::TooMany;
            return;
        }
        if self.room_of_segments.take(said.len()) {
            settle(&mut self.room_of_segments, segments.values_mut());
        }
    }

    /// Compacts or bins the scores; must be called at the end.
    pub fn settle(&mut self) {
        settle(&mut self.room, std::iter::once(&mut self.all));
        if let Segments::Few(segments) = &mut self.segments {
            settle(&mut self.room_of_segments, segments.values_mut());
        }
    }

    /// Counts an unexpected label.
    pub fn unexpected(&mut self, label: &str, rows: u64) {
        self.unexpected_rows += rows;
        if let Some(seen) = self.unexpected.get_mut(label) {
            *seen += rows;
        } else if self.unexpected.len() < NAMED {
            self.unexpected.insert(label.to_owned(), rows);
        }
    }
}

impl Merge for Partial {
    fn merge(&mut self, other: &Self) {
        self.source_rows += other.source_rows;
        self.labelled += other.labelled;
        self.untimed += other.untimed;
        let unnamed = other.unexpected_rows - other.unexpected.values().sum::<u64>();
        for (label, rows) in &other.unexpected {
            self.unexpected(label, *rows);
        }
        self.unexpected_rows += unnamed;
        self.usable.merge(&other.usable);
        self.all.merge(&other.all);
        if self.room.merge(&other.room) {
            settle(&mut self.room, std::iter::once(&mut self.all));
        }
        let (Segments::Few(own), Segments::Few(theirs)) = (&mut self.segments, &other.segments)
        else {
            self.segments = Segments::TooMany;
            return;
        };
        for (segment, versions) in theirs {
            match own.get_mut(segment) {
                Some(own) => own.merge(versions),
                None => {
                    own.insert(segment.clone(), versions.clone());
                }
            }
        }
        if own.len() > MOST_SEGMENTS {
            self.segments = Segments::TooMany;
        } else if self.room_of_segments.merge(&other.room_of_segments) {
            settle(&mut self.room_of_segments, own.values_mut());
        }
    }
}
