//! Where the stage stands in what it reads: which batch is in hand, what is done but not committed.
//!
//! Invariant: a partition's committed offset never passes a record whose decision isn't durable.

use std::{collections::BTreeMap, time::Duration};

use stream::{GroupConsumer, GroupEvent, LogError, Partition};

use super::failure::StageError;

/// A member of the group with its place in each partition.
pub(super) struct Reading {
    consumer: Box<dyn GroupConsumer>,
    /// First and next offset of the batch in hand, by partition; empty once it is finished.
    in_hand: BTreeMap<Partition, Span>,
    /// Next offsets of what is finished and not committed.
    uncommitted: BTreeMap<Partition, i64>,
}

struct Span {
    first: i64,
    next: i64,
}

impl Reading {
    pub(super) fn new(consumer: Box<dyn GroupConsumer>) -> Self {
        Self {
            consumer,
            in_hand: BTreeMap::new(),
            uncommitted: BTreeMap::new(),
        }
    }

    /// The next event. A batch that was taken in hand and not finished is read again first.
    pub(super) async fn next(
        &mut self,
        records_max: usize,
        wait: Duration,
    ) -> Result<GroupEvent, StageError> {
        while let Some(((topic, partition), span)) = self.in_hand.first_key_value() {
            match self.consumer.seek(*topic, *partition, span.first).await {
                // Not assigned: whoever has the partition now reads it from the committed offset.
                Ok(()) | Err(LogError::NotAssigned { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            self.in_hand.pop_first();
        }
        let event = self.consumer.next(records_max, wait).await?;
        if let GroupEvent::Records(records) = &event {
            for position in records.iter().map(|record| record.position) {
                let (first, next) = (position.offset, position.offset + 1);
                self.in_hand
                    .entry((position.topic, position.partition))
                    .and_modify(|span| span.next = next)
                    .or_insert(Span { first, next });
            }
        }
        Ok(event)
    }

    /// Everything of the batch in hand is durable: commits it.
    ///
    /// # Errors
    /// When the commit fails. The next one makes up for it, and what another member reads again
    /// until then is only decided twice.
    pub(super) async fn finished(&mut self) -> Result<(), StageError> {
        let finished = std::mem::take(&mut self.in_hand);
        self.uncommitted.extend(
            finished
                .into_iter()
                .map(|(partition, span)| (partition, span.next)),
        );
        self.commit().await
    }

    /// Commits what is finished and not committed yet, if anything.
    pub(super) async fn commit(&mut self) -> Result<(), StageError> {
        while !self.uncommitted.is_empty() {
            let next_offsets: Vec<_> = self
                .uncommitted
                .iter()
                .map(|(p, next)| (*p, *next))
                .collect();
            match self.consumer.commit_all(&next_offsets).await {
                Ok(()) => self.uncommitted.clear(),
                // Nothing was committed: again, without the partition that was lost.
                Err(LogError::NotAssigned { topic, partition })
                    if self.uncommitted.remove(&(topic, partition)).is_some() => {}
                Err(error) => return Err(StageError::Commit(error)),
            }
        }
        Ok(())
    }

    /// Gives partitions up. Between batches nothing of them is in hand; a commit that fails here
    /// only makes the next holder decide some records again, so it doesn't hold the others up.
    pub(super) async fn release(&mut self, partitions: Vec<Partition>) -> Result<(), StageError> {
        if let Err(error) = self.commit().await {
            error.log("partitions are given up uncommitted");
        }
        for partition in &partitions {
            self.uncommitted.remove(partition);
        }
        match self.consumer.release(partitions).await {
            Ok(()) | Err(LogError::NotAssigned { .. }) => Ok(()),
            Err(error) => Err(StageError::Release(error)),
        }
    }

    /// Commits what is finished and leaves the group.
    pub(super) async fn leave(mut self) -> Result<(), StageError> {
        let committed = self.commit().await;
        self.consumer.leave().await?;
        committed
    }
}
