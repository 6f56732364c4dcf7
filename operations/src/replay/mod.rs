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

mod difference;
mod failure;
mod folding;
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

use processors::rules::split::Parts;
use schemas::{EventId, TenantId, Timestamp, events::StatusReason, reference::ReferenceData};
use sinks::ledger::claim_rows::ClaimRow;
use sqlx::PgPool;
use stream::Log;

pub(crate) use self::ledger::Moment;
pub use self::{
    difference::{Amounts, Cause, Column, Difference, Kind, Misbooked, ReplayReport, Totals},
    failure::ReplayError,
    reading::Progress,
    span::{Bound, Span},
    what_if::{Group, WhatIfReport},
};
use self::{
    folding::{by_name, claims, each},
    history::{Beside, Grouped, Scope},
    judge::{Decisions, Judge},
    ledger::{Found, Rows},
    neighbours::Neighbourhoods,
    published::Published,
    reading::{Pace, Source},
    store::{Packed, Side},
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

/// A claim that doesn't stand in the ledger as the fold has it.
struct Mismatch {
    row: ClaimRow,
    found: Found,
    /// What a fold of the recorded decisions has, where some of its neighbourhood's are others.
    recorded: Option<ClaimRow>,
    decided_otherwise: Vec<&'static str>,
    corrected: bool,
}

/// What a thread found, or all of them.
#[derive(Default)]
struct Compared {
    claims: u64,
    /// How long folding and comparing took.
    took: Duration,
    mismatches: Vec<Mismatch>,
    /// Claims of the recorded decisions that today's have under no name.
    vanished: Vec<EventId>,
    failed: Option<ReplayError>,
}

impl Compared {
    fn claims_per_second(&self) -> u64 {
        let millis = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        self.claims.saturating_mul(1_000) / millis.max(1)
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
            Decisions::Anew(Arc::clone(&self.reference))
        };
        let judge = Arc::new(Judge::new(Decisions::Recorded, decisions));
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
        let mut comparison = Comparison {
            settings,
            beside: &beside,
            rows: None,
            outcome: Compared::default(),
        };
        let (read, neighbourhoods) = history::read(
            &source,
            &judge,
            &beside,
            &scope,
            async |grouped, neighbours| comparison.take(grouped, neighbours, &mut moment).await,
        )
        .await?;
        let mut report = ReplayReport {
            equal: true,
            span: settings.span,
            reports: read.reports,
            reports_in_span: read.in_span,
            claims: comparison.outcome.claims,
            folded_per_second: comparison.outcome.claims_per_second(),
            different: 0,
            not_yet_applied: read.undecided,
            usable_now: read.usable_now,
            causes: BTreeMap::new(),
            differences: Vec::new(),
            corrections: Vec::new(),
        };
        drop(neighbourhoods);
        self.explain(comparison, &mut moment, &mut report).await?;
        moment.close().await?;
        report.equal = report.different == 0 && report.usable_now.is_empty();
        Ok(report)
    }

    /// Says of each mismatch what differs, and why.
    async fn explain(
        &self,
        comparison: Comparison<'_>,
        moment: &mut Moment,
        report: &mut ReplayReport,
    ) -> Result<(), ReplayError> {
        let Comparison {
            settings,
            rows,
            outcome,
            ..
        } = comparison;
        let vanished: BTreeSet<EventId> = outcome.vanished.into_iter().collect();
        let unseen = rows.map(|rows| rows.unseen()).unwrap_or_default();
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

impl ReplaySettings {
    fn scope(&self, retired_before: Timestamp) -> Scope {
        Scope {
            span: self.span,
            retired_before,
            memory_bytes: self.memory_bytes,
        }
    }

    fn concerns(&self, tenant: TenantId) -> bool {
        self.tenant.is_none_or(|wanted| wanted == tenant)
    }
}

/// A comparison on its way.
struct Comparison<'a> {
    settings: &'a ReplaySettings,
    beside: &'a Arc<Beside>,
    /// Read once it is known whose rows are wanted.
    rows: Option<Arc<Rows>>,
    outcome: Compared,
}

impl Comparison<'_> {
    async fn take(
        &mut self,
        grouped: Grouped,
        neighbourhoods: &Neighbourhoods,
        moment: &mut Moment,
    ) -> Result<(), ReplayError> {
        let whole = self.settings.span.whole();
        if self.rows.is_none() {
            let touched = |row: &ClaimRow| match neighbourhoods.of(row.click()) {
                Some(neighbours) => whole || neighbourhoods.touched(neighbours),
                None => whole,
            };
            let wanted = |row: &ClaimRow| self.settings.concerns(row.tenant()) && touched(row);
            self.rows = Some(Arc::new(moment.rows(wanted).await?));
        }
        let rows = self.rows.clone().unwrap_or_default();
        let settings = self.settings.clone();
        let beside = Arc::clone(self.beside);
        let touched: Option<BTreeSet<_>> = (!whole).then(|| {
            let all = grouped.iter().map(|packed| packed.neighbours);
            all.filter(|one| neighbourhoods.touched(*one)).collect()
        });
        let began = Instant::now();
        let outcomes = tokio::task::spawn_blocking(move || {
            let wanted = |neighbours| match &touched {
                Some(touched) => touched.contains(&neighbours),
                None => true,
            };
            each(&grouped, wanted, |reports, compared: &mut Compared| {
                if let Err(error) = compare(reports, &settings, &beside, &rows, compared) {
                    compared.failed = Some(error);
                }
            })
        });
        let outcomes = outcomes.await?;
        self.outcome.took += began.elapsed();
        for outcome in outcomes {
            if let Some(error) = outcome.failed {
                return Err(error);
            }
            self.outcome.claims += outcome.claims;
            self.outcome.mismatches.extend(outcome.mismatches);
            self.outcome.vanished.extend(outcome.vanished);
        }
        Ok(())
    }
}

