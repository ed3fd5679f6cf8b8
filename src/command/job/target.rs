//! `helenus job target …`: the keyspaces that jobs can write into besides their source's.

use clap::Subcommand;
use serde_json::json;

use super::Context;
use crate::{
    codec::utc,
    domain::problem::Problem,
    failure::Failure,
    output::{self, Answer},
    process,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Target,
}

#[derive(Debug, Subcommand)]
enum Target {
    Allow(AllowArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
}

/// Permit jobs that read a source to write into another keyspace
///
/// Without this restriction, a job author could use the worker to copy data they cannot read into a
/// keyspace they can. Every job can write into its source's own keyspace. Only administrators have
/// permission to write this row.
///
/// Examples:
///
///     helenus job target allow clinic.biopsies research --note "for the study"
///     helenus job target allow clinic research
///
/// JSON result: {"source", "target_keyspace", "allowed": true}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct AllowArgs {
    /// A table (KEYSPACE.TABLE) or a keyspace with all its tables, by the exact name
    source: String,
    /// The keyspace to write into
    target_keyspace: String,
    /// Reason, stored with the row
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// List the permitted keyspaces
///
/// Example:
///
///     helenus job target list
///
/// JSON result: [{"source", "target_keyspace", "allowed_by", "allowed_at", "note"} …]
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ListArgs {}

/// Revoke a permission
///
/// Runs planned from now on are refused; an open run continues. Predictions that were written stay.
///
/// Example:
///
///     helenus job target revoke clinic.biopsies research
///
/// JSON result: {"source", "target_keyspace", "allowed": false}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RevokeArgs {
    /// The source, as it was allowed
    source: String,
    /// The keyspace to write into
    target_keyspace: String,
}

/// Runs the subcommand.
///
/// # Errors
/// Exit 5: nothing to revoke; exit 3: no permission.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    match args.command {
        Target::Allow(args) => {
            let (source, target) = (args.source.as_str(), args.target_keyspace.as_str());
            store
                .allow_target(source, target, &process::user(), args.note.as_deref())
                .await?;
            Ok(answer(source, target, true))
        }
        Target::Revoke(args) => {
            let (source, target) = (args.source.as_str(), args.target_keyspace.as_str());
            let known = store.job_targets().await?;
            if !known
                .iter()
                .any(|row| row.source == source && row.target_keyspace == target)
            {
                return Err(Failure::not_found(
                    Problem::new(
                        "job.no_target",
                        format!("{source} is not permitted to go into keyspace {target}"),
                    )
                    .help("list the permissions with `helenus job target list`"),
                ));
            }
            store.revoke_target(source, target).await?;
            Ok(answer(source, target, false))
        }
        Target::List(_) => {
            let rows = store.job_targets().await?;
            let result = rows.iter().map(|row| {
                json!({
                    "source": row.source, "target_keyspace": row.target_keyspace,
                    "allowed_by": row.allowed_by, "allowed_at": row.allowed_at, "note": row.note,
                })
            });
            let result = result.collect();
            let lines = rows.into_iter().map(|row| {
                [
                    row.source,
                    row.target_keyspace,
                    row.allowed_by.unwrap_or_default(),
                    row.allowed_at.map(utc::to_millisecond).unwrap_or_default(),
                    row.note.unwrap_or_default(),
                ]
            });
            let header = ["SOURCE", "TARGET KEYSPACE", "ALLOWED BY", "AT", "NOTE"];
            Ok(Answer::new(result, output::table(header, lines)))
        }
    }
}

fn answer(source: &str, target: &str, allowed: bool) -> Answer {
    let text = match allowed {
        true => format!("jobs that read {source} can write into keyspace {target}"),
        false => format!("new runs that read {source} cannot write into keyspace {target}"),
    };
    Answer::new(
        json!({"source": source, "target_keyspace": target, "allowed": allowed}),
        text,
    )
}
