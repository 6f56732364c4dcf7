use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Amount, CampaignId, ClickId, Country, Currency, EventId, LinkId, OfferId, TenantId, Timestamp,
    UserId,
};

use super::Split;

/// A claim's state after a change, and what was posted (topic `ledger`, from the outbox).
/// Consumers deduplicate by claim and state; of several, the highest (`epoch`, `sequence`) is
/// the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerChanged {
    /// The ledger's epoch: new after a restore or a rebuild.
    pub epoch: i64,
    /// Orders the changes of an epoch.
    pub sequence: i64,
    /// The claim: the event id of its lowest-ranked report.
    pub claim: EventId,
    /// Set when the claim goes by another name from now on, or its reports moved away.
    pub retired: bool,
    /// The click.
    pub click_id: ClickId,
    /// The click's time.
    pub clicked_at: Timestamp,
    /// Owner of the link.
    pub tenant_id: TenantId,
    /// The link's campaign.
    pub campaign_id: CampaignId,
    /// The link.
    pub link_id: LinkId,
    /// The click's offer.
    pub offer_id: OfferId,
    /// The shopper, where known.
    pub user_id: Option<UserId>,
    /// The shopper's country at the click.
    pub country: Option<Country>,
    /// When the first report of the claim was received.
    pub first_received_at: Timestamp,
    /// The conversion's time.
    pub converted_at: Timestamp,
    /// From when on it can be paid.
    pub payable_at: Timestamp,
    /// Row status.
    pub status: ClaimStatus,
    /// Why it isn't plainly confirmed or pending.
    pub reasons: Vec<StatusReason>,
    /// Sale amount in the reported currency, where known.
    pub sale_amount: Option<Amount>,
    /// Currency of commission and parts.
    pub currency: Currency,
    /// What will be, or is, owed to each.
    pub expected: Split,
    /// What stands in the books.
    pub posted: Split,
    /// What was paid out of the user's part.
    pub paid_amount: Amount,
    /// What was posted by this change.
    pub postings: Vec<Posting>,
}

/// Status of a ledger row (design section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimStatus {
    /// The network hasn't decided; nothing is posted.
    Pending,
    /// A person has to look; nothing is posted.
    Review,
    /// Owed.
    Confirmed,
    /// Not owed: fraud, duplicate, window, or the network's refusal.
    Rejected,
    /// Owed and paid in full.
    Paid,
    /// Was owed, then taken back by the network.
    Reversed,
}

impl ClaimStatus {
    /// Its name in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Review => "review",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Paid => "paid",
            Self::Reversed => "reversed",
        }
    }
}

/// Why a claim has its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusReason {
    /// Another claim owns the order: rejected.
    DuplicateOrder,
    /// The shopper is a member of the tenant: rejected.
    SelfPurchase,
    /// The conversion lies outside the attribution window: rejected.
    OutsideWindow,
    /// The network cancelled or rejected it.
    NetworkCancelled,
    /// An operator rejected it.
    OperatorRejected,
    /// An operator approved it.
    OperatorApproved,
    /// An operator set what is booked.
    Corrected,
    /// Score at or above the threshold: review.
    Score,
    /// The user's 5th or later claim within 24 hours of clicks: review.
    Velocity,
    /// Reports that nothing tells apart carry different amounts: review.
    AmbiguousAmount,
    /// A report without a name could belong to several claims: review.
    AmbiguousReport,
    /// A report names another offer than the click's: review.
    OfferMismatch,
    /// A report's currency is not the offer's: review.
    CurrencyMismatch,
    /// The commission is above the offer's cap: review.
    CommissionAboveMax,
    /// Approved without an amount that a commission could be made of: review.
    AmountMissing,
    /// The order is owned by a claim that is closed: review.
    OrderOwnedByClosed,
    /// A later record concerns this claim, which is closed: flagged only.
    ClosedFlagged,
    /// A report came after the tenant's books were locked for the conversion's time, and waits for
    /// an operator: review where the claim has no other, else flagged only.
    BooksLocked,
    /// The network sent a status that we don't know: flagged.
    UnknownStatus,
    /// Conversion time is our own receipt: flagged only.
    TimeOfReceipt,
}

impl StatusReason {
    /// Its name in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DuplicateOrder => "duplicate_order",
            Self::SelfPurchase => "self_purchase",
            Self::OutsideWindow => "outside_window",
            Self::NetworkCancelled => "network_cancelled",
            Self::OperatorRejected => "operator_rejected",
            Self::OperatorApproved => "operator_approved",
            Self::Corrected => "corrected",
            Self::Score => "score",
            Self::Velocity => "velocity",
            Self::AmbiguousAmount => "ambiguous_amount",
            Self::AmbiguousReport => "ambiguous_report",
            Self::OfferMismatch => "offer_mismatch",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::CommissionAboveMax => "commission_above_max",
            Self::AmountMissing => "amount_missing",
            Self::OrderOwnedByClosed => "order_owned_by_closed",
            Self::ClosedFlagged => "closed_flagged",
            Self::BooksLocked => "books_locked",
            Self::UnknownStatus => "unknown_status",
            Self::TimeOfReceipt => "time_of_receipt",
        }
    }
}

/// One line of a double-entry transaction: positive is what the account's holder is owed, or
/// the platform's income; negative the other side. The lines of a transaction sum to zero per
/// currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// The account's kind.
    pub account: Account,
    /// The tenant whose books it is in.
    pub tenant_id: TenantId,
    /// The shopper, for `user_payable` and `payout_clearing`.
    pub user_id: Option<UserId>,
    /// Its currency.
    pub currency: Currency,
    /// Signed.
    pub amount: Amount,
}

/// The accounts (design section 5, posting).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// What the network owes us: negative by the commission.
    NetworkReceivable,
    /// What a shopper is owed.
    UserPayable,
    /// What a creator is owed.
    CreatorPayable,
    /// The user's part of clicks without a user.
    Unclaimed,
    /// The platform's fee.
    PlatformRevenue,
    /// The subsidy: negative.
    PromotionExpense,
    /// Payouts under way and made.
    PayoutClearing,
}

impl Account {
    /// Its name in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetworkReceivable => "network_receivable",
            Self::UserPayable => "user_payable",
            Self::CreatorPayable => "creator_payable",
            Self::Unclaimed => "unclaimed",
            Self::PlatformRevenue => "platform_revenue",
            Self::PromotionExpense => "promotion_expense",
            Self::PayoutClearing => "payout_clearing",
        }
    }
}

impl Posting {
    /// The party's UUID for storage: the shopper where there is one.
    pub fn party(&self) -> Option<Uuid> {
        self.user_id.map(UserId::uuid)
    }
}
