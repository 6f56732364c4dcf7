//! For commands that append to the log and want to see it folded: a platform, with the roles that
//! fold where nobody else does.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use operations::caught_up;
use stream::SystemClock;

use super::{InstallationArguments, serving};
use crate::{
    platform::{LogPlace, Placement, Platform, Starting},
    roles::{Role, RoleOptions, Roles},
};

/// How long the ledger may take to fold what was appended.
const PATIENCE: Duration = Duration::from_hours(1);

/// Runs `work` over an installation. Over the embedded data, which no other process may have open,
/// all roles run meanwhile; over servers those do that run anyway.
///
/// # Errors
/// The work's, a role's, or the platform's.
pub async fn run(
    installation: &InstallationArguments,
    work: impl AsyncFnOnce(&Platform, &Roles) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let configuration = installation.configuration()?;
    let placement = Placement::of_command(&configuration, installation.data_dir())?;
    let clock = Arc::new(SystemClock);
    let platform = Platform::start(&placement, clock, &Starting::at_once()).await?;
    let roles = match &placement.log {
        LogPlace::Embedded => Role::ALL.into(),
        // Whoever else follows the log folds what is appended to it.
        LogPlace::Kafka(_) => [Role::Ingest].into(),
    };
    let options = RoleOptions {
        roles,
        // Nobody calls; the roles are wanted for what is behind it.
        listener: serving::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?,
        ingest: ingest::Settings::default(),
        public_url: configuration.http.public_url()?,
        payouts: None,
        payout_schedule: None,
        messages: None,
        retention: configuration.retention.periods()?,
        delivery_reports: None,
        verification: None,
        network: None,
        committed: None,
    };
    let roles = Roles::start(&platform, options).await?;
    let outcome = tokio::select! {
        outcome = work(&platform, &roles) => outcome,
        error = roles.failed() => Err(error),
    };
    let stopped = roles.stop().await;
    outcome.and(stopped).and(platform.stop().await)
}

/// Waits until the ledger has folded what the log holds.
///
/// # Errors
/// When it hasn't within an hour, or log or ledger can't be read.
pub async fn folded(platform: &Platform) -> anyhow::Result<()> {
    let log = platform.log.as_ref();
    Ok(caught_up::wait_until_caught_up(log, &platform.writer, PATIENCE).await?)
}
