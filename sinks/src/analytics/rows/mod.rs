//! The rows of the tables in `migrations/clickhouse/`, made from events by pure functions. Fields
//! are named and ordered as their columns, which the client checks against the table.

mod claim;
mod click;
mod column;
mod payout;
mod report;

pub use claim::{ClaimHourRow, LedgerChangeRow, LedgerEntryRow};
pub use click::ClickRow;
pub use column::{Decimal, Identifier, Instant};
pub use payout::{PayoutRow, PayoutStepRow};
pub use report::{ConversionRow, DecisionRow};

#[cfg(test)]
mod tests;
