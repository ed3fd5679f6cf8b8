//! Columns that `[outputs.columns]` wishes for.

use super::{Filled, Named, described, place};
use crate::domain::{
    cql_type::CqlType, manifest::ColumnWish, mapping::listed, problem::Problem, tensor::Element,
    words::nearest,
};

impl Named<'_> {
    /// The column that is wished for; `None` after a complaint.
    pub(super) fn wished(&mut self, name: &str, wish: &ColumnWish) -> Option<Filled> {
        let Some(at) = self.resolve(&wish.output) else {
            self.say(
                Problem::new(
                    "job.unknown_output",
                    format!("version {} has no output `{}`", self.version, wish.output),
                )
                .at(place(name))
                .help(format!("it has {}", self.described())),
            );
            return None;
        };
        let output = &self.outputs[at];
        let mut filled = match &wish.class {
            None => {
                let classes = self.classes.get(&at).cloned().unwrap_or_default();
                self.filled(name.to_owned(), at, 0, output.width(), classes)
            }
            Some(class) => {
                let classes = self.classes.get(&at).cloned().unwrap_or_default();
                let found = classes.iter().position(|known| known == class);
                let offset = match (found, output.width()) {
                    // One score for two classes is the second one's.
                    (Some(1), 1) => Some(0),
                    (Some(index), width) if index < width && classes.len() == width => Some(index),
                    _ => None,
                };
                let Some(offset) = offset else {
                    let known = classes.iter().map(String::as_str);
                    let help = match nearest(class, known.clone()) {
                        Some(near) if near != class => format!("did you mean \"{near}\"?"),
                        _ => format!("its classes are {}", listed(known)),
                    };
                    self.say(
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
        filled.column.index = wish.index;
        if wish.index && filled.cell.width > 1 {
            self.say(
                Problem::new(
                    "job.index_vector",
                    format!("column `{name}` is a vector: an index on it answers no comparison"),
                )
                .at(place(name))
                .help("name one class of it with index = true, or leave index out"),
            );
        }
        if let Some(labels) = &wish.labels {
            if self.could_be_label(at) && output.element != Element::String {
                filled.column.cql_type = CqlType::Text;
                filled.cell.rename = Some(labels.clone().into_iter().collect());
            } else {
                self.say(
                    Problem::new(
                        "job.labels",
                        format!(
                            "version {}: output `{}` is {}, its values need no names",
                            self.version,
                            output.public_name,
                            described(output)
                        ),
                    )
                    .at(format!("{}.labels", place(name)))
                    .help("labels is for integer labels"),
                );
            }
        }
        Some(filled)
    }

    /// By name, or by role where no output has that name.
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
