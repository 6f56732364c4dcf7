//! Scheduled work: the audit, and the daily payout run with its retries.

use std::{sync::Arc, time::Duration};

use operations::{audit::Auditor, payout_run::PayoutRuns};
use prometheus::{IntGaugeVec, Opts, Registry};
use sinks::payouts::{CHANNEL, Store};
use sqlx::PgPool;
use stream::Clock;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const AUDIT_INTERVAL: Duration = Duration::from_secs(60);
const PAYOUT_INTERVAL: Duration = Duration::from_secs(24 * 3_600);

/// The audit, again and again, as metrics.
pub struct Audit {
    auditor: Auditor,
    offending_rows: IntGaugeVec,
}

impl Audit {
    /// # Errors
    /// When its metric is registered already.
    pub fn new(auditor: Auditor, registry: &Registry) -> Result<Self, prometheus::Error> {
        let offending_rows = IntGaugeVec::new(
            Opts::new(
                "hissaback_audit_offending_rows",
                "Rows that offend against an invariant at the last audit; any is an alert.",
            ),
            &["invariant"],
        )?;
        registry.register(Box::new(offending_rows.clone()))?;
        Ok(Self {
            auditor,
            offending_rows,
        })
    }

    /// Audits until `shutdown`. What is broken is logged; payout runs check for themselves.
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
                }
                Err(error) => tracing::warn!(%error, "the audit could not be made"),
            }
        }
    }
}

/// The payout run once a day, and before it another try for payouts that found no answer.
pub struct Payouts {
    runs: PayoutRuns,
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Payouts {
    /// Over connections of the writer.
    pub fn new(runs: PayoutRuns, pool: PgPool, clock: Arc<dyn Clock>) -> Self {
        Self {
            runs,
            store: Store::new(pool, CHANNEL),
            clock,
        }
    }

    /// Runs until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        while shutdown
            .run_until_cancelled(sleep(PAYOUT_INTERVAL))
            .await
            .is_some()
        {
            match self.store.release_soft_errors(self.clock.now()).await {
                Ok(released) => tracing::info!(released, "payouts are tried again"),
                Err(error) => tracing::error!(%error, "payouts can't be tried again"),
            }
            match self.runs.run(None, false).await {
                Ok(summary) => tracing::info!(?summary, "payout run"),
                Err(error) => tracing::error!(%error, "no payout run"),
            }
        }
    }
}
