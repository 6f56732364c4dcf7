//! What went wrong, as problem details (RFC 9457).

use std::fmt::Display;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

/// A request that was not carried out. The answer's body:
///
/// ```json
/// {"type": "about:blank", "title": "Conflict", "status": 409,
///  "code": "ledger_behind", "detail": "the ledger is behind in 2 partitions, …"}
/// ```
///
/// `code` is stable; `detail` is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// `unauthorised`, 401: no bearer token.
    #[error("a bearer token is needed")]
    Unauthorised,
    /// `forbidden`, 403: the bearer token doesn't allow this.
    #[error("the bearer token doesn't allow this")]
    Forbidden,
    /// `not_found`, 404: no such route.
    #[error("there is no such resource")]
    NotFound,
    /// `method_not_allowed`, 405: the route is there, with other methods.
    #[error("the resource doesn't take this method")]
    MethodNotAllowed,
    /// `body_too_large`, 413.
    #[error("the body is too large")]
    BodyTooLarge,
    /// `invalid_body`, 400: the body is not what the route takes.
    #[error("{0}")]
    InvalidBody(String),
    /// `invalid_query`, 400: the query is not what the route takes.
    #[error("{0}")]
    InvalidQuery(String),
    /// `as_of_in_future`, 409.
    #[error("{0}")]
    AsOfInFuture(String),
    /// `already_running`, 409: another payout run is going on.
    #[error("{0}")]
    AlreadyRunning(String),
    /// `ledger_behind`, 409: the ledger has to fold the log first. Try again.
    #[error("{0}")]
    LedgerBehind(String),
    /// `invariants_broken`, 409: payouts stand still until an operator has seen to it.
    #[error("{0}")]
    InvariantsBroken(String),
    /// `not_configured`, 409: this installation has no payout rail.
    #[error("{0} is not configured")]
    NotConfigured(&'static str),
    /// `unavailable`, 503: something that is needed doesn't answer. Try again.
    #[error("{0}")]
    Unavailable(String),
    /// `internal`, 500: a defect; the log has the details.
    #[error("an internal error: the service's log has the details")]
    Internal,
}

impl Problem {
    /// Logs a defect and says no more of it.
    pub(crate) fn internal(error: &dyn Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::Internal
    }

    /// Logs what doesn't answer and says so.
    pub(crate) fn unavailable(what: &'static str, error: &dyn Display) -> Self {
        tracing::warn!(%error, what, "a request could not be carried out");
        Self::Unavailable(format!("{what} does not answer at the moment"))
    }

    /// Its stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unauthorised => "unauthorised",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTooLarge => "body_too_large",
            Self::InvalidBody(_) => "invalid_body",
            Self::InvalidQuery(_) => "invalid_query",
            Self::AsOfInFuture(_) => "as_of_in_future",
            Self::AlreadyRunning(_) => "already_running",
            Self::LedgerBehind(_) => "ledger_behind",
            Self::InvariantsBroken(_) => "invariants_broken",
            Self::NotConfigured(_) => "not_configured",
            Self::Unavailable(_) => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// Its HTTP status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorised => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::InvalidBody(_) | Self::InvalidQuery(_) => StatusCode::BAD_REQUEST,
            Self::AsOfInFuture(_)
            | Self::AlreadyRunning(_)
            | Self::LedgerBehind(_)
            | Self::InvariantsBroken(_)
            | Self::NotConfigured(_) => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "code": self.code(),
            "detail": self.to_string(),
        });
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
