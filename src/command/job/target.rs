//! `helenus job target …`: which keyspaces jobs may write into besides their source's.

use clap::Subcommand;
use serde_json::json;

use super::{super::model::time, Context};
use crate::{
    domain::problem::Problem,
    failure::Failure,
    output::{self, Answer},
    process,
};

/// Arguments of `job target`.
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

/// Let jobs that read a source write into another keyspace
///
/// Who may define jobs could otherwise have the worker copy what he may not read to where he may.
/// Into the source's own keyspace every job may write. For administrators: the row is theirs.
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
    /// A table (KEYSPACE.TABLE), or a keyspace with all its tables, by the exact name
    source: String,
    /// The keyspace to write into
    target_keyspace: String,
    /// Why; kept with the row
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// List what is allowed
///
/// Example:
///
///     helenus job target list
///
/// JSON result: [{"source", "target_keyspace", "allowed_by", "allowed_at", "note"} …]
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ListArgs {}

/// Take a permission back
///
/// Runs that are planned from now on are refused; one that is under way goes on. What was written
/// stays.
///
/// Example:
///
///     helenus job target revoke clinic.biopsies research
///
/// JSON result: {"source", "target_keyspace", "allowed": false}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RevokeArgs {
    /// As it was allowed
    source: String,
    /// The keyspace
    target_keyspace: String,
}

impl Args {
    /// The command's words, as the JSON object names them.
    pub fn name(&self) -> &'static str {
        match &self.command {
            Target::Allow(_) => "job target allow",
            Target::List(_) => "job target list",
            Target::Revoke(_) => "job target revoke",
        }
    }
}

/// Runs one of them.
///
/// # Errors
/// Exit 5: nothing to revoke; exit 3: this login may not.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    match args.command {
        Target::Allow(args) => {
            let (source, target) = (args.source.as_str(), args.target_keyspace.as_str());
            store
                .allow_target(source, target, &process::user(), args.note.as_deref())
                .await?;
            Ok(told(source, target, true))
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
                        format!("{source} was never allowed to go into keyspace {target}"),
                    )
                    .help("`helenus job target list` shows what is"),
                ));
            }
            store.revoke_target(source, target).await?;
            Ok(told(source, target, false))
        }
        Target::List(_) => {
            let rows = store.job_targets().await?;
            let result = rows.iter().map(|row| {
                json!({
                    "source": row.source, "target_keyspace": row.target_keyspace,
                    "allowed_by": row.allowed_by, "allowed_at": time(row.allowed_at), "note": row.note,
                })
            });
            let result = result.collect();
            let lines = rows.into_iter().map(|row| {
                [
                    row.source,
                    row.target_keyspace,
                    row.allowed_by.unwrap_or_default(),
                    time(row.allowed_at).unwrap_or_default(),
                    row.note.unwrap_or_default(),
                ]
            });
            let header = ["SOURCE", "MAY GO INTO", "ALLOWED BY", "AT", "NOTE"];
            Ok(Answer::new(result, output::table(header, lines)))
        }
    }
}

fn told(source: &str, target: &str, allowed: bool) -> Answer {
    let said = match allowed {
        true => format!("jobs that read {source} may write into keyspace {target}"),
        false => format!("no further run takes {source} into keyspace {target}"),
    };
    Answer::new(
        json!({"source": source, "target_keyspace": target, "allowed": allowed}),
        said,
    )
}
