//! `helenus verify`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::Context;
use crate::{
    domain::problem::Problem,
    failure::Failure,
    output::{self, Answer, Format},
    store::Store,
    worker::{
        run::context::Progress,
        verify::{self, Absent, Report, VersionTally, Wish},
    },
};

/// Score today's rows again and hold the stored predictions against it
///
/// Reads predictions with their lineage, fetches the model that each names, feeds it today's
/// features through the job's mapping, and counts for each version:
///   matching    what stands is what the model says: |a - b| <= 1e-6 + 1e-5 |b| for each number;
///               a label may differ where its best scores lie that close together
///   stale       made of other values, or by another mapping; the next run replaces it
///   differing   made of the same values, and not what the model says; or without proof
///   rejected    stands as rejected, and the row still is (or no longer is)
/// and with --coverage
///   missing     source rows without a prediction
///   orphaned    predictions without a source row
///
/// Nothing is written.
///
/// Examples:
///
///     helenus verify tumour
///     helenus verify tumour --sample 1000 --coverage
///
/// Exit code 1: a prediction differs, a rejected row no longer is, or one is missing (--coverage).
/// JSON result: {"job", "revision", "sample", "source_rows", "versions": {version: {"aliases",
///   "model_sha256", "seen", "matching", "stale", "differing", "rejected", "no_longer_rejected"}},
///   "differences": [{"key", "version", "column", "stored", "recomputed"}], "coverage": null or
///   {"source_rows", "versions": {version: {"missing", "orphaned"}}, "missing": […], "orphaned": […]}}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// Look at about N source rows in random places of the ring, instead of all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sample: Option<u64>,
    /// Also look for missing and orphaned predictions, over the whole table
    #[arg(long)]
    coverage: bool,
    /// Only this version of those the job names (may be repeated)
    #[arg(long = "version", value_name = "N")]
    versions: Vec<i32>,
}

/// Looks, reports.
///
/// # Errors
/// Exit 5 for an unknown job, 2 for one that does not fit its tables, 3 for Cassandra's.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let wish = Wish {
        job: args.job,
        versions: (!args.versions.is_empty()).then(|| args.versions.into_iter().collect()),
        sample: args.sample,
        coverage: args.coverage,
    };
    let store = context.store().await?;
    let progress = Arc::<Progress>::default();
    let bar = bar(&store, &wish, context.format).await;
    let drawing = tokio::spawn(draw(bar.clone(), Arc::clone(&progress)));
    let report = verify::verify(&store, &wish, progress).await;
    drawing.abort();
    bar.finish_and_clear();
    Ok(answer(&report?, &wish))
}

async fn bar(store: &Store, wish: &Wish, format: Format) -> ProgressBar {
    let rows = match wish.sample {
        Some(rows) if !wish.coverage => Some(rows),
        _ => estimated_rows(store, &wish.job).await,
    };
    let (bar, template) = match rows {
        Some(rows) => (
            ProgressBar::new(rows),
            "{elapsed_precise} {bar:30} ~{percent} % {pos} rows looked at, {per_sec}, ETA {eta}",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{elapsed_precise} {spinner} {pos} rows looked at, {per_sec}",
        ),
    };
    if format == Format::Json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar.with_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

/// For the bar alone: no answer, or a wrong one, spoils nothing.
async fn estimated_rows(store: &Store, job: &str) -> Option<u64> {
    let last = store.runs(job, 1).await.ok()?.into_iter().next()?;
    let (keyspace, table) = last.source.split_once('.')?;
    let estimate = store.estimated_partitions(keyspace, table).await.ok()??;
    Some(estimate.max(last.counts.source_rows))
}

async fn draw(bar: ProgressBar, progress: Arc<Progress>) {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        bar.set_position(progress.so_far().0);
    }
}

fn answer(report: &Report, wish: &Wish) -> Answer {
    let mut answer = Answer::new(as_json(report, wish), text(report, wish));
    for run in &report.open_runs {
        answer.warnings.push(format!(
            "run {run} was open meanwhile: rows that it had not reached show as stale or missing"
        ));
    }
    let wrong: u64 = report
        .tally
        .versions
        .values()
        .map(VersionTally::wrong)
        .sum();
    let missing = report.coverage.as_ref().map_or(0, |coverage| {
        coverage.versions.values().map(|tally| tally.missing).sum()
    });
    let mut failures = Vec::new();
    if wrong > 0 {
        failures.push(
            Problem::new(
                "verify.differs",
                format!("{wrong} predictions are not what their models say"),
            )
            .help(format!(
                "was {} altered by hand? `helenus score {} --scope all` writes all anew",
                target(report),
                wish.job
            )),
        );
    }
    if missing > 0 {
        failures.push(
            Problem::new(
                "verify.missing",
                format!("{missing} predictions are missing"),
            )
            .help(format!("`helenus score {}` makes them", wish.job)),
        );
    }
    answer.failed = failures
        .into_iter()
        .map(Failure::no)
        .reduce(|mut all, one| {
            all.problems.extend(one.problems);
            all
        });
    answer
}

fn target(report: &Report) -> String {
    let target = &report.job.target;
    format!("{}.{}", target.keyspace, target.table)
}

fn aliases_of(report: &Report, version: i32) -> Vec<&str> {
    let aliases = report.aliases.iter();
    aliases
        .filter(|(_, points_at)| **points_at == version)
        .map(|(alias, _)| alias.as_str())
        .collect()
}

