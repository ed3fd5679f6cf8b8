//! Maps a version's outputs to columns and names these columns.

mod columns;
mod embedding;
mod omitted;
mod requested;
mod top;

use std::collections::BTreeMap;

use super::{
    manifest::{ClassNames, Outputs, key},
    mapping::listed,
};
use crate::{
    codec::cql_type::CqlType,
    domain::{
        job::{OutputCell, OutputColumn, postprocess::Postprocess},
        model::{Input, Output, ReadyVersion, artifact::Artifacts, tensor::Element},
        names::nearest,
        problem::Problem,
    },
};

/// With more classes than this, one vector column holds all scores.
const MAX_CLASS_COLUMNS: usize = 32;
/// Cassandra's limit on the length of vectors.
const MAX_VECTOR: usize = 8_192;

/// A column that a version fills.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    pub column: OutputColumn,
    /// Where its value is.
    pub cell: OutputCell,
}

/// Returns all output columns of `version`, in signature order. Problems are added to `problems`.
pub fn output_columns(
    manifest: &Outputs,
    version: &ReadyVersion,
    artifacts: &Artifacts,
    problems: &mut Vec<Problem>,
) -> Vec<Filled> {
    let mut outputs = Named::new(manifest, version, problems);
    let mut requested: Vec<(Filled, &str)> = Vec::new();
    for (name, spec) in &manifest.columns {
        if let Some(filled) = outputs.requested(name, spec) {
            let twice = requested
                .iter()
                .find(|(other, _)| overlap(&other.cell, &filled.cell));
            if let Some((_, other)) = twice {
                let other = (*other).to_owned();
                outputs.report(
                    Problem::new(
                        "job.output_twice",
                        format!("columns `{name}` and `{other}` hold the same output"),
                    )
                    .at(place(name))
                    .help("remove one of them"),
                );
            }
            requested.push((filled, name));
        }
    }
    let requested: Vec<Filled> = requested.into_iter().map(|(filled, _)| filled).collect();
    let top = outputs.top(artifacts, &requested);
    let named: Vec<Filled> = requested.into_iter().chain(top).collect();
    let usual = outputs.usual();
    let mut filled: Vec<Filled> = outputs
        .without_omitted(usual)
        .into_iter()
        .filter(|usual| {
            !named
                .iter()
                .any(|column| overlap(&column.cell, &usual.cell))
        })
        .chain(named.iter().cloned())
        .collect();
    filled.sort_by_key(|filled| (filled.cell.output, filled.cell.offset));
    if filled.is_empty() && outputs.problems.is_empty() {
        outputs.report(
            Problem::new(
                "job.no_outputs",
                format!("version {}: every output is omitted", version.version),
            )
            .at("outputs.omit")
            .help("keep at least one: a prediction table needs an output"),
        );
    }
    for filled in &filled {
        outputs.check_rank(filled);
        let width = match (&filled.cell.postprocess, &filled.column.cql_type) {
            (Postprocess::Nothing, _) => filled.cell.width,
            (_, CqlType::Vector(_, width)) => usize::from(*width),
            _ => 1,
        };
        if width > MAX_VECTOR {
            outputs.report(
                Problem::new(
                    "job.vector_width",
                    format!(
                        "column `{}` has {} values; Cassandra's limit for vectors is {MAX_VECTOR}",
                        filled.column.name, width
                    ),
                )
                .at("outputs"),
            );
        }
    }
    filled
}

fn overlap(a: &OutputCell, b: &OutputCell) -> bool {
    a.output == b.output && a.offset < b.offset + b.width && b.offset < a.offset + a.width
}

fn place(column: &str) -> String {
    format!("outputs.columns.{}", key(column))
}

