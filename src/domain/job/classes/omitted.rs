//! `[outputs] omit` and `omit_classes`: outputs that are not stored.

use super::{Filled, Named};
use crate::domain::{job::mapping::listed, names::nearest, problem::Problem};

impl Named<'_> {
    /// Removes the default columns that the manifest omits. A name that matches nothing is an
    /// error: its author would believe that something is omitted.
    pub(super) fn without_omitted(&mut self, usual: Vec<Filled>) -> Vec<Filled> {
        for name in &self.manifest.omit {
            let is_known = self.resolve(name).is_some()
                || usual.iter().any(|filled| filled.column.name == *name);
            if !is_known {
                let columns = usual.iter().map(|filled| filled.column.name.as_str());
                let outputs = self.outputs.iter().map(|output| &*output.public_name);
                let known: Vec<&str> = outputs.chain(columns).collect();
                self.report(unknown(
                    "job.unknown_output",
                    format!("version {} has no output or column `{name}`", self.version),
                    "outputs.omit",
                    name,
                    &known,
                ));
            }
        }
        for class in &self.manifest.omit_classes {
            let known: Vec<&str> = usual.iter().filter_map(only_class).collect();
            if !known.contains(&class.as_str()) {
                self.report(unknown(
                    "job.unknown_class",
                    format!("version {} has no column for class `{class}`", self.version),
                    "outputs.omit_classes",
                    class,
                    &known,
                ));
            }
        }
        usual
            .into_iter()
            .filter(|filled| !self.omits(filled))
            .collect()
    }

    fn omits(&self, filled: &Filled) -> bool {
        let of_class = |class: &&str| self.manifest.omit_classes.iter().any(|omit| omit == class);
        self.manifest.omit.contains(&filled.column.name)
            || self.omits_output(filled.cell.output)
            || only_class(filled).as_ref().is_some_and(of_class)
    }

    /// Returns whether the whole output is omitted.
    pub(super) fn omits_output(&self, at: usize) -> bool {
        let mut omitted = self.manifest.omit.iter();
        omitted.any(|name| self.resolve(name) == Some(at))
    }
}

fn only_class(filled: &Filled) -> Option<&str> {
    match filled.column.classes.as_slice() {
        [class] => Some(class),
        _ => None,
    }
}

fn unknown(code: &str, message: String, place: &str, name: &str, known: &[&str]) -> Problem {
    let help = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("choose from {}", listed(known.iter().copied())),
    };
    Problem::new(code, message).at(place).help(help)
}
