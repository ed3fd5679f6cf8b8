//! Indexes that the live prediction table has, beside those that the manifest asks for.

use super::Existing;
use crate::{
    codec::schema::{TableIndex, TableSchema},
    domain::{
        job::{OutputColumn, classes::Filled, mapping::name_of, similarity::Similarity},
        names::index_name,
        problem::Problem,
    },
};

/// Reports indexes that compare by another function than the manifest asks for: Cassandra permits one
/// index on a column, and helenus drops none. Returns warnings about helenus's own indexes that the
/// manifest does not ask for any more.
pub(super) fn check(
    table: &TableSchema,
    live: &[TableIndex],
    outputs: &[OutputColumn],
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (column, index) in outputs.iter().filter_map(|column| {
        let on_it = |index: &&TableIndex| index.column == column.name;
        Some((column, live.iter().find(on_it)?))
    }) {
        let drop = format!("DROP INDEX \"{}\".\"{}\"", table.keyspace, index.name);
        let wanted = column.index.and_then(|index| index.similarity());
        match wanted {
            Some(wanted) if Similarity::of_index(index) != Some(wanted) => {
                let function = Similarity::of_index(index).map_or("another", Similarity::name);
                let message = format!(
                    "column `{}` of {} has an index by {function}, not {}",
                    column.name,
                    name_of(table),
                    wanted.name()
                );
                let help = format!(
                    "run `{drop}`, then create the job again: the new index is built from all rows"
                );
                let place = format!("outputs.columns.{}", column.name);
                problems.push(
                    Problem::new("job.index_differs", message)
                        .at(place)
                        .help(help),
                );
            }
            None if column.index.is_none()
                && index.name == index_name(&table.table, &column.name) =>
            {
                warnings.push(format!(
                    "index_kept: column `{}` of {} keeps its index, which every write pays for; `{drop}` removes it",
                    column.name,
                    name_of(table)
                ));
            }
            _ => {}
        }
    }
    warnings
}

/// Sets the function of each vector's index: of a live one, whatever the manifest says of it, since
/// Cassandra refuses what that one cannot hold; or else of the one to come.
pub(super) fn guard(filled: &mut [Vec<Filled>], existing: Option<Existing<'_>>) {
    for filled in filled.iter_mut().flatten() {
        if filled.cell.width < 2 {
            continue;
        }
        let name = &filled.column.name;
        let live = existing.and_then(|existing| {
            let mut indexes = existing.indexes.iter();
            indexes.find(|index| index.column == *name)
        });
        let announced = existing.and_then(|existing| existing.announced.get(name).copied());
        let asked = filled.column.index.and_then(|index| index.similarity());
        filled.cell.similarity = match live {
            Some(index) => Similarity::of_index(index),
            None => asked.or(announced),
        };
    }
}
