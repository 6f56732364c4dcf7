//! Writes what has to change.

use std::collections::BTreeMap;

use processors::rules::{
    lifecycle::ClaimState,
    postings::{BookKey, Booking, ledger_changed},
    split::Parts,
};
use schemas::{ClickId, EventId, Minor, TenantId, Topic, UserId, codec, events::LedgerChanged};
use sqlx::{PgConnection, Row};

use super::{
    LedgerError,
    fold::{Changes, Tables},
    history::{self, Clicks, History},
    outbox::{self, OutboxRow},
    rows::{self, LedgerRow, PostingRow, Subject},
};

/// Reads what the tables say of the claims that were evaluated, and of the clicks that changed. Of
/// a claim that was only a neighbour, nothing can change.
pub(super) async fn read_tables(
    connection: &mut PgConnection,
    states: &[ClaimState],
    history: &History,
) -> Result<Tables, LedgerError> {
    let evaluated = states.iter().map(|state| state.click.click_id);
    let clicks: Clicks = evaluated
        .chain(history.scope.clicks.iter().copied())
        .filter_map(|click| Some((click, *history.clicks.get(&click)?)))
        .collect();
    let Some((from, to)) = history::span(&clicks) else {
        return Ok(Tables::default());
    };
    let ids: Vec<i64> = clicks.keys().map(|click| click.get()).collect();
    let rows = sqlx::query_as::<_, LedgerRow>(
        "SELECT * FROM ledger WHERE click_id = ANY($1) AND clicked_at BETWEEN $2 AND $3",
    )
    .bind(&ids)
    .bind(from.to_datetime())
    .bind(to.to_datetime())
    .fetch_all(&mut *connection)
    .await?;
    let names: Vec<i64> = states
        .iter()
        .flat_map(|state| state.reports.iter().map(|report| report.event_id.get()))
        .collect();
    let lines = sqlx::query(
        "SELECT led_id, account, tenant_id, user_id, currency::text AS currency, sum(amount) AS amount
         FROM postings WHERE led_id = ANY($1)
         GROUP BY led_id, account, tenant_id, user_id, currency
         HAVING sum(amount) <> 0",
    )
    .bind(&names)
    .fetch_all(connection)
    .await?;
    let mut booked: BTreeMap<EventId, Booking> = BTreeMap::new();
    for row in &lines {
        let (key, amount) = book_line(row)?;
        booked
            .entry(EventId::new(row.try_get("led_id")?))
            .or_default()
            .insert(key, amount);
    }
    Ok(Tables { rows, booked })
}

/// A line of a booking from a row of sums of postings.
pub(super) fn book_line(row: &sqlx::postgres::PgRow) -> Result<(BookKey, Minor), LedgerError> {
    let account: &str = row.try_get("account")?;
    let user_id: Option<uuid::Uuid> = row.try_get("user_id")?;
    let currency = rows::currency(row, "currency")?;
    let key = BookKey {
        account: serde_json::from_value(account.into())?,
        tenant_id: TenantId::new(row.try_get("tenant_id")?),
        user_id: user_id.map(UserId::new),
        currency,
    };
    Ok((key, rows::minor(row, "amount", currency)?))
}

/// Writes the changes of claims: rows and postings.
pub(super) async fn write(
    connection: &mut PgConnection,
    changes: &Changes<'_>,
) -> Result<(), LedgerError> {
    delete_stale(connection, &changes.stale).await?;
    LedgerRow::insert(connection, &changes.rows).await?;
    move_reports(connection, changes).await?;
    let booked: Vec<_> = changes
        .claims
        .iter()
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    let subjects: Vec<_> = booked
        .iter()
        .map(|(state, lines)| (Subject::Claim(state.name), lines))
        .collect();
    post(connection, &subjects).await
}

async fn delete_stale(
    connection: &mut PgConnection,
    stale: &[LedgerRow],
) -> Result<(), LedgerError> {
    if stale.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = stale.iter().map(|row| row.led_id).collect();
    let tenants: Vec<_> = stale.iter().map(|row| row.tenant_id).collect();
    let times: Vec<_> = stale.iter().map(|row| row.clicked_at).collect();
    sqlx::query(
        "DELETE FROM ledger l
         USING unnest($1::bigint[], $2::uuid[], $3::timestamptz[])
               AS s (led_id, tenant_id, clicked_at)
         WHERE l.led_id = s.led_id AND l.tenant_id = s.tenant_id AND l.clicked_at = s.clicked_at
           AND l.clicked_at BETWEEN $4 AND $5",
    )
    .bind(&ids)
    .bind(&tenants)
    .bind(&times)
    .bind(times.iter().min())
    .bind(times.iter().max())
    .execute(connection)
    .await?;
    Ok(())
}

