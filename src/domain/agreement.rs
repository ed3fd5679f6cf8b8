//! Whether a stored prediction is what its model says today.

use half::f16;

use super::{
    cql_type::CqlType,
    job::{CompiledVersion, OutputCell, OutputColumn},
    tensor::Element,
    tolerance::{Tolerance, neighbours},
    wire::{Parts, part_type},
};

/// Output columns (indices) in which `stored` differs from `recomputed`, both in the table's order.
///
/// Numbers are equal as [`Tolerance`]'s default has it, stored values being what is looked at and
/// recomputed ones what they should be. Everything else is equal to itself only; but a label may
/// differ if `tied` says that its best scores do not tell which one it is.
pub fn differing<'a>(
    version: &CompiledVersion,
    columns: &[OutputColumn],
    stored: impl Iterator<Item = Option<&'a [u8]>>,
    recomputed: impl Iterator<Item = Option<&'a [u8]>>,
    tied: impl Fn() -> bool,
) -> Vec<usize> {
    let outputs = columns.iter().zip(&version.outputs);
    outputs
        .zip(stored.zip(recomputed))
        .enumerate()
        .filter(|(_, ((column, output), (stored, recomputed)))| {
            let element = output.as_ref().and_then(|output| element(version, output));
            let same = match (stored, recomputed) {
                (Some(stored), Some(recomputed)) => {
                    same(&column.cql_type, element, stored, recomputed)
                        || (is_label(output.as_ref(), element) && tied())
                }
                (None, None) => true,
                _ => false,
            };
            !same
        })
        .map(|(at, _)| at)
        .collect()
}

fn element(version: &CompiledVersion, output: &OutputCell) -> Option<Element> {
    let outputs = &version.ready.admitted.signature.outputs;
    outputs.get(output.output).map(|output| output.element)
}

/// One value that is no float: what a classifier decided.
fn is_label(output: Option<&OutputCell>, element: Option<Element>) -> bool {
    let float = matches!(
        element,
        None | Some(Element::Float16 | Element::Float | Element::Double)
    );
    !float && output.is_some_and(|output| output.width == 1)
}

fn same(cql_type: &CqlType, element: Option<Element>, stored: &[u8], recomputed: &[u8]) -> bool {
    if stored == recomputed {
        return true;
    }
    match cql_type.thawed() {
        CqlType::Float => match (stored.try_into(), recomputed.try_into()) {
            (Ok(stored), Ok(recomputed)) => same_floats(
                element,
                f32::from_be_bytes(stored),
                f32::from_be_bytes(recomputed),
            ),
            _ => false,
        },
        CqlType::Double => match (stored.try_into(), recomputed.try_into()) {
            (Ok(stored), Ok(recomputed)) => Tolerance::default()
                .close(f64::from_be_bytes(stored), f64::from_be_bytes(recomputed)),
            _ => false,
        },
        vector @ CqlType::Vector(..) => same_parts(vector, element, stored, recomputed),
        _ => false,
    }
}

fn same_floats(element: Option<Element>, stored: f32, recomputed: f32) -> bool {
    let halves = || neighbours(f16::from_f32(stored), f16::from_f32(recomputed));
    Tolerance::default().close(stored.into(), recomputed.into())
        || (element == Some(Element::Float16) && halves())
}

fn same_parts(
    cql_type: &CqlType,
    element: Option<Element>,
    stored: &[u8],
    recomputed: &[u8],
) -> bool {
    let (Some(Ok(mut stored)), Some(Ok(mut recomputed))) = (
        Parts::open(cql_type, stored),
        Parts::open(cql_type, recomputed),
    ) else {
        return false;
    };
    let Some(inner) = part_type(cql_type, 0) else {
        return false;
    };
    let pairs = stored.by_ref().zip(recomputed.by_ref());
    let mut equal = true;
    for pair in pairs {
        equal &= match pair {
            (Ok(Some(stored)), Ok(Some(recomputed))) => same(inner, element, stored, recomputed),
            _ => false,
        };
    }
    equal && stored.is_exhausted() && recomputed.is_exhausted()
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
            index: false,
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
            stored.iter().map(Option::as_deref),
            recomputed.iter().map(Option::as_deref),
            || tied,
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
