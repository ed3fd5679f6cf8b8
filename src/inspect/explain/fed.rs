//! What a model is fed: each place of its input tensors, and the cell that it comes from.

use serde_json::Value;

use super::prepared;
use crate::{
    codec::cell_json,
    domain::{
        job::{CompiledJob, CompiledVersion, Conversion, Place},
        model::tensor::TensorData,
    },
    scorer::preparers::Preparers,
};

/// The value that one feature gives to an input tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Fed {
    /// The input's name.
    pub input: String,
    /// Index of its first place in the input.
    pub place: usize,
    /// Number of places that it fills.
    pub width: usize,
    /// The feature's name in the model.
    pub feature: String,
    /// The source column.
    pub column: String,
    /// The cell as it is stored; of one that is prepared, its size and its beginning.
    pub stored: Value,
    /// The value, an array if it fills several places, or what a prepared cell became in a few
    /// numbers; or the reason why there is none.
    pub value: Result<Value, String>,
}

/// Returns what each place of a version's inputs is given.
///
/// Without `preparers`, this process prepares what is prepared.
pub async fn fed(
    (job, version): (&CompiledJob, &CompiledVersion),
    preparers: Option<&Preparers>,
    cells: &[Option<&[u8]>],
) -> Vec<Fed> {
    let inputs = version.inputs.iter();
    let signature = &version.ready.admitted.signature.inputs;
    let mut fed = Vec::new();
    for (mapping, input) in inputs.zip(signature) {
        let mut at = 0;
        for place in &mapping.places {
            let column = &job.columns[place.column];
            let cell = cells.get(place.column).copied().flatten();
            let (stored, value) = match &place.conversion {
                Conversion::Cell(_) => (
                    cell_json::cell(&column.cql_type, cell),
                    value(place, cell, TensorData::new(input.element)),
                ),
                Conversion::Prepared(preparation) => (
                    prepared::stored(&column.cql_type, cell),
                    prepared::value((place, preparation), preparers, input, cell).await,
                ),
            };
            fed.push(Fed {
                input: input.name.clone(),
                place: at,
                width: place.width,
                feature: place.feature.clone(),
                column: column.name.clone(),
                stored,
                value,
            });
            at += place.width;
        }
    }
    fed
}

fn value(place: &Place, cell: Option<&[u8]>, mut data: TensorData) -> Result<Value, String> {
    place
        .append(cell, &mut data)
        .map_err(|fault| fault.reject(place).to_string())?;
    let mut values = shown_values(&data);
    Ok(match values.len() {
        1 => values.remove(0),
        _ => Value::Array(values),
    })
}

/// Returns a tensor's values as JSON.
pub(super) fn shown_values(data: &TensorData) -> Vec<Value> {
    crate::each_tensor!(data, values => {
        values.iter().map(ToText::shown).collect()
    })
}

/// Converts a tensor's value to JSON.
trait ToText {
    fn shown(&self) -> Value;
}

impl ToText for half::f16 {
    fn shown(&self) -> Value {
        cell_json::float(self.to_f32())
    }
}

impl ToText for f32 {
    fn shown(&self) -> Value {
        cell_json::float(*self)
    }
}

impl ToText for f64 {
    fn shown(&self) -> Value {
        cell_json::double(*self)
    }
}

macro_rules! shown_as_json {
    ($($type:ty),*) => {
        $(impl ToText for $type {
            fn shown(&self) -> Value {
                serde_json::json!(self)
            }
        })*
    };
}

shown_as_json!(i32, i64, bool, str);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{fixture, model::tensor::Element};

    #[test]
    fn a_value_is_shown_as_the_tensor_holds_it() {
        let place = fixture::place("a", 0, "double", Element::Float);
        let cell = 0.1_f64.to_be_bytes();
        let shown = value(&place, Some(&cell), TensorData::new(Element::Float));
        assert_eq!(shown, Ok(json!(0.1)));
        let shown = value(&place, None, TensorData::new(Element::Float));
        assert_eq!(shown, Err("null: feature `a` is null".to_owned()));
        let mut wide = fixture::place("v", 0, "vector<float, 2>", Element::Float);
        wide.width = 2;
        let cell = [1.5_f32.to_be_bytes(), f32::NAN.to_be_bytes()].concat();
        let shown = value(&wide, Some(&cell), TensorData::new(Element::Float));
        assert_eq!(shown, Ok(json!([1.5, "NaN"])));
    }
}
