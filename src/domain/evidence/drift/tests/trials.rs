//! Simulations with known truth: how often a run alarms without drift, and whether it finds what
//! was changed.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

const FEATURES: usize = 30;
/// Runs without drift.
const RUNS: u64 = 1_000;
/// Runs that share a reference.
const RUNS_EACH: u64 = 20;
/// Drawn of a run.
const ROWS: [usize; 5] = [200, 300, 400, 700, 1_500];
const REFERENCE_ROWS: [usize; 4] = [300, 1_000, 2_000, 5_000];

fn normal(random: &mut StdRng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// A value of a feature: 12 normal, 4 lognormal, 4 uniform, 4 counts, 2 flags, 4 with nulls.
fn draw(feature: usize, random: &mut StdRng) -> Option<f64> {
    Some(match feature {
        0..12 => normal(random) * (1.0 + feature as f64) + 50.0,
        12..16 => normal(random).exp() * 100.0,
        16..20 => random.random::<f64>(),
        20..24 => (normal(random).exp() * 2.0).floor(),
        24 => f64::from(u8::from(random.random::<f64>() < 0.3)),
        25 => f64::from(u8::from(random.random::<f64>() < 0.01)),
        _ => return (random.random::<f64>() > 0.1).then(|| normal(random)),
    })
}

const CITIES: [(&str, f64); 5] = [
    ("Lima", 0.4),
    ("Oslo", 0.3),
    ("Rome", 0.15),
    ("Pune", 0.1),
    ("Kiel", 0.05),
];

fn city(random: &mut StdRng) -> &'static str {
    let mut left = random.random::<f64>();
    for (city, share) in CITIES {
        left -= share;
        if left < 0.0 {
            return city;
        }
    }
    "Kiel"
}

/// Drawn as a model is given them, and what it said.
struct Drawn {
    numbers: Vec<Vec<Option<f64>>>,
    cities: Vec<&'static str>,
    positive: Vec<bool>,
}

fn rows(rows: usize, random: &mut StdRng) -> Drawn {
    Drawn {
        numbers: (0..FEATURES)
            .map(|feature| (0..rows).map(|_| draw(feature, random)).collect())
            .collect(),
        cities: (0..rows).map(|_| city(random)).collect(),
        positive: (0..rows).map(|_| random.random::<f64>() < 0.37).collect(),
    }
}

struct Profiled {
    distributions: Vec<(Measure, Distribution)>,
}

/// Counts rows in these bins; without bins, in those that their own values give.
fn profile(rows: &Drawn, bins: Option<&Profiled>) -> Profiled {
    let bins_at = |at: usize| bins.map(|known| &known.distributions[at].1.bins);
    let mut distributions = Vec::new();
    for values in &rows.numbers {
        let bins = bins_at(distributions.len());
        let mut counter = Counter::new(bins, false);
        for value in values {
            match value {
                Some(value) => counter.add_number(bins, *value),
                None => counter.add_null(),
            }
        }
        distributions.push((Measure::Index, counter.into_distribution(bins)));
    }
    let labels = rows.positive.iter().map(|p| if *p { "yes" } else { "no" });
    let texts: [(Measure, Vec<&str>); 2] = [
        (Measure::Index, rows.cities.clone()),
        (Measure::Share, labels.collect()),
    ];
    for (measure, texts) in texts {
        let bins = bins_at(distributions.len());
        let mut counter = Counter::new(bins, true);
        texts.iter().for_each(|text| counter.add_text(bins, text));
        distributions.push((measure, counter.into_distribution(bins)));
    }
    Profiled { distributions }
}

fn judged(reference: &Profiled, now: &Profiled) -> Vec<Finding> {
    let both = reference.distributions.iter().zip(&now.distributions);
    let pairs: Vec<Pair<'_>> = both
        .map(|((measure, reference), (_, now))| Pair {
            reference,
            now,
            measure: *measure,
            thresholds: Thresholds::default(),
        })
        .collect();
    judge(&pairs)
}

