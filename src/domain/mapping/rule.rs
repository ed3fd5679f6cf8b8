//! Whether and how a column's type becomes an element type, as the manifest words it.

use half::f16;

use super::super::{
    cql_type::CqlType,
    job::{Cast, Epoch, NullRule, Rule, TextRule},
    manifest::{Feature, NullWish, key},
    number::{EXACT_F16, EXACT_F32, EXACT_F64, f16_from_f64},
    problem::Problem,
    schema::Column,
    tensor::Element,
};

/// The rule and number of values of a feature, or everything that is wrong with it.
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
        text: feature.text.unwrap_or(TextRule::Raw),
        reject_nonfinite: feature.reject_nonfinite.unwrap_or(false),
    };
    if wrong.problems.is_empty() {
        check_pair(scalar, &rule, column, &mut wrong);
        check_words(scalar, feature, element, &mut wrong);
    }
    let null = null_rule(feature, element, rule.cast, &mut wrong);
    match wrong.problems.is_empty() {
        true => Ok((Rule { null, ..rule }, width)),
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
                wrong.say(
                    ".width",
                    "job.width",
                    format!(
                        "column `{}` is {}, the manifest says width = {said}",
                        column.name, column.cql_type
                    ),
                    format!("write width = {width}, or leave it out"),
                );
            }
            (element, width)
        }
        (CqlType::List(element), Some(width)) => (element, width),
        (CqlType::List(element), None) => {
            wrong.say(
                "",
                "job.width",
                format!(
                    "column `{}` is {}, whose length the schema does not tell",
                    column.name, column.cql_type
                ),
                "say how many values it holds: width = …",
            );
            (element, 1)
        }
        (scalar, said) => {
            if let Some(said) = said.filter(|&said| said != 1) {
                wrong.say(
                    ".width",
                    "job.width",
                    format!(
                        "column `{}` is {}, one value and not {said}",
                        column.name, column.cql_type
                    ),
                    "leave width out, or name a vector or list column",
                );
            }
            (scalar, 1)
        }
    }
}

/// Column type and element: is there a conversion, and does it need a word it lacks?
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
        CqlType::Float | CqlType::Double | CqlType::Decimal if integer => wrong.say(
            "",
            "job.feature_type",
            format!("{named} may hold fractions, the model takes {}", element.name()),
            "helenus never cuts fractions off: store an integer column, or export the model with a float input",
        ),
        CqlType::Varint if integer => {}
        CqlType::Varint | CqlType::Decimal if floating => {
            if rule.cast == Cast::Exact {
                wrong.say(
                    "",
                    "job.cast_missing",
                    format!("{named} has more digits than {} can hold", element.name()),
                    "if rounding to the nearest is right, say so: cast = \"float\"",
                );
            }
        }
        CqlType::Boolean if element != String => {}
        CqlType::Text | CqlType::Ascii if element == String && !listed => {}
        CqlType::Timestamp | CqlType::Date | CqlType::Time if floating || integer => {
            if rule.epoch.is_none() {
                wrong.say(
                    "",
                    "job.as_missing",
                    format!("{named} is a time, which the model takes as a number"),
                    "say in which unit: as = \"epoch_s\", \"epoch_ms\" or \"epoch_days\"",
                );
            } else if *scalar == CqlType::Time && rule.epoch == Some(Epoch::Days) {
                wrong.say(
                    ".as",
                    "job.feature_type",
                    format!("{named} is a time of day: 0 days, always"),
                    "take as = \"epoch_s\" or \"epoch_ms\"",
                );
            }
        }
        CqlType::Uuid
        | CqlType::Timeuuid
        | CqlType::Inet
        | CqlType::Duration
        | CqlType::Counter
        | CqlType::Blob => wrong.say(
            "",
            "job.feature_type",
            format!("{named} cannot be a feature: {scalar} has no numeric or text meaning to a model"),
            "store what the model should see in a column of its own",
        ),
        _ => wrong.say(
            "",
            "job.feature_type",
            format!("{named} cannot become {}", element.name()),
            match element {
                String => "the model takes text or ascii here",
                Bool => "the model takes boolean here",
                _ => "the model takes a number here: an integer, float, double, boolean, decimal, varint or time column",
            },
        ),
    }
}

