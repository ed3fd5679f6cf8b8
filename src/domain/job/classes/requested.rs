//! Columns that `[outputs.columns]` requests.

use super::{Filled, Named, described, place};
use crate::{
    codec::cql_type::CqlType,
    domain::{
        job::{OutputColumn, manifest::ColumnSpec, mapping::listed, similarity::OutputIndex},
        model::tensor::Element,
        names::nearest,
        problem::Problem,
    },
};

impl Named<'_> {
    /// Returns the requested column; `None` after a problem was reported.
    pub(super) fn requested(&mut self, name: &str, spec: &ColumnSpec) -> Option<Filled> {
        let Some(at) = self.resolve(&spec.output) else {
            self.report(
                Problem::new(
                    "job.unknown_output",
                    format!("version {} has no output `{}`", self.version, spec.output),
                )
                .at(place(name))
                .help(format!("choose from its outputs: {}", self.described())),
            );
            return None;
        };
        let output = &self.outputs[at];
        let mut filled = match &spec.class {
            None => {
                let classes = self.classes.get(&at).cloned().unwrap_or_default();
                self.filled(name.to_owned(), at, 0, output.width(), classes)
            }
            Some(class) => {
                let classes = self.classes.get(&at).cloned().unwrap_or_default();
                let found = classes.iter().position(|known| known == class);
                let offset = match (found, output.width()) {
                    // One score for two classes is the second class's.
                    (Some(1), 1) => Some(0),
                    (Some(index), width) if index < width && classes.len() == width => Some(index),
                    _ => None,
                };
                let Some(offset) = offset else {
                    let known = classes.iter().map(String::as_str);
                    let help = match nearest(class, known.clone()) {
                        Some(near) if near != class => format!("did you mean \"{near}\"?"),
                        _ => format!("choose from its classes: {}", listed(known)),
                    };
                    self.report(
                        Problem::new(
                            "job.unknown_class",
                            format!(
                                "version {}: output `{}` has no column for class `{class}`",
                                self.version, output.public_name
                            ),
                        )
                        .at(place(name))
                        .help(help),
                    );
                    return None;
                };
                self.filled(name.to_owned(), at, offset, 1, vec![class.clone()])
            }
        };
        if spec.mean_pool.is_some() || spec.l2_normalise {
            self.embed(name, spec, &mut filled)?;
        }
        filled.column.index = spec.index;
        if let Some(problem) = misplaced_index(&filled.column) {
            self.report(problem.at(place(name)));
        }
        if let Some(labels) = &spec.labels {
            if self.could_be_label(at) && output.element != Element::String {
                filled.column.cql_type = CqlType::Text;
                filled.cell.rename = Some(labels.clone().into_iter().collect());
            } else {
                self.report(
                    Problem::new(
                        "job.labels",
                        format!(
                            "version {}: output `{}` is {}, so its values cannot be renamed",
                            self.version,
                            output.public_name,
                            described(output)
                        ),
                    )
                    .at(format!("{}.labels", place(name)))
                    .help("use `labels` for integer labels only"),
                );
            }
        }
        Some(filled)
    }

    /// Returns the output by name, or by role if no output has that name.
    pub(super) fn resolve(&self, name: &str) -> Option<usize> {
        let by_name = |at: &usize| {
            let output = &self.outputs[*at];
            output.public_name == name || output.name == name
        };
        let all = 0..self.outputs.len();
        all.clone().find(by_name).or_else(|| match name {
            "label" => self.label,
            "probabilities" | "scores" => {
                let mut of_classes = self.classes.keys();
                let first = of_classes.next()?;
                of_classes.next().is_none().then_some(*first)
            }
            _ => None,
        })
    }
}

/// Returns why Cassandra cannot have this index on this column.
fn misplaced_index(column: &OutputColumn) -> Option<Problem> {
    let name = &column.name;
    let is_vector = matches!(column.cql_type, CqlType::Vector(..));
    let is_float_vector =
        matches!(&column.cql_type, CqlType::Vector(of, _) if **of == CqlType::Float);
    let (message, help) = match column.index? {
        OutputIndex::Comparison if is_vector => (
            format!("column `{name}` is a vector: an index on it does not support comparisons"),
            "index a column of one class, or write index = \"cosine\" to search by similarity",
        ),
        OutputIndex::Similarity(similarity) if !is_vector => (
            format!(
                "column `{name}` is {}: search by {} needs a vector",
                column.cql_type,
                similarity.name()
            ),
            "index an output of several values as a whole, or write index = true for comparisons",
        ),
        OutputIndex::Similarity(_) if !is_float_vector => (
            format!(
                "column `{name}` is {}: Cassandra searches vectors of float only",
                column.cql_type
            ),
            "export the model with an output of float, or remove index",
        ),
        OutputIndex::Comparison | OutputIndex::Similarity(_) => return None,
    };
    Some(Problem::new("job.index_vector", message).help(help))
}
