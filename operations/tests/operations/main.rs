//! Operations against a real PostgreSQL, with the real stage and ledger over an in-memory log; and
//! copies of logs, in memory, on disk and on a real broker.

mod audit;
mod backfill;
mod healing;
mod log_copy;
mod payout_run;
#[path = "../../../sinks/tests/support/postgres.rs"]
mod postgres;
mod reconciliation;
mod reference;
mod retention;
mod world;
