//! `helenus forget`.

use serde_json::{Value, json};

use super::Context;
use crate::{
    domain::problem::Problem,
    failure::Failure,
    output::Answer,
    worker::{
        explain::KeyWords,
        forget::{self, Asked, Forgotten, Mode},
    },
};

/// Erase one entity from every table that helenus writes
///
/// All versions' predictions, and what names the entity in lists of rejected rows, runs, samples,
/// requests, hints and answers. It is a run of its own (trigger `forget`), so no other run of the
/// job may be open. Delete the source row first: while it stands the next run would score it again,
/// and this command refuses without --force. Safe to repeat, and after it was killed.
///
/// Exit code 3: a table of people's still names it, and this login may not write there. 4: another
/// run is open, or the source row still stands.
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
    #[arg(required = true, value_name = "KEY")]
    key: Vec<String>,
    /// Also while the source still has the row
    #[arg(long)]
    force: bool,
    /// Only tell what stands
    #[arg(long, conflicts_with = "force")]
    dry_run: bool,
}

/// Erases, reports.
///
/// # Errors
/// As the exit codes say.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let mode = match (args.dry_run, args.force) {
        (true, _) => Mode::Look,
        (false, true) => Mode::Force,
        (false, false) => Mode::Erase,
    };
    let asked = Asked::Words(KeyWords(args.key));
    let forgotten = forget::forget(&store, &args.job, &asked, mode).await?;
    let mut answer = Answer::new(as_json(&args.job, &forgotten), text(&forgotten, mode));
    answer.warnings.clone_from(&forgotten.warnings);
    if let Some(left) = forgotten.left.first() {
        let problem = Problem::new("forget.left", left.clone());
        answer.failed = Some(Failure::system(problem.help(
            "run it again with a login that may, or have an administrator delete those rows",
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
        lines.push("nothing stands about it".to_owned());
    }
    lines.push(match (mode, forgotten.run_id) {
        (Mode::Look, _) | (_, None) => "nothing was changed".to_owned(),
        (_, Some(run)) => format!("erased by run {run}, and read back"),
    });
    lines.join("\n")
}
