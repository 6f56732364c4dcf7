//! What the product noticed by itself: campaigns that went quiet, and corrections that a replay
//! asks for.

use std::sync::Arc;

use axum::{Json, extract::State};
use operations::{
    corrections::{self, Proposal},
    silence::{self, SilenceError, SilenceReport},
};

use crate::{Api, Problem, auth::Operator, problem::ReadRefused};

/// How many proposals are shown.
const PROPOSALS_MAX: i64 = 100;

/// Campaigns that have gone quiet.
#[utoipa::path(
    get, path = "/v1/silence", tag = "operators", security(("bearer" = ["operator"])),
    responses(
        (status = 200, body = serde_json::Value, description = "As `hissaback silence --json` prints it.",
         example = json!({"until": "2026-09-20T10:00:00.000Z", "campaigns": 12, "silent": []})),
        ReadRefused,
    )
)]
pub(crate) async fn silence(
    State(api): State<Arc<Api>>,
    _: Operator,
) -> Result<Json<SilenceReport>, Problem> {
    let report = silence::look(&api.pool, api.auditor.log.as_ref(), api.clock.now()).await;
    report.map(Json).map_err(|error| match error {
        SilenceError::Behind(error) => Problem::LedgerBehind(error.to_string()),
        SilenceError::Database(error) => Problem::database(&error),
    })
}

/// The newest corrections that a replay asks for, newest first.
///
/// Approving one takes somebody other than who proposed it, by name: `hissaback replay approve`.
#[utoipa::path(
    get, path = "/v1/corrections", tag = "operators", security(("bearer" = ["operator"])),
    responses(
        (status = 200, body = serde_json::Value, description = "Proposals, and who approved them.",
         example = json!([])),
        ReadRefused,
    )
)]
pub(crate) async fn corrections(
    State(api): State<Arc<Api>>,
    _: Operator,
) -> Result<Json<Vec<Proposal>>, Problem> {
    let proposals = corrections::list(&api.pool, PROPOSALS_MAX).await;
    proposals
        .map(Json)
        .map_err(|error| Problem::unavailable("the ledger", &error))
}
