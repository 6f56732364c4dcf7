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
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;

use super::{Role, Roles, Shared};

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
            ingest::serve(
                listener,
                router,
                ServerLimits::default(),
                shutdown.cancelled(),
            )
            .await;
            Ok(())
        });
    }
}