async fn move_reports(
    connection: &mut PgConnection,
    changes: &Changes<'_>,
) -> Result<(), LedgerError> {
    if changes.moved.is_empty() {
        return Ok(());
    }
    let partitions: Vec<_> = changes.moved.iter().map(|(at, _)| at.partition).collect();
    let offsets: Vec<_> = changes.moved.iter().map(|(at, _)| at.offset).collect();
    let times: Vec<_> = changes
        .moved
        .iter()
        .map(|(_, to)| to.clicked_at.to_datetime())
        .collect();
    let claims: Vec<_> = changes
        .moved
        .iter()
        .map(|(_, to)| to.led_id.map(EventId::get))
        .collect();
    let fates: Vec<_> = changes
        .moved
        .iter()
        .map(|(_, to)| to.fate.as_str())
        .collect();
    sqlx::query(
        "UPDATE conversions c SET led_id = m.led_id, fate = m.fate
         FROM unnest($1::int[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::text[])
              AS m (source_partition, source_offset, clicked_at, led_id, fate)
         WHERE c.source_partition = m.source_partition AND c.source_offset = m.source_offset
           AND c.clicked_at = m.clicked_at AND c.clicked_at BETWEEN $6 AND $7",
    )
    .bind(&partitions)
    .bind(&offsets)
    .bind(&times)
    .bind(&claims)
    .bind(&fates)
    .bind(times.iter().min())
    .bind(times.iter().max())
    .execute(connection)
    .await?;
    Ok(())
}

/// Posts one transaction per subject, all in one statement: the database holds each to zero.
pub(super) async fn post(
    connection: &mut PgConnection,
    subjects: &[(Subject, &Booking)],
) -> Result<(), LedgerError> {
    if subjects.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(subjects.len()).unwrap_or(i64::MAX);
    let transactions: Vec<i64> =
        sqlx::query_scalar("SELECT nextval('posting_transactions') FROM generate_series(1, $1)")
            .bind(count)
            .fetch_all(&mut *connection)
            .await?;
    let lines: Vec<_> = subjects
        .iter()
        .zip(transactions)
        .flat_map(|((subject, lines), transaction)| {
            rows::posting_rows(transaction, *subject, lines)
        })
        .collect();
    PostingRow::insert(connection, &lines).await?;
    Ok(())
}

/// Tells the `ledger` topic what changed, in the current epoch.
pub(super) async fn tell(
    connection: &mut PgConnection,
    changes: &Changes<'_>,
    epoch: i64,
) -> Result<(), LedgerError> {
    let count = changes.claims.len() + changes.retired.len();
    let mut sequences = outbox::reserve(connection, count).await?.into_iter();
    let mut records = Vec::with_capacity(count);
    // A name that went comes before the claim that took its reports.
    for ((name, to), sequence) in changes.retired.iter().zip(&mut sequences) {
        let state = ClaimState {
            name: *name,
            expected: Parts::default(),
            target: Parts::default(),
            paid: Minor::ZERO,
            ..(*to).clone()
        };
        let event = ledger_changed(&state, &Booking::new(), epoch, sequence)?;
        records.push(record(
            &LedgerChanged {
                retired: true,
                ..event
            },
            sequence,
        )?);
    }
    for ((state, lines), sequence) in changes.claims.iter().zip(&mut sequences) {
        records.push(record(
            &ledger_changed(state, lines, epoch, sequence)?,
            sequence,
        )?);
    }
    outbox::enqueue_reserved(connection, epoch, &records).await
}

fn record(event: &LedgerChanged, sequence: i64) -> Result<OutboxRow, LedgerError> {
    Ok(OutboxRow {
        sequence,
        topic: Topic::Ledger,
        key: ClickId::to_string(&event.click_id).into_bytes(),
        value: codec::encode(event)?,
    })
}
