//! A kill between a batch's position and its rows, before the kill harness's own verdict: here the
//! two are one transaction, and nothing is lost; a build with the cargo feature `positions-first`
//! commits the position by itself, and has to lose what was in hand. `make test` runs both.

use sqlx::{Connection, PgConnection};

use crate::{
    kill::{
        evidence::{Logged as Found, Tables},
        record::Record,
        verdict::Verdict,
    },
    records::{Logged, click, decision, fields, matched, recorded},
    world::{PATIENCE, Running, World},
};

/// 8% of ₹1,999.00.
const COMMISSION_PAISE: i64 = 15_992;
/// The first thing that a batch takes once its position is moved.
const NAMES: &str = "hashtext('hissaback.ledger.names')";

/// A click and the sale of it, under an order of its own; noted as what must come of them.
async fn story(world: &World, record: &Record, found: &mut Vec<Found>, number: i64) {
    // A shopper of their own: so many claims of one would be looked at.
    let click = click(number, Some(u128::from(number.unsigned_abs())));
    let order = format!("A-{number}");
    let mut sale = decision(number);
    fields(&mut sale).txn_id = Some(order.clone());
    matched(&mut sale).click = click.clone();
    let request = record.postback();
    found.push(Found {
        position: (sale.source.partition, sale.source.offset),
        request: Some(request),
        heal: false,
    });
    world.append(&Logged::Click(recorded(&click))).await;
    world.append(&sale.into()).await;
    record.postback_answered(request);
    record.click_answered(number);
    record.expect(order, COMMISSION_PAISE);
}

#[tokio::test]
async fn a_kill_between_position_and_rows_is_judged_rightly() {
    let world = World::new().await;
    let (record, mut found) = (Record::default(), Vec::new());
    for number in 1..=3 {
        story(&world, &record, &mut found, number).await;
    }
    world.fold(10).await;

    // From here on a batch gets as far as its position, and waits.
    let stranger = PgConnection::connect_with(&world.owner.connect_options()).await;
    let mut stranger = stranger.expect("connected");
    let lock = sqlx::AssertSqlSafe(format!("SELECT pg_advisory_lock({NAMES})"));
    sqlx::query(lock)
        .execute(&mut stranger)
        .await
        .expect("locked");
    for number in 4..=6 {
        story(&world, &record, &mut found, number).await;
    }
    let running = Running::start(&world.sink(10));
    let waits = async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                       AND database = (SELECT oid FROM pg_database
                                       WHERE datname = current_database())";
        while sqlx::query_scalar::<_, i64>(waiting)
            .fetch_one(&world.owner)
            .await
            .expect("asked")
            == 0
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waits)
        .await
        .expect("the batch gets so far");
    running.kill().await;
    stranger.close().await.expect("the stranger leaves");

    let restarted = Running::start(&world.sink(10));
    world.folded().await;
    restarted.stop().await;
    let mut evidence = Tables::over(world.pool("postgres").await).read().await;
    evidence.logged = found;
    let verdict = Verdict::of(&record.read(), &evidence);
    if cfg!(feature = "positions-first") {
        assert!(
            !verdict.lost.is_empty() && !verdict.money.is_empty(),
            "{verdict:#?}"
        );
        assert!(
            evidence.claims >= 3,
            "what was folded before the kill stays"
        );
    } else {
        assert!(verdict.clean(), "{verdict:#?}");
        assert_eq!(evidence.claims, 6);
    }
}
