//! `hissaback replay`: the log folded again, and held against the ledger; and what follows from a
//! difference.

use std::sync::{Arc, Mutex};

use anyhow::ensure;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use operations::{
    commands::Commands,
    corrections::{self, Proposal},
    event_ids::EventIdSource,
    replay::{Bound, Progress, Replay, ReplayReport, ReplaySettings, Span},
};
use schemas::{TenantId, event_id::EventIds};
use serde_json::json;
use sinks::ledger::{instances::InstanceLease, reference};
use stream::SystemClock;
use tokio_util::sync::CancellationToken;

use super::InstallationArguments;
use crate::platform::{Placement, Platform, Starting};

/// Proposals shown.
const PROPOSALS_MAX: i64 = 50;

/// Arguments of `hissaback replay`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ReplayArguments {
    #[command(subcommand)]
    command: Option<ReplayCommand>,
    #[command(flatten)]
    history: HistoryArguments,
    /// Take decisions as they stand in the log, and only fold them again
    #[arg(long)]
    recorded_decisions: bool,
    /// Differences shown one by one; all are counted
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    shown: usize,
    /// Propose corrections for what differs, which another operator has to approve
    #[arg(long, requires_all = ["operator", "reason"])]
    propose: bool,
    /// Who proposes
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Subcommand)]
enum ReplayCommand {
    /// Approve a proposal of another operator: its corrections are given as commands
    Approve(ApproveArguments),
    /// List proposals, newest first
    Proposals(ProposalsArguments),
}

#[derive(Debug, Args)]
struct ApproveArguments {
    /// Number of the proposal
    proposal: i64,
    /// Its hash, or the first 8 characters and more: what is approved is what was looked at
    #[arg(long)]
    sha256: String,
    /// Who approves; not who proposed it
    #[arg(long, value_name = "NAME")]
    operator: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

#[derive(Debug, Args)]
struct ProposalsArguments {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Which part of history, and how it is read.
#[derive(Debug, Args)]
pub struct HistoryArguments {
    /// Where the span begins: a time, or a position such as conversions/3/1200 [default: the
    /// log's beginning]
    #[arg(long, value_name = "TIME|POSITION")]
    from: Option<Bound>,
    /// Where it ends, not included [default: what the ledger has applied]
    #[arg(long, value_name = "TIME|POSITION")]
    to: Option<Bound>,
    /// Only this tenant's claims
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Records read in a second at most
    #[arg(long, value_name = "RECORDS")]
    rate: Option<u32>,
    /// Memory for reports, in MiB; a log that needs more is read several times
    #[arg(long, value_name = "MIB", default_value_t = 4_096)]
    memory: u64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Of which installation.
    #[command(flatten)]
    pub installation: InstallationArguments,
}

impl HistoryArguments {
    /// As a replay takes them.
    pub fn settings(&self) -> ReplaySettings {
        ReplaySettings {
            span: Span {
                from: self.from,
                to: self.to,
            },
            tenant: self.tenant,
            records_per_second: self.rate,
            memory_bytes: self.memory << 20,
            ..ReplaySettings::default()
        }
    }

