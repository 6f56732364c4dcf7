//! The network's own list against the ledger (design section 7, reconcile).
//!
//! ```text
//!  export ─▶ set aside, by line ─▶ rows that count ─▶ claims of their clicks ─▶ judged ─▶ breaks
//!            (duplicates found)                                                   │
//!  ledger ─▶ claims of the span that no row named ─▶ missing there                └─▶ conversions
//! ```
//!
//! Rows are set aside in temporary tables of PostgreSQL, so that memory stays flat whatever the
//! size of the export, and a row can be told from a later one on the same conversion. Every
//! statement is short: a long transaction would hold up the outbox (ADR 0016).
//!
//! Nothing is edited: what is missing or differs is appended to `conversions` as evidence, as of
//! the snapshot, and goes through the same pipeline as everything else.

mod breaks;
pub mod daily;
mod evidence;
mod output;
mod parked;
pub mod rules;
mod staging;

use std::{collections::BTreeMap, io, sync::Arc};

use ingest::redaction::Redaction;
use schemas::{
    Amount, EventId, NetworkId, TenantId, Timestamp,
    codec::CodecError,
    events::{Malformed, ReportSource},
    reference::ReferenceData,
    token::TokenKeys,
};
use serde::Serialize;
use sqlx::PgPool;
use stream::{AppendError, Clock, Log};

use crate::{
    event_ids::{EventIdSource, IdsExhausted},
    export::{ExportError, Listing, ReadingSettings},
};
pub use output::BreakFile;
pub(crate) use output::cell;
use rules::{Action, BreakKind, Comparison, Rule};
use staging::Staging;

/// Rows worked on together.
const PAGE_ROWS: u16 = 1_000;
/// Rows that can't be used which a summary names; all of them are counted.
const REFUSED_ROWS_MAX: usize = 1_000;

/// What to reconcile, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconcileSettings {
    /// The tenant whose claims are compared. Rows of other tenants' clicks are counted and left.
    pub tenant_id: TenantId,
    /// The network instance that the export comes from.
    pub network_id: NetworkId,
    /// Whether the rows come from a file or the network's reporting API.
    pub source: ReportSource,
    /// The time that the export is a snapshot of; it ranks what is appended.
    pub as_of: Timestamp,
    /// How far times without a zone, and the network's days, are ahead of UTC.
    pub utc_offset_minutes: i32,
    /// Amounts that differ by no more agree.
    pub tolerance: Amount,
    /// Conversions at or after this; from the first row's on, where absent.
    pub from: Option<Timestamp>,
    /// Conversions before this; up to the last row's, where absent.
    pub to: Option<Timestamp>,
    /// Whether to append what is proposed.
    pub apply: bool,
}

/// What a reconciliation came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ReconcileSummary {
    /// Rows read, without the header.
    pub rows: u64,
    /// Rows that can't be used.
    pub refused: u64,
    /// The first thousand of those, by line.
    pub refused_rows: Vec<RefusedRow>,
    /// Rows that say again what another row says, to the byte.
    pub duplicates: u64,
    /// Rows that a later row on the same conversion takes the place of.
    pub superseded: u64,
    /// Rows outside the span asked for.
    pub outside: u64,
    /// Rows on clicks of other tenants.
    pub elsewhere: u64,
    /// Rows that were compared.
    pub compared: u64,
    /// Of those, rows that agree with their claim.
    pub agreed: u64,
    /// Rows by the rule that matched them.
    pub matched: BTreeMap<&'static str, u64>,
    /// Breaks by kind.
    pub breaks: BTreeMap<&'static str, u64>,
    /// Rows whose evidence is proposed to be appended.
    pub proposed: u64,
    /// Rows whose evidence was appended.
    pub appended: u64,
    /// The span of conversion times that was compared, half-open.
    pub span: Option<(Timestamp, Timestamp)>,
}

/// A row that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedRow {
    /// Where it begins, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// One difference between network and ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Break {
    /// In what.
    pub kind: BreakKind,
    /// The row, by line; absent for a claim that no row names.
    pub line: Option<u64>,
    /// The claim; absent where there is none.
    pub claim: Option<EventId>,
    /// By which rule row and claim were matched.
    pub rule: Option<Rule>,
    /// The network's own conversion id.
    pub conversion: Option<String>,
    /// The order number.
    pub order: Option<String>,
    /// What the ledger has.
    pub here: String,
    /// What the network says.
    pub there: String,
    /// How many days ago it was converted.
    pub age_days: Option<i64>,
    /// What is proposed.
    pub action: Action,
}

