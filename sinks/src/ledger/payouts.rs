//! Payouts in the ledger: their state as read back from the log, their postings, and the
//! cancellation of queued ones that lost what they stand on.

use std::collections::{BTreeMap, BTreeSet};

use processors::rules::{
    payouts::{self, ClaimBalance, OwedClaim, PayoutState, QueuedPayout},
    postings::{self, BookKey, Booking},
};
use schemas::{
    Currency, EventId, Minor, PayoutId, Position, TenantId, Timestamp, UserId,
    events::{Account, PayoutRequested, PayoutResult, PayoutStep},
};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    LedgerError, outbox,
    rows::{self, Subject},
    write,
};

/// Whose balance: payouts are per tenant, user and currency.
pub(super) type Payee = (TenantId, UserId, Currency);

/// What payouts and steps that were read from the log concern.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// The payouts.
    pub payouts: Vec<Uuid>,
    /// Whose they are.
    pub payees: BTreeSet<UserId>,
    /// Names of the claims whose paid amount they may change.
    pub names: Vec<i64>,
    /// Payouts that an operator gives up.
    pub given_up: Vec<Uuid>,
}

/// Keeps payouts and steps that were read from the log, whether or not the other is there yet.
/// `given_up` are payouts that an operator cancels; one that isn't queued any more stays.
/// Payouts that this ledger made itself are there already. [`apply`] follows, under the payees'
/// locks.
pub(super) async fn keep(
    connection: &mut PgConnection,
    requested: &[PayoutRequested],
    steps: &[(Position, PayoutResult)],
    given_up: &[Uuid],
) -> Result<Touched, LedgerError> {
    let mut touched: BTreeSet<Uuid> = BTreeSet::new();
    for payout in requested {
        if insert(connection, payout).await? {
            touched.insert(payout.payout_id.uuid());
        }
    }
    for (position, step) in steps {
        if insert_step(connection, *position, step).await? {
            touched.insert(step.payout_id.uuid());
        }
    }
    if touched.is_empty() && given_up.is_empty() {
        return Ok(Touched::default());
    }
    let payouts: Vec<_> = touched.into_iter().collect();
    let concerned = [&payouts[..], given_up].concat();
    let payees: Vec<Uuid> =
        sqlx::query_scalar("SELECT DISTINCT user_id FROM payouts WHERE payout_id = ANY($1)")
            .bind(&concerned)
            .fetch_all(&mut *connection)
            .await?;
    let names = sqlx::query_scalar("SELECT led_id FROM payout_items WHERE payout_id = ANY($1)")
        .bind(&payouts)
        .fetch_all(connection)
        .await?;
    Ok(Touched {
        payouts,
        payees: payees.into_iter().map(UserId::new).collect(),
        names,
        given_up: given_up.to_vec(),
    })
}

/// Moves payouts to the state that their steps lead to, and books them. The caller holds the
/// payees' locks.
pub(super) async fn apply(
    connection: &mut PgConnection,
    payouts: &[Uuid],
) -> Result<(), LedgerError> {
    if payouts.is_empty() {
        return Ok(());
    }
    apply_steps(connection, payouts).await?;
    book(connection, payouts).await
}

/// Inserts a payout with its items; `false` if it is there already.
pub(super) async fn insert(
    connection: &mut PgConnection,
    payout: &PayoutRequested,
) -> Result<bool, LedgerError> {
    let inserted = sqlx::query(
        "INSERT INTO payouts (payout_id, tenant_id, user_id, currency, amount, method, as_of,
                              creation_request_id, request, state)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'queued') ON CONFLICT DO NOTHING",
    )
    .bind(payout.payout_id.uuid())
    .bind(payout.tenant_id.uuid())
    .bind(payout.user_id.uuid())
    .bind(payout.currency.to_string())
    .bind(payout.amount.to_decimal())
    .bind(&payout.method)
    .bind(payout.as_of.to_datetime())
    .bind(&payout.creation_request_id)
    .bind(&payout.request)
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(false);
    }
    let names: Vec<_> = payout.items.iter().map(|item| item.claim.get()).collect();
    let amounts: Vec<_> = payout
        .items
        .iter()
        .map(|item| item.amount.to_decimal())
        .collect();
    sqlx::query(
        "INSERT INTO payout_items (payout_id, tenant_id, led_id, amount)
         SELECT $1, $2, * FROM unnest($3::bigint[], $4::numeric[])",
    )
    .bind(payout.payout_id.uuid())
    .bind(payout.tenant_id.uuid())
    .bind(&names)
    .bind(&amounts)
    .execute(connection)
    .await?;
    Ok(true)
}

