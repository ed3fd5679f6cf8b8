use super::{warning::OutputWarning, *};

fn columns() -> Vec<OutputColumn> {
    [("label", CqlType::Text), ("p_yes", CqlType::Float)]
        .map(|(name, cql_type)| OutputColumn {
            name: name.to_owned(),
            cql_type,
            index: None,
            classes: Vec::new(),
        })
        .to_vec()
}

fn statistics(rows: impl IntoIterator<Item = (&'static str, f32)>) -> OutputStatistics {
    accumulated(rows).into_statistics(&columns())
}

fn accumulated(rows: impl IntoIterator<Item = (&'static str, f32)>) -> OutputAccumulator {
    let mut statistics = OutputAccumulator::default();
    let mut cells = CellBuffer::new(2);
    for (label, score) in rows {
        cells.clear();
        cells.push(Some(label.as_bytes()));
        cells.push(Some(&score.to_be_bytes()));
        statistics.add_row(&columns(), &cells, 0);
    }
    statistics
}

#[test]
fn merged_parts_equal_one_pass_even_through_serialisation() {
    let rows: Vec<_> = (0..1_000)
        .map(|i| {
            (
                if i % 3 == 0 { "yes" } else { "no" },
                (i % 100) as f32 / 100.0,
            )
        })
        .collect();
    let whole = statistics(rows.clone());
    let mut merged = OutputStatistics::default();
    for part in rows.chunks(77) {
        let part = statistics(part.iter().copied());
        let config = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec(&part, config).unwrap();
        let (part, _) = bincode::serde::decode_from_slice(&bytes, config).unwrap();
        merged.merge(&part);
    }
    let (mut merged, mut whole) = (merged.to_json(), whole.to_json());
    let means = [&mut merged, &mut whole].map(|json| json["p_yes"]["mean"].take());
    assert_eq!(merged, whole);
    assert!((means[0].as_f64().unwrap() - means[1].as_f64().unwrap()).abs() < 1e-12);
    assert_eq!(merged["p_yes"]["distinct"], 100);
    assert_eq!(merged["label"]["labels"]["yes"], 334);
}

#[test]
fn a_constant_output_over_more_than_100_rows_is_a_warning() {
    assert!(
        statistics((0..100).map(|_| ("a", 0.5)))
            .warnings(1, None)
            .is_empty()
    );
    let warnings = statistics((0..101).map(|_| ("a", 0.5))).warnings(1, None);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let read: Vec<_> = warnings
        .iter()
        .map(|text| OutputWarning::parse(text).unwrap())
        .collect();
    assert!(
        read.iter()
            .all(|warning| warning.is_constant && warning.version == 1)
    );
    assert_eq!([read[0].column, read[1].column], ["label", "p_yes"]);
}

#[test]
fn a_label_share_that_moved_by_more_than_20_points_is_a_warning() {
    let rows = |yes: usize| (0..1_000).map(move |i| (if i < yes { "yes" } else { "no" }, i as f32));
    let before = statistics(rows(300)).to_json();
    assert!(statistics(rows(490)).warnings(1, Some(&before)).is_empty());
    let warnings = statistics(rows(510)).warnings(1, Some(&before));
    assert_eq!(warnings.len(), 2);
    let moved = OutputWarning::parse(&warnings[0]).unwrap();
    assert!(!moved.is_constant && moved.column == "label");
}

#[test]
fn accumulators_of_parts_merge_to_the_statistics_of_the_whole() {
    let rows: Vec<_> = (0..100)
        .map(|i| (if i < 10 { "no" } else { "yes" }, (i % 7) as f32))
        .collect();
    let mut merged = OutputAccumulator::default();
    for part in rows.chunks(33) {
        merged.merge(accumulated(part.iter().copied()));
    }
    let merged = merged.into_statistics(&columns()).to_json();
    assert_eq!(merged, statistics(rows).to_json());
}

#[test]
fn a_column_without_a_value_has_no_statistics() {
    let mut accumulator = OutputAccumulator::default();
    let mut cells = CellBuffer::new(2);
    cells.push(None);
    cells.push(Some(&0.5_f32.to_be_bytes()));
    accumulator.add_row(&columns(), &cells, 0);
    let statistics = accumulator.into_statistics(&columns()).to_json();
    assert!(statistics.get("label").is_none());
    assert_eq!(statistics["p_yes"]["count"], 1);
}
