//! The ledger sink against a real PostgreSQL: its tables must say what the pure fold says of the
//! same records, whatever the order, the batches, the instances and the crashes.

#[path = "../support/postgres.rs"]
mod postgres;

mod closure;
mod conflicts;
mod equality;
mod histories;
mod instances;
mod isolation;
mod partitions;
mod payout_methods;
mod payouts;
mod races;
mod rebuilding;
mod records;
mod reference;
mod smoke;
mod snapshot;
mod trouble;
mod walk;
mod world;
