//! Random histories against models small enough to be seen to be right.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use schemas::{Timestamp, Topic};
use stream::{
    Clock, EmbeddedLog, EmbeddedOptions, GroupConsumer, GroupEvent, GroupSettings, InMemoryLog,
    Limits, Log, ManualClock, NewRecord, Partition, Watermarks,
};
use tempfile::TempDir;

const TOPIC: Topic = Topic::DeadLetters;

/// What may happen to a log.
#[derive(Debug, Clone)]
enum Step {
    /// Records for these partitions, in one batch.
    Append(Vec<i32>),
    /// Forget this share of what the partition keeps, in percent.
    Trim(i32, i64),
    /// The clock moves, perhaps back.
    Tick(i64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let partition = 0..TOPIC.partitions();
    let step = prop_oneof![
        6 => prop::collection::vec(partition.clone(), 1..12).prop_map(Step::Append),
        1 => (partition, 0..=100_i64).prop_map(|(partition, share)| Step::Trim(partition, share)),
        3 => (-2_000..5_000_i64).prop_map(Step::Tick),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..24)
}

/// A partition as it has to be.
#[derive(Debug, Default)]
struct Expected {
    low: i64,
    /// Append time and value of every record ever appended.
    records: Vec<(Timestamp, String)>,
}

impl Expected {
    fn watermarks(&self) -> Watermarks {
        Watermarks {
            low: self.low,
            high: i64::try_from(self.records.len()).unwrap(),
        }
    }
}

/// A log, and how to restart it.
enum Subject {
    InMemory(Arc<InMemoryLog>),
    Embedded(Arc<EmbeddedLog>, TempDir),
}

impl Subject {
    fn log(&self) -> &dyn Log {
        match self {
            Self::InMemory(log) => log,
            Self::Embedded(log, _) => log,
        }
    }

    fn embedded(directory: TempDir, clock: &Arc<ManualClock>) -> Self {
        let options = EmbeddedOptions::default();
        Self::Embedded(
            EmbeddedLog::open(directory.path(), clock.clone(), options).unwrap(),
            directory,
        )
    }

    fn restart(self, clock: &Arc<ManualClock>) -> Self {
        match self {
            Self::InMemory(log) => Self::InMemory(log.restarted()),
            Self::Embedded(log, directory) => {
                drop(log);
                Self::embedded(directory, clock)
            }
        }
    }
}

async fn compare(log: &dyn Log, expected: &BTreeMap<i32, Expected>) {
    for (partition, expected) in expected {
        let watermarks = log.watermarks(TOPIC, *partition).await.unwrap();
        assert_eq!(watermarks, expected.watermarks());
        let read = log
            .read(TOPIC, *partition, expected.low, 10_000)
            .await
            .unwrap();
        let kept = &expected.records[usize::try_from(expected.low).unwrap()..];
        assert_eq!(read.len(), kept.len());
        for ((record, (appended_at, value)), offset) in read.iter().zip(kept).zip(expected.low..) {
            assert_eq!(record.position.offset, offset);
            assert_eq!(record.appended_at, *appended_at);
            assert_eq!(record.value, value.as_bytes());
            for at in [*appended_at, appended_at.plus_millis(1)] {
                let first = kept.iter().position(|(appended_at, _)| *appended_at >= at);
                let first = first.map(|index| expected.low + i64::try_from(index).unwrap());
                assert_eq!(
                    log.offset_for_time(TOPIC, *partition, at).await.unwrap(),
                    first
                );
            }
        }
    }
}

async fn follow(mut subject: Subject, clock: Arc<ManualClock>, steps: Vec<Step>) {
    let mut expected: BTreeMap<i32, Expected> = (0..TOPIC.partitions())
        .map(|partition| (partition, Expected::default()))
        .collect();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Append(partitions) => {
                let value = |index| format!("{number}.{index}");
                let records = partitions
                    .iter()
                    .enumerate()
                    .map(|(index, partition)| {
                        NewRecord::new("", value(index)).in_partition(*partition)
                    })
                    .collect();
                let positions = subject.log().append(TOPIC, records).await.unwrap();
                for (index, (partition, position)) in partitions.iter().zip(positions).enumerate() {
                    let expected = expected.get_mut(partition).unwrap();
                    assert_eq!(position.partition, *partition);
                    assert_eq!(position.offset, expected.watermarks().high);
                    let last = expected.records.last().map(|(appended_at, _)| *appended_at);
                    let appended_at = last.map_or(clock.now(), |last| last.max(clock.now()));
                    expected.records.push((appended_at, value(index)));
                }
            }
            Step::Trim(partition, share) => {
                let expected = expected.get_mut(&partition).unwrap();
                let Watermarks { low, high } = expected.watermarks();
                expected.low = low + (high - low) * share / 100;
                let trimmed = subject
                    .log()
                    .trim(TOPIC, partition, expected.low)
                    .await
                    .unwrap();
                assert_eq!(trimmed, expected.low);
            }
            Step::Tick(by) => clock.set(clock.now().plus_millis(by)),
            Step::Restart => {
                subject = subject.restart(&clock);
                compare(subject.log(), &expected).await;
            }
        }
    }
    compare(subject.log(), &expected).await;
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)))
}

proptest! {
    #[test]
    fn the_in_memory_log_follows_its_model(steps in steps()) {
        let clock = clock();
        let log = InMemoryLog::new(clock.clone(), Limits::default());
        run(follow(Subject::InMemory(log), clock, steps));
    }
}

proptest! {
    // Every case makes a store on disk and syncs each append.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_embedded_log_follows_its_model(steps in steps()) {
        let clock = clock();
        let subject = Subject::embedded(tempfile::tempdir().unwrap(), &clock);
        run(follow(subject, clock, steps));
    }
}

