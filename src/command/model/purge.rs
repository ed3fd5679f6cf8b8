//! `helenus model purge`.

use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};

use super::super::Context;
use crate::{
    failure::Failure,
    output::Answer,
    worker::purge::{self, Orphan},
};

/// Delete stored files that no version of any model names
///
/// Pushes that were given up half-way leave chunks behind, and so does deleting a version's row.
/// Files that a version names stay, and so do those that were written within the last day: a push
/// that goes on at the same time loses nothing. Needs the right to write model_chunks.
///
/// Examples:
///
///     helenus model purge --dry-run
///     helenus model purge --older-than 168h
///
/// JSON result: {"dry_run": bool, "purged": [{"sha256", "chunks", "written_at"} …],
///   "young": [as purged …], "named": n}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Only files that were last written longer ago than so many hours (`24h` at least)
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = hours)]
    older_than: Duration,
    /// Only tell which
    #[arg(long)]
    dry_run: bool,
}

fn hours(text: &str) -> Result<Duration, String> {
    let (number, unit) = match (text.strip_suffix('h'), text.strip_suffix('d')) {
        (Some(number), _) => (number, 3_600),
        (_, Some(number)) => (number, 86_400),
        _ => (text, 0),
    };
    let number: u64 = number.trim().parse().unwrap_or(0);
    number
        .checked_mul(unit)
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
        .ok_or_else(|| "write hours or days: `24h`, `7d`".to_owned())
}

/// Purges, reports.
///
/// # Errors
/// An age below a day; Cassandra's, or no right to delete chunks.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let purged = purge::purge(&store, Utc::now(), args.older_than, args.dry_run).await?;
    let result = json!({
        "dry_run": args.dry_run,
        "purged": purged.files.iter().map(as_json).collect::<Value>(),
        "young": purged.young.iter().map(as_json).collect::<Value>(),
        "named": purged.named,
    });
    let mut lines: Vec<String> = purged
        .files
        .iter()
        .map(|file| {
            format!(
                "{}  {} chunks, last written {}",
                hex::encode(&file.sha256),
                file.chunks,
                file.written_at.to_rfc3339()
            )
        })
        .collect();
    lines.push(format!(
        "{} files {}; {} of no version are too young; {} belong to versions",
        purged.files.len(),
        match args.dry_run {
            true => "would be deleted",
            false => "deleted",
        },
        purged.young.len(),
        purged.named
    ));
    Ok(Answer::new(result, lines.join("\n")))
}

fn as_json(file: &Orphan) -> Value {
    json!({
        "sha256": hex::encode(&file.sha256),
        "chunks": file.chunks,
        "written_at": file.written_at.to_rfc3339(),
    })
}
