//! The evaluated task, and the output columns that hold each version's predictions.

mod several;

use crate::{
    codec::{cql_type::CqlType, wire::Parts},
    domain::{
        job::{CompiledJob, CompiledVersion, OutputColumn},
        model::proof::Prediction,
        problem::Problem,
    },
};

use super::{
    Precision, binary::Scores, classes::MOST_CLASSES, labels::Meaning, partial::Kind,
    partial::Predicted, score_bins::Scale,
};

/// Maximum excess of a probability over 0 or 1 by rounding.
const ROUNDING: f64 = 1e-3;

/// Options of an evaluation's target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// The class that is evaluated; `None`: the manifest's, if it names one.
    pub positive: Option<String>,
    /// The output column with the number or score, if it is ambiguous.
    pub column: Option<String>,
    /// Decision thresholds, the headline's first.
    pub thresholds: Vec<f64>,
}

/// The evaluated task, version by version.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Kind of the labels.
    pub meaning: Meaning,
    /// In the order of the request.
    pub versions: Vec<Reading>,
}

/// The columns of one version's predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The prediction task.
    pub kind: Kind,
    /// The score, the number, or the predicted class; `None`: the class with the best score.
    value: Option<Cell>,
    /// A score for each class.
    scores: Vec<Cell>,
}

/// A number or a label in the target's output columns.
#[derive(Debug, Clone, PartialEq)]
struct Cell {
    column: usize,
    cql_type: CqlType,
    /// Index within a vector.
    element: usize,
}

impl Target {
    /// Determines the task and columns of these versions.
    ///
    /// # Errors
    /// No column or several columns are suitable, or the versions' tasks differ.
    pub fn resolve(
        job: &CompiledJob,
        versions: &[i32],
        question: &Question,
    ) -> Result<Self, Problem> {
        let mut found: Vec<(Meaning, Reading)> = Vec::new();
        for number in versions {
            let versions = job.versions.iter();
            for version in versions.filter(|version| version.ready.version == *number) {
                found.push(Columns { job, version }.reading(question)?);
            }
        }
        let mut found = found.into_iter();
        let Some((meaning, first)) = found.next() else {
            return Err(Problem::new("evaluate.no_version", "no version is named"));
        };
        let mut readings = vec![first];
        for ((other, reading), number) in found.zip(versions.iter().skip(1)) {
            if other != meaning {
                let message = format!(
                    "version {number} predicts {}, but version {} predicts {}",
                    describe(&other),
                    versions[0],
                    describe(&meaning)
                );
                return Err(Problem::new("evaluate.other_outputs", message)
                    .at("versions")
                    .help("evaluate the versions separately"));
            }
            readings.push(reading);
        }
        Ok(Self {
            meaning,
            versions: readings,
        })
    }
}

/// Returns the names of the classes by number; empty if there are no classes.
pub fn class_names(target: &Target) -> Vec<String> {
    match &target.meaning {
        Meaning::Classes(names) => names.clone(),
        Meaning::Positive { .. } | Meaning::Number => Vec::new(),
    }
}

fn describe(meaning: &Meaning) -> String {
    match meaning {
        Meaning::Positive { positive, classes } => {
            format!("class `{positive}` among {}", classes.join(", "))
        }
        Meaning::Classes(classes) => format!("the classes {}", classes.join(", ")),
        Meaning::Number => "a number".to_owned(),
    }
}

/// The target's output columns as one version fills them.
struct Columns<'a> {
    job: &'a CompiledJob,
    version: &'a CompiledVersion,
}

