//! Default columns of outputs that the manifest does not name.

use std::collections::BTreeMap;

use super::{Filled, MAX_CLASS_COLUMNS, Named, is_float};
use crate::domain::{model::Output, names::as_column, problem::Problem};

/// The name of a default column.
enum Naming {
    /// `label`, or the output's name.
    Plain(String),
    /// Named after a class: `p_<class>`, or `p_<output>_<class>` if two outputs have such a class.
    Class { prefix: &'static str, class: String },
}

impl Named<'_> {
    /// Returns the default columns of all outputs. Their names depend on the version alone, not on
    /// what the manifest names or omits, so that a new manifest line renames no other column.
    pub(super) fn usual(&mut self) -> Vec<Filled> {
        let all: Vec<(Naming, Filled)> = (0..self.outputs.len())
            .flat_map(|at| self.usual_of(at))
            .collect();
        let mut holders: BTreeMap<String, usize> = BTreeMap::new();
        let by_output = all.iter().any(|(naming, filled)| match naming {
            Naming::Plain(_) => false,
            naming @ Naming::Class { .. } => {
                let output = filled.cell.output;
                let first = holders.entry(naming.short()).or_insert(output);
                *first != output
            }
        });
        all.into_iter()
            .map(|(naming, mut filled)| {
                filled.column.name = match by_output {
                    true => naming.long(&self.outputs[filled.cell.output]),
                    false => naming.short(),
                };
                filled
            })
            .collect()
    }

    fn usual_of(&mut self, at: usize) -> Vec<(Naming, Filled)> {
        let output = &self.outputs[at];
        let width = output.width();
        let plain = |named: &Self, name: String, classes| {
            let filled = named.filled(String::new(), at, 0, width, classes);
            vec![(Naming::Plain(name), filled)]
        };
        if self.label == Some(at) {
            return plain(self, "label".to_owned(), Vec::new());
        }
        match self.classes.get(&at).cloned() {
            Some(classes) if width == 1 && classes.len() == 2 => {
                self.single_score(at, &classes).into_iter().collect()
            }
            Some(classes) if classes.len() == width && width <= MAX_CLASS_COLUMNS => {
                let prefix = if output.simplex { "p_" } else { "score_" };
                let columns = classes.into_iter().enumerate().map(|(offset, class)| {
                    let filled = self.filled(String::new(), at, offset, 1, vec![class.clone()]);
                    (Naming::Class { prefix, class }, filled)
                });
                columns.collect()
            }
            Some(classes) if classes.len() == width => {
                plain(self, as_column(&output.public_name), classes)
            }
            _ => {
                let name = match (&self.manifest.positive, self.is_lone_score(at)) {
                    (Some(positive), true) => format!("score_{}", as_column(positive)),
                    _ => as_column(&output.public_name),
                };
                plain(self, name, Vec::new())
            }
        }
    }

    /// Names a single score for two classes. It is the second class's, which the manifest must
    /// confirm.
    fn single_score(&mut self, at: usize, classes: &[String]) -> Option<(Naming, Filled)> {
        let output = &self.outputs[at];
        match &self.manifest.positive {
            Some(positive) if *positive == classes[1] => {
                let naming = Naming::Class {
                    prefix: "score_",
                    class: positive.clone(),
                };
                Some((
                    naming,
                    self.filled(String::new(), at, 0, 1, vec![positive.clone()]),
                ))
            }
            said => {
                let is_requested = self
                    .manifest
                    .columns
                    .values()
                    .any(|spec| self.resolve(&spec.output) == Some(at));
                if !is_requested && !self.omits_output(at) {
                    let message = match said {
                        Some(positive) => format!(
                            "version {}: output `{}` is one score for class `{}`, not for `{positive}`",
                            self.version, output.public_name, classes[1]
                        ),
                        None => format!(
                            "version {}: output `{}` is one score for two classes, `{}` and `{}`",
                            self.version, output.public_name, classes[0], classes[1]
                        ),
                    };
                    self.report(
                        Problem::new("job.positive_missing", message)
                            .at("outputs.positive")
                            .help(format!(
                                "write positive = \"{}\" if a high score means that class",
                                classes[1]
                            )),
                    );
                }
                None
            }
        }
    }

    /// Returns whether it is the only number of a model without classes.
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
}

impl Naming {
    fn short(&self) -> String {
        match self {
            Self::Plain(name) => name.clone(),
            Self::Class { prefix, class } => format!("{prefix}{}", as_column(class)),
        }
    }

    fn long(&self, output: &Output) -> String {
        match self {
            Self::Plain(name) => name.clone(),
            Self::Class { prefix, class } => {
                let output = as_column(&output.public_name);
                format!("{prefix}{output}_{}", as_column(class))
            }
        }
    }
}
