//! A signature from what a session declares, the file's metadata and what was given.

use std::collections::HashSet;

use super::{graph::Told, session::Declared, trial, walk::unsupported};
use crate::domain::{
    golden::Golden,
    model::{ClassSource, Classes, Input, Output},
    problem::Problem,
    tensor::Element,
};

/// Values of one row; a vector column holds 8,192.
const MAX_WIDTH: u64 = 1 << 20;

/// Inputs with their widths, and the batch size where the file fixes one.
pub(super) fn inputs(
    declared: &Declared,
    features: &[String],
    golden: Option<&Golden>,
) -> Result<(Vec<Input>, Option<usize>), Vec<Problem>> {
    let mut problems = Vec::new();
    let mut inputs = Vec::new();
    let mut batches = Vec::new();
    // Inputs of shape [N, ?]: their place and name.
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
                    format!("input `{name}` is a single number, without a batch dimension"),
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
                    format!(
                        "input `{name}` has the shape {shape:?}: more than its rows is unknown"
                    ),
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
    let known: usize = inputs
        .iter()
        .enumerate()
        .filter(|(at, input)| !open.contains(at) && input.width() != 1)
        .map(|(_, input)| input.width())
        .fold(0, usize::saturating_add);
    for at in &open {
        let name = inputs[*at].name.clone();
        let by_features = features
            .len()
            .checked_sub(known)
            .filter(|width| open.len() == 1 && *width > 0);
        let by_places = golden.and_then(|golden| golden.places_of(&name));
        match by_features.or(by_places) {
            Some(width) => inputs[*at].dims = vec![width],
            None => problems.push(
                Problem::new("model.unknown_width", format!("input `{name}` is declared [N, ?]: its width, the number of values a row, is unknown"))
                    .help("give the feature names in order (--features FILE), or export with a fixed width"),
            ),
        }
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
            format!("a row has {total} values, the limit is {MAX_WIDTH}"),
        ));
    }
    if let Some((first, rest)) = batches.split_first()
        && let Some(other) = rest.iter().find(|other| other.1 != first.1)
    {
        problems.push(Problem::new(
            "model.batch",
            format!(
                "input `{}` takes {} row(s), input `{}` takes {}",
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

/// Outputs in the file's order, a ZipMap's replaced by the tensor that goes into it.
pub(super) fn outputs(declared: &Declared, told: &Told) -> Result<Vec<Output>, Vec<Problem>> {
    let already = |name: &str| told.outputs.iter().any(|output| output == name);
    let mut problems = Vec::new();
    let mut outputs: Vec<Output> = Vec::new();
    for (name, kind) in declared {
        // Appended by the merge: takes its ZipMap's place.
        if !already(name) {
            continue;
        }
        let output = match told.zipmaps.iter().find(|zipmap| &zipmap.output == name) {
            // The tensor is an output of its own too: read once.
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

/// Names of the places of all wide inputs, checked; empty when there are none or nobody said.
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
                "features_unused: every input takes one value and is known by its own name; the feature names given are not used".to_owned(),
            );
        }
        return Ok(Vec::new());
    }
    if features.len() != total {
        let widths: Vec<String> = wide
            .iter()
            .map(|input| format!("`{}` takes {}", input.name, input.width()))
            .collect();
        return Err(Problem::new(
            "model.feature_count",
            format!(
                "{} feature names were given, {total} are wanted: {}",
                features.len(),
                widths.join(", ")
            ),
        ));
    }
    let mut seen = HashSet::new();
    if let Some(twice) = features
        .iter()
        .find(|feature| !seen.insert(feature.as_str()))
    {
        return Err(Problem::new(
            "model.feature_twice",
            format!("feature `{twice}` is named twice"),
        ));
    }
    Ok(features.to_vec())
}

/// Names the columns of every output of scores: option, metadata, ZipMap, `classlabels`, in this
/// order.
pub(super) fn name_classes(
    outputs: &mut [Output],
    class_names: &[String],
    told: &Told,
) -> Result<(), Problem> {
    let given = [
        (
            class_names,
            ClassSource::PushOption,
            "class names were given",
        ),
        (
            told.metadata_classes.as_slice(),
            ClassSource::MetadataProps,
            "class names are in the metadata",
        ),
    ];
    for (names, _, what) in &given {
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(Problem::new(
                "model.class_twice",
                format!("class `{twice}` is named twice"),
            ));
        }
        let fits = |output: &&Output| is_scores(output) && output.width() == names.len();
        if !names.is_empty() && !outputs.iter().any(|output| fits(&output)) {
            let widths: Vec<String> = outputs
                .iter()
                .map(|output| format!("`{}` has {} column(s)", output.public_name, output.width()))
                .collect();
            return Err(Problem::new(
                "model.class_count",
                format!(
                    "{} {what}, but no output has as many columns of scores: {}",
                    names.len(),
                    widths.join(", ")
                ),
            ));
        }
    }
    for zipmap in &told.zipmaps {
        let output = outputs.iter().find(|output| output.name == zipmap.tensor);
        if let Some(output) = output.filter(|output| output.width() != zipmap.classes.len()) {
            return Err(Problem::new(
                "model.class_count",
                format!(
                    "ZipMap names {} class(es) for `{}`, which has {} column(s)",
                    zipmap.classes.len(),
                    output.public_name,
                    output.width()
                ),
            ));
        }
    }
    for output in outputs.iter_mut().filter(|output| is_scores(output)) {
        let width = output.width();
        let said = given
            .iter()
            .map(|(names, source, _)| (names.to_vec(), *source))
            .find(|(names, _)| names.len() == width);
        let zipmap = told
            .zipmaps
            .iter()
            .find(|zipmap| zipmap.tensor == output.name)
            .map(|zipmap| (zipmap.classes.clone(), ClassSource::Zipmap));
        let attribute = || {
            let names = told.classes.get(&output.name)?;
            (names.len() == width).then(|| (names.clone(), ClassSource::ClasslabelsAttribute))
        };
        output.classes = said
            .or(zipmap)
            .or_else(attribute)
            .map(|(names, source)| Classes { names, source });
    }
    Ok(())
}

/// Two or more floats a row.
fn is_scores(output: &Output) -> bool {
    output.width() >= 2
        && matches!(
            output.element,
            Element::Float16 | Element::Float | Element::Double
        )
}
