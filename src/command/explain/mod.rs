//! `helenus explain`.

mod at;
mod json;
mod prepared;
mod stored;

use serde_json::Value;

use self::{json::as_json, prepared::input_text, stored::stored_text};
use super::{Context, parse_time, run::run_line};
use crate::{
    control::jobs,
    domain::{model::verdict::Verdict, printable::printable},
    failure::Failure,
    inspect::explain::{
        self, Explained, ExplainedVersion, Fed, KeyWords, Recomputed, StoredPrediction,
    },
    output::{self, Answer},
};

/// Show how the predictions of one entity were made
///
/// Shows for each version: the model's inputs, from the source's cells through the job's casts; the
/// stored outputs beside the outputs recomputed now; the lineage of the stored prediction and the
/// run that wrote it; and the aliases that pointed at the version then and point at it now.
///
/// Examples:
///
///     helenus explain tumour 842302
///     helenus explain visits clinic=north patient=7
///     helenus explain tumour 842302 --at 2026-03-01T14:03:00Z
///
/// With --at it shows each version's last prediction before that time and where the aliases pointed
/// then, from the job's history (history = true in its manifest). Without a history it only knows
/// predictions that are still stored.
///
/// Exit code 5: neither a row nor a prediction has that key.
///
/// Of a blob of more than 64 bytes, "value" in "source" is {"bytes", "first"}: its size and its first
/// bytes; source_hash covers all of them. So is "stored" of a feature that is prepared.
///
/// JSON result: {"job", "revision", "source_table", "target", "key": {…}, "source": null or
///   {column: {"type", "value"}}, "served": {"version", "arm"}, "versions": {version: {"model", "model_sha256", "aliases",
///   "revision", "fed": [{"input", "place", "width", "feature", "column", "stored", "value",
///   "rejected"}], "input_hash", "source_hash", "stored": null or {"outputs", "lineage": {…},
///   "aliases_then", "run"}, "recomputed": {"outputs", "rejected", "not_scored"}, "verdict",
///   "differing": [column …]}}}; with --at {"job", "revision", "target", "history", "key", "at",
///   "aliases": {alias: version}, "versions": {version: {"aliases", "outputs", "lineage",
///   "aliases_then", "run"}}}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// The entity's key: NAME=VALUE for each primary key column (CQL literals without quotes), or
    /// one value if the key is one column
    #[arg(required = true, value_name = "KEY", allow_negative_numbers = true)]
    key: Vec<String>,
    /// Show the predictions as of this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// Explains the entity's predictions.
///
/// # Errors
/// See the exit codes.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let at = args.at.as_deref().map(parse_time).transpose()?;
    let store = context.store().await?;
    jobs::answer(&store, &args.job).await?;
    if let Some(at) = at {
        let key = KeyWords(args.key);
        let then = Box::pin(explain::explain_at(&store, &args.job, &key, at)).await?;
        return Ok(at::answer(&then));
    }
    let key = KeyWords(args.key);
    let explained = Box::pin(explain::explain(&store, &args.job, &key)).await?;
    Ok(Answer::new(as_json(&explained), text(&explained)))
}

fn tables(explained: &Explained) -> (String, String) {
    let (source, target) = (&explained.job.source, &explained.job.target);
    (
        format!("{}.{}", source.keyspace, source.table),
        format!("{}.{}", target.keyspace, target.table),
    )
}

fn differing<'a>(explained: &'a Explained, version: &ExplainedVersion) -> Vec<&'a str> {
    let Some(Verdict::Differing(columns)) = &version.verdict else {
        return Vec::new();
    };
    let outputs = &explained.job.target.outputs;
    let name = |at: &usize| outputs.get(*at).map(|column| column.name.as_str());
    columns.iter().filter_map(name).collect()
}

fn hash(hash: Option<u128>) -> Option<String> {
    hash.map(|hash| hex::encode(hash.to_be_bytes()))
}

