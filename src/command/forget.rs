//! `helenus forget`.

use serde_json::{Value, json};

use super::Context;
use crate::{
    control::forget::{self, ForgetTarget, Forgotten, Mode},
    domain::problem::Problem,
    failure::Failure,
    inspect::explain::KeyWords,
    output::Answer,
};

/// Erase one entity from every table that helenus writes
///
/// Erases the predictions of all versions, and every mention of the entity in lists of rejected
/// rows, runs, samples, requests, hints and answers. The erasure is a run (trigger `forget`), so no
/// other run of the job can be open. Delete the source row first: otherwise the next run would score
/// it again, and this command refuses without --force. It is safe to repeat, also after a crash.
///
/// Exit code 1: a row still names the entity after it was erased. 3: a table that people write still
/// names it and this login is not permitted to write there; or Cassandra failed, or another process
/// took over from this one: run the command again. 4: another run is open, the source row still
/// exists, or the run was cancelled.
///
/// Examples:
///
///     helenus forget tumour 842302 --dry-run
///     helenus forget visits clinic=north patient=7
///
/// JSON result: {"job", "run_id": id or null, "found": {table: rows …}, "versions": [n …],
///   "left": [text …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// The entity's key: NAME=VALUE for each primary key column (CQL literals without quotes), or
    /// one value if the key is one column
    #[arg(required = true, value_name = "KEY", allow_negative_numbers = true)]
    key: Vec<String>,
    /// Erase although the source still has the row
    #[arg(long)]
    force: bool,
    /// Only show what is stored
    #[arg(long, conflicts_with = "force")]
    dry_run: bool,
}

/// Erases the entity and reports what was found.
///
/// # Errors
/// See the exit codes.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let mode = match (args.dry_run, args.force) {
        (true, _) => Mode::Look,
        (false, true) => Mode::Force,
        (false, false) => Mode::Erase,
    };
    let asked = ForgetTarget::Words(KeyWords(args.key));
    let forgotten = forget::forget(&store, &args.job, &asked, mode).await?;
    let mut answer = Answer::new(as_json(&args.job, &forgotten), text(&forgotten, mode));
    answer.warnings.clone_from(&forgotten.warnings);
    if let Some(left) = forgotten.left.first() {
        let problem = Problem::new("forget.left", left.clone());
        answer.failed = Some(Failure::system(problem.help(
            "run it again with a login that is permitted to write there, or have an administrator delete those rows",
        )));
    }
    Ok(answer)
}

fn as_json(job: &str, forgotten: &Forgotten) -> Value {
    json!({
        "job": job,
        "run_id": forgotten.run_id,
        "found": forgotten.found,
        "versions": forgotten.versions,
        "left": forgotten.left,
    })
}

fn text(forgotten: &Forgotten, mode: Mode) -> String {
    let mut lines: Vec<String> = forgotten
        .found
        .iter()
        .map(|(table, rows)| format!("{table}: {rows}"))
        .collect();
    if lines.is_empty() {
        lines.push("nothing is stored about it".to_owned());
    }
    lines.push(match (mode, forgotten.run_id) {
        (Mode::Look, _) | (_, None) => "nothing was changed".to_owned(),
        (_, Some(run)) => format!("erased and verified by run {run}"),
    });
    lines.join("\n")
}
