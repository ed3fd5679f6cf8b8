//! Validates the manifest's values: names, keywords, durations. Collects all mistakes.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ColumnSpec, Expect, Manifest, Outputs, TopK, VersionWish, Wide,
    drift::check_drift,
    feature::check_feature,
    problems::Problems,
    read::{Raw, RawColumn, RawExpect, RawRules, RawTopK, TrueOrWord},
    stream::check_stream,
};
use crate::domain::{
    duration,
    job::{
        Guard, NanOutput, Rules,
        similarity::{OutputIndex, Similarity},
    },
    model::alias::CHAMPION,
    percent::Percent,
    problem::Problem,
};

/// Default for `rules.max_rejected`: low, so that rejections are visible unless the table's owner
/// declares them normal.
const DEFAULT_MAX_REJECTED: Percent = Percent::ONE_IN_A_THOUSAND;
/// Default for `outputs.history_ttl`.
const DEFAULT_HISTORY_TTL: &str = "365d";
/// Largest `outputs.top_k.k`.
const MAX_TOP_K: usize = 16;
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
        top_k: raw.outputs.top_k.map(|raw| check_top_k(raw, p)),
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
    let index = match raw.index {
        None | Some(TrueOrWord::Truth(false)) => None,
        Some(TrueOrWord::Truth(true)) => Some(OutputIndex::Comparison),
        Some(TrueOrWord::Word(word)) => {
            let similarity = p.word(&format!("{place}.index"), &word, &Similarity::ALL);
            Some(OutputIndex::Similarity(similarity))
        }
    };
    ColumnSpec {
        output: raw.output,
        class: raw.class,
        index,
        labels,
        mean_pool: raw.mean_pool,
        l2_normalise: raw.l2_normalise,
    }
}

fn check_top_k(raw: RawTopK, p: &mut Problems) -> TopK {
    if !(1..=MAX_TOP_K).contains(&raw.k) {
        p.report(
            "outputs.top_k.k",
            format!("`k` is {}", raw.k),
            format!("write a number from 1 to {MAX_TOP_K}: each class takes two columns"),
        );
    }
    TopK {
        k: raw.k,
        output: raw.output,
        labels: raw.labels,
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
