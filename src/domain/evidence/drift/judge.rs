//! Judges all features and outputs of a run together.

use super::{
    ALPHA, Cause, Distribution, DriftVerdict, MIN_ROWS, Thresholds,
    chance::{Adjusted, ChiSquare, holm, psi_critical, psi_p},
    distance::{jensen_shannon, kolmogorov_smirnov, largest_difference, psi, wasserstein},
};

/// Share of a reference's rows without a cell of their own up to which more of them are new values.
const MAX_OTHERS: f64 = 0.01;

/// How the size of a difference of shapes is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// By the population stability index.
    Index,
    /// By the largest difference of a share: labels, and shares themselves.
    Share,
}

/// A feature or output, and what it is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    pub reference: &'a Distribution,
    pub now: &'a Distribution,
    pub measure: Measure,
    pub thresholds: Thresholds,
}

/// What is found about a [`Pair`].
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub verdict: DriftVerdict,
    /// What the verdict rests on; `None` where nothing could be tested.
    pub cause: Option<Cause>,
    /// The threshold of that.
    pub threshold: Option<f64>,
    /// The p-value of that, unadjusted.
    pub p: Option<f64>,
    /// The p-value adjusted for all tests of the run (Holm).
    pub adjusted_p: Option<f64>,
    /// The population stability index up to which chance explains the difference, at this test's
    /// level among all tests of the run.
    pub critical: Option<f64>,
    pub psi: Option<f64>,
    /// Jensen-Shannon distance, natural logarithm.
    pub js: Option<f64>,
    /// Wasserstein distance over the reference's standard deviation.
    pub w1: Option<f64>,
    pub ks: Option<f64>,
    pub linf: Option<f64>,
    /// Share of nulls minus that of the reference.
    pub null_delta: f64,
    pub nan_delta: f64,
    /// Share of values that the reference does not have.
    pub new_share: Option<f64>,
    /// Rows with a value in the reference.
    pub n: u64,
    /// Rows with a value now.
    pub m: u64,
}

/// Counts the rows of a distribution that have a property.
type CountRows = fn(&Distribution) -> u64;

/// One question about a pair.
struct Test {
    pair: usize,
    cause: Cause,
    size: f64,
    threshold: f64,
    p: f64,
    degrees: u64,
}

