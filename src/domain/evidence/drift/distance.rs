//! Distances between two distributions over the same cells. Natural logarithms throughout.

use super::Distribution;

/// Share that an empty cell is given in the population stability index.
const EMPTY: f64 = 1e-4;

/// Returns the population stability index, `sum (b - a) ln(b / a)` over the shares of the cells; an
/// empty cell has the share 0.0001 instead of 0.
pub(super) fn psi(a: &[u64], b: &[u64]) -> f64 {
    let filled = |share: f64| if share == 0.0 { EMPTY } else { share };
    cells(a, b)
        .map(|(a, b)| (filled(a), filled(b)))
        .map(|(a, b)| (b - a) * (b / a).ln())
        .sum()
}

/// Returns the Jensen-Shannon distance: the square root of the mean divergence of both sides from
/// their average. At most sqrt(ln 2) = 0.8326.
pub(super) fn jensen_shannon(a: &[u64], b: &[u64]) -> f64 {
    let part = |share: f64, mean: f64| match share > 0.0 {
        true => 0.5 * share * (share / mean).ln(),
        false => 0.0,
    };
    let divergence: f64 = cells(a, b)
        .map(|(a, b)| {
            let mean = (a + b) / 2.0;
            part(a, mean) + part(b, mean)
        })
        .sum();
    divergence.max(0.0).sqrt()
}

/// Returns the largest difference of the share of any cell.
pub(super) fn largest_difference(a: &[u64], b: &[u64]) -> f64 {
    cells(a, b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Returns the largest difference of the cumulated shares at any edge: the Kolmogorov-Smirnov
/// statistic from below. It is exact if the largest difference is at an edge.
pub(super) fn kolmogorov_smirnov(a: &[u64], b: &[u64]) -> f64 {
    let differences = cells(a, b).scan(0.0, |sum, (a, b)| {
        *sum += a - b;
        Some(f64::abs(*sum))
    });
    differences.fold(0.0, f64::max)
}

/// Returns the Wasserstein distance, `integral |F - G|`, divided by the reference's standard
/// deviation. It is computed from the sum of the values of each bin, so it is exact where F - G does
/// not change its sign within a bin, and too small otherwise. `None` if the reference is constant,
/// or a value is infinite.
pub(super) fn wasserstein(reference: &Distribution, now: &Distribution) -> Option<f64> {
    let super::Bins::Ranges(edges) = &reference.bins else {
        return None;
    };
    let std = reference.std.filter(|std| *std > 0.0)?;
    let total = |side: &Distribution| side.values() as f64;
    let (n, m) = (total(reference), total(now));
    // The integral of F - G over each bin; `below` is F - G at its lower edge.
    let (mut distance, mut below) = (0.0, 0.0);
    for (cell, (a, b)) in cells(&reference.cells, &now.cells).enumerate() {
        let offset = reference.offsets.get(cell)? / n - now.offsets.get(cell)? / m;
        let width = match cell {
            // Up to the first edge, and from the last one: both integrals are of offsets alone.
            0 => 0.0,
            cell if cell == edges.len() => 0.0,
            cell => edges[cell] - edges[cell - 1],
        };
        distance += f64::abs((below + a - b) * width - offset);
        below += a - b;
    }
    Some(distance / std).filter(|distance| distance.is_finite())
}

/// Returns the shares of each cell on both sides.
fn cells<'a>(a: &'a [u64], b: &'a [u64]) -> impl Iterator<Item = (f64, f64)> + 'a {
    let total = |counts: &[u64]| counts.iter().sum::<u64>().max(1) as f64;
    let (n, m) = (total(a), total(b));
    let cells = a.iter().zip(b);
    cells.map(move |(a, b)| (*a as f64 / n, *b as f64 / m))
}
