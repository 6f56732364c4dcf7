//! What a claim comes to, and whether its sums add up.

use rust_decimal::Decimal;
use schemas::Currency;
use serde::Serialize;
use sqlx::{Row, postgres::PgRow};

use super::{ExplainError, PostingLine};

/// What a claim comes to, in its currency.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Money {
    /// Of everything below.
    pub currency: Currency,
    /// The sale, in the reported currency.
    pub sale: Option<Decimal>,
    /// The shopper's share of what is left after the fee, as a percentage.
    pub user_share_pct: Decimal,
    /// By the terms.
    pub expected: Parts,
    /// In the books.
    pub posted: Parts,
    /// Paid out of the shopper's part.
    pub paid: Decimal,
    /// Whether user + creator + fee = commission + subsidy, of what is expected and of what is
    /// posted; and the postings of the claim sum to what is posted.
    pub adds_up: bool,
}

/// Who gets what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Parts {
    /// What the network owes.
    pub commission: Decimal,
    /// What the platform adds.
    pub subsidy: Decimal,
    /// What the platform keeps.
    pub fee: Decimal,
    /// The shopper's part.
    pub user: Decimal,
    /// The creator's part.
    pub creator: Decimal,
}

impl Money {
    pub(super) fn read(row: &PgRow, postings: &[PostingLine]) -> Result<Self, ExplainError> {
        let code: &str = row.try_get("currency")?;
        let currency: Currency = code
            .parse()
            .map_err(|_| ExplainError::Invalid(format!("a currency {code:?}")))?;
        let expected = Parts {
            commission: row.try_get("expected_commission")?,
            subsidy: row.try_get("expected_subsidy")?,
            fee: row.try_get("expected_fee")?,
            user: row.try_get("user_amount")?,
            creator: row.try_get("creator_amount")?,
        };
        let posted = Parts {
            commission: row.try_get("posted_commission")?,
            subsidy: row.try_get("posted_subsidy")?,
            fee: row.try_get("posted_fee")?,
            user: row.try_get("posted_user")?,
            creator: row.try_get("posted_creator")?,
        };
        let booked = Parts::booked(postings);
        Ok(Self {
            currency,
            sale: row.try_get("order_value")?,
            user_share_pct: row.try_get("user_pct")?,
            expected,
            posted,
            paid: row.try_get("paid_amount")?,
            adds_up: expected.add_up() && posted.add_up() && booked == posted,
        })
    }
}

impl Parts {
    fn add_up(&self) -> bool {
        self.user + self.creator + self.fee == self.commission + self.subsidy
    }

    /// What the lines of a claim come to.
    fn booked(postings: &[PostingLine]) -> Self {
        let sum = |accounts: &[&str]| -> Decimal {
            let theirs = postings.iter();
            let theirs = theirs.filter(|line| accounts.contains(&line.account.as_str()));
            theirs.map(|line| line.amount).sum()
        };
        Self {
            commission: -sum(&["network_receivable"]),
            subsidy: -sum(&["promotion_expense"]),
            fee: sum(&["platform_revenue"]),
            user: sum(&["user_payable", "unclaimed"]),
            creator: sum(&["creator_payable"]),
        }
    }

    pub(super) fn line(&self, currency: Currency) -> String {
        let Self {
            commission,
            subsidy,
            fee,
            user,
            creator,
        } = self;
        format!(
            "user {user} + creator {creator} + fee {fee} = commission {commission} + subsidy \
             {subsidy} {currency}"
        )
    }
}
