//! Warnings for readers of an evaluation.

use super::EvaluateSpec;
use crate::{
    domain::evidence::evaluation::{
        partial::{Partial, Segments},
        report::OneResult,
        room::MEMORY_BYTES,
    },
    inspect::pass::{self, Begun, Found, Scope},
};

/// An error bound above this causes a warning.
const COARSE: f64 = 0.005;

/// Returns warnings about the rows that were read.
pub fn warnings(
    scope: &Scope,
    begun: &Begun,
    found: &Found<Partial>,
    wish: &EvaluateSpec,
) -> Vec<String> {
    let part = &found.part;
    let mut warnings: Vec<String> = pass::resumed(begun, found).into_iter().collect();
    if wish.labels.time.is_none() && !wish.held_out {
        warnings.push(
            "leakage_unchecked: predictions may have been made when the outcome was known; name the time of labels by --label-time"
                .to_owned(),
        );
    }
    if wish.wording.missing.is_some() && wish.mature_after.is_none() {
        warnings.push(
            "missing_label_immature: rows whose label has not come yet count as if it never would; --mature-after leaves young predictions out"
                .to_owned(),
        );
    }
    if part.segments == Segments::TooMany {
        let column = scope
            .segment
            .as_ref()
            .map_or("", |s| s.column.name.as_str());
        warnings.push(format!(
            "too_many_segments: `{column}` has more than 32 values; none is reported"
        ));
    }
    let share = |rows: u64, of: u64| rows as f64 / of.max(1) as f64;
    for (version, usable) in scope.versions.iter().zip(&part.usable) {
        let unusable = part.labelled - usable.usable.min(part.labelled);
        if share(unusable, part.labelled) > 0.05 {
            warnings.push(format!(
                "partial: version {version} has a usable prediction of {} of {} labelled rows",
                usable.usable, part.labelled
            ));
        }
    }
    warnings
}

/// Returns warnings about metrics computed from bins.
pub fn of_bins(results: &[OneResult]) -> Vec<String> {
    let mut warnings = Vec::new();
    if results.iter().any(|result| result.scores == Some("binned")) {
        warnings.push(format!(
            "scores_binned: the labelled scores take more than {} MiB: ranking metrics come with the largest error that binning can have made",
            MEMORY_BYTES >> 20
        ));
    }
    let bounds = results.iter().flat_map(|result| &result.bounds);
    for (metric, bound) in bounds.filter(|(_, bound)| **bound > COARSE) {
        let warning = format!(
            "binned_coarsely: {metric} may be off by {bound:.4}: scores lie close together"
        );
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings
}
