//! Finds the output columns that hold a version's predictions.

use super::{
    Question,
    reading::{Cell, Reading},
};
use crate::{
    codec::cql_type::CqlType,
    domain::{
        evidence::evaluation::{
            Precision, binary::Scores, classes::MOST_CLASSES, labels::Meaning, partial::Kind,
            score_bins::Scale,
        },
        job::{CompiledJob, CompiledVersion, OutputColumn},
        problem::Problem,
    },
};

/// The target's output columns as one version fills them.
pub(super) struct Columns<'a> {
    pub job: &'a CompiledJob,
    pub version: &'a CompiledVersion,
}

impl Columns<'_> {
    pub fn filled(&self) -> impl Iterator<Item = (usize, &OutputColumn)> {
        let outputs = self.job.target.outputs.iter().enumerate();
        outputs.filter(|(at, _)| self.version.outputs.get(*at).is_some_and(Option::is_some))
    }

    pub fn reading(&self, question: &Question) -> Result<(Meaning, Reading), Problem> {
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
