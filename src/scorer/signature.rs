//! Builds a signature from a session's declarations, the file's metadata and the given options.

use std::collections::HashSet;

use super::{graph::GraphInfo, session::Declared, trial, walk::unsupported, widths::Given};
use crate::domain::{
    job::feature_places::{self, feature_places},
    model::{Input, Output, Signature},
    problem::Problem,
};

/// Maximum number of values per row; a vector column holds 8,192.
const MAX_WIDTH: u64 = 1 << 20;

/// Returns the inputs with their widths, and the batch size if the file fixes one.
pub(super) fn inputs(
    declared: &Declared,
    given: &Given<'_>,
) -> Result<(Vec<Input>, Option<usize>), Vec<Problem>> {
    let mut problems = Vec::new();
    let mut inputs = Vec::new();
    let mut batches = Vec::new();
    // Indices of inputs of shape [N, ?].
    let mut open = Vec::new();
    for (name, kind) in declared {
        let (element, shape) = match kind {
            Ok(tensor) => tensor,
            Err(kind) => {
                problems.push(unsupported("input", name, kind));
                continue;
            }
        };
        let Some((batch, dims)) = shape.split_first() else {
            problems.push(
                Problem::new(
                    "model.no_batch",
                    format!("input `{name}` has no batch dimension"),
                )
                .help("export it as [N] or [N, 1]"),
            );
            continue;
        };
        if *batch > 0 {
            batches.push((name.as_str(), *batch as usize));
        }
        let unknown = dims.iter().filter(|dim| **dim <= 0).count();
        if unknown > 0 && dims.len() > 1 {
            problems.push(
                Problem::new(
                    "model.unknown_shape",
                    format!("input `{name}` has shape {shape:?} with several unknown dimensions"),
                )
                .help("export it with fixed dimensions after the first"),
            );
            continue;
        }
        if unknown > 0 {
            open.push(inputs.len());
        }
        inputs.push(Input {
            name: name.clone(),
            element: *element,
            dims: dims.iter().map(|dim| (*dim).max(0) as usize).collect(),
        });
    }
    if let Err(mut unsettled) = given.settle(&mut inputs, &open) {
        problems.append(&mut unsettled);
    }
    let total = inputs
        .iter()
        .map(|input| {
            input
                .dims
                .iter()
                .fold(1_u64, |width, dim| width.saturating_mul(*dim as u64))
        })
        .fold(0, u64::saturating_add);
    if total > MAX_WIDTH {
        problems.push(Problem::new(
            "model.too_wide",
            format!("a row has {total} values, but the limit is {MAX_WIDTH}"),
        ));
    }
    if let Some((first, rest)) = batches.split_first()
        && let Some(other) = rest.iter().find(|other| other.1 != first.1)
    {
        problems.push(Problem::new(
            "model.batch",
            format!(
                "input `{}` takes {} row(s), but input `{}` takes {}",
                first.0, first.1, other.0, other.1
            ),
        ));
    }
    if problems.is_empty() {
        Ok((inputs, batches.first().map(|(_, batch)| *batch)))
    } else {
        Err(problems)
    }
}

/// Returns the outputs in the file's order, with those of ZipMaps and sequences replaced by their
/// input tensors.
pub(super) fn outputs(declared: &Declared, told: &GraphInfo) -> Result<Vec<Output>, Vec<Problem>> {
    let already = |name: &str| told.outputs.iter().any(|output| output == name);
    let mut problems = Vec::new();
    let mut outputs: Vec<Output> = Vec::new();
    for (name, kind) in declared {
        // Appended by the merge: replaces its ZipMap or sequence.
        if !already(name) {
            continue;
        }
        if let Some(sequence) = told.sequences.iter().find(|found| &found.output == name) {
            for tensor in &sequence.tensors {
                if !already(tensor) && outputs.iter().all(|other| &other.name != tensor) {
                    outputs.push(trial::unseen(tensor, tensor));
                }
            }
            continue;
        }
        let output = match told.zipmaps.iter().find(|zipmap| &zipmap.output == name) {
            // The tensor is also an output itself: read it once.
            Some(zipmap) if already(&zipmap.tensor) => continue,
            Some(zipmap) => trial::unseen(&zipmap.tensor, name),
            None => {
                if let Err(kind) = kind {
                    problems.push(unsupported("output", name, kind));
                    continue;
                }
                trial::unseen(name, name)
            }
        };
        if outputs.iter().all(|other| other.name != output.name) {
            outputs.push(output);
        }
    }
    if problems.is_empty() {
        Ok(outputs)
    } else {
        Err(problems)
    }
}

/// Validates the names of the places of all wide inputs; empty if there are none or they are
/// unknown.
pub(super) fn feature_names(
    inputs: &[Input],
    features: &[String],
    warnings: &mut Vec<String>,
) -> Result<Vec<String>, Problem> {
    let wide: Vec<&Input> = inputs.iter().filter(|input| input.width() != 1).collect();
    let total: usize = wide.iter().map(|input| input.width()).sum();
    if features.is_empty() {
        return Ok(Vec::new());
    }
    if wide.is_empty() {
        let names: HashSet<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        if !features
            .iter()
            .all(|feature| names.contains(feature.as_str()))
        {
            warnings.push(
                "features_unused: every input takes one value and has its own name, so the given feature names are not used".to_owned(),
            );
        }
        return Ok(Vec::new());
    }
    let Some(places) = feature_places(features, total) else {
        let widths: Vec<String> = wide
            .iter()
            .map(|input| format!("`{}` takes {}", input.name, input.width()))
            .collect();
        return Err(Problem::new(
            "model.feature_count",
            format!(
                "{} feature names were given, but {total} are required: {}",
                features.len(),
                widths.join(", ")
            ),
        )
        .help("give a name for each value; add the width to the name of a vector, as in `embedding[3]`"));
    };
    let mut seen = HashSet::new();
    if let Some((twice, _)) = places.iter().find(|(name, _)| !seen.insert(*name)) {
        return Err(Problem::new(
            "model.feature_twice",
            format!("feature `{twice}` is named twice"),
        ));
    }
    Ok(features.to_vec())
}

/// Returns a label for each place of all wide inputs, as in golden rows; empty if names are
/// unknown.
pub(super) fn place_labels(signature: &Signature, features: &[String]) -> Vec<String> {
    let wide = signature.inputs.iter().map(Input::width);
    let total = wide.filter(|width| *width != 1).sum();
    feature_places::place_labels(features, total).unwrap_or_default()
}
