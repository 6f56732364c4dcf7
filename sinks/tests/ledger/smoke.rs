//! One sale, from the log to the books and back into the log.

use rust_decimal::Decimal;
use schemas::{
    Topic, codec,
    events::{ClaimStatus, LedgerChanged, NetworkStatus, ReportSource},
};
use sqlx::Row;
use stream::Log;

use crate::{
    records::{Logged, T0, decision, fields},
    world::World,
};

fn rupees(text: &str) -> Decimal {
    text.parse().expect("a number")
}

async fn books(world: &World) -> Vec<(String, Decimal)> {
    sqlx::query_as(
        "SELECT account, sum(amount) FROM postings GROUP BY account HAVING sum(amount) <> 0
         ORDER BY account",
    )
    .fetch_all(&world.owner)
    .await
    .expect("books")
}

async fn ledger_topic(world: &World) -> Vec<LedgerChanged> {
    let mut events = Vec::new();
    for partition in 0..Topic::Ledger.partitions() {
        let records = world.log.read(Topic::Ledger, partition, 0, 100).await;
        for record in records.expect("read") {
            events.push(codec::decode(&record.value).expect("decoded"));
        }
    }
    events.sort_by_key(|event: &LedgerChanged| event.sequence);
    events
}

#[tokio::test]
async fn a_sale_is_booked_once_and_taken_back() {
    let world = World::new().await;
    let mut sale = decision(1);
    fields(&mut sale).txn_id = Some("A-1".to_owned());
    let sale = Logged::from(sale);
    world.append(&sale).await;
    world.fold(100).await;

    let row = sqlx::query("SELECT status, user_amount, posted_user, posted_creator FROM ledger")
        .fetch_one(&world.owner)
        .await
        .expect("one row");
    assert_eq!(row.get::<&str, _>("status"), "confirmed");
    assert_eq!(row.get::<Decimal, _>("user_amount"), rupees("95.95"));
    assert_eq!(row.get::<Decimal, _>("posted_user"), rupees("95.95"));
    assert_eq!(row.get::<Decimal, _>("posted_creator"), rupees("63.97"));
    let fate: String = sqlx::query_scalar("SELECT fate FROM conversions WHERE led_id = 1")
        .fetch_one(&world.owner)
        .await
        .expect("one report");
    assert_eq!(fate, "ledgered");
    let booked = [
        ("creator_payable".to_owned(), rupees("63.97")),
        ("network_receivable".to_owned(), rupees("-159.92")),
        ("user_payable".to_owned(), rupees("95.95")),
    ];
    assert_eq!(books(&world).await, booked);
    for (table, rows) in [("orders", 1), ("order_claims", 1), ("outbox", 1)] {
        assert_eq!(world.count(table).await, rows, "{table}");
    }
    world.publish().await;
    let told = ledger_topic(&world).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].status, ClaimStatus::Confirmed);
    assert_eq!(told[0].posted.user, "95.95".parse().expect("an amount"));
    assert_eq!(told[0].postings.len(), 3);

    // The stage may write a decision twice: the position is the same.
    world.append(&sale).await;
    world.fold(100).await;
    assert_eq!(world.applied().await, 2);
    assert_eq!(books(&world).await, booked);
    for (table, rows) in [
        ("conversions", 1),
        ("ledger", 1),
        ("postings", 3),
        ("outbox", 0),
    ] {
        assert_eq!(world.count(table).await, rows, "{table}");
    }

    let mut cancelled = decision(2);
    cancelled.report_source = ReportSource::Csv;
    cancelled.as_of = Some(T0.plus_days(1));
    cancelled.received_at = T0.plus_days(1);
    fields(&mut cancelled).txn_id = Some("A-1".to_owned());
    fields(&mut cancelled).status = Some(NetworkStatus::Cancelled);
    world.append(&cancelled.into()).await;
    world.fold(100).await;
    assert_eq!(books(&world).await, []);
    assert_eq!(world.count("postings").await, 6, "reversed, not edited");
    let status: String = sqlx::query_scalar("SELECT status FROM ledger")
        .fetch_one(&world.owner)
        .await
        .expect("one row");
    assert_eq!(status, "reversed");
    world.publish().await;
    let told = ledger_topic(&world).await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[1].status, ClaimStatus::Reversed);
}
