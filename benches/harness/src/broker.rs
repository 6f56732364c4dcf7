//! A Kafka broker and a schema registry on this machine, for what is measured over Kafka.

use std::{
    env,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use stream::kafka::{
    AppendTimes, KafkaLog, KafkaSettings,
    topics::{self, TopicSettings},
};

/// Where the broker listens, and the registry: their usual ports.
pub const BROKERS: &str = "127.0.0.1:9092";
const REGISTRY: &str = "127.0.0.1:8081";
/// What the broker's topics are, for the table.
pub const SETTINGS: &str = "one broker, acks=all, lz4, 12 partitions";
const PATIENCE: Duration = Duration::from_secs(30);

/// The broker and the registry; they end with this.
pub struct Broker {
    child: Child,
}

impl Broker {
    /// Runs the example `kafka` of `stream`, with its data in a directory.
    ///
    /// # Errors
    /// A sentence that names what is missing.
    pub fn start(directory: &Path) -> anyhow::Result<Self> {
        let program = env::current_exe()?.with_file_name("examples/kafka");
        ensure!(
            program.exists(),
            "the program that runs a Kafka broker isn't built: run this by `make bench`"
        );
        for address in [BROKERS, REGISTRY] {
            let address: SocketAddr = address.parse()?;
            ensure!(
                TcpListener::bind(address).is_ok(),
                "something else listens on {address}, where the broker or its registry is to be"
            );
        }
        let mut child = ending_with_us(&program)
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("piped")?).lines();
        let broker = Self { child };
        for line in lines.map_while(Result::ok) {
            if line.starts_with("ready") {
                return Ok(broker);
            }
        }
        anyhow::bail!("the Kafka broker doesn't come up: run `make setup`")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Lets a process end that [`ending_with_us`] began.
pub fn end(child: &mut Child) {
    let _ = kill_process(Pid::from_child(child), Signal::INT);
    let _ = child.wait();
}

/// A process that is interrupted when the harness ends, however that comes.
pub fn ending_with_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT", "--"]).arg(program);
    command
}

/// How the product's topics are reached; `prefix` stands before their names.
pub fn settings(prefix: &str) -> KafkaSettings {
    KafkaSettings {
        topic_prefix: prefix.to_owned(),
        ..KafkaSettings::new(BROKERS)
    }
}

/// Makes the product's topics, where they aren't there.
pub async fn make_topics(prefix: &str) -> anyhow::Result<()> {
    let wanted = TopicSettings {
        replication_factor: 1,
        min_insync_replicas: 1,
        ..TopicSettings::default()
    };
    topics::ensure(&settings(prefix), &wanted).await?;
    Ok(())
}

/// The log in the broker's topics.
pub async fn connect(prefix: &str) -> anyhow::Result<Arc<KafkaLog>> {
    let log = KafkaLog::connect(settings(prefix), AppendTimes::Broker)?;
    log.ready(PATIENCE).await?;
    Ok(log)
}
