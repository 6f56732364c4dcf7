//! `hissaback ledger dump --canonical`: the ledger as text, and its hash.

use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
};

use clap::Args;
use operations::canonical_dump::{self, CanonicalDump, DumpError};
use schemas::TenantId;
use sqlx::PgPool;
use stream::SystemClock;

use super::InstallationArguments;
use crate::platform::{Placement, Platform, Starting};

/// Arguments of `hissaback ledger dump`.
#[derive(Debug, Args)]
pub struct DumpArguments {
    /// In the one form there is: equal for equal histories, a line of JSON for each thing in force
    #[arg(long, required = true)]
    canonical: bool,
    /// One tenant's part only
    #[arg(long, value_name = "UUID")]
    tenant: Option<TenantId>,
    /// Print the SHA-256 alone
    #[arg(long)]
    hash: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Prints the dump to standard output and its SHA-256 to standard error, so that `sha256sum` of
/// the one says the other. Of embedded data, which no other process may have open.
///
/// # Errors
/// When the data can't be read, or the dump not be written.
pub async fn run(arguments: DumpArguments) -> anyhow::Result<()> {
    let configuration = arguments.installation.configuration()?;
    let placement = Placement::of_command(&configuration, arguments.installation.data_dir())?;
    let clock = Arc::new(SystemClock);
    let platform = Platform::start(&placement, clock, &Starting::at_once()).await?;
    let operator = platform.operator()?;
    let dumped = if arguments.hash {
        dump(operator, arguments.tenant, io::sink()).await
    } else {
        let output = BufWriter::new(io::stdout());
        dump(operator, arguments.tenant, output).await
    };
    platform.stop().await?;
    let sha256 = dumped?.sha256;
    if arguments.hash {
        println!("{sha256}");
    } else {
        eprintln!("sha256 {sha256}");
    }
    Ok(())
}

async fn dump<W: Write>(
    operator: &PgPool,
    tenant: Option<TenantId>,
    mut output: W,
) -> Result<CanonicalDump, DumpError> {
    let mut connection = operator.acquire().await?;
    canonical_dump::write(&mut connection, tenant, &mut output).await
}
