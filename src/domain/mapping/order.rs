//! In which order features fill a wide input: the silent killer when it is guessed.

use super::{Mapper, listed};
use crate::domain::{
    manifest::{VersionWish, key},
    model::{Input, ReadyVersion},
    problem::Problem,
};

impl Mapper<'_> {
    /// The file's own names, for the inputs that they are for: all wide ones, or all.
    pub(super) fn file_names(&mut self, version: &ReadyVersion) -> Option<FileNames> {
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
        let for_all = names.len() != wide && names.len() == all;
        Some(FileNames {
            rest: names.iter().rev().cloned().collect(),
            for_all,
        })
    }

    /// The names of the features that fill `input`, in order.
    pub(super) fn order(
        &mut self,
        version: &ReadyVersion,
        asked: &[VersionWish],
        input: &Input,
        names: Option<&mut FileNames>,
    ) -> Vec<String> {
        let width = input.width();
        let from_file =
            names.filter(|names| names.for_all || (width > 1 && !names.rest.is_empty()));
        let wide = self
            .manifest
            .wide
            .get(&input.name)
            .filter(|wide| wide.for_versions.iter().any(|wish| asked.contains(wish)));
        match (from_file, wide) {
            (Some(names), wide) => {
                let taken = names.take(width, |name| self.width_of(name));
                if let Some(wide) = wide {
                    self.check_contradiction(version, input, &taken, &wide.order);
                    return wide.order.clone();
                }
                taken
            }
            (None, Some(wide)) => {
                self.order_unproven(version, input);
                wide.order.clone()
            }
            // An input of one value is a feature by its own name, and so is a vector that fills
            // a wide input.
            (None, None) if width <= 1 || self.width_of(&input.name) == width => {
                if width > 1 {
                    self.order_unproven(version, input);
                }
                vec![input.name.clone()]
            }
            (None, None) => {
                self.say(
                    Problem::new(
                        "job.order_unknown",
                        format!(
                            "version {}: input `{}` takes {width} values, and neither the model file nor the manifest says which feature stands where",
                            version.version, input.name
                        ),
                    )
                    .at(format!("wide.{}", key(&input.name)))
                    .help(format!(
                        "push the model with --features FILE, or write [wide.{}] with for_versions = [{}] and order = [\"…\"] as the model was trained",
                        key(&input.name), version.version
                    )),
                );
                Vec::new()
            }
        }
    }

    fn order_unproven(&mut self, version: &ReadyVersion, input: &Input) {
        if self.manifest.expect.is_none() {
            self.warnings.push(format!(
                "order_unproven: version {} has no feature names for its input `{}`: nothing proves the order of its {} values; add [expect] rows, or push with --features",
                version.version, input.name, input.width()
            ));
        }
    }

    /// `[wide.X]` is for files without names; beside names it must not reorder them.
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
            self.say(
                Problem::new(
                    "job.order_contradicts",
                    format!(
                        "version {} carries its own feature names for input `{}`, in another order",
                        version.version, input.name
                    ),
                )
                .at(place)
                .help("take that version out of for_versions: its own names decide"),
            );
        }
    }

    pub(super) fn check_wide(&mut self, version: &ReadyVersion, asked: &[VersionWish]) {
        let inputs = &version.admitted.signature.inputs;
        for (name, wide) in &self.manifest.wide {
            let is_for = wide.for_versions.iter().any(|wish| asked.contains(wish));
            if is_for && !inputs.iter().any(|input| input.name == *name) {
                let known = inputs.iter().map(|input| input.name.as_str());
                let problem = Problem::new(
                    "job.unknown_input",
                    format!("version {} has no input `{name}`", version.version),
                )
                .at(format!("wide.{}", key(name)))
                .help(format!("it has {}", listed(known)));
                self.say(problem);
            }
        }
    }
}

/// The names that a file carries, last first.
pub(super) struct FileNames {
    rest: Vec<String>,
    for_all: bool,
}

impl FileNames {
    /// As many names as fill `width` values.
    fn take(&mut self, width: usize, mut width_of: impl FnMut(&str) -> usize) -> Vec<String> {
        let mut taken = Vec::new();
        let mut filled = 0;
        while filled < width
            && let Some(name) = self.rest.pop()
        {
            filled += width_of(&name);
            taken.push(name);
        }
        taken
    }
}
