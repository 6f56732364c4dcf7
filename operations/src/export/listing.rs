//! A network's list of conversions, whichever way it came.

use std::io;

use ingest::redaction::Redaction;

use super::{
    Export, ExportError, ExportRow, ReadingSettings, RowReader,
    api::{ApiRowReader, ApiRows},
};

/// A list, open.
pub(crate) enum Listing<R> {
    /// A CSV export.
    Csv(Box<Export<R>>),
    /// What a reporting API listed.
    Api(ApiRows<R>),
}

/// What its rows are read by: one of the list, and one that was set aside.
pub(crate) enum ListingReader {
    Csv(RowReader),
    Api(ApiRowReader),
}

impl<R: io::Read> Listing<R> {
    /// Opens a CSV export.
    pub fn csv(
        input: R,
        redaction: &Redaction,
        settings: ReadingSettings,
    ) -> Result<Self, ExportError> {
        Ok(Self::Csv(Box::new(Export::open(
            input, redaction, settings,
        )?)))
    }

    /// Opens what a reporting API listed.
    pub fn api(input: R, redaction: &Redaction, settings: ReadingSettings) -> Self {
        Self::Api(ApiRows::open(input, redaction, settings))
    }

    /// The next row; `None` at the end.
    pub fn next(&mut self) -> Result<Option<ExportRow>, ExportError> {
        match self {
            Self::Csv(export) => export.next(),
            Self::Api(rows) => rows.next(),
        }
    }

    /// What reads rows that were set aside.
    pub fn into_rows(self) -> ListingReader {
        match self {
            Self::Csv(export) => ListingReader::Csv(export.into_rows()),
            Self::Api(rows) => ListingReader::Api(rows.into_rows()),
        }
    }
}

impl ListingReader {
    /// Reads a row again that was set aside.
    pub fn read(&self, line: u64, bytes: Vec<u8>) -> Result<ExportRow, ExportError> {
        match self {
            Self::Csv(rows) => rows.read(line, bytes),
            Self::Api(rows) => Ok(rows.read(line, bytes)),
        }
    }
}
