//! Rows set aside in temporary tables, on a connection of their own.

use chrono::{DateTime, Utc};
use schemas::{EventId, NetworkId, Timestamp, events::Reported};
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection, PgPool};

use super::{PAGE_ROWS, ReconcileError, parked};
use crate::export::ExportRow;

const SET_ASIDE: &str = "
    CREATE TEMPORARY TABLE export_rows (
        line         bigint PRIMARY KEY,
        identity     bytea NOT NULL,
        content      bytea NOT NULL,
        converted_at timestamptz,
        row_bytes    bytea NOT NULL
    );
    CREATE INDEX export_rows_identity ON export_rows (identity, line);
    CREATE TEMPORARY TABLE parked_reports (
        identity bytea NOT NULL,
        said     bytea NOT NULL,
        PRIMARY KEY (identity, said)
    );
    CREATE TEMPORARY TABLE matched_claims (led_id bigint PRIMARY KEY);";

/// Rows on their way into the table, column by column.
#[derive(Default)]
struct Batch {
    lines: Vec<i64>,
    identities: Vec<Vec<u8>>,
    contents: Vec<Vec<u8>>,
    times: Vec<Option<DateTime<Utc>>>,
    rows: Vec<Vec<u8>>,
}

/// Temporary tables, which go with their connection.
pub(super) struct Staging {
    pub(super) connection: PgConnection,
    batch: Batch,
}

/// A row that was set aside, and what other rows mean for it.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct StagedRow {
    line: i64,
    pub(super) row_bytes: Vec<u8>,
    /// Whether a later row on the same conversion says something else.
    pub(super) superseded: bool,
    /// Whether a later row says the same, to the byte.
    pub(super) repeated: bool,
}

impl StagedRow {
    pub(super) fn line(&self) -> u64 {
        self.line.unsigned_abs()
    }
}

/// What tells a row from others: the network's conversion id, else click, order and goal.
pub(super) fn identity(fields: &Reported) -> Vec<u8> {
    let mut hash = Sha256::new();
    let mut part = |text: Option<&str>| {
        let text = text.unwrap_or_default();
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    if let Some(conversion) = &fields.network_conversion_id {
        part(Some(conversion));
    } else {
        part(Some(&fields.click_ref));
        part(fields.txn_id.as_deref());
        part(fields.goal_id.as_deref());
    }
    hash.finalize()[..16].to_vec()
}

impl Staging {
    pub(super) async fn open(pool: &PgPool) -> Result<Self, ReconcileError> {
        let mut connection = pool.acquire().await?.detach();
        sqlx::raw_sql(SET_ASIDE).execute(&mut connection).await?;
        Ok(Self {
            connection,
            batch: Batch::default(),
        })
    }

    /// Sets a row aside; durable enough once flushed, since it lives as long as its connection.
    pub(super) async fn set_aside(
        &mut self,
        row: &ExportRow,
        fields: &Reported,
    ) -> Result<(), ReconcileError> {
        let batch = &mut self.batch;
        batch.lines.push(row.line.cast_signed());
        batch.identities.push(identity(fields));
        batch
            .contents
            .push(Sha256::digest(&row.bytes)[..16].to_vec());
        batch
            .times
            .push(fields.converted_at.map(Timestamp::to_datetime));
        batch.rows.push(row.bytes.clone());
        if batch.lines.len() >= usize::from(PAGE_ROWS) {
            self.flush().await?;
        }
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> Result<(), ReconcileError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.lines.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO export_rows
             SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::timestamptz[],
                                  $5::bytea[])",
        )
        .bind(&batch.lines)
        .bind(&batch.identities)
        .bind(&batch.contents)
        .bind(&batch.times)
        .bind(&batch.rows)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// What is parked of the network already, so that it isn't appended again.
    pub(super) async fn load_parked(&mut self, network: NetworkId) -> Result<(), ReconcileError> {
        parked::load(&mut self.connection, network).await
    }

    /// The first and last conversion times of the rows that were set aside.
    pub(super) async fn span(&mut self) -> Result<Option<(Timestamp, Timestamp)>, ReconcileError> {
        type Span = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);
        let (first, last): Span =
            sqlx::query_as("SELECT min(converted_at), max(converted_at) FROM export_rows")
                .fetch_one(&mut self.connection)
                .await?;
        let span = first.zip(last);
        Ok(span.map(|(first, last)| (first.into(), last.into())))
    }

    /// The next rows after a line.
    pub(super) async fn page(&mut self, after: u64) -> Result<Vec<StagedRow>, ReconcileError> {
        let rows = sqlx::query_as(
            "SELECT r.line, r.row_bytes,
                    EXISTS (SELECT FROM export_rows l
                            WHERE l.identity = r.identity AND l.line > r.line
                              AND l.content <> r.content) AS superseded,
                    EXISTS (SELECT FROM export_rows l
                            WHERE l.identity = r.identity AND l.line > r.line
                              AND l.content = r.content) AS repeated
             FROM export_rows r WHERE r.line > $1 ORDER BY r.line LIMIT $2",
        )
        .bind(after.cast_signed())
        .bind(i64::from(PAGE_ROWS))
        .fetch_all(&mut self.connection)
        .await?;
        Ok(rows)
    }

    /// Claims that a row was matched to.
    pub(super) async fn note_matched(&mut self, claims: &[EventId]) -> Result<(), ReconcileError> {
        let claims: Vec<i64> = claims.iter().map(|claim| claim.get()).collect();
        sqlx::query(
            "INSERT INTO matched_claims SELECT * FROM unnest($1::bigint[]) ON CONFLICT DO NOTHING",
        )
        .bind(&claims)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    pub(super) async fn close(&mut self) -> Result<(), ReconcileError> {
        sqlx::raw_sql("DROP TABLE export_rows, parked_reports, matched_claims")
            .execute(&mut self.connection)
            .await?;
        Ok(self.connection.ping().await?)
    }
}
