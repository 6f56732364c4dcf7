//! One batch in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use processors::rules::{history::Report, settlement::settle};
use schemas::{
    EventId, Position, Timestamp, Topic,
    events::{Command, CommandBody},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    LedgerError,
    batch::{Batch, Decided},
    fold,
    history::{self, Clicks},
    locks, payouts, positions, rebuild,
    rows::{self, ConversionRow, UnmatchedRow},
    write,
};

/// What applying a batch came to.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// Fates of the fresh reports, by name.
    pub fates: BTreeMap<String, u64>,
    /// Claims whose row changed.
    pub claims_changed: usize,
    /// Queued payouts that lost what they stood on.
    pub payouts_cancelled: usize,
}

/// Applies a batch. The caller commits.
pub(super) async fn apply(
    connection: &mut PgConnection,
    batch: &Batch,
    expected: &BTreeMap<(Topic, i32), i64>,
    now: Timestamp,
) -> Result<Applied, LedgerError> {
    positions::advance(connection, expected, &batch.next_offsets).await?;
    locks::names(connection, looks_for_names(batch)).await?;
    let rebuilding = rebuild::under_way(connection).await?;
    keep_clicks(connection, batch).await?;
    let mut names = keep_commands(connection, &batch.commands).await?;
    let given_up = given_up(&batch.commands);
    let touched = payouts::keep(connection, &batch.payouts, &batch.steps, &given_up).await?;
    names.extend(&touched.names);

    let fresh = fresh_decisions(connection, &batch.decisions).await?;
    let mut applied = Applied::default();
    let parked_heals = lock_heals(connection, &fresh).await?;
    park(connection, &fresh, &mut applied).await?;

    let reports: Vec<Report> = fresh
        .iter()
        .filter_map(|decided| Report::from_decision(&decided.decision))
        .collect();
    let changed = changed_clicks(connection, &reports, &parked_heals, &names).await?;
    if !changed.is_empty() || !touched.payees.is_empty() {
        let work = Work {
            fresh: &fresh,
            reports: &reports,
            changed: &changed,
            touched: &touched,
            rebuilding,
        };
        fold_changed(connection, &work, now, &mut applied).await?;
    }
    Ok(applied)
}

/// Whether a batch holds records of the kind that reports look for, or that look for reports.
fn looks_for_names(batch: &Batch) -> bool {
    let heals = |decided: &Decided| decided.decision.heal.is_some();
    !batch.commands.is_empty()
        || !batch.payouts.is_empty()
        || !batch.steps.is_empty()
        || batch.decisions.iter().any(heals)
}

/// Inserts clicks, and lets parked reports that wait for them try again.
async fn keep_clicks(connection: &mut PgConnection, batch: &Batch) -> Result<(), LedgerError> {
    if batch.clicks.is_empty() {
        return Ok(());
    }
    rows::insert(connection, rows::INSERT_CLICKS, &batch.clicks).await?;
    let ids: Vec<i64> = batch
        .clicks
        .iter()
        .map(|click| click.click_id.get())
        .collect();
    sqlx::query(
        "UPDATE unmatched_conversions SET next_try_at = received_at
         WHERE state = 'parked' AND click_id = ANY($1)",
    )
    .bind(&ids)
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps commands whether or not their subject is known, and gives the claims they name.
async fn keep_commands(
    connection: &mut PgConnection,
    commands: &[(Position, Command, bytes::Bytes)],
) -> Result<Vec<i64>, LedgerError> {
    let mut names = Vec::new();
    for (position, command, encoded) in commands {
        let subject = subject(&command.body).map(EventId::get);
        sqlx::query(
            "INSERT INTO commands VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        )
        .bind(command.command_id.get())
        .bind(position.partition)
        .bind(position.offset)
        .bind(command.issued_at.to_datetime())
        .bind(&command.author)
        .bind(&command.reason)
        .bind(subject)
        .bind(encoded.as_ref())
        .execute(&mut *connection)
        .await?;
        names.extend(subject);
    }
    Ok(names)
}

/// The claim that a command is about.
fn subject(body: &CommandBody) -> Option<EventId> {
    match body {
        CommandBody::ReviewClaim(review) => Some(review.event_id),
        CommandBody::Correct(correct) => Some(correct.event_id),
        // The healing worker and the dispatcher read theirs from the log themselves.
        CommandBody::MatchByHand(_)
        | CommandBody::ReleasePayout(_)
        | CommandBody::CancelPayout(_)
        | CommandBody::ChannelSwitch(_) => None,
    }
}

/// Payouts that operators give up.
fn given_up(commands: &[(Position, Command, bytes::Bytes)]) -> Vec<Uuid> {
    commands
        .iter()
        .filter_map(|(_, command, _)| match &command.body {
            CommandBody::CancelPayout(cancel) => Some(cancel.payout_id.uuid()),
            CommandBody::ReviewClaim(_)
            | CommandBody::Correct(_)
            | CommandBody::MatchByHand(_)
            | CommandBody::ReleasePayout(_)
            | CommandBody::ChannelSwitch(_) => None,
        })
        .collect()
}

/// Decisions whose position wasn't applied yet; the first one for a position counts.
async fn fresh_decisions<'a>(
    connection: &mut PgConnection,
    decisions: &'a [Decided],
) -> Result<Vec<&'a Decided>, LedgerError> {
    let mut first: BTreeMap<Position, &Decided> = BTreeMap::new();
    for decided in decisions {
        first.entry(decided.decision.source).or_insert(decided);
    }
    let fresh = positions::apply_once(connection, &first.keys().copied().collect()).await?;
    first.retain(|position, _| fresh.contains(position));
    Ok(first.into_values().collect())
}

