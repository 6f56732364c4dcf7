//! Scheduled work: the audit, the daily payout run with its retries, retention, and the daily
//! verification.

use std::{sync::Arc, time::Duration};

use operations::{
    audit::Auditor,
    payout_hold,
    payout_run::{PayoutRuns, Summary as PayoutRunSummary},
    retention::{self, Periods, RetentionError, Stores},
    verification::{Scratch, ScratchConnections, Verification, VerifyError, VerifySettings},
};
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use sinks::payouts::{CHANNEL, Store};
use sqlx::PgPool;
use stream::{Clock, Log};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Between two retention runs, the first at start. A run that finds nothing costs next to nothing.
const RETENTION_INTERVAL: Duration = Duration::from_hours(24);
/// After one that failed: a table in use, a service away.
const RETENTION_RETRY_INTERVAL: Duration = Duration::from_hours(1);
const AUDIT_INTERVAL: Duration = Duration::from_mins(1);
/// How often it is asked whether the daily payout run is due.
const DUE_CHECK_INTERVAL: Duration = Duration::from_mins(10);

/// The audit, again and again, as metrics; and where money is concerned, as a hold on payouts.
pub struct Audit {
    auditor: Auditor,
    offending_rows: IntGaugeVec,
    payout_hold: IntGauge,
}

impl Audit {
    /// # Errors
    /// When its metrics are registered already.
    pub fn new(auditor: Auditor, registry: &Registry) -> Result<Self, prometheus::Error> {
        let offending_rows = IntGaugeVec::new(
            Opts::new(
                "hissaback_audit_offending_rows",
                "Rows that offend against an invariant at the last audit; any is an alert.",
            ),
            &["invariant"],
        )?;
        let payout_hold = IntGauge::new(
            "hissaback_payout_hold",
            "1 while payouts are held, since a money invariant was broken, until an operator lifts it.",
        )?;
        registry.register(Box::new(offending_rows.clone()))?;
        registry.register(Box::new(payout_hold.clone()))?;
        Ok(Self {
            auditor,
            offending_rows,
            payout_hold,
        })
    }

    /// Audits until `shutdown`. What is broken is logged; a broken money invariant holds payouts.
    pub async fn run(&self, shutdown: CancellationToken) {
        while shutdown
            .run_until_cancelled(sleep(AUDIT_INTERVAL))
            .await
            .is_some()
        {
            let Some(audited) = shutdown.run_until_cancelled(self.auditor.audit()).await else {
                return;
            };
            match audited {
                Ok(report) => {
                    for finding in &report.findings {
                        let gauge = self
                            .offending_rows
                            .with_label_values(&[finding.invariant.name]);
                        gauge.set(finding.figure);
                    }
                    if !report.ok {
                        tracing::error!(broken = ?report.broken(), "the audit found something");
                    }
                    match payout_hold::raise(&self.auditor.pool, &report.findings).await {
                        Ok(hold) => self.payout_hold.set(i64::from(hold.is_some())),
                        Err(error) => tracing::error!(%error, "whether payouts are held"),
                    }
                }
                Err(error) => tracing::warn!(%error, "the audit could not be made"),
            }
        }
    }
}

/// Partitions ahead, and what is past its period, once a day.
pub struct Retention {
    /// Connections of the operator.
    pub pool: PgPool,
    /// ClickHouse, unless analytics are off.
    pub clickhouse: Option<clickhouse::Client>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// The time port.
    pub clock: Arc<dyn Clock>,
    /// How long things are kept.
    pub periods: Periods,
}

impl Retention {
    /// Runs until `shutdown`. What fails is logged, and done by the next run.
    pub async fn run(&self, shutdown: CancellationToken) {
        loop {
            let stores = Stores {
                pool: &self.pool,
                clickhouse: self.clickhouse.as_ref(),
                log: &*self.log,
            };
            let run = retention::run(&stores, self.periods, self.clock.now(), false);
            let interval = match shutdown.run_until_cancelled(run).await {
                None => return,
                Some(Ok(_)) => RETENTION_INTERVAL,
                Some(Err(RetentionError::Running)) => {
                    tracing::info!("another instance sees to retention");
                    RETENTION_INTERVAL
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "retention");
                    RETENTION_RETRY_INTERVAL
                }
            };
            if shutdown
                .run_until_cancelled(sleep(interval))
                .await
                .is_none()
            {
                return;
            }
        }
    }
}

/// The payout run once a day, and before it another try for payouts that found no answer. When
/// the last one was stands in the audit log, so that restarts neither skip nor repeat one.
pub struct Payouts {
    runs: PayoutRuns,
    store: Store,
    pool: PgPool,
    clock: Arc<dyn Clock>,
}

