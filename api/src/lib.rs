//! REST endpoints for operators, schedulers and monitoring.
//!
//! | route | who | what |
//! |---|---|---|
//! | `GET /health` | anyone | state of the components: 200, or 503 where one fails |
//! | `GET /metrics` | anyone | Prometheus text |
//! | `POST /v1/rewards/payout/run` | cron token | pays what has matured |
//! | `POST /v1/messages/delivery` | the SMS gateway's secret | notes what became of a message |
//! | `POST /v1/commands/review` | operator token | approves or rejects a claim |
//! | `POST /v1/commands/resend` | operator token | sends a payout's message once more |
//! | `GET /v1/fates` | operator token | what became of the accepted reports |
//! | `GET /v1/audit` | operator token | the invariants |
//! | `GET /v1/analytics/creator` | operator token | what a creator's shop earned |
//!
//! Errors are problem details (RFC 9457) with a stable `code`: see [`Problem`].

mod analytics;
mod authorisation;
mod delivery_reports;
mod health;
mod operators;
mod payout_run;
mod problem;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, header};
use operations::{
    audit::Auditor, commands::Commands, creator_analytics::CreatorAnalytics,
    delivery_reports::DeliveryReports, payout_run::PayoutRuns,
};
use prometheus::{Registry, TextEncoder};
use sqlx::PgPool;

pub use authorisation::{BearerToken, Tokens};
pub use health::{ComponentHealth, ComponentState, HealthReport, HealthSource};
pub use problem::Problem;

/// The largest body of a request: commands are small.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// What the endpoints work with.
pub struct Api {
    /// Connections as an operator.
    pub pool: PgPool,
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
    /// Who may do what.
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

/// The endpoints, to be merged with those of ingest. Whatever else is asked for is a problem with
/// status 404, or 405 where only the method is wrong.
pub fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/health", get(health::show))
        .route("/metrics", get(metrics))
        .route("/v1/rewards/payout/run", post(payout_run::run))
        .route("/v1/messages/delivery", post(delivery_reports::take))
        .route("/v1/commands/review", post(operators::review))
        .route("/v1/commands/resend", post(operators::resend))
        .route("/v1/fates", get(operators::fates))
        .route("/v1/audit", get(operators::audit))
        .route("/v1/analytics/creator", get(analytics::creator))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .fallback(async || Problem::NotFound)
        .with_state(api)
}

/// `GET /metrics`.
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
