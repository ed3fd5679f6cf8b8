//! Parses a row of `alias_requests`; only its key is certain to be valid.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    domain::{
        answer::{AnswerKind, RequestAnswer},
        model::{alias::PREVIOUS, check_name},
        problem::Problem,
        run::run_id,
    },
    store::registry::alias_requests::AliasRequest,
};

/// Age after which unanswered requests are no longer acted upon.
const EXPIRY: TimeDelta = TimeDelta::hours(24);

/// `alias_requests.coverage`: what must be scored before an alias moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything, or the request is refused.
    Full,
    /// Nothing: the alias moves at once.
    Now,
    /// Everything: what is missing is scored first, then the alias moves.
    WhenCovered,
}

impl Mode {
    /// Returns the mode of a request; null is full.
    ///
    /// # Errors
    /// The mode is unknown.
    pub fn from_request(request: &AliasRequest) -> Result<Self, Problem> {
        match request.coverage.as_deref() {
            None | Some("full") => Ok(Self::Full),
            Some("now") => Ok(Self::Now),
            Some("when_covered") => Ok(Self::WhenCovered),
            Some(other) => Err(Problem::new(
                "alias_request.coverage",
                format!("unknown coverage `{other}`"),
            )
            .help("null or full, now, when_covered")),
        }
    }

    /// Returns the stored form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Now => "now",
            Self::WhenCovered => "when_covered",
        }
    }
}

/// What a well-formed request asks for.
pub(super) enum AliasChange<'a> {
    Promote(&'a str, i32, Mode),
    Rollback(&'a str, Mode),
    Retire(i32),
}

/// Returns the answer to a request that was made too long ago, or that is stored under another day
/// than its own.
pub(super) fn untimely(request: &AliasRequest) -> Option<RequestAnswer> {
    let asked_at = run_id::time_100ns(request.id)
        .and_then(|time| i64::try_from(time / 10_000).ok())
        .and_then(DateTime::from_timestamp_millis)
        // An id from before 1970 is old, too.
        .unwrap_or_default();
    if Utc::now() - asked_at > EXPIRY {
        let reason = format!(
            "it was asked at {} and not answered for 24 hours",
            asked_at.format("%FT%TZ")
        );
        return Some(RequestAnswer::new(AnswerKind::Expired, reason));
    }
    // Around midnight, the two calls of now() may fall on different days.
    let apart = (asked_at.date_naive() - request.day).num_days().abs();
    (apart > 1).then(|| {
        RequestAnswer::refused_for(
            &Problem::new(
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

pub(super) fn understand(request: &AliasRequest) -> Result<(&str, AliasChange<'_>), Problem> {
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
        "promote" => AliasChange::Promote(alias()?, version()?, Mode::from_request(request)?),
        "rollback" => AliasChange::Rollback(alias()?, Mode::from_request(request)?),
        "retire" => AliasChange::Retire(version()?),
        other => {
            return Err(
                Problem::new("alias_request.action", format!("unknown action `{other}`"))
                    .help("promote, rollback or retire"),
            );
        }
    };
    Ok((model, wish))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::aliases::today;

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
            text("unknown action `demote`")
        );
    }
}
