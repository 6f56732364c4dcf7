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
    history::{Beside, Grouped},
    ledger::{Found, Moment, Rows},
    neighbours::Neighbourhoods,
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
    took: Duration,
    pub mismatches: Vec<Mismatch>,
    /// Claims of the recorded decisions that today's have under no name.
    pub vanished: Vec<EventId>,
    failed: Option<ReplayError>,
}

impl Compared {
    pub fn claims_per_second(&self) -> u64 {
        let millis = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        self.claims.saturating_mul(1_000) / millis.max(1)
    }
}

/// A comparison on its way.
pub(super) struct Comparison<'a> {
    settings: &'a ReplaySettings,
    beside: &'a Arc<Beside>,
    /// Read once it is known whose rows are wanted.
    rows: Option<Arc<Rows>>,
    pub outcome: Compared,
}

impl<'a> Comparison<'a> {
    pub fn new(settings: &'a ReplaySettings, beside: &'a Arc<Beside>) -> Self {
        Self {
            settings,
            beside,
            rows: None,
            outcome: Compared::default(),
        }
    }

    /// Rows of claims that no fold had.
    pub fn unseen(&self) -> Vec<EventId> {
        self.rows
            .as_ref()
            .map(|rows| rows.unseen())
            .unwrap_or_default()
    }

    pub async fn take(
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
