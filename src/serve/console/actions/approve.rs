//! Approve a gate: a row of `alias_requests` that names the gate and its evidence.

use chrono::Utc;
use uuid::Uuid;

use super::{Act, ActOutcome, Draft, no_such_choice, promote, requested_by};
use crate::{
    control::{
        gates::{self, Judged},
        requests::day_of,
    },
    report::number,
    serve::{
        console::{place::ConsolePlace, read::PageReader},
        error::ApiError,
    },
    store::registry::alias_requests::AliasRequest,
};

async fn read_state(reader: &PageReader<'_>, model: &str, name: &str) -> Result<Judged, ApiError> {
    let gate = Box::pin(gates::find(reader.store(), model, name)).await?;
    Ok(Box::pin(gates::judge(reader.store(), gate, Utc::now())).await?)
}

/// Returns the form.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn draft(reader: &PageReader<'_>, model: &str, name: &str) -> Result<Draft, ApiError> {
    let judged = read_state(reader, model, name).await?;
    let gate = &judged.gate;
    let back = ConsolePlace::Gates(model.to_owned());
    let title = format!("Approve gate {name} of {model}");
    let Some((evidence, verdict)) = &judged.verdict else {
        return Ok(Draft {
            act: Act::Approve {
                model: model.to_owned(),
                gate: name.to_owned(),
                alias: gate.alias.clone(),
                version: 0,
                from: judged.points_at,
                evaluation: Uuid::nil(),
            },
            title,
            what: Vec::new(),
            blocked: Some(format!(
                "the gate has nothing to judge: point `{}` at a version and evaluate it against `{}`",
                gate.challenger, gate.alias
            )),
            choice: None,
            button: "Approve",
            back,
        });
    };
    let from = judged
        .points_at
        .map_or_else(|| "nothing".to_owned(), |from| from.to_string());
    let mut what = vec![format!(
        "`{}`: version {from} → {}",
        gate.alias, evidence.version
    )];
    if let (Some(improvement), Some(low)) = (verdict.improvement, verdict.low) {
        what.push(format!(
            "{} better by {} on {} rows; at least {} with {} confidence, and more than {} is wanted",
            gate.metric,
            number::value(improvement),
            number::count(evidence.evaluated),
            number::value(low),
            number::percent(gate.confidence),
            number::value(gate.min_improvement)
        ));
    }
    what.push("The worker judges the gate once more before it moves the alias.".to_owned());
    let blocked = (!verdict.passes())
        .then(|| format!("the gate does not pass: {}", verdict.reasons.join("; ")));
    Ok(Draft {
        act: Act::Approve {
            model: model.to_owned(),
            gate: name.to_owned(),
            alias: gate.alias.clone(),
            version: evidence.version,
            from: evidence.baseline,
            evaluation: evidence.evaluation,
        },
        title,
        what,
        blocked,
        choice: None,
        button: "Approve",
        back,
    })
}

/// Writes the request, unless gate, evidence or alias have moved meanwhile.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn send(
    reader: &PageReader<'_>,
    act: &Act,
    request: Uuid,
    why: &str,
) -> Result<ActOutcome, ApiError> {
    let Act::Approve {
        model,
        gate,
        alias,
        version,
        from,
        evaluation,
    } = act
    else {
        return Err(no_such_choice("approve"));
    };
    let judged = read_state(reader, model, gate).await?;
    let mut told = Vec::new();
    if judged.points_at != *from {
        told = match from {
            Some(from) => super::moved_from(reader, model, alias, *from).await?,
            None => promote::moved_since(reader, model, alias, 0).await?,
        };
    }
    match &judged.verdict {
        Some((evidence, _)) if evidence.evaluation != *evaluation => told.push(format!(
            "There is a newer evaluation, of version {}: look at what it shows.",
            evidence.version
        )),
        Some((_, verdict)) if !verdict.passes() => told.push(format!(
            "The gate does not pass any more: {}.",
            verdict.reasons.join("; ")
        )),
        Some(_) => {}
        None => told.push("The gate has nothing to judge any more.".to_owned()),
    }
    if !told.is_empty() {
        return Ok(ActOutcome::Moved(told));
    }
    let row = AliasRequest {
        day: day_of(request),
        id: request,
        action: Some("promote".to_owned()),
        model: Some(model.clone()),
        alias: Some(alias.clone()),
        version: Some(*version),
        expected_version: *from,
        requested_by: Some(requested_by(reader.caller)),
        why: Some(why.to_owned()),
        gate: Some(gate.clone()),
        evaluation: Some(*evaluation),
        ..AliasRequest::default()
    };
    Box::pin(reader.store().insert_alias_request(&row)).await?;
    Ok(ActOutcome::Written)
}
