//! The `hissaback` program.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hissaback::embedded::clickhouse::{EngineArguments, run_engine};

/// The event pipeline of a creator-cashback platform.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the embedded ClickHouse engine; started by other commands, not by people.
    #[command(hide = true)]
    ClickhouseEngine(EngineArguments),
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let outcome = match Arguments::parse().command {
        Command::ClickhouseEngine(arguments) => run_engine(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("hissaback: {failure}");
            ExitCode::FAILURE
        }
    }
}
