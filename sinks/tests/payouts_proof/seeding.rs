//! What payout runs leave behind, many at a time: people, payouts, their records in the outbox.

use schemas::{Currency, PayoutId, TenantId, Timestamp, UserId, codec, events::PayoutRequested};
use sinks::{
    payouts::{AgcodConfig, CHANNEL, creation_request_id, frozen_request},
    sealing::Subject,
};
use sqlx::PgPool;
use uuid::Uuid;

use crate::books;

const BATCH: u64 = 1_000;

pub fn payout_id(number: u64) -> PayoutId {
    PayoutId::new(Uuid::from_u128(u128::from(number) + 1))
}

fn user_id(number: u64) -> UserId {
    UserId::new(Uuid::from_u128((1 << 64) + u128::from(number)))
}

/// Payouts that were requested as of `as_of`, each in the outbox as the payout run leaves it.
pub async fn request(owner: &PgPool, account: &AgcodConfig, payouts: u64, as_of: Timestamp) {
    for first in (0..payouts).step_by(usize::try_from(BATCH).expect("small")) {
        let numbers = first..payouts.min(first + BATCH);
        let requested: Vec<_> = numbers
            .clone()
            .map(|number| requested(account, number, as_of))
            .collect();
        let phones: Vec<Vec<u8>> = numbers.map(phone).collect();
        insert(owner, &requested, &phones).await;
    }
}

fn requested(account: &AgcodConfig, number: u64, as_of: Timestamp) -> PayoutRequested {
    let payout_id = payout_id(number);
    let amount = books::amount(number);
    let id = creation_request_id(&account.partner_id, payout_id);
    PayoutRequested {
        payout_id,
        tenant_id: TenantId::new(Uuid::nil()),
        user_id: user_id(number),
        currency: Currency::INR,
        amount,
        as_of,
        method: CHANNEL.into(),
        request: frozen_request(account, &id, amount, Currency::INR).expect("a request"),
        creation_request_id: id,
        items: Vec::new(),
    }
}

fn phone(number: u64) -> Vec<u8> {
    let subject = Subject::Phone(user_id(number));
    let sealed = books::keys().seal(subject, &format!("+91{number:010}").into());
    sealed.expect("sealed").to_bytes()
}

async fn insert(owner: &PgPool, requested: &[PayoutRequested], phones: &[Vec<u8>]) {
    let users: Vec<Uuid> = requested.iter().map(|one| one.user_id.uuid()).collect();
    let ids: Vec<Uuid> = requested.iter().map(|one| one.payout_id.uuid()).collect();
    let amounts: Vec<_> = requested
        .iter()
        .map(|one| one.amount.to_decimal())
        .collect();
    let request_ids: Vec<&str> = requested
        .iter()
        .map(|one| &*one.creation_request_id)
        .collect();
    let bodies: Vec<&[u8]> = requested.iter().map(|one| &*one.request).collect();
    let as_of = requested[0].as_of.to_datetime();
    let mut transaction = owner.begin().await.expect("begun");
    sqlx::query(
        "INSERT INTO users (user_id, phone_sealed) SELECT * FROM unnest($1::uuid[], $2::bytea[])",
    )
    .bind(&users)
    .bind(phones)
    .execute(&mut *transaction)
    .await
    .expect("users");
    sqlx::query(
        "INSERT INTO payouts (payout_id, tenant_id, user_id, currency, amount, method, as_of,
                              creation_request_id, request, state)
         SELECT n.payout_id, $1, n.user_id, 'INR', n.amount, $2, $3, n.request_id, n.request,
                'queued'
         FROM unnest($4::uuid[], $5::uuid[], $6::numeric[], $7::text[], $8::bytea[])
              AS n (payout_id, user_id, amount, request_id, request)",
    )
    .bind(Uuid::nil())
    .bind(CHANNEL)
    .bind(as_of)
    .bind(&ids)
    .bind(&users)
    .bind(amounts)
    .bind(request_ids)
    .bind(bodies)
    .execute(&mut *transaction)
    .await
    .expect("payouts");
    let keys: Vec<Vec<u8>> = requested
        .iter()
        .map(|one| one.payout_id.to_string().into_bytes())
        .collect();
    let values: Vec<Vec<u8>> = requested
        .iter()
        .map(|one| codec::encode(one).expect("encoded"))
        .collect();
    sqlx::query(
        "INSERT INTO outbox (epoch, topic, key, value)
         SELECT (SELECT epoch FROM ledger_epoch), 'payouts', *
         FROM unnest($1::bytea[], $2::bytea[])",
    )
    .bind(keys)
    .bind(values)
    .execute(&mut *transaction)
    .await
    .expect("outbox rows");
    transaction.commit().await.expect("committed");
}
