//! The invariants of design section 9, as queries: each with its figure, its threshold and, when
//! broken, the offending rows.
//!
//! All queries of an audit see one snapshot of PostgreSQL. What has to be compared with the log or
//! with ClickHouse, which move on, is compared only where they stand at the same watermark, and is
//! *not checked* otherwise. Invariant 7 (a rebuilt ledger equals the ledger) takes a replay and is
//! no query.

mod analytics;
mod checks;
mod log;
mod orders;
mod report;

use std::sync::Arc;

use clickhouse::Client;
use sinks::analytics::completeness::TotalsError;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row};
use stream::{Log, LogError};

use checks::{CHECKS, Check};

pub use report::{AuditReport, Finding, Invariant, Verdict};

/// How many offending rows a finding shows.
const OFFENDING_ROWS_MAX: i64 = 20;

/// Why the invariants can't be checked.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// PostgreSQL can't be read.
    #[error("the audit can't read the ledger: {0}")]
    Database(#[from] sqlx::Error),
    /// The log can't be read.
    #[error("the audit can't read the log: {0}")]
    Log(#[from] LogError),
    /// ClickHouse can't be read.
    #[error("the audit can't read ClickHouse: {0}")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// ClickHouse's sums can't be had.
    #[error(transparent)]
    Totals(#[from] TotalsError),
    /// A stored value isn't what the schema allows.
    #[error("the audit found a value that can't be read: {0}")]
    Invalid(String),
}

/// Audits one installation, again and again.
#[derive(Clone)]
pub struct Auditor {
    /// Connections as an operator, or as the writer.
    pub pool: PgPool,
    /// The log that the ledger follows.
    pub log: Arc<dyn Log>,
    /// ClickHouse, where analytics is on.
    pub clickhouse: Option<Client>,
}

impl Auditor {
    /// Checks all invariants: see [`audit`].
    ///
    /// # Errors
    /// When something can't be read.
    pub async fn audit(&self) -> Result<AuditReport, AuditError> {
        audit(&self.pool, self.clickhouse.as_ref(), &*self.log).await
    }
}

/// Checks all invariants. Without ClickHouse, those that concern it are not checked.
///
/// # Errors
/// When something can't be read; a broken invariant is no error, but a finding.
pub async fn audit(
    pool: &PgPool,
    clickhouse: Option<&Client>,
    log: &dyn Log,
) -> Result<AuditReport, AuditError> {
    let mut findings = ledger_findings(pool, log, |_| true).await?;
    findings.push(analytics::check(pool, clickhouse, log).await?);
    findings.sort_by_key(|finding| finding.invariant.number);
    Ok(AuditReport::new(findings))
}

/// What is broken of the invariants that payments rest on: while there is any, nothing is paid.
///
/// # Errors
/// When something can't be read.
pub async fn broken_money_invariants(
    pool: &PgPool,
    log: &dyn Log,
) -> Result<Vec<Finding>, AuditError> {
    let mut findings = ledger_findings(pool, log, |invariant| invariant.money).await?;
    findings.retain(Finding::broken);
    Ok(findings)
}

/// What PostgreSQL and the log tell.
async fn ledger_findings(
    pool: &PgPool,
    log: &dyn Log,
    wanted: impl Fn(&Invariant) -> bool,
) -> Result<Vec<Finding>, AuditError> {
    let mut snapshot = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut *snapshot)
        .await?;
    // Hashed groups of a large ledger spill again and again where their number is misjudged; sorted
    // ones take a time that grows with it.
    sqlx::query("SET LOCAL enable_hashagg = off")
        .execute(&mut *snapshot)
        .await?;
    let mut findings = Vec::new();
    for check in CHECKS.iter().filter(|check| wanted(&check.invariant)) {
        findings.push(run(&mut snapshot, check).await?);
    }
    if wanted(&orders::INVARIANT) {
        findings.push(orders::check(&mut snapshot).await?);
    }
    if wanted(&checks::WHOLE_MINOR_UNITS) {
        findings.push(whole_minor_units(&mut snapshot).await?);
    }
    if wanted(&log::INVARIANT) {
        findings.push(log::check(&mut snapshot, log).await?);
    }
    snapshot.commit().await?;
    Ok(findings)
}

/// Runs a query whose rows are the offending ones.
async fn run(connection: &mut PgConnection, check: &Check) -> Result<Finding, AuditError> {
    // Every query is a constant of this program.
    let query = format!(
        "SELECT count(*) OVER () AS offending, to_jsonb(o) AS shown FROM ({}) AS o LIMIT $1",
        check.offending
    );
    let rows = sqlx::query(AssertSqlSafe(query))
        .bind(OFFENDING_ROWS_MAX)
        .fetch_all(connection)
        .await?;
    let offending: i64 = match rows.first() {
        Some(row) => row.try_get("offending")?,
        None => 0,
    };
    let shown = rows
        .iter()
        .map(|row| row.try_get("shown"))
        .collect::<Result<_, _>>()?;
    Ok(Finding::of_rows(check.invariant, offending, shown))
}

/// Parts have no digits beyond their currency's minor unit, whose number PostgreSQL doesn't know.
async fn whole_minor_units(connection: &mut PgConnection) -> Result<Finding, AuditError> {
    let rows: Vec<(String, i32)> = sqlx::query_as(
        "SELECT currency::text, max(greatest(
                    min_scale(expected_commission), min_scale(expected_subsidy),
                    min_scale(expected_fee), min_scale(user_amount), min_scale(creator_amount),
                    min_scale(posted_commission), min_scale(posted_subsidy),
                    min_scale(posted_fee), min_scale(posted_user), min_scale(posted_creator),
                    min_scale(paid_amount)))
         FROM ledger GROUP BY currency
         UNION ALL
         SELECT currency::text, max(min_scale(amount)) FROM postings GROUP BY currency",
    )
    .fetch_all(connection)
    .await?;
    let mut offending = Vec::new();
    for (code, places) in rows {
        let currency: schemas::Currency = code
            .parse()
            .map_err(|error| AuditError::Invalid(format!("currency {code:?}: {error}")))?;
        if i64::from(places) > i64::from(currency.exponent()) {
            offending.push(serde_json::json!({ "currency": code, "decimal_places": places }));
        }
    }
    let count = i64::try_from(offending.len()).unwrap_or(i64::MAX);
    Ok(Finding::of_rows(
        checks::WHOLE_MINOR_UNITS,
        count,
        offending,
    ))
}
