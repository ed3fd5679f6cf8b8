//! Gates that act: the worker itself moves the alias, as a user's request would.
//!
//! A move is recorded in `gate_moves` before it is made, once per evaluation and last change of the
//! alias, with the id of the request that it makes. So workers that lead at the same time make the
//! same request. If a worker crashes, its successor finds the move open and finishes it: the
//! alias's history names the request if it was done. Before the alias moves, the evidence is judged
//! again, as for an approval. Times are Cassandra's.

use chrono::{DateTime, Utc};

use super::{Judged, demotion, run_once};
use crate::{
    control::{
        aliases::{self, Acted},
        requests::day_of,
    },
    domain::{
        gate::{Acts, Demotes},
        model::alias::previous,
        trigger::duration,
    },
    failpoint, process,
    store::{
        Store, admin::leases::Watches, driver::error::StoreError, evidence::gate_moves::GateMove,
        registry::alias_requests::AliasRequest,
    },
};

/// What a gate does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: there is no reason to act.
    Nothing,
    /// The gate would move the alias, but must not, or not yet.
    Rests(String),
    /// This move is under way, or must be made.
    Moves(GateMove),
    /// The move was refused; another evaluation may change that.
    Refused(String),
}

/// What a round did.
#[derive(Debug, Default)]
pub struct GateRound {
    /// Number of gates that were judged.
    pub gates: usize,
    /// Moves that are under way.
    pub under_way: usize,
    /// Moves that were settled in this round.
    pub settled: usize,
    /// What could not be done; the next round tries again.
    pub troubles: Vec<String>,
}

/// Judges all gates, and makes the moves of those that act.
///
/// # Errors
/// Errors of Cassandra if gates could not be judged.
pub async fn judge_and_move(store: &Store, watches: &mut Watches) -> Result<GateRound, StoreError> {
    let mut round = GateRound::default();
    for judged in run_once(store, None).await? {
        round.gates += 1;
        match act_on(store, watches, &judged).await {
            Ok(None) => {}
            Ok(Some(Acted::Answered(_))) => round.settled += 1,
            Ok(Some(Acted::Waits | Acted::Elsewhere)) => round.under_way += 1,
            Err(error) => round.troubles.push(format!(
                "gate `{}` of model `{}`: {error}",
                judged.gate.name, judged.gate.model
            )),
        }
    }
    Ok(round)
}

async fn act_on(
    store: &Store,
    watches: &mut Watches,
    judged: &Judged,
) -> Result<Option<Acted>, StoreError> {
    let wanted = match step(store, judged).await? {
        Step::Moves(wanted) => wanted,
        Step::Nothing | Step::Rests(_) | Step::Refused(_) => return Ok(None),
    };
    let asked = store.ask_gate_move(&wanted).await?;
    failpoint::hit("after_gate_move");
    if asked.answer.is_some() {
        return Ok(None);
    }
    let acted = aliases::serve_directly(store, watches, &request(&asked)).await?;
    if let Acted::Answered(answer) = &acted {
        tracing::info!(
            model = asked.model,
            gate = asked.gate,
            answer = answer.kind.as_str(),
            reason = answer.reason,
            "gate move"
        );
    }
    if let Acted::Answered(answer) = &acted {
        store.answer_gate_move(&asked, answer).await?;
    }
    Ok(Some(acted))
}

/// Returns the request that a user would have made.
fn request(asked: &GateMove) -> AliasRequest {
    AliasRequest {
        day: day_of(asked.request_id),
        id: asked.request_id,
        action: Some(asked.action.clone()),
        model: Some(asked.model.clone()),
        alias: Some(asked.alias.clone()),
        version: (asked.action == "promote").then_some(asked.version),
        expected_version: Some(asked.from_version),
        requested_by: Some(format!("gate {}", asked.gate)),
        why: Some("it acts by itself".to_owned()),
        coverage: Some("when_covered".to_owned()),
        gate: Some(asked.gate.clone()),
        evaluation: Some(asked.evaluation),
    }
}

/// Returns what a gate does next; only reads.
///
/// # Errors
/// Errors of Cassandra.
pub async fn step(store: &Store, judged: &Judged) -> Result<Step, StoreError> {
    let gate = &judged.gate;
    let (Some(acts), Some(from)) = (gate.acts, judged.points_at) else {
        return Ok(Step::Nothing);
    };
    let newest = store.newest_gate_move(&gate.model, &gate.name).await?;
    if let Some(open) = newest.filter(|newest| newest.answer.is_none()) {
        return Ok(Step::Moves(open));
    }
    let changed = store.last_alias_change(&gate.model, &gate.alias).await?;
    let Some((last_seq, changed_at)) = changed else {
        return Ok(Step::Nothing);
    };
    let wanted = |action: &str, version, evaluation| GateMove {
        model: gate.model.clone(),
        gate: gate.name.clone(),
        last_seq,
        evaluation,
        request_id: process::timeuuid(),
        action: action.to_owned(),
        alias: gate.alias.clone(),
        version,
        from_version: from,
        answer: None,
    };
    let wanted = match &judged.verdict {
        Some((evidence, verdict)) if verdict.passes() => {
            if let Some(why) = rests(store, judged, acts, evidence.version, changed_at).await? {
                return Ok(Step::Rests(why));
            }
            wanted("promote", evidence.version, evidence.evaluation)
        }
        _ if acts.demotes == Demotes::AfterTwo => {
            let history = store.recent_alias_history(&gate.model, &gate.alias).await?;
            let Some(before) = previous(&history) else {
                return Ok(Step::Nothing);
            };
            match demotion::examine(store, gate, from, before, Utc::now()).await? {
                Ok(due) => wanted("rollback", before, due.newer),
                Err(why) => return Ok(why.map_or(Step::Nothing, Step::Rests)),
            }
        }
        _ => return Ok(Step::Nothing),
    };
    let (model, name) = (&wanted.model, &wanted.gate);
    let stands = store
        .gate_move(model, name, last_seq, wanted.evaluation)
        .await?;
    Ok(match stands {
        Some(GateMove {
            answer: Some((_, reason)),
            ..
        }) => Step::Refused(reason),
        Some(open) => Step::Moves(open),
        None => Step::Moves(wanted),
    })
}

/// Returns why a version that passes is not moved to now.
async fn rests(
    store: &Store,
    judged: &Judged,
    acts: Acts,
    version: i32,
    changed_at: DateTime<Utc>,
) -> Result<Option<String>, StoreError> {
    let gate = &judged.gate;
    let history = store.recent_alias_history(&gate.model, &gate.alias).await?;
    if history.iter().any(|change| change.to == version) {
        return Ok(Some(format!(
            "`{}` pointed at version {version} before, and was moved away from it: that needs an approval",
            gate.alias
        )));
    }
    let now = store.now().await?;
    // An end that overflows is later than any other time.
    let until = changed_at.checked_add_signed(
        chrono::TimeDelta::from_std(acts.cooldown).unwrap_or(chrono::TimeDelta::MAX),
    );
    if until.is_some_and(|until| until <= now) {
        return Ok(None);
    }
    Ok(Some(format!(
        "`{}` was changed at {}, and the cool-down is {}",
        gate.alias,
        changed_at.format("%FT%TZ"),
        duration::spoken(acts.cooldown)
    )))
}
