//! The ledger at one moment: its rows, and how far it had read the log.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, Utc};
use foldhash::quality::RandomState;
use futures::StreamExt;
use schemas::{EventId, Position, TenantId, Timestamp, Topic};
use sinks::ledger::{
    CONSUMER, LedgerError,
    claim_rows::{self, ClaimRow, SentRow},
};
use sqlx::{PgConnection, PgPool, Postgres, Row, Transaction};
use stream::Log;
use tokio::task::spawn_blocking;

use super::{ROWS_AT_A_TIME, ReplayError, neighbours::Neighbourhoods, reading::Watermark};

/// Before every click.
const NEVER: Timestamp = Timestamp::from_millis(i64::MIN);
/// Batches of rows that are read at the same time.
const BATCHES_AT_ONCE: usize = 2;

/// A transaction that sees one moment until it ends.
pub(crate) struct Moment {
    transaction: Transaction<'static, Postgres>,
    pub watermark: Watermark,
    pub retired_before: Timestamp,
    /// Whether all that was decided about payouts stands in the log below the watermark. If not,
    /// claims may show as paid, or not, ahead of it.
    pub payouts_at_rest: bool,
}

impl Moment {
    pub async fn open(pool: &PgPool, log: &dyn Log) -> Result<Self, ReplayError> {
        let mut transaction = pool.begin().await?;
        for setting in [
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
            // It stays open, and mostly idle, while the log is read.
            "SET LOCAL idle_in_transaction_session_timeout = 0",
        ] {
            sqlx::query(setting).execute(&mut *transaction).await?;
        }
        let (rebuilding, retired_before): (bool, Option<DateTime<Utc>>) =
            sqlx::query_as("SELECT rebuilding, reports_retired_before FROM ledger_epoch")
                .fetch_one(&mut *transaction)
                .await?;
        if rebuilding {
            return Err(ReplayError::Rebuilding);
        }
        let rows = sqlx::query(
            "SELECT topic, partition, next_offset FROM consumer_positions WHERE consumer = $1",
        )
        .bind(CONSUMER)
        .fetch_all(&mut *transaction)
        .await?;
        let mut watermark = BTreeMap::new();
        for row in &rows {
            let topic: Topic = row
                .try_get::<&str, _>("topic")?
                .parse()
                .map_err(LedgerError::Invalid)?;
            let partition = (topic, row.try_get("partition")?);
            watermark.insert(partition, row.try_get("next_offset")?);
        }
        let unsent: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM outbox WHERE topic IN ('payouts', 'payout-results'))",
        )
        .fetch_one(&mut *transaction)
        .await?;
        let watermark = Watermark(watermark);
        let read = check_ends(log, &watermark).await?;
        Ok(Self {
            transaction,
            watermark,
            retired_before: retired_before.map_or(NEVER, Timestamp::from),
            payouts_at_rest: !unsent && read,
        })
    }

    /// The connection of the transaction.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Before when claims are final, if any are.
    pub fn retired_before(&self) -> Option<Timestamp> {
        (self.retired_before != NEVER).then_some(self.retired_before)
    }

    /// The rows that are wanted, by claim. Memory: about 30 bytes each.
    pub(super) async fn rows(&mut self, wanted: Wanted) -> Result<Rows, ReplayError> {
        let mut rows = Rows::default();
        let wanted = Arc::new(wanted);
        let (retired_before, hasher) = (self.retired_before, rows.hasher.clone());
        let batches = claim_rows::all(&mut self.transaction)
            .chunks(ROWS_AT_A_TIME)
            .map(|sent| {
                let (wanted, hasher) = (Arc::clone(&wanted), hasher.clone());
                spawn_blocking(move || fingerprints(sent, retired_before, &wanted, &hasher))
            })
            .buffered(BATCHES_AT_ONCE);
        let mut batches = std::pin::pin!(batches);
        while let Some(batch) = batches.next().await {
            for (claim, mark) in batch?? {
                if rows.marks.insert(claim, mark).is_some() {
                    return Err(LedgerError::Invalid(format!("claim {claim} has two rows")).into());
                }
            }
        }
        Ok(rows)
    }

    /// The rows of some claims.
    pub async fn rows_of(
        &mut self,
        claims: &[EventId],
    ) -> Result<HashMap<EventId, ClaimRow>, ReplayError> {
        let rows = claim_rows::of_claims(&mut self.transaction, claims).await?;
        Ok(rows.into_iter().map(|row| (row.claim(), row)).collect())
    }

    pub async fn close(self) -> Result<(), ReplayError> {
        Ok(self.transaction.rollback().await?)
    }
}

