//! Reads a network's list of conversions, row by row, with memory flat: what backfill and
//! reconciliation have in common. A CSV export:
//!
//! ```text
//!  bytes ─▶ UTF-8 ─▶ header ─▶ row ─▶ Trackier's parameters ─▶ report, or the first defect
//!                               └─ not a row of this table ─▶ refused, by line and reason
//! ```
//!
//! A byte order mark, either line end, semicolons for commas, quotes, and UTF-16 are read as what
//! they mean. What a reporting API listed is a JSON object a line ([`api`]); a [`Listing`] is
//! either.

mod api;
mod columns;
mod decoding;
mod listing;
mod tape;

use std::{borrow::Cow, io};

use csv::ByteRecord;
use encoding_rs::WINDOWS_1252;
use ingest::{parameters::Parameters, redaction::Redaction, trackier};
use schemas::{
    ClickId, Currency,
    events::{Malformed, RawReport, Reported},
    token::TokenKeys,
};
use sha2::{Digest, Sha256};

use columns::Columns;
use decoding::Utf8;
use tape::{ROW_BYTES_MAX, Row, Tape};

pub use columns::HeaderError;
pub(crate) use listing::{Listing, ListingReader};

/// How much of a row the log keeps, as of a postback.
const RAW_BYTES_MAX: usize = 64 * 1024;

/// How rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadingSettings {
    /// How far times without a zone are ahead of UTC.
    pub utc_offset_minutes: i32,
    /// The network instance's currency.
    pub default_currency: Option<Currency>,
    /// Whether a row that isn't UTF-8 is read as Windows-1252 (which Latin-1 is a part of), as
    /// spreadsheets of some countries write; otherwise it can't be used.
    pub windows_1252: bool,
}

/// The file can't be read, or not on.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The header can't be used.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The file can't be read on.
    #[error("line {line}: {reason}")]
    Read {
        /// Where.
        line: u64,
        /// Why.
        reason: String,
    },
}

/// What an export's rows are read by: it reads a row of the file, and one that was set aside.
pub(crate) struct RowReader {
    columns: Columns,
    delimiter: u8,
    settings: ReadingSettings,
}

/// An export, open.
pub(crate) struct Export<R> {
    csv: csv::Reader<Tape<io::BufReader<Utf8<R>>>>,
    record: ByteRecord,
    rows: RowReader,
}

/// A row, as it stood and as it is understood.
pub(crate) struct ExportRow {
    /// Where it begins, from 1.
    pub line: u64,
    /// As it stood, without its line break.
    pub bytes: Vec<u8>,
    /// What it says; or why it is no row of the table.
    pub content: Result<RowContent, String>,
}

/// What a row says.
pub(crate) struct RowContent {
    /// The click reference.
    pub click_ref: Option<String>,
    /// The report, or the first thing wrong with it.
    pub outcome: Result<Reported, Malformed>,
    /// What the log keeps.
    pub raw: RawReport,
}

impl<R: io::Read> Export<R> {
    /// Opens an export, and reads its header.
    pub fn open(
        input: R,
        redaction: &Redaction,
        settings: ReadingSettings,
    ) -> Result<Self, ExportError> {
        let text = Utf8::new(input).map_err(|error| at_line(1, &error))?;
        let mut peeked = io::BufReader::new(text);
        let delimiter = delimiter(&mut peeked).map_err(|error| at_line(1, &error))?;
        let mut csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(Tape::new(peeked));
        let mut record = ByteRecord::new();
        if next_row(&mut csv, &mut record)?.is_none() {
            return Err(HeaderError::Empty.into());
        }
        let rows = RowReader {
            columns: Columns::read(&record, redaction)?,
            delimiter,
            settings,
        };
        Ok(Self { csv, record, rows })
    }

    /// The next row; `None` at the end.
    pub fn next(&mut self) -> Result<Option<ExportRow>, ExportError> {
        let Some(row) = next_row(&mut self.csv, &mut self.record)? else {
            return Ok(None);
        };
        Ok(Some(self.rows.understand(row, &self.record)))
    }

    /// What reads rows that were set aside.
    pub fn into_rows(self) -> RowReader {
        self.rows
    }
}

impl RowReader {
    /// Reads a row again that was set aside.
    pub fn read(&self, line: u64, bytes: Vec<u8>) -> Result<ExportRow, ExportError> {
        let mut csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .buffer_capacity(bytes.len().max(1))
            .from_reader(bytes.as_slice());
        let mut record = ByteRecord::new();
        csv.read_byte_record(&mut record)
            .map_err(|error| at_line(line, &error))?;
        Ok(self.understand(Row { line, bytes }, &record))
    }

