use serde::{Deserialize, Serialize};

use crate::{Amount, Currency, EventId, PayoutId, TenantId, Timestamp, UserId};

/// A payout to be made (topic `payouts`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutRequested {
    /// The payout.
    pub payout_id: PayoutId,
    /// The tenant whose balance it pays.
    pub tenant_id: TenantId,
    /// The payee.
    pub user_id: UserId,
    /// Currency of the card and of the items.
    pub currency: Currency,
    /// The card's value; items sum to it.
    pub amount: Amount,
    /// The run's `as_of`: only claims payable before it are in.
    pub as_of: Timestamp,
    /// The rail, such as `agcod`.
    pub method: String,
    /// The one request id that this payout has for ever.
    pub creation_request_id: String,
    /// The frozen request body, sent byte for byte at every attempt.
    #[serde(with = "serde_bytes")]
    pub request: Vec<u8>,
    /// Which claims it pays.
    pub items: Vec<PayoutItem>,
}

/// A part of a claim that a payout pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutItem {
    /// The claim's name when the payout was made; aliases resolve it later.
    pub claim: EventId,
    /// How much of it.
    pub amount: Amount,
}

/// A step of what became of a payout (topic `payout-results`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutResult {
    /// The payout.
    pub payout_id: PayoutId,
    /// The step.
    pub step: PayoutStep,
    /// When.
    pub at: Timestamp,
    /// Which attempt, from 1; 0 where no attempt was made.
    pub attempt: i32,
    /// Error code and type as the rail gave them, for the operator. Never a claim code.
    pub detail: Option<String>,
    /// The rail's own id of the card.
    pub card_id: Option<String>,
}

/// What became of a payout. `queued` is the request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutStep {
    /// From here on a card may exist. Durable before any byte goes out.
    Sending,
    /// Given up before it was sent; its items are free again.
    Cancelled,
    /// The card exists, with the right amount.
    Funded,
    /// Ten attempts or six hours without an answer; the nightly run tries again.
    ErrorSoft,
    /// The request was refused; an operator has to act.
    ErrorHard,
}

impl PayoutStep {
    /// Its name in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Cancelled => "cancelled",
            Self::Funded => "funded",
            Self::ErrorSoft => "error_soft",
            Self::ErrorHard => "error_hard",
        }
    }
}
