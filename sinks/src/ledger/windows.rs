//! How far velocity looks around the clicks that change, as far as stored reports tell.

use std::collections::BTreeMap;

use processors::rules::velocity::{HOURS_MAX, Window};
use schemas::{Timestamp, UserId};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{LedgerError, history::Clicks, rows};

/// Those of the windows that matter, each as long as the rules of later claims make it. There are
/// few: of most users nothing more has to be loaded.
pub(super) async fn that_matter(
    connection: &mut PgConnection,
    mut windows: BTreeMap<UserId, Window>,
) -> Result<BTreeMap<UserId, Window>, LedgerError> {
    if windows.is_empty() {
        return Ok(windows);
    }
    let users: Vec<Uuid> = windows.keys().map(|user| user.uuid()).collect();
    let from: Vec<_> = windows.values().map(|w| w.from.to_datetime()).collect();
    let to: Vec<_> = windows.values().map(|w| w.to.to_datetime()).collect();
    let hours: Vec<_> = windows.values().map(|window| window.hours).collect();
    // No window is longer than these: they prune partitions.
    let longest = || {
        windows.values().map(|w| Window {
            hours: HOURS_MAX,
            ..*w
        })
    };
    let since = longest().map(|window| window.since()).min();
    let until = longest().map(|window| window.until()).max();
    // A report that was stored before its rules were counts as one with the strictest. One user
    // after the other by the index: a join would be made with all reports there are.
    let rows = sqlx::query(
        "SELECT user_id, w.hours, reports, claims
         FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::int[])
              AS u (user_id, from_time, to_time, hours),
         LATERAL (
             SELECT greatest(u.hours, max(coalesce(velocity_hours, $5))) AS hours
             FROM conversions c
             WHERE c.user_id = u.user_id
               AND clicked_at BETWEEN from_time AND to_time + make_interval(hours => $5)
               AND clicked_at BETWEEN $6 AND $7
         ) AS w,
         LATERAL (
             SELECT count(*) AS reports, min(coalesce(velocity_claims, 1)) AS claims
             FROM conversions c
             WHERE c.user_id = u.user_id
               AND clicked_at BETWEEN from_time - make_interval(hours => w.hours)
                                  AND to_time + make_interval(hours => w.hours)
               AND clicked_at BETWEEN $6 AND $7
         ) AS r",
    )
    .bind(&users)
    .bind(&from)
    .bind(&to)
    .bind(&hours)
    .bind(HOURS_MAX)
    .bind(since.map(Timestamp::to_datetime))
    .bind(until.map(Timestamp::to_datetime))
    .fetch_all(connection)
    .await?;
    for row in rows {
        let user = UserId::new(row.try_get("user_id")?);
        let (reports, claims): (i64, Option<i32>) =
            (row.try_get("reports")?, row.try_get("claims")?);
        if let Some(window) = windows.get_mut(&user) {
            window.hours = row.try_get("hours")?;
            window.reports += reports;
            window.claims = claims.map_or(window.claims, |claims| window.claims.min(claims));
        }
    }
    windows.retain(|_, window| window.matters());
    Ok(windows)
}

/// Clicks of the users with reports in the windows. Also those whose claims were undone since: a
/// claim that closed before then counts them.
pub(super) async fn clicks(
    connection: &mut PgConnection,
    windows: &BTreeMap<UserId, Window>,
) -> Result<Clicks, LedgerError> {
    if windows.is_empty() {
        return Ok(Clicks::new());
    }
    let users: Vec<Uuid> = windows.keys().map(|user| user.uuid()).collect();
    let since: Vec<_> = windows.values().map(|w| w.since().to_datetime()).collect();
    let until: Vec<_> = windows.values().map(|w| w.until().to_datetime()).collect();
    let rows = sqlx::query(
        "SELECT DISTINCT click_id, clicked_at
         FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[])
              AS u (user_id, since, until)
         JOIN conversions USING (user_id)
         WHERE clicked_at BETWEEN since AND until AND clicked_at BETWEEN $4 AND $5",
    )
    .bind(&users)
    .bind(&since)
    .bind(&until)
    .bind(since.iter().min())
    .bind(until.iter().max())
    .fetch_all(connection)
    .await?;
    rows::clicks(&rows)
}
