//! One port per process: health and metrics of every role, and the endpoints of those that have
//! any.

use std::{collections::BTreeSet, sync::Arc};

use api::{Api, BearerToken, Tokens};
use axum::Router;
use ingest::{Ingest, ServerLimits};
use operations::{
    commands::Commands,
    creator_analytics::CreatorAnalytics,
    delivery_reports::{DeliveryReports, ReportFields},
    payout_run::PayoutRuns,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;

use super::{Role, Roles, Shared};

/// Connections at a time, where there are descriptors for them: each costs some 10 KiB.
const CONNECTIONS_MAX: u64 = 16_384;
/// Descriptors that connections leave to the log's files, databases and brokers.
const DESCRIPTORS_KEPT: u64 = 1_024;
/// However few descriptors there are.
const CONNECTIONS_MIN: u64 = 64;

/// As many connections as the process may have descriptors for, and a rest: a log that can't open
/// its files since strangers hold every descriptor would take no postbacks.
fn server_limits() -> ServerLimits {
    let wanted = CONNECTIONS_MAX + DESCRIPTORS_KEPT;
    let mut limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let mut descriptors = current;
    if current < wanted {
        let raised = limit.maximum.map_or(wanted, |most| most.min(wanted));
        limit.current = Some(raised);
        match setrlimit(Resource::Nofile, limit) {
            Ok(()) => descriptors = raised,
            Err(error) => tracing::warn!(%error, "the limit on open files can't be raised"),
        }
    }
    let connections = descriptors
        .saturating_sub(DESCRIPTORS_KEPT)
        .clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
    ServerLimits {
        connections_max: usize::try_from(connections).unwrap_or(usize::MAX),
        ..ServerLimits::default()
    }
}

/// The endpoints of these roles.
pub(super) fn router(
    shared: &Shared<'_>,
    roles: &BTreeSet<Role>,
    settings: ingest::Settings,
    payout_runs: Option<PayoutRuns>,
    reports: Option<(ReportFields, SecretString)>,
) -> anyhow::Result<Router> {
    let mut router = if roles.contains(&Role::Api) {
        api::router(Arc::new(operators_api(shared, payout_runs, reports)?))
    } else {
        api::monitoring(shared.health(), shared.registry.clone())
    };
    if roles.contains(&Role::Ingest) {
        router = router.merge(ingest::router(ingest(shared, settings)?));
    }
    Ok(router)
}

fn operators_api(
    shared: &Shared<'_>,
    payout_runs: Option<PayoutRuns>,
    reports: Option<(ReportFields, SecretString)>,
) -> anyhow::Result<Api> {
    let platform = shared.platform;
    let secrets = platform.secrets()?;
    let (fields, report_secret) = reports.unzip();
    Ok(Api {
        pool: platform.operator()?.clone(),
        commands: Commands::new(
            Arc::clone(&platform.log),
            Arc::clone(&platform.clock),
            shared.event_id_source()?,
        ),
        payout_runs,
        delivery_reports: fields.map(|fields| DeliveryReports {
            pool: platform.writer.clone(),
            clock: Arc::clone(&platform.clock),
            fields,
        }),
        creator_analytics: platform
            .clickhouse
            .client()
            .map(|client| CreatorAnalytics::new(client, Arc::clone(&platform.clock))),
        auditor: shared.auditor(),
        health: shared.health(),
        registry: shared.registry.clone(),
        tokens: Tokens {
            cron: Some(BearerToken::new(&secrets.cron_token)),
            delivery_reports: report_secret.map(|secret| BearerToken::new(secret.expose_secret())),
            operator: Some(BearerToken::new(&secrets.operator_token)),
        },
    })
}

fn ingest(shared: &Shared<'_>, settings: ingest::Settings) -> anyhow::Result<Arc<Ingest>> {
    let platform = shared.platform;
    let secrets = platform.secrets()?;
    let dependencies = ingest::Dependencies {
        log: Arc::clone(&platform.log),
        clock: Arc::clone(&platform.clock),
        reference: Arc::clone(&shared.reference),
        token_keys: secrets.token_keys()?,
        contact_key: secrets.contact_key(),
        event_ids: shared.event_ids()?,
    };
    Ok(Ingest::new(dependencies, settings, &shared.registry)?)
}

impl Roles {
    pub(super) fn serve(&mut self, shared: &Shared<'_>, listener: TcpListener, router: Router) {
        let shutdown = shared.shutdown.clone();
        self.spawn("http", async move {
            ingest::serve(listener, router, server_limits(), shutdown.cancelled()).await;
            Ok(())
        });
    }
}
