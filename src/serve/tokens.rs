//! The tokens that the server accepts, reloaded when their file changes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::{caller::Caller, error::ApiError, watch::watch};
use crate::{
    domain::{
        problem::Problem,
        token::{self, TokenEntry},
    },
    failure::Failure,
};

/// Code of the error for a request without a token.
pub const NO_TOKEN: &str = "serve.no_token";
/// Code of the error for a token that is unknown or expired.
pub const INVALID_TOKEN: &str = "serve.invalid_token";

/// The tokens that are accepted.
#[derive(Debug)]
pub struct Tokens {
    /// `None`: all callers are accepted.
    file: Option<PathBuf>,
    accepted: ArcSwap<Vec<AcceptedToken>>,
    anyone: Arc<Caller>,
    nobody: Arc<Caller>,
}

#[derive(Debug)]
struct AcceptedToken {
    sha256: [u8; 32],
    expires: Option<DateTime<Utc>>,
    caller: Arc<Caller>,
}

impl Tokens {
    /// Accepts all callers, with all rights.
    pub fn anyone() -> Self {
        Self {
            file: None,
            accepted: ArcSwap::default(),
            anyone: Arc::new(Caller::anyone()),
            nobody: Arc::new(Caller::nobody()),
        }
    }

    /// Returns the caller of a route that needs no token: it has no rights.
    pub fn nobody(&self) -> Arc<Caller> {
        Arc::clone(&self.nobody)
    }

    /// Reads the tokens of a file.
    ///
    /// # Errors
    /// Exit 2: the file cannot be read, or has errors (all of them, with lines).
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let tokens = Self {
            file: Some(path.to_owned()),
            ..Self::anyone()
        };
        tokens.accepted.store(Arc::new(accepted(path)?));
        Ok(tokens)
    }

    /// Returns who sends this `Authorization` header.
    ///
    /// # Errors
    /// 401: no token, or one that is unknown or expired.
    pub fn caller(&self, authorization: Option<&str>) -> Result<Arc<Caller>, ApiError> {
        if self.file.is_none() {
            return Ok(Arc::clone(&self.anyone));
        }
        let token = authorization.and_then(bearer).ok_or_else(no_token)?;
        self.of_digest(&token::sha256(token))
    }

    /// Returns whether callers need no token.
    pub fn accepts_anyone(&self) -> bool {
        self.file.is_none()
    }

    /// Returns the caller with the token of this SHA-256, as long as the token is accepted.
    ///
    /// # Errors
    /// 401: the token is unknown or expired.
    pub fn of_digest(&self, digest: &[u8; 32]) -> Result<Arc<Caller>, ApiError> {
        if self.file.is_none() {
            return Ok(Arc::clone(&self.anyone));
        }
        let accepted = self.accepted.load();
        // All tokens are compared, so that the time says nothing about any of them.
        let mut found = u32::MAX;
        for (at, token) in (0u32..).zip(accepted.iter()) {
            found.conditional_assign(&at, token.sha256.ct_eq(digest));
        }
        let Some(token) = accepted.get(found as usize) else {
            return Err(invalid_token(
                "the token is unknown",
                "`helenus token new` makes one",
            ));
        };
        if token.expires.is_some_and(|expires| expires <= Utc::now()) {
            let message = format!("the token `{}` has expired", token.caller.name);
            return Err(invalid_token(
                &message,
                "`helenus token new` makes another one",
            ));
        }
        Ok(Arc::clone(&token.caller))
    }

    /// Reads the file again whenever it changes, for as long as the process runs. A file that has
    /// errors leaves the tokens as they were.
    pub async fn follow(self: Arc<Self>) {
        let Some(path) = self.file.clone() else {
            return;
        };
        watch(vec![path.clone()], || async {
            match accepted(&path) {
                Ok(accepted) => {
                    tracing::info!(tokens = accepted.len(), "read the tokens");
                    self.accepted.store(Arc::new(accepted));
                }
                Err(failure) => {
                    tracing::warn!(%failure, "the tokens stay as they were");
                }
            }
        })
        .await;
    }
}

/// Reads a token file.
///
/// # Errors
/// Exit 2: the file cannot be read, or has errors (all of them, with lines).
pub fn read_entries(path: &Path) -> Result<Vec<TokenEntry>, Failure> {
    let file = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| {
        let message = format!("the file of tokens: {error}");
        Failure::input(
            Problem::new("tokens.unreadable", message)
                .at(file.clone())
                .help("make it with `helenus token new`, readable by helenus only"),
        )
    })?;
    token::parse(&file, &text).map_err(Failure::inputs)
}

fn accepted(path: &Path) -> Result<Vec<AcceptedToken>, Failure> {
    let entries = read_entries(path)?.into_iter();
    Ok(entries
        .map(|entry| AcceptedToken {
            sha256: entry.sha256,
            expires: entry.expires,
            caller: Arc::new(Caller::of_token(entry)),
        })
        .collect())
}

/// Returns the token of `Bearer TOKEN`; the scheme's case does not matter.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn no_token() -> ApiError {
    unauthorized(
        NO_TOKEN,
        "the request has no token",
        "send the header `Authorization: Bearer TOKEN`",
    )
}

fn invalid_token(message: &str, help: &str) -> ApiError {
    unauthorized(INVALID_TOKEN, message, help)
}

fn unauthorized(code: &str, message: &str, help: &str) -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        Problem::new(code, message).help(help),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::domain::token::Right;

    fn tokens(text: &str) -> Tokens {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Tokens::read(file.path()).unwrap()
    }

    fn entry(name: &str, expires: Option<DateTime<Utc>>) -> TokenEntry {
        TokenEntry {
            name: name.to_owned(),
            sha256: token::sha256(&format!("hst_{name}")),
            rights: vec![Right::Score],
            jobs: None,
            models: None,
            expires,
        }
    }

    #[test]
    fn the_token_decides_who_the_caller_is() {
        let past = Utc::now() - chrono::TimeDelta::seconds(60);
        let future = Utc::now() + chrono::TimeDelta::days(1);
        let entries = [
            entry("first", None),
            entry("late", Some(past)),
            entry("last", Some(future)),
        ];
        let tokens = tokens(&entries.map(|entry| entry.render()).join("\n"));
        for (header, name) in [
            ("Bearer hst_first", "first"),
            ("bearer  hst_last ", "last"),
            ("BEARER hst_last", "last"),
        ] {
            let caller = tokens.caller(Some(header)).unwrap();
            assert_eq!(caller.name, name, "{header}");
            assert_eq!(caller.rights, [Right::Score]);
        }
        for (header, code) in [
            (None, NO_TOKEN),
            (Some(""), NO_TOKEN),
            (Some("Bearer"), NO_TOKEN),
            (Some("Bearer "), NO_TOKEN),
            (Some("Basic aHN0X2ZpcnN0"), NO_TOKEN),
            (Some("hst_first"), NO_TOKEN),
            (Some("Bearer hst_firs"), INVALID_TOKEN),
            (Some("Bearer hst_first x"), INVALID_TOKEN),
            (Some("Bearer hst_late"), INVALID_TOKEN),
        ] {
            let error = tokens.caller(header).unwrap_err();
            assert_eq!(error.status, StatusCode::UNAUTHORIZED, "{header:?}");
            assert_eq!(error.problems[0].code, code, "{header:?}");
        }
    }

    #[test]
    fn a_file_without_tokens_accepts_nobody_and_no_file_everybody() {
        assert!(tokens("").caller(Some("Bearer x")).is_err());
        assert_eq!(Tokens::anyone().caller(None).unwrap().name, "anyone");
    }
}
