//! Intervals and p values of a difference: for one look at a planned end, and for every look.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::domain::evidence::evaluation::sequence;

/// A difference with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
    /// Two-sided p of no difference.
    pub p: f64,
}

impl Interval {
    /// Returns whether a difference of zero is excluded.
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// A difference of two estimates, or the mean of paired differences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArmDifference {
    pub value: f64,
    pub standard_error: f64,
    /// Degrees of freedom of the standard error.
    pub degrees_of_freedom: f64,
    /// Observations: of both arms together, or pairs.
    pub n: u64,
}

/// An estimate of one arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub value: f64,
    pub standard_error: f64,
    pub degrees_of_freedom: f64,
    pub n: u64,
}

impl Estimate {
    /// Returns the mean of `n` observations with this variance.
    pub fn of_mean(mean: f64, variance: f64, n: u64) -> Self {
        Self {
            value: mean,
            standard_error: (variance / n as f64).sqrt(),
            degrees_of_freedom: n as f64 - 1.0,
            n,
        }
    }

    /// Returns this minus an independent estimate; degrees of freedom by Welch and Satterthwaite.
    pub fn minus(&self, control: &Self) -> ArmDifference {
        let (a, b) = (self.standard_error.powi(2), control.standard_error.powi(2));
        let parts = a.powi(2) / self.degrees_of_freedom + b.powi(2) / control.degrees_of_freedom;
        ArmDifference {
            value: self.value - control.value,
            standard_error: (a + b).sqrt(),
            degrees_of_freedom: (a + b).powi(2) / parts,
            n: self.n + control.n,
        }
    }
}

impl ArmDifference {
    /// Returns the interval for a single look (Welch; Student for pairs). `None` without variation,
    /// which is no evidence of precision.
    pub fn fixed(&self, alpha: f64) -> Option<Interval> {
        let student = StudentsT::new(0.0, 1.0, self.degrees_of_freedom).ok()?;
        self.has_spread().then(|| {
            let margin = student.inverse_cdf(1.0 - alpha / 2.0) * self.standard_error;
            Interval {
                low: self.value - margin,
                high: self.value + margin,
                p: 2.0 * student.sf((self.value / self.standard_error).abs()),
            }
        })
    }

    /// Returns the interval that is valid at every look (Waudby-Smith et al. 2024, as GrowthBook uses
    /// it), narrowest at about `tuned_at` observations. `None` as for [`ArmDifference::fixed`].
    pub fn always_valid(&self, alpha: f64, tuned_at: u64) -> Option<Interval> {
        self.has_spread().then(|| {
            let margin = sequence::margin(self.standard_error, self.n, tuned_at, 1.0 - alpha);
            // Equation 155: E = exp(r^2 T / (2 (N r^2 + 1))) / sqrt(N r^2 + 1), T = N (d / se)^2.
            let n = self.n as f64;
            let nr2 = n * sequence::rho2(tuned_at, 1.0 - alpha);
            let z2 = (self.value / self.standard_error).powi(2);
            let log = nr2 * z2 / (2.0 * (nr2 + 1.0)) - 0.5 * (nr2 + 1.0).ln();
            Interval {
                low: self.value - margin,
                high: self.value + margin,
                p: (-log).exp().min(1.0),
            }
        })
    }

