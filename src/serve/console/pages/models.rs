//! All models: which version is live?

use crate::serve::{
    caller::Right,
    console::{
        place::ConsolePlace,
        read::PageReader,
        table::{Table, TableCell},
        view::View,
    },
    error::ApiError,
};

/// Returns the page.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>) -> Result<View, ApiError> {
    let names = reader.read("models".to_owned(), |store| store.models());
    let aliases = reader.read("alias_heads".to_owned(), |store| store.alias_heads());
    let newest = reader.read("last_admissions".to_owned(), |store| {
        store.last_admissions()
    });
    let (names, aliases, newest) = futures::try_join!(names, aliases, newest)?;
    let may_read = |model: &&String| reader.caller.check_model(Right::Read, model).is_ok();
    let mut names: Vec<&String> = names.iter().filter(may_read).collect();
    names.sort();
    let mut view = View::new(ConsolePlace::Models, "Models", "");
    view.is_live = true;
    let table = Table::new(
        "models",
        "All models",
        &[
            ("model", "Model"),
            ("champion", "Champion"),
            ("aliases", "Other aliases"),
            ("newest", "Newest version"),
            ("state", "Its state"),
            ("at", "Decided (UTC)"),
            ("reason", "Why"),
        ],
    )
    .or("There are no models yet: `helenus model push` registers one.");
    view.table(table.with(names.into_iter().map(|model| {
        let own = || aliases.iter().filter(|head| head.model == *model);
        let champion = own().find(|head| head.alias == "champion");
        let others = own().filter(|head| head.alias != "champion");
        let others = others.filter_map(|head| Some(format!("{} = {}", head.alias, head.version?)));
        let newest = newest.iter().find(|line| line.name == *model);
        let version = |version: i32| {
            let place = ConsolePlace::Version(model.clone(), version);
            TableCell::Link(
                place.path(),
                Box::new(TableCell::Count(version.unsigned_abs().into())),
            )
        };
        vec![
            TableCell::link(ConsolePlace::Model(model.clone()).path(), model.clone()),
            TableCell::optional(champion.and_then(|head| head.version), version),
            TableCell::text(others.collect::<Vec<_>>().join(", ")),
            TableCell::optional(newest.map(|line| line.version), version),
            TableCell::state(
                newest
                    .and_then(|line| line.state.as_deref())
                    .unwrap_or("undecided"),
            ),
            TableCell::optional(newest.and_then(|line| line.decided_at), TableCell::Time),
            TableCell::optional(
                newest.and_then(|line| line.reason.as_ref()),
                TableCell::text,
            ),
        ]
    })));
    Ok(view)
}
