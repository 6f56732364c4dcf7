//! Loads history from a network's CSV export, through the same pipeline as postbacks
//! (`hissaback backfill --trackier-csv`).
//!
//! ```text
//!  file ─▶ header ─▶ row ─▶ Trackier's parameters ─▶ conversions (source csv, as of the snapshot)
//!                     └─ not a row of this table ─▶ refused, by line and reason
//! ```
//!
//! Columns are those of Trackier's conversions export, in any order. A row that can be told to be
//! a report is appended, even where it can't be used, as a postback would be; what isn't a row of
//! the table is refused and named. Memory stays flat, whatever the size of the file. Running it
//! twice appends everything twice, with the same as-of time: repetitions, by fate.

mod import;

use std::{fs::File, io, path::Path, sync::Arc};

use ingest::redaction::Redaction;
use schemas::{
    Currency, NetworkId, TenantId, Timestamp, Topic, codec::CodecError, reference::ReferenceData,
    token::TokenKeys,
};
use serde::Serialize;
use stream::{AppendError, Clock, Log, NewRecord, Refusal};

use crate::{
    event_ids::{EventIdSource, IdsExhausted},
    export::{Export, ReadingSettings},
};
use import::Import;

pub use crate::export::{ExportError, HeaderError};

/// Rows appended together.
const BATCH_ROWS: usize = 500;
/// A batch is closed when it holds this much, so that memory stays flat for long rows too.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How long to wait when the log takes no more for the moment.
const OVERLOADED_WAIT: std::time::Duration = std::time::Duration::from_millis(50);

/// What to load, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackfillSettings {
    /// The tenant that the export is of. A row about another one's click stays unmatched.
    pub tenant_id: TenantId,
    /// The network instance that it comes from.
    pub network_id: NetworkId,
    /// The time that the export is a snapshot of; it ranks the rows. The file's modification time,
    /// where absent.
    pub as_of: Option<Timestamp>,
    /// How far times without a zone are ahead of UTC. Trackier's `created` is UTC in the API, and
    /// in the network's own zone in some exports.
    pub utc_offset_minutes: i32,
}

/// What loading came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct BackfillSummary {
    /// Rows read, without the header.
    pub rows: u64,
    /// Rows in the log now, durable.
    pub appended: u64,
    /// Of those, rows that can't be used: their fate is *ignored*.
    pub malformed: u64,
    /// Rows that are not in the log.
    pub refused: u64,
    /// Rows that can't be used or were refused, by line; the first thousand.
    pub refused_rows: Vec<RefusedRow>,
}

/// A row that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedRow {
    /// Where it begins, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
    /// Whether the log keeps it all the same, as a postback with the same defect is kept.
    pub kept: bool,
}

