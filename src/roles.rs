//! The roles, all in one process: what `up` and the demo run over a [`Platform`].

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use api::{Api, BearerToken, ComponentHealth, ComponentState, HealthSource, Tokens};
use arc_swap::ArcSwap;
use ingest::{Ingest, ServerLimits};
use operations::{
    audit::Auditor,
    commands::Commands,
    event_ids::EventIdSource,
    healing::{Healer, HealingMetrics, HealingSettings},
    payout_run::PayoutRuns,
};
use processors::stage::{Stage, StageMetrics, StageSettings};
use prometheus::Registry;
use schemas::{event_id::EventIds, reference::ReferenceData};
use sinks::{
    analytics::{AnalyticsMetrics, AnalyticsSettings, AnalyticsSink},
    ledger::{
        CommitObserver, LedgerMetrics, LedgerSettings, LedgerSink, OutboxRelay,
        clicks::StoredClicks, instances::InstanceLease, reference,
    },
    payouts::{Dispatcher, PayoutsConfig, sms::SmsGateway},
};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{platform::Platform, schedules};

/// How long a payout run waits for the ledger to catch up.
const PAYOUT_PATIENCE: Duration = Duration::from_secs(10);

/// How the roles are to run.
pub struct RoleOptions {
    /// Where HTTP is served; bound by the caller, so that a busy port is found first.
    pub listener: TcpListener,
    /// How ingest is set up.
    pub ingest: ingest::Settings,
    /// How gift cards are made, and how their codes are sent; without it payouts stay queued.
    pub payouts: Option<(PayoutsConfig, Arc<dyn SmsGateway>)>,
    /// Told of each report that the ledger committed.
    pub committed: Option<CommitObserver>,
}

/// What the roles share.
struct Shared<'a> {
    platform: &'a Platform,
    registry: Registry,
    reference: Arc<ArcSwap<ReferenceData>>,
    written: Arc<Notify>,
    /// What the ledger says of itself, to health too.
    ledger: LedgerMetrics,
    /// One generator for the process's instance number.
    event_ids: Arc<Mutex<EventIds>>,
    shutdown: CancellationToken,
}

impl Shared<'_> {
    /// The platform's health, and the ledger's: while it waits, everything accepted stays in the
    /// log.
    fn health(&self) -> HealthSource {
        let (platform, ledger) = (self.platform.health(), self.ledger.clone());
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

    fn event_id_source(&self) -> EventIdSource {
        EventIdSource::new(
            Arc::clone(&self.event_ids),
            Arc::clone(&self.platform.clock),
        )
    }
}

