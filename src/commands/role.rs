//! Each role as a process of its own, over services that it shares with the others.

use clap::{Args, Subcommand};

use super::{
    analytics::{self, AnalyticsArguments},
    ledger_dump::{self, DumpArguments},
    serving::{self, ServingArguments},
};
use crate::roles::Role;

/// A subcommand per role.
#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Accept clicks and postbacks over HTTP: → clicks, conversions
    ///
    /// Answers once the log has a record durably, and 503 with Retry-After where it hasn't. Goes on
    /// accepting while PostgreSQL is away. Put a proxy with TLS in front, and name it in
    /// http.trusted_proxies.
    #[command(after_long_help = NEEDS)]
    Ingest(ServingArguments),
    /// Decide on reports: conversions → decisions
    ///
    /// Joins each report to its click, pins its terms, scores it and splits its money. Stateless:
    /// instances share the partitions of conversions, so up to 12 have work.
    #[command(after_long_help = NEEDS)]
    Process(ServingArguments),
    /// Keep the books: the log → PostgreSQL
    ///
    /// Folds clicks, decisions, commands, payouts and payout-results into the ledger. Instances
    /// share the partitions; a stale one is fenced by the position in the database.
    #[command(after_long_help = NEEDS, args_conflicts_with_subcommands = true)]
    Ledger(LedgerArguments),
    /// Publish what the ledger has to say: PostgreSQL's outbox → ledger, payouts, payout-results
    ///
    /// One instance publishes, under an advisory lock; a second one takes over when it ends.
    #[command(after_long_help = NEEDS)]
    Relay(ServingArguments),
    /// Tell analysts every event: the log → ClickHouse
    ///
    /// Without clickhouse.url it keeps an embedded engine under --data-dir; then one instance only.
    #[command(after_long_help = NEEDS)]
    Analytics(AnalyticsArguments),
    /// Make gift cards and send their codes: payouts → payout-results
    ///
    /// Needs the account in `agcod`. The rate limit is of each process: run one, or divide it.
    #[command(after_long_help = NEEDS)]
    Dispatch(ServingArguments),
    /// Do what is due: heal unmatched reports, audit, make the daily payout run
    ///
    /// Instances stand in for each other, under advisory locks.
    #[command(after_long_help = NEEDS)]
    Schedule(ServingArguments),
    /// Serve operators and schedulers: fates, audit, review, payout run
    ///
    /// Asks for the bearer tokens in the secrets. Keep it inside.
    #[command(after_long_help = NEEDS)]
    Api(ServingArguments),
}

/// Arguments of `hissaback ledger`: it runs, or does something with what it keeps.
#[derive(Debug, Args)]
pub struct LedgerArguments {
    #[command(flatten)]
    serving: ServingArguments,
    #[command(subcommand)]
    command: Option<LedgerCommand>,
}

#[derive(Debug, Subcommand)]
enum LedgerCommand {
    /// Print the ledger in a stable order, and its SHA-256
    Dump(DumpArguments),
}

/// What every role of its own needs; said by `--help`.
const NEEDS: &str = "Needs services that processes share: KAFKA_BROKERS, DATABASE_URL, and where \
    keys or tokens are used HISSABACK_SECRETS_FILE (or the keys of the configuration that they go \
    before). Run `hissaback migrate` first. Serves /health and /metrics on its port, and stops on \
    SIGTERM or SIGINT once what is under way is done.";

/// Runs the role until SIGTERM or SIGINT, or until it fails.
///
/// # Errors
/// One sentence: what is missing, or that the role failed.
pub async fn run(command: RoleCommand) -> anyhow::Result<()> {
    let (role, arguments) = match command {
        RoleCommand::Ingest(arguments) => (Role::Ingest, arguments),
        RoleCommand::Process(arguments) => (Role::Process, arguments),
        RoleCommand::Ledger(LedgerArguments { serving, command }) => match command {
            Some(LedgerCommand::Dump(arguments)) => return ledger_dump::run(arguments).await,
            None => (Role::Ledger, serving),
        },
        RoleCommand::Relay(arguments) => (Role::Relay, arguments),
        RoleCommand::Analytics(arguments) => return analytics::run(arguments).await,
        RoleCommand::Dispatch(arguments) => (Role::Dispatch, arguments),
        RoleCommand::Schedule(arguments) => (Role::Schedule, arguments),
        RoleCommand::Api(arguments) => (Role::Api, arguments),
    };
    serving::serve_role(role, &arguments).await
}
