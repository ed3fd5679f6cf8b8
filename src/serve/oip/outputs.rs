//! The outputs that a request asks for.

use crate::{
    domain::{model::Signature, names::nearest, problem::Problem},
    serve::error::ApiError,
};

/// An output that a request names.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub name: &'a str,
    /// Whether the request asks for classes instead of values.
    pub classification: bool,
}

/// Returns the index of each output that is asked for, in that order; all if none is.
///
/// # Errors
/// 400: unknown or repeated outputs, and classification.
pub fn wanted_outputs<'a>(
    signature: &Signature,
    wanted: impl Iterator<Item = Wanted<'a>>,
) -> Result<Vec<usize>, ApiError> {
    let names = || {
        let outputs = signature.outputs.iter();
        outputs.map(|output| output.public_name.as_str())
    };
    let mut found = Vec::new();
    for (at, output) in wanted.enumerate() {
        let place = format!("outputs[{at}]");
        let refused = |problem: Problem| ApiError::bad(problem.at(&place));
        let shown: String = output.name.chars().take(60).collect();
        let Some(index) = names().position(|name| name == output.name) else {
            let message = format!("the model has no output `{shown}`");
            let problem = Problem::new("oip.unknown_output", message);
            return Err(refused(match nearest(&shown, names()) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => {
                    let all: Vec<_> = names().collect();
                    problem.help(format!("its outputs: {}", all.join(", ")))
                }
            }));
        };
        if output.classification {
            return Err(refused(
                Problem::new("oip.classification", "`classification` is not supported")
                    .help("ask for the scores, and sort them"),
            ));
        }
        if found.contains(&index) {
            let message = format!("output `{shown}` is named twice");
            return Err(refused(Problem::new("oip.repeated_output", message)));
        }
        found.push(index);
    }
    if found.is_empty() {
        found.extend(0..signature.outputs.len());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::{Output, tensor::Element};

    #[test]
    fn outputs_come_in_the_order_in_which_they_are_named() {
        let output = |name: &str| Output {
            name: format!("inner_{name}"),
            public_name: name.to_owned(),
            element: Element::Float,
            dims: Vec::new(),
            simplex: false,
            classes: None,
            observed: Default::default(),
        };
        let signature = Signature {
            inputs: Vec::new(),
            outputs: vec![output("label"), output("scores")],
            fixed_batch: None,
        };
        let find = |names: &[&str], classification| {
            let wanted = names.iter().map(|name| Wanted {
                name,
                classification,
            });
            wanted_outputs(&signature, wanted).map_err(|error| error.line())
        };
        assert_eq!(find(&["scores", "label"], false), Ok(vec![1, 0]));
        assert_eq!(find(&[], false), Ok(vec![0, 1]));
        for (names, classification, expected) in [
            (
                &["inner_label"][..],
                false,
                "outputs[0]: the model has no output `inner_label` (its outputs: label, scores)",
            ),
            (
                &["label", "label"],
                false,
                "outputs[1]: output `label` is named twice",
            ),
            (
                &["label"],
                true,
                "outputs[0]: `classification` is not supported (ask for the scores, and sort them)",
            ),
        ] {
            assert_eq!(find(names, classification), Err(expected.to_owned()));
        }
    }
}
