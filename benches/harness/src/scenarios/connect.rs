//! Redpanda Connect beside the product's ingest: postbacks over HTTP into topics of one Kafka
//! broker, answered once it has acknowledged them.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    ops::Range,
    process::Child,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use schemas::Topic;
use stream::{Log, kafka::KafkaLog};
use tokio::{net::TcpStream, time::sleep};

use super::{
    Plan,
    ingest::{Served, Server},
};
use crate::{
    broker::{self, BROKERS, Broker, ending_with_us},
    generator::{Generator, Pace, Record, Sending},
    peer::{cache, folder, request},
    processes::{Part, Watch},
    results::{Aim, Findings},
};

const CALLERS: u64 = 256;
/// Clicks whose tokens the postbacks carry.
const CLICKS: u64 = 1_000;
const WARM_UP: u64 = 3_000;
const PATIENCE: Duration = Duration::from_secs(30);
/// Stands before the names of the topics that Redpanda Connect writes to.
const PREFIX: &str = "connect.";
const OURS: &str = "Hissaback's ingest";
const THEIRS: &str = "Redpanda Connect";

pub async fn measure(plan: &Plan<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    let postbacks = plan.form.pick(40_000, 200_000);
    findings.set("callers", &CALLERS);
    findings.set("Kafka", &broker::SETTINGS);
    for _ in 0..plan.repetitions {
        let home = tempfile::tempdir()?;
        let broker = Broker::start(&home.path().join("kafka"))?;
        let (ours, theirs) = (topics_of("").await?, topics_of(PREFIX).await?);
        let sales = plan.sales(postbacks);

        let mut server = Server::start(Served::IngestKafka, home.path())?;
        let generator = Generator::new(server.address);
        let pace = Pace::Saturating { callers: 32 };
        let clicks = generator.send(plan.sales(CLICKS), pace, Sending::Clicks);
        let tokens = Arc::new(clicks.await?.tokens);
        let side = Side {
            name: OURS,
            tokens: &tokens,
            broker: &broker,
        };
        let kept = side
            .measure(&generator, server.pid(), sales.clone(), findings)
            .await?;
        server.stop()?;
        check(&ours, kept).await?;

        let connect = Connect::start()?;
        connect.listens().await?;
        let side = Side {
            name: THEIRS,
            ..side
        };
        let generator = Generator::new(connect.address);
        let kept = side
            .measure(&generator, connect.child.id(), sales, findings)
            .await?;
        drop(connect);
        check(&theirs, kept).await?;
        ours.close().await;
        theirs.close().await;
    }
    let cost = |name| findings.median(&format!("{name}: CPU seconds per 1,000 postbacks"));
    let ratio = cost(THEIRS) / cost(OURS);
    let name = "Redpanda Connect: CPU time, of Hissaback's ingest";
    findings.note(name, "×", ratio);
    findings.aim(name, Aim::AtLeast(3.0));
    Ok(())
}

/// One of the two, and what it is measured with.
struct Side<'a> {
    name: &'static str,
    tokens: &'a Arc<Vec<String>>,
    broker: &'a Broker,
}

impl Side<'_> {
    /// Postbacks as fast as they are answered; all that were sent.
    async fn measure(
        &self,
        generator: &Generator,
        pid: u32,
        sales: Range<u64>,
        findings: &mut Findings,
    ) -> anyhow::Result<BTreeMap<u64, bool>> {
        let Self {
            name,
            tokens,
            broker,
        } = self;
        let pace = Pace::Saturating { callers: CALLERS };
        let sending = || Sending::Postbacks(Arc::clone(tokens));
        let warm_up = sales.end..sales.end + WARM_UP;
        let mut record: Record = generator.send(warm_up, pace, sending()).await?.record;

        let thousands = f64::from(u32::try_from(sales.end - sales.start)?) / 1_000.0;
        let (own, brokers) = (Watch::begin(pid), Watch::begin(broker.pid()));
        let sent = generator.send(sales, pace, sending()).await?;
        let (own, brokers) = (own.end(), brokers.end());
        record.merge(sent.record);
        let rate = thousands * 1_000.0 / sent.seconds;
        findings.note(&format!("{name}: postbacks to Kafka"), "/s", rate);
        let cost = own.cpu_seconds_total() / thousands;
        findings.note(
            &format!("{name}: CPU seconds per 1,000 postbacks"),
            "s",
            cost,
        );
        let cost = brokers.cpu_seconds_total() / thousands;
        findings.note(
            &format!("{name}: the broker's CPU seconds per 1,000"),
            "s",
            cost,
        );
        let memory = own.peak(Part::Pipeline);
        findings.note(&format!("{name}: memory at its peak"), "MiB", memory);
        Ok(record.kept.postbacks)
    }
}

/// Redpanda Connect; it ends with this.
struct Connect {
    child: Child,
    address: SocketAddr,
}

impl Connect {
    fn start() -> anyhow::Result<Self> {
        let program = cache().join("redpanda-connect/redpanda-connect");
        ensure!(
            program.exists(),
            "Redpanda Connect isn't built: run `make setup-peers`"
        );
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = ending_with_us(&program)
            .arg("run")
            .arg(folder().join("redpanda-connect/postbacks.yaml"))
            .env("LISTEN", address.to_string())
            .env("BROKERS", BROKERS)
            .env(
                "TOPIC",
                broker::settings(PREFIX).topic_name(Topic::Conversions),
            )
            .spawn()?;
        Ok(Self { child, address })
    }

    async fn listens(&self) -> anyhow::Result<()> {
        let began = tokio::time::Instant::now();
        while TcpStream::connect(self.address).await.is_err() {
            ensure!(began.elapsed() < PATIENCE, "it doesn't listen");
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        broker::end(&mut self.child);
    }
}

/// A log in new topics, to read them again.
async fn topics_of(prefix: &str) -> anyhow::Result<Arc<KafkaLog>> {
    broker::make_topics(prefix).await?;
    broker::connect(prefix).await
}

/// Every postback that was answered stands in the topic once, and nothing else does.
async fn check(log: &KafkaLog, postbacks: BTreeMap<u64, bool>) -> anyhow::Result<()> {
    let mut kept: BTreeMap<u64, u32> = BTreeMap::new();
    for partition in 0..Topic::Conversions.partitions() {
        let mut offset = 0;
        loop {
            let records = log
                .read(Topic::Conversions, partition, offset, 1_000)
                .await?;
            let Some(last) = records.last() else { break };
            offset = last.position.offset + 1;
            for record in &records {
                let text = String::from_utf8_lossy(&record.value);
                let request = request(&text).context("a record that wasn't sent")?;
                *kept.entry(request).or_default() += 1;
            }
        }
    }
    for (request, answered) in postbacks {
        let times = kept.remove(&request).unwrap_or_default();
        ensure!(times <= 1, "postback {request} is kept {times} times");
        ensure!(times == 1 || !answered, "postback {request} is lost");
    }
    ensure!(kept.is_empty(), "{} records weren't sent", kept.len());
    Ok(())
}
