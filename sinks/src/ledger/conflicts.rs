//! Records that contradict what is kept under the same key: kept beside it, counted, never folded.
//!
//! The log repeats records, and a repetition is no news. But the same click id with other facts,
//! the same command id with another body, another decision for the same report: each of these is a
//! defect somewhere before the ledger, which the first one that was read must not hide.

use std::collections::{BTreeMap, btree_map::Entry};

use bytes::Bytes;
use schemas::{
    Position, codec,
    events::{ClickRecorded, Command, Decision},
};
use serde::Serialize;
use sqlx::{PgConnection, Row};

use super::{LedgerError, batch::Decided};

/// How many conflicts there are, by kind: those that weren't known yet.
pub(super) type Conflicts = BTreeMap<&'static str, u64>;

/// Notes a record that isn't taken.
async fn note(
    connection: &mut PgConnection,
    kind: &'static str,
    key: &str,
    refused: &impl Serialize,
    conflicts: &mut Conflicts,
) -> Result<(), LedgerError> {
    let noted = sqlx::query(
        "INSERT INTO conflicts (kind, key, refused) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(kind)
    .bind(key)
    .bind(serde_json::to_value(refused)?)
    .execute(connection)
    .await?;
    if noted.rows_affected() > 0 {
        tracing::error!(
            kind,
            key,
            "a record contradicts the one that is kept: see conflicts"
        );
    }
    *conflicts.entry(kind).or_default() += noted.rows_affected();
    Ok(())
}

/// Compares clicks with those stored under their ids, in whatever month. Addresses are only
/// compared where they weren't erased.
pub(super) async fn of_clicks(
    connection: &mut PgConnection,
    clicks: &[ClickRecorded],
    conflicts: &mut Conflicts,
) -> Result<(), LedgerError> {
    let noted = sqlx::query(
        "INSERT INTO conflicts (kind, key, refused)
         SELECT 'click', n.click_id::text, to_jsonb(n) - '{address_hash,address_prefix}'::text[]
         FROM json_populate_recordset(NULL::clicks, $1::json) AS n
         JOIN clicks c ON c.click_id = n.click_id
         WHERE (to_jsonb(n) - '{address_hash,address_prefix}'::text[]
                <> to_jsonb(c) - '{address_hash,address_prefix}'::text[]
                OR n.address_hash <> c.address_hash OR n.address_prefix <> c.address_prefix)
         ON CONFLICT DO NOTHING",
    )
    .bind(serde_json::to_string(clicks)?)
    .execute(connection)
    .await?;
    if noted.rows_affected() > 0 {
        tracing::error!(
            clicks = noted.rows_affected(),
            "clicks contradict those that are kept: see conflicts"
        );
    }
    *conflicts.entry("click").or_default() += noted.rows_affected();
    Ok(())
}

/// Compares a command with the one stored under its id.
pub(super) async fn of_command(
    connection: &mut PgConnection,
    command: &Command,
    encoded: &Bytes,
    conflicts: &mut Conflicts,
) -> Result<(), LedgerError> {
    let kept: Vec<u8> = sqlx::query_scalar("SELECT body FROM commands WHERE command_id = $1")
        .bind(command.command_id.get())
        .fetch_one(&mut *connection)
        .await?;
    if kept != encoded[..] && codec::decode::<Command>(&kept)? != *command {
        let key = command.command_id.to_string();
        note(connection, "command", &key, command, conflicts).await?;
    }
    Ok(())
}

/// Compares decisions with those stored for the same reports. A report that is past its period is
/// compared with nothing.
pub(super) async fn of_decisions(
    connection: &mut PgConnection,
    repeated: &[&Decided],
    conflicts: &mut Conflicts,
) -> Result<(), LedgerError> {
    if repeated.is_empty() {
        return Ok(());
    }
    let (partitions, offsets): (Vec<i32>, Vec<i64>) = repeated
        .iter()
        .map(|decided| decided.decision.source)
        .map(|source| (source.partition, source.offset))
        .unzip();
    let rows = sqlx::query(
        "WITH repeated AS (SELECT * FROM unnest($1::int[], $2::bigint[])
                           AS r (source_partition, source_offset))
         SELECT source_partition, source_offset, decision
         FROM repeated JOIN conversions USING (source_partition, source_offset)
         UNION
         SELECT source_partition, source_offset, decision
         FROM repeated JOIN unmatched_conversions USING (source_partition, source_offset)",
    )
    .bind(&partitions)
    .bind(&offsets)
    .fetch_all(&mut *connection)
    .await?;
    let mut kept: BTreeMap<(i32, i64), Vec<u8>> = BTreeMap::new();
    for row in &rows {
        let position = (
            row.try_get("source_partition")?,
            row.try_get("source_offset")?,
        );
        kept.insert(position, row.try_get("decision")?);
    }
    for decided in repeated {
        let Position {
            partition, offset, ..
        } = decided.decision.source;
        let Entry::Occupied(kept) = kept.entry((partition, offset)) else {
            continue;
        };
        if *kept.get() != decided.encoded[..]
            && codec::decode::<Decision>(kept.get())? != decided.decision
        {
            let key = decided.decision.source.to_string();
            note(connection, "decision", &key, &decided.decision, conflicts).await?;
        }
    }
    Ok(())
}
