//! The one thread that writes: it takes whatever waits, makes one batch of it, syncs once, and
//! only then shows it to readers and acknowledges all. So a lone append costs one sync, and many
//! at once share one: where several wait, it lets more gather for as long as the last batch took.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use fjall::{OwnedWriteBatch, PersistMode};
use schemas::{Position, Timestamp};
use tokio::sync::oneshot;

use super::{
    condition::{Condition, PanicWatch},
    layout::{Encoded, KEY_BYTES, Start, group_key, partition_key, record_key},
    store::{End, Store, failed},
};
use crate::{
    admission::Permit,
    clock::Clock,
    error::{AppendError, LogError, Refusal},
    gate::WriteGate,
    group::Coordinator,
    log::Partition,
};

/// How often an idle writer looks whether the store's own background work has failed.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// For how long a batch gathers at most, however slow the disk.
const GATHERING_MAX: Duration = Duration::from_millis(1);

/// What the writer is asked to do; each is answered once durable.
pub(super) enum Command {
    Append {
        encoded: Encoded,
        permit: Permit,
        done: oneshot::Sender<Result<Vec<Position>, AppendError>>,
    },
    Commit {
        group: String,
        next_offsets: Vec<(Partition, i64)>,
        done: oneshot::Sender<Result<(), LogError>>,
    },
    /// The caller has checked that `low` lies within the partition.
    Trim {
        partition: Partition,
        low: i64,
        done: oneshot::Sender<Result<(), LogError>>,
    },
}

pub(super) struct Writer {
    pub(super) store: Arc<Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) condition: Arc<Condition>,
    pub(super) gate: Arc<WriteGate>,
    pub(super) ends: BTreeMap<Partition, End>,
}

/// Answers that wait for the batch.
enum Answer {
    Append {
        positions: Vec<Position>,
        permit: Permit,
        done: oneshot::Sender<Appended>,
    },
    Commit {
        group: String,
        next_offsets: Vec<(Partition, i64)>,
        done: oneshot::Sender<Result<(), LogError>>,
    },
    Trim {
        partition: Partition,
        low: i64,
        done: oneshot::Sender<Result<(), LogError>>,
    },
}

type Appended = Result<Vec<Position>, AppendError>;

/// Whether a batch that was not acknowledged may be in the store.
enum Failure {
    NothingWritten(LogError),
    Unknown(LogError),
}

