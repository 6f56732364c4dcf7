//! The events of each topic, as they stand in the log.
//!
//! Field for field they follow the Avro schemas in `schemas/avro/`. Times are
//! [`crate::Timestamp`], sums are [`crate::Amount`] in the currency that stands beside them,
//! people are UUIDs: no phone number, e-mail or whole address ever enters the log.

mod click;
mod command;
mod commission;
mod conversion;
mod decision;
mod ledger;
mod payout;

pub use click::{ClickOrigin, ClickRecorded, ClickSignals, Device};
pub use command::{
    CancelPayout, ChannelSwitch, Command, CommandBody, Correct, MatchByHand, ReleasePayout,
    ResendMessage, ReviewClaim, Target, Verdict,
};
pub use commission::{
    CommissionRule, CommissionRules, GoalRate, Rate, RateOrigin, Replacement, RuleApplication,
};
pub use conversion::{
    ConversionReported, Heal, HealAuthor, Malformed, NetworkStatus, RawReport, ReportSource,
    Reported,
};
pub use decision::{
    ClickFacts, CommissionSource, Decision, DuplicatePolicy, FraudRules, Ignored, Matched, Outcome,
    PayoutMeans, Poisoned, SelfPurchase, Signal, SignalCode, Split, Terms, Unmatched,
    UnmatchedReason,
};
pub use ledger::{Account, ClaimStatus, LedgerChanged, Posting, StatusReason};
pub use payout::{PayoutItem, PayoutRequested, PayoutResult, PayoutStep};
