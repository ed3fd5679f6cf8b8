//! `helenus job plan`.

mod sample;

use std::path::Path;

use serde_json::{Value, json};

use super::{Context, rows_of};
use crate::{
    domain::{
        job::{
            Cast, CompiledJob, CompiledVersion, Conversion, Epoch, NullRule, Place, Rule,
            manifest::Manifest, similarity::OutputIndex,
        },
        printable::printable,
    },
    engine::{
        forecast,
        jobs::{self, read_manifest},
    },
    failure::Failure,
    output::{self, Answer},
};

/// Print the DDL and the mapping of a job, and change nothing
///
/// Prints the statements that would be run, which column feeds which place of each version's inputs,
/// and where each output goes. Expected rows are not scored.
///
/// With --sample it reads this many source rows at random places and applies the mapping as a run
/// does. It reports how many rows would be rejected, why, and some of their keys. Rows that the model
/// itself refuses, or answers with NaN, only show in a run.
///
/// Examples:
///
///     helenus job plan tumour.toml
///     helenus job plan tumour
///     helenus job plan tumour.toml --sample 1000
///
/// Exit code 1: a version would reject every row of the sample.
///
/// JSON result: {"job", "source", "target", "ddl": [statement …], "versions": [{"version",
///   "inputs": [{"name", "element", "width", "places": [{"place", "width", "feature", "column",
///   "type", "cast", "as", "null", "text", "pad", "nonfinite"} or, for a prepared column, {"place",
///   "width", "feature", "column", "type", "as", "null", "prepared"}]}]}],
///   "outputs": [{"column", "type", "index", "from": {version: output and offset}, "classes"}],
///   "sample": null or {"rows", "whole_source", "versions": {version: {"rejected", "reasons":
///   [{"code", "about", "reason", "rows", "keys": [{column: value} …]}]}}}}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// A manifest file, or the name of a job for its newest revision
    #[arg(value_name = "FILE|JOB")]
    what: String,
    /// Read this many source rows and forecast which would be rejected
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=MAX_SAMPLE))]
    sample: Option<u32>,
}

/// Maximum rows of a sample; `helenus score JOB --dry-run` covers the whole source.
const MAX_SAMPLE: i64 = 100_000;

/// Prints the plan.
///
/// # Errors
/// Exit 2: all problems of the manifest; exit 5: no such job; exit 1: a version would reject the whole
/// sample.
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
            "sample": Value::Null,
        }),
        text,
    );
    answer.warnings.clone_from(&job.warnings);
    if let Some(rows) = args.sample {
        let forecast = forecast::forecast(&store, &job, rows.into()).await?;
        sample::add(&mut answer, &job, &forecast);
    }
    Ok(answer)
}

/// Returns the places of an input's features, each with its offset.
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
                let (conversion, null) = match &place.conversion {
                    Conversion::Cell(rule) => (rule_text(rule), null_text(&rule.null)),
                    Conversion::Prepared(preparation) => {
                        (preparation.describe(), null_text(&NullRule::Reject))
                    }
                };
                [
                    format!("{}{at}", printable(&input.name)),
                    printable(&place.feature).into_owned(),
                    column.name.clone(),
                    column.cql_type.to_string(),
                    input.element.name().to_owned(),
                    conversion,
                    null,
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
                let mut shown = json!({
                    "place": start,
                    "width": place.width,
                    "feature": place.feature,
                    "column": column.name,
                    "type": column.cql_type.to_string(),
                });
                let conversion = match &place.conversion {
                    Conversion::Cell(rule) => json!({
                        "cast": cast(rule.cast),
                        "as": epoch(rule.epoch),
                        "null": null_text(&rule.null),
                        "text": text_rule(rule),
                        "pad": pad_text(&rule.pad),
                        "nonfinite": if rule.reject_nonfinite { "reject" } else { "allow" },
                    }),
                    Conversion::Prepared(preparation) => json!({
                        "as": preparation.kind.name(),
                        "null": "reject",
                        "prepared": preparation.describe(),
                    }),
                };
                if let (Some(shown), Value::Object(conversion)) =
                    (shown.as_object_mut(), conversion)
                {
                    shown.extend(conversion);
                }
                shown
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

/// Returns the options of a rule other than `null`.
fn rule_text(rule: &Rule) -> String {
    let pad = pad_text(&rule.pad).map(|pad| format!("pad = {pad}"));
    let conversions = [cast(rule.cast), epoch(rule.epoch)];
    let finite = rule.reject_nonfinite.then_some("nonfinite = reject");
    let more = [text_rule(rule), pad.as_deref(), finite];
    let rules: Vec<&str> = conversions.into_iter().chain(more).flatten().collect();
    rules.join(", ")
}

fn text_rule(rule: &Rule) -> Option<&'static str> {
    Some(rule.text.name()).filter(|name| *name != "raw")
}

fn pad_text(rule: &NullRule) -> Option<String> {
    (*rule != NullRule::Reject).then(|| null_text(rule))
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

/// Names the model output of a version that fills the target's column number `at`.
fn output_name(version: &CompiledVersion, at: usize) -> String {
    let Some(Some(cell)) = version.outputs.get(at) else {
        return "null".to_owned();
    };
    let output = &version.ready.admitted.signature.outputs[cell.output];
    let name = &output.public_name;
    match (cell.postprocess.described(), output.width(), cell.width) {
        (post, ..) if !post.is_empty() => format!("{name} ({post})"),
        (_, 1, _) => name.clone(),
        (_, _, 1) => format!("{name}[{}]", cell.offset),
        _ => name.clone(),
    }
}

fn outputs_text(job: &CompiledJob) -> String {
    let rows = job.target.outputs.iter().enumerate().map(|(at, column)| {
        let mut from: Vec<String> = job
            .versions
            .iter()
            .map(|version| output_name(version, at))
            .collect();
        from.dedup();
        let classes = match column.classes.as_slice() {
            [] => String::new(),
            [class] => printable(class).into_owned(),
            [first, .., last] => format!("{} … {}", printable(first), printable(last)),
        };
        let index = match column.index {
            None => "",
            Some(OutputIndex::Comparison) => "yes",
            Some(OutputIndex::Similarity(similarity)) => similarity.name(),
        };
        [
            column.name.clone(),
            column.cql_type.to_string(),
            printable(&from.join(" / ")).into_owned(),
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
            .map(|version| {
                (
                    version.ready.version.to_string(),
                    json!(output_name(version, at)),
                )
            })
            .collect();
        json!({
            "column": column.name,
            "type": column.cql_type.to_string(),
            "index": index_json(column.index),
            "from": from,
            "classes": column.classes,
        })
    });
    Value::Array(columns.collect())
}

/// Returns the index as the manifest writes it.
fn index_json(index: Option<OutputIndex>) -> Value {
    match index {
        None => json!(false),
        Some(OutputIndex::Comparison) => json!(true),
        Some(OutputIndex::Similarity(similarity)) => json!(similarity.name()),
    }
}
