//! Display names and order of metrics.

/// Known metrics in display order; others follow by name.
const KNOWN: [(&str, &str); 25] = [
    ("roc_auc", "ROC AUC"),
    ("average_precision", "Average precision"),
    ("accuracy", "Accuracy"),
    ("macro_f1", "F1, macro average"),
    ("weighted_f1", "F1, weighted average"),
    ("top_2_accuracy", "Top-2 accuracy"),
    ("top_3_accuracy", "Top-3 accuracy"),
    ("top_4_accuracy", "Top-4 accuracy"),
    ("top_5_accuracy", "Top-5 accuracy"),
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
    ("mape", "Mean absolute percentage error"),
    ("mse", "Mean squared error"),
    ("mean_error", "Mean error"),
    ("mcnemar", "Decisions (McNemar, mid-p)"),
    ("t_log_loss", "Log loss (paired t)"),
    ("t_brier", "Brier score (paired t)"),
];

fn known(name: &str) -> Option<usize> {
    KNOWN.iter().position(|(metric, _)| *metric == name)
}

/// Returns the display name of a metric: `precision@0.8` is "Precision at 0.8".
pub fn name(metric: &str) -> String {
    let (name, at) = match metric.split_once('@') {
        Some((name, at)) => (name, Some(at)),
        None => (metric, None),
    };
    let display = known(name).map_or(name, |place| KNOWN[place].1);
    match at {
        Some("best") => format!("{display} at the best threshold"),
        Some(threshold) => format!("{display} at {threshold}"),
        None => display.to_owned(),
    }
}

/// Returns metrics in display order. A metric with values at thresholds is left out without one.
pub fn in_order<'a>(metrics: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let mut all: Vec<&str> = metrics.map(String::as_str).collect();
    all.sort_by_key(|metric| {
        let (name, at) = metric.split_once('@').unwrap_or((metric, ""));
        // Metrics of one threshold are grouped.
        (at, known(name).unwrap_or(KNOWN.len()), *metric)
    });
    all.dedup();
    let at = all.iter().filter_map(|metric| metric.split_once('@'));
    let with_threshold: Vec<&str> = at.map(|(name, _)| name).collect();
    all.retain(|metric| !with_threshold.contains(metric));
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
        let ordered = in_order(all.iter());
        assert_eq!(ordered, ["roc_auc", "brier", "accuracy@0.5", "f1@best"]);
    }
}
