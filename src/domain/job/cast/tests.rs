use proptest::prelude::*;

use super::*;
use crate::{
    codec::canonical::{NAN32, NAN64},
    domain::{job::TextRule, model::tensor::Element},
};

fn place(cql_type: &str, element: Element) -> Place {
    Place {
        feature: "f".into(),
        column: 0,
        width: 1,
        conversion: Conversion::Cell(Rule {
            element,
            cql_type: CqlType::parse(cql_type).unwrap(),
            cast: Cast::Exact,
            epoch: None,
            null: NullRule::Reject,
            pad: NullRule::Reject,
            text: TextRule::default(),
            reject_nonfinite: false,
        }),
    }
}

fn rule_of(place: &mut Place) -> &mut Rule {
    match &mut place.conversion {
        Conversion::Cell(rule) => rule,
        Conversion::Prepared(other) => panic!("{other:?}"),
    }
}

fn feed(place: &Place, cell: Option<&[u8]>) -> Result<TensorData, Fault> {
    let mut data = TensorData::new(place.conversion.element());
    place.append(cell, &mut data)?;
    assert_eq!(data.len(), place.width);
    Ok(data)
}

fn with(mut place: Place, change: impl FnOnce(&mut Rule)) -> Place {
    change(rule_of(&mut place));
    place
}

#[test]
fn integers_go_to_floats_only_while_exact() {
    for (element, limit) in [
        (Element::Float16, 1_i64 << 11),
        (Element::Float, 1 << 24),
        (Element::Double, 1 << 53),
    ] {
        let exact = place("bigint", element);
        for good in [limit - 1, limit, -limit] {
            let fed = feed(&exact, Some(&good.to_be_bytes())).unwrap();
            let back = match fed {
                TensorData::Float16(values) => values[0].to_f64(),
                TensorData::Float(values) => values[0].into(),
                TensorData::Double(values) => values[0],
                other => panic!("{other:?}"),
            };
            assert_eq!(back, good as f64);
        }
        for bad in [limit + 1, -limit - 1, limit + 2] {
            assert_eq!(
                feed(&exact, Some(&bad.to_be_bytes())),
                Err(Fault::Inexact(bad.into())),
                "{element:?}"
            );
            let lossy = with(exact.clone(), |rule| rule.cast = Cast::Lossy);
            assert!(feed(&lossy, Some(&bad.to_be_bytes())).is_ok());
        }
    }
    let lossy = with(place("int", Element::Float16), |rule| {
        rule.cast = Cast::Lossy;
    });
    assert_eq!(
        feed(&lossy, Some(&70_000_i32.to_be_bytes())),
        Err(Fault::Overflow("70000".into()))
    );
}

#[test]
fn integers_go_to_integers_only_within_range() {
    let narrow = place("bigint", Element::Int32);
    assert_eq!(
        feed(&narrow, Some(&(-7_i64).to_be_bytes())),
        Ok(TensorData::Int32(vec![-7]))
    );
    assert_eq!(
        feed(&narrow, Some(&(1_i64 << 31).to_be_bytes())),
        Err(Fault::Overflow("2147483648".into()))
    );
    assert_eq!(
        feed(&place("tinyint", Element::Int64), Some(&[0x80])),
        Ok(TensorData::Int64(vec![-128]))
    );
    assert_eq!(
        feed(&place("smallint", Element::Int64), Some(&[0xff, 0xfe])),
        Ok(TensorData::Int64(vec![-2]))
    );
}

#[test]
fn doubles_round_to_float_and_never_overflow_into_infinity() {
    let rule = place("double", Element::Float);
    assert_eq!(
        feed(&rule, Some(&0.1_f64.to_be_bytes())),
        Ok(TensorData::Float(vec![0.1]))
    );
    assert_eq!(
        feed(&rule, Some(&1e39_f64.to_be_bytes())),
        Err(Fault::Overflow(
            "1000000000000000000000000000000000000000".into()
        ))
    );
    assert_eq!(
        feed(&rule, Some(&f64::INFINITY.to_be_bytes())),
        Ok(TensorData::Float(vec![f32::INFINITY]))
    );
    let half = place("float", Element::Float16);
    assert_eq!(
        feed(&half, Some(&70_000_f32.to_be_bytes())),
        Err(Fault::Overflow("70000".into()))
    );
}

