//! Messages: due once a card is funded, until they are out.

use schemas::{PayoutId, Timestamp, UserId};
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{BATCH, Store, StoreError, rows};
use crate::{
    payouts::{
        agcod::{Expected, FundedCard},
        lifecycle::RetryPolicy,
        sms::MessageState,
    },
    sealing::{KeyRing, NONCE_BYTES, Sealed, SealingError, Subject},
};

/// How often a shopper without a phone number is looked at again.
const NO_PHONE_DELAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A message to send, and nobody else's to send.
#[derive(Debug)]
pub struct PendingMessage {
    /// The payout.
    pub payout_id: PayoutId,
    /// The shopper; `None` where nobody of that id is known any more.
    pub user_id: Option<UserId>,
    /// The shopper's number as it is now, sealed; `None` where there is none.
    pub phone: Option<Vec<u8>>,
    /// The stored claim code, if it is stored.
    pub sealed: Option<Sealed>,
    /// The frozen request, which fetches the code again.
    pub request: Vec<u8>,
    /// What the card is; `None` where the payout's row can't be read.
    pub expected: Option<Expected>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageResult {
    /// The gateway has it.
    Sent,
    /// There is no number to send it to.
    NoPhone,
    /// To be tried again; why.
    Later(&'static str),
    /// Not to be tried again before an operator has looked; why.
    Failed(&'static str),
}

impl MessageResult {
    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::NoPhone => "no_phone",
            Self::Later(_) => "later",
            Self::Failed(_) => "failed",
        }
    }
}

impl Store {
    /// Hands out up to `messages_max` due messages, for `lease_ms` on the database's clock.
    pub async fn begin_messages(
        &self,
        now: Timestamp,
        messages_max: usize,
        lease_ms: i64,
    ) -> Result<Vec<PendingMessage>, StoreError> {
        let due = sqlx::query(
            "WITH due AS (
                 SELECT d.payout_id FROM payout_dispatch d JOIN payouts p USING (payout_id)
                 WHERE d.channel = $1 AND d.sms_next_attempt_at <= $2 AND p.state = 'funded'
                   AND (d.sms_leased_until IS NULL OR d.sms_leased_until < clock_timestamp())
                   AND NOT EXISTS (SELECT FROM users e
                                   WHERE e.user_id = p.user_id AND e.erased_at IS NOT NULL)
                 ORDER BY d.sms_next_attempt_at
                 LIMIT $3
                 FOR UPDATE OF d SKIP LOCKED)
             UPDATE payout_dispatch d
             SET sms_leased_until = clock_timestamp() + $4 * interval '1 millisecond'
             FROM due, payouts p LEFT JOIN users u USING (user_id)
             WHERE d.payout_id = due.payout_id AND p.payout_id = due.payout_id
             RETURNING d.payout_id, d.claim_code_key_id, d.claim_code_nonce,
                       d.claim_code_ciphertext, u.user_id, u.phone_sealed, p.request, p.amount,
                       p.currency::text AS currency, p.creation_request_id",
        )
        .bind(self.channel)
        .bind(now.to_datetime())
        .bind(i64::try_from(messages_max).unwrap_or(BATCH))
        .bind(lease_ms)
        .fetch_all(&self.pool)
        .await?;
        due.iter().map(pending).collect()
    }

    /// The message of a payout whose card the caller has just funded, and leased by that.
    pub async fn message(&self, payout_id: PayoutId) -> Result<PendingMessage, StoreError> {
        let row = sqlx::query(
            "SELECT d.payout_id, d.claim_code_key_id, d.claim_code_nonce, d.claim_code_ciphertext,
                    u.user_id, u.phone_sealed, p.request, p.amount, p.currency::text AS currency,
                    p.creation_request_id
             FROM payout_dispatch d
             JOIN payouts p USING (payout_id) LEFT JOIN users u USING (user_id)
             WHERE d.payout_id = $1",
        )
        .bind(payout_id.uuid())
        .fetch_one(&self.pool)
        .await?;
        pending(&row)
    }

