//! Operators' commands, pauses, and what there is to watch.

use schemas::{EventId, PayoutId, Timestamp};
use sqlx::{PgConnection, Row};

use super::{Store, StoreError, attempts, rows};

/// What orders commands on one subject: of several, the highest holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommandOrder {
    /// When it was given.
    pub issued_at: Timestamp,
    /// Its id.
    pub command_id: EventId,
}

/// What there is to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// How long the oldest due payout has been due.
    pub oldest_due_ms: i64,
    /// Whether the channel stands still.
    pub paused: bool,
}

impl Store {
    /// Tries a payout in an error state again, on an operator's command. Returns whether that
    /// changed anything: a command that comes again doesn't, nor one on a payout that doesn't
    /// wait for it.
    pub async fn release(
        &self,
        payout_id: PayoutId,
        command: CommandOrder,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.adopt(Some(&[payout_id]), now).await?;
        let mut transaction = self.pool.begin().await?;
        // The payout's row before its dispatch row, as everywhere.
        let locked = attempts::lock(&mut transaction, &[payout_id]).await?;
        let recorded = sqlx::query(
            "UPDATE payout_dispatch SET released_issued_at = $2, released_command_id = $3
             WHERE payout_id = $1 AND channel = $4 AND (released_issued_at IS NULL
                OR (released_issued_at, released_command_id) < ($2, $3))",
        )
        .bind(payout_id.uuid())
        .bind(command.issued_at.to_datetime())
        .bind(command.command_id.get())
        .bind(self.channel)
        .execute(&mut *transaction)
        .await?;
        let newer = recorded.rows_affected() > 0;
        let mut released = false;
        if let (Some(before), true) = (locked.get(&payout_id), newer)
            && let Some(dispatch) = before.released(now)
        {
            let tried_again = [(payout_id, dispatch, None)];
            rows::write_dispatches(&mut transaction, &tried_again, None).await?;
            released = true;
        }
        transaction.commit().await?;
        Ok(released)
    }

    /// Pauses or resumes a channel on an operator's command; an older command than the last one
    /// changes nothing. Returns whether it took effect.
    pub async fn switch_channel(
        &self,
        channel: &str,
        paused: bool,
        reason: &str,
        command: CommandOrder,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let switched = sqlx::query(
            "INSERT INTO payout_channels AS c
                (channel, paused, reason, paused_at, switched_issued_at, switched_command_id)
             VALUES ($1, $2, CASE WHEN $2 THEN $3 END, CASE WHEN $2 THEN $4 END, $5, $6)
             ON CONFLICT (channel) DO UPDATE
             SET paused = excluded.paused, reason = excluded.reason,
                 paused_at = excluded.paused_at, switched_issued_at = excluded.switched_issued_at,
                 switched_command_id = excluded.switched_command_id
             WHERE c.switched_issued_at IS NULL
                OR (c.switched_issued_at, c.switched_command_id)
                 < (excluded.switched_issued_at, excluded.switched_command_id)",
        )
        .bind(channel)
        .bind(paused)
        .bind(reason)
        .bind(now.to_datetime())
        .bind(command.issued_at.to_datetime())
        .bind(command.command_id.get())
        .execute(&self.pool)
        .await?;
        Ok(switched.rows_affected() > 0)
    }

    /// No calls before `until`, by any dispatcher.
    pub async fn hold(&self, until: Timestamp) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        hold(&mut connection, self.channel, until).await
    }

    /// Whether the rail has said that there were too many calls, not long ago.
    pub async fn held(&self, now: Timestamp) -> Result<bool, StoreError> {
        let held = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM payout_channels WHERE channel = $1 AND held_until > $2)",
        )
        .bind(self.channel)
        .bind(now.to_datetime())
        .fetch_one(&self.pool)
        .await?;
        Ok(held)
    }

    /// What there is to watch.
    pub async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError> {
        let row = sqlx::query(
            "SELECT (SELECT min(d.next_attempt_at) FROM payout_dispatch d
                     WHERE d.channel = $1 AND d.next_attempt_at <= $2) AS oldest_due_at,
                    EXISTS (SELECT FROM payout_channels c WHERE c.channel = $1 AND c.paused)
                        AS paused",
        )
        .bind(self.channel)
        .bind(now.to_datetime())
        .fetch_one(&self.pool)
        .await?;
        let oldest_due_at = rows::instant(&row, "oldest_due_at")?;
        Ok(Backlog {
            oldest_due_ms: oldest_due_at.map_or(0, |due_at| now.millis_since(due_at)),
            paused: row.try_get("paused")?,
        })
    }
}

/// Stops a channel because of its own answers. Only an operator's command resumes it.
pub(super) async fn pause(
    connection: &mut PgConnection,
    channel: &str,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO payout_channels AS c (channel, paused, reason, paused_at)
         VALUES ($1, true, $2, $3)
         ON CONFLICT (channel) DO UPDATE
         SET paused = true, reason = excluded.reason, paused_at = excluded.paused_at
         WHERE NOT c.paused",
    )
    .bind(channel)
    .bind(reason)
    .bind(now.to_datetime())
    .execute(connection)
    .await?;
    Ok(())
}

/// No calls before `until`, by any dispatcher: the rail said that there were too many.
pub(super) async fn hold(
    connection: &mut PgConnection,
    channel: &str,
    until: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO payout_channels AS c (channel, held_until) VALUES ($1, $2)
         ON CONFLICT (channel) DO UPDATE
         SET held_until = greatest(c.held_until, excluded.held_until)",
    )
    .bind(channel)
    .bind(until.to_datetime())
    .execute(connection)
    .await?;
    Ok(())
}
