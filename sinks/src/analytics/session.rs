//! One membership of the consumer group: from assignment to the first failure that isn't
//! ClickHouse's alone, after which everything begins again from the journal.

use std::{collections::BTreeMap, time::Duration};

use stream::{GroupConsumer, GroupEvent, GroupSettings, LogError, Partition, Record};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    batch::{Bounds, Source},
    journal::Resumption,
    sink::{AnalyticsError, AnalyticsSink, BackOff, GROUP},
    writer::{Flow, Writer},
};

/// How long one wait for records lasts while nothing is buffered.
const IDLE_WAIT: Duration = Duration::from_secs(1);

/// Records that were read and are not in a batch yet.
#[derive(Default)]
struct Buffer {
    records: BTreeMap<Partition, Vec<Record>>,
    count: usize,
    bytes: usize,
    since: Option<Instant>,
}

impl Buffer {
    fn push(&mut self, record: Record) {
        self.count += 1;
        self.bytes += record.bytes();
        self.since.get_or_insert_with(Instant::now);
        let partition = (record.position.topic, record.position.partition);
        self.records.entry(partition).or_default().push(record);
    }

    /// How long until the buffer has to be written, if there is anything in it.
    fn time_left(&self, linger: Duration) -> Option<Duration> {
        self.since
            .map(|since| linger.saturating_sub(since.elapsed()))
    }
}

pub(super) struct Session<'a> {
    writer: Writer<'a>,
    consumer: Box<dyn GroupConsumer>,
    assigned: BTreeMap<Partition, Reach>,
    buffer: Buffer,
}

/// How far an assigned partition is.
#[derive(Debug, Clone, Copy)]
struct Reach {
    /// Where the next batch begins: the journal's position.
    batched: i64,
    /// The next record to be buffered.
    read: i64,
}

impl<'a> Session<'a> {
    pub(super) async fn join(
        sink: &'a AnalyticsSink,
        shutdown: &'a CancellationToken,
        back_off: &'a mut BackOff,
    ) -> Result<Self, AnalyticsError> {
        let topics = Source::ALL.map(Source::topic);
        let consumer = sink
            .log
            .join(GROUP, &topics, GroupSettings::default())
            .await?;
        Ok(Self {
            writer: Writer {
                sink,
                shutdown,
                back_off,
            },
            consumer,
            assigned: BTreeMap::new(),
            buffer: Buffer::default(),
        })
    }

    /// Follows the log until the shutdown. What is buffered then has no bounds yet, and is simply
    /// read again.
    pub(super) async fn follow(mut self) -> Result<(), AnalyticsError> {
        loop {
            match self.step().await? {
                Flow::Continue => {}
                Flow::Stop => return Ok(self.consumer.leave().await?),
            }
        }
    }

    async fn step(&mut self) -> Result<Flow, AnalyticsError> {
        let settings = &self.writer.sink.settings;
        let wait = self.buffer.time_left(settings.linger).unwrap_or(IDLE_WAIT);
        let room = settings
            .records_max
            .saturating_sub(self.buffer.count)
            .max(1);
        let next = self.consumer.next(room, wait);
        let Some(event) = self.writer.shutdown.run_until_cancelled(next).await else {
            return Ok(Flow::Stop);
        };
        match event? {
            GroupEvent::Assigned(partitions) => return self.resume(partitions).await,
            GroupEvent::Revoked(partitions) => {
                if self.flush().await? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
                self.assigned
                    .retain(|partition, _| !partitions.contains(partition));
                self.consumer.release(partitions).await?;
            }
            GroupEvent::Records(records) => {
                for record in records {
                    self.accept(record)?;
                }
            }
            GroupEvent::Idle => {}
        }
        let due = self
            .buffer
            .time_left(settings.linger)
            .is_some_and(|left| left.is_zero())
            || self.buffer.count >= settings.records_max
            || self.buffer.bytes >= settings.bytes_max;
        if due {
            self.flush().await
        } else {
            Ok(Flow::Continue)
        }
    }

