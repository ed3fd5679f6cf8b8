//! The order of features in a wide input, which must never be guessed.

use super::{Mapper, listed};
use crate::domain::{
    job::{
        feature_places::feature_places,
        manifest::{VersionWish, key},
    },
    model::{Input, ReadyVersion},
    problem::Problem,
};

impl Mapper<'_> {
    /// Returns the file's feature names, for the inputs to which they apply: all wide ones, or all.
    pub(super) fn file_names<'v>(&mut self, version: &'v ReadyVersion) -> Option<FileNames<'v>> {
        let names = &version.admitted.feature_names;
        if names.is_empty() {
            return None;
        }
        let inputs = &version.admitted.signature.inputs;
        let wide: usize = inputs
            .iter()
            .map(Input::width)
            .filter(|&width| width > 1)
            .sum();
        let all: usize = inputs.iter().map(Input::width).sum();
        let of_wide = feature_places(names, wide);
        let for_all = of_wide.is_none() && names.len() == all;
        let mut rest = of_wide.unwrap_or_else(|| {
            let names = names.iter().map(|name| (name.as_str(), 1));
            names.collect()
        });
        rest.reverse();
        Some(FileNames { rest, for_all })
    }

    /// Returns the names of the features that fill `input`, in order.
    pub(super) fn order(
        &mut self,
        version: &ReadyVersion,
        asked: &[VersionWish],
        input: &Input,
        names: Option<&mut FileNames<'_>>,
    ) -> Vec<String> {
        let width = input.width();
        if self.is_prepared(&input.name) {
            return vec![input.name.clone()];
        }
        let from_file =
            names.filter(|names| names.for_all || (width > 1 && !names.rest.is_empty()));
        let wide = self
            .manifest
            .wide
            .get(&input.name)
            .filter(|wide| wide.for_versions.iter().any(|named| asked.contains(named)));
        match (from_file, wide) {
            (Some(names), wide) => {
                let taken = names.take(width, |name| self.width_of(name));
                let taken = match wide {
                    None if self.fills_alone(input, &taken) => return vec![input.name.clone()],
                    _ => self.in_width(version, taken),
                };
                if let Some(wide) = wide {
                    self.check_contradiction(version, input, &taken, &wide.order);
                    return wide.order.clone();
                }
                taken
            }
            (None, Some(wide)) => {
                // A single feature has no order.
                if wide.order.len() > 1 {
                    self.by_manifest.push(input.name.clone());
                }
                wide.order.clone()
            }
            // An input of one value is a feature by its own name, and so is a vector that fills a
            // wide input.
            (None, None) if width <= 1 || self.width_of(&input.name) == width => {
                vec![input.name.clone()]
            }
            // A problem with that column is reported where it is mapped.
            (None, None) if self.is_composed(&input.name) => vec![input.name.clone()],
            (None, None) => {
                self.report(
                    Problem::new(
                        "job.order_unknown",
                        format!(
                            "version {}: input `{}` takes {width} values in an unknown order",
                            version.version, input.name
                        ),
                    )
                    .at(format!("wide.{}", key(&input.name)))
                    .help(format!(
                        "push the model with --features FILE, or write [wide.{}] with for_versions = [{}] and the training order = [\"…\"]{}",
                        key(&input.name), version.version, self.alone(input)
                    )),
                );
                Vec::new()
            }
        }
    }

    /// Checks that `[wide.X]`, which is for files without names, does not reorder a file's names.
    fn check_contradiction(
        &mut self,
        version: &ReadyVersion,
        input: &Input,
        file: &[String],
        manifest: &[String],
    ) {
        let mut at = 0;
        let agrees = manifest.iter().all(|name| {
            let width = self.width_of(name);
            let same = width > 1 || file.get(at) == Some(name);
            at += width;
            same
        });
        if !agrees {
            let place = format!("wide.{}", key(&input.name));
            self.report(
                Problem::new(
                    "job.order_contradicts",
                    format!(
                        "version {} has feature names for input `{}` in another order",
                        version.version, input.name
                    ),
                )
                .at(place)
                .help("remove that version from for_versions: its own names take precedence"),
            );
        }
    }

    pub(super) fn check_wide(&mut self, version: &ReadyVersion, asked: &[VersionWish]) {
        let inputs = &version.admitted.signature.inputs;
        for (name, wide) in &self.manifest.wide {
            let is_for = wide.for_versions.iter().any(|named| asked.contains(named));
            if is_for && !inputs.iter().any(|input| input.name == *name) {
                let known = inputs.iter().map(|input| input.name.as_str());
                let problem = Problem::new(
                    "job.unknown_input",
                    format!("version {} has no input `{name}`", version.version),
                )
                .at(format!("wide.{}", key(name)))
                .help(format!("choose from {}", listed(known)));
                self.report(problem);
            }
        }
    }
}

/// A file's feature names, last first.
pub(super) struct FileNames<'v> {
    /// Each with its number of places in the file.
    rest: Vec<(&'v str, usize)>,
    for_all: bool,
}

impl<'v> FileNames<'v> {
    /// Takes as many names as fill `width` values.
    fn take(
        &mut self,
        width: usize,
        mut width_of: impl FnMut(&str) -> usize,
    ) -> Vec<(&'v str, usize)> {
        let mut taken = Vec::new();
        let mut filled = 0;
        while filled < width
            && let Some((name, places)) = self.rest.pop()
        {
            filled += match places {
                1 => width_of(name),
                places => places,
            };
            taken.push((name, places));
        }
        taken
    }
}
