//! Metrics by the names that people use.

/// In this order they are told; others come after by name.
const KNOWN: [(&str, &str); 25] = [
    ("roc_auc", "ROC AUC"),
    ("average_precision", "Average precision"),
    ("accuracy", "Accuracy"),
    ("macro_f1", "F1, all classes alike"),
    ("weighted_f1", "F1, by rows"),
    ("top_2_accuracy", "Among the best 2"),
    ("top_3_accuracy", "Among the best 3"),
    ("top_4_accuracy", "Among the best 4"),
    ("top_5_accuracy", "Among the best 5"),
    ("log_loss", "Log loss"),
    ("brier", "Brier score"),
    ("calibration_error", "Calibration error"),
    ("precision", "Precision"),
    ("recall", "Recall"),
    ("f1", "F1"),
    ("best_threshold", "Best threshold for F1"),
    ("rmse", "Root mean squared error"),
    ("mae", "Mean absolute error"),
    ("r2", "R²"),
    ("mape", "Mean absolute error, relative"),
    ("mse", "Mean squared error"),
    ("mean_error", "Mean error"),
    ("mcnemar", "Decisions (McNemar, mid-p)"),
    ("t_log_loss", "Log loss (paired t)"),
    ("t_brier", "Brier score (paired t)"),
];

fn known(name: &str) -> Option<usize> {
    KNOWN.iter().position(|(metric, _)| *metric == name)
}

/// `precision@0.8` is "Precision at 0.8".
pub fn name(metric: &str) -> String {
    let (name, at) = match metric.split_once('@') {
        Some((name, at)) => (name, Some(at)),
        None => (metric, None),
    };
    let told = known(name).map_or(name, |place| KNOWN[place].1);
    match at {
        Some("best") => format!("{told} at the best threshold"),
        Some(threshold) => format!("{told} at {threshold}"),
        None => told.to_owned(),
    }
}

/// In the order in which people ask for them. What is told at each threshold is not told again
/// without one.
pub fn in_order<'a>(metrics: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let mut all: Vec<&str> = metrics.map(String::as_str).collect();
    all.sort_by_key(|metric| {
        let (name, at) = metric.split_once('@').unwrap_or((metric, ""));
        // Everything of one threshold stands together.
        (at, known(name).unwrap_or(KNOWN.len()), *metric)
    });
    all.dedup();
    let at = all.iter().filter_map(|metric| metric.split_once('@'));
    let again: Vec<&str> = at.map(|(name, _)| name).collect();
    all.retain(|metric| !again.contains(metric));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_names_and_an_order() {
        assert_eq!(name("precision@0.8"), "Precision at 0.8");
        assert_eq!(name("f1@best"), "F1 at the best threshold");
        assert_eq!(name("new_one"), "new_one");
        let all = ["accuracy", "accuracy@0.5", "brier", "f1@best", "roc_auc"].map(str::to_owned);
        let told = in_order(all.iter());
        assert_eq!(told, ["roc_auc", "brier", "accuracy@0.5", "f1@best"]);
    }
}
