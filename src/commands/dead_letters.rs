//! `hissaback dead-letters`: records that a stage could not work with.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::ensure;
use clap::{Args, Subcommand, ValueEnum};
use operations::dead_letters::{
    DeadLetter, DeadLetters, Filter, REDRIVES_MAX, RedriveOrder, RedriveSummary, State,
};
use schemas::{Position, TenantId, Timestamp, Topic};
use stream::SystemClock;

use super::{InstallationArguments, timestamp};
use crate::platform::{Placement, Platform, Starting};

/// Arguments of `hissaback dead-letters`.
#[derive(Debug, Args)]
pub struct DeadLettersArguments {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Debug, Subcommand)]
enum DeadLettersCommand {
    /// List them, newest first
    List(ListArguments),
    /// Show one with its bytes
    Show(ShowArguments),
    /// Append originals to their topics again
    Redrive(RedriveArguments),
    /// Give up
    Discard(DiscardArguments),
}

#[derive(Debug, Args)]
struct FilterArguments {
    /// Of records of this topic
    #[arg(long)]
    topic: Option<Topic>,
    /// With this reason, such as undecodable
    #[arg(long)]
    why: Option<String>,
    /// Of this stage, such as process or ledger
    #[arg(long)]
    stage: Option<String>,
    /// Of this tenant, where the record can be read and says whose it is
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Taken by the log at or after this, RFC 3339
    #[arg(long, value_parser = timestamp)]
    from: Option<Timestamp>,
    /// Taken by the log before this, RFC 3339
    #[arg(long, value_parser = timestamp)]
    to: Option<Timestamp>,
}

