//! The ledger: the log → PostgreSQL (design section 5).
//!
//! ```text
//!  clicks, decisions, commands, ──▶ batch ──▶ one transaction: position by compare-and-swap ─▶
//!  payouts, payout-results                    locks, history, pure rules, rows, outbox ─▶ commit
//! ```
//!
//! What is decided is decided by [`processors::rules`]; here it is loaded, applied and written.
//! Locks are taken in one order, sorted within a class: names, heals, click partitions, orders,
//! payees (docs/adr/0002). So any number of instances neither deadlock nor differ.
//!
//! * [`LedgerSink`] follows the log.
//! * [`OutboxRelay`] publishes what the ledger has to say.
//! * [`payout_run`] turns matured balances into payouts, unless a [`payout_hold`] is open.
//! * [`rebuild`] folds the log anew, and keeps quiet meanwhile.
//! * [`columns`] makes the statements that insert rows.
//! * [`claim_rows`] shows the ledger's rows to whoever compares them.
//! * [`mod@reference`] and [`clicks`] read what the other stages look up.

mod apply;
mod batch;
pub mod claim_rows;
pub mod clicks;
pub mod columns;
mod conflicts;
pub mod database;
mod epoch;
mod error;
mod fold;
mod history;
pub mod instances;
mod keep;
mod locks;
mod metrics;
mod numeric;
pub mod outbox;
pub mod payout_hold;
mod payout_methods;
pub mod payout_run;
mod payouts;
mod positions;
pub mod rebuild;
pub mod reference;
mod rows;
pub mod schema;
mod sink;
mod trouble;
mod windows;
mod write;

pub use error::LedgerError;
pub use metrics::LedgerMetrics;
pub use outbox::OutboxRelay;
pub use positions::CONSUMER;
pub use sink::{CommitObserver, LedgerSettings, LedgerSink};
pub use trouble::{Trouble, Waiting};
