//! Sign-ins: access tokens for 24 hours, and refresh tokens for 30 days in a cookie that scripts
//! can't read. A refresh token counts once; one that comes twice ends its session, since one of the
//! two who brought it has stolen it.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schemas::{TenantId, UserId};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Claims, LIFETIME_SECONDS, Scope,
    scope::{now, people_pool},
};
use crate::{Api, Problem, problem::ProblemBody};

/// How long a refresh token counts (specification, section 4).
const REFRESH_LIFETIME: Duration = Duration::from_hours(30 * 24);
/// Browsers take a cookie of this name over TLS only.
const COOKIE: &str = "__Secure-hissaback-refresh";
const REFRESH_BYTES: usize = 32;

/// Somebody is signed in.
#[derive(Serialize, ToSchema)]
#[schema(as = SignedIn)]
pub(crate) struct SignedInAs {
    /// The access token: a bearer token for 24 hours.
    #[schema(example = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6IjEifQ.eyJ…")]
    jwt: String,
    /// For how many seconds it counts.
    #[schema(example = 86_400)]
    expires_in: i64,
    /// Who signed in.
    #[schema(value_type = Uuid, example = "1b671a64-40d5-491e-99b0-da01ff1f3341")]
    user_id: UserId,
    /// The tenants that they may act for.
    #[schema(value_type = Vec<Uuid>)]
    tenant_ids: Vec<TenantId>,
}

/// A secret of our own making: 256 random bits, so a plain hash keeps it.
struct RefreshToken(String);

impl RefreshToken {
    fn draw() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; REFRESH_BYTES]>()))
    }

    fn hash(token: &str) -> Vec<u8> {
        Sha256::digest(token).to_vec()
    }

    /// From the request's cookies; only what has our form.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(header::COOKIE).iter();
        let mut pairs = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let (_, token) = pairs.find(|(name, _)| *name == COOKIE)?;
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        (bytes.len() == REFRESH_BYTES).then(|| Self(token.to_owned()))
    }

    fn cookie(&self) -> HeaderValue {
        cookie(&self.0, REFRESH_LIFETIME.as_secs())
    }
}

/// Sent to the endpoints of this module only, and never from another site.
fn cookie(value: &str, seconds: u64) -> HeaderValue {
    let text = format!(
        "{COOKIE}={value}; Path=/v1/auth; Max-Age={seconds}; HttpOnly; Secure; SameSite=Strict"
    );
    HeaderValue::from_str(&text).expect("base64 and our own words are ASCII")
}

/// Signs a person in: a session of its own for each sign-in.
pub(super) async fn start(api: &Api, user_id: UserId) -> Result<Response, Problem> {
    let (session_id, token) = (Uuid::new_v4(), RefreshToken::draw());
    sqlx::query("SELECT session_started($1, $2, $3, $4, $5)")
        .bind(session_id)
        .bind(user_id.uuid())
        .bind(RefreshToken::hash(&token.0))
        .bind(now(api))
        .bind(REFRESH_LIFETIME)
        .execute(people_pool(api)?)
        .await
        .map_err(|error| Problem::database(&error))?;
    signed_in(api, session_id, user_id, &token).await
}

async fn signed_in(
    api: &Api,
    session_id: Uuid,
    user_id: UserId,
    token: &RefreshToken,
) -> Result<Response, Problem> {
    let tenants: Vec<Uuid> = sqlx::query_scalar("SELECT tenants_of($1)")
        .bind(user_id.uuid())
        .fetch_all(people_pool(api)?)
        .await
        .map_err(|error| Problem::database(&error))?;
    let keys = api.tokens.jwt.as_ref();
    let keys = keys.ok_or(Problem::NotConfigured("a key for access tokens"))?;
    let mut claims = Claims::new(user_id.to_string(), Scope::Person, api.clock.now());
    claims.sid = Some(session_id);
    claims.tenants = tenants.into_iter().map(TenantId::new).collect();
    let body = SignedInAs {
        jwt: keys.sign(&claims),
        expires_in: LIFETIME_SECONDS,
        user_id,
        tenant_ids: claims.tenants,
    };
    let headers = [
        (header::SET_COOKIE, token.cookie()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Json(body)).into_response())
}

/// The next access token, for the refresh token in the cookie.
///
/// The cookie is replaced: each refresh token counts once. One that comes a second time ends the
/// session, with every token that came of it.
#[utoipa::path(
    post, path = "/v1/auth/refresh", tag = "auth", security(("refresh_cookie" = [])),
    responses(
        (status = 200, body = SignedInAs, description = "An access token; the next refresh token as a cookie."),
        (status = 401, body = ProblemBody, description = "`session_over`"),
        (status = 409, body = ProblemBody, description = "`not_configured`"),
        (status = 429, body = ProblemBody, description = "`too_many_requests`"),
        (status = 503, body = ProblemBody, description = "`unavailable`"),
    )
)]
pub(crate) async fn refresh(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let given = RefreshToken::of(&headers).ok_or(Problem::SessionOver)?;
    let next = RefreshToken::draw();
    let refreshed: Option<(Uuid, Uuid)> =
        sqlx::query_as("SELECT session_id, user_id FROM session_refreshed($1, $2, $3, $4)")
            .bind(RefreshToken::hash(&given.0))
            .bind(RefreshToken::hash(&next.0))
            .bind(now(&api))
            .bind(REFRESH_LIFETIME)
            .fetch_optional(people_pool(&api)?)
            .await
            .map_err(|error| Problem::database(&error))?;
    let (session_id, user_id) = refreshed.ok_or(Problem::SessionOver)?;
    signed_in(&api, session_id, UserId::new(user_id), &next).await
}

/// Ends the session of the refresh token in the cookie, with every token that came of it.
///
/// Without one, or with one that doesn't count, there is nothing to end: the answer is the same.
#[utoipa::path(
    post, path = "/v1/auth/logout", tag = "auth", security(("refresh_cookie" = []), ()),
    responses(
        (status = 204, description = "The session is over; the cookie is removed."),
        (status = 409, body = ProblemBody, description = "`not_configured`"),
        (status = 429, body = ProblemBody, description = "`too_many_requests`"),
        (status = 503, body = ProblemBody, description = "`unavailable`"),
    )
)]
pub(crate) async fn sign_out(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(token) = RefreshToken::of(&headers) {
        sqlx::query("SELECT session_ended($1, $2)")
            .bind(RefreshToken::hash(&token.0))
            .bind(now(&api))
            .execute(people_pool(&api)?)
            .await
            .map_err(|error| Problem::database(&error))?;
    }
    let headers = [(header::SET_COOKIE, cookie("", 0))];
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}
