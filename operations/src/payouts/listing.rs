//! Payouts, and of each a sentence: what it waits for, and what a person can do.

use processors::rules::payouts::PayoutState;
use rust_decimal::Decimal;
use schemas::{PayoutId, TenantId, Timestamp, UserId};
use serde::Serialize;
use sqlx::{PgPool, Row, postgres::PgRow};

/// A payout in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The payout.
    pub payout_id: PayoutId,
    /// Whose balance it pays.
    pub tenant_id: TenantId,
    /// The payee.
    pub user_id: UserId,
    /// The rail.
    pub method: String,
    /// Its state.
    pub state: String,
    /// In units of the currency.
    pub amount: Decimal,
    /// Of the amount.
    pub currency: String,
    /// Of the run that made it.
    pub as_of: Timestamp,
    /// Attempts ever begun.
    pub attempts: i32,
    /// When it is tried next by itself.
    pub next_attempt_at: Option<Timestamp>,
    /// Whether a card may exist that isn't counted.
    pub doubtful: bool,
    /// What the last attempt came to.
    pub last_error: Option<String>,
    /// The card's id.
    pub card_id: Option<String>,
    /// Where the message with the code stands.
    pub message: Option<String>,
    /// Why it could not be given up, where an operator asked for that.
    pub recall_error: Option<String>,
    /// Why the channel stands still, where it does.
    pub channel_paused: Option<String>,
    /// What it waits for, and what can be done.
    pub way_on: String,
}

/// A payout with all that happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// As it is listed.
    #[serde(flatten)]
    pub payout: Listed,
    /// The request id that the gift-card service knows it by.
    pub creation_request_id: String,
    /// Its steps, as the log has them.
    pub steps: Vec<Step>,
    /// The claims that it pays.
    pub items: Vec<Item>,
}

/// A step of a payout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What became of it.
    pub step: String,
    /// When.
    pub at: Timestamp,
    /// Which attempt; 0 where none was made.
    pub attempt: i32,
    /// For the operator.
    pub detail: Option<String>,
}

/// A part of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The claim's name when the payout was made.
    pub claim: String,
    /// How much of it.
    pub amount: Decimal,
}

/// Which payouts are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this state only.
    pub state: Option<PayoutState>,
    /// Of this tenant only.
    pub tenant_id: Option<TenantId>,
    /// One payout.
    pub payout_id: Option<PayoutId>,
    /// At most so many, the oldest first.
    pub count_max: i64,
}

/// Payouts, the oldest first. Over connections of an operator.
///
/// # Errors
/// When the database can't be read.
pub async fn list(pool: &PgPool, filter: &Filter) -> sqlx::Result<Vec<Listed>> {
    let rows = sqlx::query(
        "SELECT p.payout_id, p.tenant_id, p.user_id, p.method, p.state, p.amount,
                p.currency::text AS currency, p.as_of, p.card_id, d.attempts, d.next_attempt_at,
                d.ambiguous, d.last_error, d.recall_error, d.recall_next_attempt_at,
                d.leased_until, m.state AS message, m.error AS message_error,
                CASE WHEN c.paused THEN coalesce(c.reason, 'no reason') END AS channel_paused
         FROM payouts p
         LEFT JOIN payout_dispatch d USING (payout_id)
         LEFT JOIN messages m ON m.message_id = p.payout_id
         LEFT JOIN payout_channels c ON c.channel = p.method
         WHERE ($1::text IS NULL OR p.state = $1) AND ($2::uuid IS NULL OR p.tenant_id = $2)
           AND ($3::uuid IS NULL OR p.payout_id = $3)
         ORDER BY p.as_of, p.payout_id LIMIT $4",
    )
    .bind(filter.state.map(PayoutState::name))
    .bind(filter.tenant_id.map(TenantId::uuid))
    .bind(filter.payout_id.map(PayoutId::uuid))
    .bind(filter.count_max)
    .fetch_all(pool)
    .await?;
    rows.iter().map(listed).collect()
}

