//! The ledger sink against a real PostgreSQL: its tables must say what the pure fold says of the
//! same records, whatever the order, the batches, the instances and the crashes.

#[path = "../support/postgres.rs"]
mod postgres;

mod closure;
mod conflicts;
mod document;
mod equality;
mod histories;
mod instances;
mod isolation;
/// The generator's record, the evidence and the verdict of the kill harness.
#[expect(dead_code, reason = "the harness uses the rest")]
#[path = "../../../tests/kill"]
mod kill {
    pub mod evidence;
    pub mod record;
    pub mod verdict;
}
mod kill_in_a_batch;
mod partitions;
mod payout_methods;
mod payouts;
mod races;
mod rebuilding;
mod records;
mod reference;
mod rows_written;
mod smoke;
mod snapshot;
mod trouble;
mod walk;
mod world;
