//! Reads the log up to where the ledger had read it: reports beside their decisions, and what
//! operators and payouts said. Without a group: nobody's positions move.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::iter};
use processors::stage::Origin;
use schemas::{
    Position, Topic,
    codec::{self, Event},
    events::{ConversionReported, Decision},
};
use stream::{Log, Partition, Record};
use tokio::{sync::mpsc, time::Instant};

use super::{
    ReplayError,
    judge::{Judge, Judged, usable_now},
    store::Packer,
};
use crate::log_copy::reader::{ReadFailure, Reader};

/// Partitions read at the same time; decoding is what takes time.
const PARTITIONS_AT_ONCE: usize = 4;
/// Batches on their way to whoever collects them.
const BATCHES_WAITING: usize = 4;

/// Where the ledger stood: the next offset of each partition that it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watermark(pub BTreeMap<Partition, i64>);

impl Watermark {
    pub fn end(&self, partition: Partition) -> i64 {
        self.0.get(&partition).copied().unwrap_or_default()
    }
}

/// Records that one pass reads.
pub(super) async fn records(log: &dyn Log, watermark: &Watermark) -> Result<u64, ReplayError> {
    let mut records = 0;
    for (topic, partition) in watermark.0.keys().copied() {
        if topic != Topic::Clicks {
            let low = log.watermarks(topic, partition).await?.low;
            records += (watermark.end((topic, partition)) - low)
                .max(0)
                .unsigned_abs();
        }
    }
    for partition in 0..Topic::Conversions.partitions() {
        let held = log.watermarks(Topic::Conversions, partition).await?;
        records += (held.high - held.low).unsigned_abs();
    }
    Ok(records)
}

/// How fast the log is read, and how far it has come.
pub(super) struct Pace<'a> {
    /// Records in a second at most.
    pub records_per_second: Option<u32>,
    started: Instant,
    read: AtomicU64,
    total: u64,
    progress: &'a (dyn Fn(Progress) + Sync),
}

/// How far the log was read. `total` counts each pass over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Records read.
    pub records: u64,
    /// Records to be read.
    pub total: u64,
}

impl<'a> Pace<'a> {
    pub fn new(
        records_per_second: Option<u32>,
        total: u64,
        progress: &'a (dyn Fn(Progress) + Sync),
    ) -> Self {
        Self {
            records_per_second,
            started: Instant::now(),
            read: AtomicU64::new(0),
            total,
            progress,
        }
    }

    /// After so many records: tells, and waits if that was too fast.
    async fn keep(&self, records: usize) {
        let records = self.read.fetch_add(records as u64, Ordering::Relaxed) + records as u64;
        (self.progress)(Progress {
            records,
            total: self.total,
        });
        if let Some(rate) = self.records_per_second.filter(|rate| *rate > 0) {
            let due = Duration::from_micros(records.saturating_mul(1_000_000) / u64::from(rate));
            tokio::time::sleep_until(self.started + due).await;
        }
    }
}

/// What comes of some records.
#[derive(Debug)]
pub(super) struct Batch<T> {
    /// What was made of each report that was decided.
    pub made: Vec<T>,
    /// Records that were given up, and that today's code can use.
    pub usable_now: Vec<Position>,
}

/// What is done with each report and its decision, on whatever thread.
pub(super) struct Work<T> {
    judge: Arc<Judge>,
    make: Box<Make<T>>,
    /// Those that no thread has at the moment: as many as there ever were threads at once.
    packers: Mutex<Vec<Packer>>,
}

type Make<T> = dyn Fn(Judged, &mut Packer) -> T + Send + Sync;

impl<T> Work<T> {
    pub fn new(
        judge: &Arc<Judge>,
        make: impl Fn(Judged, &mut Packer) -> T + Send + Sync + 'static,
    ) -> Self {
        Self {
            judge: Arc::clone(judge),
            make: Box::new(make),
            packers: Mutex::default(),
        }
    }