impl Writer {
    /// Until every sender is gone and what they sent is done.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        let watch = PanicWatch::new(&self.condition);
        let mut last_took = Duration::ZERO;
        loop {
            match commands.recv_timeout(PROBE_EVERY) {
                Ok(first) => {
                    // What is in flight is bounded, and so is the batch.
                    let mut waiting = vec![first];
                    waiting.extend(commands.try_iter());
                    // Those whom the last batch answered are about to send more.
                    if waiting.len() > 1 {
                        thread::sleep(last_took.min(GATHERING_MAX));
                    }
                    futures::executor::block_on(self.gate.passed());
                    waiting.extend(commands.try_iter());
                    self.condition.busy(true);
                    let started = Instant::now();
                    self.write(waiting);
                    last_took = started.elapsed();
                    self.condition.busy(false);
                }
                Err(RecvTimeoutError::Timeout) => self.probe(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        drop(watch);
    }

    /// Notices that the store has failed in the background.
    fn probe(&self) {
        if let Err(error) = self.store.database.persist(PersistMode::Buffer) {
            self.condition
                .fail(&failed("working in the background", error).to_string());
        }
    }

    fn write(&mut self, waiting: Vec<Command>) {
        let now = self.clock.now();
        let mut batch = self
            .store
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        let mut answers = Vec::with_capacity(waiting.len());
        for command in waiting {
            answers.push(match command {
                Command::Append {
                    encoded,
                    permit,
                    done,
                } => {
                    let positions = self.add_records(&mut batch, encoded, now);
                    Answer::Append {
                        positions,
                        permit,
                        done,
                    }
                }
                Command::Commit {
                    group,
                    next_offsets,
                    done,
                } => {
                    for (partition, next_offset) in &next_offsets {
                        let key = group_key(&group, *partition);
                        batch.insert(&self.store.positions, key, next_offset.to_be_bytes());
                    }
                    Answer::Commit {
                        group,
                        next_offsets,
                        done,
                    }
                }
                Command::Trim {
                    partition,
                    low,
                    done,
                } => {
                    let last_appended_at = self.end(partition).last_appended_at;
                    let start = Start {
                        low,
                        last_appended_at,
                    };
                    batch.insert(&self.store.starts, partition_key(partition), start.encode());
                    Answer::Trim {
                        partition,
                        low,
                        done,
                    }
                }
            });
        }
        match self.sync(batch) {
            Ok(()) => {
                self.publish(&answers);
                for answer in answers {
                    answer.acknowledge();
                }
                self.coordinator.wake();
            }
            Err(failure) => {
                for answer in answers {
                    answer.fail(&failure);
                }
            }
        }
    }

    fn add_records(
        &mut self,
        batch: &mut OwnedWriteBatch,
        mut encoded: Encoded,
        now: Timestamp,
    ) -> Vec<Position> {
        let topic = encoded.topic;
        let records = std::mem::take(&mut encoded.records);
        let mut keys = BytesMut::with_capacity(records.len() * KEY_BYTES);
        let mut positions = Vec::with_capacity(records.len());
        for placed in records {
            let partition = (topic, placed.partition);
            let end = self.end(partition);
            // The clock may step back; append times don't.
            let appended_at = placed.appended_at.unwrap_or(now);
            end.last_appended_at = end.last_appended_at.max(appended_at);
            let offset = end.next_offset;
            end.next_offset += 1;
            let value = encoded.take(placed, end.last_appended_at);
            keys.extend_from_slice(&record_key(partition, offset));
            batch.insert(&self.store.records, keys.split().freeze(), value);
            positions.push(Position {
                topic,
                partition: placed.partition,
                offset,
            });
        }
        positions
    }

    fn end(&mut self, partition: Partition) -> &mut End {
        self.ends
            .get_mut(&partition)
            .expect("callers check the partition against the topic")
    }

    fn sync(&self, batch: OwnedWriteBatch) -> Result<(), Failure> {
        self.condition.check().map_err(Failure::NothingWritten)?;
        batch.commit().map_err(|error| {
            // The store looks at this before it writes.
            let untouched = matches!(error, fjall::Error::Poisoned);
            let error = failed("appending", error);
            self.condition.fail(&error.to_string());
            if untouched {
                Failure::NothingWritten(error)
            } else {
                Failure::Unknown(error)
            }
        })
    }

    /// Shows to readers what has become durable.
    fn publish(&self, answers: &[Answer]) {
        for answer in answers {
            match answer {
                Answer::Append { positions, .. } => {
                    for Position {
                        topic,
                        partition,
                        offset,
                    } in positions
                    {
                        self.store.publish_high((*topic, *partition), offset + 1);
                    }
                }
                Answer::Commit {
                    group,
                    next_offsets,
                    ..
                } => {
                    let mut committed = self.store.committed();
                    committed
                        .entry(group.clone())
                        .or_default()
                        .extend(next_offsets.iter().copied());
                }
                Answer::Trim { partition, low, .. } => self.store.publish_low(*partition, *low),
            }
        }
    }
}

impl Answer {
    /// Whoever asked may have stopped waiting, which changes nothing.
    fn acknowledge(self) {
        match self {
            Self::Append {
                positions,
                permit,
                done,
            } => {
                drop(permit);
                let _ = done.send(Ok(positions));
            }
            Self::Commit { done, .. } | Self::Trim { done, .. } => {
                let _ = done.send(Ok(()));
            }
        }
    }

    fn fail(self, failure: &Failure) {
        match self {
            Self::Append { permit, done, .. } => {
                drop(permit);
                let _ = done.send(Err(match failure {
                    Failure::NothingWritten(error) => Refusal::Unavailable(error.clone()).into(),
                    Failure::Unknown(error) => AppendError::Indeterminate(error.clone()),
                }));
            }
            Self::Commit { done, .. } | Self::Trim { done, .. } => {
                let (Failure::NothingWritten(error) | Failure::Unknown(error)) = failure;
                let _ = done.send(Err(error.clone()));
            }
        }
    }
}
