//! `GET /v1/analytics/creator`: what a creator's shop earned.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use http::HeaderMap;
use operations::creator_analytics::{CreatorSummary, Period, PeriodError};
use schemas::TenantId;
use serde::Deserialize;

use crate::{Api, Problem, authorisation};

/// The query: `?tenant_id=…&period=30d`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Whose figures.
    tenant_id: TenantId,
    /// How many days of clicks; 30 where it is absent.
    period: Option<String>,
}

/// What the tenant's clicks of the period came to, see [`CreatorSummary`]: 409 where analytics is
/// off, 503 while it doesn't answer; while it lags, the figures with `behind` and the time up to
/// which they are complete.
pub(crate) async fn creator(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<CreatorSummary>, Problem> {
    // That a query names a tenant grants nothing. Operators see every tenant's figures; a bearer
    // who belongs to one tenant would have to be held to it here.
    authorisation::check(&headers, api.tokens.operator.as_ref())?;
    let Query(asked) = asked.map_err(|rejection| Problem::InvalidQuery(rejection.body_text()))?;
    let tenant_id = asked.tenant_id;
    let period: Period = asked
        .period
        .map_or_else(|| Ok(Period::default()), |period| period.parse())
        .map_err(|error: PeriodError| Problem::InvalidQuery(error.to_string()))?;
    let analytics = api
        .creator_analytics
        .as_ref()
        .ok_or(Problem::NotConfigured("analytics"))?;
    let known: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM tenants WHERE tenant_id = $1)")
            .bind(tenant_id.uuid())
            .fetch_one(&api.pool)
            .await
            .map_err(|error| Problem::unavailable("the ledger", &error))?;
    if !known {
        return Err(Problem::NotFound);
    }
    let summary = analytics.summary(tenant_id, period).await;
    summary
        .map(Json)
        .map_err(|error| Problem::unavailable("analytics", &error))
}
