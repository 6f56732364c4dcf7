//! `POST /v1/messages/delivery`: the SMS gateway's call.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{
        Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
};
use http::{HeaderMap, StatusCode};
use operations::delivery_reports::DeliveryReportError;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{Api, Problem, body::received, problem::ProblemBody};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct GatewayParameters {
    /// The gateway's secret, for gateways that can be given an address and no header.
    token: Option<String>,
}

/// Takes a delivery report.
///
/// A JSON object or a form, with the names that are configured; the secret comes as a bearer token
/// or in the address. No rate limit holds here.
#[utoipa::path(
    post, path = "/v1/messages/delivery", tag = "events", params(GatewayParameters),
    security(("bearer" = ["gateway"])),
    request_body(content = serde_json::Value, description = "As the gateway writes it.",
                 example = json!({"reference": "00000000000000000000000000000009-0",
                                  "status": "delivered"})),
    responses(
        (status = 204, description = "It is noted."),
        (status = 400, body = ProblemBody, description = "`invalid_body`, `invalid_fields`"),
        (status = 401, body = ProblemBody, description = "`unauthorised`"),
        (status = 403, body = ProblemBody, description = "`forbidden`"),
        (status = 404, body = ProblemBody, description = "`not_found`: the message isn't known, or not yet: post again"),
        (status = 409, body = ProblemBody, description = "`not_configured`"),
        (status = 413, body = ProblemBody, description = "`body_too_large`"),
        (status = 503, body = ProblemBody, description = "`unavailable`"),
    )
)]
pub(crate) async fn take(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    parameters: Result<Query<GatewayParameters>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| crate::query_problem(&rejection))?;
    let given = parameters.token.as_deref();
    api.tokens.gateway(&headers, given, api.clock.now())?;
    let reports = api
        .delivery_reports
        .as_ref()
        .ok_or(Problem::NotConfigured("a gateway with delivery reports"))?;
    match reports.take(&received(body)?).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error @ DeliveryReportError::Unreadable(_)) => {
            Err(Problem::InvalidBody(error.to_string()))
        }
        Err(DeliveryReportError::Unknown) => Err(Problem::NotFound),
        Err(DeliveryReportError::Store(error)) => {
            Err(Problem::unavailable("the database of messages", &error))
        }
    }
}
