//! `hissaback up`: every role in one process.

use clap::Args;

use super::serving::{self, ServingArguments};

/// Arguments of `hissaback up`.
#[derive(Debug, Args)]
pub struct UpArguments {
    #[command(flatten)]
    serving: ServingArguments,
}

/// Runs until SIGTERM or SIGINT, or until a role fails.
///
/// # Errors
/// One sentence: what could not be started, or which role failed.
pub async fn run(arguments: UpArguments) -> anyhow::Result<()> {
    serving::serve_everything(&arguments.serving).await
}