#[test]
fn a_stored_nan_is_a_value_and_all_nans_and_zeros_are_one() {
    let bits = |fed: Result<TensorData, Fault>| match fed.unwrap() {
        TensorData::Float(values) => u64::from(values[0].to_bits()),
        TensorData::Double(values) => values[0].to_bits(),
        other => panic!("{other:?}"),
    };
    let payload = f32::from_bits(0xffc0_1234).to_be_bytes();
    let rule = place("float", Element::Float);
    assert_eq!(
        bits(feed(&rule, Some(&payload))),
        u64::from(NAN32.to_bits())
    );
    assert_eq!(bits(feed(&rule, Some(&(-0.0_f32).to_be_bytes()))), 0);
    let wide = place("float", Element::Double);
    assert_eq!(bits(feed(&wide, Some(&payload))), NAN64.to_bits());
    // Rounding to zero keeps no sign either.
    let small = place("double", Element::Float);
    assert_eq!(bits(feed(&small, Some(&(-1e-300_f64).to_be_bytes()))), 0);
    let strict = with(rule, |rule| rule.reject_nonfinite = true);
    assert_eq!(feed(&strict, Some(&payload)), Err(Fault::NonFinite));
}

#[test]
fn null_follows_its_rule_and_an_empty_value_never_does() {
    let mut place = place("float", Element::Float);
    assert_eq!(feed(&place, None), Err(Fault::Null));
    assert_eq!(feed(&place, Some(&[])), Err(Fault::Empty));
    rule_of(&mut place).null = NullRule::Number(2.5);
    assert_eq!(feed(&place, None), Ok(TensorData::Float(vec![2.5])));
    assert_eq!(feed(&place, Some(&[])), Err(Fault::Empty));
    rule_of(&mut place).null = NullRule::Nan;
    assert!(matches!(feed(&place, None), Ok(TensorData::Float(v)) if v[0].is_nan()));
    let mut text = super::tests::place("text", Element::String);
    rule_of(&mut text).null = NullRule::Text("?".into());
    assert_eq!(feed(&text, None), Ok(TensorData::String(["?"].into())));
    assert_eq!(feed(&text, Some(&[])), Ok(TensorData::String([""].into())));
}

