//! The roles: each a process of its own over services that processes share, or all in one process,
//! as `up` and the demo run them over a [`Platform`].

mod http;
mod one_time_codes;
mod role;
mod wiring;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use api::{ComponentHealth, ComponentState, HealthSource};
use arc_swap::ArcSwap;
use operations::{
    audit::Auditor, event_ids::EventIdSource, payout_run::PayoutRuns, retention::Periods,
    verification::ScratchConnections,
};
use prometheus::Registry;
use schemas::{event_id::EventIds, reference::ReferenceData};
use secrecy::SecretString;
use sinks::{
    ledger::{CommitObserver, LedgerMetrics, instances::InstanceLease, reference},
    payouts::{
        PayoutsConfig,
        sms::{ReportFields, SmsGateway},
    },
};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub use self::role::Role;
use crate::{
    platform::{Platform, register_health},
    schedules::{NetworkSchedule, PayoutSchedule},
};

/// How long a payout run waits for the ledger to catch up.
const PAYOUT_PATIENCE: Duration = Duration::from_secs(10);

/// How the roles are to run.
pub struct RoleOptions {
    /// Which roles run in this process.
    pub roles: BTreeSet<Role>,
    /// Where HTTP is served; bound by the caller, so that a busy port is found first.
    pub listener: TcpListener,
    /// How ingest is set up.
    pub ingest: ingest::Settings,
    /// What smart links begin with.
    pub public_url: String,
    /// How gift cards are made; without it payouts stay queued.
    pub payouts: Option<PayoutsConfig>,
    /// When payouts are made and compared without being asked for; without it, never.
    pub payout_schedule: Option<PayoutSchedule>,
    /// How gift cards' codes and one-time codes are sent; without it, no role here makes any.
    pub messages: Option<Arc<dyn SmsGateway>>,
    /// How long things are kept.
    pub retention: Periods,
    /// How the gateway writes delivery reports, and what it proves itself by.
    pub delivery_reports: Option<(ReportFields, SecretString)>,
    /// Where the whole log is folded anew once a day, if it is.
    pub verification: Option<ScratchConnections>,
    /// What is done each day about what the network lists, if anything.
    pub network: Option<NetworkSchedule>,
    /// Told of each report that the ledger committed.
    pub committed: Option<CommitObserver>,
}

/// What the roles share.
struct Shared<'a> {
    platform: &'a Platform,
    registry: Registry,
    reference: Arc<ArcSwap<ReferenceData>>,
    written: Arc<Notify>,
    /// What the ledger says of itself, to health too; where its role is among those of the process.
    ledger: Option<LedgerMetrics>,
    /// One generator for the process's instance number.
    event_ids: Option<Arc<Mutex<EventIds>>>,
    shutdown: CancellationToken,
}

impl Shared<'_> {
    /// The platform's health, and the ledger's where it runs here: while it waits, everything
    /// accepted stays in the log.
    fn health(&self) -> HealthSource {
        let platform = self.platform.health();
        let Some(ledger) = self.ledger.clone() else {
            return platform;
        };
        Arc::new(move || {
            let mut report = platform();
            let health = match ledger.waiting() {
                None => ComponentHealth {
                    state: ComponentState::Ready,
                    detail: None,
                },
                Some(waiting) => ComponentHealth {
                    state: ComponentState::Degraded,
                    detail: Some(waiting.trouble.sentence().to_owned()),
                },
            };
            report.components.insert("ledger".to_owned(), health);
            report
        })
    }

    fn event_ids(&self) -> anyhow::Result<Arc<Mutex<EventIds>>> {
        let ids = self.event_ids.as_ref();
        Ok(Arc::clone(ids.context("this process draws no event ids")?))
    }

    fn event_id_source(&self) -> anyhow::Result<EventIdSource> {
        Ok(EventIdSource::new(
            self.event_ids()?,
            Arc::clone(&self.platform.clock),
        ))
    }

    fn auditor(&self) -> Auditor {
        // Either sees all that is audited; not every process is given an operator's rights.
        let pool = self.platform.operator().unwrap_or(&self.platform.writer);
        Auditor {
            pool: pool.clone(),
            log: Arc::clone(&self.platform.log),
            clickhouse: self.platform.clickhouse.client(),
        }
    }

    fn payout_runs(&self, payouts: Option<&PayoutsConfig>) -> Option<PayoutRuns> {
        Some(PayoutRuns {
            pool: self.platform.writer.clone(),
            log: Arc::clone(&self.platform.log),
            clock: Arc::clone(&self.platform.clock),
            account: payouts?.agcod.clone(),
            patience: PAYOUT_PATIENCE,
        })
    }
}

