//! Aggregates by hour and day, computed anew for the buckets that batches touch.
//!
//! ```text
//!  batch ──▶ rows into ClickHouse ──▶ position and marks of its hours, one transaction
//!                                                    │
//!  every few seconds, for each marked hour once:     ▼
//!      number ──▶ hour from the base ──▶ day from its hours ──▶ marks forgotten
//! ```
//!
//! * A bucket is computed whole, from the deduplicated base: doing it again, or too often, changes
//!   no number.
//! * Marks are made once a batch is in, with its position: a crash before that makes the batch
//!   again, and a crash after it leaves the mark.
//! * A claim that moves to another click touches two hours. `claim_hours` has every hour that it
//!   was ever reported in, and is asked after the batch is in: of two batches that move one claim
//!   at once, the later sees both hours.
//! * A computation takes its number before it reads. So the highest number of a bucket has read
//!   all that was in when any other began, and one that comes late, of a process that is long
//!   dead, doesn't count. Of one bucket one insert makes one part, which readers see or don't.
//! * While the sink is far behind, marks gather, so that catching up computes each hour about
//!   once.

mod computation;
mod hour;
mod stale;
mod statements;
mod totals;

pub use computation::{AggregateError, Aggregates, Computed, Turn, compute_everything};
pub use hour::Hour;
pub(super) use stale::Touched;
pub use totals::{Difference, Totals, differences};
