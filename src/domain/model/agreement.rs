//! Compares stored predictions with recomputed ones.

use half::f16;

use super::{
    tensor::Element,
    tolerance::{Tolerance, neighbours},
};
use crate::{
    codec::{
        cells::CellBuffer,
        cql_type::CqlType,
        wire::{Parts, part_type},
    },
    domain::{
        job::{CompiledVersion, OutputCell, OutputColumn, postprocess::Postprocess},
        model::Output,
    },
};

/// Returns the output columns (indices) in which `stored` differs from `recomputed`, both in the
/// table's order.
///
/// Numbers are equal within `tolerance` and the rounding that admission observed; the recomputed
/// value is the reference. All other values must be identical, except that a label may differ if
/// `tied`, called with its output, returns that the scores that decide it are too close to call.
pub fn differing<'a>(
    version: &CompiledVersion,
    columns: &[OutputColumn],
    tolerance: Tolerance,
    stored: impl Iterator<Item = Option<&'a [u8]>>,
    recomputed: impl Iterator<Item = Option<&'a [u8]>>,
    tied: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let outputs = columns.iter().zip(&version.outputs);
    outputs
        .zip(stored.zip(recomputed))
        .enumerate()
        .filter(|(_, ((column, output), (stored, recomputed)))| {
            let compare = Compare::new(version, output.as_ref(), tolerance);
            let same = match (stored, recomputed) {
                (Some(stored), Some(recomputed)) => {
                    compare.same(&column.cql_type, 0, stored, recomputed)
                        || compare.label().is_some_and(&tied)
                }
                (None, None) => true,
                _ => false,
            };
            !same
        })
        .map(|(at, _)| at)
        .collect()
}

/// Returns whether rounding alone explains how `stored` differs. `observed` are output cells of the
/// same row, scored in batches of several sizes. A number may lie outside their range by four times
/// its width; every other value must be one of them.
pub fn is_rounding<'a>(
    version: &CompiledVersion,
    columns: &[OutputColumn],
    tolerance: Tolerance,
    stored: impl Iterator<Item = Option<&'a [u8]>>,
    observed: &CellBuffer,
) -> bool {
    let outputs = columns.iter().zip(&version.outputs).zip(stored);
    outputs.enumerate().all(|(at, ((column, output), stored))| {
        let compare = Compare::new(version, output.as_ref(), tolerance);
        let observed: Option<Vec<&[u8]>> = (0..observed.rows())
            .map(|row| observed.cell(row, at))
            .collect();
        match (stored, observed) {
            (Some(stored), Some(observed)) => {
                compare.may_be(&column.cql_type, 0, stored, &observed)
            }
            (None, None) => true,
            _ => false,
        }
    })
}

/// Comparison rules of one output column.
struct Compare<'a> {
    cell: Option<&'a OutputCell>,
    output: Option<&'a Output>,
    tolerance: Tolerance,
}

impl<'a> Compare<'a> {
    fn new(
        version: &'a CompiledVersion,
        cell: Option<&'a OutputCell>,
        tolerance: Tolerance,
    ) -> Self {
        let outputs = &version.ready.admitted.signature.outputs;
        Self {
            cell,
            output: cell.and_then(|cell| outputs.get(cell.output)),
            tolerance,
        }
    }

    /// Returns the output if it is a label: one value that is not a float.
    fn label(&self) -> Option<usize> {
        let (cell, output) = (self.cell?, self.output?);
        let float = matches!(
            output.element,
            Element::Float16 | Element::Float | Element::Double
        );
        (!float && cell.width == 1).then_some(cell.output)
    }

    /// `place`: index of the value within the cell.
    fn same(&self, cql_type: &CqlType, place: usize, stored: &[u8], recomputed: &[u8]) -> bool {
        if stored == recomputed {
            return true;
        }
        if let (Some(stored), Some(recomputed)) =
            (number(cql_type, stored), number(cql_type, recomputed))
        {
            return self.close(place, stored, recomputed);
        }
        match cql_type.thawed() {
            vector @ CqlType::Vector(..) => self.same_parts(vector, stored, recomputed),
            _ => false,
        }
    }

