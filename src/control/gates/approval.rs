//! A person's approval of a gate.

use chrono::Utc;

use super::judge;
use crate::{
    domain::{gate::Gate, problem::Problem},
    failure::Failure,
    store::{Store, registry::alias_requests::AliasRequest},
};

/// Returns a gate that has not been removed.
///
/// # Errors
/// Exit 5: no such gate; exit 2: its row is invalid; errors of Cassandra.
pub async fn find(store: &Store, model: &str, name: &str) -> Result<Gate, Failure> {
    let row = store.gate(model, name).await?;
    let Some(row) = row.filter(|row| row.removed != Some(true)) else {
        return Err(unknown(model, name));
    };
    Gate::read(&row).map_err(Failure::inputs)
}

/// Returns the failure for an unknown gate.
pub fn unknown(model: &str, name: &str) -> Failure {
    let message = format!("model `{model}` has no gate `{name}`");
    Failure::not_found(
        Problem::new("gate.unknown", message).help("list the gates with `helenus gate list`"),
    )
}

/// Returns the request that promotes a gate's challenger, without id and author. Refused early; the
/// worker judges again.
///
/// # Errors
/// Exit 5: no such gate; exit 4: the gate does not pass; errors of Cassandra.
pub async fn approval(
    store: &Store,
    model: &str,
    name: &str,
    why: Option<String>,
) -> Result<AliasRequest, Failure> {
    let gate = find(store, model, name).await?;
    let judged = judge(store, gate, Utc::now()).await?;
    let Some((evidence, verdict)) = &judged.verdict else {
        let message = format!("gate `{name}` has no evaluation to judge");
        let help = format!(
            "point `{}` at a version, and evaluate it against `{}` with `helenus evaluate`",
            judged.gate.challenger, judged.gate.alias
        );
        return Err(Failure::conflict(
            Problem::new("gate.unevaluated", message).help(help),
        ));
    };
    if !verdict.passes() {
        let message = format!("gate `{name}` does not pass");
        return Err(Failure::conflict(
            Problem::new("gate.fails", message).help(verdict.reasons.join("; ")),
        ));
    }
    Ok(AliasRequest {
        action: Some("promote".to_owned()),
        model: Some(model.to_owned()),
        alias: Some(judged.gate.alias.clone()),
        version: Some(evidence.version),
        expected_version: evidence.baseline,
        why,
        gate: Some(name.to_owned()),
        evaluation: Some(evidence.evaluation),
        ..AliasRequest::default()
    })
}
