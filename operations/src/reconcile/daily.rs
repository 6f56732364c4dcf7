//! The network's own list, once a day, for every tenant: pulled once an account, compared tenant by
//! tenant, what is missing appended.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use schemas::{Amount, NetworkId, TenantId, Timestamp, events::ReportSource};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use stream::Clock;

use super::{Break, BreakSink, ReconcileError, ReconcileSettings, ReconcileSummary, Reconciler};
use crate::{
    advisory_lock::AdvisoryLock,
    caught_up::{self, CaughtUpError},
    trackier::{
        Account, Client, TrackierError,
        pull::{PullError, PullSummary, pull},
        spool::{PullHeader, Spool, SpoolError},
    },
};

const LOCK: &str = "hissaback.network_reconciliation";
const ACTION: &str = "network_reconciliation";
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// How long the ledger may take to fold what was appended.
const FOLDING_MAX: Duration = Duration::from_hours(1);

/// Reconciles every tenant with what the network lists.
pub struct DailyReconciliation {
    /// What compares; made anew for each run, since it holds a snapshot of the reference data.
    pub reconciler: Reconciler,
    /// Connections as the writer, to see what is folded.
    pub writer: PgPool,
    /// The network instance.
    pub network_id: NetworkId,
    /// How far back conversions are listed, in days: what is older doesn't change any more.
    pub window_days: i64,
    /// Whether to append what is proposed.
    pub apply: bool,
}

/// An account, and whose conversions it lists.
pub struct TenantsOfAccount {
    /// The account.
    pub account: Account,
    /// Tenants that are compared with its list.
    pub tenants: Vec<TenantId>,
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct DailyOutcome {
    /// Tenants that were compared.
    pub compared: u64,
    /// What kept others from it. They are due again at once.
    pub failures: Vec<DailyError>,
}

/// What the audit log keeps of a tenant's comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// As of when.
    pub as_of: Timestamp,
    /// Breaks by kind.
    pub breaks: BTreeMap<String, u64>,
    /// Rows that were compared.
    pub compared: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// Rows that were appended.
    pub appended: u64,
    /// Days of which the list did not settle.
    pub unsettled_days: u64,
}