/// A version's outputs with their roles and class names.
struct Named<'a> {
    manifest: &'a Outputs,
    version: i32,
    inputs: &'a [Input],
    outputs: &'a [Output],
    /// Output index -> class names in column order.
    classes: BTreeMap<usize, Vec<String>>,
    label: Option<usize>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Named<'a> {
    fn new(
        manifest: &'a Outputs,
        version: &'a ReadyVersion,
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        let outputs = &version.admitted.signature.outputs[..];
        let mut named = Self {
            manifest,
            version: version.version,
            inputs: &version.admitted.signature.inputs,
            outputs,
            classes: outputs
                .iter()
                .enumerate()
                .filter_map(|(at, output)| Some((at, output.classes.clone()?.names)))
                .collect(),
            label: None,
            problems,
        };
        named.label = named.find_label();
        named.implied_classes();
        named.manifest_classes();
        if named.label.is_none() && !named.classes.is_empty() {
            named.label = named.only_label();
        }
        named.check_positive();
        named
    }

    fn could_be_label(&self, at: usize) -> bool {
        let output = &self.outputs[at];
        output.width() == 1 && !is_float(output.element)
    }

    /// Returns the only output of labels whose name identifies it as such.
    fn find_label(&self) -> Option<usize> {
        let mut named = (0..self.outputs.len()).filter(|&at| {
            self.could_be_label(at)
                && self.outputs[at]
                    .public_name
                    .to_lowercase()
                    .contains("label")
        });
        let first = named.next()?;
        named.next().is_none().then_some(first)
    }

    /// Returns the only output that is not a float, if another one holds scores of classes.
    fn only_label(&self) -> Option<usize> {
        let mut candidates = (0..self.outputs.len()).filter(|&at| self.could_be_label(at));
        let first = candidates.next()?;
        candidates.next().is_none().then_some(first)
    }

    /// Assigns the label's classes to scores beside it (a clustering's distances), by index if
    /// nothing names them.
    fn implied_classes(&mut self) {
        if self.label.is_none() || !self.classes.is_empty() {
            return;
        }
        let mut scores = (0..self.outputs.len()).filter(|&at| self.is_scores(at));
        if let (Some(at), None) = (scores.next(), scores.next()) {
            let names = (0..self.outputs[at].width()).map(|class| class.to_string());
            self.classes.insert(at, names.collect());
        }
    }

    fn is_scores(&self, at: usize) -> bool {
        is_float(self.outputs[at].element) && self.outputs[at].width() > 1
    }

    /// Applies `outputs.classes`, which overrides what admission found.
    fn manifest_classes(&mut self) {
        match &self.manifest.classes {
            None => {}
            Some(ClassNames::OfOne(names)) => self.classes_of_one(names),
            Some(ClassNames::ByOutput(all)) => {
                for (output, names) in all {
                    self.classes_of(output, names);
                }
            }
        }
    }

    fn fits(&self, at: usize, names: &[String]) -> bool {
        let output = &self.outputs[at];
        let width = output.width();
        is_float(output.element) && (width == names.len() || (width == 1 && names.len() == 2))
    }

    fn classes_of(&mut self, name: &str, names: &[String]) {
        let problem = match self.resolve(name) {
            Some(at) if self.fits(at, names) => {
                self.classes.insert(at, names.to_vec());
                return;
            }
            Some(at) => Problem::new(
                "job.classes",
                format!(
                    "version {}: output `{name}` is {}, but {} classes are named",
                    self.version,
                    described(&self.outputs[at]),
                    names.len()
                ),
            ),
            None => Problem::new(
                "job.unknown_output",
                format!("version {} has no output `{name}`", self.version),
            ),
        };
        let help = format!("choose from its outputs: {}", self.described());
        self.report(
            problem
                .at(format!("outputs.classes.{}", key(name)))
                .help(help),
        );
    }

    fn classes_of_one(&mut self, names: &[String]) {
        let fits = |at: &usize| self.fits(*at, names);
        let known: Vec<usize> = self.classes.keys().copied().filter(fits).collect();
        let fitting = match known.as_slice() {
            [] => (0..self.outputs.len()).filter(fits).collect(),
            _ => known,
        };
        match fitting.as_slice() {
            [at] => {
                self.classes.insert(*at, names.to_vec());
            }
            many => {
                let (which, help) = match many.len() {
                    0 => ("no output with that many scores", ""),
                    _ => (
                        "several outputs with that many scores",
                        "; name one: classes = { output = [\"…\"] }",
                    ),
                };
                let help = format!("choose from its outputs: {}{help}", self.described());
                self.report(
                    Problem::new(
                        "job.classes",
                        format!(
                            "version {} has {which} ({} classes are named)",
                            self.version,
                            names.len()
                        ),
                    )
                    .at("outputs.classes")
                    .help(help),
                );
            }
        }
    }

    fn check_positive(&mut self) {
        let Some(positive) = &self.manifest.positive else {
            return;
        };
        if self.classes.is_empty() || self.classes.values().any(|names| names.contains(positive)) {
            return;
        }
        let names: Vec<&str> = self
            .classes
            .values()
            .flatten()
            .map(String::as_str)
            .collect();
        let help = match nearest(positive, names.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("choose from its classes: {}", listed(names.iter().copied())),
        };
        let problem = Problem::new(
            "job.unknown_class",
            format!("version {} has no class `{positive}`", self.version),
        )
        .at("outputs.positive")
        .help(help);
        self.report(problem);
    }

    fn filled(
        &self,
        name: String,
        output: usize,
        offset: usize,
        width: usize,
        classes: Vec<String>,
    ) -> Filled {
        let element = self.outputs[output].element;
        let scalar = match element {
            Element::Float16 | Element::Float => CqlType::Float,
            Element::Double => CqlType::Double,
            Element::Int64 => CqlType::Bigint,
            Element::Int32 => CqlType::Int,
            Element::Bool => CqlType::Boolean,
            Element::String => CqlType::Text,
        };
        let cql_type = match u16::try_from(width) {
            Ok(1) | Err(_) => scalar,
            Ok(width) => CqlType::Vector(Box::new(scalar), width),
        };
        Filled {
            column: OutputColumn {
                name,
                cql_type,
                index: None,
                classes,
            },
            cell: OutputCell {
                output,
                offset,
                width,
                rename: None,
                similarity: None,
                postprocess: Postprocess::Nothing,
            },
        }
    }

    fn described(&self) -> String {
        let each = |output: &Output| format!("`{}` ({})", output.public_name, described(output));
        let all: Vec<_> = self.outputs.iter().map(each).collect();
        all.join(", ")
    }

    fn report(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

fn is_float(element: Element) -> bool {
    matches!(element, Element::Float16 | Element::Float | Element::Double)
}

fn described(output: &Output) -> String {
    match output.width() {
        1 => output.element.name().to_owned(),
        width => format!("{width} x {}", output.element.name()),
    }
}
