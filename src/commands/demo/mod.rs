//! `hissaback demo`: the whole pipeline over embedded services in a fresh directory, with an
//! outside world that plays shoppers and networks over HTTP, and a verdict at the end.

mod brokers;
mod readings;
mod seeding;
mod stage;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemas::Timestamp;

use self::stage::DemoStage;
use super::serving;
use crate::demo::{
    driver::{CONCURRENCY_DEFAULT, Driver, Progress, Surroundings},
    oracle,
    summary::Summary,
    world::{PayoutRun, Phase, Script},
};

/// The first instant of the demo's time: 1 September 2026.
const STARTED_AT: Timestamp = Timestamp::from_millis(1_788_220_800_000);

/// Arguments of `hissaback demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// How many postbacks the networks send
    #[arg(long, default_value_t = 10_000)]
    conversions: usize,
    /// Same seed, same traffic
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Print one JSON object instead of the page
    #[arg(long)]
    json: bool,
    /// Stay up afterwards, until Ctrl-C
    #[arg(long)]
    serve: bool,
    /// Where to listen [default: 127.0.0.1:8080 with --serve, else any free port]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Kafka brokers to keep the log on, in topics of the demo's own; KAFKA_… variables say how to
    /// speak to them [default: the log is embedded]
    #[arg(long, value_name = "BROKERS")]
    kafka: Option<String>,
    /// Keep the data here; must not hold anything yet [default: a temporary directory]
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

/// Runs the demo. Fails if anything differs from the generator's record, or the audit finds
/// something.
///
/// # Errors
/// What could not be brought up, or that the outcome is not what it has to be.
pub async fn run(arguments: DemoArguments) -> anyhow::Result<()> {
    let started = Instant::now();
    ensure!(
        arguments.conversions > 0,
        "--conversions takes a number from 1 on"
    );
    let default_port = if arguments.serve { 8080 } else { 0 };
    let default_address = SocketAddr::from(([127, 0, 0, 1], default_port));
    let listener = serving::bind(arguments.listen.unwrap_or(default_address)).await?;
    let directory = Directory::choose(arguments.data_dir.as_deref())?;

    let progress = progress_bar(arguments.json);
    progress.set_message("bringing up PostgreSQL, ClickHouse and the log");
    let script = Script::write(arguments.seed, arguments.conversions, STARTED_AT);
    let placement = brokers::placement(arguments.kafka.as_deref(), directory.path())?;
    brokers::prepare(&placement).await?;
    let stage = DemoStage::raise(&placement, directory.path(), listener, &script).await?;
    let outcome = tokio::select! {
        outcome = perform(&stage, &script, &progress, started, &arguments, &directory) => outcome,
        error = stage.failed() => Err(error),
    };
    if arguments.serve && outcome.is_ok() {
        eprintln!("\nserving on http://{} until Ctrl-C", stage.address());
        serving::signalled().await?;
    }
    let outcome = outcome.and(stage.lower().await);
    match &directory {
        Directory::Temporary(_) => outcome.and(brokers::clear(&placement).await),
        // What is kept is of no use without its log.
        Directory::Kept(_) => outcome,
    }
}

/// Plays the script, and says how it came out.
async fn perform(
    stage: &DemoStage,
    script: &Script,
    progress: &ProgressBar,
    started: Instant,
    arguments: &DemoArguments,
    directory: &Directory,
) -> anyhow::Result<()> {
    let mut driver = Driver::new(stage.address(), CONCURRENCY_DEFAULT, script);
    progress.set_length(script.postbacks.len() as u64);
    for (phase, run) in [Phase::Traffic, Phase::Late].into_iter().zip(script.runs) {
        play(stage, script, phase, &mut driver, progress).await?;
        progress.set_message("settling");
        stage.settle().await?;
        pay(stage, run, progress).await?;
    }
    progress.set_message("comparing with the generator's record");
    let record = driver.into_record();
    let (actual, audit) = stage.readings().await?;
    let expected = oracle::expect(script, &record);
    let look_next = look_next(stage, script, arguments, directory);
    let summary = Summary::new(
        script,
        &record,
        &expected,
        &actual,
        audit,
        started.elapsed(),
        look_next,
    );
    progress.finish_and_clear();
    if arguments.json {
        println!("{}", summary.json());
    } else {
        println!("{}", summary.page());
    }
    if summary.succeeded() {
        return Ok(());
    }
    bail!(
        "the outcome is not what it has to be: {} differences from the generator's record",
        summary.differences().len()
    )
}

