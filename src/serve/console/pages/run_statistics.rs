//! What the outputs of a run looked like, a row for each column.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    domain::run::Run,
    serve::console::table::{Table, TableCell},
};

/// Figures of a column of numbers: their names in `runs.output_statistics`, and for people.
const FIGURES: [(&str, &str); 10] = [
    ("count", "Values"),
    ("mean", "Mean"),
    ("min", "Smallest"),
    ("p01", "1 %"),
    ("p25", "25 %"),
    ("p50", "Median"),
    ("p75", "75 %"),
    ("p99", "99 %"),
    ("max", "Largest"),
    ("nan", "NaN"),
];

/// Returns the columns of numbers.
pub fn numbers(run: &Run) -> Table {
    let names = [("version", "Version"), ("output", "Output")];
    let names: Vec<(&str, &str)> = names.into_iter().chain(FIGURES).collect();
    let table = Table::new("statistics", "Numbers among the outputs", &names)
        .or("The run wrote no numbers, or has not ended.");
    table.with(
        columns(run)
            .into_iter()
            .filter_map(|(version, output, found)| {
                found.get("labels").is_none().then(|| {
                    let figures = FIGURES.iter().map(|(name, _)| figure(name, &found[*name]));
                    head(version, output).into_iter().chain(figures).collect()
                })
            }),
    )
}

/// Returns the columns of texts, a row for each label, the most frequent first.
pub fn labels(run: &Run) -> Table {
    let table = Table::new(
        "labels",
        "Labels among the outputs",
        &[
            ("version", "Version"),
            ("output", "Output"),
            ("label", "Label"),
            ("rows", "Rows"),
            ("share", "Share"),
        ],
    )
    .or("The run wrote no labels, or has not ended.");
    table.with(
        columns(run)
            .into_iter()
            .flat_map(|(version, output, found)| {
                let count = found["count"].as_u64().unwrap_or_default();
                let labels = found["labels"].as_object().into_iter().flatten();
                let mut labels: Vec<(TableCell, u64)> = labels
                    .map(|(label, rows)| {
                        (TableCell::text(label), rows.as_u64().unwrap_or_default())
                    })
                    .collect();
                labels.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
                let others = found["others"].as_u64().filter(|rows| *rows > 0);
                labels.extend(others.map(|rows| (TableCell::Empty, rows)));
                let row = move |(label, rows): (TableCell, u64)| {
                    let share = TableCell::Share(rows as f64 / count.max(1) as f64);
                    let cells = [label, TableCell::Count(rows), share];
                    head(version, output.clone())
                        .into_iter()
                        .chain(cells)
                        .collect()
                };
                labels.into_iter().map(row)
            }),
    )
}

/// Returns what is stored of each output column, by version and name.
fn columns(run: &Run) -> Vec<(i32, String, Value)> {
    let of = |(version, json): (&i32, &String)| {
        let columns: BTreeMap<String, Value> = serde_json::from_str(json).unwrap_or_default();
        let version = *version;
        columns
            .into_iter()
            .map(move |(output, found)| (version, output, found))
    };
    run.output_statistics.iter().flat_map(of).collect()
}

fn head(version: i32, output: String) -> Vec<TableCell> {
    vec![
        TableCell::Count(version.unsigned_abs().into()),
        TableCell::text(output),
    ]
}

fn figure(name: &str, value: &Value) -> TableCell {
    match name {
        "count" | "nan" => TableCell::optional(value.as_u64(), TableCell::Count),
        _ => TableCell::optional(value.as_f64(), TableCell::Number),
    }
}
