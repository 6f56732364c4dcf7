//! The log folded again, in a clean room, and held against the ledger (design section 7).
//!
//! ```text
//!  conversions ─┐ recorded facts,      reports ──▶ who is whose ──▶ settle ──▶ rows ─┐
//!  decisions ───┴─▶ decide anew ─────▶ in memory   neighbour        (rules)           ├▶ differences,
//!  commands, payouts, payout-results ─────────────────────────────────┘     ledger ───┘  by cause
//! ```
//!
//! The clean room is memory: nothing is written anywhere, no consumer group is joined, and no key
//! or credential is at hand. A claim's state is a function of its whole neighbourhood, so a span
//! says which claims are compared, not what is read: that is the whole log, up to the moment that
//! the ledger had applied (docs/adr/0015). What lies beyond is "not yet applied".

mod comparison;
mod difference;
mod failure;
mod folding;
mod grouping;
mod history;
mod judge;
mod ledger;
mod neighbours;
mod published;
mod reading;
mod span;
mod store;
mod what_if;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use schemas::{EventId, TenantId, Timestamp, reference::ReferenceData};
use sqlx::PgPool;
use stream::Log;

pub(crate) use self::ledger::Moment;
use self::{
    comparison::{Comparison, Known},
    history::{Beside, History, Scope},
    judge::{Decisions, Judge},
    ledger::{Rows, Wanted},
    published::Published,
    reading::{Pace, Source},
};
pub use self::{
    difference::{Amounts, Cause, Column, Difference, Kind, Misbooked, ReplayReport, Totals},
    failure::ReplayError,
    reading::Progress,
    span::{Bound, Span},
    what_if::{Group, WhatIfReport},
};

/// Rows looked up at a time.
const ROWS_AT_A_TIME: usize = 1_000;

/// What a replay works with.
#[derive(Clone)]
pub struct Replay {
    /// Read without a group.
    pub log: Arc<dyn Log>,
    /// Connections of the operator; only read.
    pub pool: PgPool,
    /// Rules and terms, all their versions.
    pub reference: Arc<ReferenceData>,
}

/// What is asked of a replay.
#[derive(Debug, Clone)]
pub struct ReplaySettings {
    /// Claims that no record in it touches aren't compared.
    pub span: Span,
    /// Only this tenant's claims are compared.
    pub tenant: Option<TenantId>,
    /// Decisions are taken as they stand in the log, and only folded again.
    pub recorded_decisions: bool,
    /// Records read in a second at most.
    pub records_per_second: Option<u32>,
    /// Memory for reports, in bytes. A log that needs more is folded in parts, each with a pass of
    /// its own over the log.
    pub memory_bytes: u64,
    /// Differences shown one by one; all are counted.
    pub shown_max: usize,
}

impl Default for ReplaySettings {
    fn default() -> Self {
        Self {
            span: Span::default(),
            tenant: None,
            recorded_decisions: false,
            records_per_second: None,
            memory_bytes: 4 << 30,
            shown_max: 1_000,
        }
    }
}

impl Replay {
    /// Folds the log, and compares. Nothing is changed.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub async fn compare(
        &self,
        settings: &ReplaySettings,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<ReplayReport, ReplayError> {
        let mut moment = Moment::open(&self.pool, &*self.log).await?;
        let decisions = if settings.recorded_decisions {
            Decisions::Recorded
        } else {
            Decisions::RecordedAndAnew(Arc::clone(&self.reference))
        };
        let judge = Arc::new(Judge::new(decisions));
        let watermark = moment.watermark.clone();
        let scope = settings.scope(moment.retired_before);
        let total = reading::records(&*self.log, &watermark).await? * scope.passes(&watermark);
        let pace = Pace::new(settings.records_per_second, total, progress);
        let source = Source {
            log: &*self.log,
            watermark: &watermark,
            pace: &pace,
        };
        let beside = Arc::new(Beside::read(&source, &settings.span).await?);
        let began = Instant::now();
        let history = History::read(&source, judge, &beside, scope);
        let (mut history, rows) = settings.read(history, &mut moment).await?;
        let reading = began.elapsed();
        let mut comparison = Comparison::new(settings, &beside, rows);
        while let Some(grouped) = history.next().await? {
            comparison.take(grouped).await?;
        }
        let read = history.read;
        let mut report = ReplayReport {
            equal: true,
            span: settings.span,
            reports: read.reports,
            reports_in_span: read.in_span,
            claims: comparison.outcome.claims,
            read_per_second: per_second(read.reports, reading),
            folded_per_second: per_second(comparison.outcome.claims, comparison.outcome.took),
            different: 0,
            not_yet_applied: read.undecided,
            usable_now: read.usable_now,
            causes: BTreeMap::new(),
            differences: Vec::new(),
            corrections: Vec::new(),
        };
        self.explain(settings, comparison, &mut moment, &mut report)
            .await?;
        moment.close().await?;
        report.equal = report.different == 0 && report.usable_now.is_empty();
        Ok(report)
    }

    /// Says of each mismatch what differs, and why.
    async fn explain(
        &self,
        settings: &ReplaySettings,
        comparison: Comparison<'_>,
        moment: &mut Moment,
        report: &mut ReplayReport,
    ) -> Result<(), ReplayError> {
        let unseen = comparison.unseen();
        let outcome = comparison.outcome;
        let vanished: BTreeSet<EventId> = outcome.vanished.into_iter().collect();
        let clicks = outcome
            .mismatches
            .iter()
            .map(|one| one.row.click())
            .collect();
        let published = Published::read(&*self.log, &clicks).await?;
        for mismatches in outcome.mismatches.chunks(ROWS_AT_A_TIME) {
            let names: Vec<_> = mismatches.iter().map(|one| one.row.claim()).collect();
            let rows = moment.rows_of(&names).await?;
            for mismatch in mismatches {
                let row = rows.get(&mismatch.row.claim());
                let known = Known {
                    row,
                    published: &published,
                    payouts_at_rest: moment.payouts_at_rest,
                };
                known.add(mismatch, settings, report)?;
            }
        }
        for names in unseen.chunks(ROWS_AT_A_TIME) {
            for row in moment.rows_of(names).await?.into_values() {
                let cause = if vanished.contains(&row.claim()) {
                    Cause::DecidedOtherwise
                } else {
                    Cause::NotInTheLog
                };
                report.add_extra(&row, cause, settings.shown_max);
            }
        }
        Ok(())
    }
}

fn per_second(number: u64, took: Duration) -> u64 {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    number.saturating_mul(1_000) / millis.max(1)
}

impl ReplaySettings {
    fn scope(&self, retired_before: Timestamp) -> Scope {
        Scope {
            span: self.span,
            retired_before,
            memory_bytes: self.memory_bytes,
        }
    }

    /// Reads the log, and the rows that are wanted.
    async fn read<'a>(
        &self,
        history: impl Future<Output = Result<History<'a>, ReplayError>>,
        moment: &mut Moment,
    ) -> Result<(History<'a>, Rows), ReplayError> {
        let wanted = |touched| Wanted {
            tenant: self.tenant,
            touched,
        };
        if self.span.whole() {
            return tokio::try_join!(history, moment.rows(wanted(None)));
        }
        // Only the log tells which ones a span touches.
        let history = history.await?;
        let touched = Arc::clone(&history.neighbourhoods);
        let rows = moment.rows(wanted(Some(touched))).await?;
        Ok((history, rows))
    }

    fn concerns(&self, tenant: TenantId) -> bool {
        self.tenant.is_none_or(|wanted| wanted == tenant)
    }
}
