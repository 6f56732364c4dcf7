//! Messages: due once there is something to tell, until they are there.

use schemas::{Amount, Currency, PayoutId, TenantId, Timestamp, UserId};
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use super::{BATCH, CommandOrder, Store, StoreError, claim_codes, rows};
use crate::{
    payouts::{
        agcod::Expected,
        sms::{MessageState, Reference},
    },
    sealing::Sealed,
};

const MILLIS_PER_MINUTE: i64 = 60_000;
const MILLIS_PER_DAY: i64 = 24 * 60 * MILLIS_PER_MINUTE;
/// How often a shopper without a phone number is looked at again; a number that is added makes
/// their messages due at once.
const NO_PHONE_DELAY_MS: i64 = MILLIS_PER_DAY;

/// A message to send, and nobody else's to send.
#[derive(Debug)]
pub struct PendingMessage {
    /// What the gateway knows it by.
    pub reference: Reference,
    /// How often it was tried since it was last due anew.
    pub attempts: i32,
    /// Whose words it has.
    pub tenant_id: TenantId,
    /// The shopper.
    pub user_id: UserId,
    /// Whether they were erased: nobody writes to them any more.
    pub erased: bool,
    /// Where it goes; `None` where the shopper has no number.
    pub recipient: Option<Recipient>,
    /// What it tells; `None` where there is nothing left to tell.
    pub content: Option<Content>,
}

/// The shopper's number as it is now.
#[derive(Debug)]
pub struct Recipient {
    /// Sealed.
    pub phone: Vec<u8>,
    /// What its limit is counted by: its keyed hash.
    pub key: String,
}

/// What a message tells.
#[derive(Debug)]
pub enum Content {
    /// The code of a payout's card.
    GiftCard(Box<CardContent>),
    /// Rewards that were confirmed.
    Confirmation {
        /// Their sum, as the ledger has it now.
        amount: Amount,
        /// Its currency.
        currency: Currency,
    },
}

