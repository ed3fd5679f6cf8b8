//! Numbers against those of scipy and NumPy (`tests/data/drift/README.md` says how they were made),
//! and the verdicts.

mod trials;

use super::{
    bins::quantile_edges,
    chance::ChiSquare,
    distance::{jensen_shannon, kolmogorov_smirnov, largest_difference, psi, wasserstein},
    *,
};
use crate::domain::csv;

const TOLERANCE: f64 = 1e-9;

#[track_caller]
fn close(found: f64, wanted: f64, what: &str) {
    // The reference has twelve significant digits.
    let tolerance = TOLERANCE * wanted.abs().max(1e-3);
    assert!(
        (found - wanted).abs() <= tolerance,
        "{what}: {found}, not {wanted}"
    );
}

/// The distributions of two samples over the quantiles of the first.
fn binned(reference: &[f64], now: &[f64], bins: usize) -> [Distribution; 2] {
    let mut sorted = reference.to_vec();
    sorted.sort_by(f64::total_cmp);
    let bins = Bins::Ranges(quantile_edges(&sorted, bins));
    [reference, now].map(|values| counted(&bins, values))
}

fn counted(bins: &Bins, values: &[f64]) -> Distribution {
    let mut counter = Counter::new(Some(bins), false);
    values
        .iter()
        .for_each(|value| counter.add_number(Some(bins), *value));
    counter.into_distribution(Some(bins))
}

