//! When the ledger had what it was sent, as seen from outside: a look at its positions every two
//! milliseconds.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use schemas::{Position, Topic, codec, events::Decision};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    generator::wall_micros, latencies::Latencies, oracle::evidence::Evidence, product::Product,
};

/// How exactly the moment is known at which the ledger has something.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// When the ledger was first seen to have read `decisions` up to an offset, by partition.
pub type Seen = HashMap<i32, BTreeMap<i64, u64>>;

/// Looks at the ledger's positions from outside, again and again.
pub struct Looker {
    stop: Arc<AtomicBool>,
    task: JoinHandle<anyhow::Result<Seen>>,
}

impl Looker {
    pub fn begin(product: &Product) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(look(product.database(), Arc::clone(&stop)));
        Self { stop, task }
    }

    pub async fn end(self) -> anyhow::Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

async fn look(database: PgConnectOptions, stop: Arc<AtomicBool>) -> anyhow::Result<Seen> {
    let mut connection = PgConnection::connect_with(&database).await?;
    let query = "SELECT partition, next_offset FROM consumer_positions \
                 WHERE consumer = 'ledger' AND topic = 'decisions'";
    let mut seen = Seen::new();
    loop {
        // Once more after it was told to end, so that nothing is left unseen.
        let last = stop.load(Ordering::Relaxed);
        let rows: Vec<(i32, i64)> = sqlx::query_as(query).fetch_all(&mut connection).await?;
        let now = wall_micros();
        for (partition, next_offset) in rows {
            let moments = seen.entry(partition).or_default();
            moments.entry(next_offset).or_insert(now);
        }
        if last {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    connection.close().await?;
    Ok(seen)
}

/// When the ledger had each postback, in microseconds since 1970, by the postback's number. Read
/// from a product that is stopped.
pub async fn ledgered_at(
    product: &Product,
    evidence: &Evidence,
    seen: &Seen,
) -> anyhow::Result<HashMap<u64, u64>> {
    let requests: HashMap<(i32, i64), u64> = evidence
        .logged
        .iter()
        .filter_map(|logged| Some((logged.position, logged.request?)))
        .collect();
    let log = product.log().await?;
    let mut ledgered = HashMap::new();
    for partition in 0..Topic::Decisions.partitions() {
        let mut offset = 0;
        loop {
            let records = log.read(Topic::Decisions, partition, offset, 1_000).await?;
            let Some(last) = records.last() else { break };
            let next = last.position.offset + 1;
            for record in records {
                let decision: Decision = codec::decode(&record.value)?;
                let Position {
                    partition: source,
                    offset,
                    ..
                } = decision.source;
                let moments = seen.get(&partition);
                // The first look at which the position lay beyond the record.
                let at = moments.and_then(|moments| {
                    let beyond = record.position.offset + 1;
                    moments.range(beyond..).next().map(|(_, at)| *at)
                });
                if let (Some(request), Some(at)) = (requests.get(&(source, offset)), at) {
                    ledgered.entry(*request).or_insert(at);
                }
            }
            offset = next;
        }
    }
    log.close().await;
    Ok(ledgered)
}

/// How long each postback took from when it was due.
pub fn latencies(due: &[(u64, u64)], ledgered: &HashMap<u64, u64>) -> anyhow::Result<Latencies> {
    let latencies = due.iter().map(|(request, due)| {
        let at = ledgered.get(request).copied();
        at.context("a postback that no look at the ledger saw")
            .map(|at| at.saturating_sub(*due))
    });
    let latencies: anyhow::Result<Vec<u64>> = latencies.collect();
    Ok(Latencies::of(latencies?))
}
