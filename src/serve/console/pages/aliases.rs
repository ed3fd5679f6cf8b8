//! A model's aliases: where they point, since when, who moved them, on what evidence.

use crate::serve::{
    caller::Right,
    console::{
        place::{ActPlace, ConsolePlace},
        query::Query,
        read::PageReader,
        table::{Table, TableCell},
        view::View,
    },
    error::ApiError,
};
use crate::store::console::{models::AliasMove, requests::time_of};

/// Moves of each alias that are read.
const MOVES: i32 = 200;

/// Returns the page.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>, model: &str) -> Result<View, ApiError> {
    let heads = reader
        .read("alias_heads".to_owned(), |store| store.alias_heads())
        .await?;
    let own: Vec<String> = heads
        .iter()
        .filter(|head| head.model == model)
        .map(|head| head.alias.clone())
        .collect();
    let moves = reader.read(format!("alias_moves {model} {own:?}"), {
        let (model, own) = (model.to_owned(), own.clone());
        |store| async move { store.alias_moves(&model, &own, MOVES).await }
    });
    let moves = moves.await?;
    let mut view = View::new(
        ConsolePlace::Aliases(model.to_owned()),
        format!("{model}: aliases"),
        "Readers follow aliases; each move is kept with who made it, and why.",
    );
    view.is_live = true;
    let may_promote = reader.caller.check_model(Right::Promote, model).is_ok();
    let mut table = Table::new(
        "aliases",
        "Where aliases point",
        &[
            ("alias", "Alias"),
            ("version", "Version"),
            ("since", "Since (UTC)"),
            ("who", "Moved by"),
            ("why", "Why"),
        ],
    )
    .or("The model has no alias yet: promote a version.");
    if may_promote {
        let column = ("act", "Action");
        table.columns.extend(Table::new("", "", &[column]).columns);
    }
    let rows = heads.iter().filter(|head| head.model == model).map(|head| {
        let last = moves.iter().find(|one| one.alias == head.alias);
        let version = head.version.map(|version| {
            let place = ConsolePlace::Version(model.to_owned(), version);
            TableCell::Link(
                place.path(),
                Box::new(TableCell::Count(version.unsigned_abs().into())),
            )
        });
        let mut row = vec![
            TableCell::text(head.alias.clone()),
            version.unwrap_or(TableCell::Empty),
            TableCell::optional(
                last.and_then(|last| time_of(last.changed_at)),
                TableCell::Time,
            ),
            TableCell::optional(last.and_then(|last| last.who.as_ref()), TableCell::text),
            TableCell::optional(last.and_then(|last| last.why.as_ref()), TableCell::text),
        ];
        if may_promote {
            let url = Query::default().with(&[("alias", Some(&head.alias))]);
            let url = url.url(&ActPlace::Rollback(model.to_owned()).path());
            row.push(TableCell::link(url, format!("Roll back {}", head.alias)));
        }
        row
    });
    view.table(table.with(rows));
    view.table(history(model, &moves));
    Ok(view)
}

fn history(model: &str, moves: &[AliasMove]) -> Table {
    let table = Table::new(
        "history",
        "Every move, newest first",
        &[
            ("at", "At (UTC)"),
            ("alias", "Alias"),
            ("from", "From"),
            ("to", "To"),
            ("who", "By"),
            ("why", "Why"),
            ("evidence", "Evidence"),
            ("request", "Request"),
        ],
    )
    .or("No alias was moved yet.");
    table.with(moves.iter().map(|one| {
        let version = |version: Option<i32>| {
            TableCell::optional(version, |version| {
                let place = ConsolePlace::Version(model.to_owned(), version);
                TableCell::Link(
                    place.path(),
                    Box::new(TableCell::Count(version.unsigned_abs().into())),
                )
            })
        };
        vec![
            TableCell::optional(time_of(one.changed_at), TableCell::Time),
            TableCell::text(one.alias.clone()),
            version(one.from_version),
            version(one.to_version),
            TableCell::optional(one.who.as_ref(), TableCell::text),
            TableCell::optional(one.why.as_ref(), TableCell::text),
            TableCell::optional(one.evidence.as_ref(), TableCell::text),
            TableCell::optional(one.request_id, |id| {
                TableCell::Link(ConsolePlace::Request(id).path(), Box::new(super::short(id)))
            }),
        ]
    }))
}