    /// Does it with each pair that `join` finds.
    fn on(
        &self,
        join: impl FnOnce(&mut dyn FnMut(Decision, Option<&ConversionReported>)),
    ) -> Batch<T> {
        let free = || self.packers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut packer = free().pop().unwrap_or_default();
        let mut batch = Batch {
            made: Vec::new(),
            usable_now: Vec::new(),
        };
        join(&mut |decision, report| {
            if usable_now(&decision, report) {
                batch.usable_now.push(decision.source);
            }
            let judged = self.judge.judge(decision, report);
            batch.made.push((self.make)(judged, &mut packer));
        });
        free().push(packer);
        batch
    }
}

/// What all partitions together left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Reports without a decision up to the watermark.
    pub undecided: u64,
}

/// The log, up to the watermark.
pub(super) struct Source<'a> {
    pub log: &'a dyn Log,
    pub watermark: &'a Watermark,
    pub pace: &'a Pace<'a>,
}

impl Source<'_> {
    /// Reads every report and its decision, and hands what is made of them to `collect` in batches.
    /// The first decision for a position counts.
    pub async fn reports<T: Send + 'static>(
        &self,
        work: Work<T>,
        mut collect: impl FnMut(Batch<T>),
    ) -> Result<Left, ReplayError> {
        let work = &Arc::new(work);
        let (sender, mut receiver) = mpsc::channel(BATCHES_WAITING);
        let partitions = 0..Topic::Decisions.partitions();
        let read = async {
            iter(partitions)
                .map(|partition| self.partition(partition, work, sender.clone()))
                .buffer_unordered(PARTITIONS_AT_ONCE)
                .try_collect::<Vec<Joining>>()
                .await
                .inspect(|_| drop(sender))
        };
        let collected = async {
            while let Some(batch) = receiver.recv().await {
                collect(batch);
            }
        };
        let (partitions, ()) = tokio::join!(read, collected);
        let mut partitions = partitions?;
        let mut reports = HashMap::new();
        let mut decisions = HashMap::new();
        for partition in &mut partitions {
            reports.extend(partition.reports.drain());
            decisions.extend(partition.decisions.drain());
        }
        let joined = |position| {
            partitions
                .iter()
                .any(|partition| partition.joined.holds(position))
        };
        collect(work.on(|take| {
            for (position, decision) in decisions {
                // Repeated in another partition.
                if !joined(position) {
                    let report = reports.remove(&position).and_then(|bytes| report(&bytes));
                    take(decision, report.as_ref());
                }
            }
        }));
        reports.retain(|position, _| !joined(*position));
        Ok(Left {
            undecided: reports.len() as u64,
        })
    }

    /// The reports of one partition, beside the decisions of the same.
    async fn partition<T: Send + 'static>(
        &self,
        partition: i32,
        work: &Arc<Work<T>>,
        sender: mpsc::Sender<Batch<T>>,
    ) -> Result<Joining, ReplayError> {
        let end = self
            .log
            .watermarks(Topic::Conversions, partition)
            .await?
            .high;
        let mut reports = self.reader((Topic::Conversions, partition), end).await?;
        let decided = (Topic::Decisions, partition);
        let mut decisions = self.reader(decided, self.watermark.end(decided)).await?;
        let mut joining = Joining::default();
        loop {
            // Whichever lags; the other once that is at its end.
            let lagging = joining.reports.len() <= joining.decisions.len();
            let reading_reports =
                !reports.left.is_empty() && (lagging || decisions.left.is_empty());
            let reader = if reading_reports {
                &mut reports
            } else {
                &mut decisions
            };
            let Some(records) = next(reader).await? else {
                return Ok(joining);
            };
            let count = records.len();
            let work = Arc::clone(work);
            // Decoding and deciding is work for a thread of its own.
            let joined = tokio::task::spawn_blocking(move || {
                let batch = work.on(|take| {
                    if reading_reports {
                        joining.take_reports(&records, take);
                    } else {
                        joining.take_decisions(&records, take);
                    }
                });
                (joining, batch)
            });
            let batch;
            (joining, batch) = joined.await?;
            if !batch.made.is_empty() || !batch.usable_now.is_empty() {
                // Only whoever gave up has closed the other end.
                let _ = sender.send(batch).await;
            }
            self.pace.keep(count).await;
        }
    }

    /// All events of a topic, up to the watermark, with their records.
    pub async fn events<E: Event>(
        &self,
        mut take: impl FnMut(E, &Record),
    ) -> Result<(), ReplayError> {
        for partition in 0..E::TOPIC.partitions() {
            let which = (E::TOPIC, partition);
            let mut reader = self.reader(which, self.watermark.end(which)).await?;
            while let Some(records) = next(&mut reader).await? {
                for record in &records {
                    // What can't be read is in `dead-letters`, and the ledger left it out too.
                    if let Ok(event) = codec::decode(&record.value) {
                        take(event, record);
                    }
                }
                self.pace.keep(records.len()).await;
            }
        }
        Ok(())
    }

    async fn reader(&self, partition: Partition, end: i64) -> Result<Reader<'_>, ReplayError> {
        let low = self.log.watermarks(partition.0, partition.1).await?.low;
        Ok(Reader {
            log: self.log,
            partition,
            left: low..end.max(low),
        })
    }
}

