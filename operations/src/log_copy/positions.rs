//! Committed positions of consumer groups.
//!
//! No correctness rests on them: the ledger reads its own from PostgreSQL, and the others may read
//! everything again. But a stage that does so decides every report anew, for nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::future::try_join_all;
use schemas::Topic;
use serde::Serialize;
use stream::{GroupEvent, GroupSettings, Log, Partition};
use tokio::time::Instant;

use super::failure::CopyError;

/// The consumer groups of this program.
pub const GROUPS: [&str; 5] = [
    processors::stage::GROUP,
    sinks::ledger::CONSUMER,
    sinks::analytics::GROUP,
    sinks::payouts::dispatcher::GROUP,
    crate::healing::GROUP,
];

/// How long a group may take to hand everything to its only member.
const ASSIGNED_WITHIN: Duration = Duration::from_mins(1);
const WAIT: Duration = Duration::from_millis(200);

/// How many positions of a group were copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PositionsCopied {
    /// The group.
    pub group: &'static str,
    /// Partitions for which it had committed.
    pub partitions: usize,
}

/// Commits in the target what was committed in the source.
pub(super) async fn copy_positions(
    from: &dyn Log,
    to: &dyn Log,
) -> Result<Vec<PositionsCopied>, CopyError> {
    let copies = GROUPS.map(|group| async move {
        let committed = committed(from, group).await.map_err(CopyError::Source)?;
        commit(to, group, &committed).await?;
        Ok(PositionsCopied {
            group,
            partitions: committed.len(),
        })
    });
    try_join_all(copies).await
}

type Committed = BTreeMap<Partition, i64>;

async fn committed(log: &dyn Log, group: &str) -> Result<Committed, stream::LogError> {
    let mut committed = Committed::new();
    for topic in Topic::ALL {
        for partition in 0..topic.partitions() {
            if let Some(next) = log.committed(group, topic, partition).await? {
                committed.insert((topic, partition), next);
            }
        }
    }
    Ok(committed)
}

/// As the group's only member: which also shows that no other is at work.
async fn commit(to: &dyn Log, group: &'static str, wanted: &Committed) -> Result<(), CopyError> {
    let topics: BTreeSet<Topic> = wanted.keys().map(|(topic, _)| *topic).collect();
    if topics.is_empty() {
        return Ok(());
    }
    let topics: Vec<Topic> = topics.into_iter().collect();
    let settings = GroupSettings { bytes_max: 1 };
    let mut member = to
        .join(group, &topics, settings)
        .await
        .map_err(CopyError::Target)?;
    let mut missing: BTreeSet<Partition> = wanted.keys().copied().collect();
    let deadline = Instant::now() + ASSIGNED_WITHIN;
    while !missing.is_empty() {
        if Instant::now() > deadline {
            return Err(CopyError::GroupAtWork { group });
        }
        match member.next(1, WAIT).await.map_err(CopyError::Target)? {
            GroupEvent::Assigned(partitions) => {
                for partition in partitions {
                    missing.remove(&partition);
                }
            }
            GroupEvent::Revoked(_) => return Err(CopyError::GroupAtWork { group }),
            GroupEvent::Records(_) | GroupEvent::Idle => {}
        }
    }
    let next_offsets: Vec<_> = wanted
        .iter()
        .map(|(partition, next)| (*partition, *next))
        .collect();
    member
        .commit_all(&next_offsets)
        .await
        .map_err(CopyError::Target)?;
    member.leave().await.map_err(CopyError::Target)
}
