//! What operators are told without asking: campaigns gone quiet, and what waits among the dead
//! letters.

use std::{sync::Arc, time::Duration};

use prometheus::{IntGaugeVec, Opts, Registry};
use sqlx::PgPool;
use stream::{Clock, Log};
use tokio_util::sync::CancellationToken;

use crate::{
    dead_letters::{DeadLetterError, DeadLetters},
    silence::{self, SilenceError, SilenceMetrics},
};

/// Between two looks: whole hours are compared, and a ledger that is behind is asked again soon.
const INTERVAL: Duration = Duration::from_mins(10);

/// Looks again and again, for the metrics.
pub struct Watch {
    pool: PgPool,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    silence: SilenceMetrics,
    dead_letters: IntGaugeVec,
}

impl Watch {
    /// Over connections of the operator.
    ///
    /// # Errors
    /// When its metrics are registered already.
    pub fn new(
        pool: PgPool,
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let dead_letters = IntGaugeVec::new(
            Opts::new(
                "hissaback_dead_letters",
                "Dead letters in the log, by the stage that gave up, its reason, and what became of them.",
            ),
            &["stage", "reason", "state"],
        )?;
        registry.register(Box::new(dead_letters.clone()))?;
        Ok(Self {
            pool,
            log,
            clock,
            silence: SilenceMetrics::register(registry)?,
            dead_letters,
        })
    }

    /// Looks until `shutdown`. What can't be seen now is seen the next time.
    pub async fn run(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let looks = async {
                if let Err(error) = self.look_for_silence().await {
                    tracing::warn!(%error, "whether campaigns are silent isn't known");
                }
                if let Err(error) = self.count_dead_letters().await {
                    tracing::warn!(%error, "dead letters can't be counted");
                }
                tokio::time::sleep(INTERVAL).await;
            };
            shutdown.run_until_cancelled(looks).await;
        }
    }

    async fn look_for_silence(&self) -> Result<(), SilenceError> {
        let now = self.clock.now();
        let report = silence::look(&self.pool, &*self.log, now).await?;
        for campaign in &report.silent {
            tracing::warn!(
                campaign_id = %campaign.campaign_id, since = %campaign.since,
                seen = campaign.seen, expected = campaign.expected, "a campaign has gone quiet"
            );
        }
        self.silence.tell(&report);
        Ok(())
    }

    async fn count_dead_letters(&self) -> Result<(), DeadLetterError> {
        let letters = DeadLetters {
            pool: &self.pool,
            log: &*self.log,
        };
        let counts = letters.count().await?;
        // What is trimmed away is no more.
        self.dead_letters.reset();
        for ((stage, reason, state), count) in counts {
            let labels = [stage.as_str(), reason.as_str(), state.name()];
            self.dead_letters.with_label_values(&labels).set(count);
        }
        Ok(())
    }
}