/// Why there was no reconciliation.
#[derive(Debug, thiserror::Error)]
pub enum DailyError {
    /// The list can't be had.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The account's client can't be made.
    #[error(transparent)]
    Client(#[from] TrackierError),
    /// The list can't be kept.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The ledger did not fold what the log holds.
    #[error(transparent)]
    CaughtUp(#[from] CaughtUpError),
    /// A comparison had no end.
    #[error("tenant {tenant_id}: {source}")]
    Reconcile {
        /// Whose.
        tenant_id: TenantId,
        /// Why.
        source: ReconcileError,
    },
    /// What was done can't be read or noted.
    #[error("the audit log can't be read or written: {0}")]
    Database(#[from] sqlx::Error),
    /// What was done has no JSON form, which it always has.
    #[error("a comparison can't be noted: {0}")]
    Noted(#[from] serde_json::Error),
}

/// Breaks are counted by the summary; a person who wants to see them runs the command.
struct Unseen;

impl BreakSink for Unseen {
    fn take(&mut self, _: &Break) -> std::io::Result<()> {
        Ok(())
    }
}

impl DailyReconciliation {
    /// Reconciles the tenants that weren't within the last day; `None` where another instance is at
    /// it. One account's trouble is not another's, nor one tenant's.
    ///
    /// # Errors
    /// When it can't be told whose turn it is.
    pub async fn run(
        &self,
        accounts: &[TenantsOfAccount],
    ) -> Result<Option<DailyOutcome>, DailyError> {
        let Some(mut lock) = AdvisoryLock::take(&self.reconciler.pool, LOCK).await? else {
            return Ok(None);
        };
        let mut outcome = DailyOutcome::default();
        for account in accounts {
            let run = self.run_account(account, &mut lock, &mut outcome).await;
            outcome.failures.extend(run.err());
        }
        lock.release().await?;
        Ok(Some(outcome))
    }

    async fn run_account(
        &self,
        account: &TenantsOfAccount,
        lock: &mut AdvisoryLock,
        outcome: &mut DailyOutcome,
    ) -> Result<(), DailyError> {
        let now = self.reconciler.clock.now();
        let last = last_compared(&self.reconciler.pool).await?;
        let due = |tenant_id: &&TenantId| {
            let last = last.get(*tenant_id);
            last.is_none_or(|last| now.millis_since(last.as_of) >= DAY_MS)
        };
        let tenants: Vec<TenantId> = account.tenants.iter().filter(due).copied().collect();
        if tenants.is_empty() {
            return Ok(());
        }
        let header = PullHeader {
            network_id: self.network_id,
            from: now.plus_millis(-self.window_days * DAY_MS),
            to: now,
            as_of: now,
        };
        let client = Client::new(account.account.clone())?;
        let mut spool = Spool::temporary(header)?;
        let pulled = pull(&client, &mut spool, |_| ()).await?;
        tracing::info!(?pulled, "the network's list");
        for tenant_id in tenants {
            match self.run_tenant(tenant_id, &mut spool, &pulled).await {
                Ok(()) => outcome.compared += 1,
                Err(error) => outcome.failures.push(error),
            }
            lock.confirm().await?;
        }
        Ok(())
    }

    async fn run_tenant(
        &self,
        tenant_id: TenantId,
        spool: &mut Spool,
        pulled: &PullSummary,
    ) -> Result<(), DailyError> {
        self.folded().await?;
        let settings = self.settings(tenant_id, spool.header());
        let rows = spool.rows()?;
        let reconciled = self
            .reconciler
            .reconcile(rows, settings, &mut Unseen, |_| ())
            .await;
        let summary = reconciled.map_err(|source| DailyError::Reconcile { tenant_id, source })?;
        if summary.appended > 0 {
            self.folded().await?;
        }
        tracing::info!(%tenant_id, breaks = ?summary.breaks, appended = summary.appended,
                       "reconciled with the network");
        self.note(tenant_id, settings.as_of, &summary, pulled).await
    }

    fn settings(&self, tenant_id: TenantId, header: PullHeader) -> ReconcileSettings {
        ReconcileSettings {
            tenant_id,
            network_id: header.network_id,
            source: ReportSource::Api,
            as_of: header.as_of,
            // The API's times are UTC, and say so.
            utc_offset_minutes: 0,
            tolerance: Amount::ZERO,
            from: Some(header.from),
            to: Some(header.to),
            apply: self.apply,
        }
    }

    async fn folded(&self) -> Result<(), DailyError> {
        let log = Arc::clone(&self.reconciler.log);
        Ok(caught_up::wait_until_caught_up(log.as_ref(), &self.writer, FOLDING_MAX).await?)
    }

    async fn note(
        &self,
        tenant_id: TenantId,
        as_of: Timestamp,
        summary: &ReconcileSummary,
        pulled: &PullSummary,
    ) -> Result<(), DailyError> {
        let breaks = summary.breaks.iter();
        let compared = Compared {
            as_of,
            breaks: breaks
                .map(|(kind, count)| ((*kind).to_owned(), *count))
                .collect(),
            compared: summary.compared,
            refused: summary.refused,
            appended: summary.appended,
            unsettled_days: pulled.unsettled.len() as u64,
        };
        sqlx::query(
            "INSERT INTO audit_log (author, action, subject, detail) VALUES ('schedule', $1, $2, $3)",
        )
        .bind(ACTION)
        .bind(tenant_id.to_string())
        .bind(serde_json::to_value(compared)?)
        .execute(&self.reconciler.pool)
        .await?;
        Ok(())
    }
}

/// Each tenant's last comparison.
///
/// # Errors
/// When the audit log can't be read.
pub async fn last_compared(pool: &PgPool) -> sqlx::Result<BTreeMap<TenantId, Compared>> {
    let noted: Vec<(String, serde_json::Value)> = sqlx::query_as(
        "SELECT DISTINCT ON (subject) subject, detail FROM audit_log
         WHERE action = $1 ORDER BY subject, audit_id DESC",
    )
    .bind(ACTION)
    .fetch_all(pool)
    .await?;
    let read = |(subject, detail): (String, serde_json::Value)| {
        let damaged = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
        let tenant_id = subject.parse().map_err(|error| damaged(Box::new(error)))?;
        let compared = serde_json::from_value(detail).map_err(|error| damaged(Box::new(error)))?;
        Ok((tenant_id, compared))
    };
    noted.into_iter().map(read).collect()
}
