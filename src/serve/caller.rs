//! Who makes a request, and what they are permitted to do.

use axum::http::StatusCode;

use super::error::ApiError;
pub use crate::domain::token::Right;
use crate::domain::{problem::Problem, token::TokenEntry};

/// Who makes a request: the name of a token, or this machine's user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Written to `requested_by` of the rows that the request writes.
    pub name: String,
    pub rights: Vec<Right>,
    /// Only these jobs; `None`: all.
    pub jobs: Option<Vec<String>>,
    /// Only these models; `None`: all.
    pub models: Option<Vec<String>>,
}

impl Caller {
    /// A caller with all rights, for a server without tokens.
    pub fn anyone() -> Self {
        Self {
            name: "anyone".to_owned(),
            rights: Right::ALL.to_vec(),
            jobs: None,
            models: None,
        }
    }

    /// A caller without rights, for routes that need no token.
    pub fn nobody() -> Self {
        Self {
            name: "nobody".to_owned(),
            rights: Vec::new(),
            jobs: None,
            models: None,
        }
    }

    /// Returns the caller that a token stands for.
    pub fn of_token(entry: TokenEntry) -> Self {
        Self {
            name: entry.name,
            rights: entry.rights,
            jobs: entry.jobs,
            models: entry.models,
        }
    }

    /// Checks a right on a job.
    ///
    /// # Errors
    /// 403.
    pub fn check_job(&self, right: Right, job: &str) -> Result<(), ApiError> {
        self.check(right)?;
        self.check_name("job", self.jobs.as_deref(), job)
    }

    /// Checks a right on a model.
    ///
    /// # Errors
    /// 403.
    pub fn check_model(&self, right: Right, model: &str) -> Result<(), ApiError> {
        self.check(right)?;
        self.check_name("model", self.models.as_deref(), model)
    }

    /// Checks a right that concerns no single job or model.
    ///
    /// # Errors
    /// 403.
    pub fn check(&self, right: Right) -> Result<(), ApiError> {
        if self.rights.contains(&right) {
            return Ok(());
        }
        let right = right.as_str();
        Err(
            forbidden(format!("`{}` does not have the right `{right}`", self.name))
                .with_help(format!("add `{right}` to the rights of this token")),
        )
    }

    fn check_name(
        &self,
        kind: &str,
        allowed: Option<&[String]>,
        name: &str,
    ) -> Result<(), ApiError> {
        match allowed {
            Some(allowed) if !allowed.iter().any(|allowed| allowed == name) => Err(forbidden(
                format!("`{}` has no right on {kind} `{name}`", self.name),
            )
            .with_help(format!("add it to the {kind}s of this token"))),
            _ => Ok(()),
        }
    }
}

fn forbidden(message: String) -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        Problem::new("serve.forbidden", message),
    )
}

impl ApiError {
    fn with_help(mut self, help: String) -> Self {
        if let Some(problem) = self.problems.first_mut() {
            problem.help = Some(help);
        }
        self
    }
}