    /// Shows how far the log was read, unless a program reads what is printed.
    pub fn progress(&self) -> ProgressBar {
        progress_bar(self.json)
    }
}

/// A bar with rate and estimate.
pub fn progress_bar(json: bool) -> ProgressBar {
    let target = if json {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr_with_hz(5)
    };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    let template = "{elapsed:>4} {bar:32} {percent}%, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Shows a replay's progress.
pub fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.total);
    bar.set_position(progress.records);
}

/// Log, ledger and rules, as a replay reads them.
///
/// # Errors
/// When the rules can't be read.
pub async fn replay_over(platform: &Platform) -> anyhow::Result<Replay> {
    let pool = platform.operator()?.clone();
    Ok(Replay {
        log: Arc::clone(&platform.log),
        reference: Arc::new(reference::load(&platform.writer).await?),
        pool,
    })
}

/// Opens log and ledger, and nothing else: no key is at hand.
///
/// # Errors
/// When one of them can't be used.
pub async fn clean_room(installation: &InstallationArguments) -> anyhow::Result<Platform> {
    let configuration = installation.configuration()?;
    let placement = Placement::of_clean_room(&configuration, installation.data_dir())?;
    Platform::start(&placement, Arc::new(SystemClock), &Starting::at_once()).await
}

/// Replays and compares; or approves, or lists.
///
/// # Errors
/// When log and ledger can't be compared, or differ.
pub async fn run(arguments: ReplayArguments) -> anyhow::Result<()> {
    match &arguments.command {
        None => compare(&arguments).await,
        Some(ReplayCommand::Approve(arguments)) => approve(arguments).await,
        Some(ReplayCommand::Proposals(arguments)) => list(arguments).await,
    }
}

async fn compare(arguments: &ReplayArguments) -> anyhow::Result<()> {
    let history = &arguments.history;
    let platform = clean_room(&history.installation).await?;
    let outcome = compare_over(arguments, &platform).await;
    platform.stop().await?;
    let (report, proposal) = outcome?;
    if history.json {
        let output = json!({ "replay": report, "proposal": proposal });
        println!("{output:#}");
    } else {
        print!("{report}");
        if let Some(proposal) = &proposal {
            print_proposal(proposal);
        }
    }
    ensure!(report.equal, "the ledger isn't what the log says");
    Ok(())
}

async fn compare_over(
    arguments: &ReplayArguments,
    platform: &Platform,
) -> anyhow::Result<(ReplayReport, Option<Proposal>)> {
    let settings = ReplaySettings {
        recorded_decisions: arguments.recorded_decisions,
        shown_max: arguments.shown,
        ..arguments.history.settings()
    };
    let replay = replay_over(platform).await?;
    let bar = arguments.history.progress();
    let report = replay
        .compare(&settings, &|progress| show(&bar, progress))
        .await;
    bar.finish_and_clear();
    let report = report?;
    let (Some(operator), Some(reason), true) =
        (&arguments.operator, &arguments.reason, arguments.propose)
    else {
        return Ok((report, None));
    };
    let pool = platform.operator()?;
    let proposal = corrections::propose(pool, &report, operator, reason).await?;
    Ok((report, Some(proposal)))
}

async fn approve(arguments: &ApproveArguments) -> anyhow::Result<()> {
    let platform = clean_room(&arguments.installation).await?;
    let outcome = approve_over(arguments, &platform).await;
    platform.stop().await?;
    let proposal = outcome?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&proposal)?);
    } else {
        print_proposal(&proposal);
    }
    Ok(())
}

async fn approve_over(
    arguments: &ApproveArguments,
    platform: &Platform,
) -> anyhow::Result<Proposal> {
    let lease = InstanceLease::take(platform.writer.clone()).await?;
    let ids = Arc::new(Mutex::new(EventIds::new(lease.instance())?));
    let event_ids = EventIdSource::new(ids, Arc::clone(&platform.clock));
    let commands = Commands::new(
        Arc::clone(&platform.log),
        Arc::clone(&platform.clock),
        event_ids,
    );
    let done = CancellationToken::new();
    let approved = async {
        let (pool, number) = (platform.operator()?, arguments.proposal);
        let (sha256, operator) = (&arguments.sha256, &arguments.operator);
        let approved = corrections::approve(pool, &commands, number, sha256, operator).await;
        done.cancel();
        anyhow::Ok(approved?)
    };
    // Ids are drawn while the number is ours, and no longer.
    let (approved, held) = tokio::join!(approved, lease.hold(done.clone()));
    held?;
    approved
}

async fn list(arguments: &ProposalsArguments) -> anyhow::Result<()> {
    let platform = clean_room(&arguments.installation).await?;
    let listed = corrections::list(platform.operator()?, PROPOSALS_MAX).await;
    platform.stop().await?;
    let proposals = listed?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&proposals)?);
        return Ok(());
    }
    for proposal in &proposals {
        print_proposal(proposal);
    }
    if proposals.is_empty() {
        println!("no corrections were proposed");
    }
    Ok(())
}

fn print_proposal(proposal: &Proposal) {
    let Proposal {
        proposal_id,
        proposed_by,
        reason,
        extent,
        sha256,
        ..
    } = proposal;
    println!("proposal {proposal_id} by {proposed_by}: {reason}");
    println!(
        "  {} claims of {} tenants; sha256 {sha256}",
        extent.claims,
        extent.tenants.len()
    );
    for (currency, moved) in &extent.moved {
        println!(
            "  {currency}: {} more and {} less is booked",
            moved.more, moved.less
        );
    }
    match (&proposal.approved_by, proposal.applied_at) {
        (Some(operator), Some(at)) => println!("  approved by {operator}, in the log since {at}"),
        (Some(operator), None) => {
            println!("  approved by {operator}, not all in the log: approve it again");
        }
        (None, _) => println!(
            "  waits: hissaback replay approve {proposal_id} --sha256 {} --operator NAME",
            &sha256[..12]
        ),
    }
}
