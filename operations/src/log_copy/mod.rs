//! A whole log, copied into an empty one: for whoever outgrows one machine and takes the history
//! along.
//!
//! ```text
//! plan ─▶ compare what is there already
//!      ─▶ for each partition: fill the trimmed head ─▶ copy ─▶ read back, compare ─▶ trim
//!      ─▶ did the source stand still? ─▶ committed positions
//! ```
//!
//! A position is a record's identity (design section 1, rule 4), and the ledger keeps its own in
//! PostgreSQL. So the copy has the same partitions and the same offsets, and all that refers to a
//! position stays true. Keys, values, headers and append times are the original's. What was
//! trimmed from the head of a partition still counts in its offsets: placeholders take its place,
//! and are trimmed in turn.
//!
//! Nothing may write to either log meanwhile. A copy that was interrupted goes on where it
//! stopped, once what is there has been compared with the source.

mod checksum;
mod failure;
mod partition;
mod plan;
mod positions;
pub(crate) mod reader;

use futures::{StreamExt, TryStreamExt, stream::iter};
use serde::Serialize;
use stream::Log;

pub use self::{
    checksum::Digest,
    failure::CopyError,
    partition::{PLACEHOLDER, PartitionCopied},
    plan::{PartitionPlan, Plan},
    positions::{GROUPS, PositionsCopied},
};
use self::{
    partition::{PartitionBegun, PartitionCopy},
    positions::copy_positions,
};

/// Partitions copied at the same time: each has one batch under way, of up to 8 MiB, and all of
/// them have to stay below what a log takes in flight.
const PARTITIONS_AT_ONCE: usize = 4;

/// Something was done with so many records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// They were there from an earlier, interrupted copy, and are the source's.
    Found(u64),
    /// Placeholders of a trimmed head were written.
    Filled(u64),
    /// They were copied.
    Copied(u64),
    /// They were read back.
    ReadBack(u64),
}

/// What a finished copy did; everything in it was read back and is equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopySummary {
    /// Records that the target holds, and the source.
    pub records: u64,
    /// Offsets that were trimmed in the source, and are in the target.
    pub trimmed: u64,
    /// Each partition.
    pub partitions: Vec<PartitionCopied>,
    /// Committed positions of consumer groups.
    pub positions: Vec<PositionsCopied>,
}

/// Copies what `plan` says, and calls `progress` from several tasks in turn.
///
/// # Errors
/// See [`CopyError`]. Whatever it is, nothing is lost: the source is only read.
pub async fn copy(
    from: &dyn Log,
    to: &dyn Log,
    plan: &Plan,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<CopySummary, CopyError> {
    let copies = plan.partitions.iter().map(|plan| PartitionCopy {
        from,
        to,
        plan: *plan,
        progress,
    });
    // All of it, before anything is written to what may be somebody else's log.
    let compared: Vec<_> = iter(copies)
        .map(PartitionCopy::compare_what_is_there)
        .buffered(PARTITIONS_AT_ONCE)
        .try_collect()
        .await?;
    let partitions: Vec<PartitionCopied> = iter(compared)
        .map(PartitionBegun::finish)
        .buffered(PARTITIONS_AT_ONCE)
        .try_collect()
        .await?;
    plan.check_unchanged(from).await?;
    let positions = copy_positions(from, to).await?;
    Ok(CopySummary {
        records: partitions.iter().map(|copied| copied.digest.records).sum(),
        trimmed: plan.trimmed(),
        partitions,
        positions,
    })
}
