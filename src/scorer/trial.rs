//! Tries a model: rows alone, twice, and among others ([`neighbours`]).
//!
//! Zeros are not sufficient (a softmax over the batch passes with them), so rows are random, with a
//! fixed seed; if golden rows are given, half of the random rows take their values from them.

use super::{
    causes::Causes,
    error_text::OUT_OF_MEMORY,
    float_trees,
    graph::Categories,
    judge::Judge,
    labels, neighbours,
    rows::{ROWS, append_outputs, chain, none_of, random_rows, select},
    session::{Model, RunError, Stop},
};
use crate::domain::{
    model::{
        Output,
        tensor::{Element, InputBatch, OutputBatch},
        tolerance::Tolerance,
    },
    problem::Problem,
};

/// Largest rank of an output: the batch, tokens, and a vector for each.
const MAX_RANK: usize = 3;

/// Tried rows, and the model's result for each of them alone.
#[derive(Debug)]
pub(super) struct Tried {
    /// Accepted rows only.
    pub answers: OutputBatch,
    /// For each tried row, golden rows first: its index in `answers`, or the reason of its refusal.
    pub rows: Vec<Result<usize, String>>,
    /// Number of accepted random rows.
    pub random_accepted: usize,
    pub warnings: Vec<String>,
}

/// Tries golden rows and 64 random rows.
///
/// `model` has its inputs and the outputs' names set; this sets the outputs, including
/// observations. `tolerance`: maximum effect of rounding on a result.
///
/// # Errors
/// Problems of the model, at most one of each kind.
pub(super) fn run(
    model: &mut Model,
    golden: Option<&InputBatch>,
    categories: &[&Categories],
    tolerance: Tolerance,
    causes: &Causes,
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
    let mut signature = model.signature().clone();

    let mut answers = none_of(&signature);
    let mut rows = Vec::with_capacity(all.rows);
    for row in 0..all.rows {
        match model.run(&select(&all, &inputs, &[row]), &stop) {
            Ok(answer) => {
                append_outputs(&mut answers, answer);
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
    labels::pair(&mut signature, &answers);
    let judge = Judge::new(&signature, &answers, golden_accepted);

    // Results that change from call to call say nothing about neighbours.
    twice(model, &stop, &good, &judge).map_err(one)?;
    let rounding =
        neighbours::check(model, &stop, &good, &judge, tolerance, causes).map_err(one)?;
    let mut warnings = Vec::new();
    if let Some(worst) = &rounding.worst {
        warnings.push(format!(
            "float_rounding: {}: float32 sums of large terms differ slightly in batches of another size, although no row reads another; verify, explain and expected rows allow for it. To avoid it, {}",
            worst.describe(),
            causes.rounding_remedy()
        ));
    }
    if let Some(found) = &causes.float_before_trees {
        warnings.push(float_trees::warning(found, model, &stop, &good, &judge));
    }
    for (output, moved) in signature.outputs.iter_mut().zip(rounding.moved) {
        output.observed.rounding = moved;
    }
    model.set_signature(signature);
    Ok(Tried {
        answers,
        rows,
        random_accepted,
        warnings,
    })
}

/// Determines the outputs from the first row that is accepted, alone and repeated.
fn observe_outputs(model: &mut Model, all: &InputBatch, stop: &Stop) -> Result<(), Problem> {
    let inputs = model.signature().inputs.clone();
    // Rows are padded by repetition, so with a fixed batch any number of rows shows its size.
    let fixed = model.signature().fixed_batch;
    let mut why = String::new();
    for row in 0..all.rows {
        let batch = select(all, &inputs, &vec![row; fixed.unwrap_or(1)]);
        let seen = match model.observe(&batch, stop) {
            Ok(seen) => seen,
            Err(RunError::Refused(reason)) => {
                why = reason;
                continue;
            }
            Err(error) => return Err(misbehaved(&error)),
        };
        // Seven equal rows: only the first dimension must change with the number of rows.
        let rows = fixed.unwrap_or(7);
        let many = select(all, &inputs, &vec![row; rows]);
        let again = model.observe(&many, stop).map_err(|error| match error {
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
                    format!("the first dimension of output `{name}` is not the rows: {one:?} for {} row(s), {many:?} for {rows}", batch.rows),
                )
                .help("export the model with one output row per input row"));
            }
            if one.len() > MAX_RANK {
                return Err(Problem::new(
                    "model.output_rank",
                    format!("output `{name}` has shape {one:?}, which is more than two dimensions per row"),
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
            if output.dims.contains(&0) {
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
        format!("the model accepted none of {} trial rows: {why}", all.rows),
    )
    .help("give golden rows that the model scores (--golden FILE)"))
}

/// Checks that the same batch gives the same results again.
fn twice(model: &mut Model, stop: &Stop, good: &InputBatch, judge: &Judge) -> Result<(), Problem> {
    let inputs = model.signature().inputs.clone();
    for row in 0..good.rows.min(ROWS) {
        let again = model
            .run(&select(good, &inputs, &[row]), stop)
            .map_err(|error| misbehaved(&error))?;
        let usual = Tolerance::default();
        let differences = judge.differences((&again, 0), (judge.alone, row), row);
        if let Some(difference) = differences.iter().find(|found| found.exceeds(usual)) {
            let what = judge.text(difference, (&again, 0), (judge.alone, row));
            return Err(Problem::new(
                "model.not_deterministic",
                format!("two calls with the same row differ: {what} in the second call"),
            )
            .help("export without random operators (dropout in training mode, sampling)"));
        }
    }
    Ok(())
}

pub(super) fn together(rows: usize, reason: &str) -> Problem {
    Problem::new(
        "model.batch",
        format!("rows that are accepted alone are refused in a batch of {rows}: {reason}"),
    )
    .help("export with a dynamic batch dimension, or declare the fixed one")
}

pub(super) fn misbehaved(error: &RunError) -> Problem {
    let code = match error {
        RunError::OutOfMemory(_) => OUT_OF_MEMORY,
        _ => "model.misbehaves",
    };
    Problem::new(code, error.to_string())
}

/// Returns an output that is not observed yet.
pub(super) fn unseen(name: &str, public_name: &str) -> Output {
    Output {
        name: name.to_owned(),
        public_name: public_name.to_owned(),
        element: Element::Float,
        dims: Vec::new(),
        simplex: false,
        classes: None,
        observed: Default::default(),
    }
}