/// Why a reconciliation was not made, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
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
    /// Postbacks come one by one.
    #[error("postbacks are no list to compare with")]
    NoList,
    /// The file can't be read, or not on. Nothing was appended.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The database can't be read, or sets nothing aside.
    #[error("the ledger can't be compared: {0}")]
    Database(#[from] sqlx::Error),
    /// A stored decision can't be read, or a report doesn't fit its schema.
    #[error("a record can't be read or written: {0}")]
    Codec(#[from] CodecError),
    /// The breaks can't be written out.
    #[error("breaks can't be written: {0}")]
    Output(#[from] io::Error),
    /// No event ids.
    #[error(transparent)]
    Ids(#[from] IdsExhausted),
    /// The log did not take rows, or it isn't known whether it did. Running it again is harmless.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Reconciles exports with the ledger, as an operator.
pub struct Reconciler {
    /// Connections as the operator.
    pub pool: PgPool,
    /// Appended to.
    pub log: Arc<dyn Log>,
    /// The time port.
    pub clock: Arc<dyn Clock>,
    /// Names what is appended.
    pub event_ids: EventIdSource,
    /// Opens the click references.
    pub token_keys: TokenKeys,
    /// Which columns' values never reach the log.
    pub redaction: Redaction,
    /// Tenants, networks, links.
    pub reference: Arc<ReferenceData>,
}

/// Told of each break, in the order of lines; claims that the network doesn't list come last.
pub trait BreakSink: Send + Sync {
    /// Takes one.
    ///
    /// # Errors
    /// When it can't be kept; the reconciliation ends.
    fn take(&mut self, found: &Break) -> io::Result<()>;
}

impl BreakSink for Vec<Break> {
    fn take(&mut self, found: &Break) -> io::Result<()> {
        self.push(found.clone());
        Ok(())
    }
}

impl Reconciler {
    /// Compares an export with the ledger, and appends what is proposed where the settings say
    /// so. The ledger should have folded what the log holds. The input is a CSV file, or the rows
    /// of a [`Spool`](crate::trackier::spool::Spool), as the settings' source says.
    ///
    /// # Errors
    /// See [`ReconcileError`].
    pub async fn reconcile<R: io::Read>(
        &self,
        input: R,
        settings: ReconcileSettings,
        sink: &mut dyn BreakSink,
        progress: impl Fn(&ReconcileSummary),
    ) -> Result<ReconcileSummary, ReconcileError> {
        let reading = self.check(settings)?;
        let mut summary = ReconcileSummary::default();
        let mut export = match settings.source {
            ReportSource::Csv => Listing::csv(input, &self.redaction, reading)?,
            ReportSource::Api => Listing::api(input, &self.redaction, reading),
            ReportSource::Postback => return Err(ReconcileError::NoList),
        };
        let mut staging = Staging::open(&self.pool).await?;
        while let Some(row) = export.next()? {
            summary.rows += 1;
            match row.content {
                Ok(ref content) => match &content.outcome {
                    Ok(fields) => staging.set_aside(&row, fields).await?,
                    Err(reason) => {
                        // What can't be told from another row can't be told to be a duplicate.
                        summary.refuse(row.line, ingest::reason_name(*reason).to_owned());
                    }
                },
                Err(reason) => summary.refuse(row.line, reason),
            }
            if summary.rows % 100_000 == 0 {
                progress(&summary);
            }
        }
        staging.flush().await?;
        staging.load_parked(settings.network_id).await?;
        let mut run = breaks::Run {
            reconciler: self,
            settings,
            rows: export.into_rows(),
            staging,
            summary,
            sink,
            now: self.clock.now(),
        };
        run.compare_rows(&progress).await?;
        run.find_missing_there().await?;
        run.staging.close().await?;
        Ok(run.summary)
    }

    fn check(&self, settings: ReconcileSettings) -> Result<ReadingSettings, ReconcileError> {
        let ReconcileSettings {
            tenant_id,
            network_id,
            as_of,
            utc_offset_minutes,
            ..
        } = settings;
        if !self.reference.tenants.contains_key(&tenant_id) {
            return Err(ReconcileError::TenantUnknown(tenant_id));
        }
        let network = self.reference.networks.get(&network_id);
        let network = network.ok_or(ReconcileError::NetworkUnknown(network_id))?;
        let now = self.clock.now();
        if as_of > now {
            return Err(ReconcileError::AsOfInFuture { as_of, now });
        }
        Ok(ReadingSettings {
            utc_offset_minutes,
            default_currency: Some(network.default_currency),
            windows_1252: true,
        })
    }
}

impl ReconcileSettings {
    fn comparison(&self) -> Comparison {
        Comparison {
            tolerance: self.tolerance,
            utc_offset_minutes: self.utc_offset_minutes,
        }
    }
}

impl ReconcileSummary {
    fn refuse(&mut self, line: u64, reason: String) {
        self.refused += 1;
        if self.refused_rows.len() < REFUSED_ROWS_MAX {
            self.refused_rows.push(RefusedRow { line, reason });
        }
    }

    fn count_break(&mut self, kind: BreakKind) {
        *self.breaks.entry(kind.name()).or_default() += 1;
    }
}

/// Why a row that was understood once isn't any more; only for a defect of ours.
fn reread(line: u64) -> ExportError {
    ExportError::Read {
        line,
        reason: format!("read otherwise than before: {:?}", Malformed::FieldInvalid),
    }
}
