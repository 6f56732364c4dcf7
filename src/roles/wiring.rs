//! Each role, set up with what it needs.

use std::sync::Arc;

use anyhow::Context;
use operations::{
    healing::{Healer, HealingMetrics, HealingSettings},
    payout_run::PayoutRuns,
    retention::Periods,
    verification::ScratchConnections,
    watch::Watch,
};
use processors::stage::{Stage, StageMetrics, StageSettings};
use sinks::{
    analytics::{AnalyticsMetrics, AnalyticsSettings, AnalyticsSink},
    ledger::{
        CommitObserver, LedgerSettings, LedgerSink, OutboxRelay, clicks::StoredClicks, reference,
    },
    payouts::{Dispatcher, Notices, PayoutsConfig, sms::SmsGateway},
};

use super::{Role, RoleOptions, Roles, Shared, http::Serving};
use crate::{
    platform::Platform,
    schedules::{self, NetworkSchedule, PayoutSchedule},
};

impl Roles {
    pub(super) fn start_each(
        &mut self,
        shared: &Shared<'_>,
        options: RoleOptions,
    ) -> anyhow::Result<()> {
        let RoleOptions {
            roles,
            listener,
            ingest,
            public_url,
            payouts,
            payout_schedule,
            messages,
            retention,
            delivery_reports,
            verification,
            network,
            committed,
        } = options;
        let payout_runs = shared.payout_runs(payouts.as_ref());
        let rail = payouts.zip(messages.clone());
        for role in &roles {
            match role {
                // Served below, on one port.
                Role::Ingest | Role::Api => {}
                Role::Process => self.start_stage(shared)?,
                Role::Ledger => self.start_ledger(shared, committed.clone())?,
                Role::Relay => self.start_relay(shared),
                Role::Analytics => self.start_analytics(shared)?,
                Role::Dispatch => {
                    // Without a rail, payouts are requested and stay queued.
                    if let Some((config, messages)) = rail.clone() {
                        self.start_dispatcher(shared, config, messages)?;
                    }
                }
                Role::Schedule => {
                    let daily_payouts = payout_runs.clone().zip(payout_schedule);
                    self.start_schedules(shared, daily_payouts, retention)?;
                    if let Some(connections) = verification.clone() {
                        self.start_verification(shared, connections)?;
                    }
                    if let Some(schedule) = network.clone() {
                        self.start_network(shared, schedule)?;
                    }
                }
            }
        }
        let router = super::http::router(
            shared,
            &roles,
            Serving {
                ingest,
                public_url,
                messages,
                payout_runs,
                delivery_reports,
            },
        )?;
        self.serve(shared, listener, router);
        Ok(())
    }

    /// Keeps the snapshot of the reference data fresh.
    pub(super) fn start_reference(&mut self, shared: &Shared<'_>) {
        let refresh = reference::refresh(
            shared.platform.writer.clone(),
            Arc::clone(&shared.reference),
            shared.shutdown.clone(),
        );
        self.spawn("reference", async move {
            refresh.await;
            Ok(())
        });
    }

    fn start_stage(&mut self, shared: &Shared<'_>) -> anyhow::Result<()> {
        let Platform {
            log, clock, writer, ..
        } = shared.platform;
        let stage = Stage {
            log: Arc::clone(log),
            clicks: Arc::new(StoredClicks::new(writer.clone())),
            reference: Arc::clone(&shared.reference),
            token_keys: shared.platform.secrets()?.token_keys()?,
            clock: Arc::clone(clock),
            metrics: StageMetrics::register(&shared.registry)?,
            settings: StageSettings::default(),
        };
        let shutdown = shared.shutdown.clone();
        self.spawn("process", async move { Ok(stage.run(shutdown).await?) });
        Ok(())
    }

    fn start_ledger(
        &mut self,
        shared: &Shared<'_>,
        committed: Option<CommitObserver>,
    ) -> anyhow::Result<()> {
        let Platform {
            log, clock, writer, ..
        } = shared.platform;
        let metrics = shared.ledger.clone().context("the ledger has no metrics")?;
        let ledger = LedgerSink {
            pool: writer.clone(),
            log: Arc::clone(log),
            clock: Arc::clone(clock),
            written: Arc::clone(&shared.written),
            metrics,
            settings: LedgerSettings::default(),
            committed,
        };
        let shutdown = shared.shutdown.clone();
        self.spawn("ledger", async move { Ok(ledger.run(shutdown).await?) });
        Ok(())
    }

    fn start_relay(&mut self, shared: &Shared<'_>) {
        let Platform { log, writer, .. } = shared.platform;
        let relay = OutboxRelay::new(writer.clone(), Arc::clone(log), Arc::clone(&shared.written));
        let shutdown = shared.shutdown.clone();
        self.spawn("relay", async move {
            relay.run(shutdown).await;
            Ok(())
        });
    }

    fn start_analytics(&mut self, shared: &Shared<'_>) -> anyhow::Result<()> {
        let Platform {
            log,
            clock,
            writer,
            clickhouse,
            ..
        } = shared.platform;
        let Some(client) = clickhouse.client() else {
            return Ok(());
        };
        let analytics = AnalyticsSink::new(
            Arc::clone(log),
            Arc::clone(clock),
            client,
            writer.clone(),
            AnalyticsMetrics::register(&shared.registry)?,
            AnalyticsSettings {
                cluster: shared.platform.clickhouse_cluster.clone(),
                ..AnalyticsSettings::default()
            },
        );
        let shutdown = shared.shutdown.clone();
        self.spawn(
            "analytics",
            async move { Ok(analytics.run(shutdown).await?) },
        );
        Ok(())
    }