fn text(explained: &Explained) -> String {
    let key = explained.key.iter();
    let key: Vec<_> = key
        .map(|(name, value)| format!("{name} = {}", plain(value)))
        .collect();
    let (source, target) = tables(explained);
    let mut text = format!(
        "{} of job {}, revision {}: {source} -> {target}\n",
        key.join(", "),
        explained.job.job,
        explained.revision
    );
    if let Some(version) = explained.served.version {
        let arm = explained.served.arm.as_ref();
        let arm = arm.map_or_else(String::new, |arm| format!(", arm {arm}"));
        text.push_str(&format!("served by version {version}{arm}\n"));
    }
    if explained.source.is_none() {
        text.push_str(&format!(
            "\n{source} has no such row: the stored predictions are orphaned\n"
        ));
    }
    for (versions, fed) in group_by_inputs(explained) {
        let rows = fed.iter().map(|one| {
            [
                place(one, fed),
                one.feature.clone(),
                one.column.clone(),
                stored_text(&one.stored),
                match &one.value {
                    Ok(value) => input_text(value),
                    Err(reason) => format!("rejected: {reason}"),
                },
            ]
        });
        let header = ["PLACE", "FEATURE", "COLUMN", "STORED", "MODEL INPUT"];
        text.push_str(&format!(
            "\ninputs of version {}\n\n{}\n",
            versions.join(" and "),
            output::table(header, rows)
        ));
    }
    for (number, version) in &explained.versions {
        text.push_str(&version_text(explained, *number, version));
    }
    text
}

/// Groups versions that have the same inputs, so that they are shown once.
fn group_by_inputs(explained: &Explained) -> Vec<(Vec<String>, &[Fed])> {
    let mut groups: Vec<(Vec<String>, &[Fed])> = Vec::new();
    for (number, version) in &explained.versions {
        if version.fed.is_empty() {
            continue;
        }
        match groups.iter_mut().find(|(_, fed)| *fed == version.fed) {
            Some((versions, _)) => versions.push(number.to_string()),
            None => groups.push((vec![number.to_string()], &version.fed)),
        }
    }
    groups
}

/// Renders a place as `X[3]`, `X[3..67]`, or as the input's name if it has one place.
fn place(fed: &Fed, all: &[Fed]) -> String {
    let alone = all.iter().filter(|other| other.input == fed.input).count() == 1;
    match fed.width {
        1 if alone => fed.input.clone(),
        1 => format!("{}[{}]", fed.input, fed.place),
        width => format!("{}[{}..{}]", fed.input, fed.place, fed.place + width),
    }
}

fn version_text(explained: &Explained, number: i32, version: &ExplainedVersion) -> String {
    let mut text = format!("\nversion {number} of model {}", version.model);
    if !version.aliases.is_empty() {
        text.push_str(&format!(" ({})", version.aliases.join(", ")));
    }
    text.push_str(&format!(": {}\n\n", verdict_text(explained, version)));
    let mut rows = Vec::new();
    for (at, column) in explained.job.target.outputs.iter().enumerate() {
        let stored = version.stored.as_ref();
        let stored = stored.and_then(|stored| {
            let mut outputs = stored.outputs.iter();
            outputs.find(|(name, _)| *name == column.name)
        });
        let recomputed = match &version.recomputed {
            Recomputed::Outputs(values) => values.get(at).map_or_else(|| "-".to_owned(), short),
            _ => "-".to_owned(),
        };
        let stored = stored.map_or_else(|| "-".to_owned(), |(_, value)| short(value));
        rows.push([column.name.clone(), stored, recomputed]);
    }
    text.push_str(&output::table(["OUTPUT", "STORED", "RECOMPUTED"], rows));
    text.push('\n');
    match &version.recomputed {
        Recomputed::Outputs(_) => {}
        Recomputed::Rejected(reason) => {
            text.push_str(&format!("  the row is rejected: {reason}\n"))
        }
        Recomputed::Not(reason) => text.push_str(&format!("  not recomputed: {reason}\n")),
    }
    if version.revision != explained.revision && version.sha256.is_some() {
        text.push_str(&format!(
            "  no longer a version of the job: recomputed with the mapping of revision {}\n",
            version.revision
        ));
    }
    if let Some(stored) = &version.stored {
        text.push_str(&lineage_text(stored));
    }
    text
}

