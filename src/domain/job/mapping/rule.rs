//! Whether and how a column's type is converted to an element type.

use half::f16;

use super::super::manifest::{Feature, NullSpec, key};
use crate::{
    codec::{
        cql_type::CqlType,
        number::{EXACT_F16, EXACT_F32, EXACT_F64, f16_from_f64},
        schema::Column,
    },
    domain::{
        job::{Cast, Epoch, NullRule, Rule},
        model::tensor::Element,
        problem::Problem,
    },
};

/// Returns the rule and number of values of a feature, or all problems.
pub(super) fn rule(
    name: &str,
    feature: &Feature,
    column: &Column,
    element: Element,
) -> Result<(Rule, usize), Vec<Problem>> {
    let mut wrong = Wrong {
        place: format!("features.{}", key(name)),
        problems: Vec::new(),
    };
    let (scalar, width) = scalar_and_width(feature, column, &mut wrong);
    let rule = Rule {
        element,
        cql_type: column.cql_type.clone(),
        cast: feature.cast.unwrap_or(Cast::Exact),
        epoch: feature.epoch,
        null: NullRule::Reject,
        pad: NullRule::Reject,
        text: feature.text.unwrap_or_default(),
        reject_nonfinite: feature.reject_nonfinite.unwrap_or(false),
    };
    if wrong.problems.is_empty() {
        check_pair(scalar, &rule, column, &mut wrong);
        check_words(scalar, feature, element, &mut wrong);
        check_pad(feature, column, &mut wrong);
    }
    let mut fill = |word, spec| fill_rule(word, spec, element, rule.cast, &mut wrong);
    let null = fill("null", feature.null.as_ref());
    let pad = fill("pad", feature.pad.as_ref());
    match wrong.problems.is_empty() {
        true => Ok((Rule { null, pad, ..rule }, width)),
        false => Err(wrong.problems),
    }
}

fn scalar_and_width<'a>(
    feature: &Feature,
    column: &'a Column,
    wrong: &mut Wrong,
) -> (&'a CqlType, usize) {
    match (column.cql_type.thawed(), feature.width) {
        (CqlType::Vector(element, width), said) => {
            let width = usize::from(*width);
            if let Some(said) = said.filter(|&said| said != width) {
                wrong.report(
                    ".width",
                    "job.width",
                    format!(
                        "column `{}` is {}, but the manifest has width = {said}",
                        column.name, column.cql_type
                    ),
                    format!("write width = {width}, or remove it"),
                );
            }
            (element, width)
        }
        (CqlType::List(element), Some(width)) => (element, width),
        (CqlType::List(element), None) => {
            wrong.report(
                "",
                "job.width",
                format!(
                    "column `{}` is {}, whose length is unknown",
                    column.name, column.cql_type
                ),
                "write the number of values: width = …",
            );
            (element, 1)
        }
        (scalar, said) => {
            if let Some(said) = said.filter(|&said| said != 1) {
                wrong.report(
                    ".width",
                    "job.width",
                    format!(
                        "column `{}` is {}, which is one value, not {said}",
                        column.name, column.cql_type
                    ),
                    "remove width, or name a vector or list column",
                );
            }
            (scalar, 1)
        }
    }
}

