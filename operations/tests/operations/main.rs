//! Operations against a real PostgreSQL, with the real stage and ledger over an in-memory log.

mod audit;
mod backfill;
mod healing;
mod payout_run;
#[path = "../../../sinks/tests/support/postgres.rs"]
mod postgres;
mod reference;
mod retention;
mod world;
