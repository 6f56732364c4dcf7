//! `hissaback payout hold`: whether payouts are held, and letting them go on.

use std::sync::Arc;

use clap::{Args, Subcommand};
use operations::payout_hold::{self, Lifting, PastHold, PayoutHold};
use serde::Serialize;
use sqlx::PgPool;
use stream::SystemClock;

use crate::{
    commands::InstallationArguments,
    platform::{Placement, Platform, Starting},
};

/// How many holds of the past are shown.
const PAST_SHOWN: i64 = 20;

/// Arguments of `hissaback payout hold`.
#[derive(Debug, Args)]
pub struct HoldArguments {
    #[command(subcommand)]
    command: HoldCommand,
}

#[derive(Debug, Subcommand)]
enum HoldCommand {
    /// Say whether payouts are held, why, and how earlier holds ended
    Show(ShowArguments),
    /// Let payouts go on, once every money invariant holds again
    Lift(LiftArguments),
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// Print one JSON object instead of sentences
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

#[derive(Debug, Args)]
struct LiftArguments {
    /// Who decided it
    #[arg(long, value_name = "NAME")]
    operator: String,
    /// Why: it stays in the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Even while an invariant is broken: payouts go on until more rows offend against it
    #[arg(long)]
    anyway: bool,
    /// Print one JSON object instead of a sentence
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// What `show --json` prints.
#[derive(Debug, Serialize)]
struct Shown {
    open: Option<PayoutHold>,
    past: Vec<PastHold>,
}

/// Shows or lifts the hold; of embedded data, which no other process may have open.
///
/// # Errors
/// When there is no hold to lift, an invariant is still broken, or the data can't be read.
pub async fn run(arguments: HoldArguments) -> anyhow::Result<()> {
    let installation = match &arguments.command {
        HoldCommand::Show(ShowArguments { installation, .. })
        | HoldCommand::Lift(LiftArguments { installation, .. }) => installation,
    };
    let configuration = installation.configuration()?;
    let placement = Placement::of_command(&configuration, installation.data_dir())?;
    let clock = Arc::new(SystemClock);
    let platform = Platform::start(&placement, clock, &Starting::at_once()).await?;
    let operator = platform.operator()?;
    let text = match arguments.command {
        HoldCommand::Show(arguments) => show(operator, arguments.json).await,
        HoldCommand::Lift(arguments) => lift(operator, &platform, arguments).await,
    };
    platform.stop().await?;
    println!("{}", text?);
    Ok(())
}

async fn show(operator: &PgPool, json: bool) -> anyhow::Result<String> {
    let shown = Shown {
        open: payout_hold::open(&mut *operator.acquire().await?).await?,
        past: payout_hold::past(operator, PAST_SHOWN).await?,
    };
    if json {
        return Ok(serde_json::to_string_pretty(&shown)?);
    }
    let mut lines = Vec::new();
    match &shown.open {
        None => lines.push("payouts are not held".to_owned()),
        Some(hold) => {
            lines.push(hold.to_string());
            let rows = hold.offending_rows.as_array();
            lines.extend(rows.into_iter().flatten().map(|row| format!("     {row}")));
        }
    }
    lines.extend(shown.past.iter().map(|hold| {
        format!(
            "{}: {} ({} rows), lifted {} by {}: {}",
            hold.raised_at,
            hold.invariant,
            hold.figure,
            hold.lifted_at,
            hold.lifted_by,
            hold.reason
        )
    }));
    Ok(lines.join("\n"))
}

async fn lift(
    operator: &PgPool,
    platform: &Platform,
    arguments: LiftArguments,
) -> anyhow::Result<String> {
    let lifting = Lifting {
        author: arguments.operator,
        reason: arguments.reason,
        anyway: arguments.anyway,
    };
    let lifted = payout_hold::lift(operator, &*platform.log, &lifting).await?;
    if arguments.json {
        return Ok(serde_json::to_string_pretty(&lifted)?);
    }
    let accepted = lifted
        .accepted
        .iter()
        .map(|(invariant, figure)| format!("\nstill broken: {invariant} ({figure} rows)"));
    let raised_at = lifted.hold.raised_at;
    Ok(format!(
        "the hold of {raised_at} is lifted: payouts go on{}",
        accepted.collect::<String>()
    ))
}
