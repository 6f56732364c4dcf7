//! What is kept as it comes, before anything is folded: clicks, commands, reports without a claim.

use std::collections::BTreeSet;

use processors::rules::history::Report;
use schemas::{
    EventId, Position,
    events::{Command, CommandBody},
};
use sqlx::PgConnection;

use super::{
    LedgerError,
    apply::Applied,
    batch::{Batch, Decided},
    conflicts,
    rows::{self, UnmatchedRow},
};

/// Inserts clicks, and lets parked reports that wait for them try again.
pub(super) async fn clicks(
    connection: &mut PgConnection,
    batch: &Batch,
    applied: &mut Applied,
) -> Result<(), LedgerError> {
    if batch.clicks.is_empty() {
        return Ok(());
    }
    let mut ids = BTreeSet::new();
    let first: Vec<_> = batch
        .clicks
        .iter()
        .filter(|click| ids.insert(click.click_id.get()))
        .collect();
    let inserted = rows::insert_clicks(connection, &first).await?;
    if inserted < batch.clicks.len() as u64 {
        conflicts::of_clicks(connection, &batch.clicks, &mut applied.conflicts).await?;
    }
    let ids: Vec<i64> = ids.into_iter().collect();
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
pub(super) async fn commands(
    connection: &mut PgConnection,
    commands: &[(Position, Command, bytes::Bytes)],
    applied: &mut Applied,
) -> Result<Vec<i64>, LedgerError> {
    let mut names = Vec::new();
    for (position, command, encoded) in commands {
        let subject = subject(&command.body).map(EventId::get);
        let inserted = sqlx::query(
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
        if inserted.rows_affected() == 0 {
            conflicts::of_command(connection, command, encoded, &mut applied.conflicts).await?;
        }
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
        | CommandBody::ChannelSwitch(_)
        | CommandBody::ResendMessage(_) => None,
    }
}

/// Keeps reports without a claim.
pub(super) async fn unmatched(
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
    UnmatchedRow::insert(connection, &unmatched).await?;
    Ok(())
}

/// Keeps reports on claims that are final, and folds none of them.
pub(super) async fn late(
    connection: &mut PgConnection,
    late: &[&Decided],
    applied: &mut Applied,
) -> Result<(), LedgerError> {
    let rows: Vec<UnmatchedRow> = late
        .iter()
        .map(|decided| UnmatchedRow::late(&decided.decision, &decided.encoded))
        .collect();
    for row in &rows {
        *applied.fates.entry(row.fate().to_owned()).or_default() += 1;
    }
    UnmatchedRow::insert(connection, &rows).await?;
    Ok(())
}
