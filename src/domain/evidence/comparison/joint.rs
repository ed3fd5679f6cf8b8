//! Rank correlation of two scores from the counts of their pairs of bins.

use serde::{Deserialize, Serialize};

/// Bins per score.
pub const BINS: usize = 256;
/// Bins per score for a segment.
pub const COARSE: usize = 32;

/// Upper ends of a score's bins: quantiles of a sample, fixed before the first row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Edges(Vec<f64>);

impl Edges {
    /// Returns at most [`BINS`] bins of about equal count; fewer if values are equal.
    pub fn from_sample(mut sample: Vec<f64>) -> Self {
        sample.sort_by(f64::total_cmp);
        let last = sample.len().saturating_sub(1);
        let mut edges: Vec<f64> = (1..BINS)
            .filter_map(|bin| sample.get(bin * last / BINS).copied())
            .collect();
        edges.dedup();
        Self(edges)
    }

    /// Returns the bin of a finite value, of `bins` ([`BINS`] or a divisor of it).
    fn bin(&self, value: f64, bins: usize) -> usize {
        let bin = self.0.partition_point(|edge| *edge < value);
        bin * bins / BINS
    }
}

/// Counts by pair of bins.
#[derive(Debug, Clone, Default)]
pub struct Joint {
    bins: usize,
    /// `bins` x `bins`, or empty.
    counts: Vec<u32>,
    /// Smallest and largest value of each bin, of the first score and then of the second.
    seen: Vec<(f64, f64)>,
}

/// A rank correlation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// Spearman's, of the binned scores.
    pub value: f64,
    /// Bound on its distance from the correlation of the scores themselves.
    pub error: f64,
}

impl Joint {
    /// Returns an empty table; `bins` is [`BINS`] or [`COARSE`].
    pub fn new(bins: usize) -> Self {
        Self {
            bins,
            ..Self::default()
        }
    }

    /// Adds a pair of finite scores.
    pub fn add(&mut self, edges: (&Edges, &Edges), a: f64, b: f64) {
        if self.counts.is_empty() {
            self.counts = vec![0; self.bins * self.bins];
            self.seen = vec![(f64::INFINITY, f64::NEG_INFINITY); 2 * self.bins];
        }
        let (x, y) = (edges.0.bin(a, self.bins), edges.1.bin(b, self.bins));
        let count = &mut self.counts[x * self.bins + y];
        *count = count.saturating_add(1);
        for (at, value) in [(x, a), (self.bins + y, b)] {
            let seen = &mut self.seen[at];
            *seen = (seen.0.min(value), seen.1.max(value));
        }
    }

    /// Adds another table with the same number of bins.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.clone_from(other);
            return;
        }
        for (own, others) in self.counts.iter_mut().zip(&other.counts) {
            *own = own.saturating_add(*others);
        }
        for (own, others) in self.seen.iter_mut().zip(&other.seen) {
            *own = (own.0.min(others.0), own.1.max(others.1));
        }
    }

    /// Returns Spearman's rank correlation; `None` if a score is the same for all rows.
    ///
    /// All values of a bin share its mean rank. The error: with X and Y the mean ranks of the bins
    /// and e, f what ranks deviate from them, cov(X + e, Y + f) lies within sd(e) sd(Y) +
    /// sd(X) sd(f) + sd(e) sd(f) of cov(X, Y) by Cauchy and Schwarz, and var(X + e) is
    /// var(X) + var(e), where var(e) is at most that of n distinct ranks in each bin,
    /// (n^2 - 1) / 12, and zero where all values of the bin are the same.
    pub fn correlation(&self) -> Option<Correlation> {
        let rows = |x: usize| &self.counts[x * self.bins..(x + 1) * self.bins];
        let bins = if self.counts.is_empty() { 0 } else { self.bins };
        let mut margins = [vec![0_u64; bins], vec![0_u64; bins]];
        for x in 0..bins {
            for (y, count) in rows(x).iter().enumerate() {
                margins[0][x] += u64::from(*count);
                margins[1][y] += u64::from(*count);
            }
        }
        let n: u64 = margins[0].iter().sum();
        if n < 2 {
            return None;
        }
        let ranks = margins.each_ref().map(|margin| centred_ranks(margin));
        let n = n as f64;
        let variances: [f64; 2] = std::array::from_fn(|axis| {
            let squares = margins[axis].iter().zip(&ranks[axis]);
            squares
                .map(|(count, rank)| *count as f64 * rank * rank)
                .sum::<f64>()
                / n
        });
        let within: [f64; 2] = std::array::from_fn(|axis| {
            let seen = &self.seen[axis * bins..];
            let several = margins[axis]
                .iter()
                .zip(seen)
                .filter(|(_, seen)| seen.0 < seen.1);
            let sum: f64 = several
                .map(|(count, _)| *count as f64)
                .map(|count| count * (count * count - 1.0) / 12.0)
                .sum();
            sum / n
        });
        if variances.contains(&0.0) {
            return None;
        }
        let mut covariance = 0.0;
        for x in 0..bins {
            let of_row = rows(x).iter().zip(&ranks[1]);
            let sum: f64 = of_row.map(|(count, rank)| f64::from(*count) * rank).sum();
            covariance += ranks[0][x] * sum / n;
        }
        let [x, y] = variances;
        let [e, f] = within;
        let value = covariance / (x * y).sqrt();
        let off = (e * y).sqrt() + (x * f).sqrt() + (e * f).sqrt();
        let extremes = [covariance - off, covariance + off]
            .into_iter()
            .flat_map(|covariance| {
                [(x * y).sqrt(), ((x + e) * (y + f)).sqrt()].map(|scale| covariance / scale)
            });
        let error = extremes
            .map(|extreme| (extreme.clamp(-1.0, 1.0) - value).abs())
            .fold(0.0, f64::max);
        Some(Correlation { value, error })
    }
}

