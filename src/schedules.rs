//! Scheduled work: the audit, the daily payout run with its retries, the daily comparison with the
//! gift-card service, retention, and the daily verification.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use operations::{
    audit::Auditor,
    payout_hold,
    payout_run::PayoutRuns,
    payouts::reconciliation::{Kind, Reconciler},
    retention::{self, Periods, RetentionError, Stores},
    verification::{Scratch, ScratchConnections, Verification, VerifyError, VerifySettings},
};
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use schemas::Timestamp;
use serde::{Deserialize, Serialize};
use sinks::payouts::{CHANNEL, Store, store::rates::CallRate};
use sqlx::PgPool;
use stream::{Clock, Log};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Between two retention runs, the first at start. A run that finds nothing costs next to nothing.
const RETENTION_INTERVAL: Duration = Duration::from_hours(24);
/// After one that failed: a table in use, a service away.
const RETENTION_RETRY_INTERVAL: Duration = Duration::from_hours(1);
const AUDIT_INTERVAL: Duration = Duration::from_mins(1);
/// How often it is asked whether a daily job is due.
const DUE_CHECK_INTERVAL: Duration = Duration::from_mins(10);
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// A day is compared once it is so long over: what was under way at its end has ended by then.
const RECONCILE_AFTER_MS: i64 = 60 * 60 * 1_000;

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

/// The payout run once a day, or as often as is configured, and before it another try for payouts
/// that found no answer. When the last one was stands in the audit log, so that restarts neither
/// skip nor repeat one. Then the comparison of the day before with the gift-card service.
pub struct Payouts {
    runs: PayoutRuns,
    store: Store,
    pool: PgPool,
    clock: Arc<dyn Clock>,
    schedule: PayoutSchedule,
    findings: IntGaugeVec,
    compared_at: IntGauge,
}

/// When payouts are made without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayoutSchedule {
    /// Hours between payout runs; `None`: only the endpoint and the command make them.
    pub run_every_hours: Option<NonZeroU32>,
    /// Whether each day is compared with what the gift-card service did.
    pub reconcile_daily: bool,
    /// The account's calls a second, of which the comparison takes its part.
    pub rate: CallRate,
}

impl Payouts {
    /// Over connections of the writer.
    ///
    /// # Errors
    /// When its metrics are registered already.
    pub fn new(
        runs: PayoutRuns,
        pool: PgPool,
        clock: Arc<dyn Clock>,
        schedule: PayoutSchedule,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let findings = IntGaugeVec::new(
            Opts::new(
                "hissaback_payout_reconciliation_findings",
                "Differences between payouts and the gift-card service at the last comparison",
            ),
            &["kind"],
        )?;
        let compared_at = IntGauge::new(
            "hissaback_payout_reconciled_timestamp_seconds",
            "Until when payouts were compared with the gift-card service; 0 before the first time",
        )?;
        registry.register(Box::new(findings.clone()))?;
        registry.register(Box::new(compared_at.clone()))?;
        Ok(Self {
            runs,
            store: Store::new(pool.clone(), CHANNEL),
            pool,
            clock,
            schedule,
            findings,
            compared_at,
        })
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
            if self.schedule.reconcile_daily
                && let Err(error) = self.reconcile().await
            {
                tracing::error!(%error, "payouts were not compared with the gift-card service");
            }
        }
    }

    async fn due(&self) -> sqlx::Result<bool> {
        let Some(hours) = self.schedule.run_every_hours else {
            return Ok(false);
        };
        sqlx::query_scalar(
            "SELECT NOT EXISTS (SELECT FROM audit_log
                 WHERE action = 'payout_run' AND at > now() - $1 * interval '1 hour')",
        )
        .bind(f64::from(hours.get()))
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
                if let Err(error) = self.note("payout_run", &summary).await {
                    tracing::error!(%error, "the payout run could not be noted: it is repeated");
                }
            }
            Err(error) => tracing::error!(%error, "no payout run"),
        }
    }

    /// Compares yesterday, unless somebody has; shows the last comparison, whoever made it.
    async fn reconcile(&self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let today = now.millis().div_euclid(DAY_MS) * DAY_MS;
        let over = now.millis() - today >= RECONCILE_AFTER_MS;
        let (from, to) = (
            Timestamp::from_millis(today - DAY_MS),
            Timestamp::from_millis(today),
        );
        let last: Option<serde_json::Value> = sqlx::query_scalar(
            "SELECT detail FROM audit_log
             WHERE action = 'payout_reconciliation' ORDER BY audit_id DESC LIMIT 1",
        )
        .fetch_optional(&self.pool)
        .await?;
        let compared: Option<Compared> = last.and_then(|last| serde_json::from_value(last).ok());
        if let Some(compared) = compared.filter(|compared| compared.to >= to || !over) {
            self.show(&compared);
            return Ok(());
        }
        if !over {
            return Ok(());
        }
        let reconciler = Reconciler {
            pool: self.pool.clone(),
            account: self.runs.account.clone(),
            rate: self.schedule.rate,
            clock: Arc::clone(&self.clock),
        };
        let report = reconciler.compare(from, to).await?;
        for finding in &report.findings {
            tracing::error!(?finding, "payouts and the gift-card service differ");
        }
        let compared = Compared {
            to,
            counts: report.counts(),
        };
        self.note("payout_reconciliation", &compared).await?;
        self.show(&compared);
        Ok(())
    }

    fn show(&self, compared: &Compared) {
        for kind in Kind::ALL {
            let count = compared.counts.get(&kind).copied().unwrap_or(0);
            let gauge = self.findings.with_label_values(&[kind.name()]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.compared_at.set(compared.to.millis() / 1_000);
    }

    async fn note(&self, action: &str, detail: &impl Serialize) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO audit_log (author, action, subject, detail)
             VALUES ('schedule', $1, $2, $3)",
        )
        .bind(action)
        .bind(CHANNEL)
        .bind(serde_json::to_value(detail)?)
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

/// What the audit log keeps of a comparison.
#[derive(Debug, Serialize, Deserialize)]
struct Compared {
    to: Timestamp,
    counts: BTreeMap<Kind, usize>,
}
