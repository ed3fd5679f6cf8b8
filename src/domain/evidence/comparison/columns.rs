//! Selects the output columns that are compared, and reads their cells.

use crate::{
    codec::{
        cql_type::CqlType,
        wire::{Parts, part_type},
    },
    domain::{
        job::{CompiledJob, CompiledVersion, OutputColumn},
        problem::Problem,
    },
};

/// Characters of a label that are kept.
const LABEL_CHARACTERS: usize = 64;

/// Compared columns: indices into the target's output columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The decision: the first text, integer or boolean column that all versions fill.
    pub label: Option<usize>,
    pub score: Score,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Score {
    /// No score in common.
    None,
    /// One float or double column; differences have a sign.
    One(usize),
    /// Several columns, or vectors: the largest absolute difference of any value. It has no sign,
    /// and there is no order from which ranks could be computed.
    Largest(Vec<usize>),
}

impl Compared {
    /// Selects the columns that all these versions fill; `score` names the score column.
    ///
    /// Without a name it is the column of the job's positive class, or the only float column, or
    /// all float columns.
    ///
    /// # Errors
    /// A name that is not such a column; versions without a column in common.
    pub fn resolve(job: &CompiledJob, score: Option<&str>) -> Result<Self, Problem> {
        let outputs = &job.target.outputs;
        let fills = |version: &CompiledVersion, at: usize| {
            version.outputs.get(at).is_some_and(Option::is_some)
        };
        let common: Vec<usize> = (0..outputs.len())
            .filter(|at| job.versions.iter().all(|version| fills(version, *at)))
            .collect();
        let of_kind = |is: fn(&CqlType) -> bool| {
            let mut found = common.clone();
            found.retain(|at| is(outputs[*at].cql_type.thawed()));
            found
        };
        let label = of_kind(is_label).first().copied();
        let floats = of_kind(is_float);
        let vectors = of_kind(is_vector);
        let score = match score {
            Some(name) => {
                let scores = floats.iter().chain(&vectors).copied();
                let at = scores.clone().find(|at| outputs[*at].name == name);
                match at {
                    Some(at) if is_float(outputs[at].cql_type.thawed()) => Score::One(at),
                    Some(at) => Score::Largest(vec![at]),
                    None => return Err(no_score(name, outputs, scores)),
                }
            }
            None => match (positive(job, &floats), &floats[..]) {
                (Some(at), _) | (None, &[at]) if vectors.is_empty() || job.positive.is_some() => {
                    Score::One(at)
                }
                _ if floats.is_empty() && vectors.is_empty() => Score::None,
                _ => Score::Largest([floats, vectors].concat()),
            },
        };
        if label.is_none() && score == Score::None {
            let names: Vec<_> = job
                .versions
                .iter()
                .map(|version| {
                    let filled = (0..outputs.len()).filter(|at| fills(version, *at));
                    let names: Vec<_> = filled.map(|at| outputs[at].name.as_str()).collect();
                    format!("{}: {}", version.ready.version, names.join(", "))
                })
                .collect();
            return Err(Problem::new(
                "compare.different_outputs",
                "the versions have no output column in common",
            )
            .help(format!(
                "compare versions that share a column; they fill {}",
                names.join("; ")
            )));
        }
        Ok(Self { label, score })
    }
}

fn no_score(name: &str, outputs: &[OutputColumn], scores: impl Iterator<Item = usize>) -> Problem {
    let known: Vec<_> = scores.map(|at| outputs[at].name.as_str()).collect();
    let message = format!("`{name}` is not a score column that all these versions fill");
    Problem::new("compare.unknown_score", message)
        .at("score")
        .help(match known.is_empty() {
            true => "compare without a score: they have no float column in common".to_owned(),
            false => format!("choose from {}", known.join(", ")),
        })
}

fn positive(job: &CompiledJob, floats: &[usize]) -> Option<usize> {
    let positive = job.positive.as_ref()?;
    let of_class = |at: &&usize| job.target.outputs[**at].classes == [positive.as_str()];
    let mut found = floats.iter().filter(of_class).copied();
    let first = found.next()?;
    // In a model of several targets, the positive class has no single score.
    found.next().is_none().then_some(first)
}

fn is_label(cql_type: &CqlType) -> bool {
    matches!(
        cql_type,
        CqlType::Text | CqlType::Ascii | CqlType::Bigint | CqlType::Int | CqlType::Boolean
    )
}

fn is_float(cql_type: &CqlType) -> bool {
    matches!(cql_type, CqlType::Float | CqlType::Double)
}

fn is_vector(cql_type: &CqlType) -> bool {
    matches!(cql_type, CqlType::Vector(element, _) if is_float(element.thawed()))
}

/// Returns the number in a float or double cell.
pub fn number(cql_type: &CqlType, cell: Option<&[u8]>) -> Option<f64> {
    let cell = cell?;
    match cql_type.thawed() {
        CqlType::Float => Some(f32::from_be_bytes(cell.try_into().ok()?).into()),
        CqlType::Double => Some(f64::from_be_bytes(cell.try_into().ok()?)),
        _ => None,
    }
}

/// Returns the label in a text, integer or boolean cell; a long text is cut.
pub fn label(cql_type: &CqlType, cell: Option<&[u8]>) -> Option<String> {
    let text = crate::codec::literal::to_text(cql_type, cell?);
    Some(match text.char_indices().nth(LABEL_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    })
}

/// Returns the largest absolute difference of any value of two cells of a column; `None` if one is
/// null, not finite, or of another width.
pub fn distance(cql_type: &CqlType, a: Option<&[u8]>, b: Option<&[u8]>) -> Option<f64> {
    if let (Some(a), Some(b)) = (number(cql_type, a), number(cql_type, b)) {
        return finite((a - b).abs());
    }
    let inner = part_type(cql_type, 0)?;
    let mut a = Parts::open(cql_type, a?)?.ok()?;
    let mut b = Parts::open(cql_type, b?)?.ok()?;
    let mut largest: f64 = 0.0;
    for (a, b) in a.by_ref().zip(b.by_ref()) {
        largest = largest.max(distance(inner, a.ok()?, b.ok()?)?);
    }
    (a.is_exhausted() && b.is_exhausted()).then_some(largest)
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_the_largest_of_all_values_and_never_of_what_is_no_number() {
        let vector = CqlType::parse("vector<float, 2>").unwrap();
        let cell = |values: [f32; 2]| values.map(f32::to_be_bytes).concat();
        let distance =
            |a: [f32; 2], b: [f32; 2]| super::distance(&vector, Some(&cell(a)), Some(&cell(b)));
        assert_eq!(distance([0.5, 1.0], [0.75, 0.0]), Some(1.0));
        assert_eq!(distance([0.5, f32::NAN], [0.5, 0.0]), None);
        assert_eq!(distance([0.5, f32::INFINITY], [0.5, f32::INFINITY]), None);
        assert_eq!(super::distance(&vector, None, Some(&cell([0.0; 2]))), None);
        let cell = 0.25_f32.to_be_bytes();
        let float = CqlType::Float;
        assert_eq!(super::distance(&float, Some(&cell), Some(&cell)), Some(0.0));
    }

    #[test]
    fn a_long_label_is_cut_between_characters() {
        let text = "é".repeat(100);
        let cut = label(&CqlType::Text, Some(text.as_bytes())).unwrap();
        assert_eq!(cut.chars().count(), 65);
        assert_eq!(
            label(&CqlType::Bigint, Some(&7_i64.to_be_bytes())),
            Some("7".to_owned())
        );
    }
}
