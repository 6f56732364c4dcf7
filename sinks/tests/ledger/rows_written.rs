//! The budget: how many rows a conversion costs, counted by PostgreSQL itself.

use std::{collections::BTreeMap, fmt::Write};

use schemas::{
    EventId, Position, Topic,
    events::{Decision, NetworkStatus},
};
use sinks::ledger::{LedgerSink, OutboxRelay};
use sqlx::{PgPool, postgres::PgPoolOptions};
use stream::Log;

use crate::{
    document,
    records::{Logged, click, decision, fields, matched},
    world::{Running, World},
};

/// So many that what a batch or a shopper costs once hardly shows.
const CONVERSIONS: i64 = 600;
const SHOPPERS: u128 = 12;
/// The most rows that a report of a sale which is confirmed may cost.
const BUDGET: u64 = 8;
/// Written once for each batch and partition, or once for each shopper.
const SHARED: [&str; 4] = [
    "consumer_positions",
    "fold_locks",
    "payee_locks",
    "positions_applied",
];
const APPLICATION: &str = "measured";

/// Rows inserted, updated and deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Written {
    inserted: u64,
    updated: u64,
    deleted: u64,
}

/// What each table of ours has seen, partitions with their parents.
async fn totals(pool: &PgPool) -> BTreeMap<String, Written> {
    let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "SELECT coalesce(pg_partition_root(relid), relid)::regclass::text,
                sum(n_tup_ins)::bigint, sum(n_tup_upd)::bigint, sum(n_tup_del)::bigint
         FROM pg_stat_user_tables WHERE schemaname = 'public' GROUP BY 1",
    )
    .fetch_all(pool)
    .await
    .expect("statistics");
    let written = |(table, inserted, updated, deleted): (String, i64, i64, i64)| {
        let [inserted, updated, deleted] = [inserted, updated, deleted].map(i64::unsigned_abs);
        (
            table,
            Written {
                inserted,
                updated,
                deleted,
            },
        )
    };
    rows.into_iter().map(written).collect()
}

/// A report of each conversion, where production would put it: number `round` of its click.
fn reports(status: NetworkStatus, conversions: std::ops::Range<i64>, round: i64) -> Vec<Decision> {
    conversions
        .map(|number| {
            let mut report = decision(number + round * 1_000_000);
            report.event_id = EventId::new(number + round * 1_000_000);
            let shopper = u128::from(number.unsigned_abs()) % SHOPPERS;
            let facts = matched(&mut report);
            facts.click = click(number, Some(100 + shopper));
            // So many claims of a shopper would be looked at.
            facts.rules.velocity_claims = i32::MAX;
            let reported = fields(&mut report);
            reported.txn_id = Some(format!("A-{number}"));
            reported.status = Some(status);
            report
        })
        .collect()
}

/// Folds and publishes the reports, and says what that wrote. `ends` are the ends of the partitions
/// of `conversions`.
async fn cost(
    world: &World,
    reports: Vec<Decision>,
    ends: &mut BTreeMap<i32, i64>,
) -> BTreeMap<String, Written> {
    let before = totals(&world.owner).await;
    for mut report in reports {
        let key = matched(&mut report).click.click_id.to_string();
        let partition = Topic::Conversions.partition_for(key.as_bytes());
        let end = ends.entry(partition).or_default();
        report.source = Position {
            topic: Topic::Conversions,
            partition,
            offset: *end,
        };
        *end += 1;
        let record = Logged::from(report).to_record().in_partition(partition);
        let appended = world.log.append(Topic::Decisions, vec![record]).await;
        appended.expect("appended");
    }
    let options = (*world.writer.connect_options()).clone();
    let pool = PgPoolOptions::new()
        .connect_with(options.application_name(APPLICATION))
        .await
        .expect("connected");
    let sink = LedgerSink {
        pool: pool.clone(),
        ..world.sink(1_000)
    };
    let running = Running::start(&sink);
    world.folded().await;
    running.stop().await;
    let relay = OutboxRelay::new(pool.clone(), world.log.clone(), std::sync::Arc::default());
    let mut connection = pool.acquire().await.expect("connected");
    while world.count("outbox").await > 0 {
        relay
            .publish_once(&mut connection)
            .await
            .expect("published");
    }
    drop(connection);
    pool.close().await;
    // A session hands its statistics in when it ends.
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
    while sqlx::query_scalar::<_, i64>(sessions)
        .bind(APPLICATION)
        .fetch_one(&world.owner)
        .await
        .expect("sessions")
        > 0
    {
        tokio::task::yield_now().await;
    }
    let mut cost = totals(&world.owner).await;
    for (table, written) in &mut cost {
        let before = before.get(table).copied().unwrap_or_default();
        written.inserted -= before.inserted;
        written.updated -= before.updated;
        written.deleted -= before.deleted;
    }
    cost.retain(|_, written| *written != Written::default());
    cost
}

