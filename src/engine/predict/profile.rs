//! Counts the features of rows as they are given to models, and the outputs as they are stored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    codec::{cells::CellBuffer, literal, schema::Column},
    domain::{
        evidence::{
            comparison::columns::{label, number},
            drift::{Bins, Counted, CountedVersion, Counter, CountingPlan, Measure, Profile},
            segment,
        },
        job::{
            CompiledJob, CompiledVersion, Conversion,
            drift::{self, FeatureAt, OutputKind},
            prepare::MeasuredContent,
        },
        model::tensor::{Element, TensorData},
    },
};

/// Name of the segments beyond the maximum.
const OTHER_SEGMENTS: &str = "(others)";

/// Where the features that are counted are in a row.
#[derive(Debug)]
pub struct Layout {
    pub plan: Arc<CountingPlan>,
    /// By version of the plan.
    features: Vec<Vec<FeatureAt>>,
    segment: Option<SegmentColumn>,
}

/// The column whose values are the segments.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentColumn {
    pub column: Column,
    /// Its index among the key and columns of a source row.
    pub at: usize,
}

/// What was counted of a split so far.
#[derive(Debug, Serialize, Deserialize)]
pub struct SplitCounts {
    pub profile: Profile,
    /// Rows read.
    pub read: u64,
    /// Rows counted.
    pub taken: u64,
}

impl SplitCounts {
    /// Returns the progress before the first row.
    pub fn new(plan: &CountingPlan) -> Self {
        Self {
            profile: Profile::new(plan),
            read: 0,
            taken: 0,
        }
    }
}

impl Layout {
    /// Returns the layout of a plan's versions, which `job` has in the same order.
    pub fn new(plan: Arc<CountingPlan>, job: &CompiledJob, segment: Option<SegmentColumn>) -> Self {
        let versions = job.versions.iter().zip(&plan.versions);
        let features = versions
            .map(|(version, counted)| {
                let mut features = drift::features(version);
                features.truncate(counted.features.len());
                features
            })
            .collect();
        Self {
            plan,
            features,
            segment,
        }
    }

    /// Visits a row and returns whether it is counted. `cells` are the key columns, then the job's
    /// columns; `hash` is a hash of the key. `values` is overwritten.
    pub fn visit(
        &self,
        progress: &mut SplitCounts,
        values: &mut TensorData,
        job: &CompiledJob,
        cells: &[Option<&[u8]>],
        hash: u64,
    ) -> bool {
        let is_taken = self.plan.takes(progress.read, hash);
        progress.read += 1;
        if !is_taken {
            return false;
        }
        let columns = &cells[job.key.len()..];
        let segment = self.segment.as_ref().map(|segment| {
            let cell = cells.get(segment.at).copied().flatten();
            let text = cell.map(|cell| literal::to_text(&segment.column.cql_type, cell));
            segment::name(text.as_deref())
        });
        let versions = job.versions.iter().zip(&self.plan.versions);
        let counters = self.features.iter().zip(&mut progress.profile.versions);
        for ((version, counted), (features, profile)) in versions.zip(counters) {
            let features = Features {
                version,
                counted: &counted.features,
                features,
                is_kept: progress.taken < self.plan.kept_rows(counted),
            };
            let mut whole = std::mem::take(&mut profile.features);
            let segment = segment.as_ref();
            let segment = segment.map(|segment| profile.segment(counted, segment, OTHER_SEGMENTS));
            features.count(columns, values, &mut whole, segment.unwrap_or_default());
            profile.features = whole;
        }
        progress.taken += 1;
        true
    }
}

/// What a row has in one place.
enum PlaceValues {
    /// Its cell is null, even where the mapping replaces nulls, or cannot be converted.
    Missing,
    /// Its values as scoring converts them.
    Converted,
    /// What is measured of a cell that would be prepared.
    Measured(Vec<MeasuredContent>),
}

/// The features of one version, and how they are counted.
struct Features<'f> {
    version: &'f CompiledVersion,
    counted: &'f [Counted],
    features: &'f [FeatureAt],
    /// Whether values without bins are kept.
    is_kept: bool,
}

impl Features<'_> {
    /// Counts a row; `segment` has the counters of the row's segment, or none.
    fn count(
        &self,
        columns: &[Option<&[u8]>],
        values: &mut TensorData,
        counters: &mut [Counter],
        segment: &mut [Counter],
    ) {
        let all = self.features.iter().zip(self.counted).zip(counters);
        // The values of a place follow each other, and are converted once.
        let mut place = None;
        let mut found = PlaceValues::Missing;
        for (index, ((at, counted), counter)) in all.enumerate() {
            if counted.bins.is_none() && !self.is_kept {
                continue;
            }
            if place.replace((at.input, at.place)) != Some((at.input, at.place)) {
                found = self.convert(at, columns, values);
            }
            let bins = counted.bins.as_ref();
            found.add_to(counter, bins, values, at.value);
            // Without bins there is nothing to compare segments in.
            if let (Some(counter), Some(_)) = (segment.get_mut(index), bins) {
                found.add_to(counter, bins, values, at.value);
            }
        }
    }

    /// Converts a place as scoring does, or measures what would be prepared.
    fn convert(
        &self,
        at: &FeatureAt,
        columns: &[Option<&[u8]>],
        values: &mut TensorData,
    ) -> PlaceValues {
        if values.element() == at.element {
            values.clear();
        } else {
            *values = TensorData::new(at.element);
        }
        let inputs = self.version.inputs.get(at.input);
        let place = inputs.and_then(|input| input.places.get(at.place));
        let Some(place) = place else {
            return PlaceValues::Missing;
        };
        let Some(cell) = columns.get(place.column).copied().flatten() else {
            return PlaceValues::Missing;
        };
        match &place.conversion {
            Conversion::Prepared(preparation) => {
                PlaceValues::Measured(preparation.kind.measure(cell))
            }
            _ => match place.append(Some(cell), values) {
                Ok(_) => PlaceValues::Converted,
                Err(_) => PlaceValues::Missing,
            },
        }
    }
}

