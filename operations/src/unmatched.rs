//! Reports without a claim: list, look at one, match to a click by hand, give up.
//!
//! A match is a command in the log, which healing carries out. Giving up changes nothing that is
//! folded: the report stays parked, and is healed should its click turn up after all. It takes the
//! report off the list, with who decided it and why in the audit log.

use chrono::{DateTime, Utc};
use schemas::{
    ClickId, EventId, NetworkId, Position, Timestamp, Topic,
    codec::{self, CodecError},
    events::{ConversionReported, Decision},
};
use serde::Serialize;
use sqlx::{PgPool, Row, postgres::PgRow};
use stream::{Log, LogError};

use crate::originals;

/// Why unmatched reports can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum UnmatchedError {
    /// The database can't be read.
    #[error("unmatched reports can't be read: {0}")]
    Database(#[from] sqlx::Error),
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Given up without a reason or an author.
    #[error("say why, and who decides it")]
    Unexplained,
    /// The stored decision can't be read.
    #[error("a stored decision can't be read: {0}")]
    Stored(#[from] CodecError),
}

/// State of a report without a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its click.
    Parked,
    /// Can't be used.
    Ignored,
    /// Can't be read.
    DeadLettered,
    /// Found its click: a heal is in force.
    Healed,
    /// Given up by an operator.
    Discarded,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Parked,
        Self::Ignored,
        Self::DeadLettered,
        Self::Healed,
        Self::Discarded,
    ];

    /// Its name in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Ignored => "ignored",
            Self::DeadLettered => "dead_lettered",
            Self::Healed => "healed",
            Self::Discarded => "discarded",
        }
    }

    fn named(name: &str) -> sqlx::Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.name() == name);
        found.ok_or_else(|| sqlx::Error::Decode(format!("unknown state {name:?}").into()))
    }
}

/// A report without a claim, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnmatchedReport {
    /// Its `conversions` record: what it is named by in commands.
    pub position: Position,
    /// Its event id; zero for a record that can't be read.
    pub conv_id: EventId,
    /// When it was received.
    pub received_at: Timestamp,
    /// The network instance.
    pub network_id: NetworkId,
    /// The click that was looked for, where the reference named one.
    pub click_id: Option<ClickId>,
    /// Why it has no claim.
    pub reason: String,
    /// What it waits for.
    pub state: State,
    /// How often its click was looked for since.
    pub tries: i32,
    /// When it is looked for again; absent where only a person or the click itself helps.
    pub next_try_at: Option<Timestamp>,
}

/// A report with everything that is known of it.
#[derive(Debug, Clone, Serialize)]
pub struct UnmatchedDetail {
    /// As in the list.
    #[serde(flatten)]
    pub report: UnmatchedReport,
    /// What was decided on it.
    pub decision: Decision,
    /// The record itself, where the log holds it in its place and it can be read.
    pub original: Option<ConversionReported>,
}

/// What a list holds; an absent condition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Only in this state.
    pub state: Option<State>,
    /// Only for this reason.
    pub reason: Option<String>,
    /// Only of this network instance.
    pub network_id: Option<NetworkId>,
    /// Only received at or after this,
    pub from: Option<Timestamp>,
    /// and before this.
    pub to: Option<Timestamp>,
    /// Only after this one in the list's order: the last of the page before.
    pub after: Option<Position>,
    /// How many at most.
    pub limit: i64,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            state: Some(State::Parked),
            reason: None,
            network_id: None,
            from: None,
            to: None,
            after: None,
            limit: 100,
        }
    }
}

