//! `GET /health`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Monitoring;

/// Tells the state of the components, at once: what takes long to find out is found out beforehand.
pub type HealthSource = Arc<dyn Fn() -> HealthReport + Send + Sync>;

/// State of the components:
///
/// ```json
/// {"components": {"log": {"state": "ready"},
///                 "analytics": {"state": "off", "detail": "libchdb is not installed"}}}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
#[schema(example = json!({"components": {"log": {"state": "ready"}}}))]
pub struct HealthReport {
    /// By name.
    pub components: BTreeMap<String, ComponentHealth>,
}

/// State of one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ComponentHealth {
    /// Whether it works.
    pub state: ComponentState,
    /// What an operator should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Whether a component works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComponentState {
    /// It works.
    Ready,
    /// It isn't wanted, or can't be had; the rest works without it.
    Off,
    /// It works, but lags or repeats.
    Degraded,
    /// It doesn't work.
    Failing,
}

impl HealthReport {
    /// Whether everything that is needed works.
    pub fn ready(&self) -> bool {
        self.components
            .values()
            .all(|component| match component.state {
                ComponentState::Ready | ComponentState::Off | ComponentState::Degraded => true,
                ComponentState::Failing => false,
            })
    }
}

/// The state of the components.
///
/// 200 while everything that is needed works, else 503; the report in both cases.
#[utoipa::path(
    get, path = "/health", tag = "monitoring", security(()),
    responses(
        (status = 200, body = HealthReport, description = "Everything that is needed works."),
        (status = 503, body = HealthReport, description = "Something that is needed doesn't."),
    )
)]
pub(crate) async fn show(State(monitoring): State<Monitoring>) -> Response {
    let report = (monitoring.health)();
    let status = if report.ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report)).into_response()
}