/// Compares the claims of a neighbourhood with their rows.
fn compare(
    reports: &[Packed],
    settings: &ReplaySettings,
    beside: &Beside,
    rows: &Rows,
    compared: &mut Compared,
) -> Result<(), ReplayError> {
    let states = claims(reports, Side::Second, beside);
    let otherwise = reports.iter().any(|packed| !packed.same());
    let recorded = if otherwise {
        by_name(claims(reports, Side::First, beside))
    } else {
        BTreeMap::new()
    };
    let gone = |name: &&EventId| !states.iter().any(|state| state.name == **name);
    compared.vanished.extend(recorded.keys().filter(gone));
    for state in &states {
        if !settings.concerns(state.click.tenant_id) {
            continue;
        }
        compared.claims += 1;
        let row = ClaimRow::of(state);
        let found = rows.find(&row)?;
        if found == Found::Equal {
            continue;
        }
        let own = reports.iter().filter(|packed| state.holds(packed.event_id));
        let decided_otherwise: BTreeSet<_> = own.flat_map(Packed::otherwise).collect();
        compared.mismatches.push(Mismatch {
            row,
            found,
            recorded: recorded.get(&state.name).map(ClaimRow::of),
            decided_otherwise: decided_otherwise.into_iter().collect(),
            corrected: state
                .reasons()
                .any(|reason| reason == StatusReason::Corrected),
        });
    }
    Ok(())
}

/// What is known about a claim that differs.
struct Known<'a> {
    row: Option<&'a ClaimRow>,
    published: &'a Published,
    payouts_at_rest: bool,
}

impl Known<'_> {
    fn add(
        &self,
        mismatch: &Mismatch,
        settings: &ReplaySettings,
        report: &mut ReplayReport,
    ) -> Result<(), ReplayError> {
        let replayed = &mismatch.row;
        let columns = match self.row {
            Some(row) => columns(row, replayed)?,
            None => Vec::new(),
        };
        if mismatch.found == Found::Different && columns.is_empty() {
            // The same, written differently.
            return Ok(());
        }
        let payment = |column: &Column| ["paid_amount", "status"].contains(&&*column.column);
        let owed = |status: &str| ["confirmed", "paid"].contains(&status);
        if let Some(row) = self.row
            && !self.payouts_at_rest
            && columns.iter().all(payment)
            && owed(row.status())
            && owed(replayed.status())
        {
            report.not_yet_applied += 1;
            return Ok(());
        }
        let (kind, booked) = match self.row {
            Some(row) => (Kind::Different, row.posted()),
            None => (Kind::Missing, Parts::default()),
        };
        let cause = self.cause(mismatch)?;
        let (target, currency) = (replayed.posted(), replayed.currency());
        report.count(cause, |totals| totals.add(target, booked, currency));
        report.corrections.push(Misbooked {
            claim: replayed.claim(),
            tenant_id: replayed.tenant(),
            currency,
            cause,
            booked,
            target,
            corrected: mismatch.corrected.then_some(target),
        });
        if report.differences.len() < settings.shown_max {
            report.differences.push(Difference {
                claim: replayed.claim(),
                click_id: replayed.click(),
                tenant_id: replayed.tenant(),
                kind,
                cause,
                decided_otherwise: mismatch.decided_otherwise.clone(),
                columns,
            });
        }
        Ok(())
    }

    fn cause(&self, mismatch: &Mismatch) -> Result<Cause, ReplayError> {
        if let (Some(recorded), Some(row)) = (&mismatch.recorded, self.row)
            && columns(row, recorded)?.is_empty()
        {
            return Ok(Cause::DecidedOtherwise);
        }
        let by_the_log = mismatch.recorded.as_ref().unwrap_or(&mismatch.row);
        Ok(match self.published.of(mismatch.row.claim()) {
            Some(told) if by_the_log.told(told) => Cause::Altered,
            Some(told) if self.row.is_none_or(|row| row.told(told)) => Cause::FoldedOtherwise,
            Some(_) | None => Cause::Unexplained,
        })
    }
}

fn columns(row: &ClaimRow, replayed: &ClaimRow) -> Result<Vec<Column>, ReplayError> {
    let differences = row.differences(replayed)?.into_iter();
    Ok(differences
        .map(|(column, ledger, replay)| Column {
            column,
            ledger,
            replay,
        })
        .collect())
}

impl ReplayReport {
    fn count(&mut self, cause: Cause, add: impl FnOnce(&mut Totals)) {
        self.different += 1;
        add(self.causes.entry(cause).or_default());
    }

    /// A row that the fold has no claim for.
    fn add_extra(&mut self, row: &ClaimRow, cause: Cause, shown_max: usize) {
        let (booked, currency) = (row.posted(), row.currency());
        self.count(cause, |totals| {
            totals.add(Parts::default(), booked, currency);
        });
        if self.differences.len() < shown_max {
            self.differences.push(Difference {
                claim: row.claim(),
                click_id: row.click(),
                tenant_id: row.tenant(),
                kind: Kind::Extra,
                cause,
                decided_otherwise: Vec::new(),
                columns: Vec::new(),
            });
        }
    }
}
