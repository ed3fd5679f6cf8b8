//! Promote and roll back: a row of `alias_requests`.

use uuid::Uuid;

use super::{
    Act, ActOutcome, Draft, FormChoice, at, because, by, missing, no_such_choice, requested_by,
};
use crate::{
    control::{
        aliases::{Mode, followers, not_covered},
        requests::day_of,
    },
    domain::model::{
        alias::{CHAMPION, Change, PREVIOUS, previous},
        check_name,
    },
    serve::{
        console::{handle, place::ConsolePlace, query::Query, read::PageReader},
        error::ApiError,
    },
    store::{console::requests::time_of, registry::alias_requests::AliasRequest},
};

/// Returns the form that points an alias (`alias`, or the champion) at a version (`version`).
///
/// # Errors
/// 400, 404, and those of Cassandra.
pub async fn draft(reader: &PageReader<'_>, model: &str, query: &Query) -> Result<Draft, ApiError> {
    let alias = alias_of(query)?;
    let version = query
        .get("version")
        .and_then(|version| version.parse().ok());
    let version: i32 = version.ok_or_else(|| handle::invalid("`version` says which one"))?;
    let store = reader.store();
    let history = Box::pin(store.recent_alias_history(model, &alias)).await?;
    let from = history.first().map(|change| change.to);
    let readiness = Box::pin(store.readiness(model, version)).await?;
    let mut blocked = readiness
        .problem(model, version)
        .map(|problem| problem.line());
    if from == Some(version) {
        let problem = format!("`{alias}` points at version {version} already");
        blocked = blocked.or(Some(problem));
    }
    let (mut what, choice) = coverage(reader, model, &alias, (from, version)).await?;
    what.insert(0, moving(&alias, from, version));
    what.extend(gates(reader, model, &alias, version).await?);
    what.extend(history.first().map(|last| last_move(&alias, last)));
    let act = Act::Move {
        model: model.to_owned(),
        alias: alias.clone(),
        version: Some(version),
        from,
        seq: history.first().map_or(0, |change| change.seq),
    };
    Ok(Draft {
        act,
        title: format!("Promote version {version} of {model}"),
        what,
        blocked,
        choice: Some(choice),
        button: "Promote",
        back: ConsolePlace::Model(model.to_owned()),
    })
}

/// Returns the form that points an alias at the version before.
///
/// # Errors
/// 400, 404, and those of Cassandra.
pub async fn draft_rollback(
    reader: &PageReader<'_>,
    model: &str,
    query: &Query,
) -> Result<Draft, ApiError> {
    let alias = alias_of(query)?;
    let history = Box::pin(reader.store().recent_alias_history(model, &alias)).await?;
    let Some(last) = history.first() else {
        return Err(missing(format!("model `{model}` has no alias `{alias}`")));
    };
    let to = previous(&history);
    let (what, choice, blocked) = match to {
        Some(to) => {
            let (mut what, choice) = coverage(reader, model, &alias, (Some(last.to), to)).await?;
            what.insert(0, moving(&alias, Some(last.to), to));
            what.push("A second rollback undoes this one.".to_owned());
            (what, Some(choice), None)
        }
        None => {
            let problem = format!("`{alias}` has pointed at version {} only", last.to);
            (Vec::new(), None, Some(problem))
        }
    };
    let what = [what, vec![last_move(&alias, last)]].concat();
    Ok(Draft {
        act: Act::Move {
            model: model.to_owned(),
            alias,
            version: None,
            from: Some(last.to),
            seq: last.seq,
        },
        title: format!("Roll back {model}"),
        what,
        blocked,
        choice,
        button: "Roll back",
        back: ConsolePlace::Model(model.to_owned()),
    })
}

fn alias_of(query: &Query) -> Result<String, ApiError> {
    let alias = query.get("alias").unwrap_or(CHAMPION);
    check_name("an alias", alias).map_err(ApiError::bad)?;
    match alias {
        PREVIOUS => Err(handle::invalid(
            "`previous` is always the version before the champion: move `champion`",
        )),
        alias => Ok(alias.to_owned()),
    }
}

fn moving(alias: &str, from: Option<i32>, to: i32) -> String {
    match from {
        Some(from) => format!("`{alias}`: version {from} → {to}"),
        None => format!("`{alias}`: new, points at version {to}"),
    }
}

fn last_move(alias: &str, change: &Change) -> String {
    format!(
        "`{alias}` was last moved by {}{}{}.",
        by(change.who.as_deref()),
        at(time_of(change.changed_at)),
        because(change.why.as_deref())
    )
}

