//! `GET /v1/reviews`: the claims that wait for an operator's verdict.

use std::sync::Arc;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    response::Response,
};
use http::HeaderMap;
use rust_decimal::Decimal;
use schemas::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{Api, Problem, auth::Operator, body::Fields, pages::Page, problem::ReadRefused};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReviewParameters {
    /// Only of this tenant.
    #[param(value_type = Option<Uuid>)]
    tenant_id: Option<TenantId>,
    /// Where the page before ended: its header `Next-Cursor`.
    cursor: Option<String>,
    /// At most as many; 50, unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// A claim that waits for a verdict.
#[derive(Debug, Serialize, FromRow, ToSchema)]
#[schema(example = json!({
    "conv_id": "7012345678901234567", "tenant_id": "00000000-0000-0000-0000-000000000001",
    "campaign_id": "00000000-0000-0000-0000-000000000002", "offer_id": 5509,
    "user_id": "00000000-0000-0000-0000-000000000007", "reasons": ["velocity"],
    "received_at": "2026-09-20T10:00:05.000Z", "order_value": "1999.00", "currency": "INR",
    "expected_commission": "159.92", "user_amount": "95.95", "creator_amount": "63.97"
}))]
pub(crate) struct Waiting {
    #[serde(skip)]
    led_id: i64,
    /// What `POST /v1/commands/review` takes: 64 bits, as a string.
    conv_id: String,
    tenant_id: Uuid,
    campaign_id: Uuid,
    offer_id: i32,
    user_id: Option<Uuid>,
    /// Why it waits.
    reasons: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "chrono::DateTime<chrono::Utc>")]
    received_at: Timestamp,
    #[schema(value_type = Option<String>)]
    order_value: Option<Decimal>,
    currency: String,
    #[schema(value_type = String)]
    expected_commission: Decimal,
    #[schema(value_type = String)]
    user_amount: Decimal,
    #[schema(value_type = String)]
    creator_amount: Decimal,
}

/// Claims in review, those that wait longest first.
#[utoipa::path(
    get, path = "/v1/reviews", tag = "operators", params(ReviewParameters),
    security(("bearer" = ["operator"])),
    responses(
        (status = 200, body = Vec<Waiting>, description = "A page of claims.",
         headers(("Next-Cursor" = String, description = "Names the next page, if there is one."),
                 ("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "As in `If-None-Match`."),
        ReadRefused,
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    _: Operator,
    parameters: Result<Query<ReviewParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| crate::query_problem(&rejection))?;
    let mut fields = Fields::default();
    let page: Page<(Timestamp, i64)> = Page::of(parameters.cursor, parameters.limit, &mut fields);
    fields.check()?;
    let waiting: Vec<Waiting> = sqlx::query_as(
        "SELECT led_id, led_id::text AS conv_id, tenant_id, campaign_id, offer_id, user_id,
                reasons, first_received_at AS received_at, order_value,
                currency::text AS currency, expected_commission, user_amount, creator_amount
         FROM ledger
         WHERE status = 'review' AND ($1::uuid IS NULL OR tenant_id = $1)
           AND ($2::timestamptz IS NULL OR (first_received_at, led_id) > ($2, $3))
         ORDER BY first_received_at, led_id LIMIT $4",
    )
    .bind(parameters.tenant_id.map(TenantId::uuid))
    .bind(page.after.map(|(at, _)| at.to_datetime()))
    .bind(page.after.map(|(_, led_id)| led_id))
    .bind(page.rows())
    .fetch_all(&api.pool)
    .await
    .map_err(|error| Problem::database(&error))?;
    Ok(page.answer(&headers, waiting, |last| (last.received_at, last.led_id)))
}
