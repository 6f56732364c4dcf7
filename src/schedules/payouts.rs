//! The daily payout run, and the daily comparison with the gift-card service.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use operations::{
    payout_run::PayoutRuns,
    payouts::reconciliation::{Kind, Reconciler},
};
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use schemas::Timestamp;
use serde::{Deserialize, Serialize};
use sinks::payouts::{CHANNEL, Store, store::rates::CallRate};
use sqlx::PgPool;
use stream::Clock;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::DUE_CHECK_INTERVAL;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// A day is compared once it is so long over: what was under way at its end has ended by then.
const RECONCILE_AFTER_MS: i64 = 60 * 60 * 1_000;

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

/// What the audit log keeps of a comparison.
#[derive(Debug, Serialize, Deserialize)]
struct Compared {
    to: Timestamp,
    counts: BTreeMap<Kind, usize>,
}
