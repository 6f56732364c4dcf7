//! The embedded log: on the disk of one machine, on fjall (an embedded store with an atomic,
//! checksummed journal).
//!
//! ```text
//! append ─▶ admission ─▶ writer: one batch, one sync ─▶ watermarks ─▶ acknowledged, readers wake
//! ```
//!
//! An acknowledged record is synced; a reader sees a record only when it is synced; a batch that a
//! crash tore is not there at all. Consumer groups live in the process (the directory has one
//! owner), their committed positions in the store.

mod condition;
mod directory;
mod layout;
mod store;
mod writer;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Sender},
    },
    thread::JoinHandle,
};

use async_trait::async_trait;
use schemas::{Position, Timestamp, Topic};
use tokio::sync::oneshot;

use self::{
    condition::Condition,
    layout::{Encoded, RECORD_BYTES_MAX},
    store::Store,
    writer::{Command, Writer},
};
use crate::{
    admission::{Admission, Limits},
    clock::Clock,
    error::{AppendError, LogError, Refusal},
    gate::WriteGate,
    group::{Coordinator, Member, Slice, Storage, check_within},
    log::{GroupConsumer, GroupSettings, Health, Log, Partition, Watermarks, check_partition},
    record::{NewRecord, Record},
};

/// How an embedded log is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Bounds on appends. No record may exceed 256 MiB, whatever this says.
    pub limits: Limits,
    /// Memory for blocks read from disk, in bytes.
    pub cache_bytes: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            cache_bytes: 32 * 1024 * 1024,
        }
    }
}

/// A log in a directory of this machine. Dropping the last handle and consumer closes it; prefer
/// [`Log::close`], which doesn't block the thread it is called on.
pub struct EmbeddedLog {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<Store>,
    coordinator: Arc<Coordinator>,
    admission: Arc<Admission>,
    condition: Arc<Condition>,
    gate: Arc<WriteGate>,
    /// `None` once closed.
    commands: Mutex<Option<Sender<Command>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// One trim at a time, so that low watermarks only grow.
    trimming: tokio::sync::Mutex<()>,
}

impl EmbeddedLog {
    /// Opens the log in `directory`, making it in an empty or new one. Blocks while it recovers:
    /// what a killed process had acknowledged is there, and of its last batch all or nothing.
    ///
    /// [`LogError::InUse`] if another process has it open; [`LogError::Unusable`] if the directory
    /// holds something else, another format, or other partition counts.
    pub fn open(
        directory: impl AsRef<Path>,
        clock: Arc<dyn Clock>,
        options: EmbeddedOptions,
    ) -> Result<Arc<Self>, LogError> {
        let EmbeddedOptions {
            mut limits,
            cache_bytes,
        } = options;
        limits.record_bytes_max = limits.record_bytes_max.min(RECORD_BYTES_MAX);
        let (store, ends) = Store::open(directory.as_ref(), cache_bytes)?;
        let store = Arc::new(store);
        let coordinator = Arc::new(Coordinator::new());
        let condition = Arc::new(Condition::new());
        let gate = Arc::new(WriteGate::new());
        let writer = Writer {
            store: Arc::clone(&store),
            clock,
            coordinator: Arc::clone(&coordinator),
            condition: Arc::clone(&condition),
            gate: Arc::clone(&gate),
            ends,
        };
        let (commands, received) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(&received))
            .map_err(|error| LogError::storage("starting the writer", error))?;
        Ok(Arc::new(Self {
            inner: Arc::new(Inner {
                store,
                coordinator,
                admission: Admission::new(limits),
                condition,
                gate,
                commands: Mutex::new(Some(commands)),
                writer: Mutex::new(Some(thread)),
                trimming: tokio::sync::Mutex::default(),
            }),
        }))
    }

    /// Holds writes back before they take effect, or lets them through again: a stalled disk, for
    /// tests and simulation.
    pub fn hold_writes(&self, held: bool) {
        self.inner.gate.hold(held);
    }

    /// Reads away from the asynchronous threads: the store may have to wait for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        self.inner.check_open()?;
        on_blocking_thread(Arc::clone(&self.inner.store), read).await
    }
}

async fn on_blocking_thread<T: Send + 'static>(
    store: Arc<Store>,
    read: impl FnOnce(&Store) -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(move || read(&store))
        .await
        .map_err(|error| LogError::storage("reading", error))?
}

impl Inner {
    /// Hands a command to the writer. Fails before anything was done.
    fn send(&self, command: Command) -> Result<(), LogError> {
        self.condition.check()?;
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = commands.as_ref().ok_or(LogError::Closed)?.send(command);
        // A writer that is gone while the log is open has panicked.
        sent.map_err(|_| LogError::Failed {
            reason: "the writer is gone".to_owned(),
        })
    }

    /// Lets the writer finish what it has, and hands out its thread to the first who asks.
    fn stop(&self) -> Option<JoinHandle<()>> {
        self.gate.hold(false);
        self.commands
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.coordinator.wake();
        self.writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(writer) = self.stop()
            && writer.join().is_err()
        {
            tracing::error!("the log's writer had panicked");
        }
    }
}

