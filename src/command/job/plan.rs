//! `helenus job plan`.

use std::path::Path;

use serde_json::{Value, json};

use super::{Context, read_manifest, rows_of};
use crate::{
    domain::{
        job::{Cast, CompiledJob, CompiledVersion, Epoch, NullRule, Place, TextRule},
        manifest::Manifest,
    },
    failure::Failure,
    output::{self, Answer},
    worker::jobs,
};

/// Print the DDL and the mapping of a job, and change nothing
///
/// Shows the statements that would be run, and for each version which column feeds which place of
/// which input, and where each output goes. Expected rows are not scored.
///
/// Examples:
///
///     helenus job plan tumour.toml
///     helenus job plan tumour
///
/// JSON result: {"job", "source", "target", "ddl": [statement …], "versions": [{"version",
///   "inputs": [{"name", "element", "width", "places": [{"place", "width", "feature", "column",
///   "type", "cast", "as", "null", "text", "nonfinite"}]}]}],
///   "outputs": [{"column", "type", "index", "from": {version: output and offset}, "classes"}]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// A manifest file, or the name of a job (its newest revision)
    #[arg(value_name = "FILE|JOB")]
    what: String,
}

/// Prints the plan.
///
/// # Errors
/// Exit 2: all problems of the manifest; exit 5: no such job.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let path = Path::new(&args.what);
    let (store, manifest) = if path.is_file() || args.what.contains(['.', '/']) {
        let (_, manifest) = read_manifest(path)?;
        (context.store().await?, manifest)
    } else {
        let store = context.store().await?;
        let rows = rows_of(&store, &args.what).await?;
        let text = rows[0].manifest.clone().unwrap_or_default();
        (store, Manifest::parse(&text).map_err(Failure::inputs)?)
    };
    let checked = jobs::check(&store, &manifest)
        .await?
        .map_err(Failure::inputs)?;
    let job = checked.job;
    let ddl = store.prediction_ddl(&job).await?;
    let mut text = match ddl.is_empty() {
        true => format!("{} needs no DDL.\n", manifest.target()),
        false => format!("{};\n", ddl.join(";\n")),
    };
    for version in &job.versions {
        text.push_str(&mapping_text(&job, version));
    }
    text.push_str(&outputs_text(&job));
    let mut answer = Answer::new(
        json!({
            "job": job.job,
            "source": manifest.source.to_string(),
            "target": manifest.target().to_string(),
            "ddl": ddl,
            "versions": job.versions.iter().map(|version| mapping_json(&job, version)).collect::<Vec<_>>(),
            "outputs": outputs_json(&job),
        }),
        text,
    );
    answer.warnings = job.warnings;
    Ok(answer)
}

/// The place of each of an input's features, with the place it starts at.
fn starts(places: &[Place]) -> impl Iterator<Item = (usize, &Place)> {
    places.iter().scan(0, |next, place| {
        let start = *next;
        *next += place.width;
        Some((start, place))
    })
}

fn mapping_text(job: &CompiledJob, version: &CompiledVersion) -> String {
    let inputs = &version.ready.admitted.signature.inputs;
    let rows = version
        .inputs
        .iter()
        .zip(inputs)
        .flat_map(|(mapping, input)| {
            starts(&mapping.places).map(move |(start, place)| {
                let at = match (input.width(), place.width) {
                    (1, _) => String::new(),
                    (_, 1) => format!("[{start}]"),
                    (_, width) => format!("[{start}..{}]", start + width),
                };
                let column = &job.columns[place.column];
                let rule = &place.rule;
                let said = [cast(rule.cast), epoch(rule.epoch), text_rule(rule.text)];
                let finite = rule.reject_nonfinite.then_some("nonfinite = reject");
                let said: Vec<&str> = said.into_iter().chain([finite]).flatten().collect();
                [
                    format!("{}{at}", input.name),
                    place.feature.clone(),
                    column.name.clone(),
                    column.cql_type.to_string(),
                    input.element.name().to_owned(),
                    said.join(", "),
                    null_text(&rule.null),
                ]
            })
        });
    let header = [
        "INPUT", "FEATURE", "COLUMN", "TYPE", "TENSOR", "CAST", "NULL",
    ];
    format!(
        "\nModel `{}`, version {}:\n\n{}\n",
        version.ready.model,
        version.ready.version,
        output::table(header, rows)
    )
}

