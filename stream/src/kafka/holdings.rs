//! What a member of a group holds, as its reader and its thread both see it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{Message, error::RDKafkaErrorCode};
use tokio::sync::Notify;
use tracing::{error, warn};

use super::{
    fault::Fault,
    fetcher::{Fetched, Fetcher, Start},
    received,
};
use crate::{
    error::LogError,
    log::{GroupEvent, Partition},
    record::Record,
};

/// Shared between the reader and the thread.
pub(super) struct Holdings {
    state: Mutex<State>,
    /// Told when there may be something for the reader.
    wake: Arc<Notify>,
    /// The member leaves.
    stopped: AtomicBool,
    /// Its log was closed.
    closed: AtomicBool,
    /// Messages went astray: what was read can't be trusted to be complete.
    failed: AtomicBool,
}

#[derive(Default)]
struct State {
    /// What the reader has not been told yet, in order.
    untold: VecDeque<GroupEvent>,
    held: BTreeMap<Partition, Holding>,
    /// The partition served last, so that the next one is served first.
    served_last: Option<Partition>,
    /// Something to tell the reader once.
    trouble: Option<LogError>,
}

struct Holding {
    /// The topic's name in the cluster.
    name: String,
    stage: Stage,
    /// The next offset to be given to the reader.
    next: i64,
    /// The end is here or beyond.
    end: i64,
    committed: Option<i64>,
    /// Why it can't be read from `next`.
    refused: Option<LogError>,
    /// `None` when it isn't fetched: refused, or no longer read.
    fetched: Option<Fetched>,
}

/// From being assigned to being released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Reading,
    /// To be finished, committed and released.
    Draining,
    /// Taken away: the group has given up on this member. To be released, and no commit is good.
    Lost,
}

/// What a commit would change.
#[derive(Default)]
pub(super) struct Changes {
    /// Partitions whose committed offset isn't this one yet.
    pub(super) moved: Vec<(Partition, i64)>,
    /// Those that may lie beyond the end, as far as it is known.
    pub(super) beyond: Vec<(Partition, i64)>,
}

/// Records, or why there are none.
pub(super) enum Gathered {
    Records(Vec<Record>),
    /// Nothing at present.
    Nothing,
    /// The next offset of this partition isn't kept any more, or was never there.
    OutOfRange(Partition, i64),
}

