//! The description of the API (OpenAPI 3.1): made of the handlers that answer, so that there is
//! no endpoint without it; with those of ingest, whose handlers are in another crate. A copy is
//! `docs/openapi.json`, checked for drift.

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, header};
use serde::{Deserialize, Serialize};
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use crate::problem::{FieldError, ProblemBody};

/// A page that shows the description to people: one file, nothing from elsewhere.
const PAGE: &str = include_str!("openapi.html");

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hissaback",
        description = "Creator cashback: links, sales, rewards, payouts. Errors are problem \
                       details (RFC 9457) with a stable `code`. 64-bit ids are strings. Every \
                       answer names its request in `X-Request-Id`. Scopes of bearer tokens: \
                       `person` (anybody who signed in), `creator` (a person, for the tenants \
                       that they are a member of), `operator`, `analyst`, `cron`.",
    ),
    paths(click, conversion, conversion_by_post, redirect),
    components(schemas(ProblemBody, FieldError)),
    modifiers(&Schemes),
    tags(
        (name = "auth", description = "Signing in with a phone."),
        (name = "shoppers", description = "What shoppers see."),
        (name = "creators", description = "What creators work with."),
        (name = "events", description = "Clicks and reports of sales."),
        (name = "operators", description = "What operators, analysts and the scheduler ask for."),
        (name = "monitoring", description = "How the process is."),
    )
)]
pub(crate) struct Description;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some(
                "An access token (EdDSA, 24 hours); for operators and the scheduler also a \
                 service token.",
            ))
            .build();
        let cookie = ApiKeyValue::new("__Secure-hissaback-refresh");
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme(
            "refresh_cookie",
            SecurityScheme::ApiKey(ApiKey::Cookie(cookie)),
        );
    }
}

/// `GET /docs`.
pub(crate) async fn page() -> Response {
    let policy = "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; \
                  script-src 'unsafe-inline'; frame-ancestors 'none'";
    let policy = HeaderValue::from_static(policy);
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(PAGE)).into_response()
}

/// A click to be recorded.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"link_id": "00000000-0000-0000-0000-000000000003"}))]
#[expect(
    dead_code,
    reason = "only its description is used: ingest reads the body"
)]
struct NewClick {
    /// The smart link.
    link_id: uuid::Uuid,
    /// The shopper, if known.
    user_id: Option<uuid::Uuid>,
    /// When, RFC 3339; taken from trusted proxies only.
    clicked_at: Option<String>,
}

/// A click that is in the log.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"click_id": "7012345678901234567", "click_token": "AQ…"}))]
struct ClickRecorded {
    /// 64 bits, as a string.
    click_id: String,
    /// What the merchant's network is to report back.
    click_token: String,
}

/// Records a click.
#[utoipa::path(
    post, path = "/v1/events/click", tag = "events", security(()), request_body = NewClick,
    responses(
        (status = 200, body = ClickRecorded, description = "It is durable."),
        (status = 400, description = "Not a click."),
        (status = 404, description = "There is no such link."),
        (status = 413, description = "The body is too large."),
        (status = 503, description = "The log takes nothing: try again."),
    )
)]
#[expect(dead_code, reason = "only its description is used: ingest answers")]
fn click() {}

/// What became of a report.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ok"}))]
struct Accepted {
    /// Always `ok`: the report is in the log.
    status: String,
    /// Whether nothing can be made of it.
    ignored: Option<bool>,
}

/// Takes a network's report of a sale (a postback), with whatever parameters it has.
///
/// It is accepted once the log has it; what it means is decided later. No rate limit holds here.
#[utoipa::path(
    get, path = "/v1/events/conversion", tag = "events", security(()),
    params(
        ("click_id" = Option<String>, Query, description = "The click token."),
        ("offer_id" = Option<i32>, Query),
        ("sale_amount" = Option<String>, Query),
        ("status" = Option<String>, Query),
    ),
    responses(
        (status = 200, body = Accepted, description = "It is durable."),
        (status = 401, description = "The network's security token is missing or wrong."),
        (status = 503, description = "The log takes nothing: try again."),
    )
)]
#[expect(dead_code, reason = "only its description is used: ingest answers")]
fn conversion() {}

/// As `GET`, with parameters in the query, as a form, or as JSON.
#[utoipa::path(
    post, path = "/v1/events/conversion", tag = "events", security(()),
    responses(
        (status = 200, body = Accepted, description = "It is durable."),
        (status = 401, description = "The network's security token is missing or wrong."),
        (status = 503, description = "The log takes nothing: try again."),
    )
)]
#[expect(dead_code, reason = "only its description is used: ingest answers")]
fn conversion_by_post() {}

/// Follows a smart link.
#[utoipa::path(
    get, path = "/r/{slug}", tag = "events", security(()),
    params(
        ("slug" = String, Path, description = "The link's name."),
        ("u" = Option<uuid::Uuid>, Query, description = "The shopper, if known."),
    ),
    responses(
        (status = 302, description = "To the merchant, with the click token."),
        (status = 404, description = "There is no such link."),
    )
)]
#[expect(dead_code, reason = "only its description is used: ingest answers")]
fn redirect() {}
