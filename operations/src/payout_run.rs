//! The payout run as an operation: only on a ledger that has folded everything, and whose books
//! are right (design sections 6 and 7).

use std::{sync::Arc, time::Duration};

use schemas::{TenantId, Timestamp};
use sinks::{
    ledger::{
        LedgerError,
        payout_hold::PayoutHold,
        payout_run::{self, PayoutRunSummary, Scope},
    },
    payouts::{AgcodConfig, Rail},
};
use sqlx::PgPool;
use stream::{Clock, Log};

use crate::{
    advisory_lock::AdvisoryLock,
    audit::{self, AuditError},
    caught_up::{self, CaughtUpError},
    payout_hold,
};

pub use sinks::ledger::payout_run::{PayoutRunSummary as Summary, Skip, Totals};

/// Whoever pays holds it.
const LOCK: &str = "hissaback.payout_run";

/// Makes payout runs. Any number of processes may; an advisory lock lets one work.
#[derive(Clone)]
pub struct PayoutRuns {
    /// Connections as the writer.
    pub pool: PgPool,
    /// The log that the ledger follows.
    pub log: Arc<dyn Log>,
    /// The time port.
    pub clock: Arc<dyn Clock>,
    /// The rail's account: its currency is what is paid.
    pub account: AgcodConfig,
    /// How long to wait for the ledger to catch up, in real time.
    pub patience: Duration,
}

/// Why a run didn't start, or didn't finish.
#[derive(Debug, thiserror::Error)]
pub enum PayoutRunError {
    /// `as_of` lies ahead of the clock: what will have matured then isn't known.
    #[error("as_of {as_of} lies in the future, it is {now}")]
    AsOfInFuture {
        /// What was asked for.
        as_of: Timestamp,
        /// The present.
        now: Timestamp,
    },
    /// Another process is at it.
    #[error("a payout run is going on")]
    Running,
    /// The ledger hasn't folded what the log holds.
    #[error(transparent)]
    CaughtUp(#[from] CaughtUpError),
    /// A money invariant was broken: nothing is paid until an operator has seen to it.
    #[error("{0}")]
    Held(PayoutHold),
    /// The invariants can't be checked.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The lock can't be taken, or the hold not read.
    #[error("the payout run's lock: {0}")]
    Lock(#[from] sqlx::Error),
    /// The run broke off. Who was paid stays paid, and a repeated run pays the others.
    #[error(transparent)]
    Ledger(LedgerError),
}

impl From<LedgerError> for PayoutRunError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::PayoutsHeld(hold) => Self::Held(hold),
            other => Self::Ledger(other),
        }
    }
}

impl PayoutRuns {
    /// Pays what has matured before `as_of` (the present, if absent). A dry run counts and
    /// changes nothing.
    ///
    /// # Errors
    /// See [`PayoutRunError`].
    pub async fn run(
        &self,
        as_of: Option<Timestamp>,
        dry_run: bool,
    ) -> Result<PayoutRunSummary, PayoutRunError> {
        self.run_for(None, as_of, dry_run).await
    }

    /// As [`PayoutRuns::run`], for one tenant's shoppers where one is named.
    ///
    /// # Errors
    /// See [`PayoutRunError`].
    pub async fn run_for(
        &self,
        tenant_id: Option<TenantId>,
        as_of: Option<Timestamp>,
        dry_run: bool,
    ) -> Result<PayoutRunSummary, PayoutRunError> {
        let now = self.clock.now();
        let as_of = as_of.unwrap_or(now);
        if as_of > now {
            return Err(PayoutRunError::AsOfInFuture { as_of, now });
        }
        let lock = AdvisoryLock::take(&self.pool, LOCK).await?;
        let lock = lock.ok_or(PayoutRunError::Running)?;
        let scope = Scope {
            as_of,
            tenant_id,
            dry_run,
        };
        let outcome = self.run_alone(scope).await;
        lock.release().await?;
        outcome
    }

    async fn run_alone(&self, scope: Scope) -> Result<PayoutRunSummary, PayoutRunError> {
        caught_up::wait_until_caught_up(&*self.log, &self.pool, self.patience).await?;
        let broken = audit::broken_money_invariants(&self.pool, &*self.log).await?;
        if let Some(hold) = payout_hold::raise(&self.pool, &broken).await? {
            return Err(PayoutRunError::Held(hold));
        }
        let rails = [Rail::Agcod(self.account.clone())];
        let summary = payout_run::run(&self.pool, &rails, scope).await?;
        tracing::info!(
            as_of = %scope.as_of,
            dry_run = scope.dry_run,
            cards = summary.paid_count,
            amount = %summary.paid_amount,
            "payout run"
        );
        Ok(summary)
    }
}
