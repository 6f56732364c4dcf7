//! The outbox: what the ledger has to say to the log, written with the rows that it is about.
//!
//! The relay publishes rows in order, only those that no running transaction can still precede,
//! and deletes them after the delivery report: a row that is gone is durable in the log. What is
//! published twice after a crash is told apart by its content.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use schemas::{
    Topic,
    codec::{self, Event},
};
use sqlx::{PgConnection, PgPool, Postgres, Row, pool::PoolConnection};
use stream::{
    Log, NewRecord,
    commit_points::{self, CommitPoint},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{LedgerError, columns::Columns, epoch};

const ROWS_MAX: u16 = 1_000;
/// How long a relay waits before it looks again: for rows of other processes, and for the lock.
const IDLE_WAIT: Duration = Duration::from_millis(50);
const ERROR_WAIT: Duration = Duration::from_millis(500);

/// A record with the sequence that it was given.
#[derive(Debug)]
pub(super) struct OutboxRow {
    pub sequence: i64,
    pub topic: Topic,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// Draws sequences for `count` records.
pub(super) async fn reserve(
    connection: &mut PgConnection,
    count: usize,
) -> Result<Vec<i64>, LedgerError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let sequences =
        sqlx::query_scalar("SELECT nextval('outbox_sequence_seq') FROM generate_series(1, $1)")
            .bind(count)
            .fetch_all(connection)
            .await?;
    Ok(sequences)
}

pub(super) async fn enqueue_reserved(
    connection: &mut PgConnection,
    epoch: i64,
    records: &[OutboxRow],
) -> Result<(), LedgerError> {
    Columns::of(records)
        .column("sequence", |record| record.sequence)
        .column("epoch", |_| epoch)
        .column("topic", |record| record.topic.name())
        .column("key", |record| &*record.key)
        .column("value", |record| &*record.value)
        .insert_into(connection, "outbox")
        .await?;
    Ok(())
}

/// Enqueues one event in the caller's transaction, and gives its sequence.
///
/// # Errors
/// When the database refuses.
pub async fn enqueue<E: Event>(
    connection: &mut PgConnection,
    key: &str,
    event: &E,
) -> Result<i64, LedgerError> {
    let sequence = sqlx::query_scalar(
        "INSERT INTO outbox (epoch, topic, key, value)
         VALUES ((SELECT epoch FROM ledger_epoch), $1, $2, $3) RETURNING sequence",
    )
    .bind(E::TOPIC.name())
    .bind(key.as_bytes())
    .bind(codec::encode(event)?)
    .fetch_one(connection)
    .await?;
    Ok(sequence)
}

/// Enqueues events in the caller's transaction, in their order and by one statement each for
/// sequences and rows; gives their sequences.
///
/// # Errors
/// When the database refuses.
pub async fn enqueue_all<E: Event>(
    connection: &mut PgConnection,
    events: &[E],
    key: impl Fn(&E) -> String,
) -> Result<Vec<i64>, LedgerError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let epoch = epoch::current(connection).await?.number;
    let sequences = reserve(connection, events.len()).await?;
    let rows: Vec<OutboxRow> = events
        .iter()
        .zip(&sequences)
        .map(|(event, sequence)| {
            Ok(OutboxRow {
                sequence: *sequence,
                topic: E::TOPIC,
                key: key(event).into_bytes(),
                value: codec::encode(event)?,
            })
        })
        .collect::<Result<_, LedgerError>>()?;
    enqueue_reserved(connection, epoch, &rows).await?;
    Ok(sequences)
}

/// Publishes the outbox. Any number of processes may run one; an advisory lock lets one work.
pub struct OutboxRelay {
    pool: PgPool,
    log: Arc<dyn Log>,
    written: Arc<Notify>,
}

impl OutboxRelay {
    /// `written` is notified when this process has written rows, so that they go out at once.
    pub fn new(pool: PgPool, log: Arc<dyn Log>, written: Arc<Notify>) -> Self {
        Self { pool, log, written }
    }

    /// Publishes until `shutdown`. Errors are logged and waited out.
    pub async fn run(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let outcome = self.publish_while_locked(&shutdown).await;
            let wait = match outcome {
                Ok(()) => IDLE_WAIT,
                Err(error) => {
                    tracing::warn!(%error, "the outbox relay waits");
                    ERROR_WAIT
                }
            };
            shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
    }

    /// Takes the lock, if it is free, and publishes for as long as all goes well.
    async fn publish_while_locked(&self, shutdown: &CancellationToken) -> Result<(), LedgerError> {
        let mut connection = self.pool.acquire().await?;
        let locked: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtext('hissaback.outbox'))")
                .fetch_one(&mut *connection)
                .await?;
        if !locked {
            return Ok(());
        }
        let published = self.publish(&mut connection, shutdown).await;
        // The lock is the session's: closing the session gives it up, whatever state it is in.
        connection.close().await?;
        published
    }

    async fn publish(
        &self,
        connection: &mut PoolConnection<Postgres>,
        shutdown: &CancellationToken,
    ) -> Result<(), LedgerError> {
        while !shutdown.is_cancelled() {
            // Where there were as many as are read at once, there may be more.
            if self.publish_once(connection).await? < usize::from(ROWS_MAX) {
                let idle = tokio::time::timeout(IDLE_WAIT, self.written.notified());
                shutdown.run_until_cancelled(idle.map(drop)).await;
            }
        }
        Ok(())
    }

    /// Publishes what is ready, and gives its number.
    ///
    /// # Errors
    /// When the database or the log refuses; what was not deleted is published again.
    pub async fn publish_once(&self, connection: &mut PgConnection) -> Result<usize, LedgerError> {
        let rows = sqlx::query(
            "SELECT sequence, topic, key, value FROM outbox
             WHERE transaction_id < pg_snapshot_xmin(pg_current_snapshot())
             ORDER BY sequence LIMIT $1",
        )
        .bind(i64::from(ROWS_MAX))
        .fetch_all(&mut *connection)
        .await?;
        if !rows.is_empty() {
            commit_points::pass(CommitPoint::OutboxRead);
        }
        let mut published = Vec::with_capacity(rows.len());
        // Consecutive records of a topic go in one append; order across topics is kept.
        for same_topic in
            rows.chunk_by(|a, b| a.get::<&str, _>("topic") == b.get::<&str, _>("topic"))
        {
            let topic: Topic = same_topic[0]
                .get::<&str, _>("topic")
                .parse()
                .map_err(LedgerError::Invalid)?;
            let records = same_topic
                .iter()
                .map(|row| {
                    NewRecord::new(row.get::<Vec<u8>, _>("key"), row.get::<Vec<u8>, _>("value"))
                })
                .collect();
            self.log.append(topic, records).await?;
            published.extend(same_topic.iter().map(|row| row.get::<i64, _>("sequence")));
        }
        if !published.is_empty() {
            commit_points::pass(CommitPoint::OutboxPublished);
            sqlx::query("DELETE FROM outbox WHERE sequence = ANY($1)")
                .bind(&published)
                .execute(connection)
                .await?;
            commit_points::pass(CommitPoint::OutboxDeleted);
        }
        Ok(published.len())
    }
}
