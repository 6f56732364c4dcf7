//! Processes that serve: `up`, and every role of its own. From the first moment `/health` tells how
//! far they are; they end on SIGTERM or SIGINT, or when a role fails.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use anyhow::{Context, bail, ensure};
use axum::{Router, response::IntoResponse};
use clap::Args;
use http::{StatusCode, header};
use prometheus::Registry;
use sinks::payouts::sms::SmsGateway;
use stream::SystemClock;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    task::JoinHandle,
};
use web::ServerLimits;

use super::InstallationArguments;
use crate::{
    configuration::{Agcod, Configuration},
    embedded::ClickHouseAvailability,
    platform::{Placement, Platform, Starting, register_health},
    roles::{Role, RoleOptions, Roles},
};

/// How long whoever sends an event should wait while the process is starting.
const RETRY_AFTER_SECONDS: &str = "5";

/// Arguments of every command that serves.
#[derive(Debug, Args)]
pub struct ServingArguments {
    /// Where to listen; overrides the configuration's http.listen [default: 127.0.0.1:8080]
    #[arg(long)]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Runs every role in one process.
///
/// # Errors
/// One sentence: what could not be started, or which role failed.
pub async fn serve_everything(arguments: &ServingArguments) -> anyhow::Result<()> {
    let configuration = arguments.installation.configuration()?;
    let data_dir = arguments.installation.data_dir();
    let placement = Placement::of_everything(&configuration, data_dir)?;
    serve(
        "hissaback",
        Role::ALL.into(),
        arguments,
        &configuration,
        &placement,
    )
    .await
}

/// Runs one role as a process of its own.
///
/// # Errors
/// One sentence: what could not be started, or that the role failed.
pub async fn serve_role(role: Role, arguments: &ServingArguments) -> anyhow::Result<()> {
    let configuration = arguments.installation.configuration()?;
    let data_dir = arguments.installation.data_dir();
    let placement = Placement::of_role(role, &configuration, data_dir)?;
    ensure!(
        role != Role::Dispatch || configuration.agcod.is_some(),
        "`hissaback dispatch` makes gift cards, and there is no account to make them with: \
         configure [agcod]"
    );
    let name = format!("hissaback {role}");
    serve(&name, [role].into(), arguments, &configuration, &placement).await
}

/// Runs these roles until SIGTERM or SIGINT, or until one fails.
async fn serve(
    name: &str,
    roles: BTreeSet<Role>,
    arguments: &ServingArguments,
    configuration: &Configuration,
    placement: &Placement,
) -> anyhow::Result<()> {
    let listener = bind(arguments.listen.unwrap_or(configuration.http.listen)).await?;
    let starting = Starting::patient();
    let (listener, waiting) = WaitingServer::start(listener, &starting)?;
    let platform = tokio::select! {
        platform = Platform::start(placement, Arc::new(SystemClock), &starting) => platform?,
        signalled = signalled() => return signalled,
    };
    if let (Some(Role::Analytics), ClickHouseAvailability::Off(missing)) =
        (placement.role, &platform.clickhouse)
    {
        bail!("`hissaback analytics` has nowhere to write to: {missing}");
    }
    // From here on whoever asks waits in the listener's queue.
    waiting.stop().await?;
    let options = options(configuration, &platform, roles, listener)?;
    let roles = Roles::start(&platform, options).await?;
    let data = match &placement.data_dir {
        Some(path) => format!(" with data in {}", path.display()),
        None => String::new(),
    };
    eprintln!("{name} is up on http://{}{data}", roles.address);
    let ended = tokio::select! {
        error = roles.failed() => Err(error),
        signalled = signalled() => signalled,
    };
    eprintln!("{name} is shutting down");
    let stopped = roles.stop().await;
    ended.and(stopped).and(platform.stop().await)
}

fn options(
    configuration: &Configuration,
    platform: &Platform,
    roles: BTreeSet<Role>,
    listener: TcpListener,
) -> anyhow::Result<RoleOptions> {
    let pays = [Role::Dispatch, Role::Schedule, Role::Api]
        .iter()
        .any(|role| roles.contains(role));
    let agcod = configuration.agcod.as_ref().filter(|_| pays);
    let payouts = match agcod {
        Some(agcod) => Some(agcod.payouts(&configuration.messages, platform.secrets()?)?),
        None => None,
    };
    let messages = match agcod {
        Some(_) if roles.contains(&Role::Dispatch) => Some(configuration.messages.gateway()?),
        Some(_) | None if roles.contains(&Role::Api) => code_gateway(configuration),
        Some(_) | None => None,
    };
    Ok(RoleOptions {
        roles,
        listener,
        ingest: configuration.ingest_settings()?,
        public_url: configuration.http.public_url()?,
        payouts,
        payout_schedule: agcod.map(Agcod::schedule),
        messages,
        retention: configuration.retention.periods()?,
        delivery_reports: configuration.messages.delivery_reports(),
        verification: configuration
            .verification
            .daily
            .then(|| platform.scratch(configuration))
            .transpose()?,
        network: configuration.trackier.schedule()?,
        committed: None,
    })
}

/// Whatever one-time codes go out by. Operators and the scheduler are served without sign-in, too.
fn code_gateway(configuration: &Configuration) -> Option<Arc<dyn SmsGateway>> {
    let gateway = configuration.messages.gateway();
    gateway
        .inspect_err(|error| tracing::warn!(%error, "no codes can be sent: nobody can sign in"))
        .ok()
}

/// Serves while the services are waited for: health, metrics, and 503 to everybody else.
struct WaitingServer {
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl WaitingServer {
    /// Serves on the listener's port, and gives the listener back.
    fn start(listener: TcpListener, starting: &Starting) -> anyhow::Result<(TcpListener, Self)> {
        let listener = listener.into_std()?;
        let its_own = TcpListener::from_std(listener.try_clone()?)?;
        let registry = Registry::new();
        register_health(starting.health(), &registry)?;
        let router = waiting_router(starting, registry);
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move {
            // A sender that is gone means the same.
            let stopped = async { drop(stopped.await) };
            web::serve(its_own, router, ServerLimits::default(), stopped).await;
        });
        Ok((TcpListener::from_std(listener)?, Self { stop, server }))
    }

    /// Answers what is under way, and stops.
    async fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        Ok(self.server.await?)
    }
}

/// Whoever sends an event while nothing can take it is asked to send it again.
fn waiting_router(starting: &Starting, registry: Registry) -> Router {
    let unavailable = || {
        let retry_after = [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)];
        (StatusCode::SERVICE_UNAVAILABLE, retry_after).into_response()
    };
    api::monitoring(starting.health(), registry).fallback(async move || unavailable())
}

/// Binds the address, or says in a sentence why not.
///
/// # Errors
/// When the port is taken or the address isn't this machine's.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("can't listen on {address}: choose another with --listen, or stop what is there")
    })
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// When signals can't be listened to.
pub async fn signalled() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn while_it_starts_events_are_asked_for_again_and_health_tells_why() {
        let starting = Starting::patient();
        let router = waiting_router(&starting, Registry::new());
        for (path, wanted) in [
            ("/health", StatusCode::SERVICE_UNAVAILABLE),
            ("/metrics", StatusCode::OK),
            ("/v1/events/conversion", StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let request = Request::get(path).body(Body::empty()).expect("a request");
            let response = router.clone().oneshot(request).await.expect("answered");
            assert_eq!(response.status(), wanted, "{path}");
            let again = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(again, path.starts_with("/v1/"), "{path}");
        }
    }
}
