//! The contract suite against the adapters that live in the process.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use schemas::Timestamp;
use stream::{
    EmbeddedLog, EmbeddedOptions, FaultyLog, InMemoryLog, Limits, Log, ManualClock,
    contract::{self, Subject},
};
use tempfile::TempDir;

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)))
}

struct InMemory {
    clock: Arc<ManualClock>,
    latest: Mutex<Option<Arc<InMemoryLog>>>,
}

#[async_trait]
impl Subject for InMemory {
    async fn fresh(&self, limits: Limits) -> Arc<dyn Log> {
        let log = InMemoryLog::new(self.clock.clone(), limits);
        *self.latest.lock().unwrap() = Some(log.clone());
        log
    }

    async fn reopen(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        drop(log);
        let mut latest = self.latest.lock().unwrap();
        let restarted = latest.as_ref().unwrap().restarted();
        *latest = Some(restarted.clone());
        restarted
    }

    fn clock(&self) -> Option<Arc<ManualClock>> {
        Some(self.clock.clone())
    }

    async fn hold_writes(&self, held: bool) -> bool {
        self.latest
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            .hold_writes(held);
        true
    }
}

/// Around a log, and without a fault: it has to be no different from the log.
struct Faultless(InMemory);

#[async_trait]
impl Subject for Faultless {
    async fn fresh(&self, limits: Limits) -> Arc<dyn Log> {
        Arc::new(FaultyLog::new(self.0.fresh(limits).await))
    }

    async fn reopen(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        Arc::new(FaultyLog::new(self.0.reopen(log).await))
    }

    fn clock(&self) -> Option<Arc<ManualClock>> {
        self.0.clock()
    }

    async fn hold_writes(&self, held: bool) -> bool {
        self.0.hold_writes(held).await
    }
}

struct Embedded {
    clock: Arc<ManualClock>,
    latest: Mutex<Option<(TempDir, Arc<EmbeddedLog>)>>,
}

impl Embedded {
    fn open(&self, directory: TempDir, limits: Limits) -> Arc<EmbeddedLog> {
        let options = EmbeddedOptions {
            limits,
            ..EmbeddedOptions::default()
        };
        let log = EmbeddedLog::open(directory.path(), self.clock.clone(), options).unwrap();
        *self.latest.lock().unwrap() = Some((directory, log.clone()));
        log
    }
}

#[async_trait]
impl Subject for Embedded {
    async fn fresh(&self, limits: Limits) -> Arc<dyn Log> {
        self.latest.lock().unwrap().take();
        self.open(tempfile::tempdir().unwrap(), limits)
    }

    async fn reopen(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        log.close().await;
        drop(log);
        let (directory, log) = self.latest.lock().unwrap().take().unwrap();
        drop(log);
        self.open(directory, Limits::default())
    }

    fn clock(&self) -> Option<Arc<ManualClock>> {
        Some(self.clock.clone())
    }

    async fn hold_writes(&self, held: bool) -> bool {
        self.latest
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            .1
            .hold_writes(held);
        true
    }
}

#[tokio::test]
async fn in_memory() {
    let subject = InMemory {
        clock: clock(),
        latest: Mutex::default(),
    };
    contract::run_all(&subject).await;
}

#[tokio::test]
async fn faulty_without_a_fault() {
    let subject = Faultless(InMemory {
        clock: clock(),
        latest: Mutex::default(),
    });
    contract::run_all(&subject).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded() {
    let subject = Embedded {
        clock: clock(),
        latest: Mutex::default(),
    };
    contract::run_all(&subject).await;
}
