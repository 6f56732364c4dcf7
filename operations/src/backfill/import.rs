//! Rows of an export become reports.

use ingest::reason_name;
use schemas::{
    Timestamp, codec,
    events::{ConversionReported, ReportSource},
};
use stream::NewRecord;

use super::{Backfill, BackfillError, BackfillSettings, BackfillSummary, Batch, RefusedRow};
use crate::export::{ExportRow, RowContent, click_named};

/// Refused rows that a summary names; all of them are counted.
const REFUSED_ROWS_MAX: usize = 1_000;

/// What the rows of one run have in common.
pub(super) struct Import<'a> {
    pub(super) backfill: &'a Backfill,
    pub(super) settings: BackfillSettings,
    pub(super) as_of: Timestamp,
}

impl Import<'_> {
    /// Takes a row into the batch, or refuses it.
    pub(super) async fn take(
        &self,
        row: ExportRow,
        batch: &mut Batch,
        summary: &mut BackfillSummary,
    ) -> Result<(), BackfillError> {
        let mut name = |reason: String, kept| {
            if summary.refused_rows.len() < REFUSED_ROWS_MAX {
                let line = row.line;
                summary.refused_rows.push(RefusedRow { line, reason, kept });
            }
        };
        let content = match row.content {
            Ok(content) => content,
            Err(reason) => {
                name(reason, false);
                summary.refused += 1;
                return Ok(());
            }
        };
        if let Err(reason) = &content.outcome {
            name(reason_name(*reason).to_owned(), true);
            summary.malformed += 1;
        }
        let click_ref = content.click_ref.clone();
        let event = self.event(content).await?;
        let key = match (event.click_id, click_ref) {
            (Some(click_id), _) => click_id.to_string(),
            (None, Some(click_ref)) => click_ref,
            (None, None) => event.event_id.to_string(),
        };
        let record = NewRecord::new(key, codec::encode(&event)?);
        batch.bytes += record.bytes();
        batch.records.push(record);
        Ok(())
    }

    async fn event(&self, content: RowContent) -> Result<ConversionReported, BackfillError> {
        let keys = &self.backfill.token_keys;
        let click_ref = content.click_ref.as_deref();
        Ok(ConversionReported {
            event_id: self.backfill.event_ids.draw().await?,
            received_at: self.backfill.clock.now(),
            source: ReportSource::Csv,
            as_of: Some(self.as_of),
            network_id: self.settings.network_id,
            tenant_id: Some(self.settings.tenant_id),
            click_id: click_ref.and_then(|text| click_named(text, keys)),
            raw: content.raw,
            malformed: content.outcome.as_ref().err().copied(),
            reported: content.outcome.ok(),
            heal: None,
        })
    }
}
