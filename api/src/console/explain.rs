//! `GET /v1/explain/{subject}/{id}`: why a sum is what it is, down to the bytes, as
//! `hissaback explain` tells it.

use std::{str::FromStr, sync::Arc};

use axum::{
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    response::Response,
};
use http::HeaderMap;
use operations::explain::{ExplainError, Explainer, Subject};
use schemas::TenantId;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{Api, Problem, auth::Operator, pages, problem::ReadRefused};

/// The longest order number.
const ORDER_BYTES_MAX: usize = 500;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainParameters {
    /// Whose claims, where an order or a shopper has claims of several tenants.
    #[param(value_type = Option<uuid::Uuid>)]
    tenant_id: Option<TenantId>,
}

/// Why a sum is what it is: the claims, reports, rates, rules, postings and payouts behind it, and
/// the raw reports as the log holds them.
#[utoipa::path(
    get, path = "/v1/explain/{subject}/{id}", tag = "operators",
    params(
        ("subject" = String, Path, description = "What is to be explained.",
         pattern = "^(conversion|order|payout|user)$", example = "conversion"),
        ("id" = String, Path, description = "A report's event id, an order number, or the id of a payout or a shopper.",
         example = "7012345678901234567"),
        ExplainParameters,
    ),
    security(("bearer" = ["operator"])),
    responses(
        (status = 200, body = serde_json::Value, description = "`claims`, `unmatched`, `payout` or `user`, as `hissaback explain --json` prints it.",
         headers(("ETag" = String, description = "For `If-None-Match`.")),
         example = json!({"claims": []})),
        (status = 304, description = "As in `If-None-Match`."),
        ReadRefused,
    )
)]
pub(crate) async fn explain(
    State(api): State<Arc<Api>>,
    _: Operator,
    path: Result<Path<(String, String)>, PathRejection>,
    parameters: Result<Query<ExplainParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| crate::query_problem(&rejection))?;
    let Path((kind, id)) = path.map_err(|_| Problem::NotFound)?;
    let subject = subject(&kind, &id, parameters.tenant_id).ok_or(Problem::NotFound)?;
    let explainer = Explainer {
        pool: &api.pool,
        log: api.auditor.log.as_ref(),
    };
    match explainer.explain(&subject).await {
        Ok(explanation) => Ok(pages::tagged(&headers, &explanation)),
        Err(ExplainError::Unknown(_)) => Err(Problem::NotFound),
        Err(error @ ExplainError::SeveralTenants(..)) => {
            Err(Problem::field("tenant_id", "required", error.to_string()))
        }
        Err(ExplainError::Database(error)) => Err(Problem::database(&error)),
        Err(ExplainError::Log(error)) => Err(Problem::unavailable("the log", &error)),
        Err(error @ (ExplainError::Stored(_) | ExplainError::Invalid(_))) => {
            Err(Problem::internal(&error))
        }
    }
}

fn subject(kind: &str, id: &str, tenant_id: Option<TenantId>) -> Option<Subject> {
    fn parsed<T: FromStr>(id: &str) -> Option<T> {
        id.parse().ok()
    }
    match kind {
        "conversion" => parsed(id).map(Subject::Conversion),
        "order" if id.len() <= ORDER_BYTES_MAX && !id.contains('\0') => {
            Some(Subject::Order(id.to_owned(), tenant_id))
        }
        "payout" => parsed(id).map(Subject::Payout),
        "user" => parsed(id).map(|user_id| Subject::User(user_id, tenant_id)),
        _ => None,
    }
}