/// The running roles.
pub struct Roles {
    /// Where HTTP is served.
    pub address: SocketAddr,
    /// The newest snapshot of the reference data.
    pub reference: Arc<ArcSwap<ReferenceData>>,
    /// Draws event ids for this process.
    pub event_ids: EventIdSource,
    shutdown: CancellationToken,
    tasks: tokio::sync::Mutex<JoinSet<(&'static str, anyhow::Result<()>)>>,
}

impl Roles {
    /// Starts every role.
    ///
    /// # Errors
    /// When a role can't be set up. Failures later on are told by [`Roles::failed`].
    pub async fn start(platform: &Platform, options: RoleOptions) -> anyhow::Result<Self> {
        let reference = reference::load(&platform.writer).await?;
        let lease = InstanceLease::take(platform.writer.clone()).await?;
        let registry = Registry::new();
        let shared = Shared {
            platform,
            ledger: LedgerMetrics::register(&registry)?,
            registry,
            reference: Arc::new(ArcSwap::from_pointee(reference)),
            written: Arc::new(Notify::new()),
            event_ids: Arc::new(Mutex::new(EventIds::new(lease.instance())?)),
            shutdown: CancellationToken::new(),
        };
        let mut roles = Self {
            address: options.listener.local_addr()?,
            reference: Arc::clone(&shared.reference),
            event_ids: shared.event_id_source(),
            shutdown: shared.shutdown.clone(),
            tasks: tokio::sync::Mutex::default(),
        };
        let shutdown = shared.shutdown.clone();
        roles.spawn("instance", async move { Ok(lease.hold(shutdown).await?) });
        roles.start_sinks(&shared, options.committed)?;
        roles.start_stage(&shared)?;
        roles.start_healing(&shared)?;
        let payout_runs = options.payouts.as_ref().map(|(config, _)| PayoutRuns {
            pool: platform.writer.clone(),
            log: Arc::clone(&platform.log),
            clock: Arc::clone(&platform.clock),
            account: config.agcod.clone(),
            patience: PAYOUT_PATIENCE,
        });
        roles.start_schedules(&shared, payout_runs.clone())?;
        if let Some((config, sms)) = options.payouts {
            roles.start_dispatcher(&shared, config, sms)?;
        }
        roles.start_http(&shared, options.listener, options.ingest, payout_runs)?;
        Ok(roles)
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

    fn start_sinks(
        &mut self,
        shared: &Shared<'_>,
        committed: Option<CommitObserver>,
    ) -> anyhow::Result<()> {
        let Platform {
            log,
            clock,
            writer,
            clickhouse,
            ..
        } = shared.platform;
        let ledger = LedgerSink {
            pool: writer.clone(),
            log: Arc::clone(log),
            clock: Arc::clone(clock),
            written: Arc::clone(&shared.written),
            metrics: shared.ledger.clone(),
            settings: LedgerSettings::default(),
            committed,
        };
        let shutdown = shared.shutdown.clone();
        self.spawn("ledger", async move { Ok(ledger.run(shutdown).await?) });

        let relay = OutboxRelay::new(writer.clone(), Arc::clone(log), Arc::clone(&shared.written));
        let shutdown = shared.shutdown.clone();
        self.spawn("outbox", async move {
            relay.run(shutdown).await;
            Ok(())
        });

        let snapshot = Arc::clone(&shared.reference);
        let refresh = reference::refresh(writer.clone(), snapshot, shared.shutdown.clone());
        self.spawn("reference", async move {
            refresh.await;
            Ok(())
        });

        if let Some(client) = clickhouse.client() {
            let analytics = AnalyticsSink::new(
                Arc::clone(log),
                Arc::clone(clock),
                client,
                writer.clone(),
                AnalyticsMetrics::register(&shared.registry)?,
                AnalyticsSettings::default(),
            );
            let shutdown = shared.shutdown.clone();
            self.spawn(
                "analytics",
                async move { Ok(analytics.run(shutdown).await?) },
            );
        }
        Ok(())
    }

    fn start_stage(&mut self, shared: &Shared<'_>) -> anyhow::Result<()> {
        let Platform {
            log,
            clock,
            writer,
            secrets,
            ..
        } = shared.platform;
        let stage = Stage {
            log: Arc::clone(log),
            clicks: Arc::new(StoredClicks::new(writer.clone())),
            reference: Arc::clone(&shared.reference),
            token_keys: secrets.token_keys()?,
            clock: Arc::clone(clock),
            metrics: StageMetrics::register(&shared.registry)?,
            settings: StageSettings::default(),
        };
        let shutdown = shared.shutdown.clone();
        self.spawn("processors", async move { Ok(stage.run(shutdown).await?) });
        Ok(())
    }

    fn start_dispatcher(
        &mut self,
        shared: &Shared<'_>,
        config: PayoutsConfig,
        sms: Arc<dyn SmsGateway>,
    ) -> anyhow::Result<()> {
        let Platform {
            log, clock, writer, ..
        } = shared.platform;
        let dispatcher = Dispatcher::new(
            writer.clone(),
            Arc::clone(log),
            sms,
            Arc::clone(clock),
            &shared.registry,
            config,
        )?;
        let shutdown = shared.shutdown.clone();
        self.spawn(
            "payouts",
            async move { Ok(dispatcher.run(shutdown).await?) },
        );
        Ok(())
    }

    fn start_healing(&mut self, shared: &Shared<'_>) -> anyhow::Result<()> {
        let Platform {
            log,
            clock,
            writer,
            secrets,
            ..
        } = shared.platform;
        let healer = Healer {
            pool: writer.clone(),
            log: Arc::clone(log),
            clock: Arc::clone(clock),
            clicks: Arc::new(StoredClicks::new(writer.clone())),
            reference: Arc::clone(&shared.reference),
            token_keys: secrets.token_keys()?,
            event_ids: shared.event_id_source(),
            metrics: HealingMetrics::register(&shared.registry)?,
            settings: HealingSettings::default(),
        };
        let shutdown = shared.shutdown.clone();
        self.spawn("healing", async move { Ok(healer.run(shutdown).await?) });
        Ok(())
    }

    /// Scheduled work; each job takes an advisory lock, so that any number of instances may.
    fn start_schedules(
        &mut self,
        shared: &Shared<'_>,
        payout_runs: Option<PayoutRuns>,
    ) -> anyhow::Result<()> {
        let Platform { clock, writer, .. } = shared.platform;
        let audit = schedules::Audit::new(auditor(shared.platform), &shared.registry)?;
        let shutdown = shared.shutdown.clone();
        self.spawn("audit", async move {
            audit.run(shutdown).await;
            Ok(())
        });
        let retention = schedules::Retention {
            pool: shared.platform.operator.clone(),
            clickhouse: shared.platform.clickhouse.client(),
            log: Arc::clone(&shared.platform.log),
            clock: Arc::clone(clock),
        };
        let shutdown = shared.shutdown.clone();
        self.spawn("retention", async move {
            retention.run(shutdown).await;
            Ok(())
        });
        if let Some(runs) = payout_runs {
            let daily = schedules::Payouts::new(runs, writer.clone(), Arc::clone(clock));
            let shutdown = shared.shutdown.clone();
            self.spawn("payout schedule", async move {
                daily.run(shutdown).await;
                Ok(())
            });
        }
        Ok(())
    }

    fn start_http(
        &mut self,
        shared: &Shared<'_>,
        listener: TcpListener,
        settings: ingest::Settings,
        payout_runs: Option<PayoutRuns>,
    ) -> anyhow::Result<()> {
        let Platform {
            log,
            clock,
            operator,
            secrets,
            ..
        } = shared.platform;
        let dependencies = ingest::Dependencies {
            log: Arc::clone(log),
            clock: Arc::clone(clock),
            reference: Arc::clone(&shared.reference),
            token_keys: secrets.token_keys()?,
            contact_key: secrets.contact_key(),
            event_ids: Arc::clone(&shared.event_ids),
        };
        let ingest = Ingest::new(dependencies, settings, &shared.registry)?;
        let api = Api {
            pool: operator.clone(),
            commands: Commands::new(Arc::clone(log), Arc::clone(clock), shared.event_id_source()),
            payout_runs,
            auditor: auditor(shared.platform),
            health: shared.health(),
            registry: shared.registry.clone(),
            tokens: Tokens {
                cron: Some(BearerToken::new(&secrets.cron_token)),
                operator: Some(BearerToken::new(&secrets.operator_token)),
            },
        };
        let router = api::router(Arc::new(api)).merge(ingest::router(ingest));
        let shutdown = shared.shutdown.clone();
        self.spawn("http", async move {
            ingest::serve(
                listener,
                router,
                ServerLimits::default(),
                shutdown.cancelled(),
            )
            .await;
            Ok(())
        });
        Ok(())
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

fn auditor(platform: &Platform) -> Auditor {
    Auditor {
        pool: platform.operator.clone(),
        log: Arc::clone(&platform.log),
        clickhouse: platform.clickhouse.client(),
    }
}
