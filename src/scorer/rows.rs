//! Trial rows.

use half::f16;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::graph::Categories;
use crate::domain::model::{
    Input, Signature,
    tensor::{InputBatch, OutputBatch, TensorData},
};

/// Number of random rows beside the golden ones.
pub(super) const ROWS: usize = 64;
const SEED: u64 = 0x4e1e_5305;
/// Largest limit of random indices: they fit into 32 bits, too.
const MAX_INDEX: u64 = i32::MAX as u64;
const UNKNOWN: &str = "helenus-unknown";

/// Returns outputs without rows.
pub fn none_of(signature: &Signature) -> OutputBatch {
    OutputBatch {
        rows: 0,
        outputs: signature
            .outputs
            .iter()
            .map(|output| TensorData::new(output.element))
            .collect(),
    }
}

/// Appends the rows of another batch of the same signature.
pub fn append_outputs(all: &mut OutputBatch, more: OutputBatch) {
    all.rows += more.rows;
    for (all, more) in all.outputs.iter_mut().zip(more.outputs) {
        extend(all, &more, 0..more.len());
    }
}

/// Returns a batch of these rows, in this order.
pub(crate) fn select(batch: &InputBatch, inputs: &[Input], rows: &[usize]) -> InputBatch {
    let pairs = inputs.iter().zip(&batch.inputs);
    let inputs = pairs.map(|(input, data)| {
        let width = input.width();
        let mut picked = TensorData::new(input.element);
        for row in rows {
            extend(&mut picked, data, row * width..(row + 1) * width);
        }
        picked
    });
    InputBatch {
        rows: rows.len(),
        inputs: inputs.collect(),
        ..InputBatch::default()
    }
}

/// Returns the rows of both batches.
pub(super) fn chain(first: &InputBatch, second: &InputBatch) -> InputBatch {
    let mut all = first.clone();
    append_inputs(&mut all, second);
    all
}

/// Appends the rows of another batch of the same signature.
pub fn append_inputs(all: &mut InputBatch, more: &InputBatch) {
    all.rows += more.rows;
    for (all, more) in all.inputs.iter_mut().zip(&more.inputs) {
        extend(all, more, 0..more.len());
    }
}

/// Appends values of the same element type.
fn extend(all: &mut TensorData, more: &TensorData, range: std::ops::Range<usize>) {
    match (all, more) {
        (TensorData::Float16(a), TensorData::Float16(b)) => a.extend_from_slice(&b[range]),
        (TensorData::Float(a), TensorData::Float(b)) => a.extend_from_slice(&b[range]),
        (TensorData::Double(a), TensorData::Double(b)) => a.extend_from_slice(&b[range]),
        (TensorData::Int32(a), TensorData::Int32(b)) => a.extend_from_slice(&b[range]),
        (TensorData::Int64(a), TensorData::Int64(b)) => a.extend_from_slice(&b[range]),
        (TensorData::Bool(a), TensorData::Bool(b)) => a.extend_from_slice(&b[range]),
        (TensorData::String(a), TensorData::String(b)) => {
            b.range(range).for_each(|text| a.push(text));
        }
        _ => debug_assert!(false, "both have the element types of one signature"),
    }
}

/// Returns 64 rows with a fixed seed; every second one takes its values from the golden rows.
pub(super) fn random_rows(
    inputs: &[Input],
    categories: &[&Categories],
    golden: Option<&InputBatch>,
) -> InputBatch {
    let mut random = StdRng::seed_from_u64(SEED);
    let tensors = inputs
        .iter()
        .zip(categories)
        .enumerate()
        .map(|(i, (input, known))| {
            let mut data = TensorData::new(input.element);
            for row in 0..ROWS {
                for place in 0..input.width() {
                    match golden {
                        // A value of this place in any golden row.
                        Some(golden) if row % 2 == 1 => {
                            let at = random.random_range(0..golden.rows) * input.width() + place;
                            extend(&mut data, &golden.inputs[i], at..at + 1);
                        }
                        _ => push_random(&mut data, known, &mut random),
                    }
                }
            }
            data
        });
    InputBatch {
        rows: ROWS,
        inputs: tensors.collect(),
        ..InputBatch::default()
    }
}

fn push_random(data: &mut TensorData, known: &Categories, random: &mut StdRng) {
    match data {
        TensorData::Float16(values) => values.push(f16::from_f64(normal(random))),
        TensorData::Float(values) => values.push(normal(random) as f32),
        TensorData::Double(values) => values.push(normal(random)),
        TensorData::Int32(values) => values.push(integer(known, random) as i32),
        TensorData::Int64(values) => values.push(integer(known, random)),
        TensorData::Bool(values) => values.push(random.random()),
        TensorData::String(values) => values.push(&text(known, random)),
    }
}

/// Returns a normally distributed number; one in four has the standard deviation 10 (Box and Muller
/// 1958).
fn normal(random: &mut StdRng) -> f64 {
    let scale = if random.random_ratio(1, 4) { 10.0 } else { 1.0 };
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    scale * radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// Returns a known category, an index below the known limit, or a small number, which is more likely a
/// valid index into a table of unknown length.
fn integer(known: &Categories, random: &mut StdRng) -> i64 {
    match known.integers.as_slice() {
        [] => {
            random.random_range(0..known.limit.map_or(8, |limit| limit.clamp(1, MAX_INDEX))) as i64
        }
        integers => integers[random.random_range(0..integers.len())],
    }
}

/// Returns mostly known categories, sometimes an unknown one; a few words if the model knows many.
fn text(known: &Categories, random: &mut StdRng) -> String {
    if known.texts.is_empty() || random.random_ratio(1, 8) {
        return UNKNOWN.to_owned();
    }
    let one = known.texts[random.random_range(0..known.texts.len())].clone();
    if known.texts.len() < 50 {
        return one;
    }
    let other = &known.texts[random.random_range(0..known.texts.len())];
    format!("{one} {other}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{fixture::input, model::tensor::Element};

    #[test]
    fn integers_are_below_the_limit_of_their_input() {
        let inputs = [("ids", 30_000), ("types", 2), ("none", 0)];
        let limited = inputs.map(|(_, limit)| Categories {
            limit: Some(limit),
            ..Categories::default()
        });
        let signature = inputs.map(|(name, _)| input(name, Element::Int64, &[9]));
        let rows = random_rows(&signature, &limited.each_ref(), None);
        let most = rows.inputs.iter().map(|data| match data {
            TensorData::Int64(values) => (values.iter().min(), values.iter().max()),
            other => panic!("{other:?}"),
        });
        let most: Vec<_> = most
            .map(|(min, max)| (*min.unwrap(), *max.unwrap()))
            .collect();
        assert!(
            most[0].0 >= 0 && (8..30_000).contains(&most[0].1),
            "{most:?}"
        );
        assert_eq!(most[1..], [(0, 1), (0, 0)]);
    }
}
