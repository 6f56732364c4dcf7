//! Claims of a fold against rows of the ledger, and why they differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use processors::rules::split::Parts;
use schemas::{EventId, events::StatusReason};
use sinks::ledger::claim_rows::ClaimRow;

use super::{
    Cause, Column, Difference, Kind, Misbooked, ReplayError, ReplayReport, ReplaySettings, Totals,
    folding::{by_name, claims, each},
    grouping::Grouped,
    history::Beside,
    ledger::{Found, Rows},
    published::Published,
    store::{Packed, Side},
};

/// A claim that doesn't stand in the ledger as the fold has it.
pub(super) struct Mismatch {
    pub row: ClaimRow,
    found: Found,
    /// What a fold of the recorded decisions has, where some of its neighbourhood's are others.
    recorded: Option<ClaimRow>,
    decided_otherwise: Vec<&'static str>,
    corrected: bool,
}

/// What a thread found, or all of them.
#[derive(Default)]
pub(super) struct Compared {
    pub claims: u64,
    /// How long folding and comparing took.
    pub took: Duration,
    pub mismatches: Vec<Mismatch>,
    /// Claims of the recorded decisions that today's have under no name.
    pub vanished: Vec<EventId>,
}

/// Compares claims of a fold with rows of the ledger.
pub(super) struct Comparison<'a> {
    settings: &'a ReplaySettings,
    beside: &'a Arc<Beside>,
    rows: Arc<Rows>,
    pub outcome: Compared,
}

impl<'a> Comparison<'a> {
    pub fn new(settings: &'a ReplaySettings, beside: &'a Arc<Beside>, rows: Rows) -> Self {
        Self {
            settings,
            beside,
            rows: Arc::new(rows),
            outcome: Compared::default(),
        }
    }

    /// Rows of claims that no fold had.
    pub fn unseen(&self) -> Vec<EventId> {
        self.rows.unseen()
    }

    /// Folds some neighbourhoods, and compares their claims.
    pub async fn take(&mut self, grouped: Grouped) -> Result<(), ReplayError> {
        let rows = Arc::clone(&self.rows);
        let settings = self.settings.clone();
        let beside = Arc::clone(self.beside);
        let began = Instant::now();
        let outcomes = tokio::task::spawn_blocking(move || {
            each(&grouped, |reports, compared: &mut Compared| {
                compare(reports, &settings, &beside, &rows, compared);
            })
        });
        let outcomes = outcomes.await?;
        self.outcome.took += began.elapsed();
        for outcome in outcomes {
            self.outcome.claims += outcome.claims;
            self.outcome.mismatches.extend(outcome.mismatches);
            self.outcome.vanished.extend(outcome.vanished);
        }
        Ok(())
    }
}

/// Compares the claims of a neighbourhood with their rows.
fn compare(
    reports: &[&Packed],
    settings: &ReplaySettings,
    beside: &Beside,
    rows: &Rows,
    compared: &mut Compared,
) {
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
        let found = rows.find(&row);
        if found == Found::Equal {
            continue;
        }
        let own = reports.iter().filter(|packed| state.holds(packed.event_id));
        let decided_otherwise: BTreeSet<_> = own.flat_map(|packed| packed.otherwise()).collect();
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
}

/// What is known about a claim that differs.
pub(super) struct Known<'a> {
    pub row: Option<&'a ClaimRow>,
    pub published: &'a Published,
    pub payouts_at_rest: bool,
}

impl Known<'_> {
    /// Says what differs, and why.
    pub fn add(
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
    pub(super) fn add_extra(&mut self, row: &ClaimRow, cause: Cause, shown_max: usize) {
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
