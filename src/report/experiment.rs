//! An experiment as an HTML page.

use maud::{Markup, html};

use crate::{
    domain::evidence::experiment::units::Stage,
    inspect::experiment::state::ExperimentView,
    report::{
        figure::{Figure, Series},
        intervals::{self, Estimate, Item},
        metric, number, page,
        parts::{self, Card},
    },
    store::evidence::experiment_results::{StoredDifference, StoredLook},
};

/// Looks that the history shows.
const SHOWN: usize = 20;

/// Renders the whole page.
pub fn render(state: &ExperimentView) -> String {
    let row = &state.row;
    let title = format!("Experiment {} of {}", row.name, row.job);
    let name = metric::name(row.metric.as_deref().unwrap_or_default());
    let about = format!(
        "{name} on {}. Revision {}, {}.",
        row.labels.as_deref().unwrap_or("-"),
        row.revision,
        state.state(),
    );
    let body = match state.looks.first() {
        None => html! { p { "Nobody has looked at it yet." } },
        Some(look) => html! {
            (parts::cards(&cards(state, look, &name)))
            (parts::warnings(&look.warnings))
            section {
                h2 { "The difference, look by look" }
                (history(state, &name))
            }
            section {
                h2 { "The arms" }
                (arms(state, look))
                (ratios(look))
            }
            section {
                h2 { "All differences" }
                (differences(look))
            }
        },
    };
    let again = format!(
        "helenus experiment show {} {} --html FILE",
        parts::shell(&row.job),
        parts::shell(&row.name)
    );
    let body = html! { (body) (parts::origin(&facts(state), &again)) };
    page(&title, &about, &body)
}

fn ends(one: &StoredDifference) -> Option<(f64, f64)> {
    one.fixed.or(one.interval)
}

pub fn cards(state: &ExperimentView, look: &StoredLook, name: &str) -> Vec<Card> {
    let verdict = Card {
        name: "Verdict".to_owned(),
        value: look.verdict.as_str().replace('_', " "),
        notes: vec![look.reason.clone()],
    };
    let arms = state.row.arms.keys().map(|arm| {
        let mut notes = Vec::new();
        if let Some(one) = look.differences.get(arm) {
            let interval = number::interval(ends(one), number::signed);
            notes.push(format!(
                "{} against the control",
                number::signed(one.difference)
            ));
            if !interval.is_empty() {
                notes.push(format!("interval {interval}"));
            }
        }
        let value = look.values.get(arm);
        Card {
            name: format!("{name}, {arm}"),
            value: value.map_or_else(|| "–".to_owned(), |value| number::value(*value)),
            notes,
        }
    });
    std::iter::once(verdict).chain(arms).collect()
}

pub fn history(state: &ExperimentView, name: &str) -> Markup {
    let looks: Vec<&StoredLook> = state.looks.iter().take(SHOWN).collect();
    let newest = looks.first();
    let arms: Vec<&String> = newest
        .into_iter()
        .flat_map(|look| look.differences.keys())
        .collect();
    if arms.is_empty() {
        return html! { p { "No arm has a difference yet." } };
    }
    let items: Vec<Item> = looks
        .iter()
        .map(|look| Item {
            name: look.at.format("%Y-%m-%d %H:%M").to_string(),
            rows: look
                .counts
                .get(&Stage::Labelled)
                .map_or(0, |arms| arms.values().sum()),
            values: arms
                .iter()
                .map(|arm| {
                    let one = look.differences.get(*arm)?;
                    Some(Estimate {
                        value: one.difference,
                        ends: ends(one),
                    })
                })
                .collect(),
        })
        .collect();
    let series: Vec<Series> = arms
        .iter()
        .enumerate()
        .map(|(at, arm)| Series {
            at,
            name: (*arm).clone(),
        })
        .collect();
    let figure = Figure {
        id: "history".to_owned(),
        title: "Difference to the control",
        words: format!(
            "{} looks, the newest first, each with its interval.",
            items.len()
        ),
        note: "Intervals are valid at every look, however often you look. The one at the planned end is narrower and is valid there only.",
        height: 0.0,
    };
    intervals::draw(figure, &format!("{name}, difference"), &series, &items)
}

pub fn arms(state: &ExperimentView, look: &StoredLook) -> Markup {
    let rows = state.row.arms.iter().map(|(arm, version)| {
        let frozen = state
            .status
            .as_ref()
            .and_then(|status| status.arms.get(arm));
        let count = |stage: Stage| {
            let count = look.counts.get(&stage).and_then(|counts| counts.get(arm));
            number::count(count.copied().unwrap_or_default())
        };
        [
            arm.clone(),
            frozen.map_or_else(|| version.clone(), i32::to_string),
            number::percent(state.row.shares.get(arm).copied().unwrap_or_default()),
            count(Stage::Assigned),
            count(Stage::Scored),
            count(Stage::Labelled),
        ]
    });
    let header = ["Arm", "Version", "Share", "Assigned", "Scored", "Labelled"];
    parts::table("Units of each arm, as far as they came", header, rows)
}

pub fn ratios(look: &StoredLook) -> Markup {
    let rows = look.sample_ratio.iter().map(|(stage, test)| {
        [
            stage.as_str().to_owned(),
            number::p(test.p),
            number::p(test.sequential_p),
        ]
    });
    let header = ["Units", "p, this look", "p, all looks"];
    html! {
        (parts::table("Do the arms have their planned shares?", header, rows))
        p .note { "Below 0.001 rows are lost in one arm and not in another, and no verdict is given." }
    }
}

pub fn differences(look: &StoredLook) -> Markup {
    let kinds = [
        ("between arms", &look.differences),
        ("between arms, adjusted by the covariate", &look.adjusted),
        ("both versions on the same rows", &look.paired),
    ];
    let rows = kinds.into_iter().flat_map(|(kind, differences)| {
        differences.iter().map(move |(arm, one)| {
            [
                arm.clone(),
                kind.to_owned(),
                number::signed(one.difference),
                number::interval(one.interval, number::signed),
                number::interval(one.fixed, number::signed),
            ]
        })
    });
    let header = ["Arm", "Comparison", "Difference", "Interval", "At the end"];
    parts::table("Each arm against the control", header, rows)
}

pub fn facts(state: &ExperimentView) -> Vec<(&'static str, String)> {
    let row = &state.row;
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or_else(
            || "–".to_owned(),
            |at| at.format("%Y-%m-%d %H:%M UTC").to_string(),
        )
    };
    let status = state.status.as_ref();
    vec![
        (
            "Unit",
            row.unit.clone().unwrap_or_else(|| "the key".to_owned()),
        ),
        ("Started", time(status.and_then(|status| status.started_at))),
        ("Planned end", time(row.ends_at)),
        ("Alpha", row.alpha.unwrap_or(0.05).to_string()),
        ("Note", row.note.clone().unwrap_or_else(|| "–".to_owned())),
    ]
}
