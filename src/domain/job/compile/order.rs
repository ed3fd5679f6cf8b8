//! Warns about versions whose order of features is unproven.

use crate::domain::job::{CompiledJob, expect, manifest::Manifest};

/// The warning's code.
const CODE: &str = "order_unproven";

/// Returns whether a warning is about an unproven order. Such a warning is issued when a version is
/// admitted and when a job is answered, but not again by each run.
pub fn is_unproven(warning: &str) -> bool {
    warning.starts_with(CODE)
}

/// Returns a warning for each version whose order only `[wide]` gives and no expected row proves.
/// Expected rows that differ are not a warning: the version is then refused when it joins the job.
pub(super) fn unproven(manifest: &Manifest, job: &CompiledJob) -> Vec<String> {
    let rows = expect::of_manifest(manifest, job);
    // Problems with expected rows are reported where they are scored.
    let rows = rows.and_then(Result::ok).unwrap_or_default();
    let versions = job.versions.iter();
    versions
        .filter(|version| !version.ordered_by_manifest.is_empty())
        .filter(|version| !rows.iter().any(|row| row.proves_order_of(version)))
        .map(|version| {
            let number = version.ready.version;
            let inputs = &version.ordered_by_manifest;
            let inputs: Vec<_> = inputs.iter().map(|name| format!("`{name}`")).collect();
            format!(
                "{CODE}: version {number} has no feature names for its input {}, and no expected row proves the order from [wide]; add [expect] rows of version {number}, or push it with --features",
                inputs.join(", ")
            )
        })
        .collect()
}
