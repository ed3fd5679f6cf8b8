//! Validates the manifest's values: names, keywords, durations. Collects all mistakes.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ColumnSpec, Expect, Manifest, Outputs, TableName, VersionWish, Wide,
    drift::check_drift,
    feature::check_feature,
    read::{CountOrShare, Raw, RawColumn, RawExpect, RawRules},
    stream::check_stream,
};
use crate::domain::{
    duration,
    job::{Guard, MaxRejected, NanOutput, Rules},
    model::alias::CHAMPION,
    names::nearest,
    percent::Percent,
    problem::Problem,
};

/// Default for `rules.max_rejected`: low, so that rejections are visible unless the table's owner
/// declares them normal.
const DEFAULT_MAX_REJECTED: Percent = Percent::ONE_IN_A_THOUSAND;
/// Default for `outputs.history_ttl`.
const DEFAULT_HISTORY_TTL: &str = "365d";
/// Cassandra's limit: 20 years.
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
        p.report("model", "the model has no name", "name a registered model");
    }
    check_versions(&raw.versions, "versions", p);
    check_each_once(&raw.shadow, "shadow", p);
    for version in raw.shadow.iter().filter(|it| raw.versions.contains(it)) {
        p.report(
            "shadow",
            format!("version {version} is in `versions`, too"),
            "a shadow is never served: name it in one of both",
        );
    }
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
        p.report(
            "outputs.current",
            "`current` holds the champion's predictions, but this job does not score the champion",
            "add \"champion\" to versions, or remove `current`",
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
        omit: raw.outputs.omit,
        omit_classes: raw.outputs.omit_classes,
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
    let drift = check_drift(raw.drift, p);
    let stream = check_stream(raw.stream, &raw.versions, raw.source.version.is_some(), p);
    let expect = raw.expect.map(|expect| check_expect(expect, p));
    if !problems.0.is_empty() {
        return Err(problems.0);
    }
    Ok(Manifest {
        job: raw.job,
        model: raw.model,
        versions: raw.versions,
        shadow: raw.shadow,
        source,
        source_version: raw.source.version,
        features,
        wide,
        outputs,
        rules,
        drift: drift.into(),
        stream: stream.into(),
        expect,
    })
}

fn check_versions(versions: &[VersionWish], place: &str, p: &mut Problems) {
    if versions.is_empty() {
        p.report(
            place,
            "no version is named",
            "list numbers or aliases, such as [\"champion\", 7]",
        );
    }
    check_each_once(versions, place, p);
}

pub(super) fn check_each_once(versions: &[VersionWish], place: &str, p: &mut Problems) {
    let mut seen = BTreeSet::new();
    for version in versions {
        if !seen.insert(version) {
            p.report(
                place,
                format!("version {version} is named twice"),
                "name it once",
            );
        }
    }
}

fn check_order(order: &[String], place: &str, p: &mut Problems) {
    let mut seen = BTreeSet::new();
    for feature in order {
        if !seen.insert(feature) {
            p.report(
                place,
                format!("feature `{feature}` is named twice"),
                "name each feature once",
            );
        }
    }
    if order.is_empty() {
        p.report(
            place,
            "no feature is named",
            "list the features in the order in which the model was trained",
        );
    }
}

fn check_column(name: &str, raw: RawColumn, p: &mut Problems) -> ColumnSpec {
    let place = format!("outputs.columns.{}", key(name));
    if name.is_empty() {
        p.report(&place, "the column has no name", "name the column");
    }
    let labels = raw.labels.map(|labels| {
        let number = |(label, name): (String, String)| match label.parse() {
            Ok(label) => Some((label, name)),
            Err(_) => {
                p.report(
                    &format!("{place}.labels"),
                    format!("`{label}` is not an integer label"),
                    "write labels = { 0 = \"benign\", 1 = \"malignant\" }",
                );
                None
            }
        };
        labels.into_iter().filter_map(number).collect()
    });
    if labels.is_some() && raw.class.is_some() {
        p.report(
            &place,
            "`class` and `labels` are mutually exclusive",
            "use `labels` to name the integers of a label output, `class` to select a column of scores",
        );
    }
    ColumnSpec {
        output: raw.output,
        class: raw.class,
        index: raw.index,
        labels,
    }
}

