//! The specification's original stack, as `benches/peers/original` builds it: a tree of processes
//! on loopback, with data of its own that goes when this does.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{generator::Record, traffic};

const PATIENCE: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How its workers book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Booking {
    /// A transaction for each message.
    Transactions,
    /// A transaction for up to a hundred messages.
    Batches,
}

impl Booking {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transactions => "transactions",
            Self::Batches => "batches",
        }
    }
}

/// The running stack.
pub struct Peer {
    child: Child,
    /// It ends once this closes.
    pipe: Option<ChildStdin>,
    pub address: SocketAddr,
    pub database: PgConnectOptions,
    _home: TempDir,
}

/// What it says once it is up.
#[derive(Deserialize)]
struct Up {
    /// The directory of PostgreSQL's socket.
    postgres: PathBuf,
}

impl Peer {
    /// Starts it with the traffic's reference data.
    ///
    /// # Errors
    /// A sentence that names what is missing.
    pub fn start(booking: Booking) -> anyhow::Result<Self> {
        let home = tempfile::Builder::new()
            .prefix("hissaback-peer-")
            .tempdir()?;
        // PostgreSQL's account has to pass through.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755))?;
        let reference = home.path().join("reference.json");
        traffic::write_reference(&reference)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let python = cache().join("python-peers/bin/python");
        ensure!(
            python.exists(),
            "the original stack isn't installed: run `make setup-peers`"
        );
        let mut child = Command::new(python)
            .arg(folder().join("original/peer.py"))
            .args([
                "--booking",
                booking.name(),
                "--listen",
                &address.to_string(),
            ])
            .arg("--data")
            .arg(home.path().join("data"))
            .arg("--reference")
            .arg(reference)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pipe = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("piped")?).read_line(&mut line)?;
        let Ok(up) = serde_json::from_str::<Up>(&line) else {
            let mut said = String::new();
            child
                .stderr
                .take()
                .context("piped")?
                .read_to_string(&mut said)?;
            child.wait()?;
            bail!("the original stack doesn't come up: {}", said.trim());
        };
        Ok(Self {
            child,
            pipe,
            address,
            database: PgConnectOptions::new_without_pgpass()
                .socket(up.postgres)
                .username("postgres")
                .database("postgres"),
            _home: home,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it whole.
    pub fn stop(mut self) -> anyhow::Result<()> {
        drop(self.pipe.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "the original stack ended with {status}");
        Ok(())
    }

    /// Waits until every postback that was answered is in its tables.
    pub async fn settle(&self, record: &Record) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect_with(&self.database).await?;
        let answered = record.kept.postbacks.values().filter(|answered| **answered);
        let answered = i64::try_from(answered.count())?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let query = "SELECT (SELECT count(*) FROM conversions) \
                              + (SELECT count(*) FROM unmatched_conversions)";
            let kept: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await?;
            if kept >= answered {
                return Ok(connection.close().await?);
            }
            ensure!(
                Instant::now() < deadline,
                "the original stack doesn't catch up: {kept} of {answered} postbacks"
            );
            sleep(LOOK_EVERY).await;
        }
    }

    /// Fails if anything was lost, doubled, or booked otherwise than it was sent.
    pub async fn judge(&self, record: &Record) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect_with(&self.database).await?;
        let queries: Vec<String> = sqlx::query_scalar(
            "SELECT query FROM conversions UNION ALL SELECT query FROM unmatched_conversions",
        )
        .fetch_all(&mut connection)
        .await?;
        let mut kept: BTreeMap<u64, u32> = BTreeMap::new();
        for query in &queries {
            let request = request(query).context("a report that wasn't sent")?;
            *kept.entry(request).or_default() += 1;
        }
        for (request, answered) in &record.kept.postbacks {
            let times = kept.remove(request).unwrap_or_default();
            ensure!(times <= 1, "postback {request} is kept {times} times");
            ensure!(times == 1 || !answered, "postback {request} is lost");
        }
        ensure!(kept.is_empty(), "{} reports weren't sent", kept.len());

        let clicks: Vec<i64> = sqlx::query_scalar("SELECT click_id FROM clicks")
            .fetch_all(&mut connection)
            .await?;
        let clicks: BTreeSet<i64> = clicks.into_iter().collect();
        let lost = record.kept.clicks.difference(&clicks).count();
        ensure!(lost == 0, "{lost} clicks are lost");

        let booked: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT txn_id, sum(posted_commission)::int8, count(*) FROM ledger GROUP BY txn_id",
        )
        .fetch_all(&mut connection)
        .await?;
        ensure!(
            booked.len() == record.kept.commission.len(),
            "{} orders have a ledger row, and {} were sent",
            booked.len(),
            record.kept.commission.len()
        );
        for (order, paise, rows) in booked {
            let owed = record.kept.commission.get(&order).copied();
            ensure!(
                owed == Some(paise) && rows == 1,
                "{order}: {paise} paise are booked in {rows} rows, and {owed:?} are owed"
            );
        }
        let wrong: i64 = sqlx::query_scalar(UNBALANCED)
            .fetch_one(&mut connection)
            .await?;
        ensure!(wrong == 0, "{wrong} claims or transactions don't balance");
        Ok(connection.close().await?)
    }
}

/// Transactions that don't sum to zero, and claims whose postings aren't what their row says.
const UNBALANCED: &str = "
    SELECT (SELECT count(*) FROM (
                SELECT FROM postings GROUP BY transaction_id, currency HAVING sum(amount) <> 0
            ) AS transactions)
         + (SELECT count(*) FROM ledger d LEFT JOIN (
                SELECT led_id,
                       -sum(amount) FILTER (WHERE account = 'network_receivable') AS commission,
                       sum(amount) FILTER (WHERE account IN ('user_payable', 'unclaimed'))
                           AS shopper,
                       sum(amount) FILTER (WHERE account = 'creator_payable') AS creator
                FROM postings GROUP BY led_id
            ) AS p USING (led_id)
            WHERE (posted_commission, posted_user, posted_creator) IS DISTINCT FROM
                  (coalesce(commission, 0), coalesce(shopper, 0), coalesce(creator, 0)))";

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.child.wait();
    }
}

/// The number that a postback is recognised by.
pub fn request(query: &str) -> Option<u64> {
    let (_, rest) = query.split_once("request=")?;
    rest.split_once('.')?.0.parse().ok()
}

/// Where the peers are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers")
}

/// Where `make setup-peers` puts what it fetches and builds.
pub fn cache() -> PathBuf {
    env::var_os("HISSABACK_CACHE_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache"),
        PathBuf::from,
    )
}
