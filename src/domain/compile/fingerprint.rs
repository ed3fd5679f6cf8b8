//! What a version's predictions depend on besides its file and the row's values.
//!
//! The texts below are hashed, not stored. A change of them makes every row of every job pending,
//! so they change only together with what is written.

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::domain::{
    job::{CompiledVersion, InputMapping, NanOutput, NullRule, OutputCell, PredictionTable, Rule},
    model::ReadyVersion,
    schema::Column,
};

/// Raised when a cast rule comes to mean something else.
const CASTS: u32 = 1;

/// xxh3-128 over the model's sha256, the mapping fingerprint and the output fingerprint, each of
/// the latter an xxh3-128 over a JSON text.
pub(super) fn of_version(
    ready: &ReadyVersion,
    inputs: &[InputMapping],
    columns: &[Column],
    cells: &[Option<OutputCell>],
    target: &PredictionTable,
    nan: NanOutput,
) -> [u8; 16] {
    let mapping = mapping(ready, inputs, columns).to_string();
    let outputs = outputs(ready, cells, target, nan).to_string();
    let mut text = ready.admitted.sha256.to_vec();
    for part in [mapping, outputs] {
        text.extend_from_slice(&xxh3_128(part.as_bytes()).to_be_bytes());
    }
    xxh3_128(&text).to_be_bytes()
}

/// Over all versions, each by number and prefix.
pub(super) fn of_job(versions: &[CompiledVersion]) -> [u8; 16] {
    let mut text = Vec::new();
    for version in versions {
        text.extend_from_slice(&version.ready.version.to_be_bytes());
        text.extend_from_slice(&version.hash_prefix);
    }
    xxh3_128(&text).to_be_bytes()
}

// Arrays only: the order of an object's keys is the library's business.
fn mapping(ready: &ReadyVersion, inputs: &[InputMapping], columns: &[Column]) -> Value {
    let signature = &ready.admitted.signature;
    let inputs = inputs
        .iter()
        .zip(&signature.inputs)
        .map(|(mapping, input)| {
            let places = mapping.places.iter().map(|place| {
                let column = columns.get(place.column).map(|column| &column.name);
                json!([place.feature, column, place.width, rule(&place.rule)])
            });
            json!([
                input.name,
                input.element.name(),
                input.dims,
                places.collect::<Vec<_>>()
            ])
        });
    json!([CASTS, inputs.collect::<Vec<_>>()])
}

fn rule(rule: &Rule) -> Value {
    use crate::domain::job::{Cast, Epoch, TextRule};
    let cast = match rule.cast {
        Cast::Exact => "exact",
        Cast::Float => "float",
        Cast::Lossy => "lossy",
    };
    let epoch = rule.epoch.map(|epoch| match epoch {
        Epoch::Seconds => "s",
        Epoch::Milliseconds => "ms",
        Epoch::Days => "days",
    });
    let fill = match &rule.null {
        NullRule::Reject => json!(["reject"]),
        NullRule::Nan => json!(["nan"]),
        // By its bits: a text of a float is the library's business too.
        NullRule::Number(number) => json!(["number", number.to_bits()]),
        NullRule::Integer(number) => json!(["integer", number]),
        NullRule::Bool(truth) => json!(["bool", truth]),
        NullRule::Text(text) => json!(["text", text]),
    };
    let text = match rule.text {
        TextRule::Raw => "raw",
        TextRule::Nfc => "nfc",
        TextRule::TrimNfc => "trim+nfc",
    };
    json!([
        rule.cql_type.to_string(),
        cast,
        epoch,
        fill,
        text,
        rule.reject_nonfinite
    ])
}

fn outputs(
    ready: &ReadyVersion,
    cells: &[Option<OutputCell>],
    target: &PredictionTable,
    nan: NanOutput,
) -> Value {
    let outputs = &ready.admitted.signature.outputs;
    let mut columns: Vec<Value> = target
        .outputs
        .iter()
        .zip(cells)
        .filter_map(|(column, cell)| {
            let cell = cell.as_ref()?;
            Some(json!([
                column.name,
                column.cql_type.to_string(),
                outputs.get(cell.output).map(|output| &output.name),
                cell.offset,
                cell.width,
                cell.rename
            ]))
        })
        .collect();
    // Where a column stands among the others changes nothing.
    columns.sort_by_key(Value::to_string);
    json!([nan == NanOutput::Allow, columns])
}