    fn may_be(&self, cql_type: &CqlType, place: usize, stored: &[u8], observed: &[&[u8]]) -> bool {
        let same = |observed: &&[u8]| self.same(cql_type, place, stored, observed);
        if observed.iter().any(same) {
            return true;
        }
        if let Some(stored) = number(cql_type, stored) {
            let values: Option<Vec<f64>> =
                observed.iter().map(|cell| number(cql_type, cell)).collect();
            let Some(values) = values else { return false };
            let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let margin = 4.0 * (highest - lowest);
            return stored >= lowest - margin && stored <= highest + margin;
        }
        let vector @ CqlType::Vector(..) = cql_type.thawed() else {
            return false;
        };
        let (Some(stored), Some(inner)) = (parts(vector, stored), part_type(vector, 0)) else {
            return false;
        };
        let observed: Option<Vec<_>> = observed.iter().map(|cell| parts(vector, cell)).collect();
        observed.is_some_and(|observed| {
            stored.iter().enumerate().all(|(place, stored)| {
                let values: Option<Vec<&[u8]>> = observed
                    .iter()
                    .map(|parts| parts.get(place).copied())
                    .collect();
                values.is_some_and(|values| self.may_be(inner, place, stored, &values))
            })
        })
    }

    fn close(&self, place: usize, stored: f64, recomputed: f64) -> bool {
        let pair = self.cell.zip(self.output);
        let rounding = pair.map_or(0.0, |(cell, output)| cell.rounding(output, place));
        let half = pair.is_some_and(|(cell, output)| {
            output.element == Element::Float16 && cell.postprocess == Postprocess::Nothing
        });
        self.tolerance.close_within(stored, recomputed, rounding)
            || (half && neighbours(f16::from_f64(stored), f16::from_f64(recomputed)))
    }

    fn same_parts(&self, cql_type: &CqlType, stored: &[u8], recomputed: &[u8]) -> bool {
        let (Some(stored), Some(recomputed)) =
            (parts(cql_type, stored), parts(cql_type, recomputed))
        else {
            return false;
        };
        let Some(inner) = part_type(cql_type, 0) else {
            return false;
        };
        let mut pairs = stored.iter().zip(&recomputed).enumerate();
        stored.len() == recomputed.len()
            && pairs
                .all(|(place, (stored, recomputed))| self.same(inner, place, stored, recomputed))
    }
}

/// Returns a vector's elements, or `None` if the cell does not hold a vector.
fn parts<'c>(cql_type: &'c CqlType, cell: &'c [u8]) -> Option<Vec<&'c [u8]>> {
    let mut parts = Parts::open(cql_type, cell)?.ok()?;
    let all: Option<Vec<_>> = parts.by_ref().map(|part| part.ok().flatten()).collect();
    all.filter(|_| parts.is_exhausted())
}

