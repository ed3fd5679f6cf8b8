//! What is evaluated: a task, and the output columns that say it for each version.

use crate::domain::{
    cql_type::CqlType,
    job::{CompiledJob, CompiledVersion, OutputColumn},
    problem::Problem,
    proof::Prediction,
    wire::Parts,
};

use super::{
    Precision, binary::Scores, classes::MOST_CLASSES, labels::Meaning, partial::Kind,
    partial::Said, score_bins::Scale,
};

/// Rounding takes a probability no further beyond 0 or 1 than this.
const ROUNDING: f64 = 1e-3;

/// What somebody asks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// The class that scores are of; `None`: the manifest's, if it names one.
    pub positive: Option<String>,
    /// The output column that holds the number or score, where it can't be told.
    pub column: Option<String>,
    /// Thresholds of decisions, the headline's first.
    pub thresholds: Vec<f64>,
}

/// What is to be told, version by version.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// What labels are read as.
    pub meaning: Meaning,
    /// In the order in which they were asked for.
    pub versions: Vec<Reading>,
}

/// Where one version says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// How it is counted.
    pub kind: Kind,
    /// The score, the number, or the predicted class; `None`: the class of the best score.
    value: Option<Cell>,
    /// A score for each class.
    scores: Vec<Cell>,
}

/// A number or a label in the target's output columns.
#[derive(Debug, Clone, PartialEq)]
struct Cell {
    column: usize,
    cql_type: CqlType,
    /// Within a vector.
    element: usize,
}

impl Target {
    /// Finds out what can be told of these versions.
    ///
    /// # Errors
    /// No column says it, several could, or versions differ in what they say.
    pub fn of(job: &CompiledJob, versions: &[i32], question: &Question) -> Result<Self, Problem> {
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
                    "version {number} predicts {}, version {} {}",
                    spoken(&other),
                    versions[0],
                    spoken(&meaning)
                );
                return Err(Problem::new("evaluate.other_outputs", message)
                    .at("versions")
                    .help("evaluate them one by one"));
            }
            readings.push(reading);
        }
        Ok(Self {
            meaning,
            versions: readings,
        })
    }
}

/// Names of the classes by number; none where there are no classes.
pub fn class_names(target: &Target) -> Vec<String> {
    match &target.meaning {
        Meaning::Classes(names) => names.clone(),
        Meaning::Positive { .. } | Meaning::Number => Vec::new(),
    }
}

fn spoken(meaning: &Meaning) -> String {
    match meaning {
        Meaning::Positive { positive, classes } => {
            format!("`{positive}` among {}", classes.join(", "))
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
                    "no output column of version {} holds a score of a class",
                    self.version.ready.version
                );
                Err(Problem::new("evaluate.no_score", message)
                    .at("positive")
                    .help(format!(
                        "name the column that holds the score of `{positive}` by --column"
                    )))
            }
            (Some(positive), [_, ..]) => self.class_score(positive, &scores, question),
            (None, [_, _, ..]) => self.classes(&scores),
            (None, [(class, _)]) => {
                let message =
                    format!("the one score column is of `{class}`: which class is positive?");
                Err(Problem::new("evaluate.no_positive", message)
                    .at("positive")
                    .help(format!("--positive {class}")))
            }
            (_, []) => self.number(None),
        }
    }

    /// Class -> where its score stands, in the order of the columns.
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

    /// Whether a column's values are probabilities: admission has seen that they are, or whoever
    /// named the column says so.
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
        let Some((_, cell)) = scores.iter().find(|(class, _)| class == positive) else {
            let message = format!(
                "version {} has no score of a class `{positive}`",
                self.version.ready.version
            );
            return Err(Problem::new("evaluate.unknown_positive", message)
                .at("positive")
                .help(format!("it has scores of {}", classes.join(", "))));
        };
        let meaning = Meaning::Positive {
            positive: positive.to_owned(),
            classes: match classes.as_slice() {
                // One score column: labels name the positive class, or say no.
                [_] => [positive, "0", "false"].map(str::to_owned).to_vec(),
                _ => classes,
            },
        };
        Ok((meaning, self.scored(cell.clone(), question)))
    }

    /// As the version's signature has them, where one column is all that is kept of two.
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
                "{} classes; at most {MOST_CLASSES} are told apart",
                scores.len()
            );
            return Err(
                Problem::new("evaluate.classes", message).help("name one of them by --positive")
            );
        }
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

    /// The one column that holds a predicted class.
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
                            [] => {
                                "no output column holds one number or scores of classes".to_owned()
                            }
                            many => {
                                format!("several output columns hold a number: {}", many.join(", "))
                            }
                        };
                        return Err(Problem::new("evaluate.which_column", message)
                            .at("column")
                            .help("name one by --column"));
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
                    "version {} fills no column `{name}` of numbers",
                    self.version.ready.version
                );
                Err(Problem::new("evaluate.unknown_column", message)
                    .at("column")
                    .help(format!("it fills {}", known.join(", "))))
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

    /// A finite number.
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
        Some(crate::domain::literal::to_text(&self.cql_type, bytes))
    }
}

impl Reading {
    /// What a prediction says; `None`: it is null, NaN, infinite, no class, or a probability beyond
    /// 0 to 1. `scores` is overwritten.
    pub fn said<'s>(
        &self,
        meaning: &Meaning,
        prediction: Prediction<'_>,
        scores: &'s mut Vec<f64>,
    ) -> Option<Said<'s>> {
        let probability = |value: f64| match (-ROUNDING..=1.0 + ROUNDING).contains(&value) {
            true => Some(value.clamp(0.0, 1.0)),
            false => None,
        };
        match (&self.kind, meaning) {
            (Kind::Binary(asked), _) => {
                let value = self.value.as_ref()?.number(prediction)?;
                Some(Said::Score(match asked.scale {
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
                Some(Said::Class(class as u16, scores))
            }
            (Kind::Regression, _) => Some(Said::Number(self.value.as_ref()?.number(prediction)?)),
            _ => None,
        }
    }
}

/// The first of the greatest.
fn best(scores: &[f64]) -> Option<usize> {
    let mut best = None;
    for (at, score) in scores.iter().enumerate() {
        if best.is_none_or(|best: usize| *score > scores[best]) {
            best = Some(at);
        }
    }
    best
}
