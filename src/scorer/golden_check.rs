//! Golden rows against what the model gave for them.

use half::f16;

use super::{judge, trial::Tried};
use crate::domain::{
    golden::{Expected, Golden},
    model::Signature,
    problem::Problem,
    tensor::{InputBatch, TensorData},
    tolerance::{self, Tolerance},
};

/// Fewer golden rows than this do not catch every swapped pair of columns.
const ENOUGH: usize = 20;
const MAX_ROWS: usize = 1_000;
const MAX_PROBLEMS: usize = 10;

/// Their input tensors; the first 1,000 rows are enough.
pub(super) fn inputs(
    golden: &mut Golden,
    signature: &Signature,
    features: &[String],
    warnings: &mut Vec<String>,
) -> Result<InputBatch, Vec<Problem>> {
    if golden.rows() > MAX_ROWS {
        warnings.push(format!(
            "golden_capped: the first {MAX_ROWS} of {} golden rows were compared",
            golden.rows()
        ));
        golden.truncate(MAX_ROWS);
    }
    golden.inputs(&signature.inputs, features)
}

/// Holds every golden row to what it expects; golden rows are the first that were tried.
pub(super) fn compare(
    golden: &Golden,
    signature: &Signature,
    tried: &Tried,
    tolerance: Tolerance,
) -> Result<(), Vec<Problem>> {
    let expected = golden.expected(&signature.outputs)?;
    let mut problems = Vec::new();
    let mut differing_rows = 0;
    for row in 0..golden.rows() {
        let answer = match &tried.rows[row] {
            Ok(answer) => *answer,
            Err(why) => {
                differing_rows += 1;
                problems.push(
                    Problem::new(
                        "golden.refused",
                        format!("golden row {} is refused: {why}", row + 1),
                    )
                    .at(format!("line {}", golden.line(row))),
                );
                continue;
            }
        };
        let before = problems.len();
        let found = expected.iter().filter_map(|column| {
            differing(golden, signature, tried, tolerance, column, row, answer)
        });
        problems.extend(found);
        differing_rows += usize::from(problems.len() > before);
    }
    if problems.is_empty() {
        return Ok(());
    }
    let all = problems.len();
    problems.truncate(MAX_PROBLEMS);
    problems.push(
        Problem::new("golden.differs", format!("{all} value(s) in {differing_rows} of {} golden rows differ", golden.rows()))
            .help("is the order of the features the training's? were the rows predicted by this very model? --rtol and --atol set the tolerance"),
    );
    Err(problems)
}

fn differing(
    golden: &Golden,
    signature: &Signature,
    tried: &Tried,
    tolerance: Tolerance,
    column: &Expected,
    row: usize,
    answer: usize,
) -> Option<Problem> {
    let output = &signature.outputs[column.output];
    let width = output.width();
    let got = &tried.answers.outputs[column.output];
    let at = answer * width + column.offset;
    let same = match (tolerance::float(got, at), &column.values) {
        (Some(value), TensorData::Double(expected)) => {
            let close = tolerance.close(value, expected[row]);
            let rounded = match got {
                TensorData::Float16(values) => {
                    tolerance::neighbours(values[at], f16::from_f64(expected[row]))
                }
                _ => false,
            };
            close || rounded
        }
        _ => {
            tolerance.same(got, at, &column.values, row)
                || tolerance::is_label(got, width)
                    && tolerance.scores_tie(signature, &tried.answers, answer)
        }
    };
    if same {
        return None;
    }
    let message = format!(
        "golden row {}, `{}`: got {}, expected {} (tolerance {tolerance})",
        row + 1,
        column.header,
        judge::shown(got, at),
        judge::shown(&column.values, row),
    );
    Some(Problem::new("golden.differs", message).at(golden.place(row, column.column)))
}

/// What golden rows, or their absence, leave unproven.
pub(super) fn warnings(
    golden: Option<&Golden>,
    feature_names: &[String],
    signature: &Signature,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let wide = signature.inputs.iter().find(|input| input.width() > 1);
    if let Some(input) = wide
        && feature_names.is_empty()
    {
        warnings.push(format!(
            "order_unproven: nothing says which feature stands where in `{}`; give the names in order (--features FILE), or let a job's `expect` prove it",
            input.name
        ));
    }
    match golden.map(Golden::rows) {
        None => warnings.push(
            "no_golden_rows: nothing shows that this file predicts what was trained; give 20 or more golden rows (--golden FILE)".to_owned(),
        ),
        Some(rows) if rows < ENOUGH => warnings.push(format!(
            "few_golden_rows: {rows} golden row(s) may miss swapped features; {ENOUGH} or more catch every pair"
        )),
        Some(_) => {}
    }
    warnings
}