#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    filter: FilterArguments,
    /// What became of them
    #[arg(long, value_enum, default_value = "open")]
    state: StateArgument,
    /// How many at most
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateArgument {
    Open,
    Redriven,
    Discarded,
    All,
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// Where it stands, such as dead-letters/0/17
    position: Position,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Which ones, and who decides.
#[derive(Debug, Args)]
struct ChoiceArguments {
    /// These, such as dead-letters/0/17; else all open ones that the conditions choose
    positions: Vec<Position>,
    /// All that are open
    #[arg(long, conflicts_with = "positions")]
    all: bool,
    #[command(flatten)]
    filter: FilterArguments,
    /// Why; it stays in the audit log
    #[arg(long)]
    reason: String,
    /// Who decided it
    #[arg(long, default_value = "operator")]
    author: String,
    /// Say which, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

#[derive(Debug, Args)]
struct RedriveArguments {
    #[command(flatten)]
    choice: ChoiceArguments,
    /// Records a second, at most
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Refuse what was redriven this often
    #[arg(long, default_value_t = REDRIVES_MAX)]
    redrives_max: u32,
}

#[derive(Debug, Args)]
struct DiscardArguments {
    #[command(flatten)]
    choice: ChoiceArguments,
}

impl FilterArguments {
    fn filter(&self, positions: &[Position], state: Option<State>) -> Filter {
        Filter {
            positions: positions.iter().copied().collect::<BTreeSet<_>>(),
            topic: self.topic,
            reason: self.why.clone(),
            stage: self.stage.clone(),
            from: self.from,
            to: self.to,
            tenant_id: self.tenant,
            state,
        }
    }
}

impl ChoiceArguments {
    fn filter(&self) -> anyhow::Result<Filter> {
        let filter = self.filter.filter(&self.positions, None);
        ensure!(
            self.all || filter != Filter::default(),
            "say which: by position, by a condition, or --all"
        );
        Ok(Filter {
            state: Some(State::Open),
            ..filter
        })
    }
}

/// Lists, shows, redrives or discards, over the embedded data, which no other process may have
/// open; or over servers, while the roles run.
///
/// # Errors
/// When there is no such letter, nobody says why, or a store fails.
pub async fn run(arguments: DeadLettersArguments) -> anyhow::Result<()> {
    let command = arguments.command;
    let installation = match &command {
        DeadLettersCommand::List(arguments) => &arguments.installation,
        DeadLettersCommand::Show(arguments) => &arguments.installation,
        DeadLettersCommand::Redrive(arguments) => &arguments.choice.installation,
        DeadLettersCommand::Discard(arguments) => &arguments.choice.installation,
    };
    let configuration = installation.configuration()?;
    let placement = Placement::of_command(&configuration, installation.data_dir())?;
    let clock = Arc::new(SystemClock);
    let platform = Platform::start(&placement, clock, &Starting::at_once()).await?;
    let outcome = carry_out(&platform, &command).await;
    outcome.and(platform.stop().await)
}

async fn carry_out(platform: &Platform, command: &DeadLettersCommand) -> anyhow::Result<()> {
    let letters = DeadLetters {
        pool: platform.operator()?,
        log: platform.log.as_ref(),
    };
    match command {
        DeadLettersCommand::List(arguments) => list(&letters, arguments).await,
        DeadLettersCommand::Show(arguments) => {
            let shown = letters.show(arguments.position).await?;
            ensure!(
                shown.is_some(),
                "there is no dead letter {}",
                arguments.position
            );
            println!("{}", serde_json::to_string_pretty(&shown)?);
            Ok(())
        }
        DeadLettersCommand::Redrive(arguments) => redrive(&letters, arguments).await,
        DeadLettersCommand::Discard(arguments) => discard(&letters, &arguments.choice).await,
    }
}

async fn list(letters: &DeadLetters<'_>, arguments: &ListArguments) -> anyhow::Result<()> {
    let state = match arguments.state {
        StateArgument::Open => Some(State::Open),
        StateArgument::Redriven => Some(State::Redriven),
        StateArgument::Discarded => Some(State::Discarded),
        StateArgument::All => None,
    };
    let filter = arguments.filter.filter(&[], state);
    let found = letters.list(&filter, arguments.limit).await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        found.iter().for_each(print);
        println!("{} dead letters", found.len());
    }
    Ok(())
}

fn print(letter: &DeadLetter) {
    let told = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    println!(
        "{} {} {} by {}: {} {} ({})",
        letter.position,
        letter.appended_at,
        told(&letter.origin),
        told(&letter.stage),
        told(&letter.reason),
        told(&letter.error).escape_debug(),
        letter.state.name(),
    );
}

async fn redrive(letters: &DeadLetters<'_>, arguments: &RedriveArguments) -> anyhow::Result<()> {
    let choice = &arguments.choice;
    let order = RedriveOrder {
        filter: choice.filter()?,
        author: choice.author.clone(),
        reason: choice.reason.clone(),
        dry_run: choice.dry_run,
        rate_per_second: arguments.rate,
        redrives_max: arguments.redrives_max,
    };
    let summary = letters.redrive(&order).await?;
    if choice.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
        return Ok(());
    }
    let RedriveSummary {
        dry_run,
        redriven,
        refused,
    } = summary;
    let verb = if dry_run { "would be" } else { "are" };
    for position in &redriven {
        println!("{position}");
    }
    println!("{} {verb} redriven", redriven.len());
    for refused in &refused {
        println!("{} is left: {}", refused.position, refused.why);
    }
    Ok(())
}

async fn discard(letters: &DeadLetters<'_>, choice: &ChoiceArguments) -> anyhow::Result<()> {
    let (filter, dry_run) = (choice.filter()?, choice.dry_run);
    let discarded = letters.discard(&filter, &choice.author, &choice.reason, dry_run);
    let discarded = discarded.await?;
    if choice.json {
        println!("{}", serde_json::to_string_pretty(&discarded)?);
        return Ok(());
    }
    discarded.iter().for_each(print);
    let verb = if dry_run { "would be" } else { "are" };
    println!("{} {verb} given up", discarded.len());
    Ok(())
}
