//! The description of the API (OpenAPI 3.1): made of the handlers that answer, so that there is
//! no endpoint without it; with that of ingest, which is made in the same way. A copy is
//! `docs/openapi.json`, checked for drift.

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, header};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Ref, RefOr,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
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
    components(schemas(ProblemBody, FieldError)),
    modifiers(&Schemes),
    tags(
        (name = "auth", description = "Signing in with a phone."),
        (name = "shoppers", description = "What shoppers see."),
        (name = "creators", description = "What creators work with."),
        (name = "events", description = "Clicks and reports of sales."),
        (name = "edge", description = "What a redirect at the edge asks for."),
        (name = "operators", description = "What operators, analysts and the scheduler ask for."),
        (name = "monitoring", description = "How the process is."),
    )
)]
pub(crate) struct Description;

/// Says of problems that they are `application/problem+json`: a schema brings along no type of its
/// own.
pub(crate) fn name_problems(description: &mut utoipa::openapi::OpenApi) {
    let problem = RefOr::Ref(Ref::from_schema_name("Problem"));
    for path in description.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.post];
        for operation in operations.into_iter().flatten() {
            for response in operation.responses.responses.values_mut() {
                let RefOr::T(response) = response else {
                    continue;
                };
                let content = response.content.get("application/json");
                let named = matches!(
                    content,
                    Some(RefOr::T(content)) if content.schema.as_ref() == Some(&problem)
                );
                if named && let Some(content) = response.content.swap_remove("application/json") {
                    let content_type = "application/problem+json".to_owned();
                    response.content.insert(content_type, content);
                }
            }
        }
    }
}

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
