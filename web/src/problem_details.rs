//! What went wrong, as every endpoint answers it: problem details (RFC 9457).

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

/// What end users are told while something that isn't their affair is being seen to: the sentence
/// of the specification's section 5.
pub const VERIFYING: &str = "We're verifying your purchase, rewards usually confirm within \
                             24–48h. You'll be notified automatically.";
/// What end users are told where something that they sent can't be used.
pub const CHECK_INPUT: &str = "Something in this form isn't right. Check it and try again.";
/// What end users are told where they are too fast.
pub const SLOW_DOWN: &str = "That was a little fast. Please try again in a moment.";

/// One field that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Its name: of a member of the body, or of a parameter or header.
    #[schema(example = "share_pct")]
    pub field: String,
    /// `required`, `invalid`, `unknown` or `conflict`; stable.
    #[schema(value_type = String, example = "invalid")]
    pub code: &'static str,
    /// What is wrong with it, and what is allowed.
    #[schema(example = "a percentage between 0 and 100")]
    pub detail: String,
}

/// A request that was not carried out, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemDetails {
    /// The HTTP status.
    pub status: StatusCode,
    /// What is wrong; stable.
    pub code: &'static str,
    /// What is wrong, for whoever writes the client.
    pub detail: String,
    /// What to show to an end user: no jargon, and nothing of what is behind it.
    pub user_message: &'static str,
    /// Which fields are wrong, where any are.
    pub errors: Vec<FieldError>,
    /// After how long to try again, where that may help.
    pub retry_after: Option<Duration>,
}

/// Problem details (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "about:blank", "title": "Bad Request", "status": 400, "code": "invalid_fields",
    "detail": "some fields can't be used: see `errors`",
    "user_message": "Something in this form isn't right. Check it and try again.",
    "errors": [{"field": "share_pct", "code": "invalid",
                "detail": "a percentage between 0 and 100"}]
}))]
pub struct ProblemBody {
    /// Always `about:blank`: `code` tells problems apart.
    r#type: &'static str,
    /// The status in words.
    title: Option<&'static str>,
    /// The HTTP status.
    status: u16,
    /// What is wrong; stable.
    code: &'static str,
    /// What is wrong, for whoever writes the client.
    detail: String,
    /// What to show to an end user.
    user_message: &'static str,
    /// Which fields are wrong, where any are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl ProblemDetails {
    /// `too_many_requests`: the address has sent too many.
    pub fn too_many_requests(retry_after: Duration) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            code: "too_many_requests",
            detail: "too many requests from this address".to_owned(),
            user_message: SLOW_DOWN,
            errors: Vec::new(),
            retry_after: Some(retry_after),
        }
    }
}

impl IntoResponse for ProblemDetails {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            r#type: "about:blank",
            title: self.status.canonical_reason(),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail,
            user_message: self.user_message,
            errors: self.errors,
        };
        let mut response = (self.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait) = self.retry_after {
            // Rounded up: who comes back at that second is let in.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_whole_seconds_that_are_enough() {
        let seconds = |wait| {
            let response = ProblemDetails::too_many_requests(wait).into_response();
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            response.headers()[header::RETRY_AFTER].clone()
        };
        assert_eq!(seconds(Duration::from_millis(600)), "1");
        assert_eq!(seconds(Duration::from_secs(2)), "2");
    }
}