    fn has_spread(&self) -> bool {
        let spread = self.standard_error;
        spread > 0.0 && spread.is_finite() && self.degrees_of_freedom > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::evidence::experiment::arm_sums::ArmSums;

    #[track_caller]
    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-3), "{a} is not {b}");
    }

    fn share(successes: f64, n: u64) -> Estimate {
        let p = successes / n as f64;
        Estimate::of_mean(p, p * (1.0 - p), n)
    }

    #[track_caller]
    fn check(difference: ArmDifference, expected: [f64; 8]) {
        let [
            value,
            error,
            p,
            low,
            high,
            sequential_p,
            sequential_low,
            sequential_high,
        ] = expected;
        close(difference.value, value);
        close(difference.standard_error, error);
        let fixed = difference.fixed(0.05).unwrap();
        close(fixed.p, p);
        close(fixed.low, low);
        close(fixed.high, high);
        let always = difference.always_valid(0.05, 5_000).unwrap();
        close(always.p, sequential_p);
        close(always.low, sequential_low);
        close(always.high, sequential_high);
    }

    #[test]
    fn intervals_are_those_of_gbstats() {
        check(
            share(130.0, 1_000).minus(&share(100.0, 1_000)),
            [
                0.03,
                0.014_251_315_728_7,
                0.035_411_490_26,
                0.002_050_784_290_95,
                0.057_949_215_709_1,
                0.378_931_507_6,
                -0.014_517_962_102_3,
                0.074_517_962_102_3,
            ],
        );
        check(
            share(580.0, 10_000).minus(&share(500.0, 10_000)),
            [
                0.008,
                0.003_195_872_337_88,
                0.012_314_538_93,
                0.001_735_824_333_46,
                0.014_264_175_666_5,
                0.274_439_088_5,
                -0.001_993_857_589_19,
                0.017_993_857_589_2,
            ],
        );
        let mut arms = [ArmSums::default(), ArmSums::default()];
        (0..400).for_each(|i| arms[0].add(2.0 * f64::from(i).sin() + 5.0, None));
        (0..350).for_each(|i| arms[1].add(2.0 * f64::from(i).cos() + 5.3, None));
        check(
            arms[1]
                .estimate()
                .unwrap()
                .minus(&arms[0].estimate().unwrap()),
            [
                0.289_544_949_671,
                0.103_673_635_853,
                0.005_360_566_565,
                0.086_012_858_528_6,
                0.493_077_040_814,
                0.177_732_031_8,
                -0.076_516_698_067_8,
                0.655_606_597_41,
            ],
        );
    }

    #[test]
    fn the_price_of_every_look_is_the_published_one() {
        close(sequence::rho2(5_000, 0.95).sqrt(), 0.039_840_066_771_4);
        let paired = |n: u64| ArmDifference {
            value: 0.0,
            standard_error: 1.0 / (n as f64).sqrt(),
            degrees_of_freedom: n as f64 - 1.0,
            n,
        };
        let widths = |n: u64| {
            let one = paired(n);
            let half = one.always_valid(0.05, 1_000).unwrap().high;
            (half, 1.959_963_984_540_054 * one.standard_error)
        };
        let (always, fixed) = widths(1_000);
        close(always, 0.095_981_735_842_1);
        close(fixed, 0.061_979_503_230_5);
        for (n, ratio) in [(100, 1.967), (10_000, 1.654)] {
            let (always, fixed) = widths(n);
            assert!((always / fixed - ratio).abs() < 5e-4, "{}", always / fixed);
        }
    }

    #[test]
    fn without_variation_there_is_no_interval() {
        let mut same = ArmSums::default();
        (0..10).for_each(|_| same.add(1.0, None));
        let estimate = same.estimate().unwrap();
        let difference = estimate.minus(&estimate);
        assert_eq!(difference.fixed(0.05), None);
        assert_eq!(difference.always_valid(0.05, 5_000), None);
    }

    /// Uniform numbers (Steele et al. 2014, SplitMix64).
    struct Uniform(u64);

    impl Uniform {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    #[test]
    fn a_hundred_looks_at_equal_arms_alarm_at_most_at_alpha() {
        const SIMULATIONS: u64 = 2_000;
        let (mut always, mut fixed) = (0, 0);
        for seed in 0..SIMULATIONS {
            let mut uniform = Uniform(seed);
            let mut arms = [ArmSums::default(), ArmSums::default()];
            let (mut was_always, mut was_fixed) = (false, false);
            for _ in 0..100 {
                for arm in &mut arms {
                    (0..100).for_each(|_| arm.add(uniform.next(), None));
                }
                let [a, b] = arms.each_ref().map(|arm| arm.estimate().unwrap());
                let difference = b.minus(&a);
                was_always |= difference
                    .always_valid(0.05, 5_000)
                    .unwrap()
                    .excludes_zero();
                // Welch with thousands of degrees of freedom.
                was_fixed |= (difference.value / difference.standard_error).abs() > 1.96;
            }
            always += u64::from(was_always);
            fixed += u64::from(was_fixed);
        }
        assert!(always * 20 <= SIMULATIONS, "{always} of {SIMULATIONS}");
        // The test can fail: peeking at fixed intervals alarms far more often.
        assert!(fixed * 10 > SIMULATIONS * 3, "{fixed} of {SIMULATIONS}");
    }
}