/// Each version of the job with what was found of it.
fn versions<'a>(
    report: &'a Report,
    tallies: &'a BTreeMap<i32, VersionTally>,
) -> impl Iterator<Item = (i32, &'a [u8; 32], VersionTally)> {
    report.job.versions.iter().map(|version| {
        let number = version.ready.version;
        let tally = tallies.get(&number).copied().unwrap_or_default();
        (number, &version.ready.admitted.sha256, tally)
    })
}

fn as_json(report: &Report, wish: &Wish) -> Value {
    let found = versions(report, &report.tally.versions).map(|(version, sha256, tally)| {
        let found = json!({
            "aliases": aliases_of(report, version),
            "model_sha256": hex::encode(sha256),
            "seen": tally.seen(),
            "matching": tally.matching,
            "stale": tally.stale,
            "differing": tally.differing,
            "rejected": tally.rejected,
            "no_longer_rejected": tally.no_longer_rejected,
        });
        (version.to_string(), found)
    });
    let absent = |list: &[Absent]| -> Value {
        let rows = list.iter();
        rows.map(|row| json!({"key": row.key, "version": row.version}))
            .collect()
    };
    let coverage = report.coverage.as_ref().map(|coverage| {
        let counts = versions(report, &coverage.versions).map(|(version, _, tally)| {
            let counts = json!({"missing": tally.missing, "orphaned": tally.orphaned});
            (version.to_string(), counts)
        });
        json!({
            "source_rows": coverage.source_rows,
            "versions": Value::Object(counts.collect()),
            "missing": absent(&coverage.missing),
            "orphaned": absent(&coverage.orphaned),
        })
    });
    let differences = report.tally.differences.iter().map(|difference| {
        json!({
            "key": difference.key,
            "version": difference.version,
            "column": difference.column,
            "stored": difference.stored,
            "recomputed": difference.recomputed,
        })
    });
    json!({
        "job": wish.job,
        "revision": report.revision,
        "target": target(report),
        "sample": wish.sample,
        "source_rows": report.tally.source_rows,
        "versions": Value::Object(found.collect()),
        "differences": differences.collect::<Value>(),
        "coverage": coverage,
    })
}

fn text(report: &Report, wish: &Wish) -> String {
    let which = match wish.sample {
        None => "all".to_owned(),
        Some(rows) => format!("a sample of {rows} asked for"),
    };
    let mut text = format!(
        "job {}, revision {}: {} against {} source rows ({which})\n\n",
        wish.job,
        report.revision,
        target(report),
        report.tally.source_rows,
    );
    let rows = versions(report, &report.tally.versions).map(|(version, _, tally)| {
        let rejected = match tally.no_longer_rejected {
            0 => tally.rejected.to_string(),
            no_longer => format!("{} (and {no_longer} no longer)", tally.rejected),
        };
        let aliases = aliases_of(report, version);
        [
            match aliases.as_slice() {
                [] => version.to_string(),
                aliases => format!("{version} ({})", aliases.join(", ")),
            },
            tally.seen().to_string(),
            tally.matching.to_string(),
            tally.stale.to_string(),
            tally.differing.to_string(),
            rejected,
        ]
    });
    let header = [
        "VERSION",
        "SEEN",
        "MATCHING",
        "STALE",
        "DIFFERING",
        "REJECTED",
    ];
    text.push_str(&output::table(header, rows));
    if let Some(coverage) = &report.coverage {
        text.push_str(&format!(
            "\n\ncoverage of all {} source rows\n\n",
            coverage.source_rows
        ));
        let rows = versions(report, &coverage.versions).map(|(version, _, tally)| {
            [
                version.to_string(),
                tally.missing.to_string(),
                tally.orphaned.to_string(),
            ]
        });
        text.push_str(&output::table(["VERSION", "MISSING", "ORPHANED"], rows));
        list(&mut text, report, "without a prediction", &coverage.missing);
        list(
            &mut text,
            report,
            "without a source row",
            &coverage.orphaned,
        );
    }
    if !report.tally.differences.is_empty() {
        text.push_str("\n\nthe first that differ\n\n");
        let rows = report.tally.differences.iter().map(|difference| {
            [
                key(report, &difference.key),
                difference.version.to_string(),
                difference.column.clone(),
                plain(&difference.stored),
                plain(&difference.recomputed),
            ]
        });
        let header = ["KEY", "VERSION", "COLUMN", "STORED", "RECOMPUTED"];
        text.push_str(&output::table(header, rows));
    }
    text
}

fn list(text: &mut String, report: &Report, title: &str, rows: &[Absent]) {
    if rows.is_empty() {
        return;
    }
    text.push_str(&format!("\n\nthe first {title}\n\n"));
    let rows = rows
        .iter()
        .map(|row| [key(report, &row.key), row.version.to_string()]);
    text.push_str(&output::table(["KEY", "VERSION"], rows));
}

/// In the key's own order.
fn key(report: &Report, key: &BTreeMap<String, String>) -> String {
    let value = |name| key.get(name).map_or("", String::as_str);
    let columns = report.job.key.iter().map(|column| &column.name);
    let columns: Vec<_> = columns
        .map(|name| format!("{name}={}", value(name)))
        .collect();
    columns.join(" ")
}

/// A value for people: texts without their quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
