//! Trying a model: rows alone and among others, forwards and backwards, twice.
//!
//! Zeros prove nothing (a softmax over the batch passes on zeros), so rows are random, with a fixed
//! seed; where golden rows are given, half of them take their values from there.

use half::f16;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    graph::Categories,
    session::{Model, RunError, Stop},
};
use crate::domain::{
    model::{Input, Output, Signature},
    problem::Problem,
    tensor::{Element, InputBatch, OutputBatch, TensorData},
    tolerance::{Tolerance, float, is_label},
};

/// Random rows beside the golden ones.
const ROWS: usize = 64;
const SEED: u64 = 0x4e1e_5305;
const BATCHES: [usize; 3] = [2, 7, 64];
const UNKNOWN: &str = "helenus-unknown";

/// Rows that were tried, and what the model gave for each of them alone.
#[derive(Debug)]
pub(super) struct Tried {
    /// Accepted rows only.
    pub answers: OutputBatch,
    /// For each tried row, golden rows first: its place in `answers`, or why it was refused.
    pub rows: Vec<Result<usize, String>>,
    /// Accepted random rows.
    pub random_accepted: usize,
}

/// Tries golden rows and 64 random rows.
///
/// `model` has its inputs and the outputs' names set; afterwards the outputs too.
///
/// # Errors
/// What is wrong with the model, at most one problem of each kind.
pub(super) fn run(
    model: &mut Model,
    golden: Option<&InputBatch>,
    categories: &[&Categories],
) -> Result<Tried, Vec<Problem>> {
    let one = |problem| vec![problem];
    let inputs = model.signature().inputs.clone();
    let random = random_rows(&inputs, categories, golden);
    let golden_rows = golden.map_or(0, |golden| golden.rows);
    let all = match golden {
        Some(golden) => chain(golden, &random),
        None => random,
    };
    let stop = model.stop().map_err(one)?;
    observe_outputs(model, &all, &stop).map_err(one)?;
    let signature = model.signature().clone();

    let mut answers = none_of(&signature);
    let mut rows = Vec::with_capacity(all.rows);
    for row in 0..all.rows {
        match model.run(&select(&all, &inputs, &[row]), &stop) {
            Ok(answer) => {
                append(&mut answers, answer);
                rows.push(Ok(answers.rows - 1));
            }
            Err(RunError::Refused(why)) => rows.push(Err(why)),
            Err(error) => return Err(vec![misbehaved(&error)]),
        }
    }
    let accepted: Vec<usize> = (0..all.rows).filter(|row| rows[*row].is_ok()).collect();
    let random_accepted = accepted.iter().filter(|row| **row >= golden_rows).count();
    let good = select(&all, &inputs, &accepted);
    let golden_accepted = accepted.len() - random_accepted;
    let judge = Judge::new(&signature, &answers, golden_accepted);

    let mut problems = Vec::new();
    let forwards: Vec<usize> = (0..good.rows).collect();
    let backwards: Vec<usize> = forwards.iter().rev().copied().collect();
    let orders = BATCHES
        .iter()
        .map(|size| (*size, &forwards))
        .chain([(64, &backwards)]);
    for (size, order) in orders {
        if let Err(problem) = neighbours(model, &stop, &good, &judge, order, size) {
            problems.push(problem);
            break;
        }
    }
    if let Err(problem) = twice(model, &stop, &good, &judge) {
        problems.insert(0, problem);
        // What changes from call to call says nothing about neighbours.
        problems.truncate(1);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Tried {
        answers,
        rows,
        random_accepted,
    })
}

/// Finds out what the outputs are from the first row that is accepted, and from several together.
fn observe_outputs(model: &mut Model, all: &InputBatch, stop: &Stop) -> Result<(), Problem> {
    let inputs = model.signature().inputs.clone();
    // Rows are padded by repeating, so with a fixed batch any number of rows shows its size.
    let fixed = model.signature().fixed_batch;
    let mut why = String::new();
    for row in 0..all.rows {
        let batch = select(all, &inputs, &vec![row; fixed.unwrap_or(1)]);
        let seen = match model.look(&batch, stop) {
            Ok(seen) => seen,
            Err(RunError::Refused(reason)) => {
                why = reason;
                continue;
            }
            Err(error) => return Err(misbehaved(&error)),
        };
        // Seven equal rows: the first dimension must follow the rows, the others must not.
        let rows = fixed.unwrap_or(7);
        let many = select(all, &inputs, &vec![row; rows]);
        let again = model.look(&many, stop).map_err(|error| match error {
            RunError::Refused(reason) => together(rows, &reason),
            error => misbehaved(&error),
        })?;
        let mut signature = model.signature().clone();
        let outputs = signature.outputs.iter_mut().zip(seen).zip(again);
        for ((output, (element, one)), (_, many)) in outputs {
            let name = &output.public_name;
            if one.first() != Some(&(batch.rows as i64)) || many.first() != Some(&(rows as i64)) {
                return Err(Problem::new(
                    "model.not_by_row",
                    format!("output `{name}` has shape {one:?} for {} row(s) and {many:?} for {rows}: its first dimension must be the rows", batch.rows),
                )
                .help("export so that each row has its own outputs"));
            }
            if one.len() > 2 {
                return Err(Problem::new(
                    "model.output_rank",
                    format!("output `{name}` has shape {one:?}: more than one dimension a row"),
                )
                .help("flatten the output to [N, k] before the export"));
            }
            if one[1..] != many[1..] {
                return Err(Problem::new(
                    "model.output_shape",
                    format!(
                        "output `{name}` has shape {one:?} for one row and {many:?} for {rows}"
                    ),
                ));
            }
            output.element = element;
            output.dims = one[1..].iter().map(|dim| *dim as usize).collect();
            if output.dims == [0] {
                return Err(Problem::new(
                    "model.output_shape",
                    format!("output `{name}` has no values"),
                ));
            }
        }
        model.set_signature(signature);
        return Ok(());
    }
    Err(Problem::new(
        "model.refuses_all",
        format!("none of {} trial rows was accepted: {why}", all.rows),
    )
    .help("give golden rows that the model scores (--golden FILE)"))
}