pub(super) async fn next(reader: &mut Reader<'_>) -> Result<Option<Vec<Record>>, ReplayError> {
    reader.next().await.map_err(|failure| match failure {
        ReadFailure::Log(error) => error.into(),
        ReadFailure::Missing(position) => ReplayError::Gap(position),
    })
}

/// A map that nobody outside can fill as they like, and that is asked for every record.
type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A partition on its way. In a copied log a report and its decision may stand in different ones.
#[derive(Debug, Default)]
struct Joining {
    /// Reports that wait for their decision, not decoded yet: each pair is then worked on while it
    /// is at hand.
    reports: FastMap<Position, Bytes>,
    /// Decisions that wait for their report.
    decisions: FastMap<Position, Decision>,
    joined: Positions,
}

impl Joining {
    fn take_reports(
        &mut self,
        records: &[Record],
        take: &mut dyn FnMut(Decision, Option<&ConversionReported>),
    ) {
        for record in records {
            let origin = Origin::of(record).unwrap_or_else(|_| Origin::in_place(record));
            match self.decisions.remove(&origin.position) {
                Some(decision) => {
                    self.joined.insert(origin.position);
                    take(decision, report(&record.value).as_ref());
                }
                None => {
                    self.reports.insert(origin.position, record.value.clone());
                }
            }
        }
    }

    /// The first decision for a position counts.
    fn take_decisions(
        &mut self,
        records: &[Record],
        take: &mut dyn FnMut(Decision, Option<&ConversionReported>),
    ) {
        let decisions = records
            .iter()
            // What can't be read is in `dead-letters`, and the ledger left it out too.
            .filter_map(|record| codec::decode::<Decision>(&record.value).ok());
        for decision in decisions {
            if self.joined.holds(decision.source) {
                continue;
            }
            match self.reports.remove(&decision.source) {
                Some(bytes) => {
                    self.joined.insert(decision.source);
                    take(decision, report(&bytes).as_ref());
                }
                None => {
                    self.decisions.entry(decision.source).or_insert(decision);
                }
            }
        }
    }
}

/// A report, if it can be read.
fn report(bytes: &[u8]) -> Option<ConversionReported> {
    codec::decode(bytes).ok()
}

/// A set of positions of `conversions`, a bit each.
#[derive(Debug, Default)]
struct Positions(FastMap<(i32, i64), u64>);

impl Positions {
    fn place(position: Position) -> ((i32, i64), u64) {
        let block = (position.partition, position.offset.div_euclid(64));
        (block, 1 << position.offset.rem_euclid(64))
    }

    fn insert(&mut self, position: Position) {
        let (block, bit) = Self::place(position);
        *self.0.entry(block).or_default() |= bit;
    }

    fn holds(&self, position: Position) -> bool {
        let (block, bit) = Self::place(position);
        self.0.get(&block).is_some_and(|bits| bits & bit != 0)
    }
}
