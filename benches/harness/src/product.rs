//! The product that is measured: `hissaback up`, as it was built for release, on a data directory
//! of its own.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;
use stream::{EmbeddedLog, EmbeddedOptions, Log, SystemClock};
use tempfile::TempDir;

use crate::{
    broker::{self, BROKERS, Broker},
    generator::Record,
    http::Caller,
    oracle::{
        evidence::{self, Evidence, Tables},
        verdict::Verdict,
    },
    traffic,
};

/// Only against hanging.
const PATIENCE: Duration = Duration::from_mins(3);
const SETTLING: Duration = Duration::from_mins(5);
/// Lines of what it said that a failure shows.
const SAID_LINES: usize = 30;

/// Where the product's log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogPlace {
    /// In its own process.
    Embedded,
    /// On a Kafka broker that runs beside it.
    Kafka,
}

/// The product and its data, which goes when this does.
pub struct Product {
    program: PathBuf,
    broker: Option<Broker>,
    home: TempDir,
    pub address: SocketAddr,
    /// What it is called in its consumer groups on Kafka, if it is to be called anything.
    pub group_instance_id: Option<&'static str>,
    child: Option<Child>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Product {
    /// With reference data, and not started.
    pub fn install() -> anyhow::Result<Self> {
        Self::install_in(&env::temp_dir())
    }

    /// The same in a directory below this one.
    pub fn install_in(directory: &Path) -> anyhow::Result<Self> {
        let product = Self::bare(directory)?;
        let file = product.home.path().join("reference.json");
        traffic::write_reference(&file)?;
        product.command(&["reference", "import", &file.to_string_lossy()])?;
        Ok(product)
    }

    /// The same, with its log where it is wanted.
    pub async fn install_with(place: LogPlace) -> anyhow::Result<Self> {
        let mut product = Self::install()?;
        if place == LogPlace::Kafka {
            product.broker = Some(Broker::start(&product.home.path().join("kafka"))?);
            broker::make_topics("").await?;
        }
        Ok(product)
    }

    /// With a copy of the data directory of a product that is stopped; below the same directory,
    /// so that a file system that can copies nothing.
    pub fn cloned(data: &Path) -> anyhow::Result<Self> {
        let product = Self::bare(data.parent().context("a directory has a parent")?)?;
        let copied = Command::new("cp")
            .args(["--archive", "--reflink=auto"])
            .args([data, &product.data()])
            .status()?;
        ensure!(copied.success(), "{} can't be copied", data.display());
        Ok(product)
    }

    /// Without any data.
    fn bare(directory: &Path) -> anyhow::Result<Self> {
        let program = env::current_exe()?.with_file_name("hissaback");
        ensure!(
            program.is_file(),
            "{} isn't there: build it first, by `cargo build --release`",
            program.display()
        );
        let home = tempfile::Builder::new()
            .prefix("hissaback-bench-")
            .tempdir_in(directory)
            .with_context(|| format!("nothing can be made in {}", directory.display()))?;
        // PostgreSQL's account has to pass through.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            program,
            broker: None,
            home,
            address: TcpListener::bind("127.0.0.1:0")?.local_addr()?,
            group_instance_id: None,
            child: None,
            said: Arc::default(),
        })
    }

    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Runs one of the program's other commands on the same data; what it printed.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.invocation(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout);
        let name = arguments.join(" ");
        ensure!(
            output.status.success(),
            "hissaback {name} failed: {said}{printed}"
        );
        Ok(printed.into_owned())
    }

    fn invocation(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data())
            .env_remove("HISSABACK_CONFIG");
        if self.broker.is_some() {
            command.env("KAFKA_BROKERS", BROKERS);
        }
        if let Some(name) = self.group_instance_id {
            command.env("KAFKA_GROUP_INSTANCE_ID", name);
        }
        command
    }

    /// Starts it, and returns once it says that it is up.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let listen = self.address.to_string();
        let mut command = self.invocation(&["up", "--listen", &listen]);
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stderr.take().context("piped")?).lines();
        self.child = Some(child);
        let (tell, told) = mpsc::channel();
        let said = Arc::clone(&self.said);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains("hissaback is up") {
                    // Whoever listened may have gone.
                    let _ = tell.send(());
                }
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                said.push(line);
                if said.len() > SAID_LINES {
                    said.remove(0);
                }
            }
        });
        match told.recv_timeout(PATIENCE) {
            Ok(()) => Ok(()),
            Err(_) => bail!("hissaback doesn't come up: {}", self.said()),
        }
    }

    pub fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.child.as_ref().context("it isn't running")?.id())
    }

    /// The end of what it said.
    fn said(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.join("\n")
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("it isn't running")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Ends it as an operator does.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("it isn't running")?;
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        let status = child.wait()?;
        ensure!(status.success(), "{status} on SIGTERM: {}", self.said());
        Ok(())
    }

    /// The value of a counter at `/metrics`; `None` if it doesn't answer.
    pub async fn counter(&self, name: &str) -> Option<u64> {
        let mut caller = Caller::new(self.address);
        let request = b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
        let answer = caller.call(request).await.ok()?;
        let text = String::from_utf8(answer.body).ok()?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        value.parse().ok()
    }

    /// How to connect to its PostgreSQL as the superuser, while it runs.
    pub fn database(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.data().join("run/postgres"))
            .port(5432)
            .username("postgres")
            .database("hissaback")
    }

    /// The broker's process, if the log is on one.
    pub fn broker_pid(&self) -> Option<u32> {
        self.broker.as_ref().map(Broker::pid)
    }

    /// Its log, to be read once it is stopped.
    pub async fn log(&self) -> anyhow::Result<Arc<dyn Log>> {
        if self.broker.is_some() {
            return Ok(broker::connect("").await?);
        }
        let (clock, options) = (Arc::new(SystemClock), EmbeddedOptions::default());
        Ok(EmbeddedLog::open(self.data().join("log"), clock, options)?)
    }

    /// Waits until nothing is on its way, reads the tables, stops it, and reads the log.
    pub async fn evidence(&mut self) -> anyhow::Result<Evidence> {
        let tables = Tables::open(&self.data()).await;
        self.evidence_of(tables).await
    }

    /// The same from these tables.
    pub async fn evidence_of(&mut self, tables: Tables) -> anyhow::Result<Evidence> {
        tables.settle(SETTLING).await;
        let mut evidence = tables.read().await;
        self.stop()?;
        let log = self.log().await?;
        evidence.logged = evidence::logged(&*log).await;
        log.close().await;
        Ok(evidence)
    }
}

/// Fails if anything was lost, doubled, or booked otherwise than it was sent.
pub fn judge(record: &Record, evidence: &Evidence) -> anyhow::Result<()> {
    let verdict = Verdict::of(&record.kept, evidence);
    ensure!(
        verdict.clean(),
        "the outcome is not what was sent: lost {:?}, doubled {:?}, untraced {:?}, money {:?}",
        head(&verdict.lost),
        head(&verdict.doubled),
        head(&verdict.untraced),
        head(&verdict.money)
    );
    Ok(())
}

fn head(findings: &[String]) -> &[String] {
    &findings[..findings.len().min(5)]
}

impl Drop for Product {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // Asked first, so that its databases are gone before their directory is.
        let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// How much room a directory's disk has, in bytes.
pub fn room(directory: &Path) -> anyhow::Result<u64> {
    let disk = rustix::fs::statvfs(directory)?;
    Ok(disk.f_bavail * disk.f_frsize)
}
