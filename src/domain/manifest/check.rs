//! The manifest's values: names, words, durations. Collects every mistake.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ColumnWish, Expect, Feature, Manifest, Outputs, TableName, VersionWish, Wide,
    read::{CountOrShare, Raw, RawColumn, RawExpect, RawFeature, RawRules},
};
use crate::domain::{
    alias::CHAMPION,
    job::{Cast, Epoch, MaxRejected, NanOutput, Rules, TextRule},
    problem::Problem,
    words::nearest,
};

/// A run fails when more than this share of its rows is rejected, unless the manifest says else:
/// what a table's owner has not called normal is told loudly.
const DEFAULT_MAX_REJECTED: f64 = 0.001;
/// Unless the manifest says else.
const DEFAULT_HISTORY_TTL: &str = "365d";
/// Cassandra's own limit: 20 years.
const MAX_TTL_SECONDS: u64 = 630_720_000;

pub(super) fn check(raw: Raw) -> Result<Manifest, Vec<Problem>> {
    let mut problems = Problems::default();
    let p = &mut problems;
    p.check_name(
        "job",
        &raw.job,
        28,
        "a lower-case letter, then up to 27 of a-z, 0-9 and _",
    );
    if raw.model.is_empty() {
        p.say(
            "model",
            "the model has no name",
            "name a model that was pushed",
        );
    }
    check_versions(&raw.versions, "versions", p);
    let source = p.table("source.table", &raw.source.table);
    let features = raw.features.map(|features| {
        features
            .into_iter()
            .map(|(name, feature)| {
                let checked = check_feature(&name, feature.0, p);
                (name, checked)
            })
            .collect()
    });
    let wide: BTreeMap<_, _> = raw
        .wide
        .into_iter()
        .map(|(input, wide)| {
            let place = format!("wide.{}", key(&input));
            check_versions(&wide.for_versions, &format!("{place}.for_versions"), p);
            check_order(&wide.order, &format!("{place}.order"), p);
            let wide = Wide {
                for_versions: wide.for_versions,
                order: wide.order,
            };
            (input, wide)
        })
        .collect();
    let history = check_history(raw.outputs.history, raw.outputs.history_ttl.as_deref(), p);
    if raw.outputs.current
        && !raw
            .versions
            .contains(&VersionWish::Alias(CHAMPION.to_owned()))
    {
        p.say(
            "outputs.current",
            "holds the champion's predictions, which this job does not make",
            "add \"champion\" to versions, or leave it out",
        );
    }
    let outputs = Outputs {
        history,
        current: raw.outputs.current,
        table: raw
            .outputs
            .table
            .map(|table| p.table("outputs.table", &table)),
        positive: raw.outputs.positive,
        classes: raw.outputs.classes,
        nan: p.word(
            "outputs.nan",
            raw.outputs.nan.as_deref().unwrap_or("reject"),
            &[("reject", NanOutput::Reject), ("allow", NanOutput::Allow)],
        ),
        columns: raw
            .outputs
            .columns
            .into_iter()
            .map(|(name, column)| {
                let checked = check_column(&name, column, p);
                (name, checked)
            })
            .collect(),
    };
    let rules = check_rules(raw.rules, p);
    let expect = raw.expect.map(|expect| check_expect(expect, p));
    if !problems.0.is_empty() {
        return Err(problems.0);
    }
    Ok(Manifest {
        job: raw.job,
        model: raw.model,
        versions: raw.versions,
        source,
        source_version: raw.source.version,
        features,
        wide,
        outputs,
        rules,
        expect,
    })
}

fn check_versions(versions: &[VersionWish], place: &str, p: &mut Problems) {
    if versions.is_empty() {
        p.say(
            place,
            "names no version",
            "list numbers or aliases, such as [\"champion\", 7]",
        );
    }
    let mut seen = BTreeSet::new();
    for version in versions {
        if !seen.insert(version) {
            p.say(place, format!("names {version} twice"), "name it once");
        }
    }
}

