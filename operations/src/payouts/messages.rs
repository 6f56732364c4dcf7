//! Messages as operators see them: whom they are for and what they wait for, never a number or a
//! text.

use chrono::{DateTime, Utc};
use schemas::{Timestamp, UserId};
use serde::Serialize;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

pub use sinks::payouts::sms::MessageState;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedMessage {
    /// Its id; a gift card's is its payout's.
    pub message_id: Uuid,
    /// `gift_card` or `confirmation`.
    pub kind: String,
    /// The shopper.
    pub user_id: UserId,
    /// Where it stands.
    pub state: String,
    /// Since when there is something to tell.
    pub created_at: Timestamp,
    /// How often it was tried.
    pub attempts: i32,
    /// When something is next to be done.
    pub next_attempt_at: Option<Timestamp>,
    /// Why it isn't out.
    pub error: Option<String>,
    /// The way on, for the operator.
    pub way_on: &'static str,
}

#[derive(FromRow)]
struct Row {
    message_id: Uuid,
    kind: String,
    user_id: Uuid,
    state: String,
    created_at: DateTime<Utc>,
    attempts: i32,
    next_attempt_at: Option<DateTime<Utc>>,
    error: Option<String>,
}

/// Messages in one state, or all that aren't out; the oldest first.
///
/// # Errors
/// When the database fails.
pub async fn list(
    pool: &PgPool,
    state: Option<MessageState>,
    count_max: i64,
) -> sqlx::Result<Vec<ListedMessage>> {
    let states: Vec<&str> = match state {
        Some(state) => vec![state.name()],
        None => MessageState::ALL
            .into_iter()
            .filter(|state| state.open())
            .map(MessageState::name)
            .collect(),
    };
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT message_id, kind, user_id, state, created_at, attempts, next_attempt_at, error
         FROM messages WHERE state = ANY ($1) ORDER BY created_at, message_id LIMIT $2",
    )
    .bind(states)
    .bind(count_max)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(listed).collect())
}

fn listed(row: Row) -> ListedMessage {
    let state = MessageState::ALL
        .into_iter()
        .find(|state| state.name() == row.state);
    ListedMessage {
        message_id: row.message_id,
        way_on: state.map_or("unknown to this version", way_on),
        kind: row.kind,
        user_id: UserId::new(row.user_id),
        state: row.state,
        created_at: row.created_at.into(),
        attempts: row.attempts,
        next_attempt_at: row.next_attempt_at.map(Timestamp::from),
        error: row.error,
    }
}

const fn way_on(state: MessageState) -> &'static str {
    match state {
        MessageState::Due => "none needed: it is tried again by itself",
        MessageState::NoPhone => "add the shopper's number by an import: it is sent then",
        MessageState::Sent => "none needed: the gateway has it",
        MessageState::Delivered | MessageState::Dropped => "none needed",
        MessageState::Failed => "remove the cause, then `hissaback payout resend`",
        MessageState::CardGone => {
            "look at the card in the gift-card account; what is owed is settled by hand"
        }
    }
}
