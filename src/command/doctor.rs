//! `helenus doctor`.

use serde_json::json;

use super::Context;
use crate::{
    domain::{cassandra::Release, problem::Problem},
    failure::Failure,
    inspect::doctor::{self, State},
    output::Answer,
};

/// Check helenus's dependencies and suggest fixes
///
/// Checks ONNX Runtime's library; the tokens and certificate of `helenus serve`; Cassandra's nodes,
/// releases (and what is lost on an older one) and clocks; replication and repair; the schema; the permissions of this login; and, if
/// kafka.brokers is set, Kafka's brokers and the topics of streams.
/// Changes nothing. Exit code 3 if a check fails, 0 if there are warnings only.
///
/// Example:
///
///     helenus doctor
///
/// JSON result: {"good": bool, "cassandra": null or {"release": oldest of the nodes, "lacks": ["vectors"
///   | "sai" | "unified_compaction" …]}, "checks": [{"check", "state": "good" | "warning" | "bad",
///   "text", "help"} …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {}

/// Runs the checks and prints their findings.
///
/// # Errors
/// None; a failed check is part of the answer, with exit code 3.
pub async fn run(_: Args, context: &Context) -> Result<Answer, Failure> {
    #[cfg_attr(not(feature = "kafka"), expect(unused_mut))]
    let doctor::Examination {
        release,
        mut findings,
    } = doctor::examine(&context.config).await;
    #[cfg(feature = "kafka")]
    findings.extend(crate::stream::doctor::examine(&context.config).await);
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
    let cassandra = release.as_ref().map(Release::as_json);
    let result = json!({"good": bad == 0, "cassandra": cassandra, "checks": findings});
    let mut answer = Answer::new(result, lines.join("\n"));
    if bad > 0 {
        let message = match bad {
            1 => "1 check failed".to_owned(),
            _ => format!("{bad} checks failed"),
        };
        answer.failed = Some(Failure::system(Problem::new("doctor.bad", message)));
    }
    Ok(answer)
}