/// The Kolmogorov-Smirnov statistic and the Wasserstein distance over the reference's standard
/// deviation, from the values themselves.
fn exact(reference: &[f64], now: &[f64]) -> (f64, f64) {
    let mut all: Vec<(f64, bool)> = reference.iter().map(|value| (*value, true)).collect();
    all.extend(now.iter().map(|value| (*value, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (n, m) = (reference.len() as f64, now.len() as f64);
    let (mut difference, mut largest, mut distance) = (0.0_f64, 0.0_f64, 0.0);
    for (at, (value, is_reference)) in all.iter().enumerate() {
        difference += if *is_reference { 1.0 / n } else { -1.0 / m };
        let next = all.get(at + 1).map_or(*value, |next| next.0);
        if next > *value {
            largest = largest.max(difference.abs());
            distance += difference.abs() * (next - value);
        }
    }
    let mean = reference.iter().sum::<f64>() / n;
    let squares: f64 = reference.iter().map(|value| (value - mean).powi(2)).sum();
    (largest, distance / (squares / n).sqrt())
}

/// The columns of a file of numbers, by name.
fn columns(text: &str) -> Vec<(String, Vec<f64>)> {
    let reader = csv::Reader::new(text).unwrap();
    let mut columns: Vec<(String, Vec<f64>)> = reader
        .header
        .iter()
        .map(|name| (name.clone(), Vec::new()))
        .collect();
    for record in reader {
        for (column, field) in columns.iter_mut().zip(record.unwrap().fields) {
            let value = field.value.and_then(|value| value.parse().ok());
            column.1.push(value.unwrap_or(f64::NAN));
        }
    }
    columns
}

fn biopsies() -> Vec<(String, Vec<f64>)> {
    columns(include_str!(
        "../../../../models/breast_cancer_lgbm/data.csv"
    ))
}

#[test]
fn distances_of_the_biopsies_are_scipys() {
    let reference = include_str!("../../../../tests/data/drift/reference.csv");
    let biopsies = biopsies();
    let mut seen = 0;
    for record in csv::Reader::new(reference).unwrap() {
        let fields: Vec<String> = record
            .unwrap()
            .fields
            .into_iter()
            .filter_map(|field| field.value)
            .collect();
        let wanted: Vec<f64> = fields[1..]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let name = &fields[0];
        let (_, values) = biopsies.iter().find(|(known, _)| known == name).unwrap();
        let (before, after) = values.split_at(300);
        let [a, b] = binned(before, after, 10);
        let (ks, w1) = exact(before, after);
        close(ks, wanted[0], &format!("{name} ks"));
        close(psi(&a.cells, &b.cells), wanted[2], &format!("{name} psi"));
        close(
            jensen_shannon(&a.cells, &b.cells),
            wanted[3],
            &format!("{name} js"),
        );
        close(w1, wanted[4], &format!("{name} w1"));
        close(
            largest_difference(&a.cells, &b.cells),
            wanted[5],
            &format!("{name} linf"),
        );
        // From 20 bins, as runs have them.
        let [a, b] = binned(before, after, 20);
        let found = kolmogorov_smirnov(&a.cells, &b.cells);
        assert!(
            found <= ks + 1e-12 && ks - found < 0.021,
            "{name}: {found} {ks}"
        );
        let found = wasserstein(&a, &b).unwrap();
        assert!(found <= w1 + 1e-9, "{name}: {found} {w1}");
        assert!(w1 - found < 0.04, "{name}: {found} {w1}");
        seen += 1;
    }
    assert_eq!(seen, 30);
}

#[test]
fn distances_of_samples_with_ties_and_of_waves_are_scipys() {
    let a: (Vec<f64>, Vec<f64>) = (
        (1..=10).map(f64::from).collect(),
        (3..=12).map(f64::from).collect(),
    );
    let b = (
        vec![0.5, 1.5, 1.5, 2.0, 3.25, 4.0, 8.0],
        vec![0.5, 2.5, 2.5, 9.0, 9.0],
    );
    let waves = (
        (0..200).map(|i| f64::from(i).sin()).collect(),
        (0..150)
            .map(|i| (f64::from(i) + 0.5).sin() + 0.25)
            .collect(),
    );
    let wanted = [
        [0.2, 0.696310623823, 1.59989196247, 0.308993730105],
        [0.4, 0.814517543415, 4.89564193469, 0.513660346262],
        [
            0.233333333333,
            0.350540606893,
            1.63984065934,
            0.317611023189,
        ],
    ];
    for ((reference, now), wanted) in [a, b, waves].iter().zip(wanted) {
        let (ks, w1) = exact(reference, now);
        let [a, b] = binned(reference, now, 10);
        close(ks, wanted[0], "ks");
        close(w1, wanted[1], "w1");
        close(psi(&a.cells, &b.cells), wanted[2], "psi");
        close(jensen_shannon(&a.cells, &b.cells), wanted[3], "js");
    }
    let [first, second] = binned(
        &a_reference(),
        &(3..=12).map(f64::from).collect::<Vec<_>>(),
        10,
    );
    assert_eq!(first.cells, [1; 10]);
    assert_eq!(second.cells, [0, 0, 1, 1, 1, 1, 1, 1, 1, 3]);
}

fn a_reference() -> Vec<f64> {
    (1..=10).map(f64::from).collect()
}

#[test]
fn tables_of_categories_are_scipys() {
    // Counts; chi-square, its p, PSI, JS, L-infinity.
    let tables: [(&[u64], &[u64], [f64; 5]); 4] = [
        (
            &[50, 30, 20],
            &[40, 30, 30],
            [
                3.11111111111,
                0.2110720878,
                0.0628608659422,
                0.0884160628554,
                0.1,
            ],
        ),
        (
            &[500, 300, 0],
            &[450, 300, 50],
            [
                52.6315789474,
                3.725613895e-12,
                0.408300735172,
                0.149945316387,
                0.0625,
            ],
        ),
        (
            &[900, 100],
            &[850, 150],
            [
                11.4285714286,
                0.0007232327164,
                0.0231311760974,
                0.0536109192023,
                0.05,
            ],
        ),
        (
            &[100, 100, 100],
            &[150, 150, 0],
            [
                120.0,
                8.756510763e-27,
                2.83825322433,
                0.363736339563,
                1.0 / 3.0,
            ],
        ),
    ];
    for (a, b, [statistic, p, index, js, linf]) in tables {
        let test = ChiSquare::test(a, b);
        close(test.statistic, statistic, "chi-square");
        assert_eq!(test.degrees as usize, a.len() - 1);
        // Ten digits.
        assert!((test.p() / p - 1.0).abs() < TOLERANCE, "{} {p}", test.p());
        close(psi(a, b), index, "psi");
        close(jensen_shannon(a, b), js, "js");
        close(largest_difference(a, b), linf, "linf");
    }
}

#[test]
fn the_wasserstein_distance_of_heavy_tails_is_nearly_exact() {
    // A shift of a lognormal: bins' widths would give several times the distance.
    let wave = |at: u32| (f64::from(at) * 0.618_033_988_749_894_9).fract();
    let values: Vec<f64> = (1..20_000)
        .map(|at| (4.0 * wave(at)).exp().powf(1.5))
        .collect();
    let moved: Vec<f64> = values.iter().map(|value| value * 1.05).collect();
    let [a, b] = binned(&values, &moved, 20);
    let (_, w1) = exact(&values, &moved);
    let found = wasserstein(&a, &b).unwrap();
    assert!((found / w1 - 1.0).abs() < 0.01, "{found} {w1}");
}

fn pair<'a>([reference, now]: [&'a Distribution; 2]) -> Pair<'a> {
    Pair {
        reference,
        now,
        measure: Measure::Index,
        thresholds: Thresholds::default(),
    }
}

fn wave(rows: u32) -> Vec<f64> {
    (0..rows).map(|at| (f64::from(at) * 0.377).sin()).collect()
}

/// The verdict on values after `values`, both counted as a run counts them.
fn verdict_on(values: &[f64], now: &[Option<f64>]) -> Finding {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let bins = Bins::of_numbers(&sorted);
    let reference = counted(&bins, values);
    let mut counter = Counter::new(Some(&bins), false);
    for value in now {
        match value {
            Some(value) => counter.add_number(Some(&bins), *value),
            None => counter.add_null(),
        }
    }
    let now = counter.into_distribution(Some(&bins));
    judge(&[pair([&reference, &now])]).remove(0)
}

