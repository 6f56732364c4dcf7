//! `/v1/dead-letters`: what no stage could work with. Redriving and discarding are commands.

use std::sync::Arc;

use axum::{
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    response::Response,
};
use http::HeaderMap;
use operations::dead_letters::{DeadLetterError, DeadLetters, Filter, State as LetterState};
use schemas::{Position, Topic};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{Api, Problem, auth::Operator, body::Fields, pages, problem::ReadRefused};

const STATES: [&str; LetterState::ALL.len()] = ["open", "redriven", "discarded"];
const LIMIT_DEFAULT: u16 = 50;
const LIMIT_MAX: u16 = 200;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeadLetterParameters {
    /// Only in this state.
    #[param(pattern = "^(open|redriven|discarded)$")]
    state: Option<String>,
    /// Only for this reason, by its code.
    reason: Option<String>,
    /// Only of this stage.
    stage: Option<String>,
    /// At most as many; 50, unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// The newest dead letters, newest first.
#[utoipa::path(
    get, path = "/v1/dead-letters", tag = "operators", params(DeadLetterParameters),
    security(("bearer" = ["operator"])),
    responses(
        (status = 200, body = serde_json::Value, description = "As `hissaback dead-letters list --json` prints them.",
         headers(("ETag" = String, description = "For `If-None-Match`.")),
         example = json!([{
            "position": {"topic": "dead-letters", "partition": 0, "offset": 7},
            "appended_at": "2026-09-20T10:00:05.000Z", "state": "open",
            "origin": "conversions/3/1042", "reason": "undecodable", "stage": "process"}])),
        (status = 304, description = "As in `If-None-Match`."),
        ReadRefused,
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    _: Operator,
    parameters: Result<Query<DeadLetterParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| crate::query_problem(&rejection))?;
    let mut fields = Fields::default();
    let state = fields.one_of("state", parameters.state, &STATES);
    let limit = fields.optional("limit", parameters.limit, |limit| {
        let usable = (1..=LIMIT_MAX).contains(&limit);
        usable
            .then_some(limit)
            .ok_or_else(|| format!("1 to {LIMIT_MAX}"))
    });
    fields.check()?;
    let filter = Filter {
        state: LetterState::ALL
            .into_iter()
            .find(|one| Some(one.name()) == state),
        reason: parameters.reason,
        stage: parameters.stage,
        ..Filter::default()
    };
    let limit = usize::from(limit.unwrap_or(LIMIT_DEFAULT));
    let letters = letters(&api).list(&filter, limit).await;
    let letters = letters.map_err(|error| problem(&error))?;
    Ok(pages::tagged(&headers, &letters))
}

/// One dead letter, with the bytes of the original.
#[utoipa::path(
    get, path = "/v1/dead-letters/{partition}/{offset}", tag = "operators",
    params(("partition" = i32, Path, description = "In `dead-letters`.", example = 0),
           ("offset" = i64, Path, description = "In `dead-letters`.", example = 7)),
    security(("bearer" = ["operator"])),
    responses(
        (status = 200, body = serde_json::Value, description = "As in the list, with `key_hex` and `value_hex`.",
         headers(("ETag" = String, description = "For `If-None-Match`.")),
         example = json!({"state": "open", "reason": "undecodable", "key_hex": "3432", "value_hex": "00"})),
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
    if !(0..Topic::DeadLetters.partitions()).contains(&partition) || offset < 0 {
        return Err(Problem::NotFound);
    }
    let position = Position {
        topic: Topic::DeadLetters,
        partition,
        offset,
    };
    let letter = letters(&api).show(position).await;
    let letter = letter.map_err(|error| problem(&error))?;
    Ok(pages::tagged(&headers, &letter.ok_or(Problem::NotFound)?))
}

fn letters(api: &Api) -> DeadLetters<'_> {
    DeadLetters {
        pool: &api.pool,
        log: api.auditor.log.as_ref(),
    }
}

fn problem(error: &DeadLetterError) -> Problem {
    match error {
        DeadLetterError::Log(_) | DeadLetterError::Append(_) => {
            Problem::unavailable("the log", error)
        }
        DeadLetterError::Database(error) => Problem::database(error),
        DeadLetterError::Unexplained => Problem::field("reason", "required", error.to_string()),
    }
}
