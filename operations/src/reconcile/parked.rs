//! What the log has of an export already, though no claim came of it: reports that are parked, or
//! that came too late for their claim.

use schemas::{
    NetworkId, codec,
    events::{Decision, Reported},
};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::{PAGE_ROWS, ReconcileError, staging::identity};

/// Notes the identity of every such report of a network, and what it says.
pub(super) async fn load(
    connection: &mut PgConnection,
    network: NetworkId,
) -> Result<(), ReconcileError> {
    let mut after = (-1, -1);
    loop {
        let page: Vec<(i32, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT source_partition, source_offset, decision FROM unmatched_conversions
             WHERE network_id = $1 AND state IN ('parked', 'ignored')
               AND (source_partition, source_offset) > ($2, $3)
             ORDER BY source_partition, source_offset LIMIT $4",
        )
        .bind(network.get())
        .bind(after.0)
        .bind(after.1)
        .bind(i64::from(PAGE_ROWS))
        .fetch_all(&mut *connection)
        .await?;
        let Some((partition, offset, _)) = page.last() else {
            return Ok(());
        };
        after = (*partition, *offset);
        let (mut identities, mut saids) = (Vec::new(), Vec::new());
        for (_, _, encoded) in &page {
            let decision: Decision = codec::decode(encoded)?;
            if let Some(fields) = &decision.reported {
                identities.push(identity(fields));
                saids.push(said(fields));
            }
        }
        sqlx::query(
            "INSERT INTO parked_reports SELECT * FROM unnest($1::bytea[], $2::bytea[])
             ON CONFLICT DO NOTHING",
        )
        .bind(&identities)
        .bind(&saids)
        .execute(&mut *connection)
        .await?;
    }
}

/// Of these rows, those that are parked as they stand, by index.
pub(super) async fn known(
    connection: &mut PgConnection,
    rows: &[&Reported],
) -> Result<Vec<bool>, ReconcileError> {
    let identities: Vec<Vec<u8>> = rows.iter().map(|fields| identity(fields)).collect();
    let saids: Vec<Vec<u8>> = rows.iter().map(|fields| said(fields)).collect();
    let known = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM parked_reports p
                        WHERE p.identity = r.identity AND p.said = r.said)
         FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS r (identity, said, number)
         ORDER BY number",
    )
    .bind(&identities)
    .bind(&saids)
    .fetch_all(connection)
    .await?;
    Ok(known)
}

/// A digest of everything that a report says.
fn said(fields: &Reported) -> Vec<u8> {
    Sha256::digest(format!("{fields:?}"))[..16].to_vec()
}
