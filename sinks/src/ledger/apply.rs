//! One batch in one transaction.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use processors::rules::{history::Report, settlement::settle};
use schemas::{
    Position, Timestamp, Topic,
    events::{Command, CommandBody},
};
use sqlx::PgConnection;
use stream::commit_points::{self, CommitPoint};
use uuid::Uuid;

use super::{
    LedgerError,
    batch::{Batch, Decided},
    conflicts::{self, Conflicts},
    epoch::{self, Epoch},
    fold,
    history::{self, Clicks},
    keep, locks, payouts, positions,
    rows::ConversionRow,
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
    /// Records that contradict what is kept.
    pub conflicts: Conflicts,
}

/// Applies a batch. The caller commits.
pub(super) async fn apply(
    connection: &mut PgConnection,
    batch: &Batch,
    expected: &BTreeMap<(Topic, i32), i64>,
    now: Timestamp,
) -> Result<Applied, LedgerError> {
    positions::advance(connection, expected, &batch.next_offsets).await?;
    commit_points::pass(CommitPoint::LedgerPositionMoved);
    locks::names(connection, looks_for_names(batch)).await?;
    let epoch = epoch::current(connection).await?;
    let mut applied = Applied::default();
    keep::clicks(connection, batch, &mut applied).await?;
    let mut names = keep::commands(connection, &batch.commands, &mut applied).await?;
    let given_up = given_up(&batch.commands);
    let touched = payouts::keep(connection, &batch.payouts, &batch.steps, &given_up).await?;
    names.extend(&touched.names);

    let (fresh, repeated) = fresh_decisions(connection, &batch.decisions).await?;
    let (late, fresh): (Vec<_>, Vec<_>) = fresh
        .into_iter()
        .partition(|decided| decided.clicked_before(epoch.retired_before));
    let parked_heals = lock_heals(connection, &fresh).await?;
    keep::unmatched(connection, &fresh, &mut applied).await?;
    keep::late(connection, &late, &mut applied).await?;

    let reports: Vec<Report> = fresh
        .iter()
        .filter_map(|decided| Report::from_decision(&decided.decision))
        .collect();
    let mut changed = changed_clicks(connection, &reports, &parked_heals, &names).await?;
    changed.retain(|_, clicked_at| *clicked_at >= epoch.retired_before);
    if !changed.is_empty() || !touched.payees.is_empty() {
        let work = Work {
            fresh: &fresh,
            reports: &reports,
            changed: &changed,
            touched: &touched,
            epoch,
        };
        fold_changed(connection, &work, now, &mut applied).await?;
    }
    conflicts::of_decisions(connection, &repeated, &mut applied.conflicts).await?;
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
            | CommandBody::ChannelSwitch(_)
            | CommandBody::ResendMessage(_) => None,
        })
        .collect()
}

/// Decisions whose position wasn't applied yet, where the first one for a position counts; and
/// the others.
async fn fresh_decisions<'a>(
    connection: &mut PgConnection,
    decisions: &'a [Decided],
) -> Result<(Vec<&'a Decided>, Vec<&'a Decided>), LedgerError> {
    let mut first: BTreeMap<Position, &Decided> = BTreeMap::new();
    let mut repeated = Vec::new();
    for decided in decisions {
        match first.entry(decided.decision.source) {
            Entry::Vacant(entry) => {
                entry.insert(decided);
            }
            Entry::Occupied(_) => repeated.push(decided),
        }
    }
    let unapplied = positions::apply_once(connection, &first.keys().copied().collect()).await?;
    let (fresh, known): (Vec<_>, Vec<_>) = first
        .into_iter()
        .partition(|(position, _)| unapplied.contains(position));
    repeated.extend(known.into_iter().map(|(_, decided)| decided));
    let fresh = fresh.into_iter().map(|(_, decided)| decided).collect();
    Ok((fresh, repeated))
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
    epoch: Epoch,
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
        epoch,
    } = work;
    locks::click_partitions(connection, changed.keys().copied()).await?;
    let mut history = history::load(
        connection,
        changed,
        reports,
        &touched.payees,
        epoch.retired_before,
    )
    .await?;
    payouts::apply(connection, &touched.payouts).await?;
    if !epoch.rebuilding {
        applied.payouts_cancelled +=
            payouts::cancel_queued(connection, &touched.given_up, now).await?;
    }
    history.load_commands_and_payments(connection).await?;

    let states = settle(&history.neighbourhood, &history.scope);
    let places = fold::places(&states);
    let tables = write::read_tables(connection, &states, &history).await?;
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
            ConversionRow {
                report,
                encoded: encoded[&report.position],
                place,
            }
        })
        .collect();
    ConversionRow::insert(connection, &rows).await?;
    keep_claimants(connection, reports).await?;
    write::write(connection, &changes).await?;
    applied.claims_changed = changes.rows.len();
    if epoch.rebuilding {
        return Ok(());
    }
    write::tell(connection, &changes, epoch.number).await?;
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
