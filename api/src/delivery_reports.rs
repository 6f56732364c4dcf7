//! `POST /v1/messages/delivery`: the SMS gateway's call.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Query, State, rejection::BytesRejection},
};
use http::{HeaderMap, StatusCode};
use operations::delivery_reports::DeliveryReportError;
use serde::Deserialize;

use crate::{Api, Problem, authorisation};

/// For gateways that can be given an address, and no header.
#[derive(Deserialize)]
pub(crate) struct Given {
    token: Option<String>,
}

/// Takes a delivery report: a JSON object or a form, with the secret as a bearer token or as
/// `token` in the address. 204 once it is noted; 404 for a message that isn't known, or not yet:
/// gateways post again.
pub(crate) async fn take(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    Query(given): Query<Given>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let expected = api.tokens.delivery_reports.as_ref();
    match &given.token {
        Some(token) => authorisation::compare(token, expected)?,
        None => authorisation::check(&headers, expected)?,
    }
    let reports = api
        .delivery_reports
        .as_ref()
        .ok_or(Problem::NotConfigured("a gateway with delivery reports"))?;
    let body = body.map_err(|_| Problem::InvalidBody("the body broke off".to_owned()))?;
    match reports.take(&body).await {
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