#[test]
fn verdicts_name_what_happened() {
    let values = wave(1_000);
    let now =
        |of: fn(f64) -> Option<f64>| values.iter().map(|value| of(*value)).collect::<Vec<_>>();
    let verdict = |now: &[Option<f64>]| {
        let finding = verdict_on(&values, now);
        (finding.verdict, finding.cause)
    };
    use DriftVerdict::{AllNull, Constant, Drifted, Stable, TooFew};
    assert_eq!(verdict(&now(Some)), (Stable, Some(Cause::Shape)));
    assert_eq!(
        verdict(&now(|v| Some(v * 10.0))),
        (Drifted, Some(Cause::Shape))
    );
    assert_eq!(verdict(&now(|_| None)), (AllNull, None));
    assert_eq!(verdict(&now(|_| Some(0.5))), (Constant, Some(Cause::Shape)));
    let halved = now(|v| (v > 0.0).then_some(v.abs()));
    assert_eq!(verdict(&halved).0, Drifted);
    let gaps: Vec<_> = (0..1_000)
        .map(|at| (at % 10 > 0).then_some(values[at]))
        .collect();
    assert_eq!(verdict(&gaps), (Drifted, Some(Cause::Nulls)));
    let nan: Vec<_> = (0..1_000)
        .map(|at| Some(if at % 10 > 0 { values[at] } else { f64::NAN }))
        .collect();
    assert_eq!(verdict(&nan), (Drifted, Some(Cause::Nans)));
    assert_eq!(verdict(&now(Some)[..199]), (TooFew, None));
    // So few values that only their loss can be tested.
    let few: Vec<_> = (0..1_000)
        .map(|at| (at < 50).then_some(values[at]))
        .collect();
    assert_eq!(verdict(&few), (Drifted, Some(Cause::Nulls)));
}

#[test]
fn new_values_are_told_apart_from_moved_shares() {
    let values: Vec<f64> = (0..1_000).map(|at| f64::from(at % 4)).collect();
    let now = |of: fn(usize) -> f64| (0..1_000).map(|at| Some(of(at))).collect::<Vec<_>>();
    let verdict = |now: &[Option<f64>]| verdict_on(&values, now).verdict;
    assert_eq!(verdict(&now(|at| (at % 4) as f64)), DriftVerdict::Stable);
    assert_eq!(
        verdict(&now(|at| (at % 5) as f64)),
        DriftVerdict::NewCategory
    );
    assert_eq!(verdict(&now(|at| (at % 3) as f64)), DriftVerdict::Drifted);
    // One new value is not yet a change.
    let one = now(|at| if at == 7 { 9.0 } else { (at % 4) as f64 });
    let finding = verdict_on(&values, &one);
    assert_eq!(finding.verdict, DriftVerdict::Stable);
    assert_eq!(finding.new_share, Some(0.001));
}

#[test]
fn constants_that_always_were_are_stable_and_other_bins_are_not_compared() {
    let constant = vec![3.0; 500];
    let same: Vec<_> = constant.iter().copied().map(Some).collect();
    assert_eq!(verdict_on(&constant, &same).verdict, DriftVerdict::Stable);
    let other = vec![Some(4.0); 500];
    assert_eq!(
        verdict_on(&constant, &other).verdict,
        DriftVerdict::NewCategory
    );
    let a = counted(&Bins::Ranges(vec![0.0]), &wave(300));
    let b = counted(&Bins::Ranges(vec![0.1]), &wave(300));
    assert_eq!(
        judge(&[pair([&a, &b])])[0].verdict,
        DriftVerdict::NotComparable
    );
    let partial = Distribution {
        is_partial: true,
        ..a.clone()
    };
    let finding = judge(&[pair([&a, &partial])]).remove(0);
    assert_eq!(finding.verdict, DriftVerdict::Partial);
    assert_eq!(
        finding.psi,
        Some(0.0),
        "the distances are shown all the same"
    );
}

#[test]
fn rejected_rows_and_labels_are_judged_by_their_shares() {
    let verdict = |before: (u64, u64), now: (u64, u64)| {
        let before = Distribution::of_share(before.0, before.1);
        let now = Distribution::of_share(now.0, now.1);
        let pair = Pair {
            measure: Measure::Share,
            ..pair([&before, &now])
        };
        judge(&[pair])[0].verdict
    };
    assert_eq!(verdict((0, 1_000), (100, 1_000)), DriftVerdict::Drifted);
    assert_eq!(
        verdict((0, 1_000), (40, 1_000)),
        DriftVerdict::Stable,
        "too small"
    );
    assert_eq!(
        verdict((20, 300), (36, 300)),
        DriftVerdict::Stable,
        "may be chance"
    );
    assert_eq!(verdict((370, 1_000), (500, 1_000)), DriftVerdict::Drifted);
}

#[test]
fn verdicts_have_one_spelling_each() {
    for verdict in DriftVerdict::ALL {
        assert_eq!(DriftVerdict::parse(verdict.as_str()), Some(verdict));
    }
    assert_eq!(DriftVerdict::ALL.len(), 8);
    assert_eq!(DriftVerdict::parse("odd"), None);
}
