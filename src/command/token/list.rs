//! `helenus token list`.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Context, FileArg};
use crate::{
    codec::utc,
    domain::token::{Right, TokenEntry},
    failure::Failure,
    output::{Answer, table},
    serve::tokens,
};

/// List the tokens that `helenus serve` accepts
///
/// Shows names, rights and expiry of the file's entries (--file, or the setting serve.tokens).
///
/// Example:
///
///     helenus token list --file /etc/helenus/tokens.toml
///
/// JSON result: {"file", "tokens": [{"name", "rights": [right …], "jobs", "models": [name …] or
///   null, "expires": time or null, "expired": bool} …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
}

/// Lists the tokens.
///
/// # Errors
/// Exit 2: no file is known, or it cannot be read or has errors.
pub fn run(args: &Args, context: &Context) -> Result<Answer, Failure> {
    let path = args.file.required(context)?;
    let entries = tokens::read_entries(&path)?;
    let now = Utc::now();
    let shown = |entry: &TokenEntry| {
        json!({
            "name": entry.name, "rights": entry.rights, "jobs": entry.jobs,
            "models": entry.models, "expires": entry.expires.map(utc::to_second),
            "expired": entry.is_expired(now),
        })
    };
    let tokens: Vec<_> = entries.iter().map(shown).collect();
    let lines = entries.iter().map(|entry| line(entry, now));
    let text = match entries.is_empty() {
        true => "no tokens".to_owned(),
        false => table(
            ["NAME", "RIGHTS", "JOBS", "MODELS", "EXPIRES"],
            lines.collect::<Vec<_>>(),
        ),
    };
    let result = json!({"file": path.display().to_string(), "tokens": tokens});
    Ok(Answer::new(result, text))
}

fn line(entry: &TokenEntry, now: DateTime<Utc>) -> [String; 5] {
    let names = |names: &Option<Vec<String>>| match names {
        Some(names) if names.is_empty() => "none".to_owned(),
        Some(names) => names.join(", "),
        None => "all".to_owned(),
    };
    let rights = entry.rights.iter().copied().map(Right::as_str);
    let expires = match entry.expires {
        Some(at) if entry.is_expired(now) => format!("{} (expired)", utc::to_second(at)),
        Some(at) => utc::to_second(at),
        None => "never".to_owned(),
    };
    [
        entry.name.clone(),
        rights.collect::<Vec<_>>().join(", "),
        names(&entry.jobs),
        names(&entry.models),
        expires,
    ]
}
