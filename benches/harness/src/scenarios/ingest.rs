//! Postbacks to the log, and the ceiling: the same HTTP server answering the same requests
//! without a log. Server and generator share the machine, so both are measured alike.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
};

use ::ingest::{Dependencies, Ingest, Settings, router};
use anyhow::{Context, ensure};
use arc_swap::ArcSwap;
use axum::{Router, routing::get};
use clap::ValueEnum;
use prometheus::Registry;
use schemas::{
    contact::ContactKey, event_id::EventIds, reference::ReferenceData, token::TokenKeys,
};
use stream::{EmbeddedLog, EmbeddedOptions, Log, SystemClock};
use tokio::net::TcpListener;
use web::{ServerLimits, rate_limit::AddressLimits};

use super::Plan;
use crate::{
    broker, fixture,
    generator::{Generator, Pace, Sending, Sent},
    latencies::Latencies,
    oracle::{evidence::read_log, verdict::Verdict},
    processes::{Part, Watch},
    results::{Aim, Curve, Distribution, Findings, Point},
    traffic,
};

/// Clicks by one address: none are sent here, and postbacks have no limit.
const CLICKS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(100).expect("not zero");
/// Clicks whose tokens the postbacks carry.
const CLICKS: u64 = 1_000;
/// Callers that wait for an answer each: what a batch of the log can hold.
const CALLERS: u64 = 256;
/// Postbacks before anything is measured.
const WARM_UP: u64 = 3_000;
/// Parts of the highest rate at which latency is measured.
const PARTS: [f64; 5] = [0.1, 0.25, 0.5, 0.7, 0.85];

/// What a server child serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Served {
    /// The product's ingest over an embedded log.
    Ingest,
    /// The product's ingest over Kafka, in topics that it makes.
    IngestKafka,
    /// The same HTTP server, which answers at once.
    Bare,
}

/// A server as a child of its own, so that what it uses can be told from the generator.
pub struct Server {
    child: Child,
    /// It ends once this closes.
    pipe: Option<ChildStdin>,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(served: Served, directory: &Path) -> anyhow::Result<Self> {
        let name = served
            .to_possible_value()
            .context("every variant is named")?;
        let mut child = Command::new(env::current_exe()?)
            .args(["--serve", name.get_name(), "--directory"])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let told = child.stdout.take().context("piped")?;
        BufReader::new(told).read_line(&mut line)?;
        let address = line.trim().parse().context("the server doesn't come up")?;
        let pipe = child.stdin.take();
        Ok(Self {
            child,
            pipe,
            address,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it finish and close its log.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        drop(self.pipe.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.child.wait();
    }
}

/// Serves until standard input closes; the child's side of [`Server`].
pub async fn serve(served: Served, directory: PathBuf) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let (ended, wait) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(ended);
    });
    let shutdown = async {
        let _ = wait.await;
    };
    let limits = ServerLimits::default();
    match served {
        Served::Bare => {
            let answer = || async { axum::Json(serde_json::json!({ "status": "ok" })) };
            let router = Router::new().route("/v1/events/conversion", get(answer).post(answer));
            web::serve(listener, router, limits, shutdown).await;
        }
        Served::Ingest => {
            let clock = Arc::new(SystemClock);
            let log = EmbeddedLog::open(directory, clock, EmbeddedOptions::default())?;
            web::serve(
                listener,
                router(ingest_over(log.clone())?),
                limits,
                shutdown,
            )
            .await;
            log.close().await;
        }
        Served::IngestKafka => {
            let log = broker::connect("").await?;
            web::serve(
                listener,
                router(ingest_over(log.clone())?),
                limits,
                shutdown,
            )
            .await;
            log.close().await;
        }
    }
    Ok(())
}

fn ingest_over(log: Arc<dyn Log>) -> anyhow::Result<Arc<Ingest>> {
    let registry = Registry::new();
    let dependencies = Dependencies {
        log,
        clock: Arc::new(SystemClock),
        reference: Arc::new(ArcSwap::from_pointee(reference())),
        token_keys: TokenKeys::new(&[(1, [1; 32])])?,
        contact_key: ContactKey::new([7; 32]),
        event_ids: Arc::new(Mutex::new(EventIds::new(1)?)),
        limits: Arc::new(AddressLimits::new(CLICKS_PER_MINUTE, &registry)?),
    };
    Ok(Ingest::new(dependencies, Settings::default(), &registry)?)
}

/// The small installation, with the links that the traffic follows.
fn reference() -> ReferenceData {
    let mut reference = fixture::reference();
    let link = reference.links.values().next().cloned();
    if let Some(link) = link {
        let more = traffic::links().map(|id| (id, link.clone()));
        reference.links.extend(more);
    }
    reference
}

/// One measurement of a server at its fastest.
struct Measured {
    sent: Sent,
    cpu_seconds: f64,
    peak_mib: f64,
}

impl Measured {
    fn per_second(&self) -> f64 {
        self.answered() / self.sent.seconds
    }

    fn answered(&self) -> f64 {
        f64::from(u32::try_from(self.sent.record.postback_micros.len()).unwrap_or(u32::MAX))
    }
}

