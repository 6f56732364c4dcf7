//! What a replay found: claim by claim, and by cause.

use std::{collections::BTreeMap, fmt};

use processors::rules::split::Parts;
use rust_decimal::Decimal;
use schemas::{ClickId, Currency, EventId, Minor, Position, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Span;

/// What a replay came to.
#[derive(Debug, Clone, Serialize)]
pub struct ReplayReport {
    /// Whether the ledger says what the log says, as far as the ledger had read it.
    pub equal: bool,
    /// What was asked for.
    pub span: Span,
    /// Reports of sales that were read, whatever became of them.
    pub reports: u64,
    /// Of them, those in the span.
    pub reports_in_span: u64,
    /// Claims that the span touches, compared with their rows.
    pub claims: u64,
    /// Reports that were read in a second: their records and decisions from the log, decoded,
    /// decided anew, linked and packed; the ledger's rows besides, where the span is whole.
    pub read_per_second: u64,
    /// Claims that were folded and compared in a second, reading aside.
    pub folded_per_second: u64,
    /// Claims that differ.
    pub different: u64,
    /// Reports that the ledger had no decision on yet, and claims of which only the payment is
    /// ahead of the log or behind it: no differences.
    pub not_yet_applied: u64,
    /// Records that were given up as unusable or unreadable, and that today's code can use:
    /// redriving them makes claims of them.
    pub usable_now: Vec<Position>,
    /// The differences, by cause.
    pub causes: BTreeMap<Cause, Totals>,
    /// The first of them, each on its own.
    pub differences: Vec<Difference>,
    /// What would have to be booked: every claim that a correction can bring right.
    #[serde(skip)]
    pub corrections: Vec<Misbooked>,
}

/// Why a claim's row isn't what the replay has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Today's code decides one of its reports, or a neighbour's, otherwise than it was decided.
    DecidedOtherwise,
    /// The ledger has told what the log says, and its row says something else, or is gone: it was
    /// changed behind the log's back.
    Altered,
    /// The ledger itself came to another result from the same decisions: its code was another, or
    /// it lost a record.
    FoldedOtherwise,
    /// No record in the log stands for the row.
    NotInTheLog,
    /// What the ledger told of the claim is neither: its topic was trimmed, or it was rebuilt.
    Unexplained,
}

impl Cause {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::DecidedOtherwise => "today's code decides its reports otherwise",
            Self::Altered => "the row was changed behind the log's back",
            Self::FoldedOtherwise => "the ledger folded the same decisions otherwise",
            Self::NotInTheLog => "no record in the log stands for the row",
            Self::Unexplained => "the ledger never told of it what either says",
        }
    }
}

/// Claims, and by how much the replay has more than the ledger, by currency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// How many.
    pub claims: u64,
    /// What stands in the books by the replay, less what the row says.
    pub amounts: BTreeMap<String, Amounts>,
}

/// Sums in units of a currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amounts {
    /// What networks owe.
    pub commission: Decimal,
    /// What shoppers are owed, or is unclaimed.
    pub user: Decimal,
    /// What creators are owed.
    pub creator: Decimal,
    /// What the platform keeps.
    pub fee: Decimal,
}

impl Amounts {
    /// One split less another.
    pub fn difference(now: Parts, before: Parts, currency: Currency) -> Self {
        let less = |now: Minor, before: Minor| {
            Decimal::new((now - before).get(), currency.exponent()).normalize()
        };
        Self {
            commission: less(now.commission, before.commission),
            user: less(now.user, before.user),
            creator: less(now.creator, before.creator),
            fee: less(now.fee, before.fee),
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.commission += other.commission;
        self.user += other.user;
        self.creator += other.creator;
        self.fee += other.fee;
    }
}

impl Totals {
    /// One more claim.
    pub(super) fn add(&mut self, now: Parts, before: Parts, currency: Currency) {
        self.claims += 1;
        let amounts = Amounts::difference(now, before, currency);
        self.amounts
            .entry(currency.to_string())
            .or_default()
            .add(amounts);
    }
}

/// A claim whose row isn't what the replay has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Its name.
    pub claim: EventId,
    /// Its click.
    pub click_id: ClickId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Whether both have it.
    pub kind: Kind,
    /// Why.
    pub cause: Cause,
    /// What today's code decides otherwise about its own reports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decided_otherwise: Vec<&'static str>,
    /// The columns that differ; of a row that is missing or too much, none.
    pub columns: Vec<Column>,
}

/// Which of the two has a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Both, and they differ.
    Different,
    /// The ledger lacks it.
    Missing,
    /// Only the ledger has it.
    Extra,
}

/// A column in which they differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// Its name.
    pub column: String,
    /// What the ledger says.
    pub ledger: Value,
    /// What the replay says.
    pub replay: Value,
}

/// A claim that doesn't stand in the books as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misbooked {
    /// Its name.
    pub claim: EventId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Currency of both.
    pub currency: Currency,
    /// Why.
    pub cause: Cause,
    /// What the row says.
    pub booked: Parts,
    /// What the replay says.
    pub target: Parts,
    /// The operator's correction that is in force.
    pub corrected: Option<Parts>,
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} reports read, {} in the span; {} claims compared, {} differ",
            self.reports, self.reports_in_span, self.claims, self.different
        )?;
        if self.not_yet_applied > 0 {
            writeln!(f, "{} not yet applied by the ledger", self.not_yet_applied)?;
        }
        for position in &self.usable_now {
            writeln!(
                f,
                "{position} was given up, and can be used by now: redrive it"
            )?;
        }
        for (cause, totals) in &self.causes {
            writeln!(f, "\n{}: {} claims", cause.words(), totals.claims)?;
            for (currency, amounts) in &totals.amounts {
                writeln!(
                    f,
                    "  replay less ledger, {currency}: commission {}, shoppers {}, creators {}, \
                     platform {}",
                    amounts.commission, amounts.user, amounts.creator, amounts.fee
                )?;
            }
            let of_cause = self.differences.iter().filter(|one| one.cause == *cause);
            for difference in of_cause {
                difference.fmt(f)?;
            }
        }
        let hidden = self.different.saturating_sub(self.differences.len() as u64);
        if hidden > 0 {
            writeln!(f, "\n{hidden} more aren't shown one by one")?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Different => "",
            Kind::Missing => ", which the ledger lacks",
            Kind::Extra => ", which only the ledger has",
        };
        let (claim, click, tenant) = (self.claim, self.click_id, self.tenant_id);
        writeln!(f, "  claim {claim} of click {click}, tenant {tenant}{kind}")?;
        if !self.decided_otherwise.is_empty() {
            writeln!(
                f,
                "    decided otherwise: {}",
                self.decided_otherwise.join(", ")
            )?;
        }
        for Column {
            column,
            ledger,
            replay,
        } in &self.columns
        {
            writeln!(
                f,
                "    {column}: {ledger} in the ledger, {replay} by the log"
            )?;
        }
        Ok(())
    }
}
