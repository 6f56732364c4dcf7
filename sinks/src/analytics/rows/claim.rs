use clickhouse::Row;
use processors::stage::Origin;
use schemas::{
    UserId,
    events::{LedgerChanged, StatusReason},
};
use serde::Serialize;

use super::column::{Decimal, Identifier, Instant, text};

/// A row of `ledger_entries`: the state of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
#[expect(
    missing_docs,
    reason = "columns are described where the table is created"
)]
pub struct LedgerEntryRow {
    pub claim: i64,
    pub click_id: i64,
    pub clicked_at: Instant,
    pub tenant_id: Identifier,
    pub campaign_id: Identifier,
    pub link_id: Identifier,
    pub offer_id: i32,
    pub user_id: Option<Identifier>,
    pub country: String,
    pub first_received_at: Instant,
    pub converted_at: Instant,
    pub payable_at: Instant,
    pub status: &'static str,
    pub reasons: Vec<&'static str>,
    pub sale_amount: Option<Decimal>,
    pub currency: String,
    pub expected_commission: Decimal,
    pub expected_subsidy: Decimal,
    pub expected_fee: Decimal,
    pub expected_user: Decimal,
    pub expected_creator: Decimal,
    pub posted_commission: Decimal,
    pub posted_subsidy: Decimal,
    pub posted_fee: Decimal,
    pub posted_user: Decimal,
    pub posted_creator: Decimal,
    pub paid_amount: Decimal,
    pub retired: bool,
    pub epoch: i64,
    pub sequence: i64,
    pub changed_at: Instant,
}

impl LedgerEntryRow {
    /// The state of the claim after a change.
    pub fn of(change: &LedgerChanged, origin: &Origin) -> Self {
        let (expected, posted) = (&change.expected, &change.posted);
        Self {
            claim: change.claim.get(),
            click_id: change.click_id.get(),
            clicked_at: change.clicked_at.into(),
            tenant_id: change.tenant_id.uuid().into(),
            campaign_id: change.campaign_id.uuid().into(),
            link_id: change.link_id.uuid().into(),
            offer_id: change.offer_id.get(),
            user_id: change.user_id.map(UserId::uuid).map(Identifier::from),
            country: text(change.country),
            first_received_at: change.first_received_at.into(),
            converted_at: change.converted_at.into(),
            payable_at: change.payable_at.into(),
            status: change.status.name(),
            reasons: change
                .reasons
                .iter()
                .copied()
                .map(StatusReason::name)
                .collect(),
            sale_amount: change.sale_amount.map(Decimal::from),
            currency: change.currency.to_string(),
            expected_commission: expected.commission.into(),
            expected_subsidy: expected.subsidy.into(),
            expected_fee: expected.fee.into(),
            expected_user: expected.user.into(),
            expected_creator: expected.creator.into(),
            posted_commission: posted.commission.into(),
            posted_subsidy: posted.subsidy.into(),
            posted_fee: posted.fee.into(),
            posted_user: posted.user.into(),
            posted_creator: posted.creator.into(),
            paid_amount: change.paid_amount.into(),
            retired: change.retired,
            epoch: change.epoch,
            sequence: change.sequence,
            changed_at: origin.appended_at.into(),
        }
    }
}

/// A row of `claim_hours`: where a claim stood after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Row, Serialize)]
#[expect(
    missing_docs,
    reason = "columns are described where the table is created"
)]
pub struct ClaimHourRow {
    pub claim: i64,
    /// Seconds since 1970.
    pub hour: u32,
}

impl ClaimHourRow {
    /// The hour of the claim's click.
    pub fn of(entry: &LedgerEntryRow) -> Self {
        Self {
            claim: entry.claim,
            hour: entry.clicked_at.hour().seconds(),
        }
    }
}

/// A row of `ledger_changes`: one step of a claim's way.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
#[expect(
    missing_docs,
    reason = "columns are described where the table is created"
)]
pub struct LedgerChangeRow {
    pub epoch: i64,
    pub sequence: i64,
    pub changed_at: Instant,
    pub claim: i64,
    pub click_id: i64,
    pub clicked_at: Instant,
    pub tenant_id: Identifier,
    pub campaign_id: Identifier,
    pub status: &'static str,
    pub retired: bool,
    pub currency: String,
    pub posted_commission: Decimal,
    pub posted_subsidy: Decimal,
    pub posted_fee: Decimal,
    pub posted_user: Decimal,
    pub posted_creator: Decimal,
    pub paid_amount: Decimal,
    pub posting_accounts: Vec<&'static str>,
    pub posting_users: Vec<Option<Identifier>>,
    pub posting_currencies: Vec<String>,
    pub posting_amounts: Vec<Decimal>,
}

impl LedgerChangeRow {
    /// The change itself.
    pub fn of(change: &LedgerChanged, origin: &Origin) -> Self {
        let posted = &change.posted;
        let postings = &change.postings;
        Self {
            epoch: change.epoch,
            sequence: change.sequence,
            changed_at: origin.appended_at.into(),
            claim: change.claim.get(),
            click_id: change.click_id.get(),
            clicked_at: change.clicked_at.into(),
            tenant_id: change.tenant_id.uuid().into(),
            campaign_id: change.campaign_id.uuid().into(),
            status: change.status.name(),
            retired: change.retired,
            currency: change.currency.to_string(),
            posted_commission: posted.commission.into(),
            posted_subsidy: posted.subsidy.into(),
            posted_fee: posted.fee.into(),
            posted_user: posted.user.into(),
            posted_creator: posted.creator.into(),
            paid_amount: change.paid_amount.into(),
            posting_accounts: postings
                .iter()
                .map(|posting| posting.account.name())
                .collect(),
            posting_users: postings
                .iter()
                .map(|posting| posting.party().map(Identifier::from))
                .collect(),
            posting_currencies: postings
                .iter()
                .map(|posting| posting.currency.to_string())
                .collect(),
            posting_amounts: postings
                .iter()
                .map(|posting| posting.amount.into())
                .collect(),
        }
    }
}
