//! The harness: measures the product as a whole, built for release, against ceilings of the same
//! run, and checks every outcome against the generator's own record.
//!
//! `make bench`, or `make bench SCENARIO=day FORM=full`; docs/performance.md has the method. It
//! asserts no times: it fails when something is lost, doubled or missing, and never because a
//! machine is slow.

mod broker;
mod fixture;
mod generator;
mod history;
mod http;
mod latencies;
mod looker;
mod machine;
mod oracle;
mod peer;
mod pictures;
mod processes;
mod product;
mod report;
mod results;
mod scenarios;
mod traffic;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use clap::{Parser, ValueEnum};

use results::{Findings, Form, Outcome};
use scenarios::{Plan, Scenario, Served};

/// The program's own: scenarios that measure a part of it alone run that part in this process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: u64 = 7;

/// Measures the product.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure [default: everything but peers]
    scenarios: Vec<Scenario>,
    /// How much of it
    #[arg(long, value_enum, default_value = "short")]
    form: Form,
    /// The same seed, the same traffic
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// How often each figure is measured [default: once, or three times in the full form]
    #[arg(long)]
    repetitions: Option<usize>,
    /// Sales of the scenarios that are a day, in whole or in part [default: 50000, or 200000 in
    /// the full form]
    #[arg(long)]
    conversions: Option<u64>,
    /// Conversions that the scenario `grown` finds ledgered [default: 2000000, or 20000000 in the
    /// full form]
    #[arg(long)]
    history: Option<u64>,
    /// Where that history is kept once it is made
    #[arg(long, default_value = "target/bench-history")]
    histories: PathBuf,
    /// Where results are kept
    #[arg(long, default_value = "target/bench")]
    results: PathBuf,
    /// The document whose tables and pictures are written anew
    #[arg(long)]
    document: Option<PathBuf>,
    /// Cargo gives it to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
    /// Serves as a child of the scenario `ingest`
    #[arg(long, hide = true, requires = "directory")]
    serve: Option<Served>,
    #[arg(long, hide = true)]
    directory: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some((served, directory)) = arguments.serve.zip(arguments.directory.clone()) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        return runtime.block_on(scenarios::serve(served, directory));
    }
    // One thread for the callers: the generator shares the machine with what it measures.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::select! {
            // Before anything is started that would be left behind.
            biased;
            outcome = interrupted() => outcome,
            outcome = measure(&arguments) => outcome,
        }
    })
}

/// What is up ends as it is dropped, and results are written when they are whole.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    bail!("interrupted: what wasn't measured to its end isn't among the results")
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let form = arguments.form;
    let room = form.pick(machine::ROOM_SHORT, machine::ROOM_FULL);
    machine::check(&std::env::temp_dir(), room)?;
    let plan = Plan {
        form,
        seed: arguments.seed,
        repetitions: arguments.repetitions.unwrap_or(form.pick(1, 3)).max(1),
        conversions: arguments
            .conversions
            .unwrap_or(form.pick(50_000, 200_000))
            .max(1),
        history: arguments
            .history
            .unwrap_or(form.pick(2_000_000, 20_000_000))
            .max(1),
        histories: &arguments.histories,
    };
    let mut scenarios = arguments.scenarios.clone();
    if scenarios.is_empty() {
        scenarios = Scenario::of_the_product();
    }
    // One that fails doesn't take the figures of the others along.
    let mut failed = Vec::new();
    for scenario in scenarios {
        let name = scenario.to_possible_value().context("every one is named")?;
        let name = name.get_name();
        eprintln!("{name}, seed {}", plan.seed);
        let mut findings = Findings::default();
        match scenario.run(&plan, &mut findings).await {
            Ok(()) => keep(&arguments.results, name, &plan, findings)?,
            Err(failure) => {
                eprintln!("error: scenario {name}, seed {}: {failure:#}", plan.seed);
                failed.push(name.to_owned());
            }
        }
    }
    ensure!(
        failed.is_empty(),
        "no figures of {}, and the document stays as it was",
        failed.join(", ")
    );
    if let Some(document) = &arguments.document {
        report::write_into(document, &arguments.results)?;
        eprintln!("{} is written anew", document.display());
    }
    Ok(())
}

fn keep(folder: &Path, name: &str, plan: &Plan, findings: Findings) -> anyhow::Result<()> {
    let outcome = Outcome {
        scenario: name.to_owned(),
        form: plan.form,
        seed: plan.seed,
        settings: [machine::description(), findings.settings].concat(),
        figures: findings.figures,
        curves: findings.curves,
        distributions: findings.distributions,
        sizes: findings.sizes,
    };
    let text = serde_json::to_string_pretty(&outcome)? + "\n";
    results::write(&folder.join(format!("{name}.json")), &text)
}
