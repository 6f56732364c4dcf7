//! What operators ask for and decide.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};
use http::{HeaderMap, StatusCode};
use operations::{
    audit::AuditReport,
    commands::CommandError,
    fates::{self, FateCounts},
};
use schemas::{
    EventId, PayoutId,
    events::{CommandBody, ResendMessage, ReviewClaim, Verdict},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Api, Problem, authorisation};

/// Who gives the commands that come with the operators' token.
const AUTHOR: &str = "api:operator";

/// Body of a review: `{"conv_id": "42", "verdict": "approve", "reason": "called the shopper"}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Review {
    /// Any report of the claim.
    conv_id: EventId,
    /// `approve` or `reject`.
    verdict: Verdict,
    /// Why, for the audit.
    reason: String,
}

/// A command that is in the log: `{"command_id": "7012…"}`.
#[derive(Debug, Serialize)]
pub(crate) struct Given {
    command_id: EventId,
}

/// `POST /v1/commands/review`: 200 once the command is durable in the log. It is kept whether or
/// not the claim is known yet.
pub(crate) async fn review(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Given>, Problem> {
    authorisation::check(&headers, api.tokens.operator.as_ref())?;
    let Review {
        conv_id,
        verdict,
        reason,
    } = read_body(body)?.ok_or_else(|| Problem::InvalidBody("a body is needed".to_owned()))?;
    let body = CommandBody::ReviewClaim(ReviewClaim {
        event_id: conv_id,
        verdict,
    });
    give(&api, &reason, body).await
}

/// Body of a repetition: `{"payout_id": "…", "reason": "the shopper deleted it"}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resend {
    /// The payout whose message it is.
    payout_id: PayoutId,
    /// Why, for the audit.
    reason: String,
}

/// `POST /v1/commands/resend`: sends a funded payout's message once more, with the same code. 200
/// once the command is durable in the log.
pub(crate) async fn resend(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Given>, Problem> {
    authorisation::check(&headers, api.tokens.operator.as_ref())?;
    let Resend { payout_id, reason } =
        read_body(body)?.ok_or_else(|| Problem::InvalidBody("a body is needed".to_owned()))?;
    let body = CommandBody::ResendMessage(ResendMessage { payout_id });
    give(&api, &reason, body).await
}

async fn give(api: &Api, reason: &str, body: CommandBody) -> Result<Json<Given>, Problem> {
    match api.commands.give(AUTHOR, reason, body).await {
        Ok(command) => Ok(Json(Given {
            command_id: command.command_id,
        })),
        Err(error @ CommandError::Text(_)) => Err(Problem::InvalidBody(error.to_string())),
        Err(CommandError::Encode(error)) => Err(Problem::internal(&error)),
        Err(error @ (CommandError::Ids(_) | CommandError::Append(_))) => {
            Err(Problem::unavailable("the log", &error))
        }
    }
}

/// `GET /v1/fates`: counts of the accepted reports by fate, see [`FateCounts`].
pub(crate) async fn fates(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Json<FateCounts>, Problem> {
    authorisation::check(&headers, api.tokens.operator.as_ref())?;
    let counts = fates::count(&api.pool).await;
    counts
        .map(Json)
        .map_err(|error| Problem::unavailable("the ledger", &error))
}

/// `GET /v1/audit`: the invariants, see [`AuditReport`]; 200 whatever they came to.
pub(crate) async fn audit(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Json<AuditReport>, Problem> {
    authorisation::check(&headers, api.tokens.operator.as_ref())?;
    let report = api.auditor.audit().await;
    report
        .map(Json)
        .map_err(|error| Problem::unavailable("the ledger", &error))
}

/// A JSON body; `None` when it is empty.
pub(crate) fn read_body<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<Option<T>, Problem> {
    let bytes = body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::BodyTooLarge
        } else {
            Problem::InvalidBody("the body broke off".to_owned())
        }
    })?;
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| Problem::InvalidBody(format!("not the JSON that is taken here: {error}")))
}