/// Fails where the ledger has read more than there is; tells whether it has read all about payouts.
async fn check_ends(log: &dyn Log, watermark: &Watermark) -> Result<bool, ReplayError> {
    let mut payouts_read = true;
    for (topic, partition) in watermark.0.keys().copied() {
        let next = watermark.end((topic, partition));
        let high = log.watermarks(topic, partition).await?.high;
        if next > high {
            let position = Position {
                topic,
                partition,
                offset: next,
            };
            return Err(ReplayError::LogLost { position, high });
        }
        payouts_read &= next == high || !matches!(topic, Topic::Payouts | Topic::PayoutResults);
    }
    Ok(payouts_read)
}

/// Which rows are wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only those of touched neighbourhoods.
    pub touched: Option<Arc<Neighbourhoods>>,
}

impl Wanted {
    fn wants(&self, row: &ClaimRow) -> bool {
        let touched = |all: &Arc<Neighbourhoods>| {
            let neighbours = all.of(row.click());
            neighbours.is_some_and(|neighbours| all.touched(neighbours))
        };
        self.tenant.is_none_or(|tenant| tenant == row.tenant())
            && self.touched.as_ref().is_none_or(touched)
    }
}

fn fingerprints(
    sent: Vec<Result<SentRow, LedgerError>>,
    retired_before: Timestamp,
    wanted: &Wanted,
    hasher: &RandomState,
) -> Result<Vec<(EventId, Mark)>, LedgerError> {
    let mut marks = Vec::with_capacity(sent.len());
    for row in sent {
        let row = row?.read()?;
        if row.clicked_at() >= retired_before && wanted.wants(&row) {
            marks.push((row.claim(), Mark::new(row.fingerprint(hasher))));
        }
    }
    Ok(marks)
}

/// Rows of the ledger, as far as they have to be told apart.
#[derive(Debug, Default)]
pub(super) struct Rows {
    marks: HashMap<EventId, Mark, foldhash::fast::RandomState>,
    /// With keys of its own: nobody can make up a row that looks like another.
    hasher: RandomState,
}

/// A row's fingerprint but for its lowest bit, which tells whether a fold has its claim.
#[derive(Debug)]
struct Mark(AtomicU64);

const SEEN: u64 = 1;

impl Mark {
    fn new(fingerprint: u64) -> Self {
        Self(AtomicU64::new(fingerprint & !SEEN))
    }

    fn matches(&self, fingerprint: u64) -> bool {
        (self.0.load(Ordering::Relaxed) ^ fingerprint) & !SEEN == 0
    }

    fn see(&self) {
        self.0.fetch_or(SEEN, Ordering::Relaxed);
    }

    fn seen(&self) -> bool {
        self.0.load(Ordering::Relaxed) & SEEN != 0
    }
}

/// How a claim of a fold stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Equal,
    Different,
    Missing,
}

impl Rows {
    /// Looks a claim up, and notes that the fold has it.
    pub fn find(&self, row: &ClaimRow) -> Found {
        let Some(mark) = self.marks.get(&row.claim()) else {
            return Found::Missing;
        };
        mark.see();
        if mark.matches(row.fingerprint(&self.hasher)) {
            Found::Equal
        } else {
            Found::Different
        }
    }

    /// Rows of claims that no fold had.
    pub fn unseen(&self) -> Vec<EventId> {
        let unseen = self.marks.iter().filter(|(_, mark)| !mark.seen());
        let mut unseen: Vec<_> = unseen.map(|(claim, _)| *claim).collect();
        unseen.sort_unstable();
        unseen
    }
}
