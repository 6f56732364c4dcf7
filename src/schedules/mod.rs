//! Scheduled work: the audit, the daily payout run with its retries, the daily comparisons with the
//! gift-card service and with the network, retention, and the daily verification.

mod audit;
mod network;
mod payouts;
mod retention;
mod verification;

use std::time::Duration;

pub use self::{
    audit::Audit,
    network::{Apply, Network, NetworkPlatform, NetworkSchedule},
    payouts::{PayoutSchedule, Payouts},
    retention::Retention,
    verification::DailyVerification,
};

/// How often it is asked whether a daily job is due.
const DUE_CHECK_INTERVAL: Duration = Duration::from_mins(10);
