//! Collisions of output column names with each other, the key and helenus's own columns.

use std::collections::BTreeSet;

use super::Asked;
use crate::{
    codec::schema::{Column, TableSchema},
    domain::{
        job::{OutputColumn, classes::Filled, manifest::key, mapping::name_of},
        model::Output,
        names::as_column,
        problem::Problem,
    },
};

/// Reports all collisions at once, with manifest lines that resolve them. Outputs are those of the
/// first version: other versions fill the same columns, or another problem is reported.
pub(super) fn check(
    first: Option<(&Asked, &[Filled])>,
    table_key: &[Column],
    source: &TableSchema,
    problems: &mut Vec<Problem>,
) {
    let Some((asked, filled)) = first else {
        return;
    };
    let outputs = &asked.ready.admitted.signature.outputs;
    let mut collisions = Vec::new();
    let mut lines = Vec::new();
    let mut taken: BTreeSet<String> = filled.iter().map(|f| f.column.name.clone()).collect();
    taken.extend(table_key.iter().map(|column| column.name.clone()));
    taken.extend(["model_version", "lineage"].map(str::to_owned));
    let mut seen = BTreeSet::new();
    for one in filled {
        let name = &one.column.name;
        if !seen.insert(name) {
            continue;
        }
        let same: Vec<&Filled> = filled.iter().filter(|f| f.column.name == *name).collect();
        let mut holders: Vec<String> = same.iter().map(|f| described(f, outputs)).collect();
        if table_key.iter().any(|column| column.name == *name) {
            holders.push(format!("the key of {}", name_of(source)));
        }
        if name == "model_version" || name == "lineage" {
            holders.push("helenus itself".to_owned());
        }
        if holders.len() > 1 {
            collisions.push(format!("`{name}` ({})", holders.join(", ")));
            lines.extend(same.iter().map(|f| line(f, outputs, &mut taken)));
        }
    }
    if collisions.is_empty() {
        return;
    }
    let what = match collisions.len() {
        1 => "one column has several sources".to_owned(),
        several => format!("{several} columns have several sources each"),
    };
    problems.push(
        Problem::new(
            "job.name_collision",
            format!("{what}: {}", collisions.join("; ")),
        )
        .at("outputs.columns")
        .help(format!(
            "rename them, for example:\n[outputs.columns]\n{}",
            lines.join("\n")
        )),
    );
}

fn described(filled: &Filled, outputs: &[Output]) -> String {
    let output = public_name(filled, outputs);
    match filled.column.classes.as_slice() {
        [class] => format!("class `{class}` of output `{output}`"),
        _ => format!("output `{output}`"),
    }
}

/// Returns a line of `[outputs.columns]` with an unused name.
fn line(filled: &Filled, outputs: &[Output], taken: &mut BTreeSet<String>) -> String {
    let output = public_name(filled, outputs);
    let mut name = match filled.column.classes.as_slice() {
        [class] => format!("{}_{}", as_column(output), as_column(class)),
        _ => as_column(output),
    };
    let short = name.clone();
    let mut number = 1;
    while !taken.insert(name.clone()) {
        number += 1;
        name = format!("{short}_{number}");
    }
    column_line(&name, output, &filled.column)
}

/// Returns a line such as `p_yes = { output = "probabilities", class = "yes" }`.
pub(super) fn column_line(name: &str, output: &str, column: &OutputColumn) -> String {
    let class = match column.classes.as_slice() {
        [class] => format!(", class = {class:?}"),
        _ => String::new(),
    };
    format!("{} = {{ output = {output:?}{class} }}", key(name))
}

fn public_name<'a>(filled: &Filled, outputs: &'a [Output]) -> &'a str {
    let output = outputs.get(filled.cell.output);
    output.map_or("", |output| output.public_name.as_str())
}