async fn play(
    stage: &DemoStage,
    script: &Script,
    phase: Phase,
    driver: &mut Driver,
    progress: &ProgressBar,
) -> anyhow::Result<()> {
    let shown = |step: Progress| {
        progress.set_position(step.postbacks as u64);
        progress.set_message(format!("{}, {} clicks", day(step.at), step.clicks));
    };
    let surroundings = Surroundings {
        set_clock: &|at| stage.set_clock(at),
        click_of_token: &|token| stage.click_of_token(token),
        progress: &shown,
    };
    Ok(driver.play(script, phase, surroundings).await?)
}

/// Runs payouts and waits until every card is there; retries follow the demo's clock.
async fn pay(stage: &DemoStage, run: PayoutRun, progress: &ProgressBar) -> anyhow::Result<()> {
    stage.set_clock(run.as_of);
    let requested = stage.run_payouts(run.as_of).await?;
    progress.set_message(format!("{requested} gift cards"));
    stage
        .wait_for_cards(run.as_of, |open| {
            progress.set_message(format!(
                "gift cards: {} of {requested}",
                requested.saturating_sub(open)
            ));
        })
        .await?;
    stage.settle().await
}

fn look_next(
    stage: &DemoStage,
    script: &Script,
    arguments: &DemoArguments,
    directory: &Directory,
) -> Vec<(String, String)> {
    let mut next = Vec::new();
    if arguments.serve {
        let address = stage.address();
        next.push((
            format!("curl http://{address}/health"),
            "how each component is".to_owned(),
        ));
        next.push((
            format!("curl http://{address}/metrics"),
            "what Prometheus scrapes".to_owned(),
        ));
        let widget_id = script.seeds.campaigns[0].campaign_id;
        next.push((
            format!("http://{address}/widget/example.html?widget-id={widget_id}"),
            "a page with the widget of a campaign, for a browser".to_owned(),
        ));
    }
    match directory {
        Directory::Kept(path) => {
            let path = path.display();
            next.push((
                format!("hissaback audit --data-dir {path}"),
                "the invariants again, as a command".to_owned(),
            ));
            next.push((
                format!("hissaback up --data-dir {path}"),
                "the same data, served in real time".to_owned(),
            ));
        }
        Directory::Temporary(_) => {
            next.push((
                "hissaback demo --serve --data-dir DIR".to_owned(),
                "the same, kept and served, to look around in".to_owned(),
            ));
        }
    }
    next.push((
        "docs/architecture.md".to_owned(),
        "one click, walked to its gift card".to_owned(),
    ));
    next
}

fn day(at: Timestamp) -> String {
    at.to_datetime().format("%-d %B").to_string()
}

fn progress_bar(json: bool) -> ProgressBar {
    let target = if json {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr_with_hz(5)
    };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {bar:32} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Where the demo's data lives.
enum Directory {
    Temporary(tempfile::TempDir),
    Kept(PathBuf),
}

impl Directory {
    fn choose(asked: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = asked else {
            let directory = tempfile::Builder::new()
                .prefix("hissaback-demo-")
                .tempdir()
                .context("no temporary directory can be made: name another with --data-dir")?;
            return Ok(Self::Temporary(directory));
        };
        let occupied = path
            .read_dir()
            .is_ok_and(|mut entries| entries.next().is_some());
        ensure!(
            !occupied,
            "{} holds something already: the demo needs a fresh directory",
            path.display()
        );
        Ok(Self::Kept(path.to_owned()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Kept(path) => path,
        }
    }
}