/// What one conversion costs of its own, by table; what it shares with others has to be small.
fn per_conversion(cost: &BTreeMap<String, Written>) -> BTreeMap<&str, Written> {
    let conversions = CONVERSIONS.unsigned_abs();
    let mut shared = 0;
    let mut own = BTreeMap::new();
    for (table, written) in cost {
        if SHARED.contains(&table.as_str()) {
            shared += written.inserted + written.updated + written.deleted;
            continue;
        }
        let each = |rows: u64| {
            assert_eq!(rows % conversions, 0, "{table}: {rows} rows");
            rows / conversions
        };
        let written = Written {
            inserted: each(written.inserted),
            updated: each(written.updated),
            deleted: each(written.deleted),
        };
        own.insert(table.as_str(), written);
    }
    assert!(shared * 10 < conversions * 3, "{shared} rows: {cost:?}");
    own
}

#[tokio::test]
async fn a_confirmed_conversion_costs_no_more_rows_than_the_budget_allows() {
    let world = World::new().await;
    let mut ends = BTreeMap::new();
    // Shoppers and partitions are known: whoever comes now, comes again.
    let known = reports(NetworkStatus::Pending, 1_000_000..1_000_100, 0);
    cost(&world, known, &mut ends).await;
    let (first, second) = (0..CONVERSIONS, CONVERSIONS..2 * CONVERSIONS);
    let at_once = cost(
        &world,
        reports(NetworkStatus::Approved, first, 2),
        &mut ends,
    )
    .await;
    let pending = reports(NetworkStatus::Pending, second.clone(), 2);
    let pending = cost(&world, pending, &mut ends).await;
    let approved = cost(
        &world,
        reports(NetworkStatus::Approved, second, 4),
        &mut ends,
    )
    .await;
    let confirmed = "SELECT count(*) FROM ledger WHERE status = 'confirmed'";
    let confirmed: i64 = sqlx::query_scalar(confirmed)
        .fetch_one(&world.owner)
        .await
        .expect("counted");
    assert_eq!(confirmed, 2 * CONVERSIONS);

    let mut text = "| a report that is | inserted | updated | deleted | of which |\n\
                    |---|---:|---:|---:|---|\n"
        .to_owned();
    for (what, cost) in [
        ("approved at once", &at_once),
        ("pending", &pending),
        ("the approval after it", &approved),
    ] {
        let own = per_conversion(cost);
        let sum = |part: fn(&Written) -> u64| own.values().map(part).sum::<u64>();
        let (inserted, updated) = (sum(|w| w.inserted), sum(|w| w.updated));
        assert!(inserted + updated <= BUDGET, "{what}: {own:?}");
        let deleted = sum(|w| w.deleted);
        let of_which: Vec<String> = own
            .iter()
            .map(
                |(table, written)| match written.inserted + written.updated {
                    1 => format!("`{table}`"),
                    rows => format!("{rows} `{table}`"),
                },
            )
            .collect();
        let of_which = of_which.join(", ");
        writeln!(
            text,
            "| {what} | {inserted} | {updated} | {deleted} | {of_which} |"
        )
        .expect("a string takes everything");
    }
    document::holds("rows written", &text);
}
