//! What is left of the prepaid funds, so that somebody can be told before they run out.

use std::sync::Arc;

use super::Worker;
use crate::payouts::{agcod::Failure, store::StoreError};

impl Worker {
    /// Asks, if nobody has for a while. That the rail doesn't say is no fault of payouts: the last
    /// word grows old, which is watched.
    pub(super) async fn look_at_funds(self: Arc<Self>) {
        if let Err(error) = self.ask_for_funds().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what is left of the funds can't be kept"
            );
        }
    }

    async fn ask_for_funds(&self) -> Result<(), StoreError> {
        let interval_ms = i64::try_from(self.config.limits.funds_interval_ms).unwrap_or(i64::MAX);
        if self.held().await || !self.store.funds_due(interval_ms).await? {
            return Ok(());
        }
        self.store.wait_to_ask_for_funds(self.rate).await?;
        match self.client.available_funds(self.clock.now()).await {
            Ok(Ok(funds)) => return self.store.note_funds(funds).await,
            Ok(Err(failure)) => {
                if matches!(failure, Failure::Throttled(_)) {
                    self.hold().await;
                }
                let detail = failure.detail().as_str();
                tracing::warn!(detail, "what is left of the funds isn't known");
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the funds can't be asked for"
            ),
        }
        Ok(())
    }
}
