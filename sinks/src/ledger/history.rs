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

use super::{LedgerError, locks, rows, windows};

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

    let mut windows = velocity::windows(history.reports());
    let locked: BTreeSet<UserId> = windows.keys().chain(payees).copied().collect();
    if !locked.is_empty() {
        locks::payees(connection, &locked).await?;
    }
    for user in fresh.iter().filter_map(Report::user_id) {
        if let Some(window) = windows.get_mut(&user) {
            window.reports += 1;
        }
    }
    let windows = windows::that_matter(connection, windows).await?;
    history.scope.users = windows
        .iter()
        .map(|(user, window)| (*user, (window.from, window.until())))
        .collect();
    let clicks = windows::clicks(connection, &windows).await?;
    history.load_clicks(connection, clicks).await?;
    let others = &history.orders() - &history.scope.orders;
    history.load_claimants(connection, &others).await?;
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
