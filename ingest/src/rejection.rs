//! A request that was not accepted: the answer as problem details (RFC 9457).

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use stream::{AppendError, LogError, Refusal};
use web::problem_details::{CHECK_INPUT, FieldError, ProblemDetails, VERIFYING};

use crate::{signature::SignatureError, smart_link::DeadEnd};

/// What an end user is told who follows a link that leads nowhere.
const LINK_OVER: &str = "This link isn't available any more.";

/// Why a request was not accepted. Nothing is known to be in the log; the sender may try again
/// where the answer is 503.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Rejection {
    /// The log's bound on what is in flight is used up.
    #[error("too much is being written at the moment")]
    Overloaded,
    /// The log takes nothing.
    #[error("the log takes no records at the moment")]
    Unavailable(#[source] Refusal),
    /// It may have happened or not. The sender tries again: a report that comes twice is harmless,
    /// and so is a click that nobody was told of.
    #[error("whether it was written is not known")]
    Undecided(#[source] LogError),
    /// The log didn't answer in time, so it may have happened or not.
    #[error("the log took too long")]
    TooSlow,
    /// No event id could be drawn in time.
    #[error("event ids are used up at the moment")]
    IdsExhausted,
    /// The event doesn't fit its schema: a defect of ours, which a deployment may repair before
    /// the sender gives up.
    #[error("the event can't be encoded")]
    NotEncoded(#[source] schemas::codec::CodecError),
    /// The body did not arrive in time.
    #[error("the body took too long to arrive")]
    BodyTimeout,
    /// The connection broke within the body.
    #[error("the body broke off")]
    BodyBroken,
    /// The body of a click is over its limit.
    #[error("the body is too large")]
    BodyTooLarge,
    /// A click that can't be read; the text says why.
    #[error("{0}")]
    BadClick(String),
    /// A member of a click can't be used.
    #[error("some fields can't be used: see `errors`")]
    InvalidField(FieldError),
    /// No such smart link.
    #[error("there is no such link")]
    UnknownLink,
    /// The link leads nowhere any more.
    #[error("the link's campaign or offer has ended")]
    LinkEnded,
    /// The address is none that the network sends from.
    #[error("postbacks of this network aren't taken from this address")]
    SourceNotAllowed,
    /// A signature is asked for, and this isn't one.
    #[error(transparent)]
    NotSigned(#[from] SignatureError),
    /// No edge is configured.
    #[error("no edge is configured")]
    NoEdge,
    /// The endpoint has other methods.
    #[error("the resource doesn't take this method")]
    MethodNotAllowed,
}

impl Rejection {
    /// Its name in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Unavailable(_) => "unavailable",
            Self::Undecided(_) => "undecided",
            Self::TooSlow => "too_slow",
            Self::IdsExhausted => "ids_exhausted",
            Self::NotEncoded(_) => "not_encoded",
            Self::BodyTimeout => "body_timeout",
            Self::BodyBroken => "body_broken",
            Self::BodyTooLarge => "body_too_large",
            Self::BadClick(_) => "bad_click",
            Self::InvalidField(_) => "invalid_field",
            Self::UnknownLink => "unknown_link",
            Self::LinkEnded => "link_ended",
            Self::SourceNotAllowed => "source_not_allowed",
            Self::NotSigned(_) => "not_signed",
            Self::NoEdge => "no_edge",
            Self::MethodNotAllowed => "method_not_allowed",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Overloaded
            | Self::Unavailable(_)
            | Self::Undecided(_)
            | Self::TooSlow
            | Self::IdsExhausted
            | Self::NotEncoded(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken | Self::BadClick(_) | Self::InvalidField(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownLink | Self::NoEdge => StatusCode::NOT_FOUND,
            Self::LinkEnded => StatusCode::GONE,
            Self::SourceNotAllowed | Self::NotSigned(_) => StatusCode::FORBIDDEN,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// What is wrong, as answers name it; stable. Why the log doesn't take a record is nobody's
    /// affair outside.
    fn code(&self) -> &'static str {
        match self {
            Self::Overloaded
            | Self::Unavailable(_)
            | Self::Undecided(_)
            | Self::TooSlow
            | Self::IdsExhausted
            | Self::NotEncoded(_) => "unavailable",
            Self::BodyTimeout => "body_timeout",
            Self::BodyBroken | Self::BadClick(_) => "invalid_body",
            Self::BodyTooLarge => "body_too_large",
            Self::InvalidField(_) => "invalid_fields",
            Self::UnknownLink | Self::NoEdge => "not_found",
            Self::LinkEnded => "link_ended",
            Self::SourceNotAllowed => "source_not_allowed",
            Self::NotSigned(_) => "signature_invalid",
            Self::MethodNotAllowed => "method_not_allowed",
        }
    }

    /// What an end user may be shown.
    pub(crate) fn user_message(&self) -> &'static str {
        match self {
            Self::Overloaded
            | Self::Unavailable(_)
            | Self::Undecided(_)
            | Self::TooSlow
            | Self::IdsExhausted
            | Self::NotEncoded(_)
            | Self::BodyTimeout => VERIFYING,
            Self::BodyBroken | Self::BadClick(_) | Self::BodyTooLarge | Self::InvalidField(_) => {
                CHECK_INPUT
            }
            Self::UnknownLink | Self::LinkEnded => LINK_OVER,
            Self::SourceNotAllowed | Self::NotSigned(_) | Self::NoEdge | Self::MethodNotAllowed => {
                "This isn't available to you."
            }
        }
    }

    /// Seconds after which to try again, where that may help.
    fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::Overloaded | Self::IdsExhausted => Some(1),
            Self::Unavailable(_) | Self::Undecided(_) | Self::TooSlow => Some(5),
            Self::NotEncoded(_) => Some(60),
            Self::BodyTimeout
            | Self::BodyBroken
            | Self::BodyTooLarge
            | Self::BadClick(_)
            | Self::InvalidField(_)
            | Self::UnknownLink
            | Self::LinkEnded
            | Self::SourceNotAllowed
            | Self::NotSigned(_)
            | Self::NoEdge
            | Self::MethodNotAllowed => None,
        }
    }

    /// Logs what an operator should hear of. Overload and senders' mistakes are counted only.
    pub(crate) fn log(&self) {
        let source = std::error::Error::source(self).map(tracing::field::display);
        match self {
            Self::Unavailable(_) | Self::Undecided(_) | Self::TooSlow | Self::IdsExhausted => {
                tracing::warn!(source, "not accepted: {self}");
            }
            Self::NotEncoded(_) => tracing::error!(source, "not accepted: {self}"),
            Self::Overloaded
            | Self::BodyTimeout
            | Self::BodyBroken
            | Self::BodyTooLarge
            | Self::BadClick(_)
            | Self::InvalidField(_)
            | Self::UnknownLink
            | Self::LinkEnded
            | Self::SourceNotAllowed
            | Self::NotSigned(_)
            | Self::NoEdge
            | Self::MethodNotAllowed => tracing::debug!("not accepted: {self}"),
        }
    }
}

impl From<DeadEnd> for Rejection {
    fn from(dead_end: DeadEnd) -> Self {
        match dead_end {
            DeadEnd::Unknown => Self::UnknownLink,
            DeadEnd::Ended => Self::LinkEnded,
        }
    }
}

impl From<AppendError> for Rejection {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Indeterminate(source) => Self::Undecided(source),
            AppendError::Determinate(Refusal::Overloaded { .. }) => Self::Overloaded,
            // The last three can't happen: every record is bounded far below the log's limits.
            AppendError::Determinate(
                refusal @ (Refusal::Unavailable(_)
                | Refusal::BatchTooLarge { .. }
                | Refusal::RecordTooLarge { .. }
                | Refusal::NoSuchPartition { .. }),
            ) => Self::Unavailable(refusal),
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        ProblemDetails {
            status: self.status(),
            code: self.code(),
            detail: self.to_string(),
            user_message: self.user_message(),
            retry_after: self.retry_after_seconds().map(Duration::from_secs),
            errors: if let Self::InvalidField(error) = self {
                vec![error]
            } else {
                Vec::new()
            },
        }
        .into_response()
    }
}
