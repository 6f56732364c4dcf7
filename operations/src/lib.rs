//! What operators do, and what the product does by itself to stay right (design section 7).
//!
//! | module | what |
//! |---|---|
//! | [`healing`] | parked reports find their click, or are matched by hand |
//! | [`audit`] | the invariants of design section 9, as queries |
//! | [`canonical_dump`] | the ledger as text: equal for equal histories |
//! | [`fates`] | what became of every accepted report |
//! | [`backfill`] | a network's CSV export, through the same pipeline as postbacks |
//! | [`log_copy`] | a whole log into an empty one, offset by offset |
//! | [`caught_up`] | whether the ledger has folded what the log held |
//! | [`contacts`] | people's contacts, sealed with a new key |
//! | [`payout_hold`] | stops payouts while a money invariant is broken, until an operator lifts it |
//! | [`payout_run`] | pays what has matured, once the two above say that it may |
//! | [`payouts`] | payouts listed, shown, and compared with what the gift-card service did |
//! | [`delivery_reports`] | the SMS gateway's word on messages |
//! | [`reference`](mod@reference) | tenants, offers, campaigns, links from a file |
//! | [`replay`] | the log folded again, in a clean room, and held against the ledger |
//! | [`verification`] | the log folded anew into an empty ledger, and both compared |
//! | [`corrections`] | what a replay would have booked otherwise, brought into the books |
//! | [`creator_analytics`] | what a creator's shop earned, from the aggregates |
//! | [`retention`] | what is past its period goes, and what a person asks to |
//! | [`commands`] | operators' decisions, on their way into the log |
//! | [`reconcile`] | what a network lists against the ledger, and what is missing as evidence |
//! | [`explain`] | from a gift card to the raw reports' bytes, and back |
//! | [`unmatched`], [`dead_letters`] | list, look, try again or match by hand, give up |
//! | [`trackier`] | the network's own API, and a fake of it |
//! | [`offer_sync`] | offers as the network's campaigns have them |
//! | [`silence`] | campaigns that have gone quiet |
//! | [`watch`] | those, and dead letters, as metrics |

mod advisory_lock;
pub mod audit;
pub mod backfill;
pub mod canonical_dump;
pub mod caught_up;
pub mod commands;
pub mod contacts;
pub mod corrections;
pub mod creator_analytics;
pub mod dead_letters;
pub mod delivery_reports;
pub mod event_ids;
pub mod explain;
mod export;
pub mod fates;
pub mod healing;
pub mod log_copy;
pub mod offer_sync;
mod originals;
pub mod payout_hold;
pub mod payout_run;
pub mod payouts;
pub mod reconcile;
pub mod reference;
pub mod replay;
pub mod retention;
pub mod silence;
pub mod trackier;
pub mod unmatched;
pub mod verification;
pub mod watch;