/// Returns the number in a float or double cell.
fn number(cql_type: &CqlType, cell: &[u8]) -> Option<f64> {
    match cql_type.thawed() {
        CqlType::Float => Some(f32::from_be_bytes(cell.try_into().ok()?).into()),
        CqlType::Double => Some(f64::from_be_bytes(cell.try_into().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixture;

    /// label int64 as text, probabilities float[2] as a float and as a vector, half float16.
    fn version() -> CompiledVersion {
        let mut version = fixture::version();
        version.ready.admitted.signature.outputs = vec![
            fixture::output("label", Element::Int64, &[]),
            fixture::output("probabilities", Element::Float, &[2]),
            fixture::output("half", Element::Float16, &[]),
        ];
        let cell = |output, width| {
            Some(OutputCell {
                output,
                offset: 0,
                width,
                rename: None,
                similarity: None,
                postprocess: Postprocess::Nothing,
            })
        };
        version.outputs = vec![cell(0, 1), cell(1, 1), cell(1, 2), cell(2, 1), None];
        version
    }

    fn columns() -> Vec<OutputColumn> {
        let types = ["text", "float", "vector<float, 2>", "float", "float"];
        let column = |cql_type: &&str| OutputColumn {
            name: "c".into(),
            cql_type: CqlType::parse(cql_type).unwrap(),
            index: None,
            classes: Vec::new(),
        };
        types.iter().map(column).collect()
    }

    fn cells(label: &str, p: f32, vector: [f32; 2], half: f32) -> Vec<Option<Vec<u8>>> {
        vec![
            Some(label.as_bytes().to_vec()),
            Some(p.to_be_bytes().to_vec()),
            Some(vector.map(f32::to_be_bytes).concat()),
            Some(half.to_be_bytes().to_vec()),
            None,
        ]
    }

    fn differing_in(
        stored: &[Option<Vec<u8>>],
        recomputed: &[Option<Vec<u8>>],
        tied: bool,
    ) -> Vec<usize> {
        super::differing(
            &version(),
            &columns(),
            Tolerance::default(),
            stored.iter().map(Option::as_deref),
            recomputed.iter().map(Option::as_deref),
            |_| tied,
        )
    }

    #[test]
    fn numbers_within_the_tolerance_are_the_same() {
        let stored = cells("a", 0.300_002, [0.3, 0.7], 0.5);
        assert!(differing_in(&stored, &cells("a", 0.3, [0.3, 0.700_005], 0.5), false).is_empty());
        let far = cells("a", 0.300_01, [0.3, 0.700_05], 0.5);
        assert_eq!(differing_in(&stored, &far, false), [1, 2]);
    }

    #[test]
    fn a_label_may_differ_where_its_scores_tie_and_a_number_may_not() {
        let stored = cells("a", 0.5, [0.5, 0.5], 0.5);
        let other = cells("b", 0.5, [0.5, 0.5], 0.5);
        assert_eq!(differing_in(&stored, &other, false), [0]);
        assert!(differing_in(&stored, &other, true).is_empty());
        let other = cells("b", 0.6, [0.5, 0.5], 0.5);
        assert_eq!(differing_in(&stored, &other, true), [1]);
    }

    #[test]
    fn halves_may_be_neighbours_and_floats_may_not() {
        let next = f16::from_bits(f16::from_f32(0.5).to_bits() + 1).to_f32();
        let stored = cells("a", 0.5, [0.5, 0.5], 0.5);
        assert!(differing_in(&stored, &cells("a", 0.5, [0.5, 0.5], next), false).is_empty());
        assert_eq!(
            differing_in(&stored, &cells("a", next, [0.5, 0.5], 0.5), false),
            [1]
        );
    }

    #[test]
    fn what_admission_saw_of_rounding_is_no_difference() {
        let mut noisy = version();
        noisy.ready.admitted.signature.outputs[1].observed.rounding = vec![0.125, 0.125];
        let differing = |stored: &[Option<Vec<u8>>], recomputed: &[Option<Vec<u8>>]| {
            super::differing(
                &noisy,
                &columns(),
                Tolerance::default(),
                stored.iter().map(Option::as_deref),
                recomputed.iter().map(Option::as_deref),
                |_| false,
            )
        };
        let stored = cells("a", 5336.375, [5336.375, 7.0], 0.5);
        let other = cells("a", 5336.25, [5336.25, 7.25], 0.5);
        assert!(differing(&stored, &other).is_empty());
        let far = cells("a", 5337.25, [5336.25, 7.0], 0.5);
        assert_eq!(differing(&stored, &far), [1]);
    }

    #[test]
    fn a_row_that_rounds_otherwise_in_other_batches_is_no_difference_as_far_as_it_does() {
        let observed = |rows: &[[f32; 2]]| {
            let mut buffer = CellBuffer::new(5);
            for row in rows {
                let row = cells("a", row[0], *row, 0.5);
                row.iter().for_each(|cell| buffer.push(cell.as_deref()));
            }
            buffer
        };
        let is_rounding = |stored: &[Option<Vec<u8>>], seen: &[[f32; 2]]| {
            super::is_rounding(
                &version(),
                &columns(),
                Tolerance::default(),
                stored.iter().map(Option::as_deref),
                &observed(seen),
            )
        };
        let seen = [[0.125, 9.0], [0.25, 9.0]];
        assert!(is_rounding(&cells("a", 0.375, [0.25, 9.0], 0.5), &seen));
        assert!(!is_rounding(&cells("a", 1.0, [0.25, 9.0], 0.5), &seen));
        assert!(!is_rounding(&cells("a", 0.25, [0.25, 9.1], 0.5), &seen));
        assert!(!is_rounding(&cells("b", 0.25, [0.25, 9.0], 0.5), &seen));
        assert!(!is_rounding(
            &cells("a", 0.26, [0.25, 9.0], 0.5),
            &[[0.25, 9.0]]
        ));
    }

    #[test]
    fn null_is_only_null_and_a_value_of_another_size_is_no_value() {
        let stored = cells("a", 0.5, [0.5, 0.5], 0.5);
        let mut other = stored.clone();
        other[1] = None;
        other[2] = Some(vec![0; 4]);
        other[4] = Some(vec![0; 4]);
        assert_eq!(differing_in(&stored, &other, true), [1, 2, 4]);
        let nan = cells("a", f32::NAN, [f32::NAN, 0.0], 0.5);
        let other_nan = cells("a", -f32::NAN, [-f32::NAN, -0.0], 0.5);
        assert!(differing_in(&nan, &other_nan, false).is_empty());
    }
}
