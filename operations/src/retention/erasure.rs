//! A person who asks to be forgotten.
//!
//! What is known of them goes: phone, e-mail, their hashes, the identity check's, sealed claim
//! codes, and the addresses of their clicks. What they bought and were paid stays, under an id that
//! leads to nobody: postings never change. From then on they are neither paid nor written to.

use clickhouse::Client;
use schemas::UserId;
use serde::Serialize;
use sqlx::PgPool;

use super::analytics;
use crate::commands::{TEXT_BYTES_MAX, checked};

/// What the database's functions raise.
const NO_DATA_FOUND: &str = "P0002";
const OBJECT_IN_USE: &str = "55006";

/// Who asks for it, and why.
#[derive(Debug, Clone)]
pub struct Order {
    /// Whom to erase.
    pub user_id: UserId,
    /// Who decided it.
    pub author: String,
    /// Why, without personal data: it stays in the audit log for ever.
    pub reason: String,
    /// Even while a payout is open. One that wasn't sent never will be; one that was may have made
    /// a card whose code reaches nobody.
    pub despite_open_payouts: bool,
}

/// Why nobody was erased, or not wholly: repeating it does what is left.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// An author or reason that says nothing, or too much.
    #[error("`{0}` must be a text of 1 to {TEXT_BYTES_MAX} bytes without NULs")]
    Text(&'static str),
    /// There is no such person.
    #[error("there is no user {0}")]
    Unknown(UserId),
    /// Money is on its way to them.
    #[error(
        "a payout to user {0} is open, or its message isn't out: wait, cancel it, or force the \
         erasure, after which it reaches nobody"
    )]
    OpenPayout(UserId),
    /// The database fails.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// ClickHouse fails: the addresses of the person's clicks are still there.
    #[error("ClickHouse: {0}")]
    Analytics(#[from] clickhouse::error::Error),
}

/// What changed; nothing, where the person was erased before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// 1 where the person had not been erased yet.
    pub users: i64,
    /// Payouts whose message or claim code went.
    pub messages: i64,
    /// Clicks whose address went.
    pub clicks: i64,
}

/// Erases a person; `clickhouse` unless analytics are off. `pool` is the operator's.
///
/// # Errors
/// See [`ErasureError`].
pub async fn erase(
    pool: &PgPool,
    clickhouse: Option<&Client>,
    order: &Order,
) -> Result<Erased, ErasureError> {
    let author = checked(&order.author).ok_or(ErasureError::Text("author"))?;
    let reason = checked(&order.reason).ok_or(ErasureError::Text("reason"))?;
    let (users, messages) = contacts(pool, order, author, reason).await?;
    let clicks = addresses(pool, order.user_id, author).await?;
    if let Some(client) = clickhouse {
        analytics::erase_addresses(client, order.user_id).await?;
    }
    tracing::info!(user_id = %order.user_id, author, "a person was erased");
    Ok(Erased {
        users,
        messages,
        clicks,
    })
}

async fn contacts(
    pool: &PgPool,
    order: &Order,
    author: &str,
    reason: &str,
) -> Result<(i64, i64), ErasureError> {
    let mut transaction = pool.begin().await?;
    let (users, messages): (i64, i64) = sqlx::query_as("SELECT * FROM erase_user($1, $2)")
        .bind(order.user_id.uuid())
        .bind(order.despite_open_payouts)
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| refused(error, order.user_id))?;
    sqlx::query(
        "INSERT INTO audit_log (author, action, subject, detail)
         VALUES ($1, 'erase_user', $2, jsonb_build_object(
             'reason', $3::text, 'despite_open_payouts', $4::bool, 'users', $5::bigint,
             'messages', $6::bigint))",
    )
    .bind(author)
    .bind(order.user_id.to_string())
    .bind(reason)
    .bind(order.despite_open_payouts)
    .bind(users)
    .bind(messages)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok((users, messages))
}

/// Apart, since it reads every click, and nobody has to wait for that.
async fn addresses(pool: &PgPool, user_id: UserId, author: &str) -> Result<i64, ErasureError> {
    let mut transaction = pool.begin().await?;
    let clicks: i64 = sqlx::query_scalar("SELECT erase_addresses($1)")
        .bind(user_id.uuid())
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| refused(error, user_id))?;
    sqlx::query(
        "INSERT INTO audit_log (author, action, subject, detail)
         VALUES ($1, 'erase_addresses', $2, jsonb_build_object('clicks', $3::bigint))",
    )
    .bind(author)
    .bind(user_id.to_string())
    .bind(clicks)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(clicks)
}

fn refused(error: sqlx::Error, user_id: UserId) -> ErasureError {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    match code.as_deref() {
        Some(NO_DATA_FOUND) => ErasureError::Unknown(user_id),
        Some(OBJECT_IN_USE) => ErasureError::OpenPayout(user_id),
        Some(_) | None => ErasureError::Database(error),
    }
}
