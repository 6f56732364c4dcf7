//! Loads what the fold needs to know: the closure that [`Neighbourhood`] asks for.

use std::collections::{BTreeMap, BTreeSet};

use processors::rules::{
    fold::Fate,
    history::{self, HealClaim, OrderKey, Report},
    settlement::{Neighbourhood, Scope},
    velocity,
};
use schemas::{
    ClickId, EventId, Minor, Position, Timestamp, Topic, UserId, codec,
    events::{Command, Decision},
};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::{LedgerError, locks, rows};

const MILLIS_PER_HOUR: i64 = 3_600_000;

/// A click and its time, which tells its partition.
pub(super) type Clicks = BTreeMap<ClickId, Timestamp>;

/// Where a stored report stands: what is compared before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredReport {
    pub clicked_at: Timestamp,
    pub led_id: Option<EventId>,
    pub fate: String,
}

/// Everything loaded, and what to evaluate.
#[derive(Debug, Default)]
pub(super) struct History {
    pub neighbourhood: Neighbourhood,
    pub scope: Scope,
    /// Stored reports by position; fresh ones aren't in it.
    pub stored: BTreeMap<Position, StoredReport>,
    /// Times of all clicks loaded.
    pub clicks: Clicks,
    /// Claims on clicks before it are final: they are nobody's neighbours.
    retired_before: Timestamp,
}

/// Loads the closure of the changed clicks and takes the locks of orders and payees on the way.
/// `fresh` are reports that aren't stored yet, `payees` users to be locked besides those found.
/// Commands and payments are loaded apart, once the payouts' states are final.
pub(super) async fn load(
    connection: &mut PgConnection,
    changed: &Clicks,
    fresh: &[Report],
    payees: &BTreeSet<UserId>,
    retired_before: Timestamp,
) -> Result<History, LedgerError> {
    let mut history = History {
        retired_before,
        ..History::default()
    };
    history.scope.clicks = changed.keys().copied().collect();
    history.load_clicks(connection, changed.clone()).await?;
    for report in fresh {
        let reports = history
            .neighbourhood
            .reports
            .entry(report.click_id())
            .or_default();
        reports.push(report.clone());
    }

    let orders = history.orders();
    if !orders.is_empty() {
        // Whoever names an order has inserted it before, so a new one has no claimants.
        let known = locks::orders(connection, &orders).await?;
        history.load_claimants(connection, &known).await?;
    }
    history.scope.orders = orders;

    let windows = history.velocity_windows();
    let locked: BTreeSet<UserId> = windows.keys().chain(payees).copied().collect();
    if !locked.is_empty() {
        locks::payees(connection, &locked).await?;
    }
    let windows = history.windows_that_matter(connection, windows).await?;
    history.scope.users = windows
        .iter()
        .map(|(user, window)| (*user, (window.from, window.until())))
        .collect();
    if !windows.is_empty() {
        let clicks = clicks_of_users(connection, &windows).await?;
        history.load_clicks(connection, clicks).await?;
        let others = &history.orders() - &history.scope.orders;
        history.load_claimants(connection, &others).await?;
    }
    history.resolve_heals(connection).await?;
    history.read_places_again(connection).await?;
    Ok(history)
}

impl History {
    fn orders(&self) -> BTreeSet<OrderKey> {
        self.reports().filter_map(Report::order_key).collect()
    }

    fn reports(&self) -> impl Iterator<Item = &Report> {
        self.neighbourhood.reports.values().flatten()
    }