#[async_trait]
impl Storage for Inner {
    fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    fn check_open(&self) -> Result<(), LogError> {
        match *self.commands.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(_) => Ok(()),
            None => Err(LogError::Closed),
        }
    }

    fn watermarks(&self, partition: Partition) -> Watermarks {
        self.store.watermarks(partition)
    }

    fn committed(&self, group: &str, partition: Partition) -> Option<i64> {
        self.store.committed().get(group)?.get(&partition).copied()
    }

    async fn commit(&self, group: &str, next_offsets: &[(Partition, i64)]) -> Result<(), LogError> {
        let (done, outcome) = oneshot::channel();
        let (group, next_offsets) = (group.to_owned(), next_offsets.to_vec());
        self.send(Command::Commit {
            group,
            next_offsets,
            done,
        })?;
        outcome.await.unwrap_or(Err(LogError::Closed))
    }

    async fn fetch(&self, slices: Vec<Slice>, bytes_max: usize) -> Result<Vec<Record>, LogError> {
        on_blocking_thread(Arc::clone(&self.store), move |store| {
            let mut records: Vec<Record> = Vec::new();
            let mut bytes = 0;
            for slice in slices {
                if bytes >= bytes_max {
                    break;
                }
                let read = store.read(slice, bytes_max - bytes)?;
                bytes += read.iter().map(Record::bytes).sum::<usize>();
                records.extend(read);
            }
            Ok(records)
        })
        .await
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    async fn append(
        &self,
        topic: Topic,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Position>, AppendError> {
        self.inner.check_open().map_err(Refusal::Unavailable)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let permit = self.inner.admission.admit(topic, &records)?;
        let encoded = Encoded::new(topic, &records);
        let (done, outcome) = oneshot::channel();
        self.inner
            .send(Command::Append {
                encoded,
                permit,
                done,
            })
            .map_err(Refusal::Unavailable)?;
        // Without an answer the writer has panicked, and nobody knows how far it got.
        outcome.await.unwrap_or_else(|_| {
            let reason = "the writer stopped half way".to_owned();
            Err(AppendError::Indeterminate(LogError::Failed { reason }))
        })
    }

    async fn read(
        &self,
        topic: Topic,
        partition: i32,
        offset: i64,
        records_max: usize,
    ) -> Result<Vec<Record>, LogError> {
        let partition = check_partition(topic, partition)?;
        let slice = Slice {
            partition,
            offset,
            records_max,
        };
        self.blocking(move |store| store.read(slice, GroupSettings::default().bytes_max))
            .await
    }

    async fn watermarks(&self, topic: Topic, partition: i32) -> Result<Watermarks, LogError> {
        self.inner.check_open()?;
        Ok(self
            .inner
            .store
            .watermarks(check_partition(topic, partition)?))
    }

    async fn offset_for_time(
        &self,
        topic: Topic,
        partition: i32,
        at: Timestamp,
    ) -> Result<Option<i64>, LogError> {
        let partition = check_partition(topic, partition)?;
        self.blocking(move |store| store.offset_for_time(partition, at))
            .await
    }

    async fn trim(
        &self,
        topic: Topic,
        partition: i32,
        before_offset: i64,
    ) -> Result<i64, LogError> {
        self.inner.check_open()?;
        let partition = check_partition(topic, partition)?;
        let _alone = self.inner.trimming.lock().await;
        let watermarks = self.inner.store.watermarks(partition);
        let low = before_offset.max(watermarks.low);
        check_within(partition, low, watermarks)?;
        if low > watermarks.low {
            // Hidden first, durably, and only then deleted: a crash in between leaves records
            // that nobody sees, and the next opening deletes them.
            let (done, outcome) = oneshot::channel();
            self.inner.send(Command::Trim {
                partition,
                low,
                done,
            })?;
            outcome.await.unwrap_or(Err(LogError::Closed))?;
            self.blocking(move |store| store.delete(partition, watermarks.low, low))
                .await?;
        }
        Ok(low)
    }

    async fn committed(
        &self,
        group: &str,
        topic: Topic,
        partition: i32,
    ) -> Result<Option<i64>, LogError> {
        self.inner.check_open()?;
        Ok(Storage::committed(
            &*self.inner,
            group,
            check_partition(topic, partition)?,
        ))
    }

    async fn join(
        &self,
        group: &str,
        topics: &[Topic],
        settings: GroupSettings,
    ) -> Result<Box<dyn GroupConsumer>, LogError> {
        Ok(Box::new(Member::join(
            Arc::clone(&self.inner),
            group,
            topics,
            settings,
        )?))
    }

    fn health(&self) -> Health {
        match self.inner.check_open() {
            Ok(()) => self.inner.condition.health(),
            Err(closed) => Health::Unavailable {
                reason: closed.to_string(),
            },
        }
    }

    async fn close(&self) {
        if let Some(writer) = self.inner.stop() {
            let joined = tokio::task::spawn_blocking(move || writer.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the log's writer had panicked");
            }
        }
    }
}
