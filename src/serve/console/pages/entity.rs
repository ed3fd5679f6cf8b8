//! One entity: its values, the predictions of all versions with their origin, and what would be
//! predicted now.

use std::collections::BTreeMap;

use maud::html;
use serde_json::Value;

use crate::{
    inspect::explain::{self, Explained, ExplainedVersion, KeyWords, Recomputed},
    serve::{
        console::{
            place::ConsolePlace,
            query::Query,
            read::PageReader,
            table::{Table, TableCell, Tone},
            view::{Content, View},
        },
        error::ApiError,
    },
};

/// Renders a key as it stands in a URL: the value alone, or `name=value` of each column.
pub fn key_text(key: &BTreeMap<String, String>) -> String {
    if let (1, Some(value)) = (key.len(), key.values().next()) {
        return value.clone();
    }
    let words = key.iter().map(|(name, value)| format!("{name}={value}"));
    words.collect::<Vec<_>>().join(" ")
}

/// Returns the page that asks for a key.
pub fn search(job: &str, query: &Query) -> View {
    let mut view = View::new(
        ConsolePlace::Entities(job.to_owned()),
        format!("{job}: one entity"),
        "What is known about one row: its values, every version's prediction, where each comes from, and what would be predicted now.",
    );
    let typed = query.get("key").unwrap_or_default();
    let action = ConsolePlace::Entities(job.to_owned()).path();
    view.add(
        "search",
        None,
        Content::Drawn(html! {
            form .tools method="get" action=(action) role="search" aria-label="Find a row" {
                label for="key" { "Key" }
                input id="key" name="key" value=(typed) required aria-describedby="key-help";
                button type="submit" { "Show" }
            }
            p #key-help .note { "The value of the key column, or " code { "name=value" } " for each, with spaces between them." }
            @if !typed.is_empty() {
                p { a href=(ConsolePlace::Entity(job.to_owned(), typed.to_owned()).path()) { "Show " bdi { (typed) } } }
            }
        }),
    );
    view
}

/// Returns the page. It reads the source and scores the row: more than other pages do.
///
/// # Errors
/// 400 for an invalid key, 404, and those of Cassandra.
pub async fn view(reader: &PageReader<'_>, job: &str, key: &str) -> Result<View, ApiError> {
    let words = KeyWords(words(key));
    let explained = Box::pin(explain::explain(reader.store(), job, &words)).await?;
    let shown: Vec<String> = explained
        .key
        .iter()
        .map(|(name, value)| format!("{name} = {}", plain(value)))
        .collect();
    let mut view = View::new(
        ConsolePlace::Entity(job.to_owned(), key.to_owned()),
        shown.join(", "),
        format!("An entity of job {job}, revision {}.", explained.revision),
    );
    view.notices(notices(&explained));
    view.table(predictions(&explained));
    view.table(lineage(job, &explained));
    view.table(values(&explained));
    view.table(fed(&explained));
    Ok(view)
}

/// Splits a key into words at spaces before `name=`; one without a name is one word.
fn words(key: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in key.split(' ') {
        let is_named = part.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
        });
        match words.last_mut() {
            Some(last) if !is_named => {
                last.push(' ');
                last.push_str(part);
            }
            _ => words.push(part.to_owned()),
        }
    }
    words
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

fn cell(value: &Value) -> TableCell {
    match value {
        Value::Null => TableCell::Toned(Tone::Idle, "null".to_owned()),
        Value::Number(number) => TableCell::optional(number.as_f64(), TableCell::Number),
        other => TableCell::text(plain(other)),
    }
}

fn notices(explained: &Explained) -> Vec<(Tone, String)> {
    let mut notices = Vec::new();
    if explained.source.is_none() {
        notices.push((
            Tone::Warn,
            "The source does not have this row any more.".to_owned(),
        ));
    }
    match (explained.served.version, &explained.served.arm) {
        (Some(version), Some(arm)) => notices.push((
            Tone::Idle,
            format!(
                "Readers get version {version}, which the running experiment assigns (arm {arm})."
            ),
        )),
        (Some(version), None) => {
            notices.push((
                Tone::Idle,
                format!("Readers get version {version}, the champion."),
            ));
        }
        _ => {}
    }
    for (version, seen) in &explained.versions {
        if let Some(verdict) = seen.verdict.as_ref().filter(|verdict| verdict.is_wrong()) {
            let verdict = verdict.as_str().replace('_', " ");
            notices.push((
                Tone::Bad,
                format!("The stored prediction of version {version} is {verdict}."),
            ));
        }
    }
    notices
}

fn versions(explained: &Explained) -> impl Iterator<Item = (TableCell, &ExplainedVersion)> {
    explained.versions.iter().map(|(version, seen)| {
        let aliases = match seen.aliases.is_empty() {
            true => String::new(),
            false => format!(" ({})", seen.aliases.join(", ")),
        };
        let place = ConsolePlace::Version(seen.model.clone(), *version);
        (
            TableCell::link(place.path(), format!("{version}{aliases}")),
            seen,
        )
    })
}