    fn start_dispatcher(
        &mut self,
        shared: &Shared<'_>,
        config: PayoutsConfig,
        messages: Arc<dyn SmsGateway>,
    ) -> anyhow::Result<()> {
        let Platform {
            log, clock, writer, ..
        } = shared.platform;
        let notices = Notices::new(
            writer.clone(),
            Arc::clone(log),
            Arc::clone(clock),
            config.messages.notices,
            &shared.registry,
        )?;
        let shutdown = shared.shutdown.clone();
        self.spawn("notices", async move { Ok(notices.run(shutdown).await?) });
        let dispatcher = Dispatcher::new(
            writer.clone(),
            Arc::clone(log),
            messages,
            Arc::clone(clock),
            &shared.registry,
            config,
        )?;
        let shutdown = shared.shutdown.clone();
        self.spawn(
            "dispatch",
            async move { Ok(dispatcher.run(shutdown).await?) },
        );
        Ok(())
    }

    /// What happens without being asked for; each job takes an advisory lock, so that any number
    /// of instances may.
    fn start_schedules(
        &mut self,
        shared: &Shared<'_>,
        payouts: Option<(PayoutRuns, PayoutSchedule)>,
        periods: Periods,
    ) -> anyhow::Result<()> {
        let Platform { clock, writer, .. } = shared.platform;
        self.start_healing(shared)?;
        let audit = schedules::Audit::new(shared.auditor(), &shared.registry)?;
        let shutdown = shared.shutdown.clone();
        self.spawn("audit", async move {
            audit.run(shutdown).await;
            Ok(())
        });
        let retention = schedules::Retention {
            pool: shared.platform.operator()?.clone(),
            clickhouse: shared.platform.clickhouse.client(),
            log: Arc::clone(&shared.platform.log),
            clock: Arc::clone(clock),
            periods,
        };
        let shutdown = shared.shutdown.clone();
        self.spawn("retention", async move {
            retention.run(shutdown).await;
            Ok(())
        });
        let watch = Watch::new(
            shared.platform.operator()?.clone(),
            Arc::clone(&shared.platform.log),
            Arc::clone(clock),
            &shared.registry,
        )?;
        let shutdown = shared.shutdown.clone();
        self.spawn("watch", async move {
            watch.run(shutdown).await;
            Ok(())
        });
        if let Some((runs, schedule)) = payouts {
            let (pool, clock) = (writer.clone(), Arc::clone(clock));
            let daily = schedules::Payouts::new(runs, pool, clock, schedule, &shared.registry)?;
            let shutdown = shared.shutdown.clone();
            self.spawn("payout schedule", async move {
                daily.run(shutdown).await;
                Ok(())
            });
        }
        Ok(())
    }

    /// The log folded anew once a day.
    fn start_verification(
        &mut self,
        shared: &Shared<'_>,
        connections: ScratchConnections,
    ) -> anyhow::Result<()> {
        let verification = schedules::DailyVerification::new(
            Arc::clone(&shared.platform.log),
            shared.platform.operator()?.clone(),
            Arc::clone(&shared.platform.clock),
            connections,
            &shared.registry,
        )?;
        let shutdown = shared.shutdown.clone();
        self.spawn("verification", async move {
            verification.run(shutdown).await;
            Ok(())
        });
        Ok(())
    }

    /// The network's lists, once a day.
    fn start_network(
        &mut self,
        shared: &Shared<'_>,
        schedule: NetworkSchedule,
    ) -> anyhow::Result<()> {
        let Platform {
            log, clock, writer, ..
        } = shared.platform;
        let secrets = shared.platform.secrets()?;
        let platform = schedules::NetworkPlatform {
            operator: shared.platform.operator()?.clone(),
            writer: writer.clone(),
            log: Arc::clone(log),
            clock: Arc::clone(clock),
            event_ids: shared.event_id_source()?,
            token_keys: secrets.token_keys()?,
            contacts: secrets.contacts()?,
            reference: Arc::clone(&shared.reference),
        };
        let network = schedules::Network::new(platform, schedule, &shared.registry)?;
        let shutdown = shared.shutdown.clone();
        self.spawn("network schedule", async move {
            network.run(shutdown).await;
            Ok(())
        });
        Ok(())
    }

    fn start_healing(&mut self, shared: &Shared<'_>) -> anyhow::Result<()> {
        let Platform {
            log, clock, writer, ..
        } = shared.platform;
        let healer = Healer {
            pool: writer.clone(),
            log: Arc::clone(log),
            clock: Arc::clone(clock),
            clicks: Arc::new(StoredClicks::new(writer.clone())),
            reference: Arc::clone(&shared.reference),
            token_keys: shared.platform.secrets()?.token_keys()?,
            event_ids: shared.event_id_source()?,
            metrics: HealingMetrics::register(&shared.registry)?,
            settings: HealingSettings::default(),
        };
        let shutdown = shared.shutdown.clone();
        self.spawn("healing", async move { Ok(healer.run(shutdown).await?) });
        Ok(())
    }
}