    /// Buffers a record, unless the log delivers it again.
    fn accept(&mut self, record: Record) -> Result<(), AnalyticsError> {
        let (topic, partition) = (record.position.topic, record.position.partition);
        let reach = self
            .assigned
            .get_mut(&(topic, partition))
            .ok_or(LogError::NotAssigned { topic, partition })?;
        if record.position.offset >= reach.read {
            reach.read = record.position.offset + 1;
            self.buffer.push(record);
        }
        Ok(())
    }

    /// Goes on with partitions where the journal says, after making pending batches again.
    async fn resume(&mut self, partitions: Vec<Partition>) -> Result<Flow, AnalyticsError> {
        let kept = self.writer.sink.journal.load().await?;
        let stored = self.writer.sink.store.next_offsets().await?;
        let mut pending = Vec::new();
        let mut rewound = false;
        let mut resumptions = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let low = self
                .writer
                .sink
                .log
                .watermarks(partition.0, partition.1)
                .await?
                .low;
            let (kept, stored) = (
                kept.get(&partition).copied(),
                stored.get(&partition).copied(),
            );
            let resumption = Resumption::decide(partition, kept, stored, low);
            if resumption.rewound {
                tracing::warn!(
                    topic = partition.0.name(),
                    partition = partition.1,
                    next_offset = resumption.next_offset,
                    "ClickHouse holds less than was inserted: analytics goes back"
                );
                self.writer
                    .sink
                    .journal
                    .rewind(partition, resumption.next_offset)
                    .await?;
                rewound = true;
            }
            if let Some(bounds) = resumption.pending {
                pending.push((bounds, self.writer.reread(&bounds).await?));
            }
            resumptions.push((partition, resumption.next_offset));
        }
        if rewound {
            // Its tables may be of different times.
            self.writer.sink.aggregates.mark_all().await?;
        }
        if self.write(pending).await? == Flow::Stop {
            return Ok(Flow::Stop);
        }
        for (partition, next_offset) in resumptions {
            self.consumer
                .seek(partition.0, partition.1, next_offset)
                .await?;
            let reach = Reach {
                batched: next_offset,
                read: next_offset,
            };
            self.assigned.insert(partition, reach);
        }
        Ok(Flow::Continue)
    }

    /// Closes the batches of the buffer, stores their bounds, and writes them.
    async fn flush(&mut self) -> Result<Flow, AnalyticsError> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut batches = Vec::with_capacity(buffer.records.len());
        for (partition, records) in buffer.records {
            let reach = self
                .assigned
                .get_mut(&partition)
                .ok_or(LogError::NotAssigned {
                    topic: partition.0,
                    partition: partition.1,
                })?;
            let bounds = Bounds {
                partition,
                first: reach.batched,
                last: reach.read - 1,
            };
            reach.batched = reach.read;
            batches.push((bounds, records));
        }
        if batches.is_empty() {
            return Ok(Flow::Continue);
        }
        let bounds: Vec<Bounds> = batches.iter().map(|(bounds, _)| *bounds).collect();
        self.writer.sink.journal.open(&bounds).await?;
        self.write(batches).await
    }

    /// Writes batches whose bounds are stored, and commits to the log.
    async fn write(&mut self, opened: Vec<(Bounds, Vec<Record>)>) -> Result<Flow, AnalyticsError> {
        let committed: Vec<(Partition, i64)> = opened
            .iter()
            .map(|(bounds, _)| (bounds.partition, bounds.last + 1))
            .collect();
        let flow = self.writer.write(opened).await?;
        if flow == Flow::Continue {
            // The journal counts; the log's own position is for monitoring.
            if let Err(error) = self.consumer.commit_all(&committed).await {
                tracing::debug!(%error, "analytics could not commit to the log");
            }
        }
        Ok(flow)
    }
}