/// Words that mean nothing for this column would be believed to do something.
fn check_words(scalar: &CqlType, feature: &Feature, element: Element, wrong: &mut Wrong) {
    let mut idle = |word: &str, is_idle: bool, only: &str| {
        if is_idle {
            wrong.say(
                &format!(".{word}"),
                "job.idle_option",
                format!("`{word}` means nothing for a {scalar} column: it is for {only}"),
                "leave it out",
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
            "decimal and varint; integers take cast = \"lossy\"",
        ),
        Some(Cast::Lossy) => idle(
            "cast = \"lossy\"",
            !(is_integer || is_wide_number || is_time),
            "integers and times; double rounds to float without it",
        ),
        Some(Cast::Exact) | None => {}
    }
    if let (Some(Cast::Float | Cast::Lossy), Element::Int32 | Element::Int64) =
        (feature.cast, element)
    {
        wrong.say(
            ".cast",
            "job.idle_option",
            format!(
                "`cast` means nothing here: the model takes {}",
                element.name()
            ),
            "leave it out; an integer out of range rejects its row",
        );
    }
}

fn null_rule(feature: &Feature, element: Element, cast: Cast, wrong: &mut Wrong) -> NullRule {
    let Some(wish) = &feature.null else {
        return NullRule::Reject;
    };
    let floating = matches!(element, Element::Float16 | Element::Float | Element::Double);
    let unfit = |value: &dyn std::fmt::Display| {
        format!(
            "{value} is no value of the model's {} input",
            element.name()
        )
    };
    let message = match (wish, element) {
        (NullWish::Text(text), _) if text == "reject" => return NullRule::Reject,
        (NullWish::Text(text), Element::String) => return NullRule::Text(text.clone()),
        (NullWish::Text(text), _) if text == "nan" && floating => return NullRule::Nan,
        (NullWish::Text(text), _) if text == "nan" => {
            format!("{} has no NaN", element.name())
        }
        (NullWish::Text(text), _) => unfit(&format!("\"{text}\"")),
        (NullWish::Bool(truth), Element::Bool) => return NullRule::Bool(*truth),
        (NullWish::Integer(number), Element::Int64) => return NullRule::Integer(*number),
        (NullWish::Integer(number), Element::Int32) if i32::try_from(*number).is_ok() => {
            return NullRule::Integer(*number);
        }
        (NullWish::Integer(number), _) if floating => {
            let limit = match element {
                Element::Float16 => EXACT_F16,
                Element::Float => EXACT_F32,
                _ => EXACT_F64,
            };
            let exact = number.unsigned_abs() <= limit.unsigned_abs();
            let value = *number as f64;
            match (exact || cast == Cast::Lossy) && fits(value, element) {
                true => return NullRule::Number(value),
                false => format!("{number} cannot be held exactly by {}", element.name()),
            }
        }
        (NullWish::Float(number), _) if floating && number.is_nan() => return NullRule::Nan,
        (NullWish::Float(number), _) if floating && fits(*number, element) => {
            return NullRule::Number(*number);
        }
        (NullWish::Bool(truth), _) => unfit(truth),
        (NullWish::Integer(number), _) => unfit(number),
        (NullWish::Float(number), _) => unfit(number),
    };
    wrong.say(
        ".null",
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
    fn say(&mut self, word: &str, code: &str, message: String, help: impl Into<String>) {
        let word = word.split(' ').next().unwrap_or_default();
        self.problems.push(
            Problem::new(code, message)
                .at(format!("{}{word}", self.place))
                .help(help),
        );
    }
}