impl Columns<'_> {
    fn filled(&self) -> impl Iterator<Item = (usize, &OutputColumn)> {
        let outputs = self.job.target.outputs.iter().enumerate();
        outputs.filter(|(at, _)| self.version.outputs.get(*at).is_some_and(Option::is_some))
    }

    fn reading(&self, question: &Question) -> Result<(Meaning, Reading), Problem> {
        let scores = self.scores();
        let positive = question.positive.as_ref().or(self.job.positive.as_ref());
        if let Some(column) = &question.column {
            return match positive {
                Some(positive) if question.positive.is_some() => {
                    self.named_score(column, positive, question)
                }
                _ => self.number(Some(column)),
            };
        }
        match (positive, scores.as_slice()) {
            (Some(positive), []) if question.positive.is_some() => {
                let message = format!(
                    "version {} has no output column with a score of a class",
                    self.version.ready.version
                );
                Err(Problem::new("evaluate.no_score", message)
                    .at("positive")
                    .help(format!(
                        "name the column with the score of `{positive}`: --column"
                    )))
            }
            (Some(positive), [_, ..]) => self.class_score(positive, &scores, question),
            (None, [_, _, ..]) => self.classes(&scores),
            (None, [(class, _)]) => {
                let message =
                    format!("the positive class is unknown: the only score column is of `{class}`");
                Err(Problem::new("evaluate.no_positive", message)
                    .at("positive")
                    .help(format!("name the positive class: --positive {class}")))
            }
            (_, []) => self.number(None),
        }
    }

    /// Returns class -> position of its score, in the order of the columns.
    fn scores(&self) -> Vec<(String, Cell)> {
        let mut scores = Vec::new();
        for (column, output) in self.filled() {
            for (element, class) in output.classes.iter().enumerate() {
                let cell = Cell {
                    column,
                    cql_type: output.cql_type.clone(),
                    element,
                };
                scores.push((class.clone(), cell));
            }
        }
        scores
    }

    /// Returns whether a column's values are probabilities: admission observed it, or the
    /// manifest's name for the column says so.
    fn scale(&self, cell: &Cell) -> Scale {
        let output = self.version.outputs[cell.column].as_ref();
        let signature = &self.version.ready.admitted.signature;
        let simplex = output
            .and_then(|output| signature.outputs.get(output.output))
            .is_some_and(|output| output.simplex);
        match simplex || self.job.target.outputs[cell.column].name.starts_with("p_") {
            true => Scale::Probability,
            false => Scale::Score,
        }
    }

    fn scored(&self, cell: Cell, question: &Question) -> Reading {
        let scale = self.scale(&cell);
        let thresholds = match (question.thresholds.as_slice(), scale) {
            ([], Scale::Probability) => vec![0.5],
            ([], Scale::Score) => Vec::new(),
            (given, _) => given.to_vec(),
        };
        let scores = Scores {
            scale,
            precision: precision(&cell.cql_type),
            thresholds,
        };
        Reading {
            kind: Kind::Binary(scores),
            value: Some(cell),
            scores: Vec::new(),
        }
    }

    fn class_score(
        &self,
        positive: &str,
        scores: &[(String, Cell)],
        question: &Question,
    ) -> Result<(Meaning, Reading), Problem> {
        let classes: Vec<String> = self.class_names(scores);
        let Some(cell) = self.score_of(scores, positive)? else {
            let message = format!(
                "version {} has no score of class `{positive}`",
                self.version.ready.version
            );
            return Err(Problem::new("evaluate.unknown_positive", message)
                .at("positive")
                .help(format!("choose from {}", classes.join(", "))));
        };
        let meaning = Meaning::Positive {
            positive: positive.to_owned(),
            classes: match classes.as_slice() {
                // One score column: labels name the positive class, or are negative.
                [_] => [positive, "0", "false"].map(str::to_owned).to_vec(),
                _ => classes,
            },
        };
        Ok((meaning, self.scored(cell.clone(), question)))
    }

    /// Returns the class names of the signature, which has two even if only one column is stored.
    fn class_names(&self, scores: &[(String, Cell)]) -> Vec<String> {
        let signature = &self.version.ready.admitted.signature;
        let output = scores
            .first()
            .and_then(|(_, cell)| self.version.outputs[cell.column].as_ref())
            .and_then(|output| signature.outputs.get(output.output));
        let known = output.and_then(|output| output.classes.as_ref());
        let mut names: Vec<String> = match known {
            Some(known) if known.names.len() > scores.len() => known.names.clone(),
            _ => scores.iter().map(|(class, _)| class.clone()).collect(),
        };
        names.sort();
        names.dedup();
        names
    }

    fn named_score(
        &self,
        column: &str,
        positive: &str,
        question: &Question,
    ) -> Result<(Meaning, Reading), Problem> {
        let cell = self.column(column)?;
        let meaning = Meaning::Positive {
            positive: positive.to_owned(),
            classes: [positive, "0", "false"].map(str::to_owned).to_vec(),
        };
        Ok((meaning, self.scored(cell, question)))
    }

    fn classes(&self, scores: &[(String, Cell)]) -> Result<(Meaning, Reading), Problem> {
        if scores.len() > MOST_CLASSES {
            let message = format!(
                "{} classes exceed the limit of {MOST_CLASSES}",
                scores.len()
            );
            return Err(Problem::new("evaluate.classes", message)
                .help("name one of them: --positive CLASS"));
        }
        self.check_one_output(scores)?;
        let mut scores = scores.to_vec();
        scores.sort_by(|(a, _), (b, _)| a.cmp(b));
        let probabilities = scores
            .iter()
            .all(|(_, cell)| self.scale(cell) == Scale::Probability);
        let precision = precision(&scores[0].1.cql_type);
        let names = scores.iter().map(|(class, _)| class.clone()).collect();
        let reading = Reading {
            kind: Kind::Classes(scores.len() as u16, probabilities.then_some(precision)),
            value: self.label(),
            scores: scores.into_iter().map(|(_, cell)| cell).collect(),
        };
        Ok((Meaning::Classes(names), reading))
    }

    /// Returns the only column with a predicted class.
    fn label(&self) -> Option<Cell> {
        let mut labels = self.filled().filter(|(_, output)| {
            let kept = &output.cql_type;
            output.classes.is_empty() && !is_number(kept) && !matches!(kept, CqlType::Vector(..))
        });
        let (column, output) = labels.next()?;
        labels.next().is_none().then(|| Cell {
            column,
            cql_type: output.cql_type.clone(),
            element: 0,
        })
    }

    fn number(&self, named: Option<&str>) -> Result<(Meaning, Reading), Problem> {
        let cell = match named {
            Some(column) => self.column(column)?,
            None => {
                let numbers: Vec<_> = self
                    .filled()
                    .filter(|(_, output)| output.classes.is_empty() && is_number(&output.cql_type))
                    .map(|(_, output)| output.name.as_str())
                    .collect();
                match numbers.as_slice() {
                    [one] => self.column(one)?,
                    many => {
                        let message = match many {
                            [] => "no output column has a number or scores of classes".to_owned(),
                            many => {
                                format!("several output columns have a number: {}", many.join(", "))
                            }
                        };
                        return Err(Problem::new("evaluate.which_column", message)
                            .at("column")
                            .help("name one: --column NAME"));
                    }
                }
            }
        };
        let reading = Reading {
            kind: Kind::Regression,
            value: Some(cell),
            scores: Vec::new(),
        };
        Ok((Meaning::Number, reading))
    }

    fn column(&self, name: &str) -> Result<Cell, Problem> {
        let found = self.filled().find(|(_, output)| output.name == name);
        match found {
            Some((column, output)) if is_number(&output.cql_type) => Ok(Cell {
                column,
                cql_type: output.cql_type.clone(),
                element: 0,
            }),
            _ => {
                let known: Vec<_> = self
                    .filled()
                    .map(|(_, output)| output.name.as_str())
                    .collect();
                let message = format!(
                    "version {} fills no numeric column `{name}`",
                    self.version.ready.version
                );
                Err(Problem::new("evaluate.unknown_column", message)
                    .at("column")
                    .help(format!("choose from {}", known.join(", "))))
            }
        }
    }
}

fn is_number(cql_type: &CqlType) -> bool {
    matches!(cql_type, CqlType::Float | CqlType::Double)
}

fn precision(cql_type: &CqlType) -> Precision {
    match cql_type {
        CqlType::Double => Precision::Double,
        _ => Precision::Single,
    }
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
        Some(crate::codec::literal::to_text(&self.cql_type, bytes))
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