fn check_order(order: &[String], place: &str, p: &mut Problems) {
    let mut seen = BTreeSet::new();
    for feature in order {
        if !seen.insert(feature) {
            p.say(
                place,
                format!("names `{feature}` twice"),
                "a model's input holds each feature once",
            );
        }
    }
    if order.is_empty() {
        p.say(
            place,
            "names no feature",
            "list the features in the order the model was trained with",
        );
    }
}

fn check_feature(name: &str, raw: RawFeature, p: &mut Problems) -> Feature {
    let place = format!("features.{}", key(name));
    let at = |word: &str| format!("{place}.{word}");
    if raw.width == Some(0) {
        p.say(
            &at("width"),
            "must be at least 1",
            "leave it out for a number",
        );
    }
    Feature {
        column: raw.column,
        cast: raw.cast.map(|cast| {
            p.word(
                &at("cast"),
                &cast,
                &[("float", Cast::Float), ("lossy", Cast::Lossy)],
            )
        }),
        epoch: raw.epoch.map(|epoch| {
            p.word(
                &at("as"),
                &epoch,
                &[
                    ("epoch_s", Epoch::Seconds),
                    ("epoch_ms", Epoch::Milliseconds),
                    ("epoch_days", Epoch::Days),
                ],
            )
        }),
        null: raw.null,
        text: raw.text.map(|text| {
            p.word(
                &at("text"),
                &text,
                &[
                    ("raw", TextRule::Raw),
                    ("nfc", TextRule::Nfc),
                    ("trim+nfc", TextRule::TrimNfc),
                ],
            )
        }),
        width: raw.width,
        reject_nonfinite: raw.nonfinite.map(|word| {
            p.word(
                &at("nonfinite"),
                &word,
                &[("reject", true), ("allow", false)],
            )
        }),
    }
}

fn check_column(name: &str, raw: RawColumn, p: &mut Problems) -> ColumnWish {
    let place = format!("outputs.columns.{}", key(name));
    if name.is_empty() {
        p.say(&place, "the column has no name", "give it one");
    }
    let labels = raw.labels.map(|labels| {
        let number = |(label, name): (String, String)| match label.parse() {
            Ok(label) => Some((label, name)),
            Err(_) => {
                p.say(
                    &format!("{place}.labels"),
                    format!("`{label}` is no integer label"),
                    "write labels = { 0 = \"benign\", 1 = \"malignant\" }",
                );
                None
            }
        };
        labels.into_iter().filter_map(number).collect()
    });
    if labels.is_some() && raw.class.is_some() {
        p.say(
            &place,
            "has both `class` and `labels`",
            "`labels` names the integers of a label output, `class` picks a column of scores",
        );
    }
    ColumnWish {
        output: raw.output,
        class: raw.class,
        index: raw.index,
        labels,
    }
}

fn check_rules(raw: RawRules, p: &mut Problems) -> Rules {
    let max_rejected = match raw.max_rejected {
        None => MaxRejected::Share(DEFAULT_MAX_REJECTED),
        Some(CountOrShare::Count(rows)) if rows >= 0 => MaxRejected::Count(rows.unsigned_abs()),
        Some(CountOrShare::Text(text)) if share(&text).is_some() => {
            MaxRejected::Share(share(&text).unwrap_or(0.0))
        }
        Some(_) => {
            p.say(
                "rules.max_rejected",
                "is neither a number of rows nor a share",
                "write 100 or \"0.1%\"",
            );
            MaxRejected::Count(0)
        }
    };
    let ttl_seconds = check_ttl("rules.ttl", raw.ttl.as_deref().unwrap_or("0s"), p);
    Rules {
        max_rejected,
        delete_orphans: p.word(
            "rules.orphans",
            raw.orphans.as_deref().unwrap_or("keep"),
            &[("keep", false), ("delete", true)],
        ),
        ttl_seconds,
    }
}

