//! Cards that have come.

use schemas::{PayoutId, Timestamp};
use sqlx::PgConnection;

use super::StoreError;
use crate::{payouts::agcod::FundedCard, sealing::Sealed};

/// A card that has come, and its sealed code where that is stored.
pub(super) type NewCard<'a> = (PayoutId, &'a FundedCard, Option<&'a Sealed>);

/// Their payouts are funded, and their messages due, for `lease_ms` in the hands of whoever funded
/// them.
pub(super) async fn take(
    connection: &mut PgConnection,
    cards: &[NewCard<'_>],
    now: Timestamp,
    lease_ms: i64,
) -> Result<(), StoreError> {
    if cards.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = cards.iter().map(|(id, _, _)| id.uuid()).collect();
    let card_ids: Vec<&str> = cards.iter().map(|(_, card, _)| &*card.card_id).collect();
    sqlx::query(
        "UPDATE payouts p SET state = 'funded', paid_at = $3, card_id = n.card_id
         FROM unnest($1::uuid[], $2::text[]) AS n (payout_id, card_id)
         WHERE p.payout_id = n.payout_id",
    )
    .bind(&ids)
    .bind(card_ids)
    .bind(now.to_datetime())
    .execute(&mut *connection)
    .await?;
    let expiry: Vec<_> = cards
        .iter()
        .map(|(_, card, _)| card.expires_at.map(Timestamp::to_datetime))
        .collect();
    let sealed = || cards.iter().map(|(_, _, sealed)| *sealed);
    let key_ids: Vec<Option<i32>> = sealed().map(|code| code.map(|code| code.key_id)).collect();
    let nonces: Vec<Option<&[u8]>> = sealed()
        .map(|code| code.map(|code| code.nonce.as_slice()))
        .collect();
    let ciphertexts: Vec<Option<&[u8]>> = sealed()
        .map(|code| code.map(|code| code.ciphertext.as_slice()))
        .collect();
    sqlx::query(
        "UPDATE payout_dispatch d
         SET card_expires_at = n.card_expires_at, claim_code_key_id = n.key_id,
             claim_code_nonce = n.nonce, claim_code_ciphertext = n.ciphertext
         FROM unnest($1::uuid[], $2::timestamptz[], $3::int[], $4::bytea[], $5::bytea[])
              AS n (payout_id, card_expires_at, key_id, nonce, ciphertext)
         WHERE d.payout_id = n.payout_id",
    )
    .bind(&ids)
    .bind(expiry)
    .bind(key_ids)
    .bind(nonces)
    .bind(ciphertexts)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO messages (message_id, kind, tenant_id, user_id, currency, created_at,
                               next_attempt_at, leased_until)
         SELECT payout_id, 'gift_card', tenant_id, user_id, currency, $2, $2,
                clock_timestamp() + $3 * interval '1 millisecond'
         FROM payouts WHERE payout_id = ANY ($1)
         ON CONFLICT (message_id) DO NOTHING",
    )
    .bind(&ids)
    .bind(now.to_datetime())
    .bind(lease_ms)
    .execute(connection)
    .await?;
    Ok(())
}
