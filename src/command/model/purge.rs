//! `helenus model purge`.

use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};

use super::super::Context;
use crate::{
    codec::utc,
    control::purge::{self, Orphan},
    domain::duration,
    failure::Failure,
    output::Answer,
};

/// Delete stored files that no version of any model uses
///
/// An interrupted push leaves chunks behind, and so does deleting a version's row. Files that a
/// version uses stay, and so do files written within the last day, so that a push in progress loses
/// nothing. Needs permission to write model_chunks.
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
    /// Only files whose last write is older than this (minimum: `24h`)
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration::parse)]
    older_than: Duration,
    /// Only show which files would be deleted
    #[arg(long)]
    dry_run: bool,
}

/// Purges the files and lists them.
///
/// # Errors
/// Exit 2: an age below a day; exit 3: Cassandra, or no permission to delete chunks.
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
                utc::to_second(file.written_at)
            )
        })
        .collect();
    lines.push(format!(
        "{} files {}; {} unused files are too new; {} files are in use",
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
        "written_at": file.written_at,
    })
}