/// Returns the mean rank of each bin minus the mean of all ranks.
fn centred_ranks(margin: &[u64]) -> Vec<f64> {
    let n: u64 = margin.iter().sum();
    let mean = (n as f64 + 1.0) / 2.0;
    let mut before = 0;
    let rank = |count: &u64| {
        let rank = before as f64 + (*count as f64 + 1.0) / 2.0;
        before += count;
        rank - mean
    };
    margin.iter().map(rank).collect()
}

/// Serialised form: pairs of (distance from the previous pair of bins, count), since most are
/// empty.
#[derive(Serialize, Deserialize)]
struct Sparse {
    bins: usize,
    filled: Vec<(u32, u32)>,
    seen: Vec<(f64, f64)>,
}

impl Serialize for Joint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut last = 0;
        let filled = self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        let filled = filled.map(|(at, count)| {
            let distance = at - last;
            last = at;
            (distance as u32, *count)
        });
        Sparse {
            bins: self.bins,
            filled: filled.collect(),
            seen: self.seen.clone(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Joint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sparse = Sparse::deserialize(deserializer)?;
        let mut joint = Self::new(sparse.bins);
        if sparse.seen.is_empty() {
            return Ok(joint);
        }
        joint.counts = vec![0; sparse.bins * sparse.bins];
        joint.seen = sparse.seen;
        let mut at = 0;
        for (distance, count) in sparse.filled {
            at += distance as usize;
            let cell = joint.counts.get_mut(at);
            *cell.ok_or_else(|| serde::de::Error::custom("a count outside the bins"))? = count;
        }
        Ok(joint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spearman's rank correlation by its definition, ties sharing their mean rank.
    fn exact(pairs: &[(f64, f64)]) -> f64 {
        let ranks = |values: Vec<f64>| {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let rank = |value: &f64| {
                let below = sorted.partition_point(|other| other < value);
                let up_to = sorted.partition_point(|other| other <= value);
                (below + up_to + 1) as f64 / 2.0
            };
            values.iter().map(rank).collect::<Vec<f64>>()
        };
        let x = ranks(pairs.iter().map(|pair| pair.0).collect());
        let y = ranks(pairs.iter().map(|pair| pair.1).collect());
        let mean = (pairs.len() as f64 + 1.0) / 2.0;
        let sum = |a: &[f64], b: &[f64]| -> f64 {
            a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum()
        };
        sum(&x, &y) / (sum(&x, &x) * sum(&y, &y)).sqrt()
    }

    fn binned(pairs: &[(f64, f64)], bins: usize) -> Correlation {
        let sample = |of: fn(&(f64, f64)) -> f64| {
            Edges::from_sample(pairs.iter().step_by(3).map(of).collect())
        };
        let edges = (sample(|pair| pair.0), sample(|pair| pair.1));
        let mut joint = Joint::new(bins);
        for part in pairs.chunks(1_001) {
            let mut own = Joint::new(bins);
            part.iter()
                .for_each(|(a, b)| own.add((&edges.0, &edges.1), *a, *b));
            let config = bincode::config::standard();
            let bytes = bincode::serde::encode_to_vec(&own, config).unwrap();
            assert!(bytes.len() < 300_000);
            let (own, _): (Joint, _) = bincode::serde::decode_from_slice(&bytes, config).unwrap();
            joint.merge(&own);
        }
        joint.correlation().unwrap()
    }

    fn pairs(noise: f64, distinct: f64) -> Vec<(f64, f64)> {
        let mut state = 1_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        (0..20_000)
            .map(|_| {
                let a = random();
                let b = (a * 5.0).exp() + noise * random() * 100.0;
                ((a * distinct).floor(), (b * distinct).floor())
            })
            .collect()
    }

    #[test]
    fn the_exact_correlation_lies_within_the_error() {
        for noise in [0.0, 0.3, 2.0, 50.0] {
            let pairs = pairs(noise, 1e9);
            let (fine, coarse) = (binned(&pairs, BINS), binned(&pairs, COARSE));
            for told in [fine, coarse] {
                let exact = exact(&pairs);
                assert!(
                    (told.value - exact).abs() <= told.error + 1e-9,
                    "{noise}: {told:?} {exact}"
                );
            }
            assert!(
                fine.error < 0.02 && coarse.error < 0.12,
                "{fine:?} {coarse:?}"
            );
        }
    }

    #[test]
    fn few_distinct_scores_have_no_error() {
        // Each value is common enough to be an edge: a rare one may share a bin, which is told.
        let few: Vec<_> = pairs(1.0, 50.0)
            .iter()
            .map(|(a, b)| ((a / 5.0).floor(), (a / 10.0).floor() + b % 3.0))
            .collect();
        let told = binned(&few, BINS);
        assert!(told.error < 1e-9, "{told:?}");
        assert!((told.value - exact(&few)).abs() < 1e-9);
    }

    #[test]
    fn a_constant_score_has_no_rank() {
        let edges = Edges::from_sample(vec![1.0; 10]);
        let mut joint = Joint::new(BINS);
        (0..10).for_each(|i| joint.add((&edges, &edges), 1.0, f64::from(i)));
        assert_eq!(joint.correlation(), None);
        assert_eq!(Joint::new(BINS).correlation(), None);
    }
}
