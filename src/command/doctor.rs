//! `helenus doctor`.

use serde_json::json;

use super::Context;
use crate::{
    domain::problem::Problem,
    failure::Failure,
    output::Answer,
    worker::doctor::{self, State},
};

/// Look at everything that helenus stands on, and say what to mend
///
/// ONNX Runtime's library; Cassandra's nodes, versions and clocks; replication and repair; the
/// schema; what this login may read and write. Changes nothing. Exit code 3 if something does not
/// work, 0 if there are warnings only.
///
/// Example:
///
///     helenus doctor
///
/// JSON result: {"good": bool, "checks": [{"check", "state": "good" | "warning" | "bad", "text",
///   "help"} …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {}

/// Looks, and tells.
///
/// # Errors
/// None: what does not work is told, with exit code 3.
pub async fn run(_: Args, context: &Context) -> Result<Answer, Failure> {
    let findings = doctor::examine(&context.config).await;
    let bad = findings
        .iter()
        .filter(|finding| finding.state == State::Bad)
        .count();
    let mut lines = Vec::new();
    for finding in &findings {
        let mark = match finding.state {
            State::Good => "good   ",
            State::Warning => "warning",
            State::Bad => "BAD    ",
        };
        lines.push(format!("{mark}  {:<11}  {}", finding.check, finding.text));
        if let Some(help) = &finding.help {
            lines.push(format!("{:24}{help}", ""));
        }
    }
    let result = json!({"good": bad == 0, "checks": findings});
    let mut answer = Answer::new(result, lines.join("\n"));
    if bad > 0 {
        let what = if bad == 1 {
            "one thing does".to_owned()
        } else {
            format!("{bad} things do")
        };
        answer.failed = Some(Failure::system(Problem::new(
            "doctor.bad",
            format!("{what} not work"),
        )));
    }
    Ok(answer)
}
