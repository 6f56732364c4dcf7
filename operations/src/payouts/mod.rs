//! Payouts as operators see them: a list, one with all that happened to it, their messages, and
//! the daily comparison with what the gift-card service says.

pub mod listing;
pub mod messages;
pub mod reconciliation;