    /// Loads the reports of those clicks that aren't loaded yet.
    async fn load_clicks(
        &mut self,
        connection: &mut PgConnection,
        clicks: Clicks,
    ) -> Result<(), LedgerError> {
        let missing: Clicks = clicks
            .into_iter()
            .filter(|(click, at)| !self.clicks.contains_key(click) && *at >= self.retired_before)
            .collect();
        let Some((from, to)) = span(&missing) else {
            return Ok(());
        };
        let ids: Vec<i64> = missing.keys().map(|click| click.get()).collect();
        let stored = sqlx::query(
            "SELECT source_partition, source_offset, clicked_at, led_id, fate, decision
             FROM conversions
             WHERE click_id = ANY($1) AND clicked_at BETWEEN $2 AND $3",
        )
        .bind(&ids)
        .bind(from.to_datetime())
        .bind(to.to_datetime())
        .fetch_all(connection)
        .await?;
        for row in &stored {
            let report = report(row)?;
            let led_id: Option<i64> = row.try_get("led_id")?;
            self.stored.insert(
                report.position,
                StoredReport {
                    clicked_at: report.matched.click.clicked_at,
                    led_id: led_id.map(EventId::new),
                    fate: row.try_get("fate")?,
                },
            );
            self.neighbourhood
                .reports
                .entry(report.click_id())
                .or_default()
                .push(report);
        }
        self.clicks.extend(missing);
        Ok(())
    }

