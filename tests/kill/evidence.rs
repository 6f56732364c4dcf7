//! What the product holds in the end: its log, its tables, and the cards that were issued.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use schemas::{Topic, codec, events::ConversionReported};
use sinks::payouts::fake_agcod::FakeAgcod;
use sqlx::{PgPool, Row, postgres::PgConnectOptions};
use stream::{EmbeddedLog, EmbeddedOptions, Log, SystemClock};
use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(200);

/// Partition and offset in `conversions`.
pub type Position = (i32, i64);

/// A record of `conversions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    pub position: Position,
    /// The number that the postback carried, if it carried one.
    pub request: Option<u64>,
    /// Whether it is a heal: made by the product from another record.
    pub heal: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    pub request_id: String,
    pub amount: String,
    pub state: String,
}

/// What the product holds.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    pub logged: Vec<Logged>,
    /// How many rows say what became of a record of `conversions`.
    pub fates: BTreeMap<Position, u32>,
    /// How many rows each click has.
    pub clicks: BTreeMap<i64, u32>,
    /// Commission booked, in paise, by order.
    pub commission: BTreeMap<String, i64>,
    /// Claims in the ledger.
    pub claims: u64,
    /// Claims that no report stands behind.
    pub claims_without_report: u64,
    /// Transactions whose postings don't sum to zero in every currency.
    pub unbalanced: u64,
    pub payouts: Vec<Payout>,
    /// Amounts of issued cards, by the request id that they were issued for.
    pub cards: BTreeMap<String, String>,
}

impl Evidence {
    /// Payouts that wait for their first or next try.
    pub fn payouts_waiting(&self) -> usize {
        let waiting = |payout: &&Payout| matches!(payout.state.as_str(), "queued" | "sending");
        self.payouts.iter().filter(waiting).count()
    }
}

/// The tables of a product that runs.
pub struct Tables {
    pool: PgPool,
}

impl Tables {
    /// As the superuser: what is compared is everything there is.
    pub async fn open(data: &Path) -> Self {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(data.join("run/postgres"))
            .port(5432)
            .username("postgres")
            .database("hissaback");
        Self::over(PgPool::connect_with(options).await.expect("connected"))
    }

    /// Those behind a pool, which is closed in the end.
    pub const fn over(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Waits until nothing is on its way any more: every outbox row published, and every parked
    /// report healed.
    pub async fn settle(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let outbox = self.count("SELECT count(*) FROM outbox").await;
            let parked = "SELECT count(*) FROM unmatched_conversions WHERE state = 'parked'";
            let parked = self.count(parked).await;
            if outbox == 0 && parked == 0 {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "still on their way: {outbox} outbox rows, {parked} parked reports"
            );
            sleep(POLL).await;
        }
    }

    /// Waits until every payout is made, or `patience` is over: the later tries of one that was
    /// interrupted again and again lie far apart.
    pub async fn settle_payouts(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let waiting = "SELECT count(*) FROM payouts WHERE state IN ('queued', 'sending')";
        while self.count(waiting).await > 0 && Instant::now() < deadline {
            sleep(POLL).await;
        }
    }

    async fn count(&self, query: &'static str) -> i64 {
        let counted = sqlx::query_scalar(query).fetch_one(&self.pool).await;
        counted.expect("counted")
    }

    /// Everything but the log and the cards.
    pub async fn read(self) -> Evidence {
        let numbers = "SELECT (SELECT count(*) FROM ledger),
                (SELECT count(*) FROM ledger l WHERE NOT EXISTS
                    (SELECT FROM conversions c WHERE c.led_id = l.led_id)),
                (SELECT count(DISTINCT transaction_id) FROM
                    (SELECT transaction_id FROM postings GROUP BY transaction_id, currency
                     HAVING sum(amount) <> 0) AS unbalanced)";
        let row = sqlx::query(numbers).fetch_one(&self.pool).await;
        let row = row.expect("read");
        let [claims, claims_without_report, unbalanced] =
            [0, 1, 2].map(|column| row.get::<i64, _>(column).unsigned_abs());
        let fates = "SELECT source_partition, source_offset, count(*)::int4 FROM
                (SELECT source_partition, source_offset FROM conversions
                 UNION ALL SELECT source_partition, source_offset FROM unmatched_conversions) AS f
             GROUP BY 1, 2";
        let fates: Vec<(i32, i64, i32)> = self.rows(fates).await;
        let clicks = "SELECT click_id, count(*)::int4 FROM clicks GROUP BY 1";
        let clicks: Vec<(i64, i32)> = self.rows(clicks).await;
        let commission = "SELECT c.txn_id, (sum(-p.amount) * 100)::int8
             FROM postings p
             JOIN (SELECT DISTINCT ON (conv_id) conv_id, txn_id FROM conversions) AS c
                  ON c.conv_id = p.led_id
             WHERE p.account = 'network_receivable' GROUP BY 1";
        let payouts = "SELECT creation_request_id, amount::text, state FROM payouts";
        let payouts: Vec<(String, String, String)> = self.rows(payouts).await;
        let evidence = Evidence {
            fates: fates
                .into_iter()
                .map(|(partition, offset, rows)| ((partition, offset), rows.unsigned_abs()))
                .collect(),
            clicks: clicks
                .into_iter()
                .map(|(click, rows)| (click, rows.unsigned_abs()))
                .collect(),
            commission: self.rows(commission).await.into_iter().collect(),
            claims,
            claims_without_report,
            unbalanced,
            payouts: payouts
                .into_iter()
                .map(|(request_id, amount, state)| Payout {
                    request_id,
                    amount,
                    state,
                })
                .collect(),
            ..Evidence::default()
        };
        self.pool.close().await;
        evidence
    }

    async fn rows<R>(&self, query: &'static str) -> Vec<R>
    where
        R: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        sqlx::query_as(query)
            .fetch_all(&self.pool)
            .await
            .expect("read")
    }
}

/// Every record of `conversions`, once the product is stopped.
pub async fn read_log(data: &Path) -> Vec<Logged> {
    let log = EmbeddedLog::open(
        data.join("log"),
        Arc::new(SystemClock),
        EmbeddedOptions::default(),
    )
    .expect("the log");
    let logged = logged(&*log).await;
    log.close().await;
    logged
}

/// Every record of `conversions` that a log holds.
pub async fn logged(log: &dyn Log) -> Vec<Logged> {
    let mut logged = Vec::new();
    for partition in 0..Topic::Conversions.partitions() {
        let mut offset = 0;
        loop {
            let read = log.read(Topic::Conversions, partition, offset, 1_000).await;
            let records = read.expect("read");
            let Some(last) = records.last() else { break };
            offset = last.position.offset + 1;
            logged.extend(records.iter().map(|record| {
                let report: ConversionReported = codec::decode(&record.value).expect("decoded");
                Logged {
                    position: (partition, record.position.offset),
                    request: request_number(&report.raw.bytes),
                    heal: report.heal.is_some(),
                }
            }));
        }
    }
    logged
}

/// The number that the load wrote into a postback.
fn request_number(raw: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(raw).ok()?;
    let (_, rest) = text.split_once("request=")?;
    rest.split_once('.')?.0.parse().ok()
}

/// What was really issued.
pub fn cards(agcod: &FakeAgcod) -> BTreeMap<String, String> {
    let cards = agcod.cards().into_iter();
    cards
        .map(|(request_id, card)| (request_id, card.amount.to_string()))
        .collect()
}
