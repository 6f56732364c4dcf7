//! `POST /v1/rewards/payout/run`: the scheduler's call.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};
use http::HeaderMap;
use operations::{
    caught_up::CaughtUpError,
    payout_run::{PayoutRunError, Summary},
};
use schemas::{TenantId, Timestamp};
use serde::Deserialize;

use crate::{Api, Problem, authorisation, operators::read_body};

/// The body; it may be empty.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// Pays claims that are payable before it, RFC 3339; the present, if absent.
    as_of: Option<Timestamp>,
    /// Pays one tenant's shoppers only.
    tenant_id: Option<TenantId>,
    /// Counts and changes nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Pays what has matured. The answer: `{"paid_count": 12, "paid_amount": "3400.00", "payees": 15,
/// "kyc_missing": 1, …}`, with `totals` by tenant and currency, and in them who was not paid and
/// why. It is safe to repeat, whatever came of it.
pub(crate) async fn run(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Summary>, Problem> {
    authorisation::check(&headers, api.tokens.cron.as_ref())?;
    let request: Request = read_body(body)?.unwrap_or_default();
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
