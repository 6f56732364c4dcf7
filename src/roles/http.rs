//! One port per process: health and metrics of every role, and the endpoints of those that have
//! any.

use std::{collections::BTreeSet, num::NonZeroU32, sync::Arc};

use api::{
    Api,
    auth::{BearerToken, CodeSender, Tokens},
};
use axum::Router;
use ingest::Ingest;
use operations::{
    commands::Commands,
    creator_analytics::CreatorAnalytics,
    delivery_reports::{DeliveryReports, ReportFields},
    payout_run::PayoutRuns,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use secrecy::{ExposeSecret, SecretString};
use sinks::payouts::sms::SmsGateway;
use tokio::net::TcpListener;
use web::{
    ServerLimits,
    rate_limit::{AddressLimits, CallerLimits},
};

use super::{Role, Roles, Shared, one_time_codes::OneTimeCodes};

/// Requests a minute and address on public endpoints (specification, section 4).
const REQUESTS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(100).expect("not zero");

/// How the endpoints are set up.
pub(super) struct Serving {
    pub(super) ingest: ingest::Settings,
    pub(super) public_url: String,
    pub(super) messages: Option<Arc<dyn SmsGateway>>,
    pub(super) payout_runs: Option<PayoutRuns>,
    pub(super) delivery_reports: Option<(ReportFields, SecretString)>,
}

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
    serving: Serving,
) -> anyhow::Result<Router> {
    let settings = serving.ingest.clone();
    let limits = AddressLimits::new(REQUESTS_PER_MINUTE, &shared.registry)?;
    let limits = Arc::new(limits);
    let mut router = if roles.contains(&Role::Api) {
        api::router(Arc::new(api(shared, serving, Arc::clone(&limits))?))
    } else {
        api::monitoring(shared.health(), shared.registry.clone())
    };
    if roles.contains(&Role::Ingest) {
        router = router.merge(ingest::router(ingest(shared, settings, limits)?));
    }
    Ok(api::with_request_ids(router))
}

fn api(shared: &Shared<'_>, serving: Serving, limits: Arc<AddressLimits>) -> anyhow::Result<Api> {
    let platform = shared.platform;
    let secrets = platform.secrets()?;
    let codes = serving.messages.map(OneTimeCodes::new);
    let (fields, report_secret) = serving.delivery_reports.unzip();
    Ok(Api {
        pool: platform.operator()?.clone(),
        scoped_pool: platform.api().cloned(),
        clock: Arc::clone(&platform.clock),
        contacts: secrets.contacts()?,
        codes: codes.map(|codes| Arc::new(codes) as Arc<dyn CodeSender>),
        public_url: serving.public_url,
        callers: CallerLimits::new(limits, serving.ingest.trusted_proxies),
        commands: Commands::new(
            Arc::clone(&platform.log),
            Arc::clone(&platform.clock),
            shared.event_id_source()?,
        ),
        payout_runs: serving.payout_runs,
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
            jwt: secrets.jwt_keys()?,
        },
    })
}

fn ingest(
    shared: &Shared<'_>,
    settings: ingest::Settings,
    limits: Arc<AddressLimits>,
) -> anyhow::Result<Arc<Ingest>> {
    let platform = shared.platform;
    let secrets = platform.secrets()?;
    let dependencies = ingest::Dependencies {
        log: Arc::clone(&platform.log),
        clock: Arc::clone(&platform.clock),
        reference: Arc::clone(&shared.reference),
        token_keys: secrets.token_keys()?,
        contact_key: secrets.contact_key(),
        event_ids: shared.event_ids()?,
        limits,
    };
    Ok(Ingest::new(dependencies, settings, &shared.registry)?)
}

impl Roles {
    pub(super) fn serve(&mut self, shared: &Shared<'_>, listener: TcpListener, router: Router) {
        let shutdown = shared.shutdown.clone();
        self.spawn("http", async move {
            web::serve(listener, router, server_limits(), shutdown.cancelled()).await;
            Ok(())
        });
    }
}
