//! Outcomes are written down together: whatever has ended while the last batch was written is the
//! next batch.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::Worker;
use crate::payouts::{
    agcod::Outcome,
    store::{Concluded, Settlement, StoreError},
};

/// How often outcomes are tried to be written down. Should all fail, the attempts' leases run
/// out, and the identical requests find out again.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// Most outcomes in a transaction.
const BATCH: usize = 200;

/// What ended, and where to say what became of it.
pub(super) struct Ended {
    pub(super) concluded: Concluded,
    pub(super) recorded: oneshot::Sender<Recorded>,
}

/// An outcome that is written down, given back.
pub(super) struct Recorded {
    pub(super) settlement: Settlement,
    pub(super) outcome: Outcome,
}

impl Worker {
    /// Writes outcomes down until nobody can bring any more.
    pub(super) async fn record(&self, mut ended: mpsc::Receiver<Ended>) {
        let mut batch = Vec::with_capacity(BATCH);
        while ended.recv_many(&mut batch, BATCH).await > 0 {
            let (concluded, waiting): (Vec<_>, Vec<_>) = batch
                .drain(..)
                .map(|ended| (ended.concluded, ended.recorded))
                .unzip();
            match self.settle(&concluded).await {
                Ok(settlements) => {
                    for ((settlement, one), recorded) in
                        settlements.into_iter().zip(concluded).zip(waiting)
                    {
                        let outcome = one.outcome;
                        // Who waited is gone only with the process.
                        drop(recorded.send(Recorded {
                            settlement,
                            outcome,
                        }));
                    }
                }
                Err(error) => tracing::error!(
                    outcomes = concluded.len(),
                    error = &error as &dyn std::error::Error,
                    "outcomes of payout attempts can't be written down"
                ),
            }
        }
    }

    async fn settle(&self, concluded: &[Concluded]) -> Result<Vec<Settlement>, StoreError> {
        let mut tries = 1;
        loop {
            let policy = &self.config.limits.retry;
            let now = self.clock.now();
            let settled = self.store.settle(concluded, now, policy, self.lease_ms());
            match settled.await {
                Err(error) if tries < TRIES => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "writing outcomes down failed"
                    );
                    tokio::time::sleep(PAUSE * tries).await;
                    tries += 1;
                }
                Ok(settlements) => return Ok(settlements),
                Err(error) => return Err(error),
            }
        }
    }
}
