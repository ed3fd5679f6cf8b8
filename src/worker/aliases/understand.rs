//! What a row of `alias_requests` says: nothing about it is certain but its key.

use chrono::{DateTime, TimeDelta, Utc};

use super::Outcome;
use crate::{
    domain::{alias::PREVIOUS, model::check_name, problem::Problem, run_id},
    store::alias_requests::AliasRequest,
};

/// Requests that nobody answered for so long are not acted upon any more.
const EXPIRY: TimeDelta = TimeDelta::hours(24);

/// `alias_requests.coverage`: what must be scored before an alias moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything, or the request is refused.
    Full,
    /// Nothing: move at once.
    Now,
    /// Everything: score what is missing, then move.
    WhenCovered,
}

impl Mode {
    /// As a request says it; null is full.
    ///
    /// # Errors
    /// Another word.
    pub fn of(request: &AliasRequest) -> Result<Self, Problem> {
        match request.coverage.as_deref() {
            None | Some("full") => Ok(Self::Full),
            Some("now") => Ok(Self::Now),
            Some("when_covered") => Ok(Self::WhenCovered),
            Some(other) => Err(Problem::new(
                "alias_request.coverage",
                format!("`{other}` is no coverage"),
            )
            .help("null or full, now, when_covered")),
        }
    }

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Now => "now",
            Self::WhenCovered => "when_covered",
        }
    }
}

/// What a well-formed request wants.
pub(super) enum Wish<'a> {
    Promote(&'a str, i32, Mode),
    Rollback(&'a str, Mode),
    Retire(i32),
}

/// Whether it was asked too long ago, or under another day than its own.
pub(super) fn untimely(request: &AliasRequest) -> Option<Outcome> {
    let asked_at = run_id::time_100ns(request.id)
        .and_then(|time| i64::try_from(time / 10_000).ok())
        .and_then(DateTime::from_timestamp_millis)
        // An id from before 1970 is old, too.
        .unwrap_or_default();
    if Utc::now() - asked_at > EXPIRY {
        return Some(Outcome {
            answer: "expired",
            reason: format!(
                "it was asked at {} and nobody answered for 24 hours",
                asked_at.format("%FT%TZ")
            ),
            run_id: None,
        });
    }
    // Either side of midnight may differ by the time between two calls of now().
    let apart = (asked_at.date_naive() - request.day).num_days().abs();
    (apart > 1).then(|| {
        Outcome::refused(
            Problem::new(
                "alias_request.day",
                format!(
                    "its day is {}, its id is of {}",
                    request.day,
                    asked_at.format("%FT%TZ")
                ),
            )
            .help("use toDate(now()) and now()"),
        )
    })
}

fn required<T>(column: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| {
        Problem::new("alias_request.incomplete", format!("`{column}` is null")).help(
            "promote needs model, alias, version; rollback model, alias; retire model, version",
        )
    })
}

pub(super) fn understand(request: &AliasRequest) -> Result<(&str, Wish<'_>), Problem> {
    let action = required("action", request.action.as_deref())?;
    let model = required("model", request.model.as_deref())?;
    check_name("a model", model)?;
    let version = || required("version", request.version);
    let alias = || {
        let alias = required("alias", request.alias.as_deref())?;
        check_name("an alias", alias)?;
        if alias == PREVIOUS {
            return Err(
                Problem::new("alias.reserved", "`previous` is not moved by itself")
                    .help("it is always the version before the champion"),
            );
        }
        Ok(alias)
    };
    let wish = match action {
        "promote" => Wish::Promote(alias()?, version()?, Mode::of(request)?),
        "rollback" => Wish::Rollback(alias()?, Mode::of(request)?),
        "retire" => Wish::Retire(version()?),
        other => {
            return Err(
                Problem::new("alias_request.action", format!("`{other}` is no action"))
                    .help("promote, rollback or retire"),
            );
        }
    };
    Ok((model, wish))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::aliases::today;

    fn request() -> AliasRequest {
        AliasRequest {
            day: today(),
            id: crate::process::timeuuid(),
            ..AliasRequest::default()
        }
    }

    #[test]
    fn a_row_that_lacks_something_is_told_what() {
        let said =
            |request: AliasRequest| understand(&request).err().map(|problem| problem.message);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(said(request()), text("`action` is null"));
        let promote = AliasRequest {
            action: text("promote"),
            model: text("tumour"),
            ..request()
        };
        assert_eq!(said(promote.clone()), text("`alias` is null"));
        let promote = AliasRequest {
            alias: text("champion"),
            ..promote
        };
        assert_eq!(said(promote.clone()), text("`version` is null"));
        assert_eq!(
            said(AliasRequest {
                version: Some(1),
                ..promote.clone()
            }),
            None
        );
        assert_eq!(
            said(AliasRequest {
                alias: text("previous"),
                ..promote.clone()
            }),
            text("`previous` is not moved by itself")
        );
        assert_eq!(
            said(AliasRequest {
                action: text("demote"),
                ..promote
            }),
            text("`demote` is no action")
        );
    }
}
