//! `GET /v1/analytics/creator`: what a creator's shop earned.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use operations::creator_analytics::{CreatorSummary, Period, PeriodError};
use schemas::TenantId;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{Api, Problem, auth::Caller, body::Fields, problem::ProblemBody};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SummaryParameters {
    /// Whose figures: those of a tenant that the caller may act for.
    #[param(required, value_type = uuid::Uuid)]
    tenant_id: Option<TenantId>,
    /// How many days of clicks up to today; 30 where it is absent.
    #[param(pattern = "^[0-9]{1,3}d$", example = "30d")]
    period: Option<String>,
}

/// What the tenant's clicks of the period came to.
///
/// While analytics lags, the figures come with `behind` and the time up to which they are complete.
#[utoipa::path(
    get, path = "/v1/analytics/creator", tag = "creators", params(SummaryParameters),
    security(("bearer" = ["creator"]), ("bearer" = ["operator"])),
    responses(
        (status = 200, body = serde_json::Value, description = "Money is what stands in the books.",
         example = json!({
            "tenant_id": "00000000-0000-0000-0000-000000000001", "from": "2026-08-23",
            "to": "2026-09-21", "clicks": 1200, "conversions": 31, "approved": 24,
            "earnings": {"INR": "1535.28"}, "shared": {"INR": "2302.80"},
            "complete_up_to": "2026-09-21T14:13:18.000Z", "behind": false})),
        (status = 400, body = ProblemBody, description = "`invalid_fields`"),
        (status = 401, body = ProblemBody, description = "`unauthorised`"),
        (status = 403, body = ProblemBody, description = "`forbidden`"),
        (status = 404, body = ProblemBody, description = "`not_found`: an operator names no tenant"),
        (status = 409, body = ProblemBody, description = "`not_configured`: analytics is off"),
        (status = 429, body = ProblemBody, description = "`too_many_requests`"),
        (status = 503, body = ProblemBody, description = "`unavailable`"),
    )
)]
pub(crate) async fn creator(
    State(api): State<Arc<Api>>,
    caller: Caller,
    parameters: Result<Query<SummaryParameters>, QueryRejection>,
) -> Result<Json<CreatorSummary>, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| crate::query_problem(&rejection))?;
    let mut fields = Fields::default();
    let tenant_id = fields.required("tenant_id", parameters.tenant_id, Ok);
    let period = fields.optional("period", parameters.period, |period| {
        period
            .parse()
            .map_err(|error: PeriodError| error.to_string())
    });
    fields.check()?;
    let scope = caller.tenant(tenant_id.expect("checked above"))?;
    let analytics = api.creator_analytics.as_ref();
    let analytics = analytics.ok_or(Problem::NotConfigured("analytics"))?;

    let mut transaction = scope.begin(&api).await?;
    let known: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM tenants WHERE tenant_id = $1)")
            .bind(scope.tenant_id().uuid())
            .fetch_one(&mut *transaction)
            .await
            .map_err(|error| Problem::database(&error))?;
    drop(transaction);
    if !known {
        return Err(Problem::NotFound);
    }
    let period: Period = period.unwrap_or_default();
    let summary = analytics.summary(scope.tenant_id(), period).await;
    summary
        .map(Json)
        .map_err(|error| Problem::unavailable("analytics", &error))
}