/// Lists reports without a claim, in the order of their positions.
///
/// # Errors
/// When the database can't be read.
pub async fn list(pool: &PgPool, filter: Filter) -> Result<Vec<UnmatchedReport>, UnmatchedError> {
    let rows = sqlx::query(
        "SELECT * FROM (
             SELECT u.*, CASE WHEN u.state = 'parked' AND EXISTS (
                 SELECT FROM audit_log a WHERE a.action = 'unmatched_discarded'
                 AND a.subject = 'conversions/' || source_partition || '/' || source_offset)
                 THEN 'discarded' ELSE u.state END AS shown_state
             FROM unmatched_conversions u
         ) u
         WHERE ($1::text IS NULL OR shown_state = $1)
           AND ($2::int IS NULL OR (source_partition, source_offset) > ($2, $3))
           AND ($5::text IS NULL OR reason = $5)
           AND ($6::int IS NULL OR network_id = $6)
           AND ($7::timestamptz IS NULL OR received_at >= $7)
           AND ($8::timestamptz IS NULL OR received_at < $8)
         ORDER BY source_partition, source_offset LIMIT $4",
    )
    .bind(filter.state.map(State::name))
    .bind(filter.after.map(|after| after.partition))
    .bind(filter.after.map(|after| after.offset))
    .bind(filter.limit)
    .bind(filter.reason)
    .bind(filter.network_id.map(NetworkId::get))
    .bind(filter.from.map(Timestamp::to_datetime))
    .bind(filter.to.map(Timestamp::to_datetime))
    .fetch_all(pool)
    .await?;
    Ok(rows.iter().map(report).collect::<Result<_, _>>()?)
}

/// Shows one; `None` where there is none at this position.
///
/// # Errors
/// When the database or the log can't be read.
pub async fn show(
    pool: &PgPool,
    log: &dyn Log,
    position: Position,
) -> Result<Option<UnmatchedDetail>, UnmatchedError> {
    let row = sqlx::query(
        "SELECT u.*, CASE WHEN u.state = 'parked' AND EXISTS (
             SELECT FROM audit_log a
             WHERE a.action = 'unmatched_discarded' AND a.subject = $3)
             THEN 'discarded' ELSE u.state END AS shown_state
         FROM unmatched_conversions u WHERE source_partition = $1 AND source_offset = $2",
    )
    .bind(position.partition)
    .bind(position.offset)
    .bind(position.to_string())
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(UnmatchedDetail {
        report: report(&row)?,
        decision: codec::decode(row.try_get::<&[u8], _>("decision")?)?,
        original: originals::report(log, position).await?.ok(),
    }))
}

/// Gives up a parked report; `false` where none is parked there, or it was given up before.
///
/// # Errors
/// When the database can't be read or written, or nobody says why.
pub async fn discard(
    pool: &PgPool,
    position: Position,
    author: &str,
    reason: &str,
) -> Result<bool, UnmatchedError> {
    let (author, reason) = (author.trim(), reason.trim());
    if author.is_empty() || reason.is_empty() {
        return Err(UnmatchedError::Unexplained);
    }
    let noted = sqlx::query(
        "INSERT INTO audit_log (author, action, subject, detail)
         SELECT $4, 'unmatched_discarded', $3,
                jsonb_build_object(
                    'reason', $5::text, 'conv_id', conv_id::text, 'unmatched', reason)
         FROM unmatched_conversions
         WHERE source_partition = $1 AND source_offset = $2 AND state = 'parked'
           AND NOT EXISTS (SELECT FROM audit_log
                           WHERE action = 'unmatched_discarded' AND subject = $3)",
    )
    .bind(position.partition)
    .bind(position.offset)
    .bind(position.to_string())
    .bind(author)
    .bind(reason)
    .execute(pool)
    .await?;
    Ok(noted.rows_affected() > 0)
}

fn report(row: &PgRow) -> sqlx::Result<UnmatchedReport> {
    let click_id: Option<i64> = row.try_get("click_id")?;
    let received_at: DateTime<Utc> = row.try_get("received_at")?;
    let next_try_at: Option<DateTime<Utc>> = row.try_get("next_try_at")?;
    Ok(UnmatchedReport {
        position: Position {
            topic: Topic::Conversions,
            partition: row.try_get("source_partition")?,
            offset: row.try_get("source_offset")?,
        },
        conv_id: EventId::new(row.try_get("conv_id")?),
        received_at: received_at.into(),
        network_id: NetworkId::new(row.try_get("network_id")?),
        click_id: click_id.map(ClickId::new),
        reason: row.try_get("reason")?,
        state: State::named(row.try_get("shown_state")?)?,
        tries: row.try_get("tries")?,
        next_try_at: next_try_at.map(Timestamp::from),
    })
}
