//! Payouts as operators see them: a list, one with all that happened to it, and the daily
//! comparison with what the gift-card service says.

pub mod listing;
pub mod reconciliation;
