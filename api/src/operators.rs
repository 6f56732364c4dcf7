//! What operators ask for and decide.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    response::Response,
};
use operations::{
    audit::AuditReport,
    commands::CommandError,
    fates::{self, FateCounts},
};
use schemas::{
    EventId, PayoutId,
    events::{CommandBody, ResendMessage, ReviewClaim, Verdict},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Api, Problem,
    auth::{Caller, Operator, Reader, Service},
    body::read_body_with_bytes,
    idempotency::IdempotencyKey,
    problem::{ProblemBody, WriteRefused},
};

/// Body of a review: `{"conv_id": "42", "verdict": "approve", "reason": "called the shopper"}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "conv_id": "7012345678901234567", "verdict": "approve", "reason": "called the shopper"
}))]
pub(crate) struct Review {
    /// Any report of the claim: 64 bits, as a string.
    #[schema(value_type = String, pattern = "^[1-9][0-9]{0,18}$")]
    conv_id: EventId,
    /// `approve` or `reject`.
    #[schema(value_type = String, pattern = "^(approve|reject)$")]
    verdict: Verdict,
    /// Why, for the audit.
    reason: String,
}

/// A command that is in the log: `{"command_id": "7012…"}`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CommandGiven, example = json!({"command_id": "7012345678901234567"}))]
pub(crate) struct Given {
    /// The command: 64 bits, as a string.
    #[schema(value_type = String)]
    command_id: EventId,
}

/// Approves or rejects a claim.
///
/// Answered once the command is durable in the log, where it is kept whether or not the claim is
/// known yet.
#[utoipa::path(
    post, path = "/v1/commands/review", tag = "operators", request_body = Review,
    params(("Idempotency-Key" = Option<String>, Header, description = "A request that comes again with the same key is answered alike, and does nothing.")),
    security(("bearer" = ["operator"])),
    responses(
        (status = 200, body = Given, description = "It is in the log."),
        WriteRefused,
    )
)]
pub(crate) async fn review(
    State(api): State<Arc<Api>>,
    Operator(operator): Operator,
    key: IdempotencyKey,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let (review, bytes) = read_body_with_bytes(body)?;
    let Review {
        conv_id,
        verdict,
        reason,
    } = review;
    let body = CommandBody::ReviewClaim(ReviewClaim {
        event_id: conv_id,
        verdict,
    });
    give_once(&api, operator, key, &bytes, &reason, body).await
}

/// Body of a repetition.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "payout_id": "00000000-0000-0000-0000-000000000009", "reason": "the shopper deleted it"
}))]
pub(crate) struct Resend {
    /// The payout whose message it is.
    #[schema(value_type = uuid::Uuid)]
    payout_id: PayoutId,
    /// Why, for the audit.
    reason: String,
}

/// Sends a funded payout's message once more, with the same code.
///
/// Answered once the command is durable in the log.
#[utoipa::path(
    post, path = "/v1/commands/resend", tag = "operators", request_body = Resend,
    params(("Idempotency-Key" = Option<String>, Header, description = "A request that comes again with the same key is answered alike, and does nothing.")),
    security(("bearer" = ["operator"])),
    responses(
        (status = 200, body = Given, description = "It is in the log."),
        WriteRefused,
    )
)]
pub(crate) async fn resend(
    State(api): State<Arc<Api>>,
    Operator(operator): Operator,
    key: IdempotencyKey,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let (resend, bytes) = read_body_with_bytes(body)?;
    let Resend { payout_id, reason } = resend;
    let body = CommandBody::ResendMessage(ResendMessage { payout_id });
    give_once(&api, operator, key, &bytes, &reason, body).await
}

/// Gives an operator's command, once for each key. A try that was cut off may have given it, and
/// the next gives it again: as harmless as any repetition of a command.
pub(crate) async fn give_once(
    api: &Api,
    operator: Service,
    key: IdempotencyKey,
    bytes: &Bytes,
    reason: &str,
    body: CommandBody,
) -> Result<Response, Problem> {
    let author = format!("api:{}", operator.name);
    let caller = Caller::Service(operator);
    key.once(api, &caller, bytes, async |_| {
        let given = api.commands.give(&author, reason, body).await;
        given
            .map(|command| Given {
                command_id: command.command_id,
            })
            .map_err(|error| refused(&error))
    })
    .await
}

fn refused(error: &CommandError) -> Problem {
    match error {
        CommandError::Text(field) => Problem::field(field, "invalid", error.to_string()),
        CommandError::Encode(error) => Problem::internal(error),
        CommandError::Ids(_) | CommandError::Append(_) => Problem::unavailable("the log", error),
    }
}

/// Counts of the accepted reports by what became of them.
#[utoipa::path(
    get, path = "/v1/fates", tag = "operators",
    security(("bearer" = ["operator"]), ("bearer" = ["analyst"])),
    responses(
        (status = 200, body = serde_json::Value, description = "As of now.", example = json!({
         "accepted": 10, "ledgered": 6, "updates": 2, "repetitions": 1, "duplicates": 0,
         "unmatched": 1, "ignored": 0, "dead_lettered": 0})),
        (status = 401, body = ProblemBody, description = "`unauthorised`"),
        (status = 403, body = ProblemBody, description = "`forbidden`"),
        (status = 503, body = ProblemBody, description = "`unavailable`"),
    )
)]
pub(crate) async fn fates(
    State(api): State<Arc<Api>>,
    _: Reader,
) -> Result<Json<FateCounts>, Problem> {
    let counts = fates::count(&api.pool).await;
    counts
        .map(Json)
        .map_err(|error| Problem::unavailable("the ledger", &error))
}

/// The invariants, and whether they hold; 200 whatever they came to.
#[utoipa::path(
    get, path = "/v1/audit", tag = "operators",
    security(("bearer" = ["operator"]), ("bearer" = ["analyst"])),
    responses(
        (status = 200, body = serde_json::Value, description = "As of now.", example = json!({
         "ok": true, "money_ok": true, "findings": []})),
        (status = 401, body = ProblemBody, description = "`unauthorised`"),
        (status = 403, body = ProblemBody, description = "`forbidden`"),
        (status = 503, body = ProblemBody, description = "`unavailable`"),
    )
)]
pub(crate) async fn audit(
    State(api): State<Arc<Api>>,
    _: Reader,
) -> Result<Json<AuditReport>, Problem> {
    let report = api.auditor.audit().await;
    report
        .map(Json)
        .map_err(|error| Problem::unavailable("the ledger", &error))
}
