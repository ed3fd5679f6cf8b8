//! `helenus token new`.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde_json::json;

use super::{Context, FileArg, TokenFile};
use crate::{
    codec::utc,
    domain::{
        duration,
        problem::Problem,
        token::{self, Right, TokenEntry},
    },
    failure::Failure,
    output::Answer,
};

/// Make a token for a caller of `helenus serve`
///
/// Prints the token once; helenus keeps only its SHA-256. The entry is added to the file of tokens
/// (--file, or the setting serve.tokens; a new file gets mode 0600), which a running server reads
/// within a second. Without a file the entry is printed, to be added by hand.
///
/// Rights: score (get predictions), read (jobs, models, runs, metrics), run (ask for runs and
/// cancel them), promote (promote and roll back), approve (approve what a gate waits for).
///
/// Examples:
///
///     helenus token new webshop --rights score --job tumour --expires 90d
///     helenus token new ops --rights read,run,promote --file /etc/helenus/tokens.toml
///
/// JSON result: {"name", "token", "file": path or null, "entry": TOML, "rights": [right …],
///   "jobs", "models": [name …] or null, "expires": time or null}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The caller's name, which is written to `requested_by`
    name: String,
    /// What the caller may do, separated by commas
    #[arg(long, value_name = "RIGHT", value_delimiter = ',', required = true, value_parser = right)]
    rights: Vec<Right>,
    /// Permit this job only; can be repeated [default: all jobs]
    #[arg(long = "job", value_name = "JOB")]
    jobs: Vec<String>,
    /// Permit this model only; can be repeated [default: all models]
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// Time after which the token is refused (90d), or the first day (2027-01-31, UTC) or moment
    /// (2027-01-31T12:00:00Z) on which it is [default: never]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    #[command(flatten)]
    file: FileArg,
}

fn right(word: &str) -> Result<Right, String> {
    Right::parse(word).ok_or_else(|| format!("use {}", Right::words()))
}

/// Makes the token and adds it to the file.
///
/// # Errors
/// Exit 2: an invalid name or time, or a file that has errors or cannot be written; exit 4: the
/// name is taken.
pub fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    token::check_name(&args.name).map_err(|message| usage("NAME", message))?;
    let expires = args.expires.as_deref();
    let expires = expires.map(|text| moment(text, Utc::now())).transpose()?;
    let secret = token::token(rand::random());
    let limited = |names: Vec<String>| (!names.is_empty()).then_some(names);
    let mut rights = args.rights;
    rights.sort_unstable();
    rights.dedup();
    let entry = TokenEntry {
        name: args.name,
        sha256: token::sha256(&secret),
        rights,
        jobs: limited(args.jobs),
        models: limited(args.models),
        expires,
    };
    let path = args.file.path(context);
    if let Some(path) = &path {
        let file = TokenFile::open(path)?;
        if file.has(&entry.name) {
            let message = format!("there is a token `{}` already", entry.name);
            let problem = Problem::new("tokens.taken", message).at(path.display().to_string());
            let help = format!(
                "use another name, or first run `helenus token revoke {}`",
                entry.name
            );
            return Err(Failure::conflict(problem.help(help)));
        }
        let text = token::append(&file.text, &entry);
        file.replace(&text)?;
    }
    let path = path.map(|path| path.display().to_string());
    let text = match &path {
        Some(path) => format!(
            "{secret}\n\nkept in {path} as `{}`; the token itself is not shown again",
            entry.name
        ),
        None => format!(
            "{secret}\n\nThe token itself is not shown again. Add this to the file of tokens:\n\n{}",
            entry.render()
        ),
    };
    let result = json!({
        "name": entry.name, "token": secret, "file": path, "entry": entry.render(),
        "rights": entry.rights, "jobs": entry.jobs, "models": entry.models,
        "expires": entry.expires.map(utc::to_second),
    });
    Ok(Answer::new(result, text))
}

/// Returns the moment that a duration from now, a date or a time names.
fn moment(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Failure> {
    let moment = if let Ok(duration) = duration::parse(text) {
        let duration = TimeDelta::from_std(duration).ok();
        duration.and_then(|duration| now.checked_add_signed(duration))
    } else if let Ok(date) = text.parse::<NaiveDate>() {
        Some(date.and_time(NaiveTime::MIN).and_utc())
    } else {
        let time = DateTime::parse_from_rfc3339(text).ok();
        time.map(|time| time.with_timezone(&Utc))
    };
    // TOML has four digits for the year.
    let last = NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or(NaiveDate::MAX);
    match moment {
        Some(moment) if moment <= now => {
            Err(usage("--expires", format!("`{text}` is in the past")))
        }
        Some(moment) if moment.date_naive() <= last => Ok(moment),
        _ => Err(usage(
            "--expires",
            format!("invalid time `{text}`: use 90d, 2027-01-31 or 2027-01-31T12:00:00Z"),
        )),
    }
}

fn usage(place: &str, message: String) -> Failure {
    Failure::input(Problem::new("usage", message).at(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_a_duration_a_date_or_a_time() {
        let now: DateTime<Utc> = "2026-11-01T10:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("90d", "2027-01-30T10:00:00+00:00"),
            ("2027-01-31", "2027-01-31T00:00:00+00:00"),
            ("2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00+00:00"),
        ] {
            assert_eq!(moment(text, now).unwrap().to_rfc3339(), expected, "{text}");
        }
        for wrong in ["", "soon", "0d", "2026-11-01", "9999999d", "10000-01-01"] {
            assert!(moment(wrong, now).is_err(), "{wrong}");
        }
    }
}