fn check_rules(raw: RawRules, p: &mut Problems) -> Rules {
    let max_rejected = p.max_rejected("rules.max_rejected", raw.max_rejected, DEFAULT_MAX_REJECTED);
    let ttl_seconds = check_ttl("rules.ttl", raw.ttl.as_deref().unwrap_or("0s"), p);
    Rules {
        max_rejected,
        guard: match raw.guard {
            None => Guard::Half,
            Some(true) => Guard::MaxRejected,
            Some(false) => Guard::Off,
        },
        delete_orphans: p.word(
            "rules.orphans",
            raw.orphans.as_deref().unwrap_or("keep"),
            &[("keep", false), ("delete", true)],
        ),
        ttl_seconds,
    }
}

/// Parses a TTL into seconds; returns 0 after recording a problem.
fn check_ttl(place: &str, ttl: &str, p: &mut Problems) -> i32 {
    let message = match duration::parse(ttl) {
        Ok(time) if time.subsec_nanos() > 0 => format!("invalid TTL `{ttl}`: use whole seconds"),
        Ok(time) if time.as_secs() > MAX_TTL_SECONDS => {
            format!("TTL `{ttl}` is longer than Cassandra's maximum of 20 years")
        }
        Ok(time) => return time.as_secs() as i32,
        Err(message) => message,
    };
    p.report(
        place,
        message,
        "write \"30d\", \"12h\", \"90m\" or \"3600s\", at most 20 years; \"0s\" keeps them for ever",
    );
    0
}

fn check_history(wanted: Option<bool>, ttl: Option<&str>, p: &mut Problems) -> Option<i32> {
    if wanted == Some(true) {
        let ttl = ttl.unwrap_or(DEFAULT_HISTORY_TTL);
        return Some(check_ttl("outputs.history_ttl", ttl, p));
    }
    if ttl.is_some() {
        p.report(
            "outputs.history_ttl",
            "`history_ttl` requires a history",
            "add history = true, or remove history_ttl",
        );
    }
    None
}

fn check_expect(raw: RawExpect, p: &mut Problems) -> Expect {
    if raw.file.is_none() && raw.rows.is_none() && raw.files.is_none() {
        p.report(
            "expect",
            "no expected rows are given",
            "write file = \"expected.csv\", or the CSV text as rows = \"\"\"…\"\"\"",
        );
    }
    let mut tolerance = |word: &str, said: Option<f64>, usual: f64| match said {
        Some(said) if said >= 0.0 && said.is_finite() => said,
        Some(_) => {
            p.report(
                &format!("expect.{word}"),
                "invalid tolerance",
                "write a number of at least 0",
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
        files: raw.files,
    }
}

/// Returns a manifest key in TOML's spelling.
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
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn report(
        &mut self,
        place: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let problem = Problem::new("job.manifest", message).at(place).help(help);
        self.0.push(problem);
    }

    /// Returns a number of rows or a share; `usual` if none is given.
    pub(super) fn max_rejected(
        &mut self,
        place: &str,
        given: Option<CountOrShare>,
        usual: Percent,
    ) -> MaxRejected {
        let max_rejected = match given {
            None => Some(MaxRejected::Share(usual)),
            Some(CountOrShare::Count(rows)) => u64::try_from(rows).ok().map(MaxRejected::Count),
            Some(CountOrShare::Text(text)) => Percent::parse(&text).map(MaxRejected::Share),
        };
        max_rejected.unwrap_or_else(|| {
            self.report(
                place,
                "`max_rejected` is neither a number of rows nor a share",
                "write 100 or \"0.1%\"",
            );
            MaxRejected::Count(0)
        })
    }

    fn check_name(&mut self, place: &str, name: &str, longest: usize, form: &str) {
        let good = name.len() <= longest
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !good {
            self.report(
                place,
                format!("`{name}` is not a valid name for a {place}"),
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
                self.report(
                    place,
                    format!("`{text}` is not a valid table name"),
                    "write keyspace.table, both spelled as in the schema, without quotes",
                );
                TableName {
                    keyspace: String::new(),
                    table: String::new(),
                }
            }
        }
    }

    /// Returns the meaning of a keyword; that of the first keyword after a problem was reported.
    pub(super) fn word<T: Copy>(&mut self, place: &str, word: &str, words: &[(&str, T)]) -> T {
        if let Some((_, meaning)) = words.iter().find(|(known, _)| *known == word) {
            return *meaning;
        }
        let known: Vec<_> = words.iter().map(|(known, _)| *known).collect();
        let help = match nearest(word, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("use one of \"{}\"", known.join("\", \"")),
        };
        self.report(place, format!("unknown value `{word}`"), help);
        words[0].1
    }
}