/// One payout with all that happened to it; `None` where there is none.
///
/// # Errors
/// When the database can't be read.
pub async fn show(pool: &PgPool, payout_id: PayoutId) -> sqlx::Result<Option<Shown>> {
    let filter = Filter {
        payout_id: Some(payout_id),
        count_max: 1,
        ..Filter::default()
    };
    let Some(payout) = list(pool, &filter).await?.pop() else {
        return Ok(None);
    };
    let creation_request_id =
        sqlx::query_scalar("SELECT creation_request_id FROM payouts WHERE payout_id = $1")
            .bind(payout_id.uuid())
            .fetch_one(pool)
            .await?;
    let steps = sqlx::query(
        "SELECT step, at, attempt, detail FROM payout_steps WHERE payout_id = $1
         ORDER BY source_partition, source_offset",
    )
    .bind(payout_id.uuid())
    .fetch_all(pool)
    .await?;
    let items =
        sqlx::query("SELECT led_id, amount FROM payout_items WHERE payout_id = $1 ORDER BY led_id")
            .bind(payout_id.uuid())
            .fetch_all(pool)
            .await?;
    Ok(Some(Shown {
        payout,
        creation_request_id,
        steps: steps.iter().map(step).collect::<sqlx::Result<_>>()?,
        items: items.iter().map(item).collect::<sqlx::Result<_>>()?,
    }))
}

/// Payouts that wait for somebody to release them: in an error state, and not tried by themselves.
///
/// # Errors
/// When the database can't be read.
pub async fn waiting_for_release(pool: &PgPool) -> sqlx::Result<Vec<PayoutId>> {
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar(
        "SELECT p.payout_id FROM payouts p JOIN payout_dispatch d USING (payout_id)
         WHERE p.state IN ('error_soft', 'error_hard') AND d.next_attempt_at IS NULL
           AND d.leased_until IS NULL AND d.recalled_at IS NULL
         ORDER BY p.as_of, p.payout_id",
    )
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(PayoutId::new).collect())
}

fn listed(row: &PgRow) -> sqlx::Result<Listed> {
    let mut listed = Listed {
        payout_id: PayoutId::new(row.try_get("payout_id")?),
        tenant_id: TenantId::new(row.try_get("tenant_id")?),
        user_id: UserId::new(row.try_get("user_id")?),
        method: row.try_get("method")?,
        state: row.try_get("state")?,
        amount: row.try_get("amount")?,
        currency: row.try_get("currency")?,
        as_of: instant(row, "as_of")?.unwrap_or(Timestamp::MAX),
        attempts: row.try_get::<Option<i32>, _>("attempts")?.unwrap_or(0),
        next_attempt_at: instant(row, "next_attempt_at")?,
        doubtful: row
            .try_get::<Option<bool>, _>("ambiguous")?
            .unwrap_or(false),
        last_error: row.try_get("last_error")?,
        card_id: row.try_get("card_id")?,
        message: row.try_get("message")?,
        recall_error: row.try_get("recall_error")?,
        channel_paused: row.try_get("channel_paused")?,
        way_on: String::new(),
    };
    let message_error: Option<String> = row.try_get("message_error")?;
    listed.way_on = way_on(&listed, message_error.as_deref());
    Ok(listed)
}

/// What a payout waits for, and what a person can do: docs/operations.md has the same, by case.
fn way_on(payout: &Listed, message_error: Option<&str>) -> String {
    let error = payout.last_error.as_deref().unwrap_or("no attempt yet");
    let state = PayoutState::ALL
        .into_iter()
        .find(|state| state.name() == payout.state);
    let paused = payout.channel_paused.as_deref();
    match (state, paused) {
        (Some(PayoutState::Queued | PayoutState::Sending), Some(reason)) => {
            format!("the channel is paused ({reason}); see to that, then `hissaback payout resume`")
        }
        (Some(PayoutState::Queued), None) => "waits for its turn".to_owned(),
        (Some(PayoutState::Sending), None) => match payout.next_attempt_at {
            Some(at) => format!("the identical request goes out at {at}; so far: {error}"),
            None => "an attempt is on its way".to_owned(),
        },
        (Some(PayoutState::ErrorSoft), _) => format!(
            "ten attempts or six hours without an answer ({error}): the nightly run tries again, \
             or `hissaback payout release` does at once"
        ),
        (Some(PayoutState::ErrorHard), _) => refused(payout, error),
        (Some(PayoutState::Funded), _) => match payout.message.as_deref() {
            Some("no_phone") => "the shopper has no phone number: once one is saved the code is \
                                 sent by itself"
                .to_owned(),
            Some(state @ ("failed" | "card_gone")) => {
                let why = message_error.unwrap_or(state);
                format!("the code isn't out ({why}): `hissaback payout resend` tries again")
            }
            Some("sent" | "delivered") => "done".to_owned(),
            Some(_) | None => "the code is on its way to the shopper".to_owned(),
        },
        (Some(PayoutState::Cancelled), _) => "done: its money is the shopper's again".to_owned(),
        (None, _) => "written by another version of the product".to_owned(),
    }
}

