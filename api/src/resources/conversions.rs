//! `GET /v1/conversions`: what became of a tenant's sales, and one sale's story.

use std::sync::Arc;

use axum::{
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    response::Response,
};
use chrono::{DateTime, Utc};
use http::HeaderMap;
use rust_decimal::Decimal;
use schemas::{EventId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};

use crate::{
    Api, Problem,
    auth::{Caller, ScopedTransaction},
    body::Fields,
    pages::{self, Page},
    problem::ReadRefused,
};

/// Statuses of claims.
const STATUSES: [&str; 6] = [
    "pending",
    "review",
    "confirmed",
    "rejected",
    "paid",
    "reversed",
];
/// What is shown of a claim.
const COLUMNS: &str = "led_id, led_id::text AS conv_id, campaign_id, link_id, offer_id, brand,
    status, network_status, txn_id, clicked_at, first_received_at AS received_at, converted_at,
    payable_at, order_value, currency::text AS currency, expected_commission, user_amount,
    creator_amount, posted_commission, posted_user, posted_creator, paid_amount";

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConversionParameters {
    /// Whose: a tenant that the caller may act for.
    #[param(required, value_type = uuid::Uuid)]
    tenant_id: Option<TenantId>,
    /// Those of this status only.
    #[param(pattern = "^(pending|review|confirmed|rejected|paid|reversed)$")]
    status: Option<String>,
    /// Where the page before ended: its header `Next-Cursor`.
    cursor: Option<String>,
    /// At most as many; 50, unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// A sale, as the ledger has it. Amounts are in units of its currency.
#[derive(Debug, Serialize, FromRow, ToSchema)]
#[schema(example = json!({
    "conv_id": "7012345678901234567", "campaign_id": "00000000-0000-0000-0000-000000000002",
    "link_id": "00000000-0000-0000-0000-000000000003", "offer_id": 5509, "brand": "Kurtas",
    "status": "confirmed", "network_status": "approved", "txn_id": "ORD-77",
    "clicked_at": "2026-09-20T09:41:00.000Z", "received_at": "2026-09-20T10:00:05.000Z",
    "converted_at": "2026-09-20T10:00:00.000Z", "payable_at": "2026-10-20T10:00:00.000Z",
    "order_value": "1999.00", "currency": "INR", "expected_commission": "159.92",
    "user_amount": "95.95", "creator_amount": "63.97", "posted_commission": "159.92",
    "posted_user": "95.95", "posted_creator": "63.97", "paid_amount": "0"
}))]
pub(crate) struct Conversion {
    #[serde(skip)]
    led_id: i64,
    /// Its name: 64 bits, as a string.
    conv_id: String,
    campaign_id: uuid::Uuid,
    link_id: uuid::Uuid,
    /// As its network numbers it.
    offer_id: i32,
    /// Where the shopper bought.
    brand: Option<String>,
    /// `pending`, `review`, `confirmed`, `rejected`, `paid` or `reversed`.
    status: String,
    /// What the network said last.
    network_status: Option<String>,
    /// The merchant's order.
    txn_id: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "DateTime<Utc>")]
    clicked_at: Timestamp,
    /// When the first report came.
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "DateTime<Utc>")]
    received_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "DateTime<Utc>")]
    converted_at: Timestamp,
    /// From when on the shopper can be paid.
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "DateTime<Utc>")]
    payable_at: Timestamp,
    /// What was paid for the order.
    #[schema(value_type = Option<String>)]
    order_value: Option<Decimal>,
    /// Of all amounts.
    currency: String,
    /// What the network is expected to pay.
    #[schema(value_type = String)]
    expected_commission: Decimal,
    /// The shopper's expected part.
    #[schema(value_type = String)]
    user_amount: Decimal,
    /// The creator's expected part.
    #[schema(value_type = String)]
    creator_amount: Decimal,
    /// The commission in the books: nothing before it is confirmed.
    #[schema(value_type = String)]
    posted_commission: Decimal,
    /// The shopper's part in the books.
    #[schema(value_type = String)]
    posted_user: Decimal,
    /// The creator's part in the books.
    #[schema(value_type = String)]
    posted_creator: Decimal,
    /// What of the shopper's part was paid.
    #[schema(value_type = String)]
    paid_amount: Decimal,
}

/// One report of a sale.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct Report {
    /// Its own name: 64 bits, as a string.
    conv_id: String,
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "DateTime<Utc>")]
    received_at: Timestamp,
    /// How it came, such as `postback`.
    source: String,
    /// What the network said.
    network_status: Option<String>,
    #[schema(value_type = Option<String>)]
    order_value: Option<Decimal>,
    /// What the network says that it pays.
    #[schema(value_type = Option<String>)]
    payout: Option<Decimal>,
    currency: Option<String>,
    /// `ledgered`, `update`, `repetition`, `duplicate` or `undone`.
    fate: String,
}

/// A line in the books.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct Posting {
    /// Lines of one transaction sum to zero.
    transaction_id: String,
    /// Such as `creator_payable`.
    account: String,
    currency: String,
    #[schema(value_type = String)]
    amount: Decimal,
}

/// What of a payout paid for the sale.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct PaidPart {
    payout_id: uuid::Uuid,
    #[schema(value_type = String)]
    amount: Decimal,
}

