//! `hissaback unmatched`: reports without a claim.

use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand, ValueEnum};
use operations::{
    commands::Commands,
    event_ids::EventIdSource,
    unmatched::{self, Filter, State, UnmatchedReport},
};
use schemas::{
    ClickId, NetworkId, Position, Timestamp,
    event_id::EventIds,
    events::{CommandBody, MatchByHand},
};
use sinks::ledger::instances::InstanceLease;
use stream::SystemClock;
use tokio_util::sync::CancellationToken;

use super::{InstallationArguments, timestamp};
use crate::platform::{Placement, Platform, Starting};

/// Arguments of `hissaback unmatched`.
#[derive(Debug, Args)]
pub struct UnmatchedArguments {
    #[command(subcommand)]
    command: UnmatchedCommand,
}

#[derive(Debug, Subcommand)]
enum UnmatchedCommand {
    /// List them, in the order of their positions
    List(ListArguments),
    /// Show one with what was decided on it and its bytes
    Show(ShowArguments),
    /// Match one to a click by hand: a command in the log, which healing carries out
    Match(MatchArguments),
    /// Give one up: it leaves the list, and is healed should its click turn up after all
    Discard(DiscardArguments),
}

#[derive(Debug, Args)]
struct ListArguments {
    /// What they wait for
    #[arg(long, value_enum, default_value = "parked")]
    state: StateArgument,
    /// Only for this reason, such as unknown_click
    #[arg(long)]
    why: Option<String>,
    /// Only of this network instance
    #[arg(long)]
    network: Option<NetworkId>,
    /// Received at or after this, RFC 3339
    #[arg(long, value_parser = timestamp)]
    from: Option<Timestamp>,
    /// Received before this, RFC 3339
    #[arg(long, value_parser = timestamp)]
    to: Option<Timestamp>,
    /// After this one: the last of the page before
    #[arg(long)]
    after: Option<Position>,
    /// How many at most
    #[arg(long, default_value_t = 100)]
    limit: i64,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateArgument {
    Parked,
    Ignored,
    DeadLettered,
    Healed,
    Discarded,
    All,
}

impl StateArgument {
    fn state(self) -> Option<State> {
        match self {
            Self::Parked => Some(State::Parked),
            Self::Ignored => Some(State::Ignored),
            Self::DeadLettered => Some(State::DeadLettered),
            Self::Healed => Some(State::Healed),
            Self::Discarded => Some(State::Discarded),
            Self::All => None,
        }
    }
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// Its record, such as conversions/3/1042
    position: Position,
    #[command(flatten)]
    installation: InstallationArguments,
}

#[derive(Debug, Args)]
struct MatchArguments {
    /// Its record, such as conversions/3/1042
    position: Position,
    /// The click that it belongs to
    #[arg(long)]
    click: ClickId,
    #[command(flatten)]
    decision: DecisionArguments,
}

#[derive(Debug, Args)]
struct DiscardArguments {
    /// Its record, such as conversions/3/1042
    position: Position,
    #[command(flatten)]
    decision: DecisionArguments,
}

#[derive(Debug, Args)]
struct DecisionArguments {
    /// Why
    #[arg(long)]
    reason: String,
    /// Who decided it
    #[arg(long, default_value = "operator")]
    author: String,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Lists, shows, matches or discards, over the embedded data, which no other process may have
/// open; or over servers, while the roles run.
///
/// # Errors
/// When there is no such report, nobody says why, or a store fails.
pub async fn run(arguments: UnmatchedArguments) -> anyhow::Result<()> {
    let command = arguments.command;
    let installation = match &command {
        UnmatchedCommand::List(arguments) => &arguments.installation,
        UnmatchedCommand::Show(arguments) => &arguments.installation,
        UnmatchedCommand::Match(arguments) => &arguments.decision.installation,
        UnmatchedCommand::Discard(arguments) => &arguments.decision.installation,
    };
    let configuration = installation.configuration()?;
    let placement = Placement::of_command(&configuration, installation.data_dir())?;
    let clock = Arc::new(SystemClock);
    let platform = Platform::start(&placement, clock, &Starting::at_once()).await?;
    let outcome = match &command {
        UnmatchedCommand::List(arguments) => list(&platform, arguments).await,
        UnmatchedCommand::Show(arguments) => show(&platform, arguments.position).await,
        UnmatchedCommand::Match(arguments) => match_by_hand(&platform, arguments).await,
        UnmatchedCommand::Discard(arguments) => discard(&platform, arguments).await,
    };
    outcome.and(platform.stop().await)
}

async fn list(platform: &Platform, arguments: &ListArguments) -> anyhow::Result<()> {
    let filter = Filter {
        state: arguments.state.state(),
        reason: arguments.why.clone(),
        network_id: arguments.network,
        from: arguments.from,
        to: arguments.to,
        after: arguments.after,
        limit: arguments.limit,
    };
    let reports = unmatched::list(platform.operator()?, filter).await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
        return Ok(());
    }
    for report in &reports {
        print(report);
    }
    println!("{} reports", reports.len());
    Ok(())
}

fn print(report: &UnmatchedReport) {
    let next = report
        .next_try_at
        .map_or_else(|| "by hand only".to_owned(), |at| format!("next try {at}"));
    println!(
        "{} {} network {}: {} ({}), {} tries, {next}",
        report.position,
        report.received_at,
        report.network_id,
        report.reason.escape_debug(),
        report.state.name(),
        report.tries,
    );
}

async fn show(platform: &Platform, position: Position) -> anyhow::Result<()> {
    let shown = unmatched::show(platform.operator()?, platform.log.as_ref(), position).await?;
    let shown = shown.with_context(|| format!("no report without a claim stands at {position}"))?;
    println!("{}", serde_json::to_string_pretty(&shown)?);
    Ok(())
}

async fn match_by_hand(platform: &Platform, arguments: &MatchArguments) -> anyhow::Result<()> {
    let MatchArguments {
        position,
        click,
        decision,
    } = arguments;
    let shown = unmatched::show(platform.operator()?, platform.log.as_ref(), *position).await?;
    let shown = shown.with_context(|| format!("no report without a claim stands at {position}"))?;
    let state = shown.report.state;
    ensure!(
        matches!(state, State::Parked | State::Healed | State::Discarded),
        "{position} is {}: a click wouldn't help it",
        state.name()
    );
    let lease = InstanceLease::take(platform.writer.clone()).await?;
    let ids = EventIds::new(lease.instance())?;
    let held = CancellationToken::new();
    let holding = tokio::spawn(lease.hold(held.clone()));
    let clock = Arc::clone(&platform.clock);
    let ids = EventIdSource::new(Arc::new(std::sync::Mutex::new(ids)), Arc::clone(&clock));
    let body = CommandBody::MatchByHand(MatchByHand {
        report: *position,
        click_id: *click,
    });
    let commands = Commands::new(Arc::clone(&platform.log), clock, ids);
    let given = commands
        .give(&decision.author, &decision.reason, body)
        .await;
    held.cancel();
    holding.await.context("the instance's lease panicked")??;
    println!(
        "command {}: healing matches {position} to click {click} as soon as it runs",
        given?.command_id
    );
    Ok(())
}

async fn discard(platform: &Platform, arguments: &DiscardArguments) -> anyhow::Result<()> {
    let DiscardArguments { position, decision } = arguments;
    let (author, reason) = (&decision.author, &decision.reason);
    let gone = unmatched::discard(platform.operator()?, *position, author, reason).await?;
    ensure!(
        gone,
        "no report that isn't given up yet is parked at {position}"
    );
    println!("{position} is given up");
    Ok(())
}
