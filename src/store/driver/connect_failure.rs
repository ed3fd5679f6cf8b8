//! Why no session could be opened, and what to fix.

use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, MetadataError,
    MetadataFetchErrorKind, NewSessionError, NextPageError, NextRowError, RequestAttemptError,
    RequestError,
};

use crate::{config::Config, domain::problem::Problem, failure::Failure};

/// Explains to users why no session could be opened.
pub(super) fn explain(error: &NewSessionError, config: &Config) -> Failure {
    let detail = error.to_string();
    if let NewSessionError::FailedToResolveAnyHostname(_) = error {
        return Failure::system(
            Problem::new(
                "cassandra.unresolved",
                format!(
                    "no address is known for {}",
                    config.contact_points.join(", ")
                ),
            )
            .help("check the names in contact_points"),
        );
    }
    if let Some(login) = refused_login(error) {
        let (message, help) = match &config.username {
            Some(name) => (
                format!("Cassandra refused the login `{name}`: {login}"),
                "check username and password (HELENUS_PASSWORD, or password_file)",
            ),
            None => (
                format!("Cassandra wants a login: {login}"),
                "set HELENUS_USERNAME and HELENUS_PASSWORD",
            ),
        };
        return Failure::system(Problem::new("cassandra.credentials", message).help(help));
    }
    let lower = detail.to_lowercase();
    let help = if lower.contains("certificate") || lower.contains("invalid peer") {
        "TLS: tls.ca must have signed the nodes' certificates, and those must carry the nodes' IP addresses as subject alternative names"
    } else if config.tls.is_some() && lower.contains("corrupt message") {
        "does that port speak TLS? tls.enabled is true"
    } else if config.tls.is_none()
        && (lower.contains("eof") || lower.contains("reset") || lower.contains("frame"))
    {
        "does that port speak CQL without TLS? tls.enabled is false"
    } else {
        "is Cassandra up there? contact_points names host and CQL port; `scripts/cassandra up` starts one for development"
    };
    unreachable(config, &cause(error), help)
}

pub(super) fn unreachable(config: &Config, cause: &str, help: &str) -> Failure {
    let points = config.contact_points.join(", ");
    Failure::system(
        Problem::new(
            "cassandra.unreachable",
            format!("Cassandra does not answer at {points}: {cause}"),
        )
        .help(help),
    )
}

fn connection_error(error: &NewSessionError) -> Option<&ConnectionError> {
    match error {
        NewSessionError::MetadataError(MetadataError::ConnectionPoolError(
            ConnectionPoolError::Broken {
                last_connection_error,
            },
        )) => Some(last_connection_error),
        _ => None,
    }
}

/// Returns the innermost cause: the outer layers only report that there is one.
fn cause(error: &NewSessionError) -> String {
    connection_error(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Returns Cassandra's message about the login, if that is why it refused.
fn refused_login(error: &NewSessionError) -> Option<String> {
    let said = |error: &DbError, message: &String| {
        matches!(error, DbError::AuthenticationError | DbError::Unauthorized)
            .then(|| message.clone())
    };
    if let Some(ConnectionError::ConnectionSetupRequestError(setup)) = connection_error(error) {
        return match &setup.error {
            ConnectionSetupRequestErrorKind::DbError(error, message) => said(error, message),
            ConnectionSetupRequestErrorKind::MissingAuthentication
            | ConnectionSetupRequestErrorKind::StartAuthSessionError(_) => {
                Some("none was given".to_owned())
            }
            _ => None,
        };
    }
    match error {
        NewSessionError::MetadataError(MetadataError::FetchError(fetch)) => match &fetch.error {
            MetadataFetchErrorKind::NextRowError(NextRowError::NextPageError(
                NextPageError::RequestFailure(RequestError::LastAttemptError(
                    RequestAttemptError::DbError(error, message),
                )),
            )) => said(error, message),
            _ => None,
        },
        _ => None,
    }
}
