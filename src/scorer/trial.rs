//! Trying a model: rows alone and among others, forwards and backwards, twice.
//!
//! Zeros prove nothing (a softmax over the batch passes on zeros), so rows are random, with a fixed
//! seed; where golden rows are given, half of them take their values from there.

use super::{
    graph::Categories,
    judge::Judge,
    rows::{ROWS, append, chain, none_of, random_rows, select},
    session::{Model, RunError, Stop},
};
use crate::domain::{
    model::Output,
    problem::Problem,
    tensor::{Element, InputBatch, OutputBatch},
};

const BATCHES: [usize; 3] = [2, 7, 64];

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