    /// Reads again where the stored reports stand. The first ones were loaded before orders and
    /// payees were locked; until then another instance may have changed fates by way of those.
    async fn read_places_again(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<(), LedgerError> {
        if self.stored.is_empty() {
            return Ok(());
        }
        let (partitions, offsets): (Vec<i32>, Vec<i64>) = self
            .stored
            .keys()
            .map(|position| (position.partition, position.offset))
            .unzip();
        let times: Vec<_> = self
            .stored
            .values()
            .map(|stored| stored.clicked_at.to_datetime())
            .collect();
        let rows = sqlx::query(
            "SELECT source_partition, source_offset, led_id, fate
             FROM unnest($1::int[], $2::bigint[], $3::timestamptz[])
                  AS s (source_partition, source_offset, clicked_at)
             JOIN conversions USING (source_partition, source_offset, clicked_at)
             WHERE conversions.clicked_at BETWEEN $4 AND $5",
        )
        .bind(&partitions)
        .bind(&offsets)
        .bind(&times)
        .bind(times.iter().min())
        .bind(times.iter().max())
        .fetch_all(connection)
        .await?;
        for row in rows {
            let position = Position {
                topic: Topic::Conversions,
                partition: row.try_get("source_partition")?,
                offset: row.try_get("source_offset")?,
            };
            let led_id: Option<i64> = row.try_get("led_id")?;
            if let Some(stored) = self.stored.get_mut(&position) {
                stored.led_id = led_id.map(EventId::new);
                stored.fate = row.try_get("fate")?;
            }
        }
        Ok(())
    }

    /// Loads all clicks that ever named one of the orders.
    async fn load_claimants(
        &mut self,
        connection: &mut PgConnection,
        orders: &BTreeSet<OrderKey>,
    ) -> Result<(), LedgerError> {
        if orders.is_empty() {
            return Ok(());
        }
        let (networks, offers, transactions) = locks::order_columns(orders);
        let rows = sqlx::query(
            "SELECT click_id, clicked_at FROM order_claims
             WHERE (network_id, offer_id, txn_id) IN
                   (SELECT * FROM unnest($1::int[], $2::int[], $3::text[]))",
        )
        .bind(&networks)
        .bind(&offers)
        .bind(&transactions)
        .fetch_all(&mut *connection)
        .await?;
        self.load_clicks(connection, rows::clicks(&rows)?).await
    }

    /// For each user, the changed clicks and how far the rules of their own reports look.
    fn velocity_windows(&self) -> BTreeMap<UserId, Window> {
        let mut windows: BTreeMap<UserId, Window> = BTreeMap::new();
        for report in self.reports() {
            if let Some(user) = report.user_id() {
                let at = report.matched.click.clicked_at;
                let rules = &report.matched.rules;
                let window = windows.entry(user).or_insert(Window {
                    from: at,
                    to: at,
                    hours: rules.velocity_hours,
                    claims: rules.velocity_claims,
                    reports: 0,
                });
                window.from = window.from.min(at);
                window.to = window.to.max(at);
                window.hours = window.hours.max(rules.velocity_hours);
                window.claims = window.claims.min(rules.velocity_claims);
                window.reports += i64::from(!self.stored.contains_key(&report.position));
            }
        }
        windows
    }

    /// The windows with so many reports that velocity may say something of a claim, each as long as
    /// the rules of later claims make it. There are few: of most users nothing more needs to be
    /// loaded.
    async fn windows_that_matter(
        &self,
        connection: &mut PgConnection,
        mut windows: BTreeMap<UserId, Window>,
    ) -> Result<BTreeMap<UserId, Window>, LedgerError> {
        if !windows.is_empty() {
            add_stored_reports(connection, &mut windows).await?;
        }
        windows.retain(|_, window| velocity::possible(window.reports, window.claims));
        Ok(windows)
    }

    /// Says of each heal loaded when it was undone, if it was.
    async fn resolve_heals(&mut self, connection: &mut PgConnection) -> Result<(), LedgerError> {
        let parked: BTreeSet<Position> = self
            .reports()
            .filter_map(|report| Some(report.heal.as_ref()?.heals))
            .collect();
        if parked.is_empty() {
            return Ok(());
        }
        let mut claims = stored_heals(connection, &parked).await?;
        for report in self.neighbourhood.reports.values().flatten() {
            if let Some((heals, claim)) = heal_claim(report) {
                let all = claims.entry(heals).or_default();
                if !all.contains(&claim) {
                    all.push(claim);
                }
            }
        }
        for report in self.neighbourhood.reports.values_mut().flatten() {
            if let Some((heals, claim)) = heal_claim(report) {
                let all = claims.get(&heals).map_or(&[][..], Vec::as_slice);
                report.superseded_at = history::superseded_at(&claim, all);
            }
        }
        Ok(())
    }

    /// Loads the commands on, and payments of, the reports loaded.
    pub async fn load_commands_and_payments(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<(), LedgerError> {
        let names: Vec<i64> = self.reports().map(|report| report.event_id.get()).collect();
        let commands: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT body FROM commands WHERE conv_id = ANY($1)")
                .bind(&names)
                .fetch_all(&mut *connection)
                .await?;
        for command in commands {
            self.neighbourhood
                .commands
                .push(codec::decode::<Command>(&command)?);
        }
        let paid = sqlx::query(
            "SELECT i.led_id, p.user_id, p.currency::text AS currency, sum(i.amount) AS amount
             FROM payout_items i JOIN payouts p USING (payout_id)
             WHERE p.state = 'funded' AND i.led_id = ANY($1)
             GROUP BY i.led_id, p.user_id, p.currency",
        )
        .bind(&names)
        .fetch_all(connection)
        .await?;
        for row in &paid {
            let claim = EventId::new(row.try_get("led_id")?);
            let user = UserId::new(row.try_get("user_id")?);
            let amount: Minor = rows::minor(row, "amount", rows::currency(row, "currency")?)?;
            self.neighbourhood.paid.insert((claim, user), amount);
        }
        Ok(())
    }
}

/// Earliest and latest of the clicks' times: prunes partitions.
pub(super) fn span(clicks: &Clicks) -> Option<(Timestamp, Timestamp)> {
    let from = clicks.values().min()?;
    let to = clicks.values().max()?;
    Some((*from, *to))
}

fn report(row: &PgRow) -> Result<Report, LedgerError> {
    let decision: Decision = codec::decode(row.try_get::<&[u8], _>("decision")?)?;
    Report::from_decision(&decision)
        .ok_or_else(|| LedgerError::Invalid(format!("{} is not a matched report", decision.source)))
}

fn heal_claim(report: &Report) -> Option<(Position, HealClaim)> {
    let heal = report.heal.as_ref()?;
    let claim = HealClaim {
        position: report.position,
        author: heal.author,
        heal_id: heal.heal_id,
        appended_at: report.appended_at,
    };
    Some((heal.heals, claim))
}

/// What velocity may look at for the claims on some clicks of a user.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// The earliest of the clicks.
    from: Timestamp,
    /// The latest.
    to: Timestamp,
    /// How far the rules of any claim look back that is on one of the clicks, or so soon after them
    /// that it looks back on one.
    hours: i32,
    /// From how many claims on the rules of any claim here look at one.
    claims: i32,
    /// How many reports there are here, whatever became of them.
    reports: i64,
}

impl Window {
    fn millis(self) -> i64 {
        i64::from(self.hours) * MILLIS_PER_HOUR
    }

    /// From when on claims count for those on the clicks.
    fn since(self) -> Timestamp {
        self.from.plus_millis(-self.millis())
    }

