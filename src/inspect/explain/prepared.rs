//! Summaries of a prepared feature's cell and tensor: sizes, extremes and first values.

use serde_json::{Value, json};

use super::fed::shown_values;
use crate::{
    codec::{cell_json, cql_type::CqlType},
    domain::{
        job::{
            Conversion, Place, Preparation, PreparationKind,
            prepare::{Preparer, TokenPart, TokensRule, Unprepared},
        },
        model::{
            Input,
            tensor::{Element, TensorData},
        },
    },
    scorer::preparers::Preparers,
};

/// First bytes of the content, and first values of the tensor, that are shown.
const FIRST: usize = 16;
/// First characters of a text that are shown.
const FIRST_CHARACTERS: usize = 48;
/// Bytes of a blob that is shown whole.
const WHOLE: usize = 64;

/// Returns a cell of the source as JSON; of a long blob its size and first bytes.
pub(super) fn source(cql_type: &CqlType, cell: Option<&[u8]>) -> Value {
    match cell {
        Some(content) if *cql_type == CqlType::Blob && content.len() > WHOLE => {
            stored(cql_type, cell)
        }
        _ => cell_json::cell(cql_type, cell),
    }
}

/// Returns the size of a cell that is prepared, and its beginning: the first bytes of a blob in
/// hexadecimal digits, or the first characters of a text.
pub(super) fn stored(cql_type: &CqlType, cell: Option<&[u8]>) -> Value {
    let Some(content) = cell else {
        return Value::Null;
    };
    let first = match (cql_type, std::str::from_utf8(content)) {
        (CqlType::Text | CqlType::Ascii, Ok(text)) => text.chars().take(FIRST_CHARACTERS).collect(),
        _ => format!("0x{}", hex::encode(&content[..content.len().min(FIRST)])),
    };
    json!({"bytes": content.len(), "first": first})
}

/// Returns what the model is given: its kind, the content's header, the tensor's shape, mean,
/// extremes and first values, or the first tokens; or why there is none.
pub(super) async fn value(
    (place, preparation): (&Place, &Preparation),
    preparers: Option<&Preparers>,
    input: &Input,
    cell: Option<&[u8]>,
) -> Result<Value, String> {
    let mut places = vec![(0, place.clone())];
    let tokens = match &preparation.kind {
        PreparationKind::Tokens(rule) => {
            places.push((1, part(place, rule, TokenPart::Ids)));
            places.push((2, part(place, rule, TokenPart::Mask)));
            Some(rule)
        }
        PreparationKind::Bytes(_) | PreparationKind::Image(_) => None,
    };
    let mut prepared = tensors(places, preparers, cell).await?.into_iter();
    let data = prepared.next().ok_or("it has no tensor")?;
    let numbers = numbers(&data);
    let count = numbers.len().max(1) as f64;
    let first = shown_values(&data.slice(0..data.len().min(FIRST)));
    if let (Some(rule), Some(TensorData::Int64(ids)), Some(TensorData::Int64(mask))) =
        (tokens, prepared.next(), prepared.next())
    {
        let names = ids.iter().take(FIRST);
        let names = names.map(|id| rule.tokenizer.token(u32::try_from(*id).ok()?));
        return Ok(json!({
            "as": preparation.kind.name(),
            "length": mask.iter().filter(|mask| **mask != 0).count(),
            "tokens": names.map(Option::unwrap_or_default).collect::<Vec<_>>(),
            "first": first,
        }));
    }
    let mut shown = json!({
        "as": preparation.kind.name(),
        "shape": input.dims,
        "mean": numbers.iter().sum::<f64>() / count,
        "min": numbers.iter().copied().reduce(f64::min),
        "max": numbers.iter().copied().reduce(f64::max),
        "first": first,
    });
    let header = cell.and_then(|content| preparation.kind.header(content));
    if let (Some(shown), Some(Value::Object(header))) = (shown.as_object_mut(), header) {
        shown.extend(header);
    }
    Ok(shown)
}

/// Returns the place of another part of a text's tokens.
fn part(place: &Place, rule: &TokensRule, part: TokenPart) -> Place {
    let kind = PreparationKind::Tokens(TokensRule {
        part,
        ..rule.clone()
    });
    Place {
        conversion: Conversion::Prepared(Preparation {
            element: Element::Int64,
            cql_type: place.conversion.cql_type().clone(),
            kind,
        }),
        ..place.clone()
    }
}

/// Prepares a cell to the tensors of these places of one column.
async fn tensors(
    places: Vec<(usize, Place)>,
    preparers: Option<&Preparers>,
    cell: Option<&[u8]>,
) -> Result<Vec<TensorData>, String> {
    let row = Unprepared::of_cell(Preparer::from_places(places.into_iter()), cell);
    let prepared = match preparers {
        Some(preparers) => preparers.prepare(&row, 0..1).await,
        None => Ok(row.prepare(0..1)),
    };
    let mut prepared = prepared.map_err(|error| error.to_string())?;
    match prepared.rejected.pop() {
        Some((_, rejection)) => Err(rejection.to_string()),
        None => Ok(prepared.inputs.into_iter().map(|(_, data)| data).collect()),
    }
}

fn numbers(data: &TensorData) -> Vec<f64> {
    match data {
        TensorData::Float16(values) => values.iter().map(|value| value.to_f64()).collect(),
        TensorData::Float(values) => values.iter().map(|value| f64::from(*value)).collect(),
        TensorData::Double(values) => values.clone(),
        TensorData::Int32(values) => values.iter().map(|value| f64::from(*value)).collect(),
        TensorData::Int64(values) => values.iter().map(|value| *value as f64).collect(),
        TensorData::Bool(values) => values.iter().map(|value| f64::from(*value as u8)).collect(),
        TensorData::String(_) => Vec::new(),
    }
}
