//! `helenus gate …`.

mod add;
mod approve;
mod list;
mod remove;
mod show;

use clap::Subcommand;
use serde_json::{Value, json};

use super::Context;
use crate::{
    control::gates::{Judged, Step},
    domain::{gate::Demotes, trigger::duration},
    failure::Failure,
    output::Answer,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// The subcommands. Their help is where their arguments are: a doc comment here would hide it.
#[derive(Debug, Subcommand)]
enum Command {
    Add(Box<add::Args>),
    List(list::Args),
    Show(show::Args),
    Approve(approve::Args),
    Remove(remove::Args),
}

/// Runs the subcommand.
///
/// # Errors
/// Those of the subcommand.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    match args.command {
        Command::Add(args) => add::run(*args, context).await,
        Command::List(args) => list::run(args, context).await,
        Command::Show(args) => show::run(args, context).await,
        Command::Approve(args) => approve::run(args, context).await,
        Command::Remove(args) => remove::run(args, context).await,
    }
}

/// Returns the gate's verdict, or why there is none.
fn verdict_name(judged: &Judged) -> &'static str {
    match (&judged.verdict, judged.challenger) {
        (Some((_, verdict)), _) => verdict.as_str(),
        (None, Some(_)) => "unevaluated",
        (None, None) => "unchallenged",
    }
}

fn as_json(judged: &Judged, step: &Step) -> Value {
    let gate = &judged.gate;
    json!({
        "model": gate.model,
        "name": gate.name,
        "alias": gate.alias,
        "points_at": judged.points_at,
        "challenger": gate.challenger,
        "challenger_version": judged.challenger,
        "metric": gate.metric,
        "labels": gate.labels,
        "min_improvement": gate.min_improvement,
        "confidence": gate.confidence,
        "min_labelled_rows": gate.min_labelled_rows,
        "segment_margin": gate.segment_margin,
        "full_coverage": gate.full_coverage,
        "experiment": gate.experiment.as_ref().map(|(job, name)| format!("{job}/{name}")),
        "says": verdict_name(judged),
        "evidence": judged.verdict.as_ref().map(|(evidence, verdict)| json!({
            "evaluation": evidence.evaluation,
            "evaluated_at": evidence.at,
            "version": evidence.version,
            "baseline": evidence.baseline,
            "rows": evidence.evaluated,
            "improvement": verdict.improvement,
            "low": verdict.low,
            "reasons": verdict.reasons,
        })),
        "acts": gate.acts.map(|acts| json!({
            "cooldown_seconds": acts.cooldown.as_secs(),
            "demotes": acts.demotes == Demotes::AfterTwo,
            "next": next_step(step),
        })),
    })
}

/// Describes the next step of a gate that acts by itself.
fn next_step(step: &Step) -> Option<String> {
    match step {
        Step::Nothing => None,
        Step::Rests(why) => Some(why.clone()),
        Step::Moves(to) => Some(format!(
            "a worker moves `{}` to version {}",
            to.alias, to.version
        )),
        Step::Refused(why) => Some(format!("refused: {why}")),
    }
}

fn text(judged: &Judged, step: &Step) -> String {
    let gate = &judged.gate;
    let mut text = format!(
        "gate `{}` of model `{}`: {}\n  {} must improve by more than {} at {} confidence, on at least {} rows of {}\n",
        gate.name,
        gate.model,
        verdict_name(judged),
        gate.metric,
        gate.min_improvement,
        gate.confidence,
        gate.min_labelled_rows,
        gate.labels,
    );
    if let Some(acts) = gate.acts {
        text.push_str(&format!(
            "  automatic: promotes with a cool-down of {}{}\n",
            duration::spoken(acts.cooldown),
            match acts.demotes {
                Demotes::AfterTwo => ", rolls back after two evaluations in a row",
                Demotes::Never => "",
            }
        ));
    }
    if let Some(next) = next_step(step) {
        text.push_str(&format!("  next: {next}\n"));
    }
    let Some((evidence, verdict)) = &judged.verdict else {
        return text;
    };
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.6}"));
    text.push_str(&format!(
        "  evaluation {}: version {} against {}, better by {} (at least {}) on {} rows\n",
        evidence.evaluation,
        evidence.version,
        evidence
            .baseline
            .map_or_else(|| "nothing".to_owned(), |baseline| baseline.to_string()),
        number(verdict.improvement),
        number(verdict.low),
        evidence.evaluated,
    ));
    for reason in &verdict.reasons {
        text.push_str(&format!("  - {reason}\n"));
    }
    if verdict.passes() && gate.acts.is_none() {
        text.push_str(&format!(
            "  waiting for approval: `helenus gate approve {} {}`\n",
            gate.model, gate.name
        ));
    }
    text
}
