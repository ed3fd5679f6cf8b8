//! Fingerprints of everything that a version's predictions depend on besides its file and the row.
//!
//! The texts below are hashed, not stored. Changing them makes every row of every job pending, so
//! they change only together with what is written.

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    codec::schema::Column,
    domain::{
        job::{
            CompiledVersion, Conversion, InputMapping, NanOutput, NullRule, OutputCell,
            PredictionTable, Rule,
        },
        model::ReadyVersion,
    },
};

/// Version of the cast rules; raised when a rule changes its meaning.
const CASTS: u32 = 1;

/// Returns xxh3-128 over the model's sha256, the mapping fingerprint and the output fingerprint,
/// each of the latter an xxh3-128 over a JSON text.
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

/// Returns the fingerprint over all versions, each by number and prefix.
pub(super) fn of_job(versions: &[CompiledVersion]) -> [u8; 16] {
    let mut text = Vec::new();
    for version in versions {
        text.extend_from_slice(&version.ready.version.to_be_bytes());
        text.extend_from_slice(&version.hash_prefix);
    }
    xxh3_128(&text).to_be_bytes()
}

// Arrays only: the order of an object's keys depends on the library.
fn mapping(ready: &ReadyVersion, inputs: &[InputMapping], columns: &[Column]) -> Value {
    let signature = &ready.admitted.signature;
    let inputs = inputs
        .iter()
        .zip(&signature.inputs)
        .map(|(mapping, input)| {
            let places = mapping.places.iter().map(|place| {
                let column = columns.get(place.column).map(|column| &column.name);
                json!([
                    place.feature,
                    column,
                    place.width,
                    conversion(&place.conversion)
                ])
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

fn conversion(conversion: &Conversion) -> Value {
    match conversion {
        Conversion::Cell(cell) => rule(cell),
        Conversion::Prepared(preparation) => json!([
            "prepared",
            preparation.cql_type.to_string(),
            preparation.fingerprint()
        ]),
    }
}

fn rule(rule: &Rule) -> Value {
    use crate::domain::job::{Cast, Epoch};
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
    let mut parts = vec![
        json!(rule.cql_type.to_string()),
        json!(cast),
        json!(epoch),
        fill(&rule.null),
        json!(rule.text.name()),
        json!(rule.reject_nonfinite),
    ];
    // Only if given, so that rows of jobs from before `pad` existed keep their hash.
    if rule.pad != NullRule::Reject {
        parts.push(json!(["pad", fill(&rule.pad)]));
    }
    Value::Array(parts)
}

fn fill(rule: &NullRule) -> Value {
    match rule {
        NullRule::Reject => json!(["reject"]),
        NullRule::Nan => json!(["nan"]),
        // By its bits: the text of a float also depends on the library.
        NullRule::Number(number) => json!(["number", number.to_bits()]),
        NullRule::Integer(number) => json!(["integer", number]),
        NullRule::Bool(truth) => json!(["bool", truth]),
        NullRule::Text(text) => json!(["text", text]),
    }
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
    // The order of columns does not matter.
    columns.sort_by_key(Value::to_string);
    json!([nan == NanOutput::Allow, columns])
}