fn neighbours(
    model: &mut Model,
    stop: &Stop,
    good: &InputBatch,
    judge: &Judge,
    order: &[usize],
    size: usize,
) -> Result<(), Problem> {
    let inputs = model.signature().inputs.clone();
    for chunk in order.chunks(size) {
        let answers =
            model
                .run(&select(good, &inputs, chunk), stop)
                .map_err(|error| match error {
                    RunError::Refused(reason) => together(chunk.len(), &reason),
                    error => misbehaved(&error),
                })?;
        for (i, row) in chunk.iter().enumerate() {
            if let Some(what) = judge.differs(&answers, i, *row) {
                return Err(Problem::new(
                    "model.depends_on_neighbours",
                    format!("a row's result depends on its neighbours: {what} in a batch of {}", chunk.len()),
                )
                .help("look for a softmax, normalisation or mean over axis 0, or for a layer exported in training mode"));
            }
        }
    }
    Ok(())
}

/// The same batch again must give the same answers.
fn twice(model: &mut Model, stop: &Stop, good: &InputBatch, judge: &Judge) -> Result<(), Problem> {
    let inputs = model.signature().inputs.clone();
    for row in 0..good.rows.min(ROWS) {
        let again = model
            .run(&select(good, &inputs, &[row]), stop)
            .map_err(|error| misbehaved(&error))?;
        if let Some(what) = judge.differs(&again, 0, row) {
            return Err(Problem::new(
                "model.not_deterministic",
                format!("two calls with the same row disagree: {what} the second time"),
            )
            .help("export without random operators (dropout in training mode, sampling)"));
        }
    }
    Ok(())
}

fn together(rows: usize, reason: &str) -> Problem {
    Problem::new(
        "model.batch",
        format!("rows that are scored alone are refused in a batch of {rows}: {reason}"),
    )
    .help("export with a dynamic batch dimension, or declare the fixed one")
}

fn misbehaved(error: &RunError) -> Problem {
    Problem::new("model.misbehaves", error.to_string())
}

/// Compares answers with those of rows alone.
struct Judge<'a> {
    signature: &'a Signature,
    alone: &'a OutputBatch,
    /// Rows before this one are golden.
    golden: usize,
    /// For each output, for each of its columns: the root mean square over random rows.
    scales: Vec<Vec<f64>>,
}

impl<'a> Judge<'a> {
    fn new(signature: &'a Signature, alone: &'a OutputBatch, golden: usize) -> Self {
        let pairs = signature.outputs.iter().zip(&alone.outputs);
        let scales = pairs
            .map(|(output, data)| {
                let width = output.width();
                let column = |k: usize| {
                    let values: Vec<f64> = (golden..alone.rows)
                        .filter_map(|row| float(data, row * width + k))
                        .filter(|value| value.is_finite())
                        .collect();
                    let squares: f64 = values.iter().map(|value| value * value).sum();
                    (squares / values.len().max(1) as f64).sqrt()
                };
                (0..width).map(column).collect()
            })
            .collect();
        Self {
            signature,
            alone,
            golden,
            scales,
        }
    }

    fn differs(&self, answers: &OutputBatch, i: usize, row: usize) -> Option<String> {
        let usual = Tolerance::default();
        let (o, k) = usual.differing(self.signature, (answers, i), (self.alone, row))?;
        let output = &self.signature.outputs[o];
        let width = output.width();
        let (got, expected) = (&answers.outputs[o], &self.alone.outputs[o]);
        // Random rows may land where large terms cancel; there float32 rounds by more than 1e-5 of
        // the result, though not of what usually comes out. Golden rows are held to the result.
        if row >= self.golden
            && let (Some(a), Some(b)) =
                (float(got, i * width + k), float(expected, row * width + k))
            && (a - b).abs() <= usual.rtol * self.scales[o][k]
        {
            return None;
        }
        Some(format!(
            "`{}` is {} and not {}",
            column_name(output, k),
            shown(got, i * width + k),
            shown(expected, row * width + k)
        ))
    }
}

