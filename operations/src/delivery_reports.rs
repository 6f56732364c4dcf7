//! The SMS gateway's word on messages that it took.

use std::sync::Arc;

use sinks::payouts::{StoreError, sms::UnreadableReport, store::delivery_reports};
use sqlx::PgPool;
use stream::Clock;

pub use sinks::payouts::sms::ReportFields;

/// Takes delivery reports.
#[derive(Clone)]
pub struct DeliveryReports {
    /// Connections as the writer.
    pub pool: PgPool,
    /// The time port.
    pub clock: Arc<dyn Clock>,
    /// How the gateway writes them.
    pub fields: ReportFields,
}

/// A report was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryReportError {
    /// The body is none.
    #[error(transparent)]
    Unreadable(#[from] UnreadableReport),
    /// There is no such message, or not yet.
    #[error("there is no such message")]
    Unknown,
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DeliveryReports {
    /// Records a report as the gateway posted it. Safe to repeat.
    ///
    /// # Errors
    /// See [`DeliveryReportError`].
    pub async fn take(&self, body: &[u8]) -> Result<(), DeliveryReportError> {
        let report = self.fields.read(body)?;
        let now = self.clock.now();
        if delivery_reports::record(&self.pool, &report, now).await? {
            Ok(())
        } else {
            Err(DeliveryReportError::Unknown)
        }
    }
}