fn mapping_json(job: &CompiledJob, version: &CompiledVersion) -> Value {
    let signature = &version.ready.admitted.signature;
    let inputs = version
        .inputs
        .iter()
        .zip(&signature.inputs)
        .map(|(mapping, input)| {
            let places = starts(&mapping.places).map(|(start, place)| {
                let column = &job.columns[place.column];
                let rule = &place.rule;
                json!({
                    "place": start,
                    "width": place.width,
                    "feature": place.feature,
                    "column": column.name,
                    "type": column.cql_type.to_string(),
                    "cast": cast(rule.cast),
                    "as": epoch(rule.epoch),
                    "null": null_text(&rule.null),
                    "text": text_rule(rule.text),
                    "nonfinite": if rule.reject_nonfinite { "reject" } else { "allow" },
                })
            });
            json!({
                "name": input.name,
                "element": input.element.name(),
                "width": input.width(),
                "places": places.collect::<Vec<_>>(),
            })
        });
    json!({
        "version": version.ready.version,
        "inputs": inputs.collect::<Vec<_>>(),
    })
}

fn cast(cast: Cast) -> Option<&'static str> {
    match cast {
        Cast::Exact => None,
        Cast::Float => Some("float"),
        Cast::Lossy => Some("lossy"),
    }
}

fn epoch(epoch: Option<Epoch>) -> Option<&'static str> {
    epoch.map(|epoch| match epoch {
        Epoch::Seconds => "epoch_s",
        Epoch::Milliseconds => "epoch_ms",
        Epoch::Days => "epoch_days",
    })
}

fn text_rule(rule: TextRule) -> Option<&'static str> {
    match rule {
        TextRule::Raw => None,
        TextRule::Nfc => Some("nfc"),
        TextRule::TrimNfc => Some("trim+nfc"),
    }
}

fn null_text(rule: &NullRule) -> String {
    match rule {
        NullRule::Reject => "reject".to_owned(),
        NullRule::Nan => "nan".to_owned(),
        NullRule::Number(number) => number.to_string(),
        NullRule::Integer(number) => number.to_string(),
        NullRule::Bool(truth) => truth.to_string(),
        NullRule::Text(text) => format!("{text:?}"),
    }
}

/// Where a version's value for the target's column number `at` stands.
fn from(version: &CompiledVersion, at: usize) -> String {
    let Some(Some(cell)) = version.outputs.get(at) else {
        return "null".to_owned();
    };
    let output = &version.ready.admitted.signature.outputs[cell.output];
    match (output.width(), cell.width) {
        (1, _) => output.public_name.clone(),
        (_, 1) => format!("{}[{}]", output.public_name, cell.offset),
        _ => output.public_name.clone(),
    }
}

fn outputs_text(job: &CompiledJob) -> String {
    let rows = job.target.outputs.iter().enumerate().map(|(at, column)| {
        let mut from: Vec<String> = job
            .versions
            .iter()
            .map(|version| from(version, at))
            .collect();
        from.dedup();
        let classes = match column.classes.as_slice() {
            [] => String::new(),
            [class] => class.clone(),
            [first, .., last] => format!("{first} … {last}"),
        };
        let index = if column.index { "yes" } else { "" };
        [
            column.name.clone(),
            column.cql_type.to_string(),
            from.join(" / "),
            classes,
            index.to_owned(),
        ]
    });
    let header = ["COLUMN", "TYPE", "OUTPUT", "CLASS", "INDEX"];
    format!(
        "\nPredictions in {}.{}:\n\n{}\n",
        job.target.keyspace,
        job.target.table,
        output::table(header, rows)
    )
}

fn outputs_json(job: &CompiledJob) -> Value {
    let columns = job.target.outputs.iter().enumerate().map(|(at, column)| {
        let from: serde_json::Map<String, Value> = job
            .versions
            .iter()
            .map(|version| (version.ready.version.to_string(), json!(from(version, at))))
            .collect();
        json!({
            "column": column.name,
            "type": column.cql_type.to_string(),
            "index": column.index,
            "from": from,
            "classes": column.classes,
        })
    });
    Value::Array(columns.collect())
}
