//! Scheduled work: the audit, the daily payout run with its retries, the daily comparison with the
//! gift-card service, retention, and the daily verification.

mod audit;
mod payouts;
mod retention;
mod verification;

use std::time::Duration;

pub use self::{
    audit::Audit,
    payouts::{PayoutSchedule, Payouts},
    retention::Retention,
    verification::DailyVerification,
};

/// How often it is asked whether a daily job is due.
const DUE_CHECK_INTERVAL: Duration = Duration::from_mins(10);
