//! Rows of an export become reports.

use csv::ByteRecord;
use ingest::{parameters::Parameters, reason_name, trackier};
use schemas::{
    ClickId, Currency, Timestamp, codec,
    events::{ConversionReported, Malformed, RawReport, ReportSource, Reported},
};
use sha2::{Digest, Sha256};
use stream::NewRecord;

use super::{
    Backfill, BackfillError, BackfillSettings, BackfillSummary, Batch, RefusedRow,
    columns::Columns,
    tape::{ROW_BYTES_MAX, Row},
};

/// How much of a row the log keeps, as of a postback.
const RAW_BYTES_MAX: usize = 64 * 1024;
/// Refused rows that a summary names; all of them are counted.
const REFUSED_ROWS_MAX: usize = 1_000;

/// What the rows of one run have in common.
pub(super) struct Import<'a> {
    pub(super) backfill: &'a Backfill,
    pub(super) settings: BackfillSettings,
    pub(super) as_of: Timestamp,
    pub(super) default_currency: Option<Currency>,
    pub(super) delimiter: u8,
    pub(super) columns: Columns,
}

impl Import<'_> {
    /// Takes a row into the batch, or refuses it.
    pub(super) async fn take(
        &self,
        row: &Row,
        record: &ByteRecord,
        batch: &mut Batch,
        summary: &mut BackfillSummary,
    ) -> Result<(), BackfillError> {
        let mut name = |reason: String, kept| {
            if summary.refused_rows.len() < REFUSED_ROWS_MAX {
                let line = row.line;
                summary.refused_rows.push(RefusedRow { line, reason, kept });
            }
        };
        let (fields, columns) = (record.len(), self.columns.count());
        if fields != columns {
            name(format!("{fields} fields instead of {columns}"), false);
            summary.refused += 1;
            return Ok(());
        }
        if row.bytes.len() > ROW_BYTES_MAX {
            name(format!("longer than {ROW_BYTES_MAX} bytes"), false);
            summary.refused += 1;
            return Ok(());
        }
        let (click_ref, outcome) = self.read(record);
        if let Err(reason) = outcome {
            name(reason_name(reason).to_owned(), true);
            summary.malformed += 1;
        }
        let event = self
            .event(row, record, click_ref.as_deref(), outcome)
            .await?;
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

    /// What a row says: its click reference, and the report or the first thing wrong with it.
    fn read(&self, record: &ByteRecord) -> (Option<String>, Result<Reported, Malformed>) {
        let Some(values) = self.columns.values(record, self.default_currency) else {
            return (None, Err(Malformed::NotUtf8));
        };
        let mut parameters = Parameters::default();
        for (name, value) in values {
            parameters.insert(name, value);
        }
        let click_ref = trackier::click_reference(&parameters);
        let click_ref = click_ref.ok().map(str::to_owned);
        let outcome = trackier::read(&parameters, self.settings.utc_offset_minutes);
        (click_ref, outcome)
    }

    async fn event(
        &self,
        row: &Row,
        record: &ByteRecord,
        click_ref: Option<&str>,
        outcome: Result<Reported, Malformed>,
    ) -> Result<ConversionReported, BackfillError> {
        let (reported, malformed) = match outcome {
            Ok(reported) => (Some(reported), None),
            Err(reason) => (None, Some(reason)),
        };
        Ok(ConversionReported {
            event_id: self.backfill.event_ids.draw().await?,
            received_at: self.backfill.clock.now(),
            source: ReportSource::Csv,
            as_of: Some(self.as_of),
            network_id: self.settings.network_id,
            tenant_id: Some(self.settings.tenant_id),
            click_id: click_ref.and_then(|text| self.click_id(text)),
            raw: self.raw(row, record),
            reported,
            malformed,
            heal: None,
        })
    }

    /// The click that a reference names, as far as that can be told without looking it up.
    fn click_id(&self, click_ref: &str) -> Option<ClickId> {
        let number = click_ref.parse().ok();
        number.or_else(|| {
            let token = self.backfill.token_keys.open(click_ref).ok()?;
            Some(token.click_id)
        })
    }

    fn raw(&self, row: &Row, record: &ByteRecord) -> RawReport {
        let redacted = self.columns.redact(record, self.delimiter);
        let mut bytes = redacted.unwrap_or_else(|| row.bytes.clone());
        let truncated = bytes.len() > RAW_BYTES_MAX;
        bytes.truncate(RAW_BYTES_MAX);
        RawReport {
            bytes,
            content_type: "text/csv".to_owned(),
            sha256: hex::encode(Sha256::digest(&row.bytes)),
            truncated,
        }
    }
}