/// Why a file was not loaded, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The file can't be opened.
    #[error("{path} can't be read: {source}")]
    Open {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// No such tenant.
    #[error("there is no tenant {0}")]
    TenantUnknown(TenantId),
    /// No such network instance.
    #[error("there is no network {0}")]
    NetworkUnknown(NetworkId),
    /// A snapshot of the future would outrank everything that comes until then.
    #[error("the export is as of {as_of}, which lies in the future: it is {now}")]
    AsOfInFuture {
        /// As of when the export says to be.
        as_of: Timestamp,
        /// The present.
        now: Timestamp,
    },
    /// The file can't be read, or not on: the rows before were appended.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// No event ids.
    #[error(transparent)]
    Ids(#[from] IdsExhausted),
    /// A report doesn't fit its schema.
    #[error("a row can't be encoded: {0}")]
    Encode(#[from] CodecError),
    /// The log did not take rows, or it isn't known whether it did. Running it again is harmless.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Loads exports.
#[derive(Clone)]
pub struct Backfill {
    /// Where rows go.
    pub log: Arc<dyn Log>,
    /// The time port: when rows are received.
    pub clock: Arc<dyn Clock>,
    /// Names the reports.
    pub event_ids: EventIdSource,
    /// Opens click tokens, to place rows by their click.
    pub token_keys: TokenKeys,
    /// Which columns' values never reach the log.
    pub redaction: Redaction,
    /// Tenants and networks.
    pub reference: Arc<ReferenceData>,
}

/// Rows on their way to the log.
#[derive(Default)]
struct Batch {
    records: Vec<NewRecord>,
    bytes: usize,
}

impl Backfill {
    /// Loads a file. `progress` is told after each batch, once it is durable.
    ///
    /// # Errors
    /// See [`BackfillError`]; what was appended before stays.
    pub async fn load_file(
        &self,
        path: &Path,
        settings: BackfillSettings,
        progress: impl FnMut(&BackfillSummary),
    ) -> Result<BackfillSummary, BackfillError> {
        let unreadable = |source| BackfillError::Open {
            path: path.display().to_string(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let as_of = if let Some(as_of) = settings.as_of {
            as_of
        } else {
            let modified = file.metadata().and_then(|metadata| metadata.modified());
            chrono::DateTime::<chrono::Utc>::from(modified.map_err(unreadable)?).into()
        };
        self.load(file, as_of, settings, progress).await
    }

    /// Loads an export from a reader, as of a time.
    ///
    /// # Errors
    /// See [`BackfillError`]; what was appended before stays.
    pub async fn load<R: io::Read>(
        &self,
        input: R,
        as_of: Timestamp,
        settings: BackfillSettings,
        mut progress: impl FnMut(&BackfillSummary),
    ) -> Result<BackfillSummary, BackfillError> {
        let network = self.check(as_of, settings)?;
        let reading = ReadingSettings {
            utc_offset_minutes: settings.utc_offset_minutes,
            default_currency: network,
            windows_1252: false,
        };
        let mut export = Export::open(input, &self.redaction, reading)?;
        let import = Import {
            backfill: self,
            settings,
            as_of,
        };
        let mut summary = BackfillSummary::default();
        let mut batch = Batch::default();
        loop {
            let row = match export.next() {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) => {
                    self.append(&mut batch, &mut summary).await?;
                    progress(&summary);
                    return Err(error.into());
                }
            };
            summary.rows += 1;
            import.take(row, &mut batch, &mut summary).await?;
            if batch.records.len() == BATCH_ROWS || batch.bytes >= BATCH_BYTES {
                self.append(&mut batch, &mut summary).await?;
                progress(&summary);
            }
        }
        self.append(&mut batch, &mut summary).await?;
        progress(&summary);
        Ok(summary)
    }

    /// Checks what the run is about, and gives the network's default currency.
    fn check(
        &self,
        as_of: Timestamp,
        settings: BackfillSettings,
    ) -> Result<Option<Currency>, BackfillError> {
        let BackfillSettings {
            tenant_id,
            network_id,
            ..
        } = settings;
        if !self.reference.tenants.contains_key(&tenant_id) {
            return Err(BackfillError::TenantUnknown(tenant_id));
        }
        let network = self.reference.networks.get(&network_id);
        let network = network.ok_or(BackfillError::NetworkUnknown(network_id))?;
        let now = self.clock.now();
        if as_of > now {
            return Err(BackfillError::AsOfInFuture { as_of, now });
        }
        Ok(Some(network.default_currency))
    }

    async fn append(
        &self,
        batch: &mut Batch,
        summary: &mut BackfillSummary,
    ) -> Result<(), BackfillError> {
        let Batch { records, .. } = std::mem::take(batch);
        if records.is_empty() {
            return Ok(());
        }
        let count = records.len() as u64;
        loop {
            match self.log.append(Topic::Conversions, records.clone()).await {
                Ok(_) => break,
                Err(AppendError::Determinate(Refusal::Overloaded { .. })) => {
                    tokio::time::sleep(OVERLOADED_WAIT).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        summary.appended += count;
        Ok(())
    }
}