/// The running roles.
pub struct Roles {
    /// Where HTTP is served.
    pub address: SocketAddr,
    /// The newest snapshot of the reference data, where a role here follows it.
    pub reference: Arc<ArcSwap<ReferenceData>>,
    /// Draws event ids for this process, where a role here does.
    pub event_ids: Option<EventIdSource>,
    shutdown: CancellationToken,
    tasks: tokio::sync::Mutex<JoinSet<(&'static str, anyhow::Result<()>)>>,
}

impl Roles {
    /// Starts the roles that are asked for.
    ///
    /// # Errors
    /// When a role can't be set up. Failures later on are told by [`Roles::failed`].
    pub async fn start(platform: &Platform, options: RoleOptions) -> anyhow::Result<Self> {
        let address = options.listener.local_addr()?;
        let any = |asked: fn(Role) -> bool| options.roles.iter().any(|role| asked(*role));
        let follows = any(Role::follows_reference_data);
        let reference = if follows {
            reference::load(&platform.writer).await?
        } else {
            ReferenceData::default()
        };
        let lease = if any(Role::draws_event_ids) {
            Some(InstanceLease::take(platform.writer.clone()).await?)
        } else {
            None
        };
        let instance = lease.as_ref().map(InstanceLease::instance);
        let event_ids = instance.map(EventIds::new).transpose()?;
        let registry = Registry::new();
        let ledger = options.roles.contains(&Role::Ledger);
        let ledger = ledger.then(|| LedgerMetrics::register(&registry));
        let shared = Shared {
            platform,
            ledger: ledger.transpose()?,
            registry,
            reference: Arc::new(ArcSwap::from_pointee(reference)),
            written: Arc::new(Notify::new()),
            event_ids: event_ids.map(|ids| Arc::new(Mutex::new(ids))),
            shutdown: CancellationToken::new(),
        };
        register_health(shared.health(), &shared.registry)?;
        let mut roles = Self {
            address,
            reference: Arc::clone(&shared.reference),
            event_ids: shared.event_id_source().ok(),
            shutdown: shared.shutdown.clone(),
            tasks: tokio::sync::Mutex::default(),
        };
        let shutdown = shared.shutdown.clone();
        if let Some(lease) = lease {
            roles.spawn("instance", async move { Ok(lease.hold(shutdown).await?) });
        }
        if follows {
            roles.start_reference(&shared);
        }
        let outcome = roles.start_each(&shared, options);
        // What was started before the one that could not be ends too.
        if outcome.is_err() {
            shared.shutdown.cancel();
        }
        outcome.map(|()| roles)
    }

    fn spawn(
        &mut self,
        name: &'static str,
        role: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.tasks
            .get_mut()
            .spawn(async move { (name, role.await) });
    }

    /// Waits until a role ends by itself, which none should, and says which and why.
    pub async fn failed(&self) -> anyhow::Error {
        match self.tasks.lock().await.join_next().await {
            Some(Ok((name, Ok(())))) => anyhow::anyhow!("the role {name} ended by itself"),
            Some(Ok((name, Err(error)))) => error.context(format!("the role {name} failed")),
            Some(Err(error)) => anyhow::Error::from(error).context("a role panicked"),
            None => anyhow::anyhow!("no role is running"),
        }
    }

    /// Ends every role: requests under way are answered, batches under way are finished or left
    /// to the next start.
    ///
    /// # Errors
    /// The first failure of a role on its way out.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        let mut tasks = self.tasks.into_inner();
        let mut outcome = Ok(());
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.context("a role panicked").and_then(|(name, result)| {
                result.with_context(|| format!("the role {name} failed on its way out"))
            });
            outcome = outcome.and(ended);
        }
        outcome
    }
}
