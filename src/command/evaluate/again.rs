//! The command line that repeats an evaluation.

use super::Args;
use crate::{domain::trigger::duration, report::parts::shell};

/// Returns the command line, quoted for a shell.
pub fn command(args: &Args) -> String {
    let mut words = vec![
        "helenus".to_owned(),
        "evaluate".to_owned(),
        args.job.clone(),
    ];
    let mut put = |option: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            words.extend([option.to_owned(), value]);
        }
    };
    let thresholds: Vec<_> = args.threshold.iter().map(f64::to_string).collect();
    put("--versions", Some(args.versions.join(",")));
    put("--labels", Some(args.labels.clone()));
    put("--positive", args.positive.clone());
    put("--column", args.column.clone());
    put("--threshold", Some(thresholds.join(",")));
    put("--segment", args.segment.clone());
    put("--label-time", args.label_time.clone());
    put("--gap", args.gap.map(duration::spoken));
    for pair in &args.label_map {
        put("--label-map", Some(pair.clone()));
    }
    put("--missing-label", args.missing_label.clone());
    put("--mature-after", args.mature_after.map(duration::spoken));
    put("--max-rate", args.max_rate.map(|rate| rate.to_string()));
    let file = args.html.as_ref().map(|file| file.display().to_string());
    put("--html", file);
    if args.held_out {
        words.push("--held-out".to_owned());
    }
    let words: Vec<_> = words.iter().map(|word| shell(word)).collect();
    words.join(" ")
}
