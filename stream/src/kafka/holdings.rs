//! What a member of a group holds, as its reader and its thread both see it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;
use tracing::{error, warn};

use super::fetcher::{Fetched, Fetcher, Start};
use crate::{
    error::LogError,
    log::{GroupEvent, Partition},
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
    /// Why it can't go on: what was read can't be trusted to be complete, or another process has
    /// its name.
    failed: OnceLock<LogError>,
}

#[derive(Default)]
pub(super) struct State {
    /// What the reader has not been told yet, in order.
    pub(super) untold: VecDeque<GroupEvent>,
    pub(super) held: BTreeMap<Partition, Holding>,
    /// The partition served last, so that the next one is served first.
    pub(super) served_last: Option<Partition>,
    /// Something to tell the reader once.
    pub(super) trouble: Option<LogError>,
}

pub(super) struct Holding {
    /// The topic's name in the cluster.
    pub(super) name: String,
    pub(super) stage: Stage,
    /// The next offset to be given to the reader.
    pub(super) next: i64,
    /// The end is here or beyond.
    pub(super) end: i64,
    pub(super) committed: Option<i64>,
    /// Why it can't be read from `next`.
    pub(super) refused: Option<LogError>,
    /// `None` when it isn't fetched: refused, or no longer read.
    pub(super) fetched: Option<Fetched>,
}

/// From being assigned to being released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
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

impl Holdings {
    pub(super) fn new(wake: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            wake,
            stopped: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            failed: OnceLock::new(),
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

    /// A message went astray: a fault of ours or of the library.
    pub(super) fn fail_astray(&self) {
        self.fail(LogError::Failed {
            reason: "a message came outside of its partition's queue".to_owned(),
        });
    }

    /// Ends the reader for good, before it could commit beyond something that it never got, or
    /// what isn't its own any more. Whoever joins anew starts where the group stands.
    pub(super) fn fail(&self, error: LogError) {
        let reason = error.to_string();
        // One that leaves has given its name to the next.
        if !self.stopped() && self.failed.set(error).is_ok() {
            error!(reason, "the member gives up");
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
        self.failed.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// The next thing to tell the reader that is not a record.
    pub(super) fn untold(&self) -> Result<Option<GroupEvent>, LogError> {
        let mut state = self.state();
        if let Some(event) = state.untold.pop_front() {
            return Ok(Some(event));
        }
        state.trouble.take().map_or(Ok(None), Err)
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

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing above panics half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stop(fetcher: &Fetcher, partition: Partition, holding: &mut Holding) {
    if let Some(fetched) = holding.fetched.take()
        && let Err(error) = fetcher.stop(partition, fetched)
    {
        warn!(%error, ?partition, "a partition is fetched on in vain");
    }
}
