//! Outcomes that are numbers, and the covariate that explains a part of them.

use crate::{
    codec::{cql_type::CqlType, schema::Column},
    domain::{
        evidence::evaluation::{
            labels::{Label, Labels, Meaning, Wording},
            partial::Truth,
        },
        job::CompiledJob,
        problem::Problem,
    },
    inspect::pass::Standing,
};

/// Reads outcomes and covariates.
#[derive(Clone)]
pub struct OutcomeReader {
    /// How numbers are read; `None`: the column is boolean.
    labels: Option<Labels>,
    covariate: Option<Covariate>,
}

/// An output column of one version.
#[derive(Clone)]
struct Covariate {
    /// Index of the version in the pass.
    version: usize,
    /// Index of the output column.
    column: usize,
    reader: Labels,
}

impl OutcomeReader {
    /// Returns the reader of an outcome column. `covariate`: the output column, and the index in the
    /// pass of the version that fills it.
    ///
    /// # Errors
    /// A column that does not hold numbers or booleans; an output column that does not exist.
    pub fn new(
        column: &Column,
        job: &CompiledJob,
        covariate: Option<(&str, usize)>,
    ) -> Result<Self, Problem> {
        let labels = match column.cql_type.thawed() {
            CqlType::Boolean => None,
            _ => Some(numbers(&column.cql_type)?),
        };
        let covariate = covariate.map(|(name, version)| {
            let outputs = job.target.outputs.iter();
            let found = outputs.enumerate().find(|(_, output)| output.name == name);
            let (column, output) = found.ok_or_else(|| {
                let names = job.target.outputs.iter().map(|output| output.name.as_str());
                let message = format!("there is no output column `{name}`");
                Problem::new("experiment.covariate", message)
                    .at("covariate")
                    .help(format!("it has {}", names.collect::<Vec<_>>().join(", ")))
            })?;
            Ok(Covariate {
                version,
                column,
                reader: numbers(&output.cql_type).map_err(|problem| problem.at("covariate"))?,
            })
        });
        Ok(Self {
            labels,
            covariate: covariate.transpose()?,
        })
    }

    /// Returns an outcome as a number; a boolean is 0 or 1. `None` if it is not finite.
    pub fn number(&self, cell: &[u8]) -> Option<f64> {
        match &self.labels {
            Some(labels) => number(labels, cell),
            None => Some(f64::from(u8::from(*cell.first()? != 0))),
        }
    }

    /// Returns the covariate of a row, if its prediction was made before the start.
    pub fn covariate(&self, versions: &[Standing<'_>], started_ms: i64) -> Option<f64> {
        let covariate = self.covariate.as_ref()?;
        let Standing::Current(prediction) = versions.get(covariate.version)? else {
            return None;
        };
        if prediction.scored_at()? >= started_ms {
            return None;
        }
        let cell = prediction.outputs().nth(covariate.column)??;
        number(&covariate.reader, cell)
    }
}

fn numbers(cql_type: &CqlType) -> Result<Labels, Problem> {
    Labels::new(cql_type, Wording::default(), Meaning::Number)
}

fn number(labels: &Labels, cell: &[u8]) -> Option<f64> {
    match labels.read(Some(cell)) {
        Label::Truth(Truth::Number(number)) => Some(number),
        _ => None,
    }
}
