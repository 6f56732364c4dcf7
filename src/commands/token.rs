//! `hissaback token`: access tokens for services and for people of the platform.

use anyhow::Context;
use api::auth::{Claims, LIFETIME_SECONDS, Scope};
use clap::{Args, ValueEnum};
use stream::{Clock, SystemClock};

use super::InstallationArguments;
use crate::secrets::Secrets;

/// Arguments of `hissaback token`.
#[derive(Debug, Args)]
pub struct TokenArguments {
    #[command(flatten)]
    installation: InstallationArguments,
    /// What its bearer may do
    #[arg(long)]
    scope: ServiceScope,
    /// Who its bearer is: it stands in the commands that they give
    #[arg(long)]
    name: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ServiceScope {
    /// Operate: reviews, and everything that operators see
    Operator,
    /// Read what operators see
    Analyst,
    /// Make payout runs
    Cron,
}

impl ServiceScope {
    const fn scope(self) -> Scope {
        match self {
            Self::Operator => Scope::Operator,
            Self::Analyst => Scope::Analyst,
            Self::Cron => Scope::Cron,
        }
    }
}

/// Prints a token that counts for 24 hours.
///
/// # Errors
/// When the installation's secrets can't be read, or hold no key for access tokens.
pub fn run(arguments: &TokenArguments) -> anyhow::Result<()> {
    let source = arguments.installation.configuration()?.secrets;
    let data_dir = arguments.installation.data_dir();
    let secrets = Secrets::load(&source, Some(&data_dir))?;
    let keys = secrets.jwt_keys()?.context(
        "the secrets hold no key for access tokens: add one with `hissaback secrets FILE --rotate`",
    )?;
    let scope = arguments.scope.scope();
    let claims = Claims::new(arguments.name.clone(), scope, SystemClock.now());
    println!("{}", keys.sign(&claims));
    eprintln!("counts for {} hours", LIFETIME_SECONDS / 3_600);
    Ok(())
}
