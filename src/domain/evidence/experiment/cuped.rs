//! CUPED: removes from the outcomes what a covariate from before the experiment explains (Deng, Xu,
//! Kohavi, Walker 2013). The estimate stays unbiased, and its variance shrinks by the square of the
//! correlation.

use super::{arm_sums::ArmSums, interval::Estimate};

/// Returns theta = cov(covariate, outcome) / var(covariate), pooled over all arms; `None` if the
/// covariate does not vary.
pub fn theta<'a>(arms: impl IntoIterator<Item = &'a ArmSums>) -> Option<f64> {
    let mut all = ArmSums::default();
    arms.into_iter().for_each(|arm| all.merge(arm));
    (all.covariate_squares > 0.0).then(|| all.products / all.covariate_squares)
}

/// Returns the adjusted mean, outcome - theta covariate, with the variance var(outcome) + theta^2
/// var(covariate) - 2 theta cov. `None` for fewer than two observations.
pub fn adjusted(arm: &ArmSums, theta: f64) -> Option<Estimate> {
    (arm.n > 1).then(|| {
        let variance = arm.variance(arm.squares)
            + theta.powi(2) * arm.variance(arm.covariate_squares)
            - 2.0 * theta * arm.variance(arm.products);
        let mean = arm.mean - theta * arm.covariate_mean;
        Estimate::of_mean(mean, variance.max(0.0), arm.n)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-9 * b.abs(), "{a} is not {b}");
    }

    #[test]
    fn adjusted_means_are_those_of_gbstats() {
        let (mut a, mut b) = (ArmSums::default(), ArmSums::default());
        for i in 0..300 {
            let i = f64::from(i);
            let pre = i.sin() + 3.0;
            a.add(0.8 * pre + 0.5 * (3.0 * i).cos(), Some(pre));
        }
        for j in 0..280 {
            let j = f64::from(j);
            let pre = (j + 0.7).sin() + 3.0;
            b.add(0.8 * pre + 0.5 * (2.0 * j).cos() + 0.1, Some(pre));
        }
        let theta = theta([&a, &b]).unwrap();
        close(theta, 0.799_338_770_186);
        let (own, control) = (adjusted(&b, theta).unwrap(), adjusted(&a, theta).unwrap());
        close(control.value, 0.002_823_946_721_3);
        close(own.value, 0.102_666_563_569);
        close(control.standard_error.powi(2) * 300.0, 0.125_639_297_118);
        close(own.standard_error.powi(2) * 280.0, 0.125_573_929_421);
        let difference = own.minus(&control);
        close(difference.value, 0.099_842_616_847_8);
        close(difference.standard_error, 0.029_449_549_681_1);
        close(difference.fixed(0.05).unwrap().p, 0.000_746_037_852_5);
        let raw = b.estimate().unwrap().minus(&a.estimate().unwrap());
        close(raw.value, 0.101_396_336_709);
        close(raw.standard_error, 0.055_455_108_21);
        close(raw.fixed(0.05).unwrap().p, 0.068_001_296_92);
    }

    #[test]
    fn a_constant_covariate_explains_nothing() {
        let mut arm = ArmSums::default();
        (0..5).for_each(|i| arm.add(f64::from(i), Some(1.0)));
        assert_eq!(theta([&arm]), None);
    }
}