/// `probabilities[1]`, or the name alone where there is one value a row.
pub(super) fn column_name(output: &Output, offset: usize) -> String {
    match output.width() {
        1 => output.public_name.clone(),
        _ => format!("{}[{offset}]", output.public_name),
    }
}

/// A value for people.
pub(super) fn shown(data: &TensorData, at: usize) -> String {
    match data {
        TensorData::String(values) => format!("{:?}", values[at]),
        _ => crate::each_tensor!(data, values => format!("{:?}", values[at])),
    }
}

/// A label that is never the class of the largest score, over eight rows or more: the scores bear
/// each other's names (ONNX Runtime does that to the binary SVC of scikit-learn).
pub(super) fn label_disagrees(signature: &Signature, answers: &OutputBatch) -> Option<String> {
    let pairs = || signature.outputs.iter().zip(&answers.outputs);
    let (label, labels) = pairs().find(|(output, data)| is_label(data, output.width()))?;
    let (scores, classes, data) =
        pairs().find_map(|(output, data)| Some((output, output.classes.as_ref()?, data)))?;
    let width = scores.width();
    let mut known = 0;
    for row in 0..answers.rows {
        let said = match labels {
            TensorData::String(values) => values[row].clone(),
            _ => shown(labels, row),
        };
        if !classes.names.contains(&said) {
            continue;
        }
        let best = (0..width).max_by(|a, b| {
            let score = |k: usize| float(data, row * width + k).unwrap_or(f64::NAN);
            score(*a).total_cmp(&score(*b))
        })?;
        if classes.names[best] == said {
            return None;
        }
        known += 1;
    }
    (known >= 8).then(|| {
        format!(
            "label_disagrees: `{}` is never the class of the largest of `{}`; the scores may bear each other's names",
            label.public_name, scores.public_name
        )
    })
}

/// Whether all accepted rows of an output lie in [0, 1] and sum to 1, both within 1e-3. Rows with a
/// NaN say nothing.
pub(super) fn is_simplex(output: &Output, data: &TensorData) -> bool {
    let width = output.width();
    let rows = data.len().checked_div(width).unwrap_or(0);
    let mut seen = false;
    for row in 0..rows {
        let values: Option<Vec<f64>> = (row * width..(row + 1) * width)
            .map(|at| float(data, at))
            .collect();
        let Some(values) = values else { return false };
        if values.iter().any(|value| value.is_nan()) {
            continue;
        }
        seen = true;
        let inside = values
            .iter()
            .all(|value| (-1e-3..=1.0 + 1e-3).contains(value));
        if !inside || (values.iter().sum::<f64>() - 1.0).abs() > 1e-3 {
            return false;
        }
    }
    seen && width >= 2
}

fn none_of(signature: &Signature) -> OutputBatch {
    OutputBatch {
        rows: 0,
        outputs: signature
            .outputs
            .iter()
            .map(|output| TensorData::new(output.element))
            .collect(),
    }
}

fn append(all: &mut OutputBatch, more: OutputBatch) {
    all.rows += more.rows;
    for (all, more) in all.outputs.iter_mut().zip(more.outputs) {
        extend(all, &more, 0..more.len());
    }
}

/// A batch of these rows, in this order.
pub(super) fn select(batch: &InputBatch, inputs: &[Input], rows: &[usize]) -> InputBatch {
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
    }
}

fn chain(first: &InputBatch, second: &InputBatch) -> InputBatch {
    let mut all = first.clone();
    all.rows += second.rows;
    for (all, more) in all.inputs.iter_mut().zip(&second.inputs) {
        extend(all, more, 0..more.len());
    }
    all
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
        (TensorData::String(a), TensorData::String(b)) => a.extend_from_slice(&b[range]),
        _ => debug_assert!(false, "element types are those of one signature"),
    }
}

fn random_rows(
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
                        // A value that this place really takes, of any golden row.
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
        TensorData::String(values) => values.push(text(known, random)),
    }
}

/// Normally distributed, one in four with the standard deviation 10 (Box and Muller 1958).
fn normal(random: &mut StdRng) -> f64 {
    let scale = if random.random_ratio(1, 4) { 10.0 } else { 1.0 };
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    scale * radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// A known category, or a small number: an index into a table of unknown length is more often
/// allowed to be small.
fn integer(known: &Categories, random: &mut StdRng) -> i64 {
    if known.integers.is_empty() {
        random.random_range(0..8)
    } else {
        known.integers[random.random_range(0..known.integers.len())]
    }
}

/// Mostly known categories, sometimes an unknown one; a few words where the model knows many.
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

/// A signature whose outputs are yet unknown.
pub(super) fn unseen(name: &str, public_name: &str) -> Output {
    Output {
        name: name.to_owned(),
        public_name: public_name.to_owned(),
        element: Element::Float,
        dims: Vec::new(),
        simplex: false,
        classes: None,
    }
}