/// Checks that column type and element have a conversion, and that required keywords are given.
fn check_pair(scalar: &CqlType, rule: &Rule, column: &Column, wrong: &mut Wrong) {
    use Element::{Bool, Double, Float, Float16, Int32, Int64, String};
    let listed = !std::ptr::eq(scalar, column.cql_type.thawed());
    let element = rule.element;
    let named = format!("column `{}` ({})", column.name, column.cql_type);
    let floating = matches!(element, Float16 | Float | Double);
    let integer = matches!(element, Int32 | Int64);
    match scalar {
        CqlType::Tinyint | CqlType::Smallint | CqlType::Int | CqlType::Bigint
            if floating || integer => {}
        CqlType::Float | CqlType::Double if floating => {}
        CqlType::Float | CqlType::Double | CqlType::Decimal if integer => wrong.report(
            "",
            "job.feature_type",
            format!("{named} may have fractions, but the model takes {}", element.name()),
            "store an integer column, or export the model with a float input; helenus never truncates",
        ),
        CqlType::Varint if integer => {}
        CqlType::Varint | CqlType::Decimal if floating => {
            if rule.cast == Cast::Exact {
                wrong.report(
                    "",
                    "job.cast_missing",
                    format!("{named} exceeds the precision of {}", element.name()),
                    "write cast = \"float\" to round to nearest",
                );
            }
        }
        CqlType::Boolean if element != String => {}
        CqlType::Text | CqlType::Ascii if element == String => {}
        CqlType::Timestamp | CqlType::Date | CqlType::Time if floating || integer => {
            if rule.epoch.is_none() {
                wrong.report(
                    "",
                    "job.as_missing",
                    format!("{named} is a time, but the model takes a number"),
                    "write its unit: as = \"epoch_s\", \"epoch_ms\" or \"epoch_days\"",
                );
            } else if *scalar == CqlType::Time && rule.epoch == Some(Epoch::Days) {
                wrong.report(
                    ".as",
                    "job.feature_type",
                    format!("{named} is a time of day, which is always 0 days"),
                    "write as = \"epoch_s\" or \"epoch_ms\"",
                );
            }
        }
        CqlType::Uuid
        | CqlType::Timeuuid
        | CqlType::Inet
        | CqlType::Duration
        | CqlType::Counter
        | CqlType::Blob => wrong.report(
            "",
            "job.feature_type",
            format!("{named} cannot be a feature: {scalar} is neither a number nor a text"),
            match scalar {
                CqlType::Blob => "say what it holds: as = \"image\" or as = \"bytes\"",
                _ => "store the model's input in a separate column",
            },
        ),
        _ if listed && is_composed(scalar) => wrong.report(
            "",
            "job.feature_type",
            format!("{named} has nested lists"),
            "store one flat list or vector of all values, in the model's order",
        ),
        _ => wrong.report(
            "",
            "job.feature_type",
            format!("{named} cannot be converted to {}", element.name()),
            match element {
                String => "use a text or ascii column",
                Bool => "use a boolean column",
                _ => "use an integer, float, double, boolean, decimal, varint or time column",
            },
        ),
    }
}

fn is_composed(cql_type: &CqlType) -> bool {
    matches!(
        cql_type.thawed(),
        CqlType::List(_)
            | CqlType::Set(_)
            | CqlType::Vector(..)
            | CqlType::Map(..)
            | CqlType::Tuple(_)
            | CqlType::Udt(..)
    )
}

/// Reports keywords that have no effect on this column: their author would expect one.
fn check_words(scalar: &CqlType, feature: &Feature, element: Element, wrong: &mut Wrong) {
    let mut idle = |word: &str, is_idle: bool, only: &str| {
        if is_idle {
            wrong.report(
                &format!(".{word}"),
                "job.idle_option",
                format!("`{word}` does not apply to a {scalar} column, only to {only}"),
                "remove it",
            );
        }
    };
    let is_time = matches!(scalar, CqlType::Timestamp | CqlType::Date | CqlType::Time);
    let is_text = matches!(scalar, CqlType::Text | CqlType::Ascii);
    let is_float = matches!(scalar, CqlType::Float | CqlType::Double);
    let is_wide_number = matches!(scalar, CqlType::Decimal | CqlType::Varint);
    let is_integer = matches!(
        scalar,
        CqlType::Tinyint | CqlType::Smallint | CqlType::Int | CqlType::Bigint
    );
    idle(
        "as",
        feature.epoch.is_some() && !is_time,
        "timestamp, date and time",
    );
    idle("text", feature.text.is_some() && !is_text, "text and ascii");
    idle(
        "nonfinite",
        feature.reject_nonfinite.is_some() && !is_float,
        "float and double",
    );
    match feature.cast {
        Some(Cast::Float) => idle(
            "cast = \"float\"",
            !is_wide_number,
            "decimal and varint (for integers use cast = \"lossy\")",
        ),
        Some(Cast::Lossy) => idle(
            "cast = \"lossy\"",
            !(is_integer || is_wide_number || is_time),
            "integers and times (double is always rounded to float)",
        ),
        Some(Cast::Exact) | None => {}
    }
    if let (Some(Cast::Float | Cast::Lossy), Element::Int32 | Element::Int64) =
        (feature.cast, element)
    {
        wrong.report(
            ".cast",
            "job.idle_option",
            format!("`cast` does not apply: the model takes {}", element.name()),
            "remove it; an integer out of range rejects its row",
        );
    }
}

