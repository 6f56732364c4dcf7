//! The state of the groups: members, targets and holders.
//!
//! A partition has a *target* (whom the assignment gives it to) and at most one *holder* (who
//! was told [`GroupEvent::Assigned`](crate::GroupEvent::Assigned) and has not released it). They
//! differ while a partition moves: the holder is told to give it up, and only when it has done so
//! the target is told that it has it. That is what keeps two members from reading one partition.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use schemas::Topic;
use tokio::sync::watch;

use super::assignment::{MemberId, assign};
use crate::{error::LogError, log::Partition};

/// What a member has to be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It holds these from now on.
    Assigned(Vec<Partition>),
    /// It has to give these up.
    Revoked(Vec<Partition>),
}

/// All groups of one log.
#[derive(Debug)]
pub(crate) struct Coordinator {
    groups: Mutex<BTreeMap<String, Group>>,
    /// Bumped when something happens that a waiting member may want to know: records became
    /// durable, partitions move, the log closes.
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Group {
    last_member: MemberId,
    subscriptions: BTreeMap<MemberId, BTreeSet<Topic>>,
    targets: BTreeMap<Partition, MemberId>,
    holders: BTreeMap<Partition, Holder>,
}

#[derive(Debug)]
struct Holder {
    member: MemberId,
    /// Whether it was told to give the partition up; that can't be taken back.
    revoked: bool,
}

impl Coordinator {
    pub(crate) fn new() -> Self {
        Self {
            groups: Mutex::default(),
            changes: watch::Sender::new(()),
        }
    }

    /// Wakes every waiting member.
    pub(crate) fn wake(&self) {
        self.changes.send_replace(());
    }

    /// Sees every later [`Coordinator::wake`].
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    pub(crate) fn join(&self, group: &str, topics: &[Topic]) -> MemberId {
        let mut groups = self.lock();
        let group = groups.entry(group.to_owned()).or_default();
        group.last_member += 1;
        let member = group.last_member;
        group
            .subscriptions
            .insert(member, topics.iter().copied().collect());
        group.rebalance();
        drop(groups);
        self.wake();
        member
    }

    /// Takes the member out with everything that it holds; leaving twice is fine.
    pub(crate) fn leave(&self, group: &str, member: MemberId) {
        let mut groups = self.lock();
        let Some(group) = groups.get_mut(group) else {
            return;
        };
        if group.subscriptions.remove(&member).is_none() {
            return;
        }
        group.holders.retain(|_, holder| holder.member != member);
        group.rebalance();
        drop(groups);
        self.wake();
    }

    /// What the member has to be told next, if anything; it counts as told from here on.
    pub(crate) fn poll(&self, group: &str, member: MemberId) -> Option<Change> {
        let mut groups = self.lock();
        let group = groups.get_mut(group)?;
        let revoked = group.revoke(member);
        if !revoked.is_empty() {
            return Some(Change::Revoked(revoked));
        }
        let assigned = group.hand_out(member);
        (!assigned.is_empty()).then_some(Change::Assigned(assigned))
    }

    /// Fails unless the member holds the partition, revoked or not.
    pub(crate) fn check_held(
        &self,
        group: &str,
        member: MemberId,
        partition: Partition,
    ) -> Result<(), LogError> {
        let groups = self.lock();
        let holder = groups
            .get(group)
            .and_then(|group| group.holders.get(&partition));
        match holder {
            Some(holder) if holder.member == member => Ok(()),
            Some(_) | None => Err(LogError::NotAssigned {
                topic: partition.0,
                partition: partition.1,
            }),
        }
    }

    /// Gives up one partition, which the member must hold.
    pub(crate) fn release(
        &self,
        group: &str,
        member: MemberId,
        partition: Partition,
    ) -> Result<(), LogError> {
        self.check_held(group, member, partition)?;
        if let Some(group) = self.lock().get_mut(group) {
            group.holders.remove(&partition);
        }
        self.wake();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Group>> {
        // Nothing below panics half way through a change.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    fn rebalance(&mut self) {
        self.targets = assign(&self.subscriptions, &self.targets);
    }

    fn revoke(&mut self, member: MemberId) -> Vec<Partition> {
        let mut revoked = Vec::new();
        for (partition, holder) in &mut self.holders {
            let moves = self.targets.get(partition) != Some(&member);
            if holder.member == member && !holder.revoked && moves {
                holder.revoked = true;
                revoked.push(*partition);
            }
        }
        revoked
    }

    fn hand_out(&mut self, member: MemberId) -> Vec<Partition> {
        let free: Vec<Partition> = self
            .targets
            .iter()
            .filter(|(partition, target)| {
                **target == member && !self.holders.contains_key(*partition)
            })
            .map(|(partition, _)| *partition)
            .collect();
        for partition in &free {
            self.holders.insert(
                *partition,
                Holder {
                    member,
                    revoked: false,
                },
            );
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "readers";

    fn assigned(change: Option<Change>) -> Vec<Partition> {
        match change {
            Some(Change::Assigned(partitions)) => partitions,
            other => panic!("expected an assignment, got {other:?}"),
        }
    }

    fn revoked(change: Option<Change>) -> Vec<Partition> {
        match change {
            Some(Change::Revoked(partitions)) => partitions,
            other => panic!("expected a revocation, got {other:?}"),
        }
    }

    #[test]
    fn a_partition_moves_only_when_it_is_released() {
        let coordinator = Coordinator::new();
        let first = coordinator.join(GROUP, &[Topic::DeadLetters]);
        assert_eq!(assigned(coordinator.poll(GROUP, first)).len(), 3);
        let second = coordinator.join(GROUP, &[Topic::DeadLetters]);
        assert_eq!(coordinator.poll(GROUP, second), None);
        let moving = revoked(coordinator.poll(GROUP, first));
        assert_eq!(moving.len(), 1);
        assert_eq!(coordinator.poll(GROUP, first), None, "told once");
        assert_eq!(coordinator.poll(GROUP, second), None, "not released yet");
        coordinator.release(GROUP, first, moving[0]).unwrap();
        assert_eq!(assigned(coordinator.poll(GROUP, second)), moving);
        assert!(coordinator.check_held(GROUP, first, moving[0]).is_err());
        assert!(coordinator.release(GROUP, first, moving[0]).is_err());
    }

    #[test]
    fn a_member_that_vanishes_leaves_everything() {
        let coordinator = Coordinator::new();
        let first = coordinator.join(GROUP, &[Topic::DeadLetters]);
        assert_eq!(assigned(coordinator.poll(GROUP, first)).len(), 3);
        let second = coordinator.join(GROUP, &[Topic::DeadLetters]);
        coordinator.leave(GROUP, first);
        coordinator.leave(GROUP, first);
        assert_eq!(assigned(coordinator.poll(GROUP, second)).len(), 3);
    }

    #[test]
    fn a_revocation_stands_even_if_the_other_member_has_left() {
        let coordinator = Coordinator::new();
        let first = coordinator.join(GROUP, &[Topic::DeadLetters]);
        assigned(coordinator.poll(GROUP, first));
        let second = coordinator.join(GROUP, &[Topic::DeadLetters]);
        let moving = revoked(coordinator.poll(GROUP, first));
        coordinator.leave(GROUP, second);
        assert_eq!(coordinator.poll(GROUP, first), None);
        coordinator.release(GROUP, first, moving[0]).unwrap();
        assert_eq!(assigned(coordinator.poll(GROUP, first)), moving);
    }
}