async fn fastest(
    server: &Server,
    generator: &Generator,
    sales: std::ops::Range<u64>,
    tokens: &Arc<Vec<String>>,
) -> anyhow::Result<Measured> {
    let pace = Pace::Saturating { callers: CALLERS };
    let watch = Watch::begin(server.child.id());
    let sent = generator
        .send(sales, pace, Sending::Postbacks(Arc::clone(tokens)))
        .await?;
    let usage = watch.end();
    Ok(Measured {
        sent,
        cpu_seconds: usage.cpu_seconds_total(),
        peak_mib: usage.peak(Part::Pipeline),
    })
}

pub async fn measure(plan: &Plan<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let postbacks = plan.form.pick(100_000, 200_000);
    findings.set("callers", &CALLERS);
    findings.set(
        "log",
        &"embedded; a batch is synced before it is acknowledged",
    );
    let mut last = None;
    for repetition in 0..plan.repetitions {
        let directory = home.path().join(repetition.to_string());
        let mut server = Server::start(Served::Ingest, &directory)?;
        let generator = Generator::new(server.address);
        let pace = Pace::Saturating { callers: 32 };
        let clicks = generator.send(plan.sales(CLICKS), pace, Sending::Clicks);
        let tokens = Arc::new(clicks.await?.tokens);

        let mut bare = Server::start(Served::Bare, &directory)?;
        let at_bare = Generator::new(bare.address);
        fastest(&bare, &at_bare, plan.sales(WARM_UP), &tokens).await?;
        let ceiling = fastest(&bare, &at_bare, plan.sales(postbacks), &tokens).await?;
        bare.stop()?;

        let mut record = fastest(&server, &generator, plan.sales(WARM_UP), &tokens)
            .await?
            .sent
            .record;
        let measured = fastest(&server, &generator, plan.sales(postbacks), &tokens).await?;
        let thousands = measured.answered() / 1_000.0;
        findings.note("postbacks to the log", "/s", measured.per_second());
        findings.note("the same server without a log", "/s", ceiling.per_second());
        let ratio = measured.per_second() / ceiling.per_second();
        findings.note("ingest, of the server without a log", "×", ratio);
        let cost = measured.cpu_seconds / thousands;
        findings.note("ingest, CPU seconds per 1,000 postbacks", "s", cost);
        let cost = ceiling.cpu_seconds / thousands;
        findings.note("without a log, CPU seconds per 1,000 postbacks", "s", cost);
        findings.note("ingest's memory at its peak", "MiB", measured.peak_mib);
        record
            .kept
            .postbacks
            .extend(&measured.sent.record.kept.postbacks);

        if repetition + 1 == plan.repetitions {
            let latencies = Latencies::of(measured.sent.record.postback_micros.iter().copied());
            let name = "postback answered, at the highest rate";
            findings
                .distributions
                .push(Distribution::of(name, &latencies));
            let highest = measured.per_second();
            let (curve, more) = curve(plan, &generator, highest, &tokens).await?;
            record.kept.postbacks.extend(more);
            findings.curves.push(curve);
        }
        server.stop()?;
        check_log(&directory, record.kept.postbacks).await?;
        last = Some(directory);
    }
    drop(last);
    findings.aim("ingest, of the server without a log", Aim::AtLeast(0.6));
    Ok(())
}

/// Latency at parts of the highest rate, in an open loop; and what was sent.
async fn curve(
    plan: &Plan<'_>,
    generator: &Generator,
    highest: f64,
    tokens: &Arc<Vec<String>>,
) -> anyhow::Result<(Curve, Vec<(u64, bool)>)> {
    let seconds = plan.form.pick(3.0, 10.0);
    let mut points = Vec::new();
    let mut sent = Vec::new();
    for part in PARTS {
        let rate = highest * part;
        let run = generator.send(
            plan.sales(count(rate * seconds)),
            Pace::PerSecond(rate),
            Sending::Postbacks(Arc::clone(tokens)),
        );
        let run = run.await?;
        let latencies = Latencies::of(run.record.postback_micros.iter().copied());
        points.push(Point {
            per_second: rate,
            p50_ms: latencies.percentile_ms(50),
            p99_ms: latencies.percentile_ms(99),
        });
        sent.extend(run.record.kept.postbacks);
    }
    let name = "postback answered".to_owned();
    Ok((Curve { name, points }, sent))
}

/// A number of requests from a rate.
pub fn count(requests: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number of requests, far below what a u64 holds"
    )]
    let whole = requests.ceil().max(1.0) as u64;
    whole
}

/// Every postback that was answered stands in the log once, and nothing else does.
async fn check_log(
    directory: &Path,
    postbacks: std::collections::BTreeMap<u64, bool>,
) -> anyhow::Result<()> {
    let data = directory.parent().context("a folder")?.join("checked");
    std::fs::create_dir_all(&data)?;
    std::fs::rename(directory, data.join("log"))?;
    let logged = read_log(&data).await;
    let record = crate::oracle::record::Kept {
        postbacks,
        ..Default::default()
    };
    let fates = logged.iter().map(|found| (found.position, 1)).collect();
    let evidence = crate::oracle::evidence::Evidence {
        logged,
        fates,
        ..Default::default()
    };
    let verdict = Verdict::of(&record, &evidence);
    let (lost, doubled) = (verdict.lost.len(), verdict.doubled.len());
    ensure!(
        verdict.clean(),
        "the log isn't what was sent: {lost} lost, {doubled} doubled"
    );
    std::fs::remove_dir_all(&data)?;
    Ok(())
}
