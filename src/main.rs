//! The `hissaback` program.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use hissaback::{
    closed_pipe,
    commands::{
        self, audit::AuditArguments, backfill::BackfillArguments, contacts::ContactsArguments,
        dead_letters::DeadLettersArguments, demo::DemoArguments, erase::EraseArguments,
        explain::ExplainArguments, healthcheck::HealthcheckArguments, log_copy::LogArguments,
        migrate::MigrateArguments, offers::OffersArguments, payout::PayoutArguments,
        reconcile::ReconcileArguments, reference::ReferenceArguments, replay::ReplayArguments,
        retention::RetentionArguments, role::RoleCommand, secrets::SecretsArguments,
        silence::SilenceArguments, token::TokenArguments, unmatched::UnmatchedArguments,
        up::UpArguments, verify::VerifyArguments, what_if::WhatIfArguments,
    },
    embedded::clickhouse::{EngineArguments, run_engine},
};
use tracing_subscriber::EnvFilter;

/// Records, rows and requests are many small allocations, freed by other threads than made them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The event pipeline of a creator-cashback platform, around a durable log.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every role in one process, over embedded services where no others are configured.
    Up(UpArguments),
    /// Play the whole pipeline over embedded services, with traffic over HTTP, and check it.
    Demo(DemoArguments),
    /// Read a network's CSV export through the same pipeline as postbacks.
    Backfill(BackfillArguments),
    /// Compare a network's list with the ledger, and append what is missing or differs.
    Reconcile(ReconcileArguments),
    /// Tenants, offers, campaigns and links.
    Reference(ReferenceArguments),
    /// Offers against the network's campaigns.
    Offers(OffersArguments),
    /// Retire what is past its period, and make partitions ahead; `up` does it daily.
    Retention(RetentionArguments),
    /// Remove what is known of a person.
    Erase(EraseArguments),
    /// Show what a sum rests on, down to the raw reports, or prove it to a network.
    Explain(ExplainArguments),
    /// Seal people's contacts with a new key.
    Contacts(ContactsArguments),
    /// Payouts: runs, messages, keys, holds.
    Payout(PayoutArguments),
    /// Records that a stage could not work with: look, try again, give up.
    DeadLetters(DeadLettersArguments),
    /// Reports without a claim: look, match to a click by hand, give up.
    Unmatched(UnmatchedArguments),
    /// Fold the log again, in memory, and hold it against the ledger; exits with 1 if they differ.
    Replay(ReplayArguments),
    /// Fold the log under other rules or terms, and tell what would have been.
    WhatIf(WhatIfArguments),
    /// Fold the whole log into a second, empty ledger, and compare the two to the byte.
    Verify(VerifyArguments),
    /// Campaigns that have gone quiet, by their own history.
    Silence(SilenceArguments),
    /// Check the invariants of ledger and analytics; exits with 1 if one is broken.
    Audit(AuditArguments),
    /// Bring the schemas of services up to date: PostgreSQL, ClickHouse, topics, the registry.
    Migrate(MigrateArguments),
    /// The log as a whole: copy it, offset by offset, into another.
    Log(LogArguments),
    /// Make the keys and tokens that processes share, in a new file.
    Secrets(SecretsArguments),
    /// Make an access token for an operator, an analyst or the scheduler.
    Token(TokenArguments),
    /// Ask a process how it is; exits with 1 if it can't do its work.
    Healthcheck(HealthcheckArguments),
    #[command(flatten)]
    Role(RoleCommand),
    /// Run the embedded ClickHouse engine; started by other commands, not by people.
    #[command(hide = true)]
    ClickhouseEngine(EngineArguments),
}

fn main() -> ExitCode {
    let filter =
        EnvFilter::try_from_env("HISSABACK_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let command = Arguments::parse().command;
    match closed_pipe::run_until_closed(|| run(command)) {
        None | Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(failure)) => {
            eprintln!("hissaback: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up(arguments) => commands::block_on(commands::up::run(arguments)),
        Command::Demo(arguments) => commands::block_on(commands::demo::run(arguments)),
        Command::Backfill(arguments) => commands::block_on(commands::backfill::run(arguments)),
        Command::Reconcile(arguments) => commands::block_on(commands::reconcile::run(arguments)),
        Command::Reference(arguments) => commands::block_on(commands::reference::run(arguments)),
        Command::Offers(arguments) => commands::block_on(commands::offers::run(arguments)),
        Command::Retention(arguments) => commands::block_on(commands::retention::run(arguments)),
        Command::Erase(arguments) => commands::block_on(commands::erase::run(arguments)),
        Command::Explain(arguments) => commands::block_on(commands::explain::run(arguments)),
        Command::DeadLetters(arguments) => {
            commands::block_on(commands::dead_letters::run(arguments))
        }
        Command::Unmatched(arguments) => commands::block_on(commands::unmatched::run(arguments)),
        Command::Payout(arguments) => commands::block_on(commands::payout::run(arguments)),
        Command::Replay(arguments) => commands::block_on(commands::replay::run(arguments)),
        Command::WhatIf(arguments) => commands::block_on(commands::what_if::run(arguments)),
        Command::Verify(arguments) => commands::block_on(commands::verify::run(arguments)),
        Command::Silence(arguments) => commands::block_on(commands::silence::run(arguments)),
        Command::Audit(arguments) => commands::block_on(commands::audit::run(arguments)),
        Command::Migrate(arguments) => commands::block_on(commands::migrate::run(arguments)),
        Command::Log(arguments) => commands::block_on(commands::log_copy::run(arguments)),
        Command::Secrets(arguments) => commands::secrets::run(&arguments),
        Command::Token(arguments) => commands::token::run(&arguments),
        Command::Healthcheck(arguments) => {
            commands::block_on(commands::healthcheck::run(arguments))
        }
        Command::Contacts(arguments) => commands::block_on(commands::contacts::run(arguments)),
        Command::Role(command) => commands::block_on(commands::role::run(command)),
        Command::ClickhouseEngine(arguments) => run_engine(&arguments).map_err(Into::into),
    }
}
