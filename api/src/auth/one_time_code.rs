//! Signing in with a phone: a code by text message.
//!
//! A phone that nobody here has yet gets a code like any other, and whoever proves to hold it
//! becomes a shopper: there is no other way to become one, and so nothing, neither answer nor time,
//! tells whose phones are known. Codes, phones and counts stand in PostgreSQL, so that the limits
//! hold over all instances.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    response::Response,
};
use rand::RngExt;
use schemas::UserId;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    scope::{now, people_pool},
    session,
};
use crate::{
    Api, Problem,
    body::{Fields, read_body},
    problem::ProblemBody,
};

/// How long a code counts.
const LIFETIME: Duration = Duration::from_mins(10);
/// Codes an hour and phone (specification, section 4).
const REQUESTS_PER_HOUR: i32 = 5;
/// Tries of one code. With the limit above, 25 guesses an hour at one in a million.
const ATTEMPTS_MAX: i32 = 5;
const DIGITS: usize = 6;
/// E.164: country code and number, without zeros before.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// Sends codes.
#[async_trait]
pub trait CodeSender: Send + Sync {
    /// Hands a message over; returns once somebody is answerable for it. A repetition has the same
    /// `request_id` and text.
    async fn send(
        &self,
        request_id: Uuid,
        to: SecretString,
        text: SecretString,
    ) -> Result<(), CodeNotSent>;
}

/// A code did not go out; why, without number or code.
#[derive(Debug, thiserror::Error)]
#[error("a code could not be sent: {0}")]
pub struct CodeNotSent(pub String);

/// Where a code is to be sent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OneTimeCodeRequest, example = json!({"phone": "+919876543210"}))]
pub(crate) struct CodeRequest {
    /// In international form; spaces and hyphens don't matter.
    #[schema(required, value_type = String, pattern = r"^\+[0-9 -]{8,24}$")]
    phone: Option<String>,
}

/// A code is on its way.
#[derive(Serialize, ToSchema)]
#[schema(as = OneTimeCodeSent)]
pub(crate) struct CodeSent {
    /// To be named beside the code.
    #[schema(example = "7f6f1ab4-8f0c-4a57-9a43-0c8e6d1f2b11")]
    request_id: Uuid,
}

/// Sends a code to a phone.
///
/// At most five an hour for each phone, whoever asks. Known and unknown phones are answered alike.
#[utoipa::path(
    post, path = "/v1/auth/otp/request", tag = "auth", security(()),
    request_body = CodeRequest,
    responses(
        (status = 200, body = CodeSent, description = "A code is on its way."),
        (status = 400, body = ProblemBody, description = "`invalid_fields`, `invalid_body`"),
        (status = 409, body = ProblemBody, description = "`not_configured`"),
        (status = 429, body = ProblemBody, description = "`too_many_codes`, `too_many_requests`"),
        (status = 503, body = ProblemBody, description = "`unavailable`"),
    )
)]
pub(crate) async fn request(
    State(api): State<Arc<Api>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<CodeSent>, Problem> {
    let body: CodeRequest = read_body(body)?;
    let mut fields = Fields::default();
    let phone = fields.required("phone", body.phone, |phone| normalised_phone(&phone));
    fields.check()?;
    let phone = phone.expect("checked above");

    let sender = api.codes.as_ref();
    let sender = sender.ok_or(Problem::NotConfigured("a gateway for text messages"))?;
    let (request_id, candidate) = (Uuid::new_v4(), UserId::new(Uuid::new_v4()));
    let code = draw();
    let to = SecretString::from(phone.clone());
    let sealed = api.contacts.seal_phone(candidate, &to);
    let sealed = sealed.map_err(|error| Problem::internal(&error))?;
    let hashed = &api.contacts.hashed;
    let wait: Option<i32> =
        sqlx::query_scalar("SELECT one_time_code_requested($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(request_id)
            .bind(hashed.phone(&phone))
            .bind(hashed.one_time_code(request_id, &code))
            .bind(candidate.uuid())
            .bind(sealed)
            .bind(now(&api))
            .bind(LIFETIME)
            .bind(REQUESTS_PER_HOUR)
            .fetch_one(people_pool(&api)?)
            .await
            .map_err(|error| Problem::database(&error))?;
    if let Some(seconds) = wait {
        let seconds = u64::try_from(seconds).unwrap_or(1);
        return Err(Problem::TooManyCodes(Duration::from_secs(seconds)));
    }
    let text = format!(
        "{code} is your Hissaback code. It is valid for {} minutes. Don't share it with anybody.",
        LIFETIME.as_secs() / 60
    );
    let sent = sender.send(request_id, to, text.into()).await;
    sent.map_err(|error| Problem::unavailable("the message gateway", &error))?;
    Ok(Json(CodeSent { request_id }))
}

/// A code, as the shopper typed it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OneTimeCode, example = json!({
    "request_id": "7f6f1ab4-8f0c-4a57-9a43-0c8e6d1f2b11", "code": "493021"
}))]
pub(crate) struct Code {
    /// As the request for the code was answered.
    #[schema(required, value_type = Uuid)]
    request_id: Option<Uuid>,
    /// Six digits.
    #[schema(required, value_type = String, pattern = "^[0-9]{6}$")]
    code: Option<String>,
}

