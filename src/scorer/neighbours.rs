//! Checks whether a row's result depends on the rows that it is scored with.
//!
//! Two causes look alike. A softmax over the batch reads other rows. Float rounding does not, but
//! sums differ in a few digits if the batch has another *size*, whatever its content. So if results
//! differ, the row is put at the same place of a batch of the same size among copies of itself: if
//! its result differs then, it reads its neighbours.

use super::{
    causes::Causes,
    judge::{Difference, Judge},
    rows::select,
    session::{Model, RunError, Stop},
    trial::{misbehaved, together},
};
use crate::domain::{
    model::{
        Output,
        tensor::{InputBatch, OutputBatch},
        tolerance::Tolerance,
    },
    problem::Problem,
};

const BATCHES: [usize; 3] = [2, 7, 64];
/// Maximum effect of rounding, relative to the output's scale.
const ROUNDING: f64 = 1e-3;
/// Effect of rounding on the outputs.
#[derive(Debug, Default)]
pub(super) struct Rounding {
    /// By output and column: how far a result moved; empty for an output if none did.
    pub(super) moved: Vec<Vec<f64>>,
    /// The worst case, if it is worth a warning.
    pub(super) worst: Option<Suspect>,
}

/// The worst difference of a row, and the batch in which it occurred.
#[derive(Debug, Clone)]
pub(super) struct Suspect {
    difference: Difference,
    /// The difference, for people.
    text: String,
    chunk: Vec<usize>,
    place: usize,
}

impl Suspect {
    /// Formats as `x is 1, not 2 in a batch of 7, 2e-5 of its scale`.
    pub(super) fn describe(&self) -> String {
        let part = match self.difference.relative() {
            relative if relative.is_finite() => format!(", {relative:.0e} of its scale"),
            _ => String::new(),
        };
        format!("{} in a batch of {}{part}", self.text, self.chunk.len())
    }
}

/// Scores all rows in batches of 2, 7 and 64 and reversed, and compares them with rows alone.
///
/// # Errors
/// A result that depends on other rows, or on the batch's size by more than rounding.
pub(super) fn check(
    model: &mut Model,
    stop: &Stop,
    good: &InputBatch,
    judge: &Judge,
    tolerance: Tolerance,
    causes: &Causes,
) -> Result<Rounding, Problem> {
    let forwards: Vec<usize> = (0..good.rows).collect();
    let backwards: Vec<usize> = forwards.iter().rev().copied().collect();
    let orders = BATCHES
        .iter()
        .map(|size| (*size, &forwards))
        .chain([(64, &backwards)]);
    let outputs = model.signature().outputs.iter();
    let widths: Vec<usize> = outputs.map(Output::width).collect();
    let mut rounding = Rounding {
        moved: vec![Vec::new(); widths.len()],
        worst: None,
    };
    let refused = |found: &Difference| found.relative() > ROUNDING && found.exceeds(tolerance);
    let order_of = |found: &Difference| (refused(found), found.relative());
    let worse = |a: &Difference, b: &Difference| {
        let ((a, by), (b, than)) = (order_of(a), order_of(b));
        a.cmp(&b).then(by.total_cmp(&than))
    };
    // The worst of each order: checking one costs two more batches.
    let mut suspects: Vec<Suspect> = Vec::new();
    for (size, order) in orders {
        let mut of_order: Vec<Suspect> = Vec::new();
        for chunk in order.chunks(size) {
            let answers = answer(model, stop, good, chunk)?;
            for (place, row) in chunk.iter().enumerate() {
                let (got, alone) = ((&answers, place), (judge.alone, *row));
                let differences = judge.differences(got, alone, *row);
                for found in differences.iter().filter(|found| found.amount.is_finite()) {
                    let moved = &mut rounding.moved[found.output];
                    moved.resize(widths[found.output], 0.0);
                    moved[found.column] = moved[found.column].max(found.amount);
                }
                let worst = differences.into_iter().max_by(worse);
                of_order.extend(worst.map(|difference| Suspect {
                    difference,
                    text: judge.text(&difference, got, alone),
                    chunk: chunk.to_vec(),
                    place,
                }));
            }
        }
        suspects.extend(
            of_order
                .into_iter()
                .max_by(|a, b| worse(&a.difference, &b.difference)),
        );
    }
    for suspect in &suspects {
        if reads_neighbours(model, stop, good, judge, suspect)? {
            return Err(depends(suspect, causes));
        }
    }
    suspects.sort_by(|a, b| worse(&b.difference, &a.difference));
    if let Some(worst) = suspects.first().filter(|worst| refused(&worst.difference)) {
        return Err(varies(worst, causes));
    }
    // Large terms cancel in random rows, but rarely in rows of the training data.
    let is_told = |suspect: &Suspect| {
        suspect.chunk[suspect.place] < judge.golden
            || suspect.difference.exceeds(Tolerance::default())
    };
    rounding.worst = suspects.into_iter().find(is_told);
    Ok(rounding)
}

fn answer(
    model: &mut Model,
    stop: &Stop,
    good: &InputBatch,
    rows: &[usize],
) -> Result<OutputBatch, Problem> {
    let batch = select(good, &model.signature().inputs, rows);
    model.run(&batch, stop).map_err(|error| match error {
        RunError::Refused(reason) => together(rows.len(), &reason),
        error => misbehaved(&error),
    })
}

/// Returns whether the row's result differs at the same place of a batch of the same size, among
/// copies of itself.
fn reads_neighbours(
    model: &mut Model,
    stop: &Stop,
    good: &InputBatch,
    judge: &Judge,
    suspect: &Suspect,
) -> Result<bool, Problem> {
    let Suspect { chunk, place, .. } = suspect;
    let row = chunk[*place];
    let among_others = answer(model, stop, good, chunk)?;
    let among_copies = answer(model, stop, good, &vec![row; chunk.len()])?;
    let differences = judge.differences((&among_copies, *place), (&among_others, *place), row);
    let usual = Tolerance::default();
    Ok(differences.iter().any(|found| found.exceeds(usual)))
}

fn depends(suspect: &Suspect, causes: &Causes) -> Problem {
    let (what, rows) = (&suspect.text, suspect.chunk.len());
    let problem = Problem::new(
        "model.depends_on_neighbours",
        format!("a row's result depends on its neighbours: {what} in a batch of {rows}"),
    );
    match &causes.of_batch {
        Some(cause) => problem.at(cause.node.clone()).help(cause.remedy()),
        None => problem.help("look for operators that mix rows (axis 0), layers in training mode, dynamic quantisation; the graph shows no obvious cause"),
    }
}

fn varies(suspect: &Suspect, causes: &Causes) -> Problem {
    Problem::new(
        "model.depends_on_batch_size",
        format!(
            "a row's result depends on the size of its batch: {}",
            suspect.describe()
        ),
    )
    .help(format!(
        "{}; or accept it with --rtol and --atol. The model does not read other rows: it amplifies float32 rounding (large terms that cancel, splits of trees)",
        causes.rounding_remedy()
    ))
}
