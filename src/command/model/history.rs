//! `helenus model history`.

use chrono::DateTime;
use serde_json::{Value, json};

use super::{
    super::{Context, parse_time},
    no_version,
};
use crate::{
    codec::utc,
    domain::{
        model::{
            alias::{CHAMPION, Change},
            check_name,
        },
        problem::Problem,
        run::run_id,
    },
    failure::Failure,
    output::{self, Answer},
};

/// Show where an alias pointed, when, and why
///
/// Examples:
///
///     helenus model history tumour
///     helenus model history tumour --at 2026-03-01T14:03:00Z
///
/// The same in CQL:
///
///     SELECT * FROM helenus.model_aliases WHERE model = 'tumour' AND alias = 'champion'
///       AND changed_at <= maxTimeuuid('2026-03-01 14:03+0000') LIMIT 1
///
/// JSON result: {"model", "alias", "changes": [{"changed_at", "seq", "from", "to", "who", "why",
///   "evidence", "request"} …]}, newest first; with --at only the change in force at that time
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    name: String,
    /// The alias
    #[arg(long, default_value = CHAMPION)]
    alias: String,
    /// Only the change in force at this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Maximum number of changes
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i32).range(1..))]
    limit: i32,
}

/// Reads the history.
///
/// # Errors
/// Exit 5: no such model or alias, or none at that time; exit 2: an invalid time.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    check_name("a model", &args.name).map_err(Failure::input)?;
    check_name("an alias", &args.alias).map_err(Failure::input)?;
    let at = args.at.as_deref().map(parse_time).transpose()?;
    let store = context.store().await?;
    let changes = match at {
        Some(at) => store
            .alias_at(&args.name, &args.alias, at)
            .await?
            .into_iter()
            .collect(),
        None => {
            store
                .alias_history(&args.name, &args.alias, args.limit)
                .await?
        }
    };
    if changes.is_empty() {
        if store.versions(&args.name).await?.is_empty() {
            return Err(no_version(&args.name, None));
        }
        let then = at.map_or_else(String::new, |at| format!(" at {}", utc::to_millisecond(at)));
        return Err(Failure::not_found(Problem::new(
            "model.no_alias",
            format!("model `{}` had no alias `{}`{then}", args.name, args.alias),
        )));
    }
    let rows = changes.iter().map(|change| {
        [
            changed_at(change).unwrap_or_default(),
            change
                .from
                .map_or_else(|| "-".to_owned(), |from| from.to_string()),
            change.to.to_string(),
            change.who.clone().unwrap_or_default(),
            change.why.clone().unwrap_or_default(),
        ]
    });
    let text = output::table(["WHEN", "FROM", "TO", "WHO", "WHY"], rows);
    let result = json!({
        "model": args.name,
        "alias": args.alias,
        "changes": changes.iter().map(change_json).collect::<Vec<_>>(),
    });
    Ok(Answer::new(result, text))
}

fn changed_at(change: &Change) -> Option<String> {
    let time_100ns = run_id::time_100ns(change.changed_at)?;
    let milliseconds = i64::try_from(time_100ns / 10_000).ok()?;
    DateTime::from_timestamp_millis(milliseconds).map(utc::to_millisecond)
}

fn change_json(change: &Change) -> Value {
    json!({
        "changed_at": changed_at(change),
        "seq": change.seq,
        "from": change.from,
        "to": change.to,
        "who": change.who,
        "why": change.why,
        "evidence": change.evidence,
        "request": change.request_id,
    })
}
