//! `Idempotency-Key`: a request that creates can be sent again, and creates once.
//!
//! The key is kept in PostgreSQL, per caller, with a hash of the request; the answer beside it.
//! What is created is named after the key, so that a request that was cut off between creating and
//! answering finds at its next try what it had created, instead of creating it again.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header, request::Parts};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    Api, Problem,
    auth::{Caller, now, people_pool},
};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is a repetition.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const BYTES_MAX: usize = 255;
/// A request that is under way for longer was cut off.
const LEASE: Duration = Duration::from_mins(1);
/// Under which things are named after keys.
const NAMESPACE: Uuid = Uuid::from_u128(0x6b1d_3a70_54c2_4bd1_9c4e_2f0e_77a1_5d08);

/// The key of a request, if it has one, with what else tells requests apart.
pub(crate) struct IdempotencyKey {
    key: Option<String>,
    route: String,
}

impl FromRequestParts<Arc<Api>> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        let route = format!("{} {}", parts.method, parts.uri.path());
        let key = parts.headers.get(HEADER).map(checked).transpose()?;
        Ok(Self { key, route })
    }
}

fn checked(value: &HeaderValue) -> Result<String, Problem> {
    let text = value.to_str().ok();
    let usable = |text: &&str| (1..=BYTES_MAX).contains(&text.len());
    text.filter(usable).map(str::to_owned).ok_or_else(|| {
        let allowed = format!("1 to {BYTES_MAX} visible ASCII characters");
        Problem::field("Idempotency-Key", "invalid", allowed)
    })
}

impl IdempotencyKey {
    /// Carries a request out once. `create` is given the id for what it creates; where the request
    /// has a key, a later try is given the same one. What it refuses frees the key again.
    ///
    /// # Errors
    /// [`Problem::IdempotencyKeyReused`], [`Problem::RequestInProgress`]; what `create` refuses.
    pub(crate) async fn once<T: Serialize, F: Future<Output = Result<T, Problem>>>(
        self,
        api: &Api,
        caller: &Caller,
        body: &Bytes,
        create: impl FnOnce(Uuid) -> F,
    ) -> Result<Response, Problem> {
        let Some(key) = self.key else {
            let created = create(Uuid::new_v4()).await?;
            return Ok(axum::Json(created).into_response());
        };
        let scope = format!("{} {}", caller.key(), self.route);
        let request_hash = Sha256::new().chain_update(body).finalize().to_vec();
        match begin(api, &scope, &key, &request_hash).await? {
            Begun::Fresh => {}
            Begun::Answered { status, answer } => return Ok(replayed(status, answer)),
        }
        let name = format!("{scope}\n{key}");
        let outcome = create(Uuid::new_v5(&NAMESPACE, name.as_bytes())).await;
        let answer = outcome.and_then(|created| {
            serde_json::to_string(&created).map_err(|error| Problem::internal(&error))
        });
        let kept = answer.as_ref().ok().map(String::as_str);
        end(api, &scope, &key, kept).await?;
        answer.map(|answer| json(StatusCode::OK, answer))
    }
}

enum Begun {
    Fresh,
    Answered { status: StatusCode, answer: String },
}

async fn begin(api: &Api, scope: &str, key: &str, request_hash: &[u8]) -> Result<Begun, Problem> {
    let (fresh, matches, status, answer): (bool, bool, Option<i32>, Option<String>) =
        sqlx::query_as("SELECT * FROM idempotent_request_begun($1, $2, $3, $4, $5)")
            .bind(scope)
            .bind(key)
            .bind(request_hash)
            .bind(now(api))
            .bind(LEASE)
            .fetch_one(people_pool(api)?)
            .await
            .map_err(|error| Problem::database(&error))?;
    if fresh {
        return Ok(Begun::Fresh);
    }
    if !matches {
        return Err(Problem::IdempotencyKeyReused);
    }
    let status = status
        .and_then(|status| u16::try_from(status).ok())
        .and_then(|status| StatusCode::from_u16(status).ok());
    match (status, answer) {
        (Some(status), Some(answer)) => Ok(Begun::Answered { status, answer }),
        _ => Err(Problem::RequestInProgress),
    }
}

async fn end(api: &Api, scope: &str, key: &str, answer: Option<&str>) -> Result<(), Problem> {
    let status = answer.map(|_| i32::from(StatusCode::OK.as_u16()));
    sqlx::query("SELECT idempotent_request_ended($1, $2, $3, $4)")
        .bind(scope)
        .bind(key)
        .bind(status)
        .bind(answer)
        .execute(people_pool(api)?)
        .await
        .map_err(|error| Problem::database(&error))?;
    Ok(())
}

fn json(status: StatusCode, body: String) -> Response {
    let content_type = [(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    )];
    (status, content_type, body).into_response()
}

fn replayed(status: StatusCode, answer: String) -> Response {
    let mut response = json(status, answer);
    let headers = response.headers_mut();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
