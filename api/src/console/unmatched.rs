//! `/v1/unmatched`: reports without a claim.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, PathRejection, QueryRejection},
    },
    response::Response,
};
use http::HeaderMap;
use operations::unmatched::{self, Filter, State as ReportState, UnmatchedError};
use schemas::{
    ClickId, NetworkId, Position, Topic,
    events::{CommandBody, MatchByHand},
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    Api, Problem,
    auth::Operator,
    body::{Fields, read_body_with_bytes},
    idempotency::IdempotencyKey,
    operators::{Given, give_once},
    pages::{self, Page},
    problem::{ReadRefused, WriteRefused},
};

const STATES: [&str; ReportState::ALL.len()] =
    ["parked", "ignored", "dead_lettered", "healed", "discarded"];
/// The longest code of a reason.
const REASON_BYTES_MAX: usize = 200;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UnmatchedParameters {
    /// Only in this state; `parked`, unless said otherwise.
    #[param(pattern = "^(parked|ignored|dead_lettered|healed|discarded)$")]
    state: Option<String>,
    /// Only for this reason, such as `unknown_click`.
    #[param(max_length = 200)]
    reason: Option<String>,
    /// Only of this network instance.
    #[param(value_type = Option<i32>)]
    network_id: Option<i32>,
    /// Where the page before ended: its header `Next-Cursor`.
    cursor: Option<String>,
    /// At most as many; 50, unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Reports without a claim, in the order of their positions.
#[utoipa::path(
    get, path = "/v1/unmatched", tag = "operators", params(UnmatchedParameters),
    security(("bearer" = ["operator"])),
    responses(
        (status = 200, body = serde_json::Value, description = "A page of reports.",
         headers(("Next-Cursor" = String, description = "Names the next page, if there is one."),
                 ("ETag" = String, description = "For `If-None-Match`.")),
         example = json!([{
            "position": {"topic": "conversions", "partition": 3, "offset": 1042},
            "conv_id": "7012345678901234567", "received_at": "2026-09-20T10:00:05.000Z",
            "network_id": 1, "click_id": "42", "reason": "unknown_click", "state": "parked",
            "tries": 3, "next_try_at": "2026-09-20T11:00:00.000Z"}])),
        (status = 304, description = "As in `If-None-Match`."),
        ReadRefused,
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    _: Operator,
    parameters: Result<Query<UnmatchedParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| crate::query_problem(&rejection))?;
    let mut fields = Fields::default();
    let state = fields.one_of("state", parameters.state, &STATES);
    let reason = fields.optional("reason", parameters.reason, |reason| {
        if reason.len() <= REASON_BYTES_MAX && !reason.contains('\0') {
            Ok(reason)
        } else {
            Err(format!("at most {REASON_BYTES_MAX} bytes, without NULs"))
        }
    });
    let page: Page<(i32, i64)> = Page::of(parameters.cursor, parameters.limit, &mut fields);
    fields.check()?;
    let filter = Filter {
        state: ReportState::ALL
            .into_iter()
            .find(|one| one.name() == state.unwrap_or("parked")),
        reason,
        network_id: parameters.network_id.map(NetworkId::new),
        from: None,
        to: None,
        after: page.after.map(|(partition, offset)| Position {
            topic: Topic::Conversions,
            partition,
            offset,
        }),
        limit: page.rows(),
    };
    let found = unmatched::list(&api.pool, filter).await;
    let found = found.map_err(|error| problem(&error))?;
    Ok(page.answer(&headers, found, |last| {
        (last.position.partition, last.position.offset)
    }))
}

/// One report without a claim: what was decided on it, and the record itself.
#[utoipa::path(
    get, path = "/v1/unmatched/{partition}/{offset}", tag = "operators",
    params(("partition" = i32, Path, description = "Of its `conversions` record.", example = 3),
           ("offset" = i64, Path, description = "Of its `conversions` record.", example = 1042)),
    security(("bearer" = ["operator"])),
    responses(
        (status = 200, body = serde_json::Value, description = "As in the list, with `decision` and `original`.",
         headers(("ETag" = String, description = "For `If-None-Match`.")),
         example = json!({"conv_id": "7012345678901234567", "reason": "unknown_click"})),
        (status = 304, description = "As in `If-None-Match`."),
        ReadRefused,
    )
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    _: Operator,
    path: Result<Path<(i32, i64)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path((partition, offset)) = path.map_err(|_| Problem::NotFound)?;
    let position = Position {
        topic: Topic::Conversions,
        partition,
        offset,
    };
    let found = unmatched::show(&api.pool, api.auditor.log.as_ref(), position).await;
    let found = found.map_err(|error| problem(&error))?;
    Ok(pages::tagged(&headers, &found.ok_or(Problem::NotFound)?))
}

/// A match by hand.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"click_id": "7012345678901234567", "reason": "the shopper sent a receipt"}))]
pub(crate) struct Match {
    /// The click that the report belongs to: 64 bits, as a string.
    #[schema(required, value_type = String, pattern = "^[1-9][0-9]{0,18}$")]
    click_id: Option<ClickId>,
    /// Why, for the audit.
    #[schema(required, value_type = String)]
    reason: Option<String>,
}

/// Matches a report to a click by hand.
///
/// Answered once the command is durable in the log; healing carries it out.
#[utoipa::path(
    post, path = "/v1/unmatched/{partition}/{offset}/match", tag = "operators",
    request_body = Match,
    params(("partition" = i32, Path, description = "Of its `conversions` record.", example = 3),
           ("offset" = i64, Path, description = "Of its `conversions` record.", example = 1042),
           ("Idempotency-Key" = Option<String>, Header, description = "A request that comes again with the same key is answered alike, and does nothing.")),
    security(("bearer" = ["operator"])),
    responses((status = 200, body = Given, description = "It is in the log."), WriteRefused)
)]
pub(crate) async fn match_by_hand(
    State(api): State<Arc<Api>>,
    Operator(operator): Operator,
    path: Result<Path<(i32, i64)>, PathRejection>,
    key: IdempotencyKey,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Path((partition, offset)) = path.map_err(|_| Problem::NotFound)?;
    let report = Position {
        topic: Topic::Conversions,
        partition,
        offset,
    };
    let (request, bytes): (Match, _) = read_body_with_bytes(body)?;
    let mut fields = Fields::default();
    let click_id = fields.required("click_id", request.click_id, Ok);
    let reason = fields.required("reason", request.reason, Ok);
    fields.check()?;
    let found = unmatched::show(&api.pool, api.auditor.log.as_ref(), report).await;
    let found = found.map_err(|error| problem(&error))?;
    let state = found.ok_or(Problem::NotFound)?.report.state;
    match state {
        ReportState::Parked | ReportState::Healed | ReportState::Discarded => {}
        ReportState::Ignored | ReportState::DeadLettered => {
            let refused = format!("the report is {}: a click wouldn't help it", state.name());
            return Err(Problem::field("offset", "invalid", refused));
        }
    }
    let body = CommandBody::MatchByHand(MatchByHand {
        report,
        click_id: click_id.expect("checked above"),
    });
    let reason = reason.expect("checked above");
    give_once(&api, operator, key, &bytes, &reason, body).await
}

fn problem(error: &UnmatchedError) -> Problem {
    match error {
        UnmatchedError::Database(error) => Problem::database(error),
        UnmatchedError::Log(error) => Problem::unavailable("the log", error),
        UnmatchedError::Unexplained => Problem::field("reason", "required", error.to_string()),
        UnmatchedError::Stored(_) => Problem::internal(error),
    }
}