/// Stored outputs beside those of today's values.
fn predictions(explained: &Explained) -> Table {
    let table = Table::new(
        "predictions",
        "Predictions",
        &[
            ("version", "Version"),
            ("output", "Output"),
            ("stored", "Stored"),
            ("now", "Would be now"),
            ("verdict", "The stored one is"),
        ],
    )
    .or("There is no prediction of it.");
    let outputs = &explained.job.target.outputs;
    table.with(versions(explained).flat_map(|(version, seen)| {
        let verdict = TableCell::optional(seen.verdict.as_ref(), |verdict| {
            TableCell::state(verdict.as_str())
        });
        let stored = seen.stored.as_ref();
        let rejected = stored.and_then(|stored| stored.lineage.rejected.clone());
        let whole = |now: TableCell| {
            vec![vec![
                version.clone(),
                TableCell::Empty,
                TableCell::optional(rejected.clone(), |why| {
                    TableCell::Toned(Tone::Bad, format!("rejected: {why}"))
                }),
                now,
                verdict.clone(),
            ]]
        };
        match &seen.recomputed {
            Recomputed::Outputs(values) if rejected.is_none() => outputs
                .iter()
                .zip(values)
                .map(|(output, value)| {
                    let stored = stored.and_then(|stored| {
                        let mut all = stored.outputs.iter();
                        all.find(|(name, _)| *name == output.name)
                            .map(|(_, value)| cell(value))
                    });
                    vec![
                        version.clone(),
                        TableCell::text(output.name.clone()),
                        stored.unwrap_or(TableCell::Empty),
                        cell(value),
                        verdict.clone(),
                    ]
                })
                .collect(),
            Recomputed::Outputs(_) => {
                whole(TableCell::text("a prediction: it is no longer rejected"))
            }
            Recomputed::Rejected(why) => {
                whole(TableCell::Toned(Tone::Bad, format!("rejected: {why}")))
            }
            Recomputed::Not(why) => match stored {
                Some(stored) if rejected.is_none() => stored
                    .outputs
                    .iter()
                    .map(|(name, value)| {
                        vec![
                            version.clone(),
                            TableCell::text(name.clone()),
                            cell(value),
                            TableCell::Toned(Tone::Idle, format!("not scored: {why}")),
                            verdict.clone(),
                        ]
                    })
                    .collect(),
                _ => whole(TableCell::Toned(Tone::Idle, format!("not scored: {why}"))),
            },
        }
    }))
}

fn lineage(job: &str, explained: &Explained) -> Table {
    let table = Table::new(
        "lineage",
        "Where the stored predictions come from",
        &[
            ("version", "Version"),
            ("scored", "Scored (UTC)"),
            ("run", "Run"),
            ("revision", "Revision of the job"),
            ("arm", "Arm"),
            ("aliases_then", "Aliases then"),
            ("model", "Model's SHA-256"),
        ],
    )
    .or("There is no stored prediction of it.");
    let rows = versions(explained).filter_map(|(version, seen)| {
        let stored = seen.stored.as_ref()?;
        let lineage = &stored.lineage;
        Some(vec![
            version,
            TableCell::optional(lineage.scored_at, TableCell::Time),
            super::run_cell(job, lineage.run_id, super::short),
            TableCell::optional(lineage.job_revision, |revision| {
                TableCell::Count(revision.unsigned_abs().into())
            }),
            TableCell::optional(lineage.arm.as_ref(), TableCell::text),
            TableCell::text(stored.aliases_then.join(", ")),
            TableCell::optional(lineage.model_sha256.as_ref(), |sha| {
                TableCell::Code(hex::encode(sha))
            }),
        ])
    });
    table.with(rows)
}

fn values(explained: &Explained) -> Table {
    let table = Table::new(
        "values",
        "Values of the row",
        &[("column", "Column"), ("type", "Type"), ("value", "Value")],
    )
    .or("The source has no such row.");
    table.with(explained.source.iter().flatten().map(|source| {
        vec![
            TableCell::text(source.column.clone()),
            TableCell::text(source.cql_type.clone()),
            cell(&source.value),
        ]
    }))
}

/// What the models are fed, where it differs from what is stored.
fn fed(explained: &Explained) -> Table {
    let table = Table::new(
        "fed",
        "What each version is fed",
        &[
            ("version", "Version"),
            ("feature", "Feature"),
            ("column", "Column"),
            ("stored", "Stored"),
            ("fed", "Fed"),
        ],
    );
    table.with(versions(explained).flat_map(|(version, seen)| {
        seen.fed.iter().map(move |fed| {
            vec![
                version.clone(),
                TableCell::text(fed.feature.clone()),
                TableCell::text(fed.column.clone()),
                cell(&fed.stored),
                match &fed.value {
                    Ok(value) => cell(value),
                    Err(why) => TableCell::Toned(Tone::Bad, why.clone()),
                },
            ]
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_becomes_the_words_that_it_is_made_of() {
        assert_eq!(words("172"), ["172"]);
        assert_eq!(words("site=north id=7"), ["site=north", "id=7"]);
        assert_eq!(words("name=a b c id=7"), ["name=a b c", "id=7"]);
        assert_eq!(words("a b"), ["a b"]);
        let key = [("id", "7"), ("site", "north star")];
        let key = key
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        assert_eq!(key_text(&key), "id=7 site=north star");
        assert_eq!(words(&key_text(&key)).len(), 2);
    }
}
