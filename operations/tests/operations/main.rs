//! Operations against a real PostgreSQL, with the real stage and ledger over an in-memory log; and
//! copies of logs, in memory, on disk and on a real broker.

mod audit;
mod backfill;
mod canonical_dump;
mod contacts;
mod corrections;
mod daily;
mod dead_letters;
mod explain;
mod healing;
/// Random histories, and what folds them: those of the ledger's own tests.
#[expect(dead_code, reason = "the ledger's own tests use the rest")]
#[path = "../../../sinks/tests/ledger"]
mod ledger {
    pub mod histories;
    pub mod records;
    pub mod world;
}
mod log_copy;
mod offer_sync;
mod payout_hold;
mod payout_run;
#[path = "../../../sinks/tests/support/postgres.rs"]
mod postgres;
mod reconcile;
mod reconcile_properties;
mod reconciliation;
mod reference;
mod replay;
mod retention;
mod silence;
mod trackier;
mod verification;
mod what_if;
mod world;