/// Judges pairs. They are one family: give all pairs of a run at once.
pub fn judge(pairs: &[Pair<'_>]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = pairs.iter().map(measured).collect();
    let tests: Vec<Test> = pairs
        .iter()
        .zip(&findings)
        .enumerate()
        .filter(|(_, (_, finding))| finding.verdict == DriftVerdict::Stable)
        .flat_map(|(at, (pair, finding))| tests(at, pair, finding))
        .collect();
    let p: Vec<f64> = tests.iter().map(|test| test.p).collect();
    let mut decided: Vec<Option<DriftVerdict>> = vec![None; pairs.len()];
    for (test, adjusted) in tests.iter().zip(holm(&p, ALPHA)) {
        let finding = &mut findings[test.pair];
        if test.cause == Cause::Shape {
            finding.critical = Some(psi_critical(
                adjusted.level,
                test.degrees,
                finding.n,
                finding.m,
            ));
        }
        let verdict = verdict(&pairs[test.pair], test, adjusted);
        let earlier = decided[test.pair];
        // The most serious verdict counts; among tests without one, that of the shape is shown.
        let counts = match (verdict, earlier) {
            (Some(verdict), Some(earlier)) => verdict < earlier,
            (Some(_), None) => true,
            (None, None) => test.cause == Cause::Shape,
            (None, Some(_)) => false,
        };
        if counts {
            decided[test.pair] = verdict;
            finding.verdict = verdict.unwrap_or(DriftVerdict::Stable);
            finding.cause = Some(test.cause);
            finding.threshold = Some(test.threshold);
            finding.p = Some(test.p);
            finding.adjusted_p = Some(adjusted.p);
        }
    }
    findings
}

/// Returns what a test says, if it says that something has changed.
fn verdict(pair: &Pair<'_>, test: &Test, adjusted: Adjusted) -> Option<DriftVerdict> {
    if test.size < test.threshold || adjusted.p > ALPHA {
        return None;
    }
    Some(match test.cause {
        Cause::NewValues => DriftVerdict::NewCategory,
        Cause::Shape if pair.now.is_constant() && !pair.reference.is_constant() => {
            DriftVerdict::Constant
        }
        Cause::Shape | Cause::Nulls | Cause::Nans => DriftVerdict::Drifted,
    })
}

/// Returns the distances of a pair, and the verdict where none of them can be tested.
fn measured(pair: &Pair<'_>) -> Finding {
    let (reference, now) = (pair.reference, pair.now);
    let share = |part: u64, side: &Distribution| match side.rows() {
        0 => 0.0,
        rows => part as f64 / rows as f64,
    };
    let (n, m) = (reference.values(), now.values());
    let mut finding = Finding {
        verdict: DriftVerdict::Stable,
        cause: None,
        threshold: None,
        p: None,
        adjusted_p: None,
        critical: None,
        psi: None,
        js: None,
        w1: None,
        ks: None,
        linf: None,
        null_delta: share(now.nulls, now) - share(reference.nulls, reference),
        nan_delta: share(now.nans, now) - share(reference.nans, reference),
        new_share: None,
        n,
        m,
    };
    if reference.bins != now.bins || reference.cells.len() != now.cells.len() {
        finding.verdict = DriftVerdict::NotComparable;
        return finding;
    }
    if n > 0 && m > 0 {
        let (a, b) = (&reference.cells, &now.cells);
        finding.psi = Some(psi(a, b));
        finding.js = Some(jensen_shannon(a, b));
        finding.linf = Some(largest_difference(a, b));
        finding.w1 = wasserstein(reference, now);
        if reference.bins.others().is_none() {
            finding.ks = Some(kolmogorov_smirnov(a, b));
        }
        finding.new_share = new_share(reference, now);
    }
    finding.verdict = if reference.is_partial || now.is_partial {
        DriftVerdict::Partial
    } else if n < MIN_ROWS || now.rows() < MIN_ROWS {
        DriftVerdict::TooFew
    } else if m == 0 {
        DriftVerdict::AllNull
    } else if m < MIN_ROWS && !has_lost_values(pair, &finding) {
        DriftVerdict::TooFew
    } else {
        DriftVerdict::Stable
    };
    finding
}

/// Returns the share of rows whose value the reference does not have: those without a cell of their
/// own, minus the reference's. `None` if the reference has many of these itself, so that they are not
/// new, or if there are none.
fn new_share(reference: &Distribution, now: &Distribution) -> Option<f64> {
    let share = |side: &Distribution| Some(side.others()? as f64 / side.values() as f64);
    let (before, after) = (share(reference)?, share(now)?);
    (before <= MAX_OTHERS && after > 0.0).then(|| (after - before).max(0.0))
}

/// Returns whether so many values are missing that this can be tested, though the shape cannot.
fn has_lost_values(pair: &Pair<'_>, finding: &Finding) -> bool {
    finding.null_delta.max(finding.nan_delta) >= pair.thresholds.share
}

fn tests(at: usize, pair: &Pair<'_>, finding: &Finding) -> Vec<Test> {
    let (reference, now) = (pair.reference, pair.now);
    let share = pair.thresholds.share;
    let mut tests = Vec::new();
    if finding.m >= MIN_ROWS {
        let chi_square = ChiSquare::test(&reference.cells, &now.cells);
        let psi = finding.psi.unwrap_or_default();
        let (size, threshold) = match pair.measure {
            Measure::Index => (psi, pair.thresholds.psi),
            Measure::Share => (finding.linf.unwrap_or_default(), share),
        };
        // Each of the two is distributed as chi-square only in the limit. Where a cell is expected
        // to have few rows one or the other finds too much, hardly ever both.
        let p = match pair.measure {
            Measure::Index => {
                let by_index = psi_p(psi, chi_square.degrees, finding.n, finding.m);
                chi_square.p().max(by_index)
            }
            Measure::Share => chi_square.p(),
        };
        tests.push(Test {
            pair: at,
            cause: Cause::Shape,
            size,
            threshold,
            p,
            degrees: chi_square.degrees,
        });
        let others = reference.others().zip(now.others());
        if let (Some(size), Some((before, after))) = (finding.new_share, others) {
            let (before, after) = ([before, finding.n - before], [after, finding.m - after]);
            tests.push(Test {
                pair: at,
                cause: Cause::NewValues,
                size,
                threshold: share,
                p: ChiSquare::test(&before, &after).p(),
                degrees: 1,
            });
        }
    }
    let of = |part: CountRows, side: &Distribution| [part(side), side.rows() - part(side)];
    let shares: [(Cause, CountRows, f64); 2] = [
        (Cause::Nulls, |side| side.nulls, finding.null_delta),
        (Cause::Nans, |side| side.nans, finding.nan_delta),
    ];
    for (cause, part, delta) in shares {
        if part(reference) + part(now) > 0 {
            tests.push(Test {
                pair: at,
                cause,
                size: delta.abs(),
                threshold: share,
                p: ChiSquare::test(&of(part, reference), &of(part, now)).p(),
                degrees: 1,
            });
        }
    }
    tests
}