impl Payouts {
    /// Over connections of the writer.
    pub fn new(runs: PayoutRuns, pool: PgPool, clock: Arc<dyn Clock>) -> Self {
        let store = Store::new(pool.clone(), CHANNEL);
        Self {
            runs,
            store,
            pool,
            clock,
        }
    }

    /// Runs until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        while shutdown
            .run_until_cancelled(sleep(DUE_CHECK_INTERVAL))
            .await
            .is_some()
        {
            match self.due().await {
                Ok(true) => self.pay().await,
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "whether a payout run is due isn't known"),
            }
        }
    }

    async fn due(&self) -> sqlx::Result<bool> {
        sqlx::query_scalar(
            "SELECT NOT EXISTS (SELECT FROM audit_log
                 WHERE action = 'payout_run' AND at > now() - interval '1 day')",
        )
        .fetch_one(&self.pool)
        .await
    }

    async fn pay(&self) {
        match self.store.release_soft_errors(self.clock.now()).await {
            Ok(released) => tracing::info!(released, "payouts are tried again"),
            Err(error) => tracing::error!(%error, "payouts can't be tried again"),
        }
        match self.runs.run(None, false).await {
            Ok(summary) => {
                tracing::info!(?summary, "payout run");
                if let Err(error) = self.note(&summary).await {
                    tracing::error!(%error, "the payout run could not be noted: it is repeated");
                }
            }
            Err(error) => tracing::error!(%error, "no payout run"),
        }
    }

    async fn note(&self, summary: &PayoutRunSummary) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO audit_log (author, action, subject, detail)
             VALUES ('schedule', 'payout_run', $1, $2)",
        )
        .bind(CHANNEL)
        .bind(serde_json::to_value(summary)?)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// The whole log folded anew once a day, and compared. When the last one was stands in the audit
/// log.
pub struct DailyVerification {
    log: Arc<dyn Log>,
    pool: PgPool,
    clock: Arc<dyn Clock>,
    connections: ScratchConnections,
    different: IntGauge,
}

impl DailyVerification {
    /// Over connections of the operator.
    ///
    /// # Errors
    /// When its metric is registered already.
    pub fn new(
        log: Arc<dyn Log>,
        pool: PgPool,
        clock: Arc<dyn Clock>,
        connections: ScratchConnections,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let different = IntGauge::new(
            "hissaback_verification_different_rows",
            "Lines in which ledger and log differed at the last verification; any is an alert.",
        )?;
        registry.register(Box::new(different.clone()))?;
        Ok(Self {
            log,
            pool,
            clock,
            connections,
            different,
        })
    }

    /// Runs until `shutdown`. One that is interrupted is made again from the beginning.
    pub async fn run(&self, shutdown: CancellationToken) {
        while shutdown
            .run_until_cancelled(sleep(DUE_CHECK_INTERVAL))
            .await
            .is_some()
        {
            match self.due().await {
                Ok(false) => {}
                Ok(true) => {
                    let verified = shutdown.run_until_cancelled(self.verify()).await;
                    if let Some(Err(error)) = verified {
                        tracing::error!(%error, "the log could not be verified");
                    }
                }
                Err(error) => tracing::error!(%error, "whether a verification is due isn't known"),
            }
        }
    }

    async fn due(&self) -> sqlx::Result<bool> {
        sqlx::query_scalar(
            "SELECT NOT EXISTS (SELECT FROM audit_log
                 WHERE action = 'verification' AND at > now() - interval '1 day')",
        )
        .fetch_one(&self.pool)
        .await
    }

    async fn verify(&self) -> anyhow::Result<()> {
        let scratch = match Scratch::make(&self.pool, self.connections.clone()).await {
            Ok(scratch) => scratch,
            Err(VerifyError::Running) => {
                tracing::info!("another instance verifies");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let verification = Verification {
            log: Arc::clone(&self.log),
            ledger: self.pool.clone(),
            scratch: scratch.pool.clone(),
            clock: Arc::clone(&self.clock),
        };
        let verified = verification
            .verify(&VerifySettings::default(), &|_, _| {})
            .await;
        scratch.drop().await?;
        let report = verified?;
        let different = report.only_in_ledger.max(report.only_in_refolded);
        self.different
            .set(i64::try_from(different).unwrap_or(i64::MAX));
        if report.equal {
            tracing::info!(sha256 = report.ledger.sha256, "ledger and log are equal");
        } else {
            tracing::error!(different, "the log folded anew isn't the ledger");
        }
        sqlx::query(
            "INSERT INTO audit_log (author, action, subject, detail)
             VALUES ('schedule', 'verification', $1, $2)",
        )
        .bind(&report.ledger.sha256)
        .bind(serde_json::to_value(&report)?)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
