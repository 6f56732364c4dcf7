use clickhouse::Row;
use processors::stage::Origin;
use schemas::events::{PayoutRequested, PayoutResult};
use serde::Serialize;

use super::column::{Decimal, Identifier, Instant, text};

/// A row of `payouts`. The request's bytes stay in the log.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
#[expect(
    missing_docs,
    reason = "columns are described where the table is created"
)]
pub struct PayoutRow {
    pub payout_id: Identifier,
    pub tenant_id: Identifier,
    pub user_id: Identifier,
    pub currency: String,
    pub amount: Decimal,
    pub as_of: Instant,
    pub method: String,
    pub item_claims: Vec<i64>,
    pub item_amounts: Vec<Decimal>,
    pub requested_at: Instant,
}

impl PayoutRow {
    /// The row of a payout.
    pub fn of(payout: &PayoutRequested, origin: &Origin) -> Self {
        Self {
            payout_id: payout.payout_id.uuid().into(),
            tenant_id: payout.tenant_id.uuid().into(),
            user_id: payout.user_id.uuid().into(),
            currency: payout.currency.to_string(),
            amount: payout.amount.into(),
            as_of: payout.as_of.into(),
            method: payout.method.clone(),
            item_claims: payout.items.iter().map(|item| item.claim.get()).collect(),
            item_amounts: payout.items.iter().map(|item| item.amount.into()).collect(),
            requested_at: origin.appended_at.into(),
        }
    }
}

/// A row of `payout_steps`. The card's own id stays out: analysts count cards, operators find
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
#[expect(
    missing_docs,
    reason = "columns are described where the table is created"
)]
pub struct PayoutStepRow {
    pub payout_id: Identifier,
    pub step: &'static str,
    pub attempt: i32,
    pub at: Instant,
    pub detail: String,
    pub source_offset: i64,
}

impl PayoutStepRow {
    /// The row of a step.
    pub fn of(result: &PayoutResult, origin: &Origin) -> Self {
        Self {
            payout_id: result.payout_id.uuid().into(),
            step: result.step.name(),
            attempt: result.attempt,
            at: result.at.into(),
            detail: text(result.detail.as_ref()),
            source_offset: origin.position.offset,
        }
    }
}