    /// Records what became of a message. Once it is out, the claim code is shredded.
    pub async fn settle_message(
        &self,
        payout_id: PayoutId,
        result: MessageResult,
        now: Timestamp,
        policy: &RetryPolicy,
    ) -> Result<(), StoreError> {
        let (state, next_attempt_at, error) = match result {
            MessageResult::Sent => (MessageState::Sent, None, None),
            MessageResult::NoPhone => (
                MessageState::NoPhone,
                Some(now.plus_millis(NO_PHONE_DELAY_MS)),
                None,
            ),
            MessageResult::Later(error) => {
                let next_attempt_at = now.plus_millis(policy.first_delay_ms);
                (MessageState::Due, Some(next_attempt_at), Some(error))
            }
            MessageResult::Failed(error) => (MessageState::Failed, None, Some(error)),
        };
        let sent = state == MessageState::Sent;
        sqlx::query(
            "UPDATE payout_dispatch
             SET sms_state = $2, sms_attempts = sms_attempts + 1, sms_next_attempt_at = $3,
                 sms_leased_until = NULL, sms_error = $4,
                 sms_sent_at = CASE WHEN $5 THEN $6 ELSE sms_sent_at END,
                 claim_code_key_id = CASE WHEN $5 THEN NULL ELSE claim_code_key_id END,
                 claim_code_nonce = CASE WHEN $5 THEN NULL ELSE claim_code_nonce END,
                 claim_code_ciphertext = CASE WHEN $5 THEN NULL ELSE claim_code_ciphertext END
             WHERE payout_id = $1",
        )
        .bind(payout_id.uuid())
        .bind(state.name())
        .bind(next_attempt_at.map(Timestamp::to_datetime))
        .bind(error)
        .bind(sent)
        .bind(now.to_datetime())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Makes the message of a funded payout due once more, with the same code. Returns whether
    /// there was one that wasn't due anyway.
    pub async fn resend_message(
        &self,
        payout_id: PayoutId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let due = sqlx::query(
            "UPDATE payout_dispatch SET sms_state = 'due', sms_next_attempt_at = $2
             WHERE payout_id = $1 AND sms_state IN ('sent', 'no_phone', 'failed')",
        )
        .bind(payout_id.uuid())
        .bind(now.to_datetime())
        .execute(&self.pool)
        .await?;
        Ok(due.rows_affected() > 0)
    }

    /// Puts stored claim codes under the ring's current key, up to a batch. Returns how many; at
    /// zero the older keys may be retired.
    pub async fn rewrap_claim_codes(&self, ring: &KeyRing) -> Result<usize, RewrapError> {
        let mut transaction = self.pool.begin().await.map_err(StoreError::from)?;
        let old = sqlx::query(
            "SELECT payout_id, claim_code_key_id, claim_code_nonce, claim_code_ciphertext
             FROM payout_dispatch WHERE claim_code_key_id <> $1 LIMIT $2
             FOR UPDATE SKIP LOCKED",
        )
        .bind(ring.current())
        .bind(BATCH)
        .fetch_all(&mut *transaction)
        .await
        .map_err(StoreError::from)?;
        let mut rewrapped = 0;
        for row in &old {
            let payout_id = rows::payout_id(row)?;
            let Some(sealed) = sealed(row, payout_id)? else {
                continue;
            };
            if let Some(fresh) = ring.rewrap(Subject::ClaimCode(payout_id), &sealed)? {
                store_claim_code(&mut transaction, payout_id, &fresh).await?;
                rewrapped += 1;
            }
        }
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(rewrapped)
    }
}

/// Why claim codes could not be put under another key.
#[derive(Debug, thiserror::Error)]
pub enum RewrapError {
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A code doesn't open.
    #[error(transparent)]
    ClaimCode(#[from] SealingError),
}

/// A card has come: its message is due, in the hands of whoever funded it.
pub(super) async fn make_due(
    connection: &mut PgConnection,
    payout_id: PayoutId,
    card: &FundedCard,
    sealed: Option<&Sealed>,
    now: Timestamp,
    lease_ms: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE payout_dispatch
         SET card_expires_at = $2, sms_state = 'due', sms_next_attempt_at = $3,
             sms_leased_until = clock_timestamp() + $4 * interval '1 millisecond'
         WHERE payout_id = $1",
    )
    .bind(payout_id.uuid())
    .bind(card.expires_at.map(Timestamp::to_datetime))
    .bind(now.to_datetime())
    .bind(lease_ms)
    .execute(&mut *connection)
    .await?;
    match sealed {
        Some(sealed) => store_claim_code(connection, payout_id, sealed).await,
        None => Ok(()),
    }
}

async fn store_claim_code(
    connection: &mut PgConnection,
    payout_id: PayoutId,
    sealed: &Sealed,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE payout_dispatch
         SET claim_code_key_id = $2, claim_code_nonce = $3, claim_code_ciphertext = $4
         WHERE payout_id = $1",
    )
    .bind(payout_id.uuid())
    .bind(sealed.key_id)
    .bind(sealed.nonce.as_slice())
    .bind(sealed.ciphertext.as_slice())
    .execute(connection)
    .await?;
    Ok(())
}

fn pending(row: &PgRow) -> Result<PendingMessage, StoreError> {
    let payout_id = rows::payout_id(row)?;
    let user_id: Option<uuid::Uuid> = row.try_get("user_id")?;
    Ok(PendingMessage {
        payout_id,
        user_id: user_id.map(UserId::new),
        phone: row.try_get("phone_sealed")?,
        sealed: sealed(row, payout_id)?,
        request: row.try_get("request")?,
        expected: rows::expected(row)?,
    })
}

fn sealed(row: &PgRow, payout_id: PayoutId) -> Result<Option<Sealed>, StoreError> {
    let key_id: Option<i32> = row.try_get("claim_code_key_id")?;
    let nonce: Option<Vec<u8>> = row.try_get("claim_code_nonce")?;
    let ciphertext: Option<Vec<u8>> = row.try_get("claim_code_ciphertext")?;
    let (Some(key_id), Some(nonce), Some(ciphertext)) = (key_id, nonce, ciphertext) else {
        return Ok(None);
    };
    let nonce = <[u8; NONCE_BYTES]>::try_from(nonce).map_err(|_| StoreError::Unreadable {
        payout_id,
        column: "claim_code_nonce",
    })?;
    Ok(Some(Sealed {
        key_id,
        nonce,
        ciphertext,
    }))
}