fn lineage_text(stored: &StoredPrediction) -> String {
    let lineage = &stored.lineage;
    let mut text = String::new();
    if let Some(at) = lineage.scored_at {
        text.push_str(&format!("  scored {}", at.format("%F %T%.3f UTC")));
        if let Some(revision) = lineage.job_revision {
            text.push_str(&format!(" by revision {revision}"));
        }
        match stored.aliases_then.as_slice() {
            [] => text.push_str(", when no alias pointed at this version\n"),
            then => text.push_str(&format!(", when this version was {}\n", then.join(", "))),
        }
    }
    match (&stored.run, lineage.run_id) {
        (Some(run), _) => text.push_str(&format!("  {}\n", run_line(run))),
        (None, Some(id)) => text.push_str(&format!("  run {id}, whose row was removed\n")),
        (None, None) => {}
    }
    let hashes = [
        ("model", lineage.model_sha256.as_ref().map(hex::encode)),
        ("input", hash(lineage.input_hash)),
        ("source", hash(lineage.source_hash)),
    ];
    for (name, hash) in hashes {
        let hash = hash.unwrap_or_else(|| "-".to_owned());
        text.push_str(&format!("  {name:<6} {hash}\n"));
    }
    text
}

fn verdict_text(explained: &Explained, version: &ExplainedVersion) -> String {
    let Some(stored) = &version.stored else {
        return match explained.source {
            Some(_) => "pending, no prediction stored yet".to_owned(),
            None => "no prediction stored".to_owned(),
        };
    };
    let row_changed = version.source_hash != stored.lineage.source_hash;
    let reason = stored.lineage.rejected.clone().unwrap_or_default();
    match &version.verdict {
        None if explained.source.is_none() => "orphaned".to_owned(),
        None => "not verified".to_owned(),
        Some(Verdict::Matching) if row_changed => {
            "matching; columns that the model does not read have changed since".to_owned()
        }
        Some(Verdict::Matching) => {
            "matching, the stored values are what the model returns".to_owned()
        }
        Some(Verdict::Stale) if row_changed => {
            "stale, the row has changed since it was scored".to_owned()
        }
        Some(Verdict::Stale) => {
            "stale, mapping or outputs have changed since it was scored".to_owned()
        }
        Some(Verdict::Rejected) => format!("rejected, as stored ({reason})"),
        Some(Verdict::NoLongerRejected) => {
            format!("DIFFERING, stored as rejected ({reason}) but the model scores the row")
        }
        Some(Verdict::NowRejected(reason)) => {
            format!("DIFFERING, a prediction is stored but the row is rejected ({reason})")
        }
        Some(Verdict::Differing(_)) => {
            format!("DIFFERING in {}", differing(explained, version).join(", "))
        }
        Some(Verdict::Unproven) => "UNPROVEN, the stored prediction has no lineage".to_owned(),
        Some(Verdict::OtherModel) => {
            "DIFFERING, another model made the stored prediction".to_owned()
        }
    }
}

/// Renders a value, texts without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text).into_owned(),
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

/// Renders a value for a table; a long list becomes its first elements and their number.
pub(in crate::command) fn short(value: &Value) -> String {
    const ELEMENTS: usize = 3;
    const CHARACTERS: usize = 48;
    match value {
        Value::Array(values) if values.len() > ELEMENTS => {
            let first: Vec<_> = values.iter().take(ELEMENTS).map(short).collect();
            format!("[{}, … {} values]", first.join(", "), values.len())
        }
        Value::Array(values) => {
            let all: Vec<_> = values.iter().map(short).collect();
            format!("[{}]", all.join(", "))
        }
        Value::Object(parts) => {
            let parts: Vec<_> = parts
                .iter()
                .map(|(name, value)| format!("{name} {}", short(value)))
                .collect();
            parts.join(", ")
        }
        other => {
            let text = plain(other);
            match text.char_indices().nth(CHARACTERS) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_values_are_cut_and_counted() {
        assert_eq!(
            short(&json!([0.5, 1, "NaN", 4, 5])),
            "[0.5, 1, NaN, … 5 values]"
        );
        assert_eq!(short(&json!([1, 2])), "[1, 2]");
        assert_eq!(short(&Value::Null), "null");
        let long = "é".repeat(60);
        assert_eq!(short(&json!(long)).chars().count(), 49);
    }

    #[test]
    fn places_are_named_by_their_input() {
        let fed = |input: &str, place, width| Fed {
            input: input.to_owned(),
            place,
            width,
            feature: String::new(),
            column: String::new(),
            stored: Value::Null,
            value: Ok(Value::Null),
        };
        let all = [fed("X", 0, 1), fed("X", 1, 64), fed("city", 0, 1)];
        let places: Vec<_> = all.iter().map(|one| place(one, &all)).collect();
        assert_eq!(places, ["X[0]", "X[1..65]", "city"]);
    }
}
