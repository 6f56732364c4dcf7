//! Ten thousand connections that stay open and say nothing, or never finish what they say; and
//! what honest traffic feels of them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{Plan, day::until_ledgered, ingest::count};
use crate::{
    generator::{Generator, Pace, Record, Sending},
    http,
    latencies::Latencies,
    processes::{Part, Watch},
    product::{Product, judge},
    results::{Aim, Findings},
};

const CONNECTIONS: u64 = 10_000;
/// Descriptors besides those of the crowd.
const DESCRIPTORS_BESIDES: u64 = 2_000;
/// Sales of honest traffic a second.
const RATE: f64 = 100.0;
/// How many connections are opened before a pause, so that the queue of the port isn't the limit.
const AT_ONCE: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn measure(plan: &Plan<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    allow_descriptors(CONNECTIONS + DESCRIPTORS_BESIDES)?;
    findings.set("connections", &CONNECTIONS);
    findings.set("honest sales a second", &RATE);
    let mut product = Product::install()?;
    product.start()?;
    let generator = Generator::new(product.address);
    let seconds = plan.form.pick(10.0, 60.0);
    let mut record = Record::default();
    let mut next = plan.sales(0).start;
    let mut honest = async |sales: u64| {
        let range = next..next + sales;
        next = range.end;
        let pace = Pace::PerSecond(RATE);
        generator.send(range, pace, Sending::Whole).await
    };
    record.merge(honest(count(RATE)).await?.record);
    let alone = honest(count(RATE * seconds)).await?.record;
    let p99_alone = Latencies::of(alone.postback_micros.iter().copied()).percentile_ms(99);
    record.merge(alone);

    let watch = Watch::begin(product.pid()?);
    let crowd = Crowd::gather(product.address).await;
    let besides = honest(count(RATE * seconds)).await?.record;
    let open = crowd.open.load(Ordering::Relaxed);
    drop(crowd);
    let memory = watch.end().peak(Part::Pipeline);
    let p99_crowded = Latencies::of(besides.postback_micros.iter().copied()).percentile_ms(99);
    record.merge(besides);
    until_ledgered(&product, &record).await?;

    let open = f64::from(u32::try_from(open)?);
    findings.note("connections open in the end", "", open);
    findings.note("honest postbacks alone: p99", "ms", p99_alone);
    findings.note("honest postbacks beside the crowd: p99", "ms", p99_crowded);
    let ratio = p99_crowded / p99_alone;
    findings.note("honest p99 beside the crowd, of that alone", "×", ratio);
    findings.note("the pipeline's memory with the crowd", "MiB", memory);
    findings.aim("connections open in the end", Aim::AtLeast(9_900.0));
    findings.aim(
        "honest p99 beside the crowd, of that alone",
        Aim::AtMost(2.0),
    );
    findings.aim("the pipeline's memory with the crowd", Aim::AtMost(1_024.0));
    let evidence = product.evidence().await?;
    judge(&record, &evidence)
}

/// Lets this process and its children have so many descriptors.
fn allow_descriptors(needed: u64) -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    ensure!(
        hard >= needed,
        "the crowd needs {needed} open files, and the limit is {hard}: raise it (ulimit -Hn)"
    );
    limit.current = Some(limit.current.unwrap_or_default().max(needed));
    setrlimit(Resource::Nofile, limit).context("the limit on open files can't be raised")
}

/// The connections; they close when it is dropped.
struct Crowd {
    open: Arc<AtomicU64>,
    _members: JoinSet<()>,
}

impl Crowd {
    async fn gather(address: SocketAddr) -> Self {
        let open = Arc::new(AtomicU64::new(0));
        let mut members = JoinSet::new();
        for number in 0..CONNECTIONS {
            members.spawn(hang_on(address, number, Arc::clone(&open)));
            if number % AT_ONCE == 0 {
                sleep(Duration::from_millis(10)).await;
            }
        }
        // Whoever isn't let in within this time is missing from the figure.
        let deadline = Instant::now() + PATIENCE;
        while open.load(Ordering::Relaxed) < CONNECTIONS && Instant::now() < deadline {
            sleep(Duration::from_millis(50)).await;
        }
        Self {
            open,
            _members: members,
        }
    }
}

/// Stays connected, and comes back when it is thrown out. Every second one begins a request.
async fn hang_on(address: SocketAddr, number: u64, open: Arc<AtomicU64>) {
    loop {
        let Ok(mut stream) = http::open(address).await else {
            sleep(Duration::from_millis(200)).await;
            continue;
        };
        open.fetch_add(1, Ordering::Relaxed);
        let begins = number.is_multiple_of(2);
        let begun = !begins || stream.write_all(b"GET /v1/events/conv").await.is_ok();
        if begun {
            // Until the other side closes it.
            let _ = stream.read_u8().await;
        }
        open.fetch_sub(1, Ordering::Relaxed);
        sleep(Duration::from_millis(100)).await;
    }
}