/// A sale with everything that made it what it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Story {
    #[serde(flatten)]
    conversion: Conversion,
    /// What was reported of it, oldest first.
    reports: Vec<Report>,
    /// What was booked for it, oldest first.
    postings: Vec<Posting>,
    /// What paid the shopper for it.
    payouts: Vec<PaidPart>,
}

/// A tenant's sales, newest first.
#[utoipa::path(
    get, path = "/v1/conversions", tag = "creators", params(ConversionParameters),
    security(("bearer" = ["creator"]), ("bearer" = ["operator"])),
    responses(
        (status = 200, body = Vec<Conversion>, description = "A page of sales.",
         headers(("Next-Cursor" = String, description = "Names the next page, if there is one."),
                 ("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "As in `If-None-Match`."),
        ReadRefused,
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    parameters: Result<Query<ConversionParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| crate::query_problem(&rejection))?;
    let mut fields = Fields::default();
    let tenant_id = fields.required("tenant_id", parameters.tenant_id, Ok);
    let status = fields.one_of("status", parameters.status, &STATUSES);
    let page: Page<(Timestamp, i64)> = Page::of(parameters.cursor, parameters.limit, &mut fields);
    fields.check()?;
    let scope = caller.tenant(tenant_id.expect("checked above"))?;

    let mut transaction = scope.begin(&api).await?;
    let found: Vec<Conversion> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM ledger LEFT JOIN offers USING (offer_id)
         WHERE ($1::text IS NULL OR status = $1)
           AND ($2::timestamptz IS NULL OR (converted_at, led_id) < ($2, $3))
         ORDER BY converted_at DESC, led_id DESC LIMIT $4"
    )))
    .bind(status)
    .bind(page.after.map(|(at, _)| at.to_datetime()))
    .bind(page.after.map(|(_, led_id)| led_id))
    .bind(page.rows())
    .fetch_all(&mut *transaction)
    .await
    .map_err(|error| Problem::database(&error))?;
    Ok(page.answer(&headers, found, |last| (last.converted_at, last.led_id)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StoryParameters {
    /// Whose: a tenant that the caller may act for.
    #[param(required, value_type = uuid::Uuid)]
    tenant_id: Option<TenantId>,
}

/// One sale: its reports, what was booked for it, and what paid for it.
#[utoipa::path(
    get, path = "/v1/conversions/{conv_id}", tag = "creators",
    params(("conv_id" = String, Path, description = "Any report of the sale: 64 bits, as a string.",
            example = "7012345678901234567"), StoryParameters),
    security(("bearer" = ["creator"]), ("bearer" = ["operator"])),
    responses(
        (status = 200, body = Story, description = "As of now.",
         headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "As in `If-None-Match`."),
        ReadRefused,
    )
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    conv_id: Result<Path<String>, PathRejection>,
    parameters: Result<Query<StoryParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| crate::query_problem(&rejection))?;
    let mut fields = Fields::default();
    let tenant_id = fields.required("tenant_id", parameters.tenant_id, Ok);
    fields.check()?;
    let scope = caller.tenant(tenant_id.expect("checked above"))?;
    let conv_id: EventId = crate::in_path(conv_id)?;
    let mut transaction = scope.begin(&api).await?;
    let story = story(&mut transaction, conv_id).await;
    let story = story.map_err(|error| Problem::database(&error))?;
    let story = story.ok_or(Problem::NotFound)?;
    Ok(pages::tagged(&headers, &story))
}

async fn story(
    transaction: &mut ScopedTransaction,
    conv_id: EventId,
) -> sqlx::Result<Option<Story>> {
    let conversion: Option<Conversion> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM ledger LEFT JOIN offers USING (offer_id)
         WHERE led_id IN ($1, (SELECT led_id FROM conversions WHERE conv_id = $1 LIMIT 1))
         ORDER BY led_id = $1 LIMIT 1"
    )))
    .bind(conv_id.get())
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(conversion) = conversion else {
        return Ok(None);
    };
    let reports = sqlx::query_as(
        "SELECT conv_id::text AS conv_id, received_at, report_source AS source, network_status,
                order_value, payout, currency::text AS currency, fate
         FROM conversions c WHERE led_id = $1 ORDER BY c.received_at, c.conv_id",
    )
    .bind(conversion.led_id)
    .fetch_all(&mut **transaction)
    .await?;
    // A claim is named after its lowest-ranked report; books may know it by an earlier name.
    let postings = sqlx::query_as(
        "SELECT transaction_id::text AS transaction_id, account, currency::text AS currency, amount
         FROM postings p
         WHERE led_id = $1 OR led_id IN (SELECT conv_id FROM conversions WHERE led_id = $1)
         ORDER BY p.transaction_id, posting_id",
    )
    .bind(conversion.led_id)
    .fetch_all(&mut **transaction)
    .await?;
    let payouts = sqlx::query_as(
        "SELECT payout_id, amount FROM payout_items
         WHERE led_id = $1 OR led_id IN (SELECT conv_id FROM conversions WHERE led_id = $1)
         ORDER BY payout_id",
    )
    .bind(conversion.led_id)
    .fetch_all(&mut **transaction)
    .await?;
    Ok(Some(Story {
        conversion,
        reports,
        postings,
        payouts,
    }))
}
