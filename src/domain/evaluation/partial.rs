//! All that one split says: what was left out and why, every version's result, by segment too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Detail, Merge, Precision,
    binary::{Binary, Scores},
    classes::Classes,
    measure::Measure,
    paired::{Judged, Paired},
    regression::Regression,
};

/// A column with more values than this makes no segments.
pub const MOST_SEGMENTS: usize = 32;
/// Unexpected labels that are kept by name.
const NAMED: usize = 8;

/// What a version predicts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    /// A score of the positive class.
    Binary(Scores),
    /// One of so many classes, with probabilities of this type or without.
    Classes(u16, Option<Precision>),
    /// A number.
    Regression,
}

/// What came true.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Truth {
    /// Whether it is the positive class.
    Positive(bool),
    /// The class.
    Class(u16),
    /// The number.
    Number(f64),
}

/// What a version said of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Said<'a> {
    /// The positive class's score.
    Score(f64),
    /// A class, and a probability for each if there are any.
    Class(u16, &'a [f64]),
    /// A number.
    Number(f64),
}

/// One version's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
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

    /// A row of another kind changes nothing: whoever adds makes them of one kind.
    fn add(&mut self, group: u8, truth: Truth, said: Said<'_>) -> Judged {
        match (self, truth, said) {
            (Self::Binary(own), Truth::Positive(positive), Said::Score(score)) => {
                own.add(group, positive, score)
            }
            (Self::Classes(own), Truth::Class(truth), Said::Class(class, probabilities)) => {
                own.add(group, truth, class, probabilities)
            }
            (Self::Regression(own), Truth::Number(truth), Said::Number(number)) => {
                own.add(group, truth, number)
            }
            _ => Judged::default(),
        }
    }

    /// Every metric by name.
    pub fn measures(&self) -> BTreeMap<String, Measure> {
        match self {
            Self::Binary(own) => own.measures(),
            Self::Classes(own) => own.measures(),
            Self::Regression(own) => own.measures(),
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

/// Versions on the same rows. The first is the baseline of the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// Rows that count.
    pub rows: u64,
    /// In the order in which they were asked for.
    pub versions: Vec<OfVersion>,
    /// Of each after the first, against the first.
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

    fn add(&mut self, group: u8, truth: Truth, said: &[Said<'_>]) {
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
}

impl Merge for Versions {
    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.versions.merge(&other.versions);
        self.paired.merge(&other.paired);
    }
}

/// Why a version's prediction of a labelled row does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LeftOut {
    /// There is none.
    Missing,
    /// It stands as rejected.
    Rejected,
    /// It was made of other values than the source row holds now, or by another model.
    Stale,
    /// It was made at or after the label's time minus the gap.
    Leaked,
    /// It is younger than labels need to arrive.
    Immature,
    /// Its score is null, NaN or infinite.
    NotANumber,
}

/// Predictions of labelled rows by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
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

/// Segments by value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Segments {
    /// Not asked for, or few enough.
    Few(BTreeMap<String, Versions>),
    /// More than [`MOST_SEGMENTS`]: none is told, since each would lack rows.
    TooMany,
}

/// What one split says, or all of them together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    kinds: Vec<Kind>,
    /// Rows of the source.
    pub source_rows: u64,
    /// Of them, with a label.
    pub labelled: u64,
    /// Labels that no class or number is, by value; at most a few by name.
    pub unexpected: BTreeMap<String, u64>,
    /// All rows with such labels.
    pub unexpected_rows: u64,
    /// Rows without a label time, where one is needed: leakage can't be told, so they do not count.
    pub untimed: u64,
    /// By version, in the order in which they were asked for.
    pub usable: Vec<Usable>,
    /// Rows that count: labelled, with a usable prediction of every version.
    pub all: Versions,
    /// The same rows by segment.
    pub segments: Segments,
}

impl Partial {
    /// Nothing was seen yet.
    pub fn new(kinds: Vec<Kind>) -> Self {
        Self {
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

    /// Adds a row that counts. `said` has an entry a version.
    pub fn add(&mut self, group: u8, segment: Option<&str>, truth: Truth, said: &[Said<'_>]) {
        self.all.add(group, truth, said);
        let (Some(segment), Segments::Few(segments)) = (segment, &mut self.segments) else {
            return;
        };
        if let Some(versions) = segments.get_mut(segment) {
            versions.add(group, truth, said);
        } else if segments.len() < MOST_SEGMENTS {
            let mut versions = Versions::new(&self.kinds, Detail::Segment);
            versions.add(group, truth, said);
            segments.insert(segment.to_owned(), versions);
        } else {
            self.segments = Segments::TooMany;
        }
    }

    /// Adds a label that is none.
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
        }
    }
}
