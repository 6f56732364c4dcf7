//! The audit, again and again.

use std::time::Duration;

use operations::{audit::Auditor, payout_hold};
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const AUDIT_INTERVAL: Duration = Duration::from_mins(1);
/// An audit reads the whole ledger: it is left alone for so many times as long as it took.
const REST: u32 = 10;

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
        let mut pause = AUDIT_INTERVAL;
        while shutdown.run_until_cancelled(sleep(pause)).await.is_some() {
            let begun = Instant::now();
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
            pause = AUDIT_INTERVAL.max(begun.elapsed() * REST);
        }
    }
}
