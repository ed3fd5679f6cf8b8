//! What a prepared cell became, in a few numbers: a whole picture would help nobody.

use serde_json::{Value, json};

use super::fed::shown_values;
use crate::domain::{
    job::{Place, Preparation, PreparationKind},
    model::{Input, tensor::TensorData},
};

/// First bytes of the content, and first values of the tensor, that are shown.
const FIRST: usize = 16;

/// Returns the size and the first bytes of a cell.
pub(super) fn stored(cell: Option<&[u8]>) -> Value {
    match cell {
        None => Value::Null,
        Some(content) => {
            let first = &content[..content.len().min(FIRST)];
            json!({"bytes": content.len(), "first": format!("0x{}", hex::encode(first))})
        }
    }
}

/// Returns what the model is given: its kind, the content's header, the tensor's shape, mean,
/// extremes and first values; or why there is none.
pub(super) fn value(
    (place, preparation): (&Place, &Preparation),
    input: &Input,
    cell: Option<&[u8]>,
) -> Result<Value, String> {
    let mut data = TensorData::new(input.element);
    place
        .append(cell, &mut data)
        .map_err(|fault| fault.reject(place).to_string())?;
    let numbers = numbers(&data);
    let count = numbers.len().max(1) as f64;
    let first = shown_values(&data.slice(0..data.len().min(FIRST)));
    if let PreparationKind::Tokens(rule) = &preparation.kind
        && let Some((names, length)) = rule.described(cell.unwrap_or_default(), FIRST)
    {
        return Ok(json!({
            "as": preparation.kind.name(),
            "length": length,
            "tokens": names,
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
