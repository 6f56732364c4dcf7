//! The verification of the log against the ledger, once a day.

use std::sync::Arc;

use operations::verification::{
    Scratch, ScratchConnections, Verification, VerifyError, VerifySettings,
};
use prometheus::{IntGauge, Registry};
use sqlx::PgPool;
use stream::{Clock, Log};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::DUE_CHECK_INTERVAL;

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