/// Signs in with a code.
///
/// A code counts once, for ten minutes, and for five tries. The answer holds an access token for 24
/// hours, and sets a cookie that gets the next one: see `POST /v1/auth/refresh`.
#[utoipa::path(
    post, path = "/v1/auth/otp/verify", tag = "auth", security(()),
    request_body = Code,
    responses(
        (status = 200, body = session::SignedInAs, description = "An access token; a refresh token as a cookie."),
        (status = 400, body = ProblemBody, description = "`invalid_fields`, `invalid_body`"),
        (status = 401, body = ProblemBody, description = "`code_rejected`"),
        (status = 409, body = ProblemBody, description = "`not_configured`"),
        (status = 429, body = ProblemBody, description = "`too_many_requests`"),
        (status = 503, body = ProblemBody, description = "`unavailable`"),
    )
)]
pub(crate) async fn verify(
    State(api): State<Arc<Api>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body: Code = read_body(body)?;
    let mut fields = Fields::default();
    let request_id = fields.required("request_id", body.request_id, Ok);
    let code = fields.required("code", body.code, |code| six_digits(&code));
    fields.check()?;
    let (request_id, code) = (request_id.expect("checked"), code.expect("checked"));

    let person: Option<Uuid> = sqlx::query_scalar("SELECT one_time_code_tried($1, $2, $3, $4)")
        .bind(request_id)
        .bind(api.contacts.hashed.one_time_code(request_id, &code))
        .bind(now(&api))
        .bind(ATTEMPTS_MAX)
        .fetch_one(people_pool(&api)?)
        .await
        .map_err(|error| Problem::database(&error))?;
    let person = person.ok_or(Problem::CodeRejected)?;
    session::start(&api, UserId::new(person)).await
}

fn six_digits(code: &str) -> Result<String, String> {
    let code = code.trim().to_owned();
    if code.len() == DIGITS && code.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(code)
    } else {
        Err("six digits".to_owned())
    }
}

/// `+` and digits, without spaces and hyphens. A number without its country isn't one number, so it
/// is not taken.
pub(crate) fn normalised_phone(phone: &str) -> Result<String, String> {
    let refused = || "a phone number in international form, such as +919876543210".to_owned();
    let digits: String = phone
        .trim()
        .strip_prefix('+')
        .ok_or_else(refused)?
        .chars()
        .filter(|character| !matches!(character, ' ' | '-'))
        .collect();
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain && PHONE_DIGITS.contains(&digits.len()) && !digits.starts_with('0') {
        Ok(format!("+{digits}"))
    } else {
        Err(refused())
    }
}

fn draw() -> String {
    format!("{:06}", rand::rng().random_range(0..1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_is_taken_in_international_form_only() {
        assert_eq!(
            normalised_phone(" +91 98765-43210"),
            Ok("+919876543210".to_owned())
        );
        for refused in [
            "",
            "+",
            "9876543210",
            "+0123456789",
            "+91 98765 4321x",
            "+1234567",
            "+1234567890123456",
            "+९१९८७६५४३२१०",
        ] {
            assert!(normalised_phone(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn codes_have_six_digits() {
        for _ in 0..1_000 {
            assert_eq!(six_digits(&draw()).expect("a code").len(), DIGITS);
        }
        for refused in ["", "12345", "1234567", "12345a", "१२३४५६"] {
            assert!(six_digits(refused).is_err(), "{refused}");
        }
    }
}
