//! Which columns a version's outputs become, and what they are called.

mod wished;

use std::collections::BTreeMap;

use super::{
    cql_type::CqlType,
    job::{OutputCell, OutputColumn},
    manifest::{Outputs, key},
    mapping::listed,
    model::{Output, ReadyVersion},
    problem::Problem,
    tensor::Element,
    words::{as_column, nearest},
};

/// Above this many classes, one vector column holds all their scores.
const MAX_CLASS_COLUMNS: usize = 32;
/// Cassandra's own limit for vectors.
const MAX_VECTOR: usize = 8_192;

/// A column that a version fills.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    /// The column.
    pub column: OutputColumn,
    /// Where its value stands.
    pub cell: OutputCell,
}

/// All output columns of `version`, in signature order. Problems are added to `problems`.
pub fn output_columns(
    wishes: &Outputs,
    version: &ReadyVersion,
    problems: &mut Vec<Problem>,
) -> Vec<Filled> {
    let mut outputs = Named::new(wishes, version, problems);
    let mut wished: Vec<(Filled, &str)> = Vec::new();
    for (name, wish) in &wishes.columns {
        if let Some(filled) = outputs.wished(name, wish) {
            let twice = wished
                .iter()
                .find(|(other, _)| overlap(&other.cell, &filled.cell));
            if let Some((_, other)) = twice {
                let other = (*other).to_owned();
                outputs.say(
                    Problem::new(
                        "job.output_twice",
                        format!("columns `{name}` and `{other}` hold the same output"),
                    )
                    .at(place(name))
                    .help("keep one of them"),
                );
            }
            wished.push((filled, name));
        }
    }
    let mut filled: Vec<Filled> = outputs
        .usual()
        .into_iter()
        .filter(|usual| {
            !wished
                .iter()
                .any(|(wish, _)| overlap(&wish.cell, &usual.cell))
        })
        .chain(wished.iter().map(|(wish, _)| wish.clone()))
        .collect();
    filled.sort_by_key(|filled| (filled.cell.output, filled.cell.offset));
    for filled in &filled {
        if filled.cell.width > MAX_VECTOR {
            outputs.say(
                Problem::new(
                    "job.vector_width",
                    format!(
                        "column `{}` would hold {} values; Cassandra's vectors hold {MAX_VECTOR}",
                        filled.column.name, filled.cell.width
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
    wishes: &'a Outputs,
    version: i32,
    outputs: &'a [Output],
    /// Output index -> class names in column order.
    classes: BTreeMap<usize, Vec<String>>,
    label: Option<usize>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Named<'a> {
    fn new(wishes: &'a Outputs, version: &'a ReadyVersion, problems: &'a mut Vec<Problem>) -> Self {
        let outputs = &version.admitted.signature.outputs[..];
        let mut named = Self {
            wishes,
            version: version.version,
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

    /// The one output of labels that says so by its name.
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

    /// Beside scores of classes, the one output that is no float.
    fn only_label(&self) -> Option<usize> {
        let mut candidates = (0..self.outputs.len()).filter(|&at| self.could_be_label(at));
        let first = candidates.next()?;
        candidates.next().is_none().then_some(first)
    }

    /// Scores beside a label are of its classes (a clustering's distances), by index if nothing
    /// names them.
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

    /// `outputs.classes` is stronger than what admission found.
    fn manifest_classes(&mut self) {
        let Some(names) = &self.wishes.classes else {
            return;
        };
        let fits = |at: &usize| {
            let output = &self.outputs[*at];
            let width = output.width();
            is_float(output.element) && (width == names.len() || (width == 1 && names.len() == 2))
        };
        let known: Vec<usize> = self.classes.keys().copied().filter(fits).collect();
        let fitting = match known.as_slice() {
            [] => (0..self.outputs.len()).filter(fits).collect(),
            _ => known,
        };
        match fitting.as_slice() {
            [at] => {
                self.classes.insert(*at, names.clone());
            }
            many => {
                let which = match many.len() {
                    0 => "no output of that many scores",
                    _ => "several outputs of that many scores",
                };
                self.say(
                    Problem::new(
                        "job.classes",
                        format!(
                            "version {} has {which}: {} classes are named",
                            self.version,
                            names.len()
                        ),
                    )
                    .at("outputs.classes")
                    .help(format!("its outputs are {}", self.described())),
                );
            }
        }
    }

    fn check_positive(&mut self) {
        let Some(positive) = &self.wishes.positive else {
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
            None => format!("its classes are {}", listed(names.iter().copied())),
        };
        let problem = Problem::new(
            "job.unknown_class",
            format!("version {} has no class `{positive}`", self.version),
        )
        .at("outputs.positive")
        .help(help);
        self.say(problem);
    }

    /// The columns that nothing was wished for.
    fn usual(&mut self) -> Vec<Filled> {
        (0..self.outputs.len())
            .flat_map(|at| self.usual_of(at))
            .collect()
    }

    fn usual_of(&mut self, at: usize) -> Vec<Filled> {
        let output = &self.outputs[at];
        let width = output.width();
        if self.label == Some(at) {
            return vec![self.filled("label".to_owned(), at, 0, 1, Vec::new())];
        }
        match self.classes.get(&at).cloned() {
            Some(classes) if width == 1 && classes.len() == 2 => {
                self.single_score(at, &classes).into_iter().collect()
            }
            Some(classes) if classes.len() == width && width <= MAX_CLASS_COLUMNS => {
                let prefix = if output.simplex { "p_" } else { "score_" };
                (0..width)
                    .map(|class| {
                        let name = format!("{prefix}{}", as_column(&classes[class]));
                        self.filled(name, at, class, 1, vec![classes[class].clone()])
                    })
                    .collect()
            }
            Some(classes) if classes.len() == width => {
                vec![self.filled(as_column(&output.public_name), at, 0, width, classes)]
            }
            _ => {
                let name = match (&self.wishes.positive, self.is_lone_score(at)) {
                    (Some(positive), true) => format!("score_{}", as_column(positive)),
                    _ => as_column(&output.public_name),
                };
                vec![self.filled(name, at, 0, width, Vec::new())]
            }
        }
    }

    /// One number for two classes: it is the second one's, and only a person can say so.
    fn single_score(&mut self, at: usize, classes: &[String]) -> Option<Filled> {
        let output = &self.outputs[at];
        match &self.wishes.positive {
            Some(positive) if *positive == classes[1] => {
                let name = format!("score_{}", as_column(positive));
                Some(self.filled(name, at, 0, 1, vec![positive.clone()]))
            }
            said => {
                let wishes_it = self
                    .wishes
                    .columns
                    .values()
                    .any(|wish| self.resolve(&wish.output) == Some(at));
                if !wishes_it {
                    let message = match said {
                        Some(positive) => format!(
                            "version {}: output `{}` is one score, for class `{}` and not for `{positive}`",
                            self.version, output.public_name, classes[1]
                        ),
                        None => format!(
                            "version {}: output `{}` is one score for two classes, `{}` and `{}`",
                            self.version, output.public_name, classes[0], classes[1]
                        ),
                    };
                    self.say(
                        Problem::new("job.positive_missing", message)
                            .at("outputs.positive")
                            .help(format!(
                                "write positive = \"{}\" if a high score means that",
                                classes[1]
                            )),
                    );
                }
                None
            }
        }
    }

    /// The only number of a model without classes.
    fn is_lone_score(&self, at: usize) -> bool {
        let is_score = |output: &Output| is_float(output.element) && output.width() == 1;
        self.classes.is_empty()
            && is_score(&self.outputs[at])
            && self
                .outputs
                .iter()
                .filter(|output| is_score(output))
                .count()
                == 1
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
                index: false,
                classes,
            },
            cell: OutputCell {
                output,
                offset,
                width,
                rename: None,
            },
        }
    }

    fn described(&self) -> String {
        let each = |output: &Output| format!("`{}` ({})", output.public_name, described(output));
        let all: Vec<_> = self.outputs.iter().map(each).collect();
        all.join(", ")
    }

    fn say(&mut self, problem: Problem) {
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
