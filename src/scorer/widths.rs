//! Widths of inputs that a file declares as `[N, ?]`, as exported transformers do.

use std::collections::BTreeMap;

use crate::domain::{
    model::{Input, golden::Golden},
    problem::Problem,
};

/// Sources of the width of an open input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    /// `--width`, by input name.
    pub widths: &'a BTreeMap<String, i32>,
    /// Feature names of wide inputs, concatenated.
    pub features: &'a [String],
    /// Golden rows, whose columns `in.X[0]`, `in.X[1]` … determine a width.
    pub golden: Option<&'a Golden>,
}

impl Given<'_> {
    /// Sets the widths of the inputs at `open`.
    ///
    /// # Errors
    /// All inputs without a width; widths for inputs that have another one, or do not exist.
    pub(super) fn settle(self, inputs: &mut [Input], open: &[usize]) -> Result<(), Vec<Problem>> {
        let mut problems = self.misgiven(inputs, open);
        let known: usize = inputs
            .iter()
            .enumerate()
            .filter(|(at, input)| !open.contains(at) && input.width() != 1)
            .map(|(_, input)| input.width())
            .fold(0, usize::saturating_add);
        let mut unknown = Vec::new();
        for at in open {
            let name = inputs[*at].name.as_str();
            let told = self.widths.get(name).copied();
            let told = told.and_then(|width| usize::try_from(width).ok());
            let by_places = || self.golden?.places_of(name);
            let by_features = || {
                let rest = self.features.len().checked_sub(known);
                rest.filter(|width| open.len() == 1 && *width > 0)
            };
            match told.or_else(by_places).or_else(by_features) {
                Some(width) => inputs[*at].dims = vec![width],
                None => unknown.push(name.to_owned()),
            }
        }
        if !unknown.is_empty() {
            problems.push(unknown_width(&unknown));
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems),
        }
    }

    fn misgiven(self, inputs: &[Input], open: &[usize]) -> Vec<Problem> {
        let wrong = |(name, width): (&String, &i32)| {
            let Some(at) = inputs.iter().position(|input| input.name == *name) else {
                let names: Vec<_> = inputs
                    .iter()
                    .map(|input| format!("`{}`", input.name))
                    .collect();
                return Some(
                    Problem::new(
                        "model.width",
                        format!("a width is given for `{name}`, but the model has no such input"),
                    )
                    .help(format!("choose from its inputs: {}", names.join(", "))),
                );
            };
            let declared = inputs[at].width();
            let differs = !open.contains(&at) && i32::try_from(declared) != Ok(*width);
            differs.then(|| {
                Problem::new(
                    "model.width",
                    format!(
                        "input `{name}` is declared with {declared} value(s) per row, but the given width is {width}"
                    ),
                )
                .help("remove the width: it is for inputs that are declared [N, ?]")
            })
        };
        self.widths.iter().filter_map(wrong).collect()
    }
}

fn unknown_width(inputs: &[String]) -> Problem {
    let named: Vec<_> = inputs.iter().map(|name| format!("`{name}`")).collect();
    let options: Vec<_> = inputs
        .iter()
        .map(|name| format!("--width {name}=128"))
        .collect();
    let message = match named.as_slice() {
        [one] => format!("input {one} is declared [N, ?]: its width is unknown"),
        many => format!(
            "inputs {} are declared [N, ?]: their widths are unknown",
            many.join(", ")
        ),
    };
    let features = match inputs.len() {
        1 => ", or the feature names in order (--features FILE)",
        _ => "",
    };
    Problem::new("model.unknown_width", message).help(format!(
        "give the width, for example {} (by CQL: model_versions.widths), or golden rows with all columns in.{}[0], in.{}[1] …{features}; or export with a fixed width. A job's column type cannot determine it, because a version is admitted for the width at which it was tried",
        options.join(" "),
        inputs[0],
        inputs[0]
    ))
}
