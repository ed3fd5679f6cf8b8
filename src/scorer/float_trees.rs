//! Warns about trees after float arithmetic, with evidence from golden rows.

use half::f16;

use super::{
    causes::FloatBeforeTrees,
    judge::Judge,
    session::{Model, RunError, Stop},
};
use crate::domain::model::tensor::{InputBatch, TensorData};

/// Rounding of a scaled value is a few units in the last place of the value.
const UNITS: usize = 2;
/// A result that moves by more than this share of its scale took another branch of a tree.
const JUMP: f64 = 1e-4;

/// Returns a warning about the model. Golden rows (the first ones of `good`) are also scored with
/// inputs that are moved by two units in the last place: if a result jumps, the row is at a split.
pub(super) fn warning(
    found: &FloatBeforeTrees,
    model: &mut Model,
    stop: &Stop,
    good: &InputBatch,
    judge: &Judge,
) -> String {
    let at_splits = match judge.golden {
        0 => String::new(),
        rows => match jumps(model, stop, good, judge) {
            Ok(0) => format!(
                " None of {rows} golden rows is at a split, which is weak evidence if they are training data: splits are between its values."
            ),
            Ok(jumps) => format!(
                " {jumps} of {rows} golden rows are at a split: their results change when their inputs move by {UNITS} units in the last place."
            ),
            Err(_) => String::new(),
        },
    };
    format!(
        "float_before_trees: {} computes in float32 before {}, but training computed in double; rows at a split of a tree may silently take the other branch.{at_splits} Export with double inputs and a CastTransformer(dtype=np.float32) between them (docs/models.md, Scalers before trees), and check it with 100 or more golden rows that are not training data",
        found.arithmetic, found.trees
    )
}

/// Returns the number of golden rows that jump.
fn jumps(
    model: &mut Model,
    stop: &Stop,
    good: &InputBatch,
    judge: &Judge,
) -> Result<usize, RunError> {
    let mut golden = good.clone();
    golden.truncate(judge.golden);
    let mut jumped = vec![false; golden.rows];
    for up in [true, false] {
        let mut moved = golden.clone();
        for _ in 0..UNITS {
            moved.inputs.iter_mut().for_each(|data| step(data, up));
        }
        let answers = model.run(&moved, stop)?;
        for (row, jumped) in jumped.iter_mut().enumerate() {
            let differences = judge.differences((&answers, row), (judge.alone, row), row);
            *jumped |= differences
                .iter()
                .any(|difference| difference.relative() > JUMP);
        }
    }
    Ok(jumped.into_iter().filter(|jumped| *jumped).count())
}

/// Moves every number to the next one.
fn step(data: &mut TensorData, up: bool) {
    match data {
        TensorData::Float(values) => values.iter_mut().for_each(|value| {
            *value = if up {
                value.next_up()
            } else {
                value.next_down()
            }
        }),
        TensorData::Float16(values) => values.iter_mut().for_each(|value| {
            let next = value
                .to_bits()
                .wrapping_add(if up == value.is_sign_positive() {
                    1
                } else {
                    u16::MAX
                });
            let next = f16::from_bits(next);
            if value.is_finite() && next.is_finite() && *value != f16::ZERO {
                *value = next;
            }
        }),
        // A double is first rounded to float, so its own units do not matter.
        _ => {}
    }
}
