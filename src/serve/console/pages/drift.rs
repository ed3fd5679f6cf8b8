//! What changed in the data: each feature, run by run.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    domain::evidence::drift::DriftVerdict,
    serve::{
        console::{
            place::ConsolePlace,
            query::Query,
            read::PageReader,
            table::{Column, Table, TableCell, Tone},
            view::View,
        },
        error::ApiError,
    },
    store::{console::requests::time_of, evidence::drift::DriftHistory},
};

/// Rows of the newest runs that are read.
const ROWS: i32 = 6_000;
/// Runs that have a column.
const RUNS: usize = 6;
const REFERENCE: &str = "reference";

/// Returns the page.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>, job: &str) -> Result<View, ApiError> {
    let rows = reader.read(format!("drift_history {job}"), {
        let job = job.to_owned();
        |store| async move { store.drift_history(&job, ROWS).await }
    });
    let rows = rows.await?;
    let mut view = View::new(
        ConsolePlace::Drift(job.to_owned()),
        format!("{job}: drift"),
        "How much each feature and output differs from the reference, or the baseline, in the newest runs (population stability index; usually alarming above 0.2).",
    );
    let mut runs: Vec<Uuid> = rows.iter().map(|row| row.run_id).collect();
    runs.dedup();
    // The oldest run may be cut off.
    let is_cut = rows.len() == ROWS as usize && runs.len() > 1;
    runs.truncate(RUNS.min(runs.len() - usize::from(is_cut)));
    view.notices(
        runs.first()
            .map(|newest| notice(&rows, *newest))
            .into_iter()
            .collect(),
    );
    view.table(table(job, &rows, &runs));
    Ok(view)
}

fn is_drift(row: &DriftHistory) -> bool {
    DriftVerdict::parse(&row.verdict).is_some_and(DriftVerdict::is_drift)
}

fn notice(rows: &[DriftHistory], newest: Uuid) -> (Tone, String) {
    let of_newest = || {
        rows.iter().filter(|row| {
            row.run_id == newest && row.segment.is_empty() && row.against == REFERENCE
        })
    };
    let drifted = of_newest().filter(|row| is_drift(row)).count();
    let all = of_newest().count();
    let at = time_of(newest).map_or_else(String::new, |at| at.format(" of %F %T UTC").to_string());
    match (all, drifted) {
        (0, _) => (
            Tone::Idle,
            format!("The newest run{at} was compared with nothing."),
        ),
        (all, 0) => (
            Tone::Good,
            format!(
                "Nothing drifted in the newest run{at}: {all} features and outputs are stable or have too few rows."
            ),
        ),
        (all, drifted) => (
            Tone::Bad,
            format!("{drifted} of {all} features and outputs drifted in the newest run{at}."),
        ),
    }
}

fn table(job: &str, rows: &[DriftHistory], runs: &[Uuid]) -> Table {
    let mut cells: BTreeMap<(i32, &str), BTreeMap<Uuid, &DriftHistory>> = BTreeMap::new();
    for row in rows {
        if row.segment.is_empty() && row.against == REFERENCE && runs.contains(&row.run_id) {
            let place = (row.version, row.feature.as_str());
            cells.entry(place).or_default().insert(row.run_id, row);
        }
    }
    let columns = [
        ("feature", "Feature or output"),
        ("version", "Version"),
        ("verdict", "Newest verdict"),
    ];
    let mut table = Table::new("drift", "Against the reference, newest run first", &columns)
        .or("No run was compared with anything yet: give versions a reference (`model push --reference`) or the job a baseline (`helenus drift baseline`).");
    for (at, run) in runs.iter().enumerate() {
        let name =
            time_of(*run).map_or_else(String::new, |at| at.format("%m-%d %H:%M").to_string());
        table.columns.push(Column {
            id: format!("psi_{at}"),
            name,
        });
    }
    let mut lines: Vec<_> = cells.into_iter().collect();
    // What drifted most comes first.
    lines.sort_by(|a, b| {
        let newest = |runs_of: &BTreeMap<Uuid, &DriftHistory>| {
            let row = runs.first().and_then(|run| runs_of.get(run));
            row.map(|row| (is_drift(row), row.psi.unwrap_or(0.0)))
        };
        let (a, b) = (
            newest(&a.1).unwrap_or((false, 0.0)),
            newest(&b.1).unwrap_or((false, 0.0)),
        );
        b.0.cmp(&a.0).then(b.1.total_cmp(&a.1))
    });
    table.with(lines.into_iter().map(|((version, feature), of_runs)| {
        let place = ConsolePlace::DriftFeature(job.to_owned(), feature.to_owned());
        let version_text = version.to_string();
        let url = Query::default()
            .with(&[("version", Some(&version_text))])
            .url(&place.path());
        let newest = runs.first().and_then(|run| of_runs.get(run));
        let mut row = vec![
            TableCell::link(url, feature),
            TableCell::Count(version.unsigned_abs().into()),
            TableCell::optional(newest, |row| TableCell::state(&row.verdict)),
        ];
        row.extend(runs.iter().map(|run| {
            let psi = of_runs.get(run).and_then(|row| row.psi);
            TableCell::optional(psi, TableCell::Number)
        }));
        row
    }))
}
