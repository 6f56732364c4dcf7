//! A member of a group as the checks use it.

use std::{collections::BTreeSet, time::Duration};

use schemas::Topic;

use crate::{
    log::{GroupConsumer, GroupEvent, GroupSettings, Log, Partition},
    record::Record,
};

/// How long one look for an event may take; a rebalance may need several.
const WAIT: Duration = Duration::from_millis(100);
/// After that many looks without success, an adapter has failed: a minute and more.
const LOOKS_MAX: usize = 1_000;

/// A consumer, what it holds and what it has read.
pub(super) struct Reader {
    pub(super) consumer: Box<dyn GroupConsumer>,
    pub(super) held: BTreeSet<Partition>,
    pub(super) records: Vec<Record>,
}

impl Reader {
    pub(super) async fn join(log: &dyn Log, group: &str, topics: &[Topic]) -> Self {
        let consumer = log
            .join(group, topics, GroupSettings::default())
            .await
            .expect("anyone may join");
        Self {
            consumer,
            held: BTreeSet::new(),
            records: Vec::new(),
        }
    }

    /// Takes one event in and returns it. Revoked partitions count as held until released.
    pub(super) async fn look(&mut self) -> GroupEvent {
        let event = self
            .consumer
            .next(100, WAIT)
            .await
            .expect("the log is readable");
        match &event {
            GroupEvent::Assigned(partitions) => {
                assert!(!partitions.is_empty());
                for partition in partitions {
                    assert!(
                        self.held.insert(*partition),
                        "{partition:?} was assigned twice"
                    );
                }
            }
            GroupEvent::Revoked(partitions) => {
                assert!(!partitions.is_empty());
                for partition in partitions {
                    assert!(
                        self.held.contains(partition),
                        "{partition:?} was not assigned"
                    );
                }
            }
            GroupEvent::Records(records) => {
                assert!(!records.is_empty() && records.len() <= 100);
                for record in records {
                    let partition = (record.position.topic, record.position.partition);
                    assert!(
                        self.held.contains(&partition),
                        "{partition:?} was not assigned"
                    );
                }
                self.records.extend(records.iter().cloned());
            }
            GroupEvent::Idle => {}
        }
        event
    }

    /// Looks once, giving up at once whatever is revoked.
    pub(super) async fn look_and_yield(&mut self) {
        if let GroupEvent::Revoked(partitions) = self.look().await {
            self.release(partitions).await;
        }
    }

    pub(super) async fn release(&mut self, partitions: Vec<Partition>) {
        for partition in &partitions {
            self.held.remove(partition);
        }
        self.consumer
            .release(partitions)
            .await
            .expect("what was revoked can be released");
    }

    /// Looks until something happens.
    pub(super) async fn look_until_event(&mut self) -> GroupEvent {
        for _ in 0..LOOKS_MAX {
            match self.look().await {
                GroupEvent::Idle => {}
                event => return event,
            }
        }
        panic!("nothing happens");
    }

    /// Looks until it holds so many partitions.
    pub(super) async fn settle(&mut self, partitions: usize) {
        for _ in 0..LOOKS_MAX {
            if self.held.len() == partitions {
                return;
            }
            self.look().await;
        }
        panic!(
            "holds {} partitions instead of {partitions}",
            self.held.len()
        );
    }

    /// Looks until it has read so many records, and makes sure that no more come.
    pub(super) async fn read_until(&mut self, records: usize) {
        for _ in 0..LOOKS_MAX {
            if self.records.len() >= records {
                break;
            }
            self.look().await;
        }
        self.look().await;
        assert_eq!(self.records.len(), records, "records read");
    }

    /// What was read of one partition.
    pub(super) fn offsets_of(&self, partition: Partition) -> Vec<i64> {
        self.records
            .iter()
            .map(|record| record.position)
            .filter(|position| (position.topic, position.partition) == partition)
            .map(|position| position.offset)
            .collect()
    }
}

/// Lets the members look in turn, giving up what is revoked, until each holds so many partitions.
pub(super) async fn settle_all(readers: &mut [&mut Reader], held: &[usize]) {
    for _ in 0..LOOKS_MAX {
        if readers
            .iter()
            .map(|reader| reader.held.len())
            .eq(held.iter().copied())
        {
            return;
        }
        for index in 0..readers.len() {
            readers[index].look_and_yield().await;
            let all: usize = readers.iter().map(|reader| reader.held.len()).sum();
            let distinct: BTreeSet<Partition> = readers
                .iter()
                .flat_map(|reader| reader.held.iter().copied())
                .collect();
            assert_eq!(all, distinct.len(), "a partition has two readers");
        }
    }
    let holds: Vec<usize> = readers.iter().map(|reader| reader.held.len()).collect();
    panic!("hold {holds:?} instead of {held:?}");
}
