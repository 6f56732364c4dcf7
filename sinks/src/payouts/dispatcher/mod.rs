//! The loop that makes payouts.
//!
//! Topic `payouts` is the trigger; what is due when is in the database, so that a restart, a
//! second dispatcher and a lost trigger are all the same thing: rows that are due.

mod attempt;
mod funds;
mod messenger;
mod metrics;
mod recall;
mod record;
mod trigger;

use std::{sync::Arc, time::Duration};

use prometheus::Registry;
use sqlx::PgPool;
use stream::{Clock, Log, LogError};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use self::trigger::GROUP;
use self::{metrics::Metrics, record::Ended};
use super::{
    agcod::{AgcodClient, ClientError},
    config::{CHANNEL, PayoutsConfig},
    sms::SmsGateway,
    store::{
        Store, StoreError,
        rates::{self, CallRate},
    },
};

/// How often the gauges are refreshed, on the real clock.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);
/// How many times what can be in flight is announced: it waits until the log has the step.
const ANNOUNCED_AHEAD: usize = 4;
/// As METRICS_INTERVAL, of what takes a look at every payout that isn't paid yet.
const STANDING_INTERVAL: Duration = Duration::from_secs(15);

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
                rate: CallRate::per_second(config.limits.calls_per_second),
                config,
                metrics: Metrics::register(registry)?,
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
        let (ended, to_record) = mpsc::channel(self.worker.config.limits.concurrency);
        let work = async {
            // The recorder ends once the last attempt has.
            let ((), ()) = tokio::join!(
                self.worker.work(&stop, ended),
                self.worker.record(to_record)
            );
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
    async fn work(self: &Arc<Self>, stop: &CancellationToken, ended: mpsc::Sender<Ended>) {
        let mut tasks = JoinSet::new();
        let mut sweep_at = Instant::now();
        let mut show_at = Instant::now();
        let mut stand_at = Instant::now();
        let mut others_at = Instant::now();
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
            if Instant::now() >= stand_at {
                let standing = self.store.standing(self.clock.now()).await;
                let shown = standing.map(|standing| self.metrics.stand(&standing));
                log_failure("metrics", shown);
                tasks.spawn(Arc::clone(self).look_at_funds());
                let interval = Duration::from_millis(self.config.limits.funds_interval_ms);
                stand_at = Instant::now() + STANDING_INTERVAL.min(interval);
            }
            let moved = log_failure(
                "dispatch",
                self.dispatch(&mut tasks, &ended, &mut others_at).await,
            );
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
        drop(ended);
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
        let unreported = self.store.stop_waiting_for_reports(now).await?;
        if unreported > 0 {
            tracing::warn!(unreported, "no delivery report came for messages");
        }
        self.metrics
            .count_messages(&self.store.open_messages().await?);
        Ok(())
    }

    /// Starts whatever is due and there is room for; returns how much. Recalls and messages are
    /// looked for from `others_at` on, as often as is polled.
    async fn dispatch(
        self: &Arc<Self>,
        tasks: &mut JoinSet<()>,
        ended: &mpsc::Sender<Ended>,
        others_at: &mut Instant,
    ) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let concurrency = self.config.limits.concurrency;
        let mut moved = self
            .store
            .announce(now, ANNOUNCED_AHEAD * concurrency)
            .await?;
        let room = |tasks: &JoinSet<()>| concurrency.saturating_sub(tasks.len());
        if room(tasks) > 0 {
            let attempts = self
                .store
                .begin(now, room(tasks), self.lease_ms(), self.rate)
                .await?;
            moved += attempts.len();
            for attempt in attempts {
                tasks.spawn(Arc::clone(self).attempt(attempt, ended.clone()));
            }
        }
        if Instant::now() < *others_at {
            return Ok(moved);
        }
        *others_at = Instant::now() + Duration::from_millis(self.config.limits.poll_interval_ms);
        for recall in self.store.begin_recalls(now).await? {
            moved += 1;
            tasks.spawn(Arc::clone(self).recall(recall));
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

    /// Whether a throttled call makes everybody wait; unknown is yes.
    async fn held(&self) -> bool {
        let held = self.store.held(self.clock.now()).await;
        log_failure("calls", held).unwrap_or(true)
    }

    /// After a throttled call that was no attempt: nobody calls for a while.
    async fn hold(&self) {
        let pause_ms = self.config.limits.retry.throttle_pause_ms;
        let held = self.store.hold(self.clock.now().plus_millis(pause_ms));
        log_failure("calls", held.await);
    }

    /// The wait for the slot, the call, and a margin.
    fn lease_ms(&self) -> i64 {
        let limits = &self.config.limits;
        let slot_ms = u64::try_from(rates::HORIZON.as_millis()).unwrap_or(u64::MAX);
        let lease_ms = slot_ms + self.config.agcod.timeout_ms + limits.lease_margin_ms;
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