#[test]
fn of_a_thousand_runs_without_drift_at_most_ten_alarm() {
    let mut random = StdRng::seed_from_u64(20_261_129);
    let mut alarms: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for group in 0..RUNS / RUNS_EACH {
        let many = REFERENCE_ROWS[group as usize % REFERENCE_ROWS.len()];
        let reference = profile(&rows(many, &mut random), None);
        for run in 0..RUNS_EACH {
            let few = ROWS[run as usize % ROWS.len()];
            let now = profile(&rows(few, &mut random), Some(&reference));
            let findings = judged(&reference, &now);
            if findings.iter().any(|finding| finding.verdict.is_drift()) {
                *alarms.entry((many, few)).or_default() += 1;
            }
        }
    }
    let sum: u64 = alarms.values().sum();
    eprintln!("{sum} of {RUNS} runs without drift alarm: {alarms:?}");
    assert!(sum <= 10, "{sum} alarms: {alarms:?}");
}

/// Changes rows, and says which distributions must alarm.
struct Change {
    name: &'static str,
    apply: fn(&mut Drawn),
    alarms: &'static [usize],
}

fn each(rows: &mut Drawn, feature: usize, change: fn(f64) -> Option<f64>) {
    for value in &mut rows.numbers[feature] {
        *value = value.and_then(change);
    }
}

const CITY: usize = FEATURES;
const LABEL: usize = FEATURES + 1;

const CHANGES: [Change; 11] = [
    Change {
        name: "two columns swapped",
        apply: |rows| rows.numbers.swap(2, 9),
        alarms: &[2, 9],
    },
    Change {
        name: "unit x 10",
        apply: |rows| each(rows, 0, |v| Some(v * 10.0)),
        alarms: &[0],
    },
    Change {
        name: "Celsius to Fahrenheit",
        apply: |rows| each(rows, 3, |v| Some(v * 1.8 + 32.0)),
        alarms: &[3],
    },
    Change {
        name: "a category is gone",
        apply: |rows| {
            for city in &mut rows.cities {
                if *city == "Pune" {
                    *city = "Lima";
                }
            }
        },
        alarms: &[CITY],
    },
    Change {
        name: "a new category",
        apply: |rows| rows.cities.iter_mut().step_by(8).for_each(|c| *c = "Bonn"),
        alarms: &[CITY],
    },
    Change {
        name: "a new value of a flag",
        apply: |rows| {
            rows.numbers[24]
                .iter_mut()
                .step_by(8)
                .for_each(|v| *v = Some(2.0))
        },
        alarms: &[24],
    },
    Change {
        name: "all null",
        apply: |rows| each(rows, 5, |_| None),
        alarms: &[5],
    },
    Change {
        name: "constant",
        apply: |rows| each(rows, 17, |_| Some(0.5)),
        alarms: &[17],
    },
    Change {
        name: "mean of one of 30 features by half a standard deviation",
        apply: |rows| each(rows, 4, |v| Some(v + 0.5 * 5.0)),
        alarms: &[4],
    },
    Change {
        name: "twice as many nulls",
        apply: |rows| {
            rows.numbers[28]
                .iter_mut()
                .step_by(8)
                .for_each(|v| *v = None)
        },
        alarms: &[28],
    },
    Change {
        name: "label shares moved",
        apply: |rows| rows.positive.iter_mut().step_by(6).for_each(|p| *p = true),
        alarms: &[LABEL],
    },
];

#[test]
fn every_change_of_two_thousand_rows_alarms_where_it_was_made() {
    let mut random = StdRng::seed_from_u64(7);
    for seed in 0..10 {
        let reference = profile(&rows(5_000, &mut random), None);
        for change in &CHANGES {
            let mut changed = rows(2_000, &mut random);
            (change.apply)(&mut changed);
            let findings = judged(&reference, &profile(&changed, Some(&reference)));
            let alarms: Vec<usize> = findings
                .iter()
                .enumerate()
                .filter(|(_, finding)| finding.verdict.is_drift())
                .map(|(at, _)| at)
                .collect();
            assert_eq!(
                alarms, change.alarms,
                "{seed}: {}: {findings:#?}",
                change.name
            );
        }
    }
}
