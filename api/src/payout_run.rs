//! `POST /v1/rewards/payout/run`: the scheduler's call.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};
use operations::{
    caught_up::CaughtUpError,
    payout_run::{PayoutRunError, Summary},
};
use schemas::{TenantId, Timestamp};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{Api, Problem, auth::Cron, body::read_optional_body, problem::ProblemBody};

/// The body; it may be empty.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PayoutRun, example = json!({"dry_run": true}))]
pub(crate) struct Request {
    /// Pays claims that are payable before it, RFC 3339; the present, if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    as_of: Option<Timestamp>,
    /// Pays one tenant's shoppers only.
    #[schema(value_type = Option<uuid::Uuid>)]
    tenant_id: Option<TenantId>,
    /// Counts and changes nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Pays what has matured, and tells who was not paid and why, by tenant and currency.
///
/// It is safe to repeat, whatever came of it.
#[utoipa::path(
    post, path = "/v1/rewards/payout/run", tag = "operators",
    request_body = Option<Request>, security(("bearer" = ["cron"])),
    responses(
        (status = 200, body = serde_json::Value, description = "What was paid.", example = json!({
            "paid_count": 12, "paid_amount": "3400", "payees": 15, "kyc_missing": 1, "erased": 0,
            "rail_missing": 0, "totals": [{
                "tenant_id": "00000000-0000-0000-0000-000000000001", "currency": "INR",
                "payees": 12, "transfers": 12, "amount": "3400", "without_phone": 1,
                "skipped": {"kyc_missing": 1, "below_minimum": 2}}]})),
        (status = 400, body = ProblemBody, description = "`invalid_fields`, `invalid_body`"),
        (status = 401, body = ProblemBody, description = "`unauthorised`"),
        (status = 403, body = ProblemBody, description = "`forbidden`"),
        (status = 409, body = ProblemBody, description = "`as_of_in_future`, `already_running`, `ledger_behind`, `invariants_broken`, `not_configured`"),
        (status = 413, body = ProblemBody, description = "`body_too_large`"),
        (status = 503, body = ProblemBody, description = "`unavailable`"),
    )
)]
pub(crate) async fn run(
    State(api): State<Arc<Api>>,
    _: Cron,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Summary>, Problem> {
    let request: Request = read_optional_body(body)?.unwrap_or_default();
    let runs = api
        .payout_runs
        .clone()
        .ok_or(Problem::NotConfigured("a payout rail"))?;
    // A run ends by itself, whether or not the caller waits for it.
    let run = tokio::spawn(async move {
        runs.run_for(request.tenant_id, request.as_of, request.dry_run)
            .await
    });
    match run.await {
        Ok(Ok(summary)) => Ok(Json(summary)),
        Ok(Err(error)) => Err(problem(&error)),
        Err(error) => Err(Problem::internal(&error)),
    }
}

fn problem(error: &PayoutRunError) -> Problem {
    let detail = error.to_string();
    match error {
        PayoutRunError::AsOfInFuture { .. } => Problem::AsOfInFuture(detail),
        PayoutRunError::Running => Problem::AlreadyRunning(detail),
        PayoutRunError::CaughtUp(CaughtUpError::Behind(_) | CaughtUpError::LogLost(_)) => {
            Problem::LedgerBehind(detail)
        }
        PayoutRunError::CaughtUp(CaughtUpError::Log(error)) => {
            Problem::unavailable("the log", error)
        }
        PayoutRunError::Held(_) => Problem::InvariantsBroken(detail),
        PayoutRunError::CaughtUp(CaughtUpError::Database(_))
        | PayoutRunError::Audit(_)
        | PayoutRunError::Lock(_)
        | PayoutRunError::Ledger(_) => Problem::unavailable("the ledger", error),
    }
}
