//! A request that was not accepted: the answer as problem details (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use stream::{AppendError, LogError, Refusal};

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
    /// No such smart link, or it leads nowhere.
    #[error("there is no such link")]
    UnknownLink,
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
            Self::UnknownLink => "unknown_link",
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
            Self::BodyBroken | Self::BadClick(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownLink => StatusCode::NOT_FOUND,
        }
    }

    /// Seconds after which to try again, where that may help.
    fn retry_after_seconds(&self) -> Option<&'static str> {
        match self {
            Self::Overloaded | Self::IdsExhausted => Some("1"),
            Self::Unavailable(_) | Self::Undecided(_) | Self::TooSlow => Some("5"),
            Self::NotEncoded(_) => Some("60"),
            Self::BodyTimeout
            | Self::BodyBroken
            | Self::BodyTooLarge
            | Self::BadClick(_)
            | Self::UnknownLink => None,
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
            | Self::UnknownLink => tracing::debug!("not accepted: {self}"),
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
        let status = self.status();
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.to_string(),
        });
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(header::RETRY_AFTER, http::HeaderValue::from_static(seconds));
        }
        response
    }
}