    fn understand(&self, row: Row, record: &ByteRecord) -> ExportRow {
        let (fields, columns) = (record.len(), self.columns.count());
        let content = if fields != columns {
            Err(format!("{fields} fields instead of {columns}"))
        } else if row.bytes.len() > ROW_BYTES_MAX {
            Err(format!("longer than {ROW_BYTES_MAX} bytes"))
        } else {
            Ok(self.content(&row, record))
        };
        ExportRow {
            line: row.line,
            bytes: row.bytes,
            content,
        }
    }

    fn content(&self, row: &Row, record: &ByteRecord) -> RowContent {
        let (click_ref, outcome) = self.fields(&self.decoded(record));
        RowContent {
            click_ref,
            outcome,
            raw: self.raw(row, record),
        }
    }

    /// The row in UTF-8, as far as settings allow.
    fn decoded<'r>(&self, record: &'r ByteRecord) -> Cow<'r, ByteRecord> {
        let utf8 = record
            .iter()
            .all(|field| std::str::from_utf8(field).is_ok());
        if utf8 || !self.settings.windows_1252 {
            return Cow::Borrowed(record);
        }
        let field = |field: &[u8]| {
            WINDOWS_1252
                .decode_without_bom_handling(field)
                .0
                .into_owned()
        };
        Cow::Owned(record.iter().map(field).collect())
    }

    fn fields(&self, record: &ByteRecord) -> (Option<String>, Result<Reported, Malformed>) {
        let currency = self.settings.default_currency;
        let Some(values) = self.columns.values(record, currency) else {
            return (None, Err(Malformed::NotUtf8));
        };
        let mut parameters = Parameters::default();
        for (name, value) in values {
            parameters.insert(name, value);
        }
        report(&parameters, self.settings)
    }

    fn raw(&self, row: &Row, record: &ByteRecord) -> RawReport {
        let redacted = self.columns.redact(record, self.delimiter);
        raw_report(
            redacted.unwrap_or_else(|| row.bytes.clone()),
            row,
            "text/csv",
        )
    }
}

/// What the log keeps of a row: the bytes that may be kept, and a digest of those that stood
/// there.
fn raw_report(mut bytes: Vec<u8>, row: &Row, content_type: &str) -> RawReport {
    let truncated = bytes.len() > RAW_BYTES_MAX;
    bytes.truncate(RAW_BYTES_MAX);
    RawReport {
        bytes,
        content_type: content_type.to_owned(),
        sha256: hex::encode(Sha256::digest(&row.bytes)),
        truncated,
    }
}

/// The report that a row's parameters make, and the click reference, which may be there without
/// one.
fn report(
    parameters: &Parameters<'_>,
    settings: ReadingSettings,
) -> (Option<String>, Result<Reported, Malformed>) {
    let click_ref = trackier::click_reference(parameters);
    let click_ref = click_ref.ok().map(str::to_owned);
    (
        click_ref,
        trackier::read(parameters, settings.utc_offset_minutes),
    )
}

/// The click that a reference names, as far as that can be told without looking it up.
pub(crate) fn click_named(click_ref: &str, keys: &TokenKeys) -> Option<ClickId> {
    let number = click_ref.parse().ok();
    number.or_else(|| Some(keys.open(click_ref).ok()?.click_id))
}

/// The next row with the bytes that it stood in; `None` at the end.
fn next_row<R: io::Read>(
    reader: &mut csv::Reader<Tape<R>>,
    record: &mut ByteRecord,
) -> Result<Option<Row>, ExportError> {
    let start = reader.position().byte();
    let read = reader.read_byte_record(record);
    let end = reader.position().byte();
    match read {
        Ok(true) => {
            let length = usize::try_from(end - start).unwrap_or(usize::MAX);
            Ok(Some(reader.get_mut().cut(length)))
        }
        Ok(false) => Ok(None),
        Err(error) => Err(at_line(reader.get_ref().line(), &error)),
    }
}

fn at_line(line: u64, error: &dyn std::error::Error) -> ExportError {
    ExportError::Read {
        line,
        reason: error.to_string(),
    }
}

/// Commas, unless the header holds semicolons and no comma, as spreadsheets of some countries
/// write.
fn delimiter<R: io::Read>(input: &mut io::BufReader<R>) -> io::Result<u8> {
    let head = io::BufRead::fill_buf(input)?;
    let header = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let semicolons = header.contains(&b';') && !header.contains(&b',');
    Ok(if semicolons { b';' } else { b',' })
}
