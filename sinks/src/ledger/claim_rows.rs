//! Rows of claims for whoever compares them with a fold of their own: a replay, above all.

use std::hash::BuildHasher;

use futures::{Stream, StreamExt};
use processors::rules::{lifecycle::ClaimState, split::Parts};
use schemas::{ClickId, Currency, EventId, TenantId, Timestamp, events::LedgerChanged};
use serde::{Serialize, Serializer};
use serde_json::Value;
use sqlx::{PgConnection, postgres::PgRow};

use super::{
    LedgerError,
    rows::{self, LedgerRow},
};

/// A row of `ledger`, as it stands there or as a fold says that it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRow {
    row: LedgerRow,
    /// What stands in the books.
    posted: Parts,
    currency: Currency,
}

impl ClaimRow {
    /// The row of a claim whose target is booked.
    pub fn of(state: &ClaimState) -> Self {
        Self {
            row: LedgerRow::new(state),
            posted: state.target,
            currency: state.currency,
        }
    }

    fn read(row: &PgRow) -> Result<Self, LedgerError> {
        let currency = rows::currency(row, "currency")?;
        let row = LedgerRow::read(row)?;
        let posted = row.posted(currency)?;
        Ok(Self {
            row,
            posted,
            currency,
        })
    }

    /// The claim's name.
    pub fn claim(&self) -> EventId {
        EventId::new(self.row.led_id)
    }

    /// Its click.
    pub fn click(&self) -> ClickId {
        ClickId::new(self.row.click_id)
    }

    /// Its click's time.
    pub fn clicked_at(&self) -> Timestamp {
        self.row.clicked_at.into()
    }

    /// Whose it is.
    pub fn tenant(&self) -> TenantId {
        TenantId::new(self.row.tenant_id)
    }

    /// Currency of all its sums.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// What stands in the books, by the row.
    pub fn posted(&self) -> Parts {
        self.posted
    }

    /// The row's status.
    pub fn status(&self) -> &str {
        &self.row.status
    }

    /// Whether the ledger told the same of the claim: status, what is owed, booked and paid.
    pub fn told(&self, changed: &LedgerChanged) -> bool {
        let expected = Parts::from_split(&changed.expected, self.currency);
        let sum = |minor| rows::decimal(minor, self.currency);
        let row = &self.row;
        !changed.retired
            && changed.currency == self.currency
            && changed.status.name() == row.status
            && Parts::from_split(&changed.posted, self.currency) == self.posted
            && sum(expected.commission) == row.expected_commission
            && sum(expected.user) == row.user_amount
            && sum(expected.creator) == row.creator_amount
            && changed.paid_amount.to_decimal() == row.paid_amount
    }

    /// A number that rows which say the same share under one hasher, and others hardly ever.
    pub fn fingerprint(&self, hasher: &impl BuildHasher) -> u64 {
        hasher.hash_one(&self.row)
    }

    /// The columns in which two rows differ, each with what this one says and the other.
    ///
    /// # Errors
    /// When a row can't be turned into JSON.
    pub fn differences(&self, other: &Self) -> Result<Vec<(String, Value, Value)>, LedgerError> {
        if self.row == other.row {
            return Ok(Vec::new());
        }
        let ours = serde_json::to_value(&self.row)?;
        let theirs = serde_json::to_value(&other.row)?;
        let columns = ours.as_object().into_iter().flatten();
        Ok(columns
            .map(|(column, value)| (column.clone(), value.clone(), theirs[column].clone()))
            .filter(|(_, ours, theirs)| ours != theirs)
            .collect())
    }
}

/// Its columns.
impl Serialize for ClaimRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.row.serialize(serializer)
    }
}

/// A row of `ledger` as PostgreSQL sent it. Reading it is most of the work, and can be done on
/// another thread than the connection's.
pub struct SentRow(PgRow);

impl SentRow {
    /// The row.
    ///
    /// # Errors
    /// When it holds what can't be parsed.
    pub fn read(&self) -> Result<ClaimRow, LedgerError> {
        ClaimRow::read(&self.0)
    }
}

/// Every row of the ledger, as the connection's transaction sees it.
pub fn all(connection: &mut PgConnection) -> impl Stream<Item = Result<SentRow, LedgerError>> {
    let rows = sqlx::query("SELECT * FROM ledger").fetch(connection);
    rows.map(|row| Ok(SentRow(row?)))
}

/// The rows of these claims; those that there are.
///
/// # Errors
/// When the database can't be read, or holds what can't be parsed.
pub async fn of_claims(
    connection: &mut PgConnection,
    claims: &[EventId],
) -> Result<Vec<ClaimRow>, LedgerError> {
    let names: Vec<i64> = claims.iter().map(|claim| claim.get()).collect();
    let rows = sqlx::query("SELECT * FROM ledger WHERE led_id = ANY($1)")
        .bind(&names)
        .fetch_all(connection)
        .await?;
    rows.iter().map(ClaimRow::read).collect()
}
