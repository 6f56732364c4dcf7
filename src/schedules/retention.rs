//! Retention, once a day.

use std::{sync::Arc, time::Duration};

use operations::retention::{self, Periods, RetentionError, Stores};
use sqlx::PgPool;
use stream::{Clock, Log};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Between two retention runs, the first at start. A run that finds nothing costs next to nothing.
const RETENTION_INTERVAL: Duration = Duration::from_hours(24);
/// After one that failed: a table in use, a service away.
const RETENTION_RETRY_INTERVAL: Duration = Duration::from_hours(1);

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
