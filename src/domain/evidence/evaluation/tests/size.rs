//! Bytes that a part of a pass takes.

use super::*;

fn bytes(partial: &Partial) -> usize {
    let config = bincode::config::standard();
    bincode::serde::encode_to_vec(partial, config)
        .unwrap()
        .len()
}

/// A split of a pass in 256, every score another one.
#[test]
fn a_split_that_keeps_its_scores_takes_less_than_a_mebibyte() {
    let kind = Kind::Binary(Scores {
        scale: Scale::Probability,
        precision: Precision::Double,
        thresholds: vec![0.5],
    });
    let mut partial = Partial::within(vec![kind], room::of_a_split(256));
    let score = |row: u32| Predicted::Score(f64::from(row) / 50_000.0);
    for row in 0..49_152_u32 {
        let truth = Truth::Positive(row % 2 == 0);
        partial.add((row % 100) as u8, None, truth, &[score(row)]);
    }
    partial.settle();
    let exact = |partial: &Partial| {
        let measures = partial.all.versions[0].measures();
        measures["roc_auc"].bound.is_none()
    };
    assert!(
        exact(&partial) && bytes(&partial) < 1 << 20,
        "{}",
        bytes(&partial)
    );
    partial.add(0, None, Truth::Positive(true), &[score(49_999)]);
    partial.settle();
    assert!(
        !exact(&partial) && bytes(&partial) < 1 << 20,
        "{}",
        bytes(&partial)
    );
}

/// Every bin of every group filled, with counts that take three bytes.
#[test]
fn a_split_of_any_size_takes_less_than_four_mebibytes_a_version() {
    let kind = Kind::Binary(Scores {
        scale: Scale::Probability,
        precision: Precision::Single,
        thresholds: vec![0.5, 0.1, 0.9],
    });
    let mut partial = Partial::within(vec![kind], room::of_a_split(256));
    for bin in 0..4_096_u32 {
        let logit = (f64::from(bin) + 0.5) / 4_096.0 * 33.28 - 16.64;
        let p = 1.0 / (1.0 + (-logit).exp());
        for row in 0..200_u32 {
            let (group, positive) = ((row % 100) as u8, row >= 100);
            partial.add(
                group,
                None,
                Truth::Positive(positive),
                &[Predicted::Score(p)],
            );
        }
    }
    for _ in 0..6 {
        let twice = partial.clone();
        partial.merge(&twice);
    }
    // A row of `pass_parts` holds one mebibyte of it.
    assert!(bytes(&partial) < 4 << 20, "{} bytes", bytes(&partial));
}
