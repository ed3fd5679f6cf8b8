//! Reads what a version predicted from its stored cells.

use crate::{
    codec::{cql_type::CqlType, literal, wire::Parts},
    domain::{
        evidence::evaluation::{
            labels::Meaning,
            partial::{Kind, Predicted},
            score_bins::Scale,
        },
        model::proof::Prediction,
    },
};

/// Maximum excess of a probability over 0 or 1 by rounding.
const ROUNDING: f64 = 1e-3;

/// The columns of one version's predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The prediction task.
    pub kind: Kind,
    /// The score, the number, or the predicted class; `None`: the class with the best score.
    pub(super) value: Option<Cell>,
    /// A score for each class.
    pub(super) scores: Vec<Cell>,
}

/// A number or a label in the target's output columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    pub column: usize,
    pub cql_type: CqlType,
    /// Index within a vector.
    pub element: usize,
}

impl Cell {
    fn bytes<'a>(&self, prediction: Prediction<'a>) -> Option<&'a [u8]> {
        prediction.outputs().nth(self.column).flatten()
    }

    /// Returns a finite number.
    fn number(&self, prediction: Prediction<'_>) -> Option<f64> {
        let bytes = self.bytes(prediction)?;
        let value = match &self.cql_type {
            CqlType::Double => f64::from_be_bytes(bytes.try_into().ok()?),
            CqlType::Float => f32::from_be_bytes(bytes.try_into().ok()?).into(),
            vector => {
                let part = Parts::open(vector, bytes)?.ok()?.nth(self.element)?;
                f32::from_be_bytes(part.ok()??.try_into().ok()?).into()
            }
        };
        value.is_finite().then_some(value)
    }

    fn text(&self, prediction: Prediction<'_>) -> Option<String> {
        let bytes = self.bytes(prediction)?;
        Some(literal::to_text(&self.cql_type, bytes))
    }
}

impl Reading {
    /// Returns a version's prediction; `None` if it is null, NaN, infinite, an unknown class, or a
    /// probability outside 0 to 1. `scores` is overwritten.
    pub fn prediction<'s>(
        &self,
        meaning: &Meaning,
        prediction: Prediction<'_>,
        scores: &'s mut Vec<f64>,
    ) -> Option<Predicted<'s>> {
        let probability = |value: f64| match (-ROUNDING..=1.0 + ROUNDING).contains(&value) {
            true => Some(value.clamp(0.0, 1.0)),
            false => None,
        };
        match (&self.kind, meaning) {
            (Kind::Binary(asked), _) => {
                let value = self.value.as_ref()?.number(prediction)?;
                Some(Predicted::Score(match asked.scale {
                    Scale::Probability => probability(value)?,
                    Scale::Score => value,
                }))
            }
            (Kind::Classes(_, probabilities), Meaning::Classes(names)) => {
                scores.clear();
                for cell in &self.scores {
                    let value = cell.number(prediction)?;
                    scores.push(match probabilities {
                        Some(_) => probability(value)?,
                        None => value,
                    });
                }
                let class = match &self.value {
                    Some(label) => {
                        let label = label.text(prediction)?;
                        names.iter().position(|name| *name == label)?
                    }
                    None => best(scores)?,
                };
                Some(Predicted::Class(class as u16, scores))
            }
            (Kind::Regression, _) => {
                Some(Predicted::Number(self.value.as_ref()?.number(prediction)?))
            }
            _ => None,
        }
    }
}

/// Returns the first of the greatest.
fn best(scores: &[f64]) -> Option<usize> {
    let mut best = None;
    for (at, score) in scores.iter().enumerate() {
        if best.is_none_or(|best: usize| *score > scores[best]) {
            best = Some(at);
        }
    }
    best
}
