//! Writes batches: from stored bounds to a moved position, however long ClickHouse takes.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use processors::stage::{
    Origin,
    dead_letters::{self, DeadLetter, Stage},
};
use schemas::{Timestamp, Topic};
use stream::{
    LogError, Record,
    commit_points::{self, CommitPoint},
};
use tokio_util::sync::CancellationToken;

use super::{
    aggregates::Touched,
    batch::{Bounds, Content, Rows, Source, Unreadable},
    migrator::MigrationError,
    sink::{AnalyticsError, AnalyticsSink, BackOff, GROUP},
    store::Progress,
};

/// How long an insert that runs at the shutdown may still take. What is cut off is made again.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);
/// How many records a pending batch is read in at a time.
const REREAD_RECORDS: usize = 10_000;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    Stop,
}

/// The batches of one source, over all its partitions. They are inserted together: what an insert
/// costs ClickHouse is a part in each table and its merges, more than the rows in it.
struct Block {
    rows: Rows,
    progress: Vec<Progress>,
}

pub(super) struct Writer<'a> {
    pub(super) sink: &'a AnalyticsSink,
    pub(super) shutdown: &'a CancellationToken,
    pub(super) back_off: &'a mut BackOff,
}

impl Writer<'_> {
    /// The records of a batch that was read before.
    pub(super) async fn reread(&self, bounds: &Bounds) -> Result<Vec<Record>, AnalyticsError> {
        let (topic, partition) = bounds.partition;
        let mut records = Vec::new();
        let mut offset = bounds.first;
        while offset <= bounds.last {
            let found = self
                .sink
                .log
                .read(topic, partition, offset, REREAD_RECORDS)
                .await?;
            let Some(last) = found.last() else {
                let error = LogError::PositionBeyondEnd {
                    topic,
                    partition,
                    offset: bounds.last,
                    end: offset,
                };
                return Err(error.into());
            };
            offset = last.position.offset + 1;
            records.extend(
                found
                    .into_iter()
                    .filter(|record| record.position.offset <= bounds.last),
            );
        }
        Ok(records)
    }

    /// Writes batches whose bounds are stored, and moves the positions.
    pub(super) async fn write(
        &mut self,
        opened: Vec<(Bounds, Vec<Record>)>,
    ) -> Result<Flow, AnalyticsError> {
        if opened.is_empty() {
            return Ok(Flow::Continue);
        }
        let bounds: Vec<Bounds> = opened.iter().map(|(bounds, _)| *bounds).collect();
        let (blocks, unreadable) = tokio::task::spawn_blocking(move || read(opened)).await?;
        self.set_aside(&unreadable).await?;
        let Some(touched) = self.insert(&blocks).await? else {
            return Ok(Flow::Stop);
        };
        commit_points::pass(CommitPoint::AnalyticsInserted);
        self.sink.journal.close(&bounds, &touched).await?;
        self.back_off.reset();
        Ok(Flow::Continue)
    }

    /// Puts unreadable records into `dead-letters`. After a crash they may be put there again.
    async fn set_aside(&self, unreadable: &[(Record, Unreadable)]) -> Result<(), AnalyticsError> {
        let stage = Stage {
            name: GROUP,
            code_version: &self.sink.settings.code_version,
        };
        let failed_at = self.sink.clock.now();
        let letters = unreadable
            .iter()
            .map(|(record, reason)| {
                let letter = DeadLetter {
                    record,
                    origin: Origin::of(record).map_or(record.position, |origin| origin.position),
                    reason: reason.reason(),
                    error: &reason.to_string(),
                };
                letter.to_record(&stage, failed_at)
            })
            .collect();
        dead_letters::append(&*self.sink.log, letters)
            .await
            .map_err(AnalyticsError::DeadLetters)?;
        for (record, reason) in unreadable {
            let topic = record.position.topic.name();
            self.sink
                .metrics
                .dead_letters
                .with_label_values(&[topic])
                .inc();
            tracing::error!(position = %record.position, %reason, "an unreadable record");
        }
        Ok(())
    }

    /// Inserts the blocks and notes how far they reach, however long ClickHouse takes. Returns
    /// what aggregates they touch; nothing when the shutdown came first.
    async fn insert(&mut self, blocks: &[Block]) -> Result<Option<Touched>, AnalyticsError> {
        let progress: Vec<Progress> = blocks
            .iter()
            .flat_map(|block| block.progress.iter().copied())
            .collect();
        let mut left: Vec<&Block> = blocks.iter().collect();
        loop {
            let attempt = async {
                self.insert_once(&mut left).await?;
                // Only now: another instance may be moving the same claims.
                let mut touched = Touched::default();
                for block in blocks {
                    self.sink.store.touched(&block.rows, &mut touched).await?;
                }
                self.sink.store.note_progress(&progress).await?;
                Ok(touched)
            };
            let error: clickhouse::error::Error = match self.until_patience_ends(attempt).await {
                None => return Ok(None),
                Some(Ok(touched)) => return Ok(Some(touched)),
                Some(Err(error)) => error,
            };
            let wait = self.back_off.next();
            tracing::warn!(
                %error,
                blocks = left.len(),
                wait_ms = wait.as_millis(),
                "ClickHouse didn't take blocks: they are inserted again"
            );
            let recovered = async {
                tokio::time::sleep(wait).await;
                self.sink.migrate().await
            };
            match self.shutdown.run_until_cancelled(recovered).await {
                None => return Ok(None),
                Some(Ok(applied)) if applied.is_empty() => {}
                Some(Ok(_)) => return Err(AnalyticsError::Replaced),
                Some(Err(MigrationError::ClickHouse(error))) => {
                    tracing::debug!(%error, "ClickHouse isn't back yet");
                }
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// Inserts what is left, several blocks at once; what failed stays.
    async fn insert_once(&self, left: &mut Vec<&Block>) -> Result<(), clickhouse::error::Error> {
        let mut waiting = std::mem::take(left).into_iter();
        let mut running = FuturesUnordered::new();
        let mut failure = None;
        loop {
            let free = self.sink.settings.inserts_in_flight.max(1) - running.len();
            running.extend(
                waiting
                    .by_ref()
                    .take(free)
                    .map(|block| self.insert_block(block)),
            );
            let Some((block, outcome)) = running.next().await else {
                break;
            };
            if let Err(error) = outcome {
                left.push(block);
                failure = Some(error);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn insert_block<'b>(
        &self,
        block: &'b Block,
    ) -> (&'b Block, Result<(), clickhouse::error::Error>) {
        (block, self.sink.store.insert(&block.rows).await)
    }

    /// Lets inserts finish for a while after the shutdown; `None` when they didn't.
    async fn until_patience_ends<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let patience_ends = async {
            self.shutdown.cancelled().await;
            tokio::time::sleep(SHUTDOWN_PATIENCE).await;
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = patience_ends => None,
        }
    }
}

/// Reads the records of batches: much decoding, away from the threads that serve others.
fn read(opened: Vec<(Bounds, Vec<Record>)>) -> (Vec<Block>, Vec<(Record, Unreadable)>) {
    let mut of_sources: BTreeMap<Topic, (Vec<Progress>, Vec<Record>)> = BTreeMap::new();
    for (bounds, records) in opened {
        let (progress, all) = of_sources.entry(bounds.partition.0).or_default();
        progress.push(Progress {
            partition: bounds.partition,
            next_offset: bounds.last + 1,
            complete_up_to: records
                .last()
                .map_or(Timestamp::default(), |record| record.appended_at),
        });
        all.extend(records);
    }
    let mut blocks = Vec::with_capacity(of_sources.len());
    let mut unreadable = Vec::new();
    for (topic, (progress, records)) in of_sources {
        let source = Source::of(topic)
            .expect("only topics of a source are joined, and the journal has no other");
        let content = Content::read(source, records);
        unreadable.extend(content.unreadable);
        blocks.push(Block {
            rows: content.rows,
            progress,
        });
    }
    (blocks, unreadable)
}
