//! `GET /v1/payouts`: what a tenant's shoppers were paid, and how far each payout is.

use std::sync::Arc;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    response::Response,
};
use chrono::{DateTime, Utc};
use http::HeaderMap;
use rust_decimal::Decimal;
use schemas::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{Api, Problem, auth::Caller, body::Fields, pages::Page, problem::ReadRefused};

/// States of payouts.
const STATES: [&str; 6] = [
    "queued",
    "sending",
    "cancelled",
    "funded",
    "error_soft",
    "error_hard",
];

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PayoutParameters {
    /// Whose: a tenant that the caller may act for.
    #[param(required, value_type = Uuid)]
    tenant_id: Option<TenantId>,
    /// Those of this state only.
    #[param(pattern = "^(queued|sending|cancelled|funded|error_soft|error_hard)$")]
    state: Option<String>,
    /// Where the page before ended: its header `Next-Cursor`.
    cursor: Option<String>,
    /// At most as many; 50, unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// A payout to one shopper.
#[derive(Debug, Serialize, FromRow, ToSchema)]
#[schema(as = Payout, example = json!({
    "payout_id": "00000000-0000-0000-0000-000000000009", "amount": "250", "currency": "INR",
    "method": "agcod", "state": "funded", "as_of": "2026-10-21T00:00:00.000Z",
    "paid_at": "2026-10-21T00:00:04.000Z", "claims": 3
}))]
pub(crate) struct Listed {
    payout_id: Uuid,
    /// In units of the currency.
    #[schema(value_type = String)]
    amount: Decimal,
    currency: String,
    /// By which rail.
    method: String,
    /// `queued`, `sending`, `cancelled`, `funded`, `error_soft` (tried again at night) or
    /// `error_hard` (waits for an operator).
    state: String,
    /// It pays what was payable before.
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "DateTime<Utc>")]
    as_of: Timestamp,
    /// When it was funded.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "timestamp")]
    paid_at: Option<DateTime<Utc>>,
    /// How many sales it pays for.
    claims: i64,
}

#[expect(clippy::ref_option, reason = "serde hands it over like this")]
fn timestamp<S: serde::Serializer>(
    at: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::from).serialize(serializer)
}

/// A tenant's payouts, newest first.
#[utoipa::path(
    get, path = "/v1/payouts", tag = "creators", params(PayoutParameters),
    security(("bearer" = ["creator"]), ("bearer" = ["operator"])),
    responses(
        (status = 200, body = Vec<Listed>, description = "A page of payouts.",
         headers(("Next-Cursor" = String, description = "Names the next page, if there is one."),
                 ("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "As in `If-None-Match`."),
        ReadRefused,
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    parameters: Result<Query<PayoutParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| crate::query_problem(&rejection))?;
    let mut fields = Fields::default();
    let tenant_id = fields.required("tenant_id", parameters.tenant_id, Ok);
    let state = fields.one_of("state", parameters.state, &STATES);
    let page: Page<(Timestamp, Uuid)> = Page::of(parameters.cursor, parameters.limit, &mut fields);
    fields.check()?;
    let scope = caller.tenant(tenant_id.expect("checked above"))?;

    let mut transaction = scope.begin(&api).await?;
    let payouts: Vec<Listed> = sqlx::query_as(
        "SELECT payout_id, amount, currency::text AS currency, method, state, as_of, paid_at,
                (SELECT count(*) FROM payout_items i WHERE i.payout_id = p.payout_id) AS claims
         FROM payouts p
         WHERE ($1::text IS NULL OR state = $1)
           AND ($2::timestamptz IS NULL OR (as_of, payout_id) < ($2, $3))
         ORDER BY as_of DESC, payout_id DESC LIMIT $4",
    )
    .bind(state)
    .bind(page.after.map(|(at, _)| at.to_datetime()))
    .bind(page.after.map(|(_, payout_id)| payout_id))
    .bind(page.rows())
    .fetch_all(&mut *transaction)
    .await
    .map_err(|error| Problem::database(&error))?;
    Ok(page.answer(&headers, payouts, |last| (last.as_of, last.payout_id)))
}