/// What may happen in a group. Numbers choose among the members there are.
#[derive(Debug, Clone)]
enum Turn {
    Join,
    Leave(usize),
    Look(usize),
    Commit(usize),
    /// Give up what was revoked, having committed or not.
    Release(usize),
    Append(i32, usize),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        2 => Just(Turn::Join),
        1 => (0..4_usize).prop_map(Turn::Leave),
        8 => (0..4_usize).prop_map(Turn::Look),
        3 => (0..4_usize).prop_map(Turn::Commit),
        3 => (0..4_usize).prop_map(Turn::Release),
        3 => (0..TOPIC.partitions(), 1..8_usize)
            .prop_map(|(partition, count)| Turn::Append(partition, count)),
    ];
    prop::collection::vec(turn, 1..80)
}

struct Member {
    consumer: Box<dyn GroupConsumer>,
    /// The next offset expected of each partition held.
    held: BTreeMap<Partition, i64>,
    revoked: BTreeSet<Partition>,
}

struct Group {
    log: Arc<InMemoryLog>,
    members: Vec<Member>,
    committed: BTreeMap<Partition, i64>,
    /// How far each partition was delivered to anybody.
    delivered: BTreeMap<Partition, i64>,
}

impl Group {
    async fn join(&mut self) {
        let consumer = self
            .log
            .join("group", &[TOPIC], GroupSettings::default())
            .await
            .unwrap();
        self.members.push(Member {
            consumer,
            held: BTreeMap::new(),
            revoked: BTreeSet::new(),
        });
    }

    async fn look(&mut self, index: usize) -> bool {
        let event = self.members[index]
            .consumer
            .next(3, Duration::ZERO)
            .await
            .unwrap();
        match event {
            GroupEvent::Assigned(partitions) => {
                for partition in partitions {
                    assert!(
                        self.members
                            .iter()
                            .all(|member| !member.held.contains_key(&partition)),
                        "{partition:?} has two readers"
                    );
                    let start = self.committed.get(&partition).copied().unwrap_or(0);
                    self.members[index].held.insert(partition, start);
                }
            }
            GroupEvent::Revoked(partitions) => {
                for partition in partitions {
                    assert!(self.members[index].held.contains_key(&partition));
                    assert!(
                        self.members[index].revoked.insert(partition),
                        "revoked twice"
                    );
                }
            }
            GroupEvent::Records(records) => {
                let member = &mut self.members[index];
                for record in records {
                    let partition = (record.position.topic, record.position.partition);
                    assert!(
                        !member.revoked.contains(&partition),
                        "read on after revocation"
                    );
                    let next = member.held.get_mut(&partition).expect("it is held");
                    assert_eq!(record.position.offset, *next, "in order and without a gap");
                    *next += 1;
                    let delivered = self.delivered.entry(partition).or_default();
                    *delivered = (*delivered).max(*next);
                }
            }
            GroupEvent::Idle => return false,
        }
        true
    }

    async fn commit(&mut self, index: usize) {
        let member = &mut self.members[index];
        let positions: Vec<(Partition, i64)> = member
            .held
            .iter()
            .map(|(partition, next)| (*partition, *next))
            .collect();
        member.consumer.commit_all(&positions).await.unwrap();
        for (partition, next) in positions {
            assert!(next <= self.delivered.get(&partition).copied().unwrap_or(0));
            self.committed.insert(partition, next);
        }
    }

    async fn release(&mut self, index: usize) {
        let member = &mut self.members[index];
        let revoked = std::mem::take(&mut member.revoked);
        member
            .held
            .retain(|partition, _| !revoked.contains(partition));
        member
            .consumer
            .release(revoked.into_iter().collect())
            .await
            .unwrap();
    }

    async fn take(&mut self, turn: Turn) {
        let chosen = |index: usize| (!self.members.is_empty()).then(|| index % self.members.len());
        match turn {
            Turn::Join if self.members.len() < 4 => self.join().await,
            Turn::Join => {}
            Turn::Leave(index) => {
                if let Some(index) = chosen(index) {
                    self.members.remove(index);
                }
            }
            Turn::Look(index) => {
                if let Some(index) = chosen(index) {
                    self.look(index).await;
                }
            }
            Turn::Commit(index) => {
                if let Some(index) = chosen(index) {
                    self.commit(index).await;
                }
            }
            Turn::Release(index) => {
                if let Some(index) = chosen(index) {
                    self.release(index).await;
                }
            }
            Turn::Append(partition, count) => {
                let record = NewRecord::new("", "").in_partition(partition);
                self.log.append(TOPIC, vec![record; count]).await.unwrap();
            }
        }
    }

    /// Whatever happened, those who are left get everything, each partition from one of them.
    async fn drain(mut self) {
        self.join().await;
        loop {
            let mut anything = false;
            for index in 0..self.members.len() {
                anything |= self.look(index).await;
                anything |= !self.members[index].revoked.is_empty();
                self.release(index).await;
            }
            if !anything {
                break;
            }
        }
        let held: usize = self.members.iter().map(|member| member.held.len()).sum();
        assert_eq!(held, usize::try_from(TOPIC.partitions()).unwrap());
        for member in &self.members {
            for ((topic, partition), next) in &member.held {
                let watermarks = self.log.watermarks(*topic, *partition).await.unwrap();
                assert_eq!(*next, watermarks.high);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_group_reads_everything_and_nothing_twice_at_once(turns in turns()) {
        run(async {
            let log = InMemoryLog::new(clock(), Limits::default());
            let mut group = Group {
                log,
                members: Vec::new(),
                committed: BTreeMap::new(),
                delivered: BTreeMap::new(),
            };
            for turn in turns {
                group.take(turn).await;
            }
            group.drain().await;
        });
    }
}
