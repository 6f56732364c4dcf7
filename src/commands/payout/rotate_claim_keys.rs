//! `hissaback payout rotate-claim-keys`.

use anyhow::ensure;
use clap::Args;
use indicatif::ProgressBar;
use sinks::payouts::{CHANNEL, Store, store::Rotation};

use crate::{commands::InstallationArguments, platform::Platform};

#[derive(Debug, Args)]
pub(super) struct RotateArguments {
    /// Print one JSON object instead of a sentence
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Puts stored claim codes under the newest of the keys in the secrets. It may run beside
/// dispatchers, be broken off, and be repeated.
pub(super) async fn run(arguments: RotateArguments) -> anyhow::Result<()> {
    let platform = super::platform(&arguments.installation).await?;
    let rotated = rotate(&platform, arguments.json).await;
    platform.stop().await?;
    let rotation = rotated?;
    if arguments.json {
        println!("{}", serde_json::to_string(&rotation)?);
    } else {
        println!("{}", sentence(rotation));
    }
    ensure!(
        rotation.left == 0,
        "{} claim codes are still under older keys: keep those, and repeat this",
        rotation.left
    );
    Ok(())
}

async fn rotate(platform: &Platform, quiet: bool) -> anyhow::Result<Rotation> {
    let ring = platform.secrets()?.claim_code_keys()?;
    let progress = if quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::new_spinner()
    };
    let store = Store::new(platform.writer.clone(), CHANNEL);
    let rotation = store
        .rotate_claim_codes(&ring, |so_far| {
            progress.set_message(sentence(so_far));
            progress.tick();
        })
        .await?;
    progress.finish_and_clear();
    Ok(rotation)
}

fn sentence(rotation: Rotation) -> String {
    let Rotation {
        key_id,
        rewrapped,
        unreadable,
        left: _,
    } = rotation;
    format!("{rewrapped} claim codes were put under key {key_id}; {unreadable} could not be opened")
}
