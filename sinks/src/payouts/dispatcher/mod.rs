//! The loop that makes payouts.
//!
//! Topic `payouts` is the trigger; what is due when is in the database, so that a restart, a
//! second dispatcher and a lost trigger are all the same thing: rows that are due.

mod attempt;
mod metrics;
mod trigger;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use prometheus::Registry;
use schemas::Timestamp;
use sqlx::PgPool;
use stream::{Clock, Log, LogError};
use tokio::{sync::Notify, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use self::metrics::Metrics;
pub use self::trigger::GROUP;
use super::{
    agcod::{AgcodClient, ClientError},
    config::{CHANNEL, PayoutsConfig},
    rate_limit::CallRate,
    sms::SmsGateway,
    store::{Store, StoreError},
};

/// How often the gauges are refreshed, on the real clock.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);

/// Why a dispatcher can't be made, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum DispatcherError {
    /// No client for the rail.
    #[error("the gift-card client can't be built")]
    Client(#[from] ClientError),
    /// The registry has metrics of these names already.
    #[error("the payout metrics can't be registered")]
    Metrics(#[from] prometheus::Error),
    /// The log can't be read any more.
    #[error("the log can't be read by the payout dispatcher")]
    Log(#[from] LogError),
}

/// Makes payouts until it is told to stop. Any number may run at once.
pub struct Dispatcher {
    worker: Arc<Worker>,
    log: Arc<dyn Log>,
}

/// What every attempt needs.
struct Worker {
    store: Store,
    client: AgcodClient,
    sms: Arc<dyn SmsGateway>,
    clock: Arc<dyn Clock>,
    rate: CallRate,
    config: PayoutsConfig,
    metrics: Metrics,
    /// No call before this instant: after throttling, everything waits.
    held_until_ms: AtomicI64,
    wake: Notify,
}

impl Dispatcher {
    /// A dispatcher over `pool` (which connects as the writer) and `log`. Retries follow `clock`;
    /// rates and time-outs follow the real one.
    pub fn new(
        pool: PgPool,
        log: Arc<dyn Log>,
        sms: Arc<dyn SmsGateway>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
        config: PayoutsConfig,
    ) -> Result<Self, DispatcherError> {
        Ok(Self {
            worker: Arc::new(Worker {
                store: Store::new(pool, CHANNEL),
                client: AgcodClient::new(&config.agcod)?,
                sms,
                clock,
                rate: CallRate::new(config.limits.calls_per_second),
                config,
                metrics: Metrics::register(registry)?,
                held_until_ms: AtomicI64::new(i64::MIN),
                wake: Notify::new(),
            }),
            log,
        })
    }

    /// Works until `shutdown`, then lets the attempts in flight end and records their outcomes.
    ///
    /// # Errors
    /// When the log can't be read any more. A database that fails is waited for.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), DispatcherError> {
        let stop = shutdown.child_token();
        // Whichever ends first ends the other: one half alone would only look alive.
        let _stop_on_drop = stop.clone().drop_guard();
        let work = async {
            self.worker.work(&stop).await;
            stop.cancel();
        };
        let listen = async {
            let listened = trigger::listen(&self.worker, &self.log, &stop).await;
            stop.cancel();
            listened
        };
        let ((), listened) = tokio::join!(work, listen);
        Ok(listened?)
    }
}

impl Worker {
    async fn work(self: &Arc<Self>, stop: &CancellationToken) {
        let mut tasks = JoinSet::new();
        let mut sweep_at = Instant::now();
        let mut show_at = Instant::now();
        while !stop.is_cancelled() {
            if Instant::now() >= sweep_at {
                log_failure("sweep", self.sweep().await);
                let interval = self.config.limits.sweep_interval_ms;
                sweep_at = Instant::now() + Duration::from_millis(interval);
            }
            if Instant::now() >= show_at {
                let backlog = self.store.backlog(self.clock.now()).await;
                log_failure("metrics", backlog.map(|backlog| self.metrics.show(backlog)));
                show_at = Instant::now() + METRICS_INTERVAL;
            }
            let moved = log_failure("dispatch", self.dispatch(&mut tasks).await);
            reap(&mut tasks);
            if moved.unwrap_or(0) == 0 {
                let poll = Duration::from_millis(self.config.limits.poll_interval_ms);
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep(poll) => {}
                }
            }
        }
        // What is in flight ends within the call's time-out.
        while tasks.join_next().await.is_some() {}
    }

    /// Takes up what no record announced, and gives up attempts whose dispatcher is gone.
    async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let adopted = self.store.adopt(None, now).await?;
        if adopted > 0 {
            tracing::info!(adopted, "took up payouts that no record had announced");
        }
        let interrupted = self.store.recover(now, &self.config.limits.retry).await?;
        if interrupted > 0 {
            tracing::warn!(
                interrupted,
                "payout attempts were interrupted; the identical requests follow"
            );
            self.metrics.interrupted.inc_by(interrupted as u64);
        }
        Ok(())
    }

    /// Starts whatever is due and there is room for; returns how much.
    async fn dispatch(self: &Arc<Self>, tasks: &mut JoinSet<()>) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let mut moved = self.store.announce(now).await?;
        let room = |tasks: &JoinSet<()>| self.config.limits.concurrency.saturating_sub(tasks.len());
        if room(tasks) > 0 && !self.held(now) {
            let attempts = self.store.begin(now, room(tasks), self.lease_ms()).await?;
            moved += attempts.len();
            for attempt in attempts {
                tasks.spawn(Arc::clone(self).attempt(attempt));
            }
        }
        if room(tasks) > 0 {
            let messages = self
                .store
                .begin_messages(now, room(tasks), self.lease_ms())
                .await?;
            moved += messages.len();
            for message in messages {
                tasks.spawn(Arc::clone(self).deliver(message, None));
            }
        }
        Ok(moved)
    }

    fn held(&self, now: Timestamp) -> bool {
        now.millis() < self.held_until_ms.load(Ordering::SeqCst)
    }

    fn hold(&self, until: Timestamp) {
        self.held_until_ms
            .fetch_max(until.millis(), Ordering::SeqCst);
    }

    /// The call, the wait for the rate with everything else that is in flight, and a margin.
    fn lease_ms(&self) -> i64 {
        let limits = &self.config.limits;
        let queue_ms = 1_000 * limits.concurrency as u64 / u64::from(limits.calls_per_second.get());
        let lease_ms = self.config.agcod.timeout_ms + queue_ms + limits.lease_margin_ms;
        i64::try_from(lease_ms).unwrap_or(i64::MAX)
    }
}

/// The database comes back, or an operator is paged by the age of the oldest: either way the
/// loop goes on.
fn log_failure<T>(doing: &'static str, result: Result<T, StoreError>) -> Option<T> {
    result
        .inspect_err(|error| {
            tracing::error!(
                doing,
                error = error as &dyn std::error::Error,
                "payouts stand still for the moment"
            );
        })
        .ok()
}

fn reap(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.try_join_next() {
        if let Err(panicked) = ended {
            tracing::error!(%panicked, "a payout attempt ended in a defect");
        }
    }
}
