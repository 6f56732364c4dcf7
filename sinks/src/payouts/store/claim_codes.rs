//! Sealed claim codes in their columns.

use schemas::PayoutId;
use serde::Serialize;
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::{BATCH, Store, StoreError, rows};
use crate::sealing::{KeyId, KeyRing, NONCE_BYTES, Sealed, Subject};

/// How far putting claim codes under another key has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rotation {
    /// The key that codes are put under: the ring's newest.
    pub key_id: KeyId,
    /// Codes that were put under it.
    pub rewrapped: u64,
    /// Codes that no key of the ring opens: each can be fetched again, and is told to the log.
    pub unreadable: u64,
    /// Codes that are still under an older key: unreadable, or in a dispatcher's hands just now.
    pub left: u64,
}

impl Store {
    /// Puts stored claim codes under the ring's current key, batch by batch, and tells how far it
    /// is after each. Safe beside dispatchers, and to be broken off: what is done is done, and
    /// whoever repeats it goes on with the rest. At `left` zero the older keys may be retired.
    pub async fn rotate_claim_codes(
        &self,
        ring: &KeyRing,
        mut progress: impl FnMut(Rotation),
    ) -> Result<Rotation, StoreError> {
        let mut rotation = Rotation {
            key_id: ring.current(),
            rewrapped: 0,
            unreadable: 0,
            left: 0,
        };
        let mut after = None;
        while let Some(last) = self.rotate_batch(ring, after, &mut rotation).await? {
            after = Some(last);
            progress(rotation);
        }
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM payout_dispatch WHERE claim_code_key_id <> $1",
        )
        .bind(ring.current())
        .fetch_one(&self.pool)
        .await?;
        rotation.left = left.unsigned_abs();
        Ok(rotation)
    }

    /// The payout that the batch ended with; `None` where there was nothing left.
    async fn rotate_batch(
        &self,
        ring: &KeyRing,
        after: Option<Uuid>,
        rotation: &mut Rotation,
    ) -> Result<Option<Uuid>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let old = sqlx::query(
            "SELECT payout_id, claim_code_key_id, claim_code_nonce, claim_code_ciphertext
             FROM payout_dispatch
             WHERE claim_code_key_id <> $1 AND ($2::uuid IS NULL OR payout_id > $2)
             ORDER BY payout_id LIMIT $3
             FOR UPDATE SKIP LOCKED",
        )
        .bind(ring.current())
        .bind(after)
        .bind(BATCH)
        .fetch_all(&mut *transaction)
        .await?;
        let mut last = None;
        let (mut rewrapped, mut unreadable) = (0, 0);
        for row in &old {
            let payout_id = rows::payout_id(row)?;
            last = Some(payout_id.uuid());
            let Some(sealed) = sealed(row, payout_id)? else {
                continue;
            };
            match ring.rewrap(Subject::ClaimCode(payout_id), &sealed) {
                Ok(Some(fresh)) => {
                    keep(&mut transaction, payout_id, &fresh).await?;
                    rewrapped += 1;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%payout_id, %error, "a claim code stays under its key");
                    unreadable += 1;
                }
            }
        }
        transaction.commit().await?;
        rotation.rewrapped += rewrapped;
        rotation.unreadable += unreadable;
        Ok(last)
    }
}

async fn keep(
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

pub(super) async fn shred(
    connection: &mut PgConnection,
    payout_ids: &[Uuid],
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE payout_dispatch
         SET claim_code_key_id = NULL, claim_code_nonce = NULL, claim_code_ciphertext = NULL
         WHERE payout_id = ANY ($1) AND claim_code_key_id IS NOT NULL",
    )
    .bind(payout_ids)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) fn sealed(row: &PgRow, payout_id: PayoutId) -> Result<Option<Sealed>, StoreError> {
    let key_id: Option<KeyId> = row.try_get("claim_code_key_id")?;
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