impl PlaceValues {
    /// Adds the value at this index of the place; `values` are those that were converted.
    fn add_to(&self, counter: &mut Counter, bins: Option<&Bins>, values: &TensorData, at: usize) {
        match self {
            Self::Missing => counter.add_null(),
            Self::Converted => add(counter, bins, values, at),
            Self::Measured(measured) => match measured[at] {
                MeasuredContent::Number(number) => counter.add_number(bins, number),
                MeasuredContent::Category(category) => counter.add_text(bins, category),
            },
        }
    }
}

fn add(counter: &mut Counter, bins: Option<&Bins>, values: &TensorData, at: usize) {
    match values {
        TensorData::Float16(values) => counter.add_number(bins, values[at].to_f64()),
        TensorData::Float(values) => counter.add_number(bins, values[at].into()),
        TensorData::Double(values) => counter.add_number(bins, values[at]),
        TensorData::Int32(values) => counter.add_number(bins, values[at].into()),
        TensorData::Int64(values) => counter.add_number(bins, values[at] as f64),
        TensorData::Bool(values) => counter.add_number(bins, f64::from(u8::from(values[at]))),
        TensorData::String(values) => counter.add_text(bins, &values[at]),
    }
}

/// Counts the output cells of one row; `cells` yields those of the job's target in order.
pub fn count_outputs<'c>(
    job: &CompiledJob,
    counted: &[Counted],
    cells: impl Iterator<Item = Option<&'c [u8]>>,
    is_kept: bool,
    counters: &mut [Counter],
) {
    let outputs = job.target.outputs.iter().zip(cells);
    let outputs =
        outputs.filter_map(|(column, cell)| Some((column, drift::output_kind(column)?, cell)));
    let counted = counted.iter().zip(counters);
    for ((column, kind, cell), (counted, counter)) in outputs.zip(counted) {
        let bins = counted.bins.as_ref();
        if bins.is_none() && !is_kept {
            continue;
        }
        match kind {
            OutputKind::Number => match number(&column.cql_type, cell) {
                Some(number) => counter.add_number(bins, number),
                None => counter.add_null(),
            },
            OutputKind::Label => match label(&column.cql_type, cell) {
                Some(label) => counter.add_text(bins, &label),
                None => counter.add_null(),
            },
        }
    }
}

/// Counts the outputs of a batch's scored rows that were counted when they were read.
pub struct OutputCounters {
    counters: Vec<Counter>,
    taken: u64,
}

impl OutputCounters {
    /// Returns empty counters of a version's outputs.
    pub fn new(counted: &CountedVersion) -> Self {
        let new = |one: &Counted| Counter::new(one.bins.as_ref(), one.is_text);
        Self {
            counters: counted.outputs.iter().map(new).collect(),
            taken: 0,
        }
    }

    /// Adds a scored row: row `row` of `cells`.
    pub fn add(
        &mut self,
        job: &CompiledJob,
        plan: &CountingPlan,
        counted: &CountedVersion,
        cells: &CellBuffer,
        row: usize,
    ) {
        let is_kept = self.taken < plan.kept_rows(counted);
        let cells = cells.row(row);
        count_outputs(job, &counted.outputs, cells, is_kept, &mut self.counters);
        self.taken += 1;
    }

    /// Adds the counts of other batches of the split.
    pub fn merge(&mut self, other: &Self) {
        other.add_to(&mut self.counters);
        self.taken += other.taken;
    }

    /// Adds the counts to the profile of the split.
    pub fn add_to(&self, counters: &mut [Counter]) {
        for (known, own) in counters.iter_mut().zip(&self.counters) {
            known.merge(own);
        }
    }
}

/// Returns what is counted of a version, with bins by the names of features and outputs.
pub fn counted(
    job: &CompiledJob,
    version: &CompiledVersion,
    most: usize,
    bins: impl Fn(&str) -> Option<Bins>,
) -> CountedVersion {
    let features = drift::features(version).into_iter().take(most);
    let outputs = job.target.outputs.iter();
    let outputs = outputs
        .filter_map(|column| Some((drift::output_name(column), drift::output_kind(column)?)));
    let fits = |bins: Option<Bins>, is_text: bool| {
        bins.filter(|bins| matches!(bins, Bins::Texts(_)) == is_text)
    };
    CountedVersion {
        version: version.ready.version,
        features: features
            .map(|feature| {
                let is_text = feature.element == Element::String;
                Counted {
                    bins: fits(bins(&feature.name), is_text),
                    name: feature.name,
                    is_text,
                    measure: Measure::Index,
                }
            })
            .collect(),
        outputs: outputs
            .map(|(name, kind)| {
                let is_text = kind == OutputKind::Label;
                Counted {
                    bins: fits(bins(&name), is_text),
                    name,
                    is_text,
                    measure: match kind {
                        OutputKind::Number => Measure::Index,
                        OutputKind::Label => Measure::Share,
                    },
                }
            })
            .collect(),
    }
}
