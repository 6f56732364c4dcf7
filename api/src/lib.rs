//! The REST API: for shoppers and creators, operators, schedulers and monitoring.
//!
//! ```text
//!  request ─▶ request_id ─▶ rate_limit ─▶ auth (who asks) ─▶ handler ─▶ ScopedTransaction ─▶ PostgreSQL
//!                                                            │          (what they may see)
//!                                                            └─▶ idempotency ─▶ operations ─▶ reference data, the log
//! ```
//!
//! Which endpoints there are, and for whom, is in their description ([`description`], at
//! `/v1/openapi.json`): it is made of the same list as the router. Errors are problem details
//! (RFC 9457) with a stable `code`: see [`Problem`].

#[expect(
    unused_qualifications,
    reason = "utoipa names parameters by their path"
)]
mod analytics;
pub mod auth;
mod body;
mod console;
mod cross_origin;
#[expect(
    unused_qualifications,
    reason = "utoipa names parameters by their path"
)]
mod delivery_reports;
mod health;
mod idempotency;
mod openapi;
mod operators;
mod pages;
mod payout_run;
mod problem;
mod request_id;
mod resources;
mod widget;

use std::{str::FromStr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{
        DefaultBodyLimit, FromRef, Path, State,
        rejection::{PathRejection, QueryRejection},
    },
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, header};
use operations::{
    audit::Auditor, commands::Commands, creator_analytics::CreatorAnalytics,
    delivery_reports::DeliveryReports, payout_run::PayoutRuns, reference::Contacts,
};
use prometheus::{Registry, TextEncoder};
use sqlx::PgPool;
use stream::Clock;
use tower_http::timeout::RequestBodyTimeoutLayer;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::rate_limit::{CallerLimits, limit};

use auth::{CodeSender, Tokens};
pub use health::{ComponentHealth, ComponentState, HealthReport, HealthSource};
pub use problem::{Problem, VERIFYING};
pub use request_id::with_request_ids;

/// The largest body of a request: commands are small.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// How long a body may pause on its way.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// What the endpoints work with.
pub struct Api {
    /// Connections as an operator.
    pub pool: PgPool,
    /// Connections of role `hissaback_api`, which shoppers and creators are served with; absent
    /// where none are configured.
    pub scoped_pool: Option<PgPool>,
    /// The time port.
    pub clock: Arc<dyn Clock>,
    /// The keys of people's contacts.
    pub contacts: Contacts,
    /// Sends one-time codes; absent where no gateway is configured.
    pub codes: Option<Arc<dyn CodeSender>>,
    /// Where the outside finds us, such as `https://hissaback.app`: smart links begin with it.
    pub public_url: String,
    /// Counts callers' requests.
    pub callers: CallerLimits,
    /// Gives commands.
    pub commands: Commands,
    /// Makes payout runs; absent where no rail is configured.
    pub payout_runs: Option<PayoutRuns>,
    /// Takes delivery reports; absent where the gateway posts none.
    pub delivery_reports: Option<DeliveryReports>,
    /// Answers from analytics; absent where that is off.
    pub creator_analytics: Option<CreatorAnalytics>,
    /// Checks the invariants.
    pub auditor: Auditor,
    /// Tells the state of the components.
    pub health: HealthSource,
    /// What `/metrics` shows.
    pub registry: Registry,
    /// What bearer tokens are checked with.
    pub tokens: Tokens,
}

/// What monitoring asks for.
#[derive(Clone)]
struct Monitoring {
    health: HealthSource,
    registry: Registry,
}

impl FromRef<Arc<Api>> for Monitoring {
    fn from_ref(api: &Arc<Api>) -> Self {
        Self {
            health: Arc::clone(&api.health),
            registry: api.registry.clone(),
        }
    }
}

/// `/health` and `/metrics` alone, for a process without the other endpoints; to be merged with
/// those of ingest.
pub fn monitoring(health: HealthSource, registry: Registry) -> Router {
    Router::new()
        .route("/health", get(health::show))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .fallback(async || Problem::NotFound)
        .with_state(Monitoring { health, registry })
}

