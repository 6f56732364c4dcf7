//! What went wrong, as problem details (RFC 9457).

use std::{fmt::Display, time::Duration};

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use utoipa::IntoResponses;
use web::problem_details::{CHECK_INPUT, ProblemDetails, SLOW_DOWN};
pub use web::problem_details::{FieldError, ProblemBody, VERIFYING};

/// A request that was not carried out. The answer's body is a [`ProblemBody`].
///
/// `code` is stable; `detail` is for people who write programs; `user_message` is for people who
/// use them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// `unauthorised`, 401: no bearer token, or one that doesn't count (any more).
    #[error("a valid bearer token is needed")]
    Unauthorised,
    /// `code_rejected`, 401: the one-time code is wrong, used, expired, tried too often, or was
    /// never asked for.
    #[error("the code doesn't count: ask for a new one")]
    CodeRejected,
    /// `session_over`, 401: the refresh token is missing, used, expired or revoked.
    #[error("the session is over: sign in again")]
    SessionOver,
    /// `forbidden`, 403: the bearer token doesn't allow this.
    #[error("the bearer token doesn't allow this")]
    Forbidden,
    /// `not_found`, 404: no such route or thing, for this caller.
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
    /// `invalid_fields`, 400: some of what was sent can't be used; `errors` says which and why.
    #[error("some fields can't be used: see `errors`")]
    InvalidFields(Vec<FieldError>),
    /// `idempotency_key_reused`, 422: the key came before, with another request.
    #[error("this Idempotency-Key came before with another request")]
    IdempotencyKeyReused,
    /// `request_in_progress`, 409: the same request is being carried out. Try again.
    #[error("a request with this Idempotency-Key is being carried out")]
    RequestInProgress,
    /// `too_many_codes`, 429: too many codes for this phone. `Retry-After` says when.
    #[error("too many codes were asked for this phone")]
    TooManyCodes(Duration),
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
    /// `not_configured`, 409: this installation lacks what the route needs.
    #[error("{0} is not configured")]
    NotConfigured(&'static str),
    /// `unavailable`, 503: something that is needed doesn't answer. Try again.
    #[error("{0}")]
    Unavailable(String),
    /// `internal`, 500: a defect; the log has the details.
    #[error("an internal error: the service's log has the details")]
    Internal,
}

/// How whatever reads may refuse; for the description.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) enum ReadRefused {
    /// `invalid_fields`
    #[response(status = 400)]
    Invalid(ProblemBody),
    /// `unauthorised`
    #[response(status = 401)]
    Unauthorised(ProblemBody),
    /// `forbidden`
    #[response(status = 403)]
    Forbidden(ProblemBody),
    /// `not_found`: nothing of this name that is the caller's
    #[response(status = 404)]
    NotFound(ProblemBody),
    /// `not_configured`
    #[response(status = 409)]
    NotConfigured(ProblemBody),
    /// `too_many_requests`
    #[response(status = 429)]
    TooMany(ProblemBody),
    /// `unavailable`
    #[response(status = 503)]
    Unavailable(ProblemBody),
}

/// How whatever creates or decides may refuse; for the description.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) enum WriteRefused {
    /// `invalid_fields`, `invalid_body`
    #[response(status = 400)]
    Invalid(ProblemBody),
    /// `unauthorised`
    #[response(status = 401)]
    Unauthorised(ProblemBody),
    /// `forbidden`
    #[response(status = 403)]
    Forbidden(ProblemBody),
    /// `not_found`: nothing of this name that is the caller's
    #[response(status = 404)]
    NotFound(ProblemBody),
    /// `request_in_progress`, `not_configured`
    #[response(status = 409)]
    Conflict(ProblemBody),
    /// `body_too_large`
    #[response(status = 413)]
    TooLarge(ProblemBody),
    /// `idempotency_key_reused`
    #[response(status = 422)]
    KeyReused(ProblemBody),
    /// `too_many_requests`
    #[response(status = 429)]
    TooMany(ProblemBody),
    /// `unavailable`
    #[response(status = 503)]
    Unavailable(ProblemBody),
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

    /// The database, which is asked for what the caller may see.
    pub(crate) fn database(error: &sqlx::Error) -> Self {
        Self::unavailable("the database", error)
    }

    /// One field that can't be used.
    pub(crate) fn field(field: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self::InvalidFields(vec![FieldError {
            field: field.to_owned(),
            code,
            detail: detail.into(),
        }])
    }

    /// Its stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unauthorised => "unauthorised",
            Self::CodeRejected => "code_rejected",
            Self::SessionOver => "session_over",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTooLarge => "body_too_large",
            Self::InvalidBody(_) => "invalid_body",
            Self::InvalidFields(_) => "invalid_fields",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::RequestInProgress => "request_in_progress",
            Self::TooManyCodes(_) => "too_many_codes",
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
            Self::Unauthorised | Self::CodeRejected | Self::SessionOver => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::InvalidBody(_) | Self::InvalidFields(_) => StatusCode::BAD_REQUEST,
            Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyCodes(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::RequestInProgress
            | Self::AsOfInFuture(_)
            | Self::AlreadyRunning(_)
            | Self::LedgerBehind(_)
            | Self::InvariantsBroken(_)
            | Self::NotConfigured(_) => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What an end user may be shown: no jargon, and nothing of what is behind it.
    pub const fn user_message(&self) -> &'static str {
        match self {
            Self::Unauthorised | Self::SessionOver => "Please sign in again.",
            Self::CodeRejected => {
                "That code isn't right or is no longer valid. Please ask for a new one."
            }
            Self::Forbidden | Self::NotFound | Self::MethodNotAllowed => {
                "This isn't available to you."
            }
            Self::BodyTooLarge
            | Self::InvalidBody(_)
            | Self::InvalidFields(_)
            | Self::IdempotencyKeyReused => CHECK_INPUT,
            Self::RequestInProgress => SLOW_DOWN,
            Self::TooManyCodes(_) => "You've asked for several codes. Please try again later.",
            Self::AsOfInFuture(_)
            | Self::AlreadyRunning(_)
            | Self::LedgerBehind(_)
            | Self::InvariantsBroken(_)
            | Self::NotConfigured(_)
            | Self::Unavailable(_)
            | Self::Internal => VERIFYING,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyCodes(wait) => Some(*wait),
            Self::Unavailable(_) => Some(Duration::from_secs(5)),
            Self::RequestInProgress => Some(Duration::from_secs(1)),
            Self::Unauthorised
            | Self::CodeRejected
            | Self::SessionOver
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::BodyTooLarge
            | Self::InvalidBody(_)
            | Self::InvalidFields(_)
            | Self::IdempotencyKeyReused
            | Self::AsOfInFuture(_)
            | Self::AlreadyRunning(_)
            | Self::LedgerBehind(_)
            | Self::InvariantsBroken(_)
            | Self::NotConfigured(_)
            | Self::Internal => None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        ProblemDetails {
            status: self.status(),
            code: self.code(),
            detail: self.to_string(),
            user_message: self.user_message(),
            retry_after: self.retry_after(),
            errors: if let Self::InvalidFields(errors) = self {
                errors
            } else {
                Vec::new()
            },
        }
        .into_response()
    }
}
