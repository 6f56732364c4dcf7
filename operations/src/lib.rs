//! What operators do, and what the product does by itself to stay right (design section 7).
//!
//! | module | what |
//! |---|---|
//! | [`healing`] | parked reports find their click, or are matched by hand |
//! | [`audit`] | the invariants of design section 9, as queries |
//! | [`fates`] | what became of every accepted report |
//! | [`backfill`] | a network's CSV export, through the same pipeline as postbacks |
//! | [`log_copy`] | a whole log into an empty one, offset by offset |
//! | [`caught_up`] | whether the ledger has folded what the log held |
//! | [`payout_run`] | pays what has matured, once the two above say that it may |
//! | [`reference`](mod@reference) | tenants, offers, campaigns, links from a file |
//! | [`creator_analytics`] | what a creator's shop earned, from the aggregates |
//! | [`retention`] | what is past its period goes, and what a person asks to |
//! | [`commands`] | operators' decisions, on their way into the log |
//! | [`unmatched`], [`dead_letters`] | list and look |

mod advisory_lock;
pub mod audit;
pub mod backfill;
pub mod caught_up;
pub mod commands;
pub mod creator_analytics;
pub mod dead_letters;
pub mod event_ids;
pub mod fates;
pub mod healing;
pub mod log_copy;
mod originals;
pub mod payout_run;
pub mod reference;
pub mod retention;
pub mod unmatched;
