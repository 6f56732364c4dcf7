//! The ledger as text, in one form: equal for equal histories, whatever way led there.
//!
//! A line of JSON for each thing that is in force: claims, balances, who claims which order,
//! payouts and their items. Whatever the database numbers (postings, transactions, outbox rows),
//! where records stood (partitions, offsets) and what came of each by the way is left out; claims,
//! clicks, people and payouts go by the ids that they have in the log. So the dump is the same
//! after a rebuild, from a log in other partitions or batches, and after somebody was erased.

use std::io::{self, Write};

use futures::TryStreamExt;
use schemas::TenantId;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};

/// What a dump came to. JSON: its fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CanonicalDump {
    /// SHA-256 of all bytes written, in hexadecimal: what `sha256sum` says of them.
    pub sha256: String,
    /// Claims.
    pub claims: u64,
    /// Accounts of tenants and users with something on them.
    pub balances: u64,
    /// Clicks whose reports named an order, one for each order.
    pub claimants: u64,
    /// Payouts, in whatever state.
    pub payouts: u64,
    /// Claims that payouts pay, one for each payout.
    pub payout_items: u64,
}

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// PostgreSQL can't be read.
    #[error("the dump can't read the ledger: {0}")]
    Database(#[from] sqlx::Error),
    /// The dump can't be written.
    #[error("the dump can't be written: {0}")]
    Output(#[from] io::Error),
}

/// Stands in the first line; another one makes another hash.
const FORMAT: u32 = 1;

const CLAIMS: &str = "
    SELECT 'claim' AS kind, led_id::text, tenant_id, campaign_id, link_id, offer_id, network_id,
           click_id::text, clicked_at, user_id, country, txn_id, goal_id, first_received_at,
           converted_at, payable_at, status, reasons, evidence, order_owner::text, network_status,
           trim_scale(order_value)::text AS order_value, currency,
           trim_scale(user_pct)::text AS user_pct, rating,
           trim_scale(expected_commission)::text AS expected_commission,
           trim_scale(expected_subsidy)::text AS expected_subsidy,
           trim_scale(expected_fee)::text AS expected_fee,
           trim_scale(user_amount)::text AS user_amount,
           trim_scale(creator_amount)::text AS creator_amount,
           trim_scale(posted_commission)::text AS posted_commission,
           trim_scale(posted_subsidy)::text AS posted_subsidy,
           trim_scale(posted_fee)::text AS posted_fee,
           trim_scale(posted_user)::text AS posted_user,
           trim_scale(posted_creator)::text AS posted_creator,
           trim_scale(paid_amount)::text AS paid_amount
    FROM ledger l WHERE $1 IS NULL OR tenant_id = $1
    ORDER BY l.led_id";

/// From the postings, not from what the rows say was posted.
const BALANCES: &str = r#"
    SELECT 'balance' AS kind, tenant_id, account, user_id, currency,
           trim_scale(sum(amount))::text AS amount
    FROM postings WHERE $1 IS NULL OR tenant_id = $1
    GROUP BY tenant_id, account, user_id, currency HAVING sum(amount) <> 0
    ORDER BY tenant_id, account COLLATE "C", user_id, currency COLLATE "C""#;

/// Who of them owns the order, and which are duplicates, stands in the claims.
const CLAIMANTS: &str = r#"
    SELECT 'claimant' AS kind, network_id, offer_id, txn_id, click_id::text, clicked_at
    FROM order_claims o
    WHERE $1 IS NULL OR EXISTS (
        SELECT FROM reports r
        WHERE r.click_id = o.click_id AND r.clicked_at = o.clicked_at AND r.tenant_id = $1)
    ORDER BY network_id, offer_id, txn_id COLLATE "C", o.click_id"#;

const PAYOUTS: &str = "
    SELECT 'payout' AS kind, payout_id, tenant_id, user_id, currency,
           trim_scale(amount)::text AS amount, method, as_of, creation_request_id,
           encode(sha256(request), 'hex') AS request_sha256, state, card_id, paid_at
    FROM payouts WHERE $1 IS NULL OR tenant_id = $1
    ORDER BY payout_id";

/// Claims as they were called when the payout was made: that is what the log holds.
const PAYOUT_ITEMS: &str = "
    SELECT 'payout_item' AS kind, payout_id, tenant_id, led_id::text,
           trim_scale(amount)::text AS amount
    FROM payout_items i WHERE $1 IS NULL OR tenant_id = $1
    ORDER BY payout_id, i.led_id";

/// Writes the whole ledger, or one tenant's part of it, as it stood at one moment. Takes as much
/// memory as a line, however large the ledger. The connection (an operator's, or the writer's) must
/// not be in a transaction.
///
/// # Errors
/// When the ledger can't be read, or `output` takes no more.
pub async fn write<W: Write>(
    connection: &mut PgConnection,
    tenant: Option<TenantId>,
    output: &mut W,
) -> Result<CanonicalDump, DumpError> {
    let mut snapshot = connection.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut *snapshot)
        .await?;
    sqlx::query("SET LOCAL timezone = 'UTC'")
        .execute(&mut *snapshot)
        .await?;
    let mut lines = Lines {
        output,
        hash: Sha256::new(),
    };
    let whose = tenant.map_or_else(|| "null".to_owned(), |tenant| format!("\"{tenant}\""));
    lines.write(&format!(
        r#"{{"kind":"ledger","format":{FORMAT},"tenant_id":{whose}}}"#
    ))?;
    let mut dump = CanonicalDump {
        sha256: String::new(),
        claims: lines.write_all(&mut snapshot, CLAIMS, tenant).await?,
        balances: lines.write_all(&mut snapshot, BALANCES, tenant).await?,
        claimants: lines.write_all(&mut snapshot, CLAIMANTS, tenant).await?,
        payouts: lines.write_all(&mut snapshot, PAYOUTS, tenant).await?,
        payout_items: lines.write_all(&mut snapshot, PAYOUT_ITEMS, tenant).await?,
    };
    snapshot.commit().await?;
    lines.output.flush()?;
    dump.sha256 = hex::encode(lines.hash.finalize());
    Ok(dump)
}

/// Lines on their way out, and the hash of those written.
struct Lines<'a, W> {
    output: &'a mut W,
    hash: Sha256,
}

impl<W: Write> Lines<'_, W> {
    /// A line for each row of a query, and their number.
    async fn write_all(
        &mut self,
        snapshot: &mut PgConnection,
        query: &'static str,
        tenant: Option<TenantId>,
    ) -> Result<u64, DumpError> {
        // Every query is a constant of this program.
        let query = sqlx::AssertSqlSafe(format!(
            "SELECT row_to_json(line)::text FROM ({query}) line"
        ));
        let mut rows = sqlx::query_scalar::<_, String>(query)
            .bind(tenant.map(TenantId::uuid))
            .fetch(snapshot);
        let mut written = 0;
        while let Some(row) = rows.try_next().await? {
            self.write(&row)?;
            written += 1;
        }
        Ok(written)
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        for bytes in [line.as_bytes(), b"\n"] {
            self.output.write_all(bytes)?;
            self.hash.update(bytes);
        }
        Ok(())
    }
}