/// Each endpoint with its description: the one list that router and documents are made of.
fn endpoints() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(openapi::Description::openapi())
        .routes(routes!(auth::refresh))
        .routes(routes!(auth::sign_out))
        .routes(routes!(resources::offers::list))
        .routes(routes!(
            resources::campaigns::make,
            resources::campaigns::list
        ))
        .routes(routes!(resources::campaigns::add_terms))
        .routes(routes!(resources::conversions::list))
        .routes(routes!(resources::conversions::show))
        .routes(routes!(
            resources::fraud_rules::list,
            resources::fraud_rules::make
        ))
        .routes(routes!(resources::links::make, resources::links::list))
        .routes(routes!(resources::payouts::list))
        .routes(routes!(resources::tenants::list, resources::tenants::make))
        .routes(routes!(resources::tenants::show))
        .routes(routes!(
            resources::tenants::members,
            resources::tenants::add_member
        ))
        .routes(routes!(resources::widgets::list, resources::widgets::make))
        .routes(routes!(payout_run::run))
        .routes(routes!(operators::review))
        .routes(routes!(operators::resend))
        .routes(routes!(operators::fates))
        .routes(routes!(operators::audit))
        .routes(routes!(analytics::creator))
        .routes(routes!(console::dead_letters::list))
        .routes(routes!(console::dead_letters::show))
        .routes(routes!(console::explain::explain))
        .routes(routes!(console::findings::corrections))
        .routes(routes!(console::findings::silence))
        .routes(routes!(console::reviews::list))
        .routes(routes!(console::unmatched::list))
        .routes(routes!(console::unmatched::show))
        .routes(routes!(console::unmatched::match_by_hand))
}

/// What scripts of other sites ask for as well: for the widget, and to sign shoppers in for it.
fn embedded() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(auth::request))
        .routes(routes!(auth::verify))
        .routes(routes!(resources::rewards::of_user))
        .routes(routes!(resources::shown_widget::show))
}

/// What one machine asks as often as there is something to tell.
fn unlimited() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(delivery_reports::take))
}

/// What is asked of every process, and never limited.
fn monitored() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(health::show))
        .routes(routes!(metrics))
}

/// The description of every endpoint, OpenAPI 3.1.
pub fn description() -> utoipa::openapi::OpenApi {
    let description = endpoints().merge(embedded()).merge(unlimited());
    let mut description = description.merge(monitored()).into_openapi();
    description.merge(ingest::description());
    openapi::name_problems(&mut description);
    // A build's own version would make the committed copy drift with each release.
    "1.0".clone_into(&mut description.info.version);
    description
}

/// The endpoints, to be merged with those of ingest. Whatever else is asked for is a problem with
/// status 404, or 405 where only the method is wrong.
pub fn router(api: Arc<Api>) -> Router {
    let description = Arc::new(description());
    let shown = async move || Json(&*description).into_response();
    let limit = middleware::from_fn_with_state(api.callers.clone(), limit);
    let (endpoints, _) = endpoints().split_for_parts();
    let (embedded, _) = embedded().split_for_parts();
    // A method that isn't taken is told by the innermost, so that what asks beforehand is answered.
    let embedded = embedded
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .layer(limit.clone());
    let (unlimited, _) = unlimited().split_for_parts();
    let (monitored, _) = monitored().split_for_parts();
    endpoints
        .route("/v1/openapi.json", get(shown))
        .route("/docs", get(openapi::page))
        .layer(limit)
        // Outermost, so that a script is told that there were too many, and asking whether it may
        // doesn't count.
        .merge(embedded.layer(cross_origin::anyone()))
        .merge(unlimited)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(RequestBodyTimeoutLayer::new(BODY_TIMEOUT))
        .merge(monitored)
        .route(
            "/widget/{name}",
            get(widget::show).layer(cross_origin::anyone()),
        )
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .fallback(async || Problem::NotFound)
        .with_state(api)
}

/// The one parameter of a path. What can't be a name is the name of nothing.
fn in_path<T: FromStr>(parameter: Result<Path<String>, PathRejection>) -> Result<T, Problem> {
    let Path(text) = parameter.map_err(|_| Problem::NotFound)?;
    text.parse().map_err(|_| Problem::NotFound)
}

/// What is wrong with the parameters of a query.
fn query_problem(rejection: &QueryRejection) -> Problem {
    Problem::field("query", "invalid", rejection.body_text())
}

/// Metrics, as Prometheus reads them.
#[utoipa::path(
    get, path = "/metrics", tag = "monitoring", security(()),
    responses((status = 200, body = String, content_type = "text/plain", description = "All of them."))
)]
async fn metrics(State(monitoring): State<Monitoring>) -> Response {
    match TextEncoder::new().encode_to_string(&monitoring.registry.gather()) {
        Ok(text) => {
            let content_type = HeaderValue::from_static(prometheus::TEXT_FORMAT);
            ([(header::CONTENT_TYPE, content_type)], text).into_response()
        }
        Err(error) => Problem::internal(&error).into_response(),
    }
}

#[cfg(test)]
mod tests;
