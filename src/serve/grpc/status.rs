//! Failed requests as gRPC says them.

use axum::http::StatusCode;
use tonic::{Code, Status};

use crate::serve::error::ApiError;

/// Returns the status with the headline of the error.
pub fn status(error: &ApiError) -> Status {
    let first = error.problems.first();
    let is_late = first.is_some_and(|problem| problem.code == "serve.timed_out");
    let code = match error.status {
        _ if is_late => Code::DeadlineExceeded,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::CONFLICT => Code::FailedPrecondition,
        StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        status if status.is_client_error() => Code::InvalidArgument,
        _ => Code::Internal,
    };
    Status::new(code, error.line())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::problem::Problem;

    #[test]
    fn each_error_has_the_code_that_clients_act_on() {
        let problem = || Problem::new("x", "wrong").at("inputs");
        let too_large = ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, problem());
        for (error, code) in [
            (ApiError::bad(problem()), Code::InvalidArgument),
            (too_large, Code::InvalidArgument),
            (ApiError::not_found(problem()), Code::NotFound),
            (ApiError::overloaded("m"), Code::ResourceExhausted),
            (ApiError::unavailable(problem()), Code::Unavailable),
            (ApiError::timed_out(), Code::DeadlineExceeded),
        ] {
            assert_eq!(status(&error).code(), code, "{error:?}");
        }
        assert_eq!(status(&ApiError::bad(problem())).message(), "inputs: wrong");
    }
}
