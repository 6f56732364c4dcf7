//! Log to world: ledger, analytics, payouts.

pub mod analytics;
pub mod ledger;
pub mod payouts;
pub mod sealing;