async fn insert_step(
    connection: &mut PgConnection,
    position: Position,
    step: &PayoutResult,
) -> Result<bool, LedgerError> {
    let inserted = sqlx::query(
        "INSERT INTO payout_steps VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
    )
    .bind(position.partition)
    .bind(position.offset)
    .bind(step.payout_id.uuid())
    .bind(step.step.name())
    .bind(step.at.to_datetime())
    .bind(step.attempt)
    .bind(&step.detail)
    .bind(&step.card_id)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() > 0)
}

/// Moves payouts to the state that their steps lead to. The dispatcher may be ahead of what was
/// read back; a final state stays.
async fn apply_steps(connection: &mut PgConnection, touched: &[Uuid]) -> Result<(), LedgerError> {
    let steps = sqlx::query(
        "SELECT p.payout_id, p.state, s.step, s.at, s.attempt, s.card_id
         FROM payouts p JOIN payout_steps s USING (payout_id)
         WHERE payout_id = ANY($1) ORDER BY payout_id, s.source_partition, s.source_offset
         FOR UPDATE OF p",
    )
    .bind(touched)
    .fetch_all(&mut *connection)
    .await?;
    for steps in
        steps.chunk_by(|a, b| a.get::<Uuid, _>("payout_id") == b.get::<Uuid, _>("payout_id"))
    {
        let before = state(&steps[0])?;
        let mut after = before;
        let mut funded: Option<&PgRow> = None;
        for row in steps {
            let step: PayoutStep = serde_json::from_value(row.get::<&str, _>("step").into())?;
            after = after.after_result(step, row.get("attempt"));
            if step == PayoutStep::Funded {
                funded = Some(row);
            }
        }
        if after == before {
            continue;
        }
        sqlx::query(
            // The card of a payout that is given up is none.
            "UPDATE payouts
             SET state = $2,
                 paid_at = CASE WHEN $2 <> 'cancelled' THEN coalesce(paid_at, $3) END,
                 card_id = CASE WHEN $2 <> 'cancelled' THEN coalesce(card_id, $4) END
             WHERE payout_id = $1",
        )
        .bind(steps[0].get::<Uuid, _>("payout_id"))
        .bind(after.name())
        .bind(funded.map(|row| row.get::<chrono::DateTime<chrono::Utc>, _>("at")))
        .bind(funded.and_then(|row| row.get::<Option<&str>, _>("card_id")))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

fn state(row: &PgRow) -> Result<PayoutState, LedgerError> {
    let name: &str = row.try_get("state")?;
    PayoutState::ALL
        .into_iter()
        .find(|state| state.name() == name)
        .ok_or_else(|| LedgerError::Invalid(format!("payout state {name:?}")))
}

/// Brings the postings of payouts to what their state asks for.
pub(super) async fn book(
    connection: &mut PgConnection,
    payouts: &[Uuid],
) -> Result<(), LedgerError> {
    let rows = sqlx::query(
        "SELECT payout_id, tenant_id, user_id, currency::text AS currency, amount, state
         FROM payouts WHERE payout_id = ANY($1)",
    )
    .bind(payouts)
    .fetch_all(&mut *connection)
    .await?;
    let mut targets: BTreeMap<Uuid, Booking> = BTreeMap::new();
    for row in &rows {
        let payee = payee(row)?;
        let amount = rows::minor(row, "amount", payee.2)?;
        let target = if state(row)?.allocates() {
            payout_lines(payee, amount)
        } else {
            Booking::new()
        };
        targets.insert(row.try_get("payout_id")?, target);
    }
    let lines = sqlx::query(
        "SELECT payout_id, account, tenant_id, user_id, currency::text AS currency,
                sum(amount) AS amount
         FROM postings WHERE payout_id = ANY($1)
         GROUP BY payout_id, account, tenant_id, user_id, currency HAVING sum(amount) <> 0",
    )
    .bind(payouts)
    .fetch_all(&mut *connection)
    .await?;
    let mut booked: BTreeMap<Uuid, Booking> = BTreeMap::new();
    for row in &lines {
        let (key, amount) = write::book_line(row)?;
        booked
            .entry(row.try_get("payout_id")?)
            .or_default()
            .insert(key, amount);
    }
    let differences: Vec<_> = targets
        .iter()
        .map(|(payout, target)| {
            let booked = booked.get(payout).cloned().unwrap_or_default();
            (
                Subject::Payout(*payout),
                postings::difference(target, &booked),
            )
        })
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    let differences: Vec<_> = differences
        .iter()
        .map(|(subject, lines)| (*subject, lines))
        .collect();
    write::post(connection, &differences).await
}

/// A payout takes what the user is owed and holds it in clearing.
fn payout_lines((tenant_id, user_id, currency): Payee, amount: Minor) -> Booking {
    let key = |account| BookKey {
        account,
        tenant_id,
        user_id: Some(user_id),
        currency,
    };
    [
        (key(Account::UserPayable), -amount),
        (key(Account::PayoutClearing), amount),
    ]
    .into()
}

fn payee(row: &PgRow) -> Result<Payee, LedgerError> {
    Ok((
        TenantId::new(row.try_get("tenant_id")?),
        UserId::new(row.try_get("user_id")?),
        rows::currency(row, "currency")?,
    ))
}

/// Balances of users by claim; also of claims that are owed nothing, since items may name them by
/// another name. The caller holds the payees' locks.
pub(super) async fn balances(
    connection: &mut PgConnection,
    users: &[Uuid],
) -> Result<BTreeMap<Payee, Vec<ClaimBalance>>, LedgerError> {
    let owed = sqlx::query(
        "SELECT l.led_id, l.tenant_id, l.user_id, l.currency::text AS currency, l.payable_at,
                -- What part of a unit a final claim is still owed is paid no more.
                CASE WHEN l.clicked_at < (SELECT reports_retired_before FROM ledger_epoch)
                     THEN least(l.posted_user, l.paid_amount) ELSE l.posted_user END AS amount,
                ARRAY(SELECT c.conv_id FROM reports c
                      WHERE c.click_id = l.click_id AND c.clicked_at = l.clicked_at
                        AND c.led_id = l.led_id) AS names
         FROM ledger l WHERE l.user_id = ANY($1)",
    )
    .bind(users)
    .fetch_all(&mut *connection)
    .await?;
    let mut claims: BTreeMap<Payee, Vec<OwedClaim>> = BTreeMap::new();
    for row in &owed {
        let payee = payee(row)?;
        let payable_at: chrono::DateTime<chrono::Utc> = row.try_get("payable_at")?;
        claims.entry(payee).or_default().push(OwedClaim {
            claim: EventId::new(row.try_get("led_id")?),
            names: row
                .try_get::<Vec<i64>, _>("names")?
                .into_iter()
                .map(EventId::new)
                .collect(),
            payable_at: Timestamp::from(payable_at),
            owed: rows::minor(row, "amount", payee.2)?,
        });
    }
    let taken = sqlx::query(
        "SELECT p.tenant_id, p.user_id, p.currency::text AS currency, i.led_id, i.amount
         FROM payouts p JOIN payout_items i USING (payout_id)
         WHERE p.user_id = ANY($1) AND p.state <> 'cancelled'",
    )
    .bind(users)
    .fetch_all(connection)
    .await?;
    let mut items: BTreeMap<Payee, Vec<(EventId, Minor)>> = BTreeMap::new();
    for row in &taken {
        let payee = payee(row)?;
        let item = (
            EventId::new(row.try_get("led_id")?),
            rows::minor(row, "amount", payee.2)?,
        );
        items.entry(payee).or_default().push(item);
    }
    let payees: BTreeSet<Payee> = claims.keys().chain(items.keys()).copied().collect();
    Ok(payees
        .into_iter()
        .map(|payee| {
            let claims = claims.get(&payee).map_or(&[][..], Vec::as_slice);
            let items = items.get(&payee).map_or(&[][..], Vec::as_slice);
            (payee, payouts::balances(claims, items))
        })
        .collect())
}

/// Cancels the queued payouts of users that lost what they stand on. The caller holds the
/// payees' locks; a payout that is being sent is not queued any more.
pub(super) async fn cancel_unfounded(
    connection: &mut PgConnection,
    users: &[Uuid],
    now: Timestamp,
) -> Result<usize, LedgerError> {
    let rows = sqlx::query(
        "SELECT p.payout_id, p.tenant_id, p.user_id, p.currency::text AS currency, p.as_of,
                coalesce(c.led_id, i.led_id) AS led_id, i.amount
         FROM (SELECT * FROM payouts WHERE user_id = ANY($1) AND state = 'queued'
               ORDER BY payout_id FOR UPDATE) p
         JOIN payout_items i USING (payout_id)
         LEFT JOIN LATERAL (SELECT led_id FROM reports
                            WHERE conv_id = i.led_id AND fate <> 'undone' LIMIT 1) c ON true
         ORDER BY p.payout_id",
    )
    .bind(users)
    .fetch_all(&mut *connection)
    .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut queued: BTreeMap<Payee, Vec<QueuedPayout>> = BTreeMap::new();
    for items in
        rows.chunk_by(|a, b| a.get::<Uuid, _>("payout_id") == b.get::<Uuid, _>("payout_id"))
    {
        let payee = payee(&items[0])?;
        let mut payout = QueuedPayout {
            payout_id: PayoutId::new(items[0].try_get("payout_id")?),
            as_of: items[0]
                .try_get::<chrono::DateTime<chrono::Utc>, _>("as_of")?
                .into(),
            items: Vec::with_capacity(items.len()),
        };
        for item in items {
            let claim = EventId::new(item.try_get("led_id")?);
            payout
                .items
                .push((claim, rows::minor(item, "amount", payee.2)?));
        }
        queued.entry(payee).or_default().push(payout);
    }
    let balances = balances(connection, users).await?;
    let cancelled: Vec<PayoutId> = queued
        .iter()
        .flat_map(|(payee, queued)| {
            payouts::to_cancel(balances.get(payee).map_or(&[][..], Vec::as_slice), queued)
        })
        .collect();
    cancel(
        connection,
        &cancelled,
        now,
        "what it was to pay was taken back",
    )
    .await?;
    Ok(cancelled.len())
}

/// Cancels those of the payouts that are still queued, as an operator asks. The caller holds the
/// payees' locks.
pub(super) async fn cancel_queued(
    connection: &mut PgConnection,
    payouts: &[Uuid],
    now: Timestamp,
) -> Result<usize, LedgerError> {
    if payouts.is_empty() {
        return Ok(0);
    }
    let queued: Vec<Uuid> = sqlx::query_scalar(
        "SELECT payout_id FROM payouts WHERE payout_id = ANY($1) AND state = 'queued'
         ORDER BY payout_id FOR UPDATE",
    )
    .bind(payouts)
    .fetch_all(&mut *connection)
    .await?;
    let queued: Vec<_> = queued.into_iter().map(PayoutId::new).collect();
    cancel(connection, &queued, now, "an operator gave it up").await?;
    Ok(queued.len())
}

/// Cancels queued payouts: their items are free again, and the log is told.
async fn cancel(
    connection: &mut PgConnection,
    payouts: &[PayoutId],
    now: Timestamp,
    why: &str,
) -> Result<(), LedgerError> {
    if payouts.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = payouts.iter().map(|payout| payout.uuid()).collect();
    sqlx::query("UPDATE payouts SET state = 'cancelled' WHERE payout_id = ANY($1)")
        .bind(&ids)
        .execute(&mut *connection)
        .await?;
    book(connection, &ids).await?;
    for payout_id in payouts {
        let step = PayoutResult {
            payout_id: *payout_id,
            step: PayoutStep::Cancelled,
            at: now,
            attempt: 0,
            detail: Some(why.to_owned()),
            card_id: None,
        };
        outbox::enqueue(connection, &payout_id.to_string(), &step).await?;
    }
    Ok(())
}