/// A card whose code is to be told.
#[derive(Debug)]
pub struct CardContent {
    /// The payout.
    pub payout_id: PayoutId,
    /// The stored claim code, if it is stored.
    pub sealed: Option<Sealed>,
    /// The frozen request, which fetches the code again.
    pub request: Vec<u8>,
    /// What the card is; `None` where the payout's row can't be read.
    pub expected: Option<Expected>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageResult {
    /// The gateway has it, and knows it by an id where it gives one.
    Sent {
        /// The gateway's own id.
        gateway_id: Option<String>,
        /// How long to wait for the gateway's word that it is there; `None` where it gives none.
        report_wait_ms: Option<i64>,
    },
    /// There is no number to send it to.
    NoPhone,
    /// To be tried again; why.
    Later(&'static str),
    /// The number has had enough messages until then.
    HeldUntil(Timestamp),
    /// Not to be tried again before an operator has looked; why.
    Failed(&'static str),
    /// Its card is void; why.
    CardGone(&'static str),
    /// Not to be sent; why.
    Dropped(&'static str),
}

impl MessageResult {
    /// Its name in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "sent",
            Self::NoPhone => "no_phone",
            Self::Later(_) => "later",
            Self::HeldUntil(_) => "held",
            Self::Failed(_) => "failed",
            Self::CardGone(_) => "card_gone",
            Self::Dropped(_) => "dropped",
        }
    }

    /// Every name.
    pub const NAMES: [&'static str; 7] = [
        "sent",
        "no_phone",
        "later",
        "held",
        "failed",
        "card_gone",
        "dropped",
    ];

    /// The state that it leaves a message in.
    pub const fn state(&self) -> MessageState {
        match self {
            Self::Sent { .. } => MessageState::Sent,
            Self::NoPhone => MessageState::NoPhone,
            Self::Later(_) | Self::HeldUntil(_) => MessageState::Due,
            Self::Failed(_) => MessageState::Failed,
            Self::CardGone(_) => MessageState::CardGone,
            Self::Dropped(_) => MessageState::Dropped,
        }
    }

    /// When something is next to be done, after `attempts` tries.
    fn next_attempt_at(&self, now: Timestamp, attempts: i32) -> Option<Timestamp> {
        match self {
            Self::Sent { report_wait_ms, .. } => report_wait_ms.map(|wait| now.plus_millis(wait)),
            Self::NoPhone => Some(now.plus_millis(NO_PHONE_DELAY_MS)),
            Self::Later(_) => Some(now.plus_millis(delay_ms(attempts))),
            Self::HeldUntil(until) => Some(*until),
            Self::Failed(_) | Self::CardGone(_) | Self::Dropped(_) => None,
        }
    }

    const fn error(&self) -> Option<&'static str> {
        match self {
            Self::Sent { .. } | Self::NoPhone => None,
            Self::HeldUntil(_) => Some("the number has had its messages of the day"),
            Self::Later(why) | Self::Failed(why) | Self::CardGone(why) | Self::Dropped(why) => {
                Some(why)
            }
        }
    }

    /// Whether a stored code has no more use.
    const fn shreds(&self) -> bool {
        match self {
            Self::Sent { report_wait_ms, .. } => report_wait_ms.is_none(),
            Self::CardGone(_) | Self::Dropped(_) => true,
            Self::NoPhone | Self::Later(_) | Self::HeldUntil(_) | Self::Failed(_) => false,
        }
    }
}

/// After 3, 5, then every 15 minutes; from the tenth try on every hour, for as long as it takes:
/// what a shopper is owed to be told doesn't lapse.
const fn delay_ms(attempts: i32) -> i64 {
    let minutes = match attempts {
        ..=1 => 3,
        2 => 5,
        3..10 => 15,
        _ => 60,
    };
    minutes * MILLIS_PER_MINUTE
}

impl Store {
    /// Hands out up to `messages_max` due messages, for `lease_ms` on the database's clock. Each
    /// rail's dispatcher tells its own cards' codes; confirmations are anybody's.
    pub async fn begin_messages(
        &self,
        now: Timestamp,
        messages_max: usize,
        lease_ms: i64,
    ) -> Result<Vec<PendingMessage>, StoreError> {
        let due: Vec<Uuid> = sqlx::query_scalar(
            "WITH due AS (
                 SELECT m.message_id FROM messages m
                 WHERE m.next_attempt_at <= $2 AND m.state IN ('due', 'no_phone')
                   AND (m.leased_until IS NULL OR m.leased_until < clock_timestamp())
                   AND CASE m.kind
                       WHEN 'gift_card' THEN EXISTS (
                           SELECT FROM payouts p WHERE p.payout_id = m.message_id
                              AND p.method = $1 AND p.state = 'funded')
                       -- A ledger that is being rebuilt doesn't know yet what is confirmed.
                       ELSE NOT EXISTS (SELECT FROM ledger_epoch e WHERE e.rebuilding) END
                 ORDER BY m.next_attempt_at
                 LIMIT $3
                 FOR UPDATE OF m SKIP LOCKED)
             UPDATE messages m
             SET leased_until = clock_timestamp() + $4 * interval '1 millisecond', closed = true
             FROM due WHERE m.message_id = due.message_id
             RETURNING m.message_id",
        )
        .bind(self.channel)
        .bind(now.to_datetime())
        .bind(i64::try_from(messages_max).unwrap_or(BATCH))
        .bind(lease_ms)
        .fetch_all(&self.pool)
        .await?;
        if due.is_empty() {
            return Ok(Vec::new());
        }
        self.load(&due).await
    }

    /// The message of a payout whose card the caller has just funded, and leased by that; `None`
    /// where it isn't to be sent any more.
    pub async fn message(&self, payout_id: PayoutId) -> Result<Option<PendingMessage>, StoreError> {
        let mut loaded = self.load(&[payout_id.uuid()]).await?;
        Ok(loaded.pop())
    }

    async fn load(&self, message_ids: &[Uuid]) -> Result<Vec<PendingMessage>, StoreError> {
        let rows = sqlx::query(
            "SELECT m.message_id AS payout_id, m.kind, m.tenant_id, m.user_id, m.resends, m.attempts,
                    m.currency::text AS currency, u.phone_sealed,
                    coalesce(u.phone_hash, m.user_id::text) AS recipient_key,
                    u.erased_at IS NOT NULL AS erased, d.claim_code_key_id, d.claim_code_nonce,
                    d.claim_code_ciphertext, p.request, p.amount, p.creation_request_id,
                    confirmed.amount AS confirmed_amount
             FROM messages m
             LEFT JOIN users u USING (user_id)
             LEFT JOIN payouts p ON p.payout_id = m.message_id
             LEFT JOIN payout_dispatch d ON d.payout_id = m.message_id
             LEFT JOIN LATERAL (
                 SELECT sum(l.posted_user) AS amount
                 FROM claim_notices n
                 JOIN reports r ON r.conv_id = n.led_id
                 JOIN ledger l ON l.led_id = r.led_id AND l.clicked_at = r.clicked_at
                      AND l.tenant_id = r.tenant_id
                 WHERE m.kind = 'confirmation' AND n.message_id = m.message_id
                   AND l.user_id = m.user_id AND l.currency = m.currency
                   AND l.status IN ('confirmed', 'paid')
             ) confirmed ON true
             WHERE m.message_id = ANY ($1) AND m.state IN ('due', 'no_phone')",
        )
        .bind(message_ids)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(pending).collect()
    }

    /// Counts one more message to a number: `None`, and it may go; or from when on it may. Within
    /// a day from the first of them there are `daily_max` at most, over all instances.
    pub async fn admit(
        &self,
        recipient: &Recipient,
        now: Timestamp,
        daily_max: u32,
    ) -> Result<Option<Timestamp>, StoreError> {
        let day_ago = now.plus_millis(-MILLIS_PER_DAY);
        let counted = sqlx::query(
            "INSERT INTO message_sends AS s (recipient, counted_since, sends) VALUES ($1, $2, 1)
             ON CONFLICT (recipient) DO UPDATE
             SET sends = CASE WHEN s.counted_since <= $3 THEN 1 ELSE s.sends + 1 END,
                 counted_since = CASE WHEN s.counted_since <= $3 THEN $2 ELSE s.counted_since END
             WHERE s.counted_since <= $3 OR s.sends < $4",
        )
        .bind(&recipient.key)
        .bind(now.to_datetime())
        .bind(day_ago.to_datetime())
        .bind(i64::from(daily_max))
        .execute(&self.pool)
        .await?;
        if counted.rows_affected() > 0 {
            return Ok(None);
        }
        let row = sqlx::query("SELECT counted_since FROM message_sends WHERE recipient = $1")
            .bind(&recipient.key)
            .fetch_optional(&self.pool)
            .await?;
        let since = row.map(|row| rows::instant(&row, "counted_since"));
        let since = since.transpose()?.flatten().unwrap_or(day_ago);
        Ok(Some(since.plus_millis(MILLIS_PER_DAY)))
    }

    /// Records what became of a message. What the gateway said of it meanwhile stands; so does a
    /// command to send it anew.
    pub async fn settle_message(
        &self,
        (reference, attempts): (Reference, i32),
        result: &MessageResult,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let attempts = attempts.saturating_add(1);
        let next_attempt_at = result.next_attempt_at(now, attempts);
        let (sent, gateway_id) = match result {
            MessageResult::Sent { gateway_id, .. } => (true, gateway_id.as_deref()),
            MessageResult::NoPhone
            | MessageResult::Later(_)
            | MessageResult::HeldUntil(_)
            | MessageResult::Failed(_)
            | MessageResult::CardGone(_)
            | MessageResult::Dropped(_) => (false, None),
        };
        sqlx::query(
            "WITH settled AS (
                 UPDATE messages m
                 SET leased_until = NULL, attempts = $3, state = $4, next_attempt_at = $5,
                     error = $6, gateway_id = CASE WHEN $7 THEN $8 ELSE gateway_id END,
                     sent_at = CASE WHEN $7 THEN $9 ELSE sent_at END,
                     -- While there is no number, further confirmations join it.
                     closed = closed AND ($4 <> 'no_phone' OR kind <> 'confirmation' OR EXISTS (
                         SELECT FROM messages o
                         WHERE o.kind = 'confirmation' AND NOT o.closed
                           AND (o.tenant_id, o.user_id, o.currency)
                             = (m.tenant_id, m.user_id, m.currency)))
                 WHERE message_id = $1 AND resends = $2 AND state IN ('due', 'no_phone')
                 RETURNING message_id)
             UPDATE payout_dispatch d
             SET claim_code_key_id = NULL, claim_code_nonce = NULL, claim_code_ciphertext = NULL
             FROM settled s
             WHERE $10 AND d.payout_id = s.message_id AND d.claim_code_key_id IS NOT NULL",
        )
        .bind(reference.message_id)
        .bind(reference.resends)
        .bind(attempts)
        .bind(result.state().name())
        .bind(next_attempt_at.map(Timestamp::to_datetime))
        .bind(result.error())
        .bind(sent)
        .bind(gateway_id)
        .bind(now.to_datetime())
        .bind(result.shreds())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How many messages there are in each state in which something is still to be done.
    pub async fn open_messages(&self) -> Result<Vec<(MessageState, i64)>, StoreError> {
        let counted = sqlx::query(
            "SELECT state, count(*) AS messages FROM messages
             WHERE state IN ('due', 'no_phone', 'failed', 'card_gone') GROUP BY state",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut counts = Vec::new();
        for state in MessageState::ALL.into_iter().filter(|state| state.open()) {
            let mut count = 0;
            for row in &counted {
                if row.try_get::<&str, _>("state")? == state.name() {
                    count = row.try_get("messages")?;
                }
            }
            counts.push((state, count));
        }
        Ok(counts)
    }

    /// Gives up waiting for delivery reports that are overdue: the gateway has these messages, and
    /// their codes are not kept for its word. Returns how many.
    pub async fn stop_waiting_for_reports(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let waited: Vec<Uuid> = sqlx::query_scalar(
            "UPDATE messages SET next_attempt_at = NULL, error = 'no delivery report came'
             WHERE state = 'sent' AND next_attempt_at <= $1 RETURNING message_id",
        )
        .bind(now.to_datetime())
        .fetch_all(&mut *transaction)
        .await?;
        claim_codes::shred(&mut transaction, &waited).await?;
        transaction.commit().await?;
        Ok(waited.len())
    }

    /// Makes the message of a funded payout due once more, with the same code, on an operator's
    /// command. Returns whether that changed anything: a command that comes again doesn't, nor one
    /// on a message that is due anyway.
    pub async fn resend_message(
        &self,
        payout_id: PayoutId,
        command: CommandOrder,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // A card that was funded elsewhere, before a restore, has no message yet.
        sqlx::query(
            "INSERT INTO messages (message_id, kind, tenant_id, user_id, currency, state, created_at)
             SELECT payout_id, 'gift_card', tenant_id, user_id, currency, 'failed', $3
             FROM payouts WHERE payout_id = $1 AND method = $2 AND state = 'funded'
             ON CONFLICT (message_id) DO NOTHING",
        )
        .bind(payout_id.uuid())
        .bind(self.channel)
        .bind(now.to_datetime())
        .execute(&mut *transaction)
        .await?;
        let newer = sqlx::query(
            "UPDATE messages SET resent_issued_at = $2, resent_command_id = $3
             WHERE message_id = $1 AND kind = 'gift_card' AND (resent_issued_at IS NULL
                OR (resent_issued_at, resent_command_id) < ($2, $3))",
        )
        .bind(payout_id.uuid())
        .bind(command.issued_at.to_datetime())
        .bind(command.command_id.get())
        .execute(&mut *transaction)
        .await?;
        let mut resent = false;
        if newer.rows_affected() > 0 {
            let due = sqlx::query(
                "UPDATE messages
                 SET state = 'due', next_attempt_at = $2, attempts = 0, error = NULL,
                     resends = resends + 1, gateway_id = NULL, leased_until = NULL
                 WHERE message_id = $1
                   AND state IN ('sent', 'delivered', 'no_phone', 'failed', 'card_gone')",
            )
            .bind(payout_id.uuid())
            .bind(now.to_datetime())
            .execute(&mut *transaction)
            .await?;
            resent = due.rows_affected() > 0;
        }
        transaction.commit().await?;
        Ok(resent)
    }
}

fn pending(row: &PgRow) -> Result<PendingMessage, StoreError> {
    // Of a gift card's message, which is named after it.
    let payout_id = rows::payout_id(row)?;
    let phone: Option<Vec<u8>> = row.try_get("phone_sealed")?;
    let key: String = row.try_get("recipient_key")?;
    Ok(PendingMessage {
        reference: Reference {
            message_id: payout_id.uuid(),
            resends: row.try_get("resends")?,
        },
        attempts: row.try_get("attempts")?,
        tenant_id: TenantId::new(row.try_get("tenant_id")?),
        user_id: UserId::new(row.try_get("user_id")?),
        erased: row.try_get("erased")?,
        recipient: phone.map(|phone| Recipient { phone, key }),
        content: content(row, payout_id)?,
    })
}

fn content(row: &PgRow, payout_id: PayoutId) -> Result<Option<Content>, StoreError> {
    let kind: &str = row.try_get("kind")?;
    if kind == "gift_card" {
        let request: Option<Vec<u8>> = row.try_get("request")?;
        let Some(request) = request else {
            return Ok(None);
        };
        return Ok(Some(Content::GiftCard(Box::new(CardContent {
            payout_id,
            sealed: claim_codes::sealed(row, payout_id)?,
            request,
            expected: rows::expected(row)?,
        }))));
    }
    let unreadable = |column| StoreError::Unreadable { payout_id, column };
    let amount: Option<rust_decimal::Decimal> = row.try_get("confirmed_amount")?;
    let Some(amount) = amount.filter(|amount| !amount.is_zero()) else {
        return Ok(None);
    };
    let currency: String = row.try_get("currency")?;
    Ok(Some(Content::Confirmation {
        amount: Amount::from_decimal(amount).map_err(|_| unreadable("posted_user"))?,
        currency: currency.parse().map_err(|_| unreadable("currency"))?,
    }))
}