#[test]
fn text_is_raw_or_normalised() {
    let nfd = "  cafe\u{301} ";
    let mut place = place("text", Element::String);
    let mut fed = |rule| {
        rule_of(&mut place).text = rule;
        match feed(&place, Some(nfd.as_bytes())) {
            Ok(TensorData::String(values)) => values[0].to_owned(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(fed(TextRule::default()), nfd);
    assert_eq!(fed(rule("nfc")), "  caf\u{e9} ");
    assert_eq!(fed(rule("trim")), "cafe\u{301}");
    assert_eq!(fed(rule("trim+nfc")), "caf\u{e9}");
}

fn rule(name: &str) -> TextRule {
    let named = TextRule::ALL.iter().find(|(known, _)| *known == name);
    named.unwrap().1
}

#[test]
fn every_text_rule_has_its_own_name() {
    let names: std::collections::BTreeSet<_> =
        TextRule::ALL.iter().map(|(_, rule)| rule.name()).collect();
    assert_eq!(names.len(), TextRule::ALL.len());
    for (name, rule) in TextRule::ALL {
        let words = [
            ("trim", rule.trim),
            ("nfc", rule.nfc),
            ("lower", rule.lower),
        ];
        for (word, said) in words {
            assert_eq!(name.contains(word), said, "{name}");
        }
    }
}

/// The expected texts are Python 3.11's `str.lower()`.
#[test]
fn lower_case_is_that_of_python() {
    let mut place = place("text", Element::String);
    let mut fed = |name: &str, text: &str| {
        rule_of(&mut place).text = rule(name);
        match feed(&place, Some(text.as_bytes())) {
            Ok(TensorData::String(values)) => values[0].to_owned(),
            other => panic!("{other:?}"),
        }
    };
    for (text, lower) in [
        ("\u{d3}TIMO, Tr\u{e8}s", "\u{f3}timo, tr\u{e8}s"),
        ("STRASSE \u{1e9e}", "strasse \u{df}"),
        ("\u{130}stanbul", "i\u{307}stanbul"),
        // A sigma at the end of a word, and one within.
        (
            "\u{39f}\u{394}\u{39f}\u{3a3} \u{3a3}\u{391}",
            "\u{3bf}\u{3b4}\u{3bf}\u{3c2} \u{3c3}\u{3b1}",
        ),
        ("\u{13a0}\u{10a0}", "\u{ab70}\u{2d00}"),
        ("", ""),
    ] {
        assert_eq!(fed("lower", text), lower);
    }
    assert_eq!(fed("lower", "  CAFE\u{301} "), "  cafe\u{301} ");
    assert_eq!(fed("nfc+lower", "  CAFE\u{301} "), "  caf\u{e9} ");
    assert_eq!(fed("trim+lower", "  CAFE\u{301} "), "cafe\u{301}");
    assert_eq!(fed("trim+nfc+lower", "  CAFE\u{301} "), "caf\u{e9}");
}

#[test]
fn decimal_and_varint_round_to_nearest_when_cast() {
    let cast = |cql_type, element| with(place(cql_type, element), |rule| rule.cast = Cast::Float);
    let decimal = [&1_i32.to_be_bytes()[..], &[1]].concat();
    assert_eq!(
        feed(&cast("decimal", Element::Double), Some(&decimal)),
        Ok(TensorData::Double(vec![0.1]))
    );
    let huge = [&(-400_i32).to_be_bytes()[..], &[1]].concat();
    assert!(matches!(
        feed(&cast("decimal", Element::Double), Some(&huge)),
        Err(Fault::Overflow(_))
    ));
    assert_eq!(
        feed(&cast("varint", Element::Float), Some(&[1, 0, 0, 1])),
        Ok(TensorData::Float(vec![16_777_216.0]))
    );
    assert_eq!(
        feed(&cast("varint", Element::Int64), Some(&[0xff])),
        Ok(TensorData::Int64(vec![-1]))
    );
    assert!(matches!(
        feed(&cast("varint", Element::Double), Some(&[0x7f; 200])),
        Err(Fault::Overflow(_))
    ));
}

#[test]
fn times_become_whole_units_rounded_down() {
    let fed = |cql_type, epoch, bytes: &[u8]| {
        let place = with(place(cql_type, Element::Int64), |rule| {
            rule.epoch = Some(epoch);
        });
        match feed(&place, Some(bytes)) {
            Ok(TensorData::Int64(values)) => values[0],
            other => panic!("{other:?}"),
        }
    };
    let stamp = (-1_i64).to_be_bytes();
    assert_eq!(fed("timestamp", Epoch::Milliseconds, &stamp), -1);
    assert_eq!(fed("timestamp", Epoch::Seconds, &stamp), -1);
    assert_eq!(fed("timestamp", Epoch::Days, &stamp), -1);
    let date = ((1_u32 << 31) + 3).to_be_bytes();
    assert_eq!(fed("date", Epoch::Days, &date), 3);
    assert_eq!(fed("date", Epoch::Seconds, &date), 259_200);
    let time = 1_999_999_999_i64.to_be_bytes();
    assert_eq!(fed("time", Epoch::Seconds, &time), 1);
    assert_eq!(fed("time", Epoch::Milliseconds, &time), 1_999);
    let seconds = with(place("timestamp", Element::Float), |rule| {
        rule.epoch = Some(Epoch::Milliseconds);
    });
    assert_eq!(
        feed(&seconds, Some(&1_700_000_000_123_i64.to_be_bytes())),
        Err(Fault::Inexact(1_700_000_000_123))
    );
}

#[test]
fn vectors_and_lists_fill_their_places() {
    let wide = |cql_type, element| Place {
        width: 2,
        ..place(cql_type, element)
    };
    let floats: Vec<u8> = [1.5_f32, -0.0]
        .iter()
        .flat_map(|v| v.to_be_bytes())
        .collect();
    let vector = wide("vector<float, 2>", Element::Float);
    assert_eq!(
        feed(&vector, Some(&floats)),
        Ok(TensorData::Float(vec![1.5, 0.0]))
    );
    assert_eq!(
        feed(&wide("vector<float, 2>", Element::Double), Some(&floats)),
        Ok(TensorData::Double(vec![1.5, 0.0]))
    );
    assert_eq!(feed(&vector, Some(&floats[1..])), Err(Fault::Malformed));
    assert_eq!(feed(&vector, Some(&[])), Err(Fault::Empty));
    // Cassandra puts a length before each element of a vector of smallints.
    assert_eq!(
        feed(
            &wide("vector<smallint, 2>", Element::Int32),
            Some(&[2, 0, 1, 2, 0xff, 0xff])
        ),
        Ok(TensorData::Int32(vec![1, -1]))
    );
    let list = wide("frozen<list<double>>", Element::Float);
    let element = |value: f64| [&[0, 0, 0, 8][..], &value.to_be_bytes()].concat();
    let two = [&[0, 0, 0, 2][..], &element(0.5), &element(2.0)].concat();
    assert_eq!(
        feed(&list, Some(&two)),
        Ok(TensorData::Float(vec![0.5, 2.0]))
    );
    let one = [&[0, 0, 0, 1][..], &element(0.5)].concat();
    assert_eq!(
        feed(&list, Some(&one)),
        Err(Fault::Width { got: 1, want: 2 })
    );
    let padded = with(list.clone(), |rule| rule.pad = NullRule::Number(-1.0));
    for (cell, values) in [(&two, [0.5, 2.0]), (&one, [0.5, -1.0])] {
        let fed = feed(&padded, Some(cell));
        assert_eq!(fed, Ok(TensorData::Float(values.to_vec())));
    }
    let empty = feed(&padded, Some(&[0; 4]));
    assert_eq!(empty, Ok(TensorData::Float(vec![-1.0, -1.0])));
    let three = [
        &[0, 0, 0, 3][..],
        &element(0.5),
        &element(2.0),
        &element(1.0),
    ]
    .concat();
    let longer = feed(&padded, Some(&three));
    assert_eq!(longer, Err(Fault::Width { got: 3, want: 2 }));
    assert_eq!(feed(&padded, None), Err(Fault::Null));
    let texts = with(wide("list<text>", Element::String), |rule| {
        rule.pad = NullRule::Text("[PAD]".into());
        rule.text.lower = true;
    });
    let text = [&[0, 0, 0, 1, 0, 0, 0, 2][..], b"Ab"].concat();
    assert_eq!(
        feed(&texts, Some(&text)),
        Ok(TensorData::String(["ab", "[PAD]"].into()))
    );
    let hole = [&[0, 0, 0, 2][..], &element(0.5), &[0xff; 4]].concat();
    assert_eq!(feed(&list, Some(&hole)), Err(Fault::NullElement));
    let filled = with(vector, |rule| rule.null = NullRule::Number(9.0));
    assert_eq!(feed(&filled, None), Ok(TensorData::Float(vec![9.0, 9.0])));
}

#[test]
fn truth_becomes_one_and_zero() {
    assert_eq!(
        feed(&place("boolean", Element::Float), Some(&[1])),
        Ok(TensorData::Float(vec![1.0]))
    );
    assert_eq!(
        feed(&place("boolean", Element::Bool), Some(&[0])),
        Ok(TensorData::Bool(vec![false]))
    );
    assert_eq!(
        feed(&place("boolean", Element::String), Some(&[0])),
        Err(Fault::Unsupported)
    );
}

proptest! {
    #[test]
    fn no_bytes_make_a_cast_panic(
        kind in 0..18_usize, target in 0..7_usize, lossy: bool, bytes: Option<Vec<u8>>
    ) {
        let cql_type = [
            "tinyint", "smallint", "int", "bigint", "varint", "decimal", "float", "double",
            "boolean", "text", "timestamp", "date", "time", "uuid", "vector<float, 2>",
            "vector<smallint, 2>", "frozen<list<int>>", "frozen<list<decimal>>",
        ][kind];
        let element = [
            Element::Float16, Element::Float, Element::Double, Element::Int32, Element::Int64,
            Element::Bool, Element::String,
        ][target];
        let mut place = with(place(cql_type, element), |rule| {
            rule.epoch = Some(Epoch::Days);
            rule.cast = if lossy { Cast::Lossy } else { Cast::Exact };
        });
        if kind > 13 {
            place.width = 2;
        }
        let mut data = TensorData::new(element);
        if place.append(bytes.as_deref(), &mut data).is_ok() {
            prop_assert_eq!(data.len(), place.width);
        }
    }

    #[test]
    fn what_is_exact_comes_back(number: i64) {
        let rule = place("bigint", Element::Double);
        if let Ok(TensorData::Double(values)) = feed(&rule, Some(&number.to_be_bytes())) {
            prop_assert_eq!(values[0] as i64, number);
        } else {
            prop_assert!(number.unsigned_abs() > 1 << 53);
        }
    }
}
