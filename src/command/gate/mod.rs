//! `helenus gate …`.

mod add;
mod approve;
mod list;
mod remove;
mod show;

use clap::Subcommand;

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

fn text(judged: &Judged, step: &Step) -> String {
    let gate = &judged.gate;
    let mut text = format!(
        "gate `{}` of model `{}`: {}\n  {} must improve by more than {} at {} confidence, on at least {} rows of {}\n",
        gate.name,
        gate.model,
        judged.says(),
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
    if let Some(next) = step.describe() {
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
