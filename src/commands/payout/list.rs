//! `hissaback payout list`, `show`.

use anyhow::Context;
use clap::Args;
use operations::payouts::listing::{self, Filter, Listed, Shown};
use processors::rules::payouts::PayoutState;
use schemas::{PayoutId, TenantId};

use crate::commands::InstallationArguments;

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// In this state only: queued, sending, funded, cancelled, error_soft, error_hard
    #[arg(long, value_parser = state)]
    state: Option<PayoutState>,
    /// Of this tenant only
    #[arg(long)]
    tenant: Option<TenantId>,
    /// At most so many, the oldest first
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
    /// Print one JSON array instead of the table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// The payout
    payout_id: PayoutId,
    /// Print one JSON object instead of the text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

fn state(text: &str) -> Result<PayoutState, String> {
    let known = PayoutState::ALL.into_iter();
    let names = known.clone().map(PayoutState::name).collect::<Vec<_>>();
    known
        .into_iter()
        .find(|state| state.name() == text)
        .ok_or_else(|| format!("{text:?} is none of {}", names.join(", ")))
}

/// Payouts, each with what it waits for and what can be done.
pub(super) async fn list(arguments: ListArguments) -> anyhow::Result<()> {
    let platform = super::platform(&arguments.installation).await?;
    let filter = Filter {
        state: arguments.state,
        tenant_id: arguments.tenant,
        payout_id: None,
        count_max: arguments.limit,
    };
    let listed = match platform.operator() {
        Ok(operator) => listing::list(operator, &filter).await.map_err(Into::into),
        Err(error) => Err(error),
    };
    platform.stop().await?;
    let listed = listed?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&listed)?);
    } else if listed.is_empty() {
        println!("no such payout");
    } else {
        listed.iter().for_each(line);
    }
    Ok(())
}

fn line(payout: &Listed) {
    println!(
        "{}  {:10}  {:>10} {}  {}",
        payout.payout_id, payout.state, payout.amount, payout.currency, payout.way_on
    );
}

/// One payout with its steps and claims.
pub(super) async fn show(arguments: ShowArguments) -> anyhow::Result<()> {
    let platform = super::platform(&arguments.installation).await?;
    let payout_id = arguments.payout_id;
    let shown = match platform.operator() {
        Ok(operator) => listing::show(operator, payout_id).await.map_err(Into::into),
        Err(error) => Err(error),
    };
    platform.stop().await?;
    let shown: Option<Shown> = shown?;
    let shown = shown.with_context(|| format!("there is no payout {payout_id}"))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&shown)?);
    } else {
        print(&shown);
    }
    Ok(())
}

fn print(shown: &Shown) {
    let payout = &shown.payout;
    line(payout);
    println!(
        "tenant {}, payee {}, as of {}",
        payout.tenant_id, payout.user_id, payout.as_of
    );
    let doubt = if payout.doubtful {
        "; a card may exist"
    } else {
        ""
    };
    println!(
        "request {} by {}, {} attempts{doubt}",
        shown.creation_request_id, payout.method, payout.attempts
    );
    for step in &shown.steps {
        let detail = step.detail.as_deref().unwrap_or_default();
        println!(
            "{}  {:10}  attempt {}  {detail}",
            step.at, step.step, step.attempt
        );
    }
    for item in &shown.items {
        println!(
            "pays {} {} of claim {}",
            item.amount, payout.currency, item.claim
        );
    }
}
