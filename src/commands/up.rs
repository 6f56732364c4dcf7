//! `hissaback up`: every role in one process, over embedded services.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context;
use clap::Args;
use sinks::payouts::sms::FileSmsGateway;
use stream::SystemClock;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::DataDirArgument;
use crate::{
    configuration::Configuration,
    platform::Platform,
    roles::{RoleOptions, Roles},
};

/// Arguments of `hissaback up`.
#[derive(Debug, Args)]
pub struct UpArguments {
    /// Where to listen; overrides the configuration's http.listen [default: 127.0.0.1:8080]
    #[arg(long)]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    data_dir: DataDirArgument,
    /// Configuration file; hissaback.example.toml documents its keys
    #[arg(long)]
    config: Option<PathBuf>,
}

/// Runs until SIGTERM or SIGINT, or until a role fails.
///
/// # Errors
/// One sentence: what could not be started, or which role failed.
pub async fn run(arguments: UpArguments) -> anyhow::Result<()> {
    let configuration = Configuration::read(arguments.config.as_deref())?;
    let listener = bind(arguments.listen.unwrap_or(configuration.http.listen)).await?;
    let data_dir = arguments.data_dir.path();
    let platform = Platform::start(&data_dir, Arc::new(SystemClock)).await?;
    let payouts = match &configuration.agcod {
        Some(agcod) => {
            let sms = FileSmsGateway::open(&agcod.sms_file).with_context(|| {
                format!(
                    "the message file {} can't be opened",
                    agcod.sms_file.display()
                )
            })?;
            let sms: Arc<dyn sinks::payouts::sms::SmsGateway> = Arc::new(sms);
            Some((agcod.payouts(&platform.secrets)?, sms))
        }
        None => None,
    };
    let options = RoleOptions {
        listener,
        ingest: configuration.http.ingest_settings()?,
        payouts,
        committed: None,
    };
    let roles = Roles::start(&platform, options).await?;
    eprintln!(
        "hissaback is up on http://{} with data in {}",
        roles.address,
        data_dir.display()
    );
    let ended = tokio::select! {
        error = roles.failed() => Err(error),
        signalled = signalled() => signalled,
    };
    eprintln!("hissaback is shutting down");
    let stopped = roles.stop().await;
    ended.and(stopped).and(platform.stop().await)
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