/// Locks the parked records that fresh reports heal, and marks them as healed.
async fn lock_heals(
    connection: &mut PgConnection,
    fresh: &[&Decided],
) -> Result<BTreeSet<Position>, LedgerError> {
    let parked: BTreeSet<Position> = fresh
        .iter()
        .filter_map(|decided| Report::from_decision(&decided.decision)?.heal)
        .map(|heal| heal.heals)
        .collect();
    if parked.is_empty() {
        return Ok(parked);
    }
    locks::heals(connection, &parked).await?;
    let (partitions, offsets): (Vec<i32>, Vec<i64>) = parked
        .iter()
        .map(|position| (position.partition, position.offset))
        .unzip();
    sqlx::query(
        "UPDATE unmatched_conversions SET state = 'healed', next_try_at = NULL
         WHERE state = 'parked' AND (source_partition, source_offset) IN
               (SELECT * FROM unnest($1::int[], $2::bigint[]))",
    )
    .bind(&partitions)
    .bind(&offsets)
    .execute(connection)
    .await?;
    Ok(parked)
}

/// Keeps reports without a claim.
async fn park(
    connection: &mut PgConnection,
    fresh: &[&Decided],
    applied: &mut Applied,
) -> Result<(), LedgerError> {
    let (partitions, offsets): (Vec<i32>, Vec<i64>) = fresh
        .iter()
        .filter(|decided| Report::from_decision(&decided.decision).is_none())
        .map(|decided| {
            (
                decided.decision.source.partition,
                decided.decision.source.offset,
            )
        })
        .unzip();
    if partitions.is_empty() {
        return Ok(());
    }
    // A heal may be read before the record that it heals: they are in different partitions.
    let healed: Vec<(i32, i64)> = sqlx::query_as(
        "SELECT source_partition, source_offset FROM healed_positions
         WHERE (source_partition, source_offset) IN
               (SELECT * FROM unnest($1::int[], $2::bigint[]))",
    )
    .bind(&partitions)
    .bind(&offsets)
    .fetch_all(&mut *connection)
    .await?;
    let unmatched: Vec<UnmatchedRow> = fresh
        .iter()
        .filter_map(|decided| {
            let source = decided.decision.source;
            let healed = healed.contains(&(source.partition, source.offset));
            UnmatchedRow::new(&decided.decision, &decided.encoded, healed)
        })
        .collect();
    for row in &unmatched {
        *applied.fates.entry(row.fate().to_owned()).or_default() += 1;
    }
    rows::insert(connection, rows::INSERT_UNMATCHED, &unmatched).await?;
    Ok(())
}

/// The clicks whose claims the batch may change, and their times.
async fn changed_clicks(
    connection: &mut PgConnection,
    reports: &[Report],
    parked_heals: &BTreeSet<Position>,
    names: &[i64],
) -> Result<Clicks, LedgerError> {
    let mut changed: Clicks = reports
        .iter()
        .map(|report| (report.click_id(), report.matched.click.clicked_at))
        .collect();
    if !parked_heals.is_empty() {
        changed.extend(history::clicks_of_competing_heals(connection, parked_heals).await?);
    }
    if !names.is_empty() {
        changed.extend(history::clicks_of_names(connection, names).await?);
    }
    Ok(changed)
}