/// Seconds; 0 after a complaint.
fn check_ttl(place: &str, ttl: &str, p: &mut Problems) -> i32 {
    let Some(seconds) = seconds(ttl).filter(|&seconds| seconds <= MAX_TTL_SECONDS) else {
        p.say(
            place,
            format!("`{ttl}` is no duration that Cassandra takes"),
            "write \"30d\", \"12h\", \"90m\" or \"3600s\", at most 20 years; \"0s\" keeps them for ever",
        );
        return 0;
    };
    seconds as i32
}

fn check_history(wanted: Option<bool>, ttl: Option<&str>, p: &mut Problems) -> Option<i32> {
    if wanted == Some(true) {
        let ttl = ttl.unwrap_or(DEFAULT_HISTORY_TTL);
        return Some(check_ttl("outputs.history_ttl", ttl, p));
    }
    if ttl.is_some() {
        p.say(
            "outputs.history_ttl",
            "means nothing without a history",
            "write history = true, too, or leave it out",
        );
    }
    None
}

fn share(text: &str) -> Option<f64> {
    let percent: f64 = text.trim().strip_suffix('%')?.trim().parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

fn seconds(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let number: u64 = text[..text.len() - unit.len_utf8()].trim().parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds)
}

fn check_expect(raw: RawExpect, p: &mut Problems) -> Expect {
    if raw.file.is_none() && raw.rows.is_none() {
        p.say(
            "expect",
            "names no rows",
            "write file = \"expected.csv\", or the CSV itself as rows = \"\"\"…\"\"\"",
        );
    }
    let mut tolerance = |word: &str, said: Option<f64>, usual: f64| match said {
        Some(said) if said >= 0.0 && said.is_finite() => said,
        Some(_) => {
            p.say(
                &format!("expect.{word}"),
                "is no tolerance",
                "write a number from 0 on",
            );
            usual
        }
        None => usual,
    };
    Expect {
        rtol: tolerance("rtol", raw.rtol, 1e-5),
        atol: tolerance("atol", raw.atol, 1e-6),
        file: raw.file,
        rows: raw.rows,
    }
}

/// A key of the manifest as TOML writes it.
pub fn key(name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    match bare {
        true => name.to_owned(),
        false => format!("{name:?}"),
    }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn say(&mut self, place: &str, message: impl Into<String>, help: impl Into<String>) {
        let problem = Problem::new("job.manifest", message).at(place).help(help);
        self.0.push(problem);
    }

    fn check_name(&mut self, place: &str, name: &str, longest: usize, form: &str) {
        let good = name.len() <= longest
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !good {
            self.say(
                place,
                format!("`{name}` is no name for a {place}"),
                format!("write {form}"),
            );
        }
    }

    fn table(&mut self, place: &str, text: &str) -> TableName {
        let name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        match text.split_once('.') {
            Some((keyspace, table)) if name(keyspace) && name(table) => TableName {
                keyspace: keyspace.to_owned(),
                table: table.to_owned(),
            },
            _ => {
                self.say(
                    place,
                    format!("`{text}` is no table"),
                    "write keyspace.table, both as the schema has them, without quotes",
                );
                TableName {
                    keyspace: String::new(),
                    table: String::new(),
                }
            }
        }
    }

    /// The meaning of one of a few words; the first one's after a complaint.
    fn word<T: Copy>(&mut self, place: &str, word: &str, words: &[(&str, T)]) -> T {
        if let Some((_, meaning)) = words.iter().find(|(known, _)| *known == word) {
            return *meaning;
        }
        let known: Vec<_> = words.iter().map(|(known, _)| *known).collect();
        let help = match nearest(word, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("it is one of \"{}\"", known.join("\", \"")),
        };
        self.say(place, format!("`{word}` is unknown here"), help);
        words[0].1
    }
}
