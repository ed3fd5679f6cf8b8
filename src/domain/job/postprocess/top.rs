//! `top_k`.

/// Returns the index and score of the class at `rank` (0 is the best). Of equal scores the first
/// class is better, as `numpy.argsort(-scores, kind="stable")` orders them; NaN is worst.
pub fn best_class(scores: &[f64], rank: usize) -> Option<(usize, f64)> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (scores[*a], scores[*b]);
        a.is_nan()
            .cmp(&b.is_nan())
            .then_with(|| b.partial_cmp(&a).unwrap_or(std::cmp::Ordering::Equal))
    });
    order.get(rank).map(|class| (*class, scores[*class]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_scores_is_better() {
        let scores = [0.2, 0.4, f64::NAN, 0.4];
        let order: Vec<_> = (0..4)
            .filter_map(|rank| best_class(&scores, rank))
            .collect();
        let classes: Vec<_> = order.iter().map(|(class, _)| *class).collect();
        assert_eq!(classes, [1, 3, 0, 2]);
        assert_eq!(best_class(&scores, 4), None);
    }
}
