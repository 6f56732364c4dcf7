//! `hissaback payout funds`, `reconcile`: what the gift-card service says.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;
use operations::payouts::reconciliation::{Reconciler, Reconciliation};
use schemas::Timestamp;
use serde_json::json;
use sinks::payouts::{
    CHANNEL, PayoutsConfig, Store,
    agcod::{AgcodClient, Funds},
    store::rates::CallRate,
};

use crate::{commands::InstallationArguments, platform::Platform};

#[derive(Debug, Args)]
pub(super) struct FundsArguments {
    /// Print one JSON object instead of a sentence
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

#[derive(Debug, Args)]
pub(super) struct ReconcileArguments {
    /// From this time on, RFC 3339
    #[arg(long, value_parser = timestamp)]
    from: Timestamp,
    /// Before this time, RFC 3339
    #[arg(long, value_parser = timestamp)]
    to: Timestamp,
    /// Print one JSON object instead of the report
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

pub(super) fn timestamp(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
        .ok_or_else(|| format!("{text:?} is not a time such as 2026-11-20T00:00:00Z"))
}

pub(super) fn config(
    installation: &InstallationArguments,
    platform: &Platform,
) -> anyhow::Result<PayoutsConfig> {
    let configuration = installation.configuration()?;
    let agcod = configuration.agcod.as_ref();
    let agcod = agcod.context("no gift-card account is configured: fill in [agcod]")?;
    Ok(agcod.payouts(&configuration.messages, platform.secrets()?)?)
}

/// What is left of the prepaid funds, and what is to be paid of them.
pub(super) async fn funds(arguments: FundsArguments) -> anyhow::Result<()> {
    let platform = super::platform(&arguments.installation).await?;
    let asked = ask(&arguments, &platform).await;
    platform.stop().await?;
    let (funds, unpaid) = asked?;
    if arguments.json {
        let funds = json!({
            "funds": funds.amount, "currency": funds.currency.to_string(), "unpaid": unpaid
        });
        println!("{funds}");
    } else {
        let currency = funds.currency;
        println!(
            "{} {currency} left; payouts on their way ask for {unpaid}",
            funds.amount
        );
    }
    Ok(())
}

async fn ask(
    arguments: &FundsArguments,
    platform: &Platform,
) -> anyhow::Result<(Funds, schemas::Amount)> {
    let config = config(&arguments.installation, platform)?;
    let store = Store::new(platform.writer.clone(), CHANNEL);
    let client = AgcodClient::new(&config.agcod)?;
    let rate = CallRate::per_second(config.limits.calls_per_second);
    store.wait_to_ask_for_funds(rate).await?;
    let funds = match client.available_funds(platform.clock.now()).await? {
        Ok(funds) => funds,
        Err(failure) => bail!("the service doesn't say: {}", failure.detail().as_str()),
    };
    store.note_funds(funds).await?;
    let standing = store.standing(platform.clock.now()).await?;
    Ok((funds, standing.unpaid))
}

/// Compares a span's payouts with what the service did; changes nothing.
pub(super) async fn reconcile(arguments: ReconcileArguments) -> anyhow::Result<()> {
    let platform = super::platform(&arguments.installation).await?;
    let compared = compare(&arguments, &platform).await;
    platform.stop().await?;
    let report = compared?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    let count = report.findings.len();
    ensure!(
        count == 0,
        "{count} differences between payouts and the gift-card service"
    );
    Ok(())
}

async fn compare(
    arguments: &ReconcileArguments,
    platform: &Platform,
) -> anyhow::Result<Reconciliation> {
    let config = config(&arguments.installation, platform)?;
    let reconciler = Reconciler {
        pool: platform.writer.clone(),
        rate: CallRate::per_second(config.limits.calls_per_second),
        account: config.agcod,
        clock: Arc::clone(&platform.clock),
    };
    Ok(reconciler.compare(arguments.from, arguments.to).await?)
}

fn print(report: &Reconciliation) {
    println!(
        "{} to {}: {} cards agree, {} in sum",
        report.from, report.to, report.agreeing, report.agreeing_amount
    );
    for finding in &report.findings {
        let payout = finding.payout_id.as_deref().unwrap_or("no payout");
        let state = finding.state.as_deref().unwrap_or("unknown");
        println!(
            "{}: request {}, {payout} ({state}): {}",
            finding.kind.name(),
            finding.creation_request_id,
            finding.way_on
        );
    }
}
