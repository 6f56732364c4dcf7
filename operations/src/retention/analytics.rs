//! The same clicks in ClickHouse, whose months are those of PostgreSQL.

use chrono::Datelike;
use clickhouse::{Client, error::Result};
use schemas::{Timestamp, UserId};

/// Drops the months of clicks before an instant, and names them as `YYYYMM`.
pub(super) async fn drop_clicks(client: &Client, before: Timestamp) -> Result<Vec<u32>> {
    let before = before.to_datetime();
    let months: Vec<u32> = client
        .query(
            "SELECT DISTINCT toUInt32(partition) AS month FROM system.parts
             WHERE database = 'hissaback' AND table = 'clicks' AND active AND month < ?
             ORDER BY month",
        )
        .bind(before.year() * 100 + i32::try_from(before.month()).unwrap_or_default())
        .fetch_all()
        .await?;
    for month in &months {
        client
            .query("ALTER TABLE hissaback.clicks DROP PARTITION ?")
            .bind(month)
            .execute()
            .await?;
    }
    Ok(months)
}

/// Removes the addresses of a person's clicks, before this returns.
pub(super) async fn erase_addresses(client: &Client, user_id: UserId) -> Result<()> {
    // Made by the analytics sink, which may never have run.
    let tables: u64 = client
        .query("SELECT count() FROM system.tables WHERE database = 'hissaback' AND name = 'clicks'")
        .fetch_one()
        .await?;
    if tables == 0 {
        return Ok(());
    }
    client
        .query(
            "ALTER TABLE hissaback.clicks UPDATE address_hash = '', address_prefix = ''
             WHERE user_id = toUUID(?) SETTINGS mutations_sync = 1",
        )
        .bind(user_id.to_string())
        .execute()
        .await
}
