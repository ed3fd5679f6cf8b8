//! What an evaluation refuses: labels that do not fit, and rows that say nothing.

use super::{EvaluateSpec, Found, Scope};
use crate::{
    codec::{cql_type::CqlType, schema::Column},
    domain::{
        evidence::evaluation::{labels::Labels, partial::Partial, target::Target},
        problem::Problem,
    },
};

/// Checks the type of the column that says when a label was known, if there is one.
///
/// # Errors
/// It is neither a timestamp nor a date.
pub fn check_time(scope: &Scope) -> Result<(), Problem> {
    let time = scope
        .labels
        .as_ref()
        .and_then(|labels| labels.time.as_ref());
    let fits = |time: &Column| matches!(time.cql_type.thawed(), CqlType::Timestamp | CqlType::Date);
    let Some(time) = time.filter(|time| !fits(time)) else {
        return Ok(());
    };
    let message = format!("`{}` has type {}", time.name, time.cql_type);
    Err(Problem::new("labels.time_type", message)
        .at("label-time")
        .help("a timestamp, or a date (UTC; its first moment counts)"))
}

/// Checks that the label is not a feature of the models.
///
/// # Errors
/// It is one.
pub fn no_feature(scope: &Scope) -> Result<(), Problem> {
    let Some(labels) = &scope.labels else {
        return Ok(());
    };
    let source = &scope.job.source;
    let same = (&labels.table.keyspace, &labels.table.table) == (&source.keyspace, &source.table);
    let mut read = scope.job.columns[..scope.own_columns].iter();
    if same && read.any(|column| column.name == labels.column.name) {
        let message = format!("`{}` is a feature of the job", labels.column.name);
        return Err(Problem::new("labels.is_feature", message)
            .at("labels")
            .help("a model that is fed the outcome predicts it; name the column that the outcome is in"));
    }
    Ok(())
}

/// Returns how the labels of a scope are read.
///
/// # Errors
/// No labels, or a column or options that do not fit the target.
pub fn labels(scope: &Scope, wish: &EvaluateSpec, target: &Target) -> Result<Labels, Problem> {
    let Some(found) = &scope.labels else {
        return Err(Problem::new("labels.missing", "no labels are named").at("labels"));
    };
    check_time(scope)?;
    if !wish.gap.is_zero() && found.time.is_none() {
        return Err(
            Problem::new("labels.gap", "--gap is counted from the label's time")
                .at("gap")
                .help("name the column that holds it by --label-time"),
        );
    }
    Labels::new(
        &found.column.cql_type,
        wish.wording.clone(),
        target.meaning.clone(),
    )
}

/// Rejects an evaluation without any usable row, or with labels that no version predicts.
pub(super) fn check_found(scope: &Scope, found: &Found<Partial>) -> Result<(), Problem> {
    let part = &found.part;
    if part.unexpected_rows > 0 {
        let named: Vec<_> = part
            .unexpected
            .iter()
            .map(|(label, rows)| format!("`{label}` ({rows})"))
            .collect();
        let message = format!(
            "{} labels are nothing that the versions predict: {}",
            part.unexpected_rows,
            named.join(", ")
        );
        return Err(Problem::new("labels.unexpected", message)
            .at("labels")
            .help("say what they mean by --label-map LABEL=CLASS"));
    }
    if part.all.rows > 0 {
        return Ok(());
    }
    let never = scope
        .versions
        .iter()
        .zip(&part.usable)
        .find(|(_, usable)| part.labelled > 0 && usable.missing == part.labelled);
    if let Some((version, _)) = never {
        let message = format!("version {version} has no prediction of any labelled row");
        return Err(Problem::new("evaluate.never_scored", message)
            .at("versions")
            .help(format!("`helenus score {}` makes them", scope.job.job)));
    }
    let message = match (part.labelled, found.stray_labels) {
        (0, 0) => "there are no labels".to_owned(),
        (0, strays) => format!("none of {strays} labels belongs to a source row"),
        (labelled, _) => {
            format!("of {labelled} labelled rows none has a usable prediction of every version")
        }
    };
    let sums = scope.versions.iter().zip(&part.usable).map(|(version, u)| {
        format!(
            "version {version}: {} usable, {} missing, {} rejected, {} stale, {} leaked, {} immature, {} not a number",
            u.usable, u.missing, u.rejected, u.stale, u.leaked, u.immature, u.not_a_number
        )
    });
    let mut help = sums.collect::<Vec<_>>().join("; ");
    if part.untimed > 0 {
        help = format!("{help}; {} labels without a time", part.untimed);
    }
    Err(Problem::new("evaluate.nothing_in_common", message)
        .at("labels")
        .help(help))
}