fn check_pad(feature: &Feature, column: &Column, wrong: &mut Wrong) {
    if feature.pad.is_some() && !matches!(column.cql_type.thawed(), CqlType::List(_)) {
        wrong.report(
            ".pad",
            "job.idle_option",
            format!(
                "`pad` does not apply to a {} column, only to lists that are shorter than `width`",
                column.cql_type
            ),
            "remove it",
        );
    }
}

/// Returns the replacement that `null` or `pad` (named by `word`) gives.
fn fill_rule(
    word: &str,
    spec: Option<&NullSpec>,
    element: Element,
    cast: Cast,
    wrong: &mut Wrong,
) -> NullRule {
    let Some(spec) = spec else {
        return NullRule::Reject;
    };
    let floating = matches!(element, Element::Float16 | Element::Float | Element::Double);
    let unfit = |value: &dyn std::fmt::Display| {
        format!(
            "{value} is not a valid value for the model's {} input",
            element.name()
        )
    };
    let message = match (spec, element) {
        (NullSpec::Text(text), _) if text == "reject" => return NullRule::Reject,
        (NullSpec::Text(text), Element::String) => return NullRule::Text(text.clone()),
        (NullSpec::Text(text), _) if text == "nan" && floating => return NullRule::Nan,
        (NullSpec::Text(text), _) if text == "nan" => {
            format!("{} has no NaN", element.name())
        }
        (NullSpec::Text(text), _) => unfit(&format!("\"{text}\"")),
        (NullSpec::Bool(truth), Element::Bool) => return NullRule::Bool(*truth),
        (NullSpec::Integer(number), Element::Int64) => return NullRule::Integer(*number),
        (NullSpec::Integer(number), Element::Int32) if i32::try_from(*number).is_ok() => {
            return NullRule::Integer(*number);
        }
        (NullSpec::Integer(number), _) if floating => {
            let limit = match element {
                Element::Float16 => EXACT_F16,
                Element::Float => EXACT_F32,
                _ => EXACT_F64,
            };
            let exact = number.unsigned_abs() <= limit.unsigned_abs();
            let value = *number as f64;
            match (exact || cast == Cast::Lossy) && fits(value, element) {
                true => return NullRule::Number(value),
                false => format!("{} cannot represent {number} exactly", element.name()),
            }
        }
        (NullSpec::Float(number), _) if floating && number.is_nan() => return NullRule::Nan,
        (NullSpec::Float(number), _) if floating && fits(*number, element) => {
            return NullRule::Number(*number);
        }
        (NullSpec::Bool(truth), _) => unfit(truth),
        (NullSpec::Integer(number), _) => unfit(number),
        (NullSpec::Float(number), _) => unfit(number),
    };
    wrong.report(
        &format!(".{word}"),
        "job.null_value",
        message,
        match element {
            Element::String => "write \"reject\" or a text",
            Element::Bool => "write \"reject\", true or false",
            Element::Int32 | Element::Int64 => "write \"reject\" or an integer in range",
            _ => "write \"reject\", \"nan\" or a number in range",
        },
    );
    NullRule::Reject
}

fn fits(number: f64, element: Element) -> bool {
    !number.is_finite()
        || match element {
            Element::Float16 => {
                f16_from_f64(number) != f16::INFINITY && f16_from_f64(number) != f16::NEG_INFINITY
            }
            Element::Float => (number as f32).is_finite(),
            _ => true,
        }
}

struct Wrong {
    place: String,
    problems: Vec<Problem>,
}

impl Wrong {
    fn report(&mut self, word: &str, code: &str, message: String, help: impl Into<String>) {
        let word = word.split(' ').next().unwrap_or_default();
        self.problems.push(
            Problem::new(code, message)
                .at(format!("{}{word}", self.place))
                .help(help),
        );
    }
}
