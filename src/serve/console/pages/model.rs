//! A model: its versions side by side.

use std::collections::BTreeSet;

use crate::{
    report::metric,
    serve::{
        caller::Right,
        console::{
            handle::not_found,
            place::{ActPlace, ConsolePlace},
            query::Query,
            read::PageReader,
            table::{Column, Table, TableCell, Tone},
            view::View,
        },
        error::ApiError,
    },
    store::{
        console::models::{AdmissionLine, AliasHead},
        registry::models::VersionRow,
    },
};

/// Metrics of the registrar that have a column.
const METRICS: usize = 6;

/// Returns the page.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn view(reader: &PageReader<'_>, model: &str) -> Result<View, ApiError> {
    let versions = reader.read(format!("versions {model}"), {
        let model = model.to_owned();
        |store| async move { store.versions(&model).await }
    });
    let admissions = reader.read(format!("admission_lines {model}"), {
        let model = model.to_owned();
        |store| async move { store.admission_lines(&model).await }
    });
    let aliases = reader.read("alias_heads".to_owned(), |store| store.alias_heads());
    let (versions, admissions, aliases) = futures::try_join!(versions, admissions, aliases)?;
    if versions.is_empty() {
        return Err(not_found(&format!("there is no model `{model}`")));
    }
    let own: Vec<&AliasHead> = aliases.iter().filter(|head| head.model == model).collect();
    let champion = own.iter().find(|head| head.alias == "champion");
    let about = match champion.and_then(|head| head.version) {
        Some(version) => format!("The champion is version {version}."),
        None => "It has no champion: readers get no version of it by that name.".to_owned(),
    };
    let mut view = View::new(ConsolePlace::Model(model.to_owned()), model, about.clone());
    view.is_live = true;
    view.said = Some(about);
    let rollback = super::action_link(
        reader,
        ActPlace::Rollback(model.to_owned()),
        "Roll back the champion",
    );
    view.acts.extend(rollback.filter(|_| champion.is_some()));
    let altered = versions
        .iter()
        .filter(|row| state(row, &admissions).0 == "tampered");
    let altered: Vec<i32> = altered.map(|row| row.version).collect();
    let notice = (!altered.is_empty()).then(|| altered_notice(&altered));
    view.notices(notice.into_iter().collect());
    let may_promote = reader.caller.check_model(Right::Promote, model).is_ok();
    view.table(table(model, &versions, &admissions, &own, may_promote));
    Ok(view)
}

/// Returns a version's state, and why.
pub fn state<'a>(row: &VersionRow, admissions: &'a [AdmissionLine]) -> (&'a str, Option<&'a str>) {
    let admission = admissions.iter().find(|line| line.version == row.version);
    let Some(admission) = admission else {
        return ("undecided", None);
    };
    let state = admission.state.as_deref().unwrap_or("undecided");
    let is_altered =
        state == "ready" && admission.version_row_hash.as_deref() != Some(row.hash().as_slice());
    match is_altered {
        true => ("tampered", Some("its row in model_versions was altered")),
        false => (state, admission.reason.as_deref()),
    }
}

/// Says which versions were altered; a few by number.
fn altered_notice(versions: &[i32]) -> (Tone, String) {
    const NAMED: usize = 10;
    let named = super::versions(versions.iter().take(NAMED));
    let text = match versions.len() {
        1 => format!("Version {named} is not what was admitted: its row was altered."),
        count if count > NAMED => {
            let more = count - NAMED;
            format!(
                "{count} versions are not what was admitted ({named} and {more} more): their rows were altered."
            )
        }
        _ => format!("Versions {named} are not what was admitted: their rows were altered."),
    };
    (Tone::Bad, text)
}

fn table(
    model: &str,
    versions: &[VersionRow],
    admissions: &[AdmissionLine],
    aliases: &[&AliasHead],
    may_promote: bool,
) -> Table {
    let metrics: BTreeSet<&String> = versions
        .iter()
        .flat_map(|row| row.metrics.iter().flat_map(|metrics| metrics.keys()))
        .collect();
    let metrics: Vec<&str> = metric::in_order(metrics.into_iter())
        .into_iter()
        .take(METRICS)
        .collect();
    let mut table = Table::new(
        "versions",
        "Versions, newest first",
        &[
            ("version", "Version"),
            ("aliases", "Aliases"),
            ("state", "State"),
            ("why", "Why"),
            ("registered", "Registered (UTC)"),
            ("by", "By"),
        ],
    );
    let column = |id: String, name: String| Column { id, name };
    if may_promote {
        let act = column("act".to_owned(), "Action".to_owned());
        table.columns.insert(3, act);
    }
    let measured = metrics
        .iter()
        .map(|name| column(format!("metric_{name}"), metric::name(name)));
    table.columns.extend(measured);
    table.columns.push(column(
        "signature".to_owned(),
        "Inputs and outputs".to_owned(),
    ));
    for (id, name) in [("size", "Bytes"), ("note", "Note")] {
        table.columns.push(column(id.to_owned(), name.to_owned()));
    }
    table.with(versions.iter().map(|row| {
        let (state, why) = state(row, admissions);
        let own = aliases
            .iter()
            .filter(|head| head.version == Some(row.version));
        let own: Vec<TableCell> = own
            .map(|head| TableCell::Toned(Tone::Good, head.alias.clone()))
            .collect();
        let is_champion = own.iter().any(|cell| cell.plain() == "champion");
        let admission = admissions.iter().find(|line| line.version == row.version);
        let mut cells = vec![
            TableCell::Link(
                ConsolePlace::Version(model.to_owned(), row.version).path(),
                Box::new(TableCell::Count(row.version.unsigned_abs().into())),
            ),
            match own.is_empty() {
                true => TableCell::Empty,
                false => TableCell::List(own),
            },
            TableCell::state(state),
            TableCell::optional(why, TableCell::text),
            TableCell::optional(row.registered_at(), TableCell::Time),
            TableCell::optional(row.registered_by.as_ref(), TableCell::text),
        ];
        let value = |name: &&str| row.metrics.as_ref().and_then(|metrics| metrics.get(*name));
        cells.extend(
            metrics
                .iter()
                .map(|name| TableCell::optional(value(name), |value| TableCell::Number(*value))),
        );
        cells.push(TableCell::optional(
            admission.and_then(|line| line.signature.as_ref()),
            TableCell::text,
        ));
        cells.push(TableCell::optional(row.size, |size| {
            TableCell::Count(size.unsigned_abs())
        }));
        cells.push(TableCell::optional(row.note.as_ref(), TableCell::text));
        if may_promote {
            let version = row.version.to_string();
            let url = Query::default().with(&[("version", Some(&version))]);
            let url = url.url(&ActPlace::Promote(model.to_owned()).path());
            cells.insert(
                3,
                match state == "ready" && !is_champion {
                    true => TableCell::link(url, format!("Promote {version}")),
                    false => TableCell::Empty,
                },
            );
        }
        cells
    }))
}
