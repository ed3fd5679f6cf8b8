//! Checks the names in `[stream]`.

use crate::{
    codec::cql_type::CqlType,
    domain::{
        job::{
            OutputColumn,
            drift::{OutputKind, output_kind},
            stream::StreamRules,
        },
        names::nearest,
        problem::Problem,
    },
};

/// What to do if no output is a label, as of most models of images and texts.
const NO_LABEL: &str = "name one topic for all predictions; or, if the model gives scores of classes \
    (named by `model push --classes`), write top_k = { k = 1 } in [outputs] and `{label_1}` here";

/// Reports a topic that depends on an unknown column, or on one that is not a label.
pub(super) fn check(rules: &StreamRules, outputs: &[OutputColumn], problems: &mut Vec<Problem>) {
    let topic = rules.output.as_ref().map(|output| &output.topic);
    let Some(column) = topic.and_then(|topic| topic.column()) else {
        return;
    };
    let is_label = |output: &&OutputColumn| {
        output_kind(output) == Some(OutputKind::Label)
            && !matches!(output.cql_type.thawed(), CqlType::Vector(..))
    };
    let found = outputs.iter().find(|output| output.name == column);
    if found.as_ref().is_some_and(is_label) {
        return;
    }
    let labels = outputs.iter().filter(is_label);
    let labels: Vec<&str> = labels.map(|output| output.name.as_str()).collect();
    let help = match nearest(column, labels.iter().copied()) {
        Some(near) => format!("did you mean `{{{near}}}`?"),
        None if labels.is_empty() => NO_LABEL.to_owned(),
        None => format!("use one of {}", labels.join(", ")),
    };
    let message = match found {
        Some(_) => format!("the output column `{column}` is not a label"),
        None => format!("the job has no output column `{column}`"),
    };
    problems.push(
        Problem::new("job.unknown_column", message)
            .at("stream.out.topic")
            .help(help),
    );
}
