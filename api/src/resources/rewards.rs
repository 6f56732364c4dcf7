//! `GET /v1/rewards/user`: what a shopper earned, and when it is paid.

use std::sync::Arc;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    response::Response,
};
use chrono::{DateTime, Utc};
use http::HeaderMap;
use rust_decimal::Decimal;
use schemas::{Timestamp, UserId};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};

use crate::{
    Api, Problem,
    auth::SignedIn,
    body::Fields,
    pages::Page,
    problem::{ProblemBody, VERIFYING},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RewardParameters {
    /// The shopper: nobody but the bearer of the token.
    #[param(value_type = Option<uuid::Uuid>)]
    user_id: Option<UserId>,
    /// Where the page before ended: its header `Next-Cursor`.
    cursor: Option<String>,
    /// At most as many rewards; 50, unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// What a shopper is told of a reward. Why we look at one more closely, and that we do, is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RewardStatus {
    /// Being verified.
    Pending,
    /// Theirs; it is paid when `eta` has come.
    Confirmed,
    /// Paid.
    Paid,
    /// The purchase didn't count.
    Rejected,
    /// The purchase was undone.
    Reversed,
}

/// A reward.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "amount": "95.95", "currency": "INR", "status": "pending", "eta": "2026-10-20T10:00:00.000Z",
    "brand": "Kurtas", "purchased_at": "2026-09-20T10:00:00.000Z", "paid_amount": "0",
    "message": "We're verifying your purchase, rewards usually confirm within 24–48h. You'll be notified automatically."
}))]
pub(crate) struct Reward {
    /// What they get: what was booked, once anything was; else what is expected.
    #[schema(value_type = String)]
    amount: Decimal,
    /// Of the amount.
    currency: String,
    status: RewardStatus,
    /// From when on it can be paid; absent where nothing is to come.
    #[schema(value_type = Option<String>, format = DateTime)]
    eta: Option<Timestamp>,
    /// Where they bought.
    brand: Option<String>,
    /// When they bought.
    #[schema(value_type = String, format = DateTime)]
    purchased_at: Timestamp,
    /// What of the amount was paid.
    #[schema(value_type = String)]
    paid_amount: Decimal,
    /// What to show beside a reward that is being verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

#[derive(FromRow)]
struct Row {
    led_id: i64,
    status: String,
    user_amount: Decimal,
    posted_user: Decimal,
    paid_amount: Decimal,
    currency: String,
    brand: Option<String>,
    converted_at: DateTime<Utc>,
    payable_at: DateTime<Utc>,
}

/// The shopper's own rewards, newest first.
#[utoipa::path(
    get, path = "/v1/rewards/user", tag = "shoppers", params(RewardParameters),
    security(("bearer" = ["person"])),
    responses(
        (status = 200, body = Vec<Reward>, description = "A page of rewards.",
         headers(("Next-Cursor" = String, description = "Names the next page, if there is one."),
                 ("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "As in `If-None-Match`."),
        (status = 400, body = ProblemBody, description = "`invalid_fields`"),
        (status = 401, body = ProblemBody, description = "`unauthorised`"),
        (status = 403, body = ProblemBody, description = "`forbidden`"),
        (status = 409, body = ProblemBody, description = "`not_configured`"),
        (status = 429, body = ProblemBody, description = "`too_many_requests`"),
        (status = 503, body = ProblemBody, description = "`unavailable`"),
    )
)]
pub(crate) async fn of_user(
    State(api): State<Arc<Api>>,
    SignedIn(person): SignedIn,
    parameters: Result<Query<RewardParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| crate::query_problem(&rejection))?;
    if parameters
        .user_id
        .is_some_and(|asked| asked != person.user_id)
    {
        return Err(Problem::Forbidden);
    }
    let mut fields = Fields::default();
    let page: Page<(Timestamp, i64)> = Page::of(parameters.cursor, parameters.limit, &mut fields);
    fields.check()?;

    let mut transaction = person.begin(&api).await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT led_id, status, user_amount, posted_user, paid_amount, currency::text AS currency,
                brand, converted_at, payable_at
         FROM ledger LEFT JOIN offers USING (offer_id)
         WHERE $1::timestamptz IS NULL OR (converted_at, led_id) < ($1, $2)
         ORDER BY converted_at DESC, led_id DESC LIMIT $3",
    )
    .bind(page.after.map(|(at, _)| at.to_datetime()))
    .bind(page.after.map(|(_, led_id)| led_id))
    .bind(page.rows())
    .fetch_all(&mut *transaction)
    .await
    .map_err(|error| Problem::database(&error))?;
    let rewards: Result<Vec<_>, Problem> = rows.into_iter().map(Row::reward).collect();
    Ok(page.answer(&headers, rewards?, |entry| entry.place))
}

impl Row {
    fn reward(self) -> Result<Entry, Problem> {
        let status = match self.status.as_str() {
            "pending" | "review" => RewardStatus::Pending,
            "confirmed" => RewardStatus::Confirmed,
            "paid" => RewardStatus::Paid,
            "rejected" => RewardStatus::Rejected,
            "reversed" => RewardStatus::Reversed,
            other => return Err(Problem::internal(&format!("a claim is {other:?}"))),
        };
        let purchased_at: Timestamp = self.converted_at.into();
        let (amount, eta, message) = match status {
            RewardStatus::Pending => (
                self.user_amount,
                Some(self.payable_at.into()),
                Some(VERIFYING),
            ),
            RewardStatus::Confirmed => (self.posted_user, Some(self.payable_at.into()), None),
            RewardStatus::Paid => (self.posted_user, None, None),
            RewardStatus::Rejected | RewardStatus::Reversed => (Decimal::ZERO, None, None),
        };
        Ok(Entry {
            place: (purchased_at, self.led_id),
            reward: Reward {
                amount,
                currency: self.currency,
                status,
                eta,
                brand: self.brand,
                purchased_at,
                paid_amount: self.paid_amount,
                message,
            },
        })
    }
}

/// A reward with its place in the list.
#[derive(Serialize)]
#[serde(transparent)]
struct Entry {
    #[serde(skip)]
    place: (Timestamp, i64),
    reward: Reward,
}