impl Holdings {
    pub(super) fn new(wake: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            wake,
            stopped: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        })
    }

    // --- the thread's side ---

    pub(super) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Starts reading these, and tells the reader.
    pub(super) fn assign(&self, fetcher: &Fetcher, starts: Vec<Start>) -> Result<(), LogError> {
        let partitions = starts.iter().map(|start| start.partition).collect();
        let readable: Vec<(Partition, i64)> = starts
            .iter()
            .filter(|start| start.refused.is_none())
            .map(|start| (start.partition, start.next))
            .collect();
        let mut state = self.state();
        let mut fetched = fetcher.start(&readable)?.into_iter();
        for start in starts {
            let holding = Holding {
                name: fetcher.topic_name(start.partition),
                stage: Stage::Reading,
                next: start.next,
                end: start.end,
                committed: start.committed,
                fetched: if start.refused.is_none() {
                    fetched.next()
                } else {
                    None
                },
                refused: start.refused,
            };
            state.held.insert(start.partition, holding);
        }
        state.untold.push_back(GroupEvent::Assigned(partitions));
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Stops reading these, and tells the reader.
    pub(super) fn revoke(&self, fetcher: &Fetcher, partitions: &[Partition], lost: bool) {
        let mut state = self.state();
        let mut revoked = Vec::with_capacity(partitions.len());
        for partition in partitions {
            if let Some(holding) = state.held.get_mut(partition) {
                holding.stage = if lost { Stage::Lost } else { Stage::Draining };
                stop(fetcher, *partition, holding);
                revoked.push(*partition);
            }
        }
        if lost && !revoked.is_empty() {
            warn!(?revoked, "the group has taken partitions away");
        }
        if !revoked.is_empty() {
            state.untold.push_back(GroupEvent::Revoked(revoked));
        }
        drop(state);
        self.wake.notify_one();
    }

    /// No commit of these is good any more.
    pub(super) fn lose(&self, partitions: &[Partition]) {
        let mut state = self.state();
        for partition in partitions {
            if let Some(holding) = state.held.get_mut(partition)
                && holding.stage != Stage::Lost
            {
                warn!(?partition, "the group has taken a partition away");
                holding.stage = Stage::Lost;
            }
        }
    }

    pub(super) fn hold_any(&self, partitions: &[Partition]) -> bool {
        let state = self.state();
        partitions
            .iter()
            .any(|partition| state.held.contains_key(partition))
    }

    /// Something that the reader should hear of.
    pub(super) fn trouble(&self, error: LogError) {
        self.state().trouble = Some(error);
        self.wake.notify_one();
    }

    /// Ends the reader, before it could commit beyond something that it never got. That would be
    /// a fault of ours or of the library; whoever joins anew starts where the group stands.
    pub(super) fn fail(&self) {
        if !self.failed.swap(true, Ordering::SeqCst) {
            error!("a message came outside of its partition's queue: the member gives up");
        }
        self.wake.notify_one();
    }

    /// Stops reading everything.
    pub(super) fn clear(&self, fetcher: &Fetcher) {
        let mut state = self.state();
        for (partition, holding) in &mut state.held {
            stop(fetcher, *partition, holding);
        }
        state.held.clear();
    }

    // --- the reader's side ---

    /// Lets the thread leave the group.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Ends the reader too.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.stop();
        // A permit that is kept, in case the reader isn't waiting just now.
        self.wake.notify_one();
    }

    pub(super) fn check_open(&self) -> Result<(), LogError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(LogError::Closed);
        }
        if self.failed.load(Ordering::SeqCst) {
            return Err(LogError::Failed {
                reason: "a message came outside of its partition's queue".to_owned(),
            });
        }
        Ok(())
    }

    /// The next thing to tell the reader that is not a record.
    pub(super) fn untold(&self) -> Result<Option<GroupEvent>, LogError> {
        let mut state = self.state();
        if let Some(event) = state.untold.pop_front() {
            return Ok(Some(event));
        }
        state.trouble.take().map_or(Ok(None), Err)
    }

    /// Takes up to `records_max` records: an even share from each partition that has some, then
    /// another round with what is left; who is first goes round.
    pub(super) fn gather(
        &self,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Gathered, LogError> {
        let mut state = self.state();
        let State {
            held,
            served_last,
            trouble,
            ..
        } = &mut *state;
        let mut waiting = Vec::new();
        for (partition, holding) in held.iter_mut() {
            if holding.stage == Stage::Reading {
                if let Some(refused) = &holding.refused {
                    return Err(refused.clone());
                }
                waiting.push((*partition, holding, Vec::new()));
            }
        }
        let first = waiting
            .iter()
            .position(|(partition, ..)| Some(*partition) > *served_last)
            .unwrap_or(0);
        waiting.rotate_left(first);

        let (mut left, mut bytes) = (records_max.max(1), 0);
        let mut served = Vec::with_capacity(waiting.len());
        while left > 0 && bytes < bytes_max && !waiting.is_empty() {
            let share = left.div_ceil(waiting.len());
            let mut more = Vec::with_capacity(waiting.len());
            for (partition, holding, mut records) in waiting {
                let room = share.min(left);
                let mut taken = 0;
                let drained = loop {
                    if taken == room || bytes >= bytes_max {
                        break false;
                    }
                    match holding.take(partition) {
                        Ok(Some(record)) => {
                            bytes += record.bytes();
                            taken += 1;
                            records.push(record);
                        }
                        Ok(None) => break true,
                        Err(Trouble::Astray) => {
                            self.fail();
                            return Err(self.check_open().err().unwrap_or(LogError::Closed));
                        }
                        Err(Trouble::OutOfRange) => {
                            if served.is_empty() && records.is_empty() && more.is_empty() {
                                return Ok(Gathered::OutOfRange(partition, holding.next));
                            }
                            holding.refused = Some(out_of_range(partition, holding.next));
                            break true;
                        }
                        Err(Trouble::Fault(fault)) => {
                            *trouble = Some(fault.during("fetching"));
                            break true;
                        }
                    }
                };
                left -= taken;
                if taken > 0 {
                    *served_last = Some(partition);
                }
                if drained {
                    served.push(records);
                } else {
                    more.push((partition, holding, records));
                }
            }
            waiting = more;
        }
        served.extend(waiting.into_iter().map(|(.., records)| records));
        let records: Vec<Record> = served.into_iter().flatten().collect();
        if records.is_empty() {
            return trouble.take().map_or(Ok(Gathered::Nothing), Err);
        }
        Ok(Gathered::Records(records))
    }

    /// Why the partition can't be read on, until it is sought elsewhere.
    pub(super) fn refuse(&self, partition: Partition, refused: LogError) {
        if let Some(holding) = self.state().held.get_mut(&partition) {
            holding.refused = Some(refused);
        }
    }

    /// Fails unless the partition is read.
    pub(super) fn check_reading(&self, (topic, partition): Partition) -> Result<(), LogError> {
        match self.state().held.get(&(topic, partition)) {
            Some(holding) if holding.stage == Stage::Reading => Ok(()),
            Some(_) | None => Err(LogError::NotAssigned { topic, partition }),
        }
    }

    /// Goes on at `offset`, which lies within the log. Blocks.
    pub(super) fn seek(
        &self,
        fetcher: &Fetcher,
        (topic, partition): Partition,
        offset: i64,
        end: i64,
    ) -> Result<(), LogError> {
        let mut state = self.state();
        let holding = state
            .held
            .get_mut(&(topic, partition))
            .filter(|holding| holding.stage == Stage::Reading)
            .ok_or(LogError::NotAssigned { topic, partition })?;
        if holding.fetched.is_some() {
            fetcher.seek((topic, partition), offset)?;
        } else {
            holding.fetched = fetcher.start(&[((topic, partition), offset)])?.pop();
        }
        holding.next = offset;
        holding.end = holding.end.max(end);
        holding.refused = None;
        Ok(())
    }

    /// Fails unless every partition may be committed.
    pub(super) fn changes(&self, next_offsets: &[(Partition, i64)]) -> Result<Changes, LogError> {
        let state = self.state();
        let mut changes = Changes::default();
        for ((topic, partition), offset) in next_offsets {
            let (topic, partition, offset) = (*topic, *partition, *offset);
            let holding = state
                .held
                .get(&(topic, partition))
                .filter(|holding| holding.stage != Stage::Lost)
                .ok_or(LogError::NotAssigned { topic, partition })?;
            if holding.committed != Some(offset) {
                changes.moved.push(((topic, partition), offset));
            }
            if offset > holding.end {
                changes.beyond.push(((topic, partition), offset));
            }
        }
        Ok(changes)
    }

    /// The group has taken these.
    pub(super) fn committed(&self, next_offsets: &[(Partition, i64)]) {
        let mut state = self.state();
        for (partition, offset) in next_offsets {
            if let Some(holding) = state.held.get_mut(partition) {
                holding.committed = Some(*offset);
                holding.end = holding.end.max(*offset);
            }
        }
    }

    /// Gives up partitions that were revoked.
    pub(super) fn release(&self, partitions: Vec<Partition>) -> Result<(), LogError> {
        let mut state = self.state();
        for (topic, partition) in partitions {
            match state.held.get(&(topic, partition)) {
                Some(holding) if holding.stage != Stage::Reading => {
                    state.held.remove(&(topic, partition));
                }
                Some(_) | None => return Err(LogError::NotAssigned { topic, partition }),
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing above panics half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Trouble {
    /// A message of another partition.
    Astray,
    OutOfRange,
    Fault(Fault),
}

impl Holding {
    /// The next record, if one was fetched.
    fn take(&mut self, partition: Partition) -> Result<Option<Record>, Trouble> {
        let Some(fetched) = &self.fetched else {
            return Ok(None);
        };
        loop {
            match fetched.poll(Duration::ZERO) {
                None => return Ok(None),
                Some(Ok(message)) => {
                    if message.partition() != partition.1 || message.topic() != self.name {
                        return Err(Trouble::Astray);
                    }
                    let record = received::record(partition, &message);
                    let offset = record.position.offset;
                    // Fetched again after a change of leaders.
                    if offset >= self.next {
                        self.next = offset + 1;
                        self.end = self.end.max(self.next);
                        return Ok(Some(record));
                    }
                }
                Some(Err(error)) => {
                    return Err(match error.rdkafka_error_code() {
                        Some(
                            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                        ) => Trouble::OutOfRange,
                        _ => Trouble::Fault(Fault::of(&error)),
                    });
                }
            }
        }
    }
}

fn stop(fetcher: &Fetcher, partition: Partition, holding: &mut Holding) {
    if let Some(fetched) = holding.fetched.take()
        && let Err(error) = fetcher.stop(partition, fetched)
    {
        warn!(%error, ?partition, "a partition is fetched on in vain");
    }
}

/// Until the bounds are known.
fn out_of_range((topic, partition): Partition, next: i64) -> LogError {
    Fault::Other {
        reason: format!("offset {next} of {topic}/{partition} is out of range"),
    }
    .during("fetching")
}
