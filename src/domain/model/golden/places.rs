//! The places of inputs and outputs that columns name.

use crate::domain::{
    model::{Input, Output},
    problem::Problem,
};

/// Finds an input's place by name. Wide inputs have more than one value per row; `features` names
/// their places.
pub(super) fn input_place(
    name: &str,
    inputs: &[Input],
    features: &[String],
) -> Result<(usize, usize), Problem> {
    let unknown = |message: String, help: String| {
        Problem::new("golden.unknown_input", message)
            .at("line 1")
            .help(help)
    };
    let by_feature = features
        .iter()
        .position(|feature| feature == name)
        .and_then(|mut place| {
            inputs.iter().enumerate().find_map(|(i, input)| {
                let width = if input.width() == 1 { 0 } else { input.width() };
                if place < width {
                    return Some((i, place));
                }
                place -= width;
                None
            })
        });
    let by_input = inputs
        .iter()
        .position(|input| input.name == name && input.width() == 1);
    match (by_feature, by_input) {
        (Some(place), None) => return Ok(place),
        (None, Some(input)) => return Ok((input, 0)),
        (Some(_), Some(_)) => {
            return Err(unknown(
                format!("`in.{name}` is both an input and a feature of another input"),
                format!("write `in.{name}[0]` to name the input"),
            ));
        }
        (None, None) => {}
    }
    if let Some((input_name, offset)) = by_place(name)
        && let Some(at) = inputs.iter().position(|input| input.name == input_name)
    {
        let width = inputs[at].width();
        return if offset < width {
            Ok((at, offset))
        } else {
            Err(unknown(
                format!("`in.{name}` not found: `{input_name}` has {width} place(s)"),
                format!("use at most `in.{input_name}[{}]`", width - 1),
            ))
        };
    }
    let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    let mut help = format!("choose from inputs {}", names.join(", "));
    if features.is_empty() && inputs.iter().any(|input| input.width() > 1) {
        help.push_str(
            "; the model's feature names are unknown: give them, or name places by index as in.X[0]",
        );
    }
    Err(unknown(
        format!("`in.{name}` is neither an input nor a feature of the model"),
        help,
    ))
}

/// Returns the name of an input's place, as a column has it.
pub(super) fn place_name(
    input: &Input,
    place: usize,
    inputs: &[Input],
    features: &[String],
) -> String {
    if input.width() == 1 {
        return input.name.clone();
    }
    let before: usize = inputs
        .iter()
        .take_while(|other| other.name != input.name)
        .map(Input::width)
        .filter(|width| *width != 1)
        .sum();
    match features.get(before + place) {
        Some(feature) => feature.clone(),
        None => format!("{}[{place}]", input.name),
    }
}

/// Finds an output's place by either of its names.
pub(super) fn output_place(name: &str, outputs: &[Output]) -> Result<(usize, usize), Problem> {
    let find = |name: &str| {
        outputs
            .iter()
            .position(|output| output.public_name == name)
            .or_else(|| outputs.iter().position(|output| output.name == name))
    };
    let unknown = |message: String| {
        let all: Vec<String> = outputs
            .iter()
            .map(|output| match output.width() {
                1 => format!("out.{}", output.public_name),
                width => format!("out.{}[0…{}]", output.public_name, width - 1),
            })
            .collect();
        Problem::new("golden.unknown_output", message)
            .at("line 1")
            .help(format!("choose from outputs {}", all.join(", ")))
    };
    if let Some(at) = find(name) {
        return match outputs[at].width() {
            1 => Ok((at, 0)),
            width => Err(unknown(format!("`out.{name}` has {width} values per row"))),
        };
    }
    if let Some((output, offset)) = by_place(name)
        && let Some(at) = find(output)
    {
        return if offset < outputs[at].width() {
            Ok((at, offset))
        } else {
            Err(unknown(format!("`out.{name}` exceeds the output's width")))
        };
    }
    Err(unknown(format!(
        "`out.{name}` is not an output of the model"
    )))
}

/// Parses `X[3]` as (`X`, 3).
pub(super) fn by_place(name: &str) -> Option<(&str, usize)> {
    let (name, place) = name.strip_suffix(']')?.rsplit_once('[')?;
    Some((name, place.parse().ok()?))
}