/// What a fold starts from.
struct Work<'a> {
    fresh: &'a [&'a Decided],
    reports: &'a [Report],
    changed: &'a Clicks,
    touched: &'a payouts::Touched,
    rebuilding: bool,
}

/// Loads, evaluates and writes the claims that the batch may change.
async fn fold_changed(
    connection: &mut PgConnection,
    work: &Work<'_>,
    now: Timestamp,
    applied: &mut Applied,
) -> Result<(), LedgerError> {
    let Work {
        fresh,
        reports,
        changed,
        touched,
        rebuilding,
    } = work;
    locks::click_partitions(connection, changed.keys().copied()).await?;
    let mut history = history::load(connection, changed, reports, &touched.payees).await?;
    payouts::apply(connection, &touched.payouts).await?;
    if !rebuilding {
        applied.payouts_cancelled +=
            payouts::cancel_queued(connection, &touched.given_up, now).await?;
    }
    history.load_commands_and_payments(connection).await?;

    let states = settle(&history.neighbourhood, &history.scope);
    let places = fold::places(&states);
    let tables = write::read_tables(connection, &states, &history.clicks).await?;
    let changes = fold::changes(&states, &history, tables, &places);
    let poorer = poorer(&changes);

    let encoded: BTreeMap<Position, &[u8]> = fresh
        .iter()
        .map(|decided| (decided.decision.source, &decided.encoded[..]))
        .collect();
    let rows: Vec<_> = reports
        .iter()
        .map(|report| {
            let place = places.get(&report.position).copied();
            let fate = history::fate_name(place.map(|(_, fate)| fate));
            *applied.fates.entry(fate.to_owned()).or_default() += 1;
            ConversionRow::new(report, encoded[&report.position], place)
        })
        .collect();
    rows::insert(connection, rows::INSERT_CONVERSIONS, &rows).await?;
    keep_claimants(connection, reports).await?;
    write::write(connection, &changes).await?;
    applied.claims_changed = changes.rows.len();
    if *rebuilding {
        return Ok(());
    }
    write::tell(connection, &changes).await?;
    if !poorer.is_empty() {
        applied.payouts_cancelled += payouts::cancel_unfounded(connection, &poorer, now).await?;
    }
    Ok(())
}

/// Remembers which clicks named which orders.
async fn keep_claimants(
    connection: &mut PgConnection,
    reports: &[Report],
) -> Result<(), LedgerError> {
    let named: Vec<_> = reports
        .iter()
        .filter_map(|report| Some((report.order_key()?, report)))
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    let networks: Vec<_> = named
        .iter()
        .map(|(order, _)| order.network_id.get())
        .collect();
    let offers: Vec<_> = named
        .iter()
        .map(|(order, _)| order.offer_id.get())
        .collect();
    let transactions: Vec<_> = named
        .iter()
        .map(|(order, _)| order.txn_id.as_str())
        .collect();
    let clicks: Vec<_> = named
        .iter()
        .map(|(_, report)| report.click_id().get())
        .collect();
    let times: Vec<_> = named
        .iter()
        .map(|(_, report)| report.matched.click.clicked_at.to_datetime())
        .collect();
    sqlx::query(
        "INSERT INTO order_claims
         SELECT * FROM unnest($1::int[], $2::int[], $3::text[], $4::bigint[], $5::timestamptz[])
         ON CONFLICT DO NOTHING",
    )
    .bind(&networks)
    .bind(&offers)
    .bind(&transactions)
    .bind(&clicks)
    .bind(&times)
    .execute(connection)
    .await?;
    Ok(())
}

/// Users who are owed less of some claim than before.
fn poorer(changes: &fold::Changes<'_>) -> Vec<Uuid> {
    let now: BTreeMap<(i64, Option<Uuid>), _> = changes
        .rows
        .iter()
        .map(|row| ((row.led_id, row.user_id), row.posted_user))
        .collect();
    let users: BTreeSet<Uuid> = changes
        .stale
        .iter()
        .filter(|old| {
            let new = now
                .get(&(old.led_id, old.user_id))
                .copied()
                .unwrap_or_default();
            new < old.posted_user
        })
        .filter_map(|old| old.user_id)
        .collect();
    users.into_iter().collect()
}