/// Says how far the jobs that follow an alias have scored a version, and what can be chosen.
async fn coverage(
    reader: &PageReader<'_>,
    model: &str,
    alias: &str,
    (from, to): (Option<i32>, i32),
) -> Result<(Vec<String>, FormChoice), ApiError> {
    let full = ("full", "only if everything is scored");
    let covered = ("when_covered", "score what is missing first, then move");
    let now = ("now", "at once, whatever is missing");
    let choice = |options| ("coverage", "When", options);
    // A new alias has no readers yet.
    if from.is_none() {
        return Ok((Vec::new(), choice(vec![full, covered, now])));
    }
    let followers = Box::pin(followers(reader.store(), model, alias, to, None)).await?;
    let mut what: Vec<String> = followers
        .iter()
        .map(|follower| format!("Scored by version {to}: {}", follower.describe()))
        .collect();
    match not_covered(model, to, &followers) {
        None => Ok((what, choice(vec![full, covered, now]))),
        Some(_) => {
            what.push("Some rows have no prediction of it yet: they are scored first, which may take as long as a run.".to_owned());
            Ok((what, choice(vec![covered, full, now])))
        }
    }
}

/// Says what the gates of an alias found about a version.
async fn gates(
    reader: &PageReader<'_>,
    model: &str,
    alias: &str,
    version: i32,
) -> Result<Vec<String>, ApiError> {
    let rows = Box::pin(reader.store().gates()).await?;
    let of_alias = rows.into_iter().filter(|row| {
        row.model == model
            && row.removed != Some(true)
            && row.alias.as_deref().unwrap_or(CHAMPION) == alias
    });
    let names: Vec<String> = of_alias.map(|row| row.name).collect();
    let verdicts = Box::pin(reader.store().verdict_lines(model, &names, 20)).await?;
    Ok(names
        .iter()
        .map(|name| {
            let verdict = verdicts
                .iter()
                .find(|verdict| verdict.gate == *name && verdict.version == Some(version));
            match verdict {
                Some(verdict) => format!(
                    "Gate `{name}`: {}{}",
                    verdict.verdict.as_deref().unwrap_or_default(),
                    match verdict.reasons.is_empty() {
                        true => String::new(),
                        false => format!(", {}", verdict.reasons.join("; ")),
                    }
                ),
                None => format!(
                    "Gate `{name}` has not judged version {version}; promoting needs no gate."
                ),
            }
        })
        .collect())
}

/// Writes the request, unless the alias has moved meanwhile.
///
/// # Errors
/// 400, and those of Cassandra.
pub async fn send(
    reader: &PageReader<'_>,
    act: &Act,
    request: Uuid,
    fields: &Query,
    why: &str,
) -> Result<ActOutcome, ApiError> {
    let Act::Move {
        model,
        alias,
        version,
        from,
        seq,
    } = act
    else {
        return Err(no_such_choice("promote"));
    };
    let mode = match fields.get("coverage").unwrap_or("full") {
        "full" => Mode::Full,
        "when_covered" => Mode::WhenCovered,
        "now" => Mode::Now,
        other => return Err(no_such_choice(other)),
    };
    let told = moved_since(reader, model, alias, *seq).await?;
    if !told.is_empty() {
        return Ok(ActOutcome::Moved(told));
    }
    let row = AliasRequest {
        day: day_of(request),
        id: request,
        action: Some(match version {
            Some(_) => "promote".to_owned(),
            None => "rollback".to_owned(),
        }),
        model: Some(model.clone()),
        alias: Some(alias.clone()),
        version: *version,
        expected_version: *from,
        requested_by: Some(requested_by(reader.caller)),
        why: Some(why.to_owned()),
        coverage: (mode != Mode::Full).then(|| mode.as_str().to_owned()),
        ..AliasRequest::default()
    };
    Box::pin(reader.store().insert_alias_request(&row)).await?;
    Ok(ActOutcome::Written)
}

/// Returns a sentence for each move of an alias since its move number `seq`, newest first.
///
/// # Errors
/// Those of Cassandra.
pub async fn moved_since(
    reader: &PageReader<'_>,
    model: &str,
    alias: &str,
    seq: i32,
) -> Result<Vec<String>, ApiError> {
    let history = Box::pin(reader.store().recent_alias_history(model, alias)).await?;
    let since = history.iter().take_while(|change| change.seq > seq);
    Ok(since
        .map(|change| {
            let from = change
                .from
                .map_or_else(|| "nothing".to_owned(), |from| format!("version {from}"));
            format!(
                "{} moved `{alias}` from {from} to version {}{}{}.",
                by(change.who.as_deref()),
                change.to,
                at(time_of(change.changed_at)),
                because(change.why.as_deref())
            )
        })
        .collect())
}
