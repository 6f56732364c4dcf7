//! Partitions are made on demand, by whoever needs them first.

use schemas::Timestamp;
use sqlx::{AssertSqlSafe, Row};

use crate::{
    records::{Logged, click, decision, fields, matched, recorded},
    world::World,
};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

async fn children(world: &World, parent: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         JOIN pg_class p ON p.oid = i.inhparent WHERE p.relname = $1 ORDER BY 1",
    )
    .bind(parent)
    .fetch_all(&world.owner)
    .await
    .expect("children")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_need_the_same_partitions_make_them_once() {
    let world = World::new().await;
    let session = || async {
        sqlx::query("SELECT ensure_partitions('2031-01-31 23:59:59Z', '2031-05-01')")
            .execute(&world.writer)
            .await
    };
    let sessions = (0..6).map(|_| session());
    futures::future::try_join_all(sessions).await.expect("made");
    let months = ["2031_01", "2031_02", "2031_03", "2031_04", "2031_05"];
    for parent in ["clicks", "conversions"] {
        let expected: Vec<_> = months
            .iter()
            .map(|month| format!("{parent}_{month}"))
            .collect();
        assert_eq!(children(&world, parent).await, expected);
    }
    for remainder in 0..4 {
        let parent = format!("ledger_h{remainder}");
        let quarters = [format!("{parent}_2031q1"), format!("{parent}_2031q2")];
        assert_eq!(children(&world, &parent).await, quarters);
    }
    // A partition has the parent's keys and indexes.
    let (ours, theirs): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE tablename = 'conversions_2031_01'),
                count(*) FILTER (WHERE tablename = 'conversions')
         FROM pg_indexes",
    )
    .fetch_one(&world.owner)
    .await
    .expect("indexes");
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn a_new_partition_waits_for_no_writer() {
    let world = World::new().await;
    world.append(&decision(1).into()).await;
    world.fold(1).await;
    let mut writing = world.writer.begin().await.expect("begun");
    for table in ["clicks", "conversions", "ledger"] {
        let statement = format!("DELETE FROM {table}");
        let query = sqlx::query(AssertSqlSafe(statement));
        query.execute(&mut *writing).await.expect("locked");
    }
    let mut other = world.writer.acquire().await.expect("connected");
    for statement in [
        "SET lock_timeout = '1s'",
        "SELECT ensure_partitions('2031-01-01', '2031-01-01')",
    ] {
        let query = sqlx::query(statement);
        query.execute(&mut *other).await.expect("waits for nobody");
    }
    writing.rollback().await.expect("rolled back");
}

#[tokio::test]
async fn a_click_is_kept_whenever_it_happened() {
    let world = World::new().await;
    let times = [
        "2019-02-28 23:59:59.999",
        "2019-03-01 00:00:00",
        "2099-12-31 23:59:59.999",
    ];
    for (time, number) in times.iter().zip(1_i64..) {
        let mut sale = decision(number);
        matched(&mut sale).click = click(number, Some(9));
        matched(&mut sale).click.clicked_at = at(time);
        fields(&mut sale).txn_id = Some(number.to_string());
        let clicked = recorded(&matched(&mut sale).click);
        world.append(&Logged::Click(clicked)).await;
        world.append(&sale.into()).await;
    }
    world.fold(10).await;
    for (parent, expected) in [
        (
            "clicks",
            ["clicks_2019_02", "clicks_2019_03", "clicks_2099_12"],
        ),
        (
            "conversions",
            [
                "conversions_2019_02",
                "conversions_2019_03",
                "conversions_2099_12",
            ],
        ),
    ] {
        let query = format!("SELECT tableoid::regclass::text FROM {parent} ORDER BY clicked_at");
        let rows = sqlx::query(AssertSqlSafe(query))
            .fetch_all(&world.owner)
            .await;
        let homes: Vec<String> = rows.expect("rows").iter().map(|row| row.get(0)).collect();
        assert_eq!(homes, expected);
    }
    assert_eq!(world.count("ledger").await, 3);
}
