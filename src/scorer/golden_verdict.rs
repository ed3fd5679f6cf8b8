//! Interprets golden rows that differ: all, many or few of them, by much or by little.

use std::collections::BTreeSet;

use super::causes::Causes;
use crate::domain::{model::tolerance::Tolerance, problem::Problem};

/// Rounding to float32 moves a result by less than this share of its output's scale.
const ROUNDING: f64 = 1e-3;

/// A golden value that differs from the expected one.
pub(super) struct Differing {
    /// The golden row, from 0.
    pub(super) row: usize,
    /// The complete message.
    pub(super) message: String,
    /// The value with its result and expectation.
    pub(super) values: String,
    /// Its position in the file.
    pub(super) place: String,
    /// The difference, if it is a number.
    pub(super) off: Option<Off>,
}

/// A numeric difference.
pub(super) struct Off {
    /// Absolute difference.
    pub(super) amount: f64,
    /// Typical magnitude of the output.
    pub(super) scale: f64,
}

impl Differing {
    /// Returns the difference relative to the output's scale; infinite for labels and NaN.
    fn relative(&self) -> f64 {
        let relative = self.off.as_ref().map(|off| off.amount / off.scale);
        relative
            .filter(|relative| !relative.is_nan())
            .unwrap_or(f64::INFINITY)
    }

    /// Returns the same as a sort key, with NaN after all labels.
    fn order(&self) -> f64 {
        self.off.as_ref().map_or(0.0, |_| self.relative())
    }
}

/// Returns the summary: how many of `rows` golden rows differ, the worst of them, and the likely
/// cause.
pub(super) fn all(
    found: &[Differing],
    rows: usize,
    tolerance: Tolerance,
    causes: &Causes,
) -> Problem {
    let differing: BTreeSet<usize> = found.iter().map(|differing| differing.row).collect();
    let differing = differing.len();
    let worst = found
        .iter()
        .max_by(|a, b| a.order().total_cmp(&b.order()))
        .map_or(String::new(), |worst| {
            let part = match worst.relative() {
                relative if relative.is_finite() => {
                    format!(", off by {relative:.1e} of its scale")
                }
                _ => String::new(),
            };
            format!("; the worst is {}{part}", worst.values)
        });
    let share = match differing {
        all if all == rows => format!("all {rows}"),
        some => format!("{some} of {rows}"),
    };
    Problem::new(
        "golden.differs",
        format!(
            "{} value(s) differ in {share} golden rows{worst}",
            found.len()
        ),
    )
    .help(meaning(found, differing, rows, tolerance, causes))
}

fn meaning(
    found: &[Differing],
    differing: usize,
    rows: usize,
    tolerance: Tolerance,
    causes: &Causes,
) -> String {
    if found.iter().all(|one| one.relative() < ROUNDING) {
        let amounts = found.iter().filter_map(|one| one.off.as_ref());
        let largest = amounts.map(|off| off.amount).fold(tolerance.atol, f64::max);
        return format!(
            "every difference is below 1e-3 of its output's scale: float32 rounds, but training computed in double. {}, or accept it with --atol {}",
            capital(&causes.precision_remedy()),
            rounded_up(largest)
        );
    }
    // A share is meaningless for a handful of rows.
    if differing * 10 >= rows * 9 && rows > 1 {
        return "all rows, or nearly all: the features are in another order than in training, the expected values are another model's, or the exporter has a bug".to_owned();
    }
    if differing * 10 > rows {
        return "many rows, not all: one pair of features is swapped, or one part of the model is exported wrongly (missing values, categories, one branch); check what the differing rows have in common".to_owned();
    }
    match causes.has_trees {
        true => "few rows: their values are at a split of a tree, where training compared doubles but the file compares floats. Train on X.astype(np.float32), or, behind a scaler, export with double inputs and a CastTransformer(dtype=np.float32) before the trees (docs/models.md, Scalers before trees)".to_owned(),
        false => "few rows: check what is rare in them (missing values, unknown categories, empty texts, ties between classes) and how the exporter handles it".to_owned(),
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

/// Rounds up to one digit: 0.1875 to 2e-1.
fn rounded_up(value: f64) -> String {
    let exponent = value.log10().floor();
    format!("{}e{exponent}", (value / 10_f64.powf(exponent)).ceil())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off(row: usize, amount: f64) -> Differing {
        Differing {
            row,
            message: String::new(),
            values: format!("row {row}"),
            place: String::new(),
            off: Some(Off { amount, scale: 1e4 }),
        }
    }

    fn verdict(rows: &[usize], amount: f64, of: usize, causes: &Causes) -> (String, String) {
        let found: Vec<_> = rows.iter().map(|row| off(*row, amount)).collect();
        let problem = all(&found, of, Tolerance::default(), causes);
        (problem.message, problem.help.unwrap_or_default())
    }

    #[test]
    fn how_many_rows_differ_tells_what_is_wrong() {
        let plain = Causes::default();
        let trees = Causes {
            has_trees: true,
            ..Causes::default()
        };
        let every: Vec<usize> = (0..40).collect();
        let (message, help) = verdict(&every, 3e3, 40, &trees);
        assert!(message.contains("in all 40 golden rows"), "{message}");
        assert!(help.contains("another order"), "{help}");
        let (message, help) = verdict(&every[..20], 3e3, 40, &trees);
        assert!(message.contains("in 20 of 40 golden rows"), "{message}");
        assert!(help.contains("swapped"), "{help}");
        let (_, help) = verdict(&[7, 9], 30.0, 40, &trees);
        assert!(help.contains("split of a tree"), "{help}");
        let (_, help) = verdict(&[7, 9], 30.0, 40, &plain);
        assert!(help.contains("rare"), "{help}");
    }

    #[test]
    fn the_worst_row_is_named_with_its_part_of_the_scale() {
        let found = [off(1, 30.0), off(2, 4e3), off(3, 50.0)];
        let problem = all(&found, 100, Tolerance::default(), &Causes::default());
        assert!(
            problem
                .message
                .contains("the worst is row 2, off by 4.0e-1 of its scale"),
            "{}",
            problem.message
        );
    }

    #[test]
    fn rounding_is_told_as_such_with_a_tolerance_that_accepts_it() {
        let (_, help) = verdict(&[1, 2, 3], 0.1875, 3, &Causes::default());
        assert!(
            help.contains("float32 rounds") && help.contains("--atol 2e-1"),
            "{help}"
        );
    }
}