fn refused(payout: &Listed, error: &str) -> String {
    if let Some(why) = &payout.recall_error {
        return format!("refused ({error}), and it can't be given up: {why}");
    }
    if error == "RefundedToPurchaser" {
        return "the card was refunded to the platform: `hissaback payout cancel` gives its money \
                back to the shopper"
            .to_owned();
    }
    if payout.doubtful {
        return format!(
            "refused ({error}) after an attempt without a known outcome, so a card may exist: \
             `hissaback payout release` sends the identical request, `hissaback payout reconcile` \
             looks for the card"
        );
    }
    format!(
        "refused ({error}), and no card exists: see to the cause and `hissaback payout release` \
         it, or `hissaback payout cancel` it, which gives the money back to the shopper"
    )
}

fn step(row: &PgRow) -> sqlx::Result<Step> {
    Ok(Step {
        step: row.try_get("step")?,
        at: instant(row, "at")?.unwrap_or(Timestamp::MAX),
        attempt: row.try_get("attempt")?,
        detail: row.try_get("detail")?,
    })
}

fn item(row: &PgRow) -> sqlx::Result<Item> {
    Ok(Item {
        claim: row.try_get::<i64, _>("led_id")?.to_string(),
        amount: row.try_get("amount")?,
    })
}

fn instant(row: &PgRow, column: &str) -> sqlx::Result<Option<Timestamp>> {
    let instant: Option<chrono::DateTime<chrono::Utc>> = row.try_get(column)?;
    Ok(instant.map(Timestamp::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payout(state: PayoutState) -> Listed {
        Listed {
            payout_id: PayoutId::new(uuid::Uuid::nil()),
            tenant_id: TenantId::new(uuid::Uuid::nil()),
            user_id: UserId::new(uuid::Uuid::nil()),
            method: "agcod".to_owned(),
            state: state.name().to_owned(),
            amount: Decimal::ONE,
            currency: "INR".to_owned(),
            as_of: Timestamp::from_millis(0),
            attempts: 1,
            next_attempt_at: None,
            doubtful: false,
            last_error: Some("F200 InvalidAmountInput".to_owned()),
            card_id: None,
            message: None,
            recall_error: None,
            channel_paused: None,
            way_on: String::new(),
        }
    }

    /// Each state, and each reason within it, has a sentence of its own that names the way on.
    #[test]
    fn every_state_has_a_way_on() {
        let hard = payout(PayoutState::ErrorHard);
        let funded = |message: &str| Listed {
            message: Some(message.to_owned()),
            ..payout(PayoutState::Funded)
        };
        let cases = [
            (payout(PayoutState::Queued), "waits for its turn"),
            (
                Listed {
                    channel_paused: Some("F300 InsufficientFunds".to_owned()),
                    ..payout(PayoutState::Queued)
                },
                "payout resume",
            ),
            (
                Listed {
                    next_attempt_at: Some(Timestamp::from_millis(0)),
                    ..payout(PayoutState::Sending)
                },
                "identical request goes out at",
            ),
            (payout(PayoutState::Sending), "on its way"),
            (payout(PayoutState::ErrorSoft), "nightly run"),
            (
                hard.clone(),
                "payout cancel` it, which gives the money back",
            ),
            (
                Listed {
                    doubtful: true,
                    ..hard.clone()
                },
                "payout reconcile",
            ),
            (
                Listed {
                    doubtful: true,
                    last_error: Some("RefundedToPurchaser".to_owned()),
                    ..hard.clone()
                },
                "refunded to the platform",
            ),
            (
                Listed {
                    recall_error: Some("a card may exist".to_owned()),
                    ..hard
                },
                "can't be given up: a card may exist",
            ),
            (funded("no_phone"), "no phone number"),
            (funded("failed"), "payout resend"),
            (funded("card_gone"), "payout resend"),
            (funded("due"), "on its way to the shopper"),
            (funded("delivered"), "done"),
            (payout(PayoutState::Cancelled), "the shopper's again"),
        ];
        for (payout, named) in cases {
            let sentence = way_on(&payout, None);
            assert!(sentence.contains(named), "{}: {sentence}", payout.state);
        }
    }
}