    /// Until when claims are that those on the clicks may count for.
    fn until(self) -> Timestamp {
        self.to.plus_millis(self.millis())
    }
}

/// Adds what the stored reports of the users say to their windows.
async fn add_stored_reports(
    connection: &mut PgConnection,
    windows: &mut BTreeMap<UserId, Window>,
) -> Result<(), LedgerError> {
    let users: Vec<Uuid> = windows.keys().map(|user| user.uuid()).collect();
    let from: Vec<_> = windows.values().map(|w| w.from.to_datetime()).collect();
    let to: Vec<_> = windows.values().map(|w| w.to.to_datetime()).collect();
    let hours: Vec<_> = windows.values().map(|window| window.hours).collect();
    let margin = i64::from(velocity::HOURS_MAX) * MILLIS_PER_HOUR;
    let earliest = windows.values().map(|window| window.from).min();
    let latest = windows.values().map(|window| window.to).max();
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
    .bind(velocity::HOURS_MAX)
    .bind(earliest.map(|at| at.plus_millis(-margin).to_datetime()))
    .bind(latest.map(|at| at.plus_millis(margin).to_datetime()))
    .fetch_all(connection)
    .await?;
    for row in rows {
        let user = UserId::new(row.try_get("user_id")?);
        if let Some(window) = windows.get_mut(&user) {
            window.hours = row.try_get("hours")?;
            window.reports += row.try_get::<i64, _>("reports")?;
            let claims: Option<i32> = row.try_get("claims")?;
            window.claims = claims.map_or(window.claims, |claims| window.claims.min(claims));
        }
    }
    Ok(())
}

/// Clicks of users with reports in the windows. Also those whose claims were undone since: a claim
/// that closed before then counts them.
async fn clicks_of_users(
    connection: &mut PgConnection,
    windows: &BTreeMap<UserId, Window>,
) -> Result<Clicks, LedgerError> {
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

async fn stored_heals(
    connection: &mut PgConnection,
    parked: &BTreeSet<Position>,
) -> Result<BTreeMap<Position, Vec<HealClaim>>, LedgerError> {
    let mut claims: BTreeMap<Position, Vec<HealClaim>> = BTreeMap::new();
    for report in healing_reports(connection, parked).await? {
        if let Some((heals, claim)) = heal_claim(&report) {
            claims.entry(heals).or_default().push(claim);
        }
    }
    Ok(claims)
}

/// All stored reports that heal one of the parked records.
async fn healing_reports(
    connection: &mut PgConnection,
    parked: &BTreeSet<Position>,
) -> Result<Vec<Report>, LedgerError> {
    let (partitions, offsets): (Vec<i32>, Vec<i64>) = parked
        .iter()
        .map(|position| (position.partition, position.offset))
        .unzip();
    let rows = sqlx::query(
        "SELECT decision FROM conversions
         WHERE (heals_partition, heals_offset) IN
               (SELECT * FROM unnest($1::int[], $2::bigint[]))",
    )
    .bind(&partitions)
    .bind(&offsets)
    .fetch_all(connection)
    .await?;
    rows.iter().map(report).collect()
}

/// Clicks whose claims a new heal of the same parked record may undo.
pub(super) async fn clicks_of_competing_heals(
    connection: &mut PgConnection,
    parked: &BTreeSet<Position>,
) -> Result<Clicks, LedgerError> {
    let reports = healing_reports(connection, parked).await?;
    let click = |report: &Report| (report.click_id(), report.matched.click.clicked_at);
    Ok(reports.iter().map(click).collect())
}

/// Clicks of the reports of these names.
pub(super) async fn clicks_of_names(
    connection: &mut PgConnection,
    names: &[i64],
) -> Result<Clicks, LedgerError> {
    let rows = sqlx::query("SELECT click_id, clicked_at FROM conversions WHERE conv_id = ANY($1)")
        .bind(names)
        .fetch_all(connection)
        .await?;
    rows::clicks(&rows)
}

/// A fate's name in the table; a report that no claim holds was undone.
pub(super) fn fate_name(fate: Option<Fate>) -> &'static str {
    fate.map_or("undone", Fate::name)
}
