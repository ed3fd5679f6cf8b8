//! Compares golden rows with the model's results.

use half::f16;

use super::{
    causes::Causes,
    golden_verdict::{self, Differing, Off},
    judge,
    trial::Tried,
};
use crate::domain::{
    job::prepare::TokenPart,
    model::{
        Input, Signature,
        golden::{Expected, Golden},
        tensor::{Element, InputBatch, TensorData},
        tolerance::{self, Tolerance},
    },
    problem::Problem,
};

/// Minimum number of golden rows that detects every swapped pair of columns.
const ENOUGH: usize = 20;
const MAX_ROWS: usize = 1_000;
const MAX_PROBLEMS: usize = 10;

/// Returns their input tensors, at most 1,000 rows.
pub(super) fn inputs(
    golden: &mut Golden,
    signature: &Signature,
    features: &[String],
    warnings: &mut Vec<String>,
) -> Result<InputBatch, Vec<Problem>> {
    if golden.rows() > MAX_ROWS {
        warnings.push(format!(
            "golden_capped: only the first {MAX_ROWS} of {} golden rows were compared",
            golden.rows()
        ));
        golden.truncate(MAX_ROWS);
    }
    golden.inputs(&signature.inputs, features)
}

/// Compares every golden row with its expected outputs; golden rows were tried first.
pub(super) fn compare(
    golden: &Golden,
    signature: &Signature,
    tried: &Tried,
    tolerance: Tolerance,
    causes: &Causes,
) -> Result<(), Vec<Problem>> {
    let expected = golden.expected(&signature.outputs)?;
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for row in 0..golden.rows() {
        match &tried.rows[row] {
            Ok(answer) => {
                let held = Held {
                    golden,
                    signature,
                    tried,
                    tolerance,
                    row,
                    answer: *answer,
                };
                found.extend(expected.iter().filter_map(|column| held.differing(column)));
            }
            Err(why) => problems.push(
                Problem::new(
                    "golden.refused",
                    format!("the model refuses golden row {}: {why}", row + 1),
                )
                .at(format!("line {}", golden.line(row))),
            ),
        }
    }
    if problems.is_empty() && found.is_empty() {
        return Ok(());
    }
    problems.truncate(MAX_PROBLEMS);
    let shown = found
        .iter()
        .take(MAX_PROBLEMS - problems.len().min(MAX_PROBLEMS));
    problems.extend(shown.map(|differing| {
        Problem::new("golden.differs", differing.message.clone()).at(differing.place.clone())
    }));
    if !found.is_empty() {
        problems.push(golden_verdict::all(
            &found,
            golden.rows(),
            tolerance,
            causes,
        ));
    }
    Err(problems)
}

/// One golden row and its results.
struct Held<'a> {
    golden: &'a Golden,
    signature: &'a Signature,
    tried: &'a Tried,
    tolerance: Tolerance,
    row: usize,
    answer: usize,
}

impl Held<'_> {
    fn differing(&self, column: &Expected) -> Option<Differing> {
        let (tolerance, row) = (self.tolerance, self.row);
        let output = &self.signature.outputs[column.output];
        let got = &self.tried.answers.outputs[column.output];
        let at = self.answer * output.width() + column.offset;
        let (same, off) = match (tolerance::float(got, at), &column.values) {
            (Some(value), TensorData::Double(expected)) => {
                let rounding = output.rounding(column.offset);
                let close = tolerance.close_within(value, expected[row], rounding);
                let rounded = match got {
                    TensorData::Float16(values) => {
                        tolerance::neighbours(values[at], f16::from_f64(expected[row]))
                    }
                    _ => false,
                };
                let off = Off {
                    amount: (value - expected[row]).abs(),
                    scale: scale(expected),
                };
                (close || rounded, Some(off))
            }
            _ => {
                let tied = || {
                    let (signature, answers) = (self.signature, &self.tried.answers);
                    tolerance.label_ties(signature, column.output, answers, self.answer)
                };
                let same = tolerance.same(got, at, &column.values, row)
                    || tolerance::is_label(got, output.width()) && tied();
                (same, None)
            }
        };
        if same {
            return None;
        }
        let values = format!(
            "golden row {}, `{}`: got {}, expected {}",
            row + 1,
            column.header,
            judge::format_value(got, at),
            judge::format_value(&column.values, row),
        );
        Some(Differing {
            row,
            message: format!("{values} (tolerance {tolerance})"),
            values,
            place: self.golden.place(row, column.column),
            off,
        })
    }
}

/// Returns the typical magnitude of an output's expected values.
fn scale(expected: &[f64]) -> f64 {
    let finite = expected.iter().copied().filter(|value| value.is_finite());
    judge::root_mean_square(finite)
}

/// Returns whether a job fills the input with the content of one cell, which has no features that
/// could be out of order: pixels with rows and columns, or integers under the usual name of tokens or
/// bytes.
fn is_content(input: &Input) -> bool {
    let is_integer = matches!(input.element, Element::Int32 | Element::Int64);
    let is_usual = TokenPart::of_input(&input.name).is_some() || input.name == "bytes";
    input.dims.len() >= 3 || is_integer && is_usual
}

/// Returns warnings about what golden rows, or their absence, leave unproven.
pub(super) fn warnings(
    golden: Option<&Golden>,
    feature_names: &[String],
    signature: &Signature,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut wide = signature.inputs.iter().filter(|input| input.width() > 1);
    let wide = wide.find(|input| !is_content(input));
    if let Some(input) = wide
        && feature_names.is_empty()
    {
        warnings.push(format!(
            "order_unproven: the order of features in `{}` is unknown; give their names in order (--features FILE), or prove it with a job's `expect` (not needed where one column fills it: a vector, tokens, bytes)",
            input.name
        ));
    }
    match golden.map(Golden::rows) {
        None => warnings.push(
            "no_golden_rows: there is no evidence that this file predicts as trained; give 20 or more golden rows (--golden FILE)".to_owned(),
        ),
        Some(rows) if rows < ENOUGH => warnings.push(format!(
            "few_golden_rows: {rows} golden row(s) may miss swapped features; {ENOUGH} or more detect every pair"
        )),
        Some(_) => {}
    }
    warnings
}
