//! Class names of the columns of score outputs.

use std::collections::{BTreeSet, HashSet};

use super::graph::GraphInfo;
use crate::domain::{
    model::{
        ClassSource, Classes, Output, Signature,
        tensor::{Element, OutputBatch, TensorData},
    },
    problem::Problem,
};

/// Names the columns of every score output. Sources in order of precedence: option, metadata,
/// ZipMap, `classlabels`.
pub(super) fn name(
    outputs: &mut [Output],
    class_names: &[String],
    told: &GraphInfo,
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
                    "{} {what}, but no output has this number of score columns: {}",
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

/// Returns whether the output has two or more floats per row.
fn is_scores(output: &Output) -> bool {
    output.width() >= 2
        && matches!(
            output.element,
            Element::Float16 | Element::Float | Element::Double
        )
}

/// Returns a warning if labels are texts and no score column has the name of one: `p_0` does not
/// say whose score it is.
pub(super) fn unnamed(signature: &Signature, answers: &OutputBatch) -> Option<String> {
    let pairs = || signature.outputs.iter().zip(&answers.outputs);
    let (label, texts) = pairs().find_map(|(output, data)| match data {
        TensorData::String(texts) if output.width() == 1 => Some((output, texts)),
        _ => None,
    })?;
    let labels: BTreeSet<&str> = texts.range(0..texts.len()).take(1_000).collect();
    let is_nameless = |output: &&Output| {
        let known = output.classes.iter().flat_map(|classes| &classes.names);
        is_scores(output)
            && !known
                .into_iter()
                .any(|class| labels.contains(class.as_str()))
    };
    let scores = signature.outputs.iter().find(is_nameless)?;
    let seen: Vec<_> = labels
        .iter()
        .take(8)
        .map(|label| format!("{label:?}"))
        .collect();
    Some(format!(
        "classes_unnamed: the labels in `{}` are texts (such as {}), but the columns of `{}` have no class names; give them in column order: --classes (scikit-learn: model.classes_)",
        label.public_name,
        seen.join(", "),
        scores.public_name
    ))
}
