//! Analytics: the log → ClickHouse (design sections 1 and 8).
//!
//! ```text
//!  clicks, decisions, ledger, ──▶ batch ──▶ bounds into ──▶ rows into ──▶ position into ──▶ commit
//!  payouts, payout-results        (N or T)  PostgreSQL      ClickHouse    PostgreSQL
//!                                   └─ unreadable ─▶ dead-letters
//! ```
//!
//! ClickHouse is derived and may lag, fail or be thrown away: nothing else notices. A batch's
//! bounds are durable before it is inserted, so that after any crash it is known which records may
//! be in, and they are inserted again; every table replaces by identity, so that a repetition
//! changes no number (ADR 0026).
//!
//! * [`AnalyticsSink`] follows the log.
//! * [`aggregates`] are computed anew where batches touch them.
//! * [`migrate`] brings the schema up to date.
//! * [`completeness`] says how much is in, and what it adds up to.
//! * [`rows`] are pure functions from events to rows.

pub mod aggregates;
mod batch;
mod cluster;
pub mod completeness;
mod journal;
mod metrics;
mod migrator;
mod names;
mod progress;
pub mod rows;
mod session;
mod sink;
mod store;
mod writer;

pub use cluster::{Cluster, ClusterNameError};
pub use journal::JournalError;
pub use metrics::AnalyticsMetrics;
pub use migrator::{MigrationError, migrate, migrate_on, outstanding_migrations};
pub use sink::{AnalyticsError, AnalyticsSettings, AnalyticsSink, GROUP};
