//! Which output columns are compared, and what their cells say.

use crate::domain::{
    cql_type::CqlType,
    job::{CompiledJob, CompiledVersion, OutputColumn},
    problem::Problem,
    wire::{Parts, part_type},
};

/// Characters of a label that are kept.
const LABEL_CHARACTERS: usize = 64;

/// What is compared: indices into the target's output columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// What a version decided: the first text, integer or boolean column that all have.
    pub label: Option<usize>,
    /// How it scored.
    pub score: Score,
}

/// The score of a prediction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Score {
    /// None in common.
    None,
    /// One float or double column; differences have a sign.
    One(usize),
    /// Several columns, or vectors: the largest absolute difference of any value, without a sign,
    /// and no order that ranks could be made of.
    Largest(Vec<usize>),
}

impl Compared {
    /// The columns that all of these versions fill; `score`: this one by name.
    ///
    /// Without a name it is the column of the job's positive class, or the only float column, or
    /// all of them.
    ///
    /// # Errors
    /// A name that is no such column; versions that have no column in common.
    pub fn of(job: &CompiledJob, score: Option<&str>) -> Result<Self, Problem> {
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
            .help(format!("they give {}", names.join("; "))));
        }
        Ok(Self { label, score })
    }
}

fn no_score(name: &str, outputs: &[OutputColumn], scores: impl Iterator<Item = usize>) -> Problem {
    let known: Vec<_> = scores.map(|at| outputs[at].name.as_str()).collect();
    let message = format!("`{name}` is no score that all these versions give");
    Problem::new("compare.unknown_score", message)
        .at("score")
        .help(match known.is_empty() {
            true => "they have no float column in common".to_owned(),
            false => format!("they have {} in common", known.join(", ")),
        })
}

fn positive(job: &CompiledJob, floats: &[usize]) -> Option<usize> {
    let positive = job.positive.as_ref()?;
    let of_class = |at: &&usize| job.target.outputs[**at].classes == [positive.as_str()];
    floats.iter().find(of_class).copied()
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

/// The number in a float or double cell.
pub fn number(cql_type: &CqlType, cell: Option<&[u8]>) -> Option<f64> {
    let cell = cell?;
    match cql_type.thawed() {
        CqlType::Float => Some(f32::from_be_bytes(cell.try_into().ok()?).into()),
        CqlType::Double => Some(f64::from_be_bytes(cell.try_into().ok()?)),
        _ => None,
    }
}

/// The label in a text, integer or boolean cell; of a long text its beginning.
pub fn label(cql_type: &CqlType, cell: Option<&[u8]>) -> Option<String> {
    let text = crate::domain::literal::to_text(cql_type, cell?);
    Some(match text.char_indices().nth(LABEL_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    })
}

/// The largest absolute difference of any value of two cells of a column; `None` where one is
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
