//! What came out, whether it is what had to, and the page that says so.

mod comparison;
mod figures;
mod latency;
mod page;

use std::time::{Duration, SystemTime};

use rust_decimal::Decimal;
use schemas::{TenantId, Timestamp, UserId};
use serde_json::{Value, json};

use super::{
    driver::Record,
    oracle::{ClaimKey, Expected, Fates},
    world::{Script, coin::Coin},
};

pub use self::{comparison::compare, latency::Latency};

/// What the product made of the traffic: read from its databases and from the fake rail.
#[derive(Debug, Clone, Default)]
pub struct Actual {
    /// How many records of `conversions` have each fate.
    pub fates: Fates,
    /// Every row of the ledger.
    pub claims: Vec<ActualClaim>,
    /// Sum of the postings by tenant, account and currency.
    pub balances: Vec<ActualBalance>,
    /// Sum of the postings on `user_payable`, by tenant, user and currency.
    pub payees: Vec<ActualPayee>,
    /// Every payout that wasn't cancelled.
    pub payouts: Vec<ActualPayout>,
    /// Every card that the rail issued, by the rail's own account; absent where it can't be asked.
    pub rail_cards: Option<Vec<RailCard>>,
    /// Sums of what is posted, by currency, as the analytics database has them; absent where it
    /// isn't asked.
    pub analytics: Option<Vec<AnalyticsSum>>,
}

/// A row of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct ActualClaim {
    /// Its click, and the names that its lowest-ranked report carries.
    pub key: ClaimKey,
    /// Row status, as the ledger writes it.
    pub status: String,
    /// ISO 4217 code.
    pub currency: String,
    /// `posted_*`, in units.
    pub commission: Decimal,
    /// In units.
    pub subsidy: Decimal,
    /// In units.
    pub fee: Decimal,
    /// In units.
    pub user: Decimal,
    /// In units.
    pub creator: Decimal,
    /// `paid_amount`, in units.
    pub paid: Decimal,
    /// When the row was first committed, on the real clock, for the latency.
    pub written_at: Option<SystemTime>,
}

/// The balance of an account.
#[derive(Debug, Clone, PartialEq)]
pub struct ActualBalance {
    /// Whose books.
    pub tenant_id: TenantId,
    /// The account, as the ledger writes it.
    pub account: String,
    /// ISO 4217 code.
    pub currency: String,
    /// In units, signed as the postings are.
    pub amount: Decimal,
}

/// What a payee is owed.
#[derive(Debug, Clone, PartialEq)]
pub struct ActualPayee {
    /// By whom.
    pub tenant_id: TenantId,
    /// The payee.
    pub user_id: UserId,
    /// ISO 4217 code.
    pub currency: String,
    /// In units.
    pub amount: Decimal,
}

/// A payout.
#[derive(Debug, Clone, PartialEq)]
pub struct ActualPayout {
    /// Its run's `as_of`.
    pub as_of: Timestamp,
    /// The tenant whose balance it pays.
    pub tenant_id: TenantId,
    /// The payee.
    pub user_id: UserId,
    /// ISO 4217 code.
    pub currency: String,
    /// The card's value in units.
    pub amount: Decimal,
    /// Its state, as the ledger writes it: `funded` is what it must be.
    pub state: String,
}

/// A card, as the rail knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RailCard {
    /// ISO 4217 code.
    pub currency: String,
    /// Its value in units.
    pub amount: Decimal,
}

/// Sums of what is posted in one currency.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyticsSum {
    /// ISO 4217 code.
    pub currency: String,
    /// Ledger rows in this currency, whatever their status.
    pub claims: u64,
    /// In units.
    pub commission: Decimal,
    /// In units.
    pub user: Decimal,
    /// In units.
    pub creator: Decimal,
    /// In units.
    pub fee: Decimal,
}

/// The audit's verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audit {
    /// Every invariant holds.
    Ok {
        /// How many were checked.
        checks: usize,
    },
    /// What doesn't hold.
    Broken(Vec<String>),
}

/// Everything that the end of a run says.
#[derive(Debug)]
pub struct Summary<'a> {
    script: &'a Script,
    record: &'a Record,
    expected: &'a Expected,
    actual: &'a Actual,
    audit: Audit,
    elapsed: Duration,
    look_next: Vec<(String, String)>,
    latency: Option<Latency>,
    differences: Vec<String>,
}

impl<'a> Summary<'a> {
    /// Compares what came out with what had to. `look_next` holds commands or addresses, each
    /// with what is seen there.
    pub fn new(
        script: &'a Script,
        record: &'a Record,
        expected: &'a Expected,
        actual: &'a Actual,
        audit: Audit,
        elapsed: Duration,
        look_next: Vec<(String, String)>,
    ) -> Self {
        Self {
            script,
            record,
            expected,
            actual,
            audit,
            elapsed,
            look_next,
            latency: latency::of_run(record, expected, actual),
            differences: compare(script, record, expected, actual),
        }
    }

    /// Whether everything came out as it had to, and the audit agrees.
    pub fn succeeded(&self) -> bool {
        self.differences.is_empty() && matches!(self.audit, Audit::Ok { .. })
    }

    /// What differs from the generator's record; empty when nothing does.
    pub fn differences(&self) -> &[String] {
        &self.differences
    }

    /// The page for a person.
    pub fn page(&self) -> String {
        page::write(self)
    }

    /// One object for a program. Amounts are strings in units; `postings_sum` is what the
    /// postings miss zero by, in minor units over all currencies.
    pub fn json(&self) -> Value {
        let mut object = serde_json::Map::new();
        object.insert("accepted".to_owned(), json!(self.actual.fates.accepted()));
        for (name, count) in self.actual.fates.named() {
            object.insert(name.to_owned(), json!(count));
        }
        let by_currency = |amount: &dyn Fn(Coin) -> Decimal| -> Value {
            Coin::ALL
                .iter()
                .map(|coin| (coin.code().to_owned(), json!(amount(*coin))))
                .collect()
        };
        let (audit, findings) = match &self.audit {
            Audit::Ok { .. } => ("ok", Vec::new()),
            Audit::Broken(findings) => ("broken", findings.clone()),
        };
        let latency = self.latency.map(|latency| {
            json!({ "p50": latency.p50_ms, "p95": latency.p95_ms, "p99": latency.p99_ms })
        });
        for (name, value) in [
            ("postings_sum", json!(figures::imbalance_minor(self.actual))),
            (
                "postings",
                by_currency(&|coin| figures::postings_sum(self.actual, coin)),
            ),
            ("gift_cards", json!(self.actual.payouts.len())),
            (
                "gift_cards_total",
                by_currency(&|coin| figures::cards_total(self.actual, coin)),
            ),
            ("claims", json!(self.actual.claims.len())),
            ("clicks", json!(self.record.clicks_answered())),
            ("latency_ms", json!(latency)),
            ("elapsed_s", json!(figures::rounded_seconds(self.elapsed))),
            ("audit", json!(audit)),
            ("audit_findings", json!(findings)),
            ("differences", json!(self.differences)),
            ("ok", json!(self.succeeded())),
            ("seed", json!(self.script.seed)),
        ] {
            object.insert(name.to_owned(), value);
        }
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests;
