//! `hissaback verify`: the proof of replay.

use std::sync::Arc;

use anyhow::ensure;
use clap::Args;
use operations::verification::{Scratch, Verification, VerifyReport, VerifySettings};

use super::{
    InstallationArguments,
    replay::{clean_room, progress_bar},
};
use crate::platform::Platform;

/// Arguments of `hissaback verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Partitions that each topic is folded from: any number but the log's own shows most
    #[arg(long, value_name = "NUMBER", default_value_t = 7)]
    partitions: i32,
    /// Most records in a batch
    #[arg(long, value_name = "RECORDS", default_value_t = 700)]
    batch: usize,
    /// Decides the order of partitions and the length of batches
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Folds the log into a second, empty ledger, and compares the two.
///
/// # Errors
/// When that can't be done, or the two differ.
pub async fn run(arguments: VerifyArguments) -> anyhow::Result<()> {
    let platform = clean_room(&arguments.installation).await?;
    let outcome = verify_over(&arguments, &platform).await;
    platform.stop().await?;
    let report = outcome?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    ensure!(report.equal, "the log folded anew isn't the ledger");
    Ok(())
}

async fn verify_over(
    arguments: &VerifyArguments,
    platform: &Platform,
) -> anyhow::Result<VerifyReport> {
    let configuration = arguments.installation.configuration()?;
    let bar = progress_bar(arguments.json);
    let settings = VerifySettings {
        partitions: arguments.partitions,
        batch_records_max: arguments.batch,
        seed: arguments.seed,
        ..VerifySettings::default()
    };
    let ledger = platform.operator()?.clone();
    let scratch = Scratch::make(&ledger, platform.scratch(&configuration)?).await?;
    let verification = Verification {
        log: Arc::clone(&platform.log),
        ledger,
        scratch: scratch.pool.clone(),
        clock: Arc::clone(&platform.clock),
    };
    let told = |applied, total| {
        bar.set_length(total);
        bar.set_position(applied);
    };
    let report = verification.verify(&settings, &told).await;
    bar.finish_and_clear();
    scratch.drop().await?;
    Ok(report?)
}
