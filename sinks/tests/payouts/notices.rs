//! Confirmations: told once, together, and only while they are news.

use std::time::Duration;

use prometheus::Registry;
use schemas::{
    Amount, CampaignId, ClickId, Currency, EventId, LinkId, OfferId, TenantId, Timestamp, Topic,
    UserId, codec,
    events::{ClaimStatus, LedgerChanged, Split},
};
use sinks::payouts::Notices;
use stream::{Clock, Log, NewRecord};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::{START, World, rupees};

const SHOPPER: UserId = UserId::new(Uuid::from_u128(7));
const CLICKED_AT: Timestamp = START;

struct Reading {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Reading {
    fn start(world: &World) -> Self {
        let notices = Notices::new(
            world.writer.clone(),
            world.log.clone(),
            world.clock.clone(),
            world.config.messages.notices,
            &Registry::new(),
        )
        .expect("a reader");
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { notices.run(stopped).await.expect("it reads") });
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("stopped cleanly");
    }
}

async fn shopper(world: &World, user_id: UserId, phone: Option<&str>) {
    sqlx::query("INSERT INTO users (user_id, phone_sealed) VALUES ($1, $2)")
        .bind(user_id.uuid())
        .bind(phone.map(|phone| world.sealed(user_id, phone)))
        .execute(&world.owner)
        .await
        .expect("a shopper");
}

/// The claim as the ledger has it: its row, and a report of each of its names.
async fn claim(world: &World, names: &[i64], user: Amount) {
    let name = names[0];
    sqlx::query("SELECT ensure_partitions($1, $1)")
        .bind(CLICKED_AT.to_datetime())
        .execute(&world.owner)
        .await
        .expect("partitions");
    for conv_id in names {
        sqlx::query(
            "INSERT INTO conversions (conv_id, source_partition, source_offset, click_id,
                 clicked_at, tenant_id, user_id, network_id, offer_id, report_source, received_at,
                 appended_at, score, led_id, fate, decision)
             VALUES ($1, 0, $1, $2, $3, $4, $5, 1, 1, 'postback', $3, $3, 0, $2, 'ledgered', '')
             ON CONFLICT (source_partition, source_offset, clicked_at)
             DO UPDATE SET led_id = excluded.led_id",
        )
        .bind(conv_id)
        .bind(name)
        .bind(CLICKED_AT.to_datetime())
        .bind(Uuid::nil())
        .bind(SHOPPER.uuid())
        .execute(&world.owner)
        .await
        .expect("a report");
    }
    sqlx::query(
        "INSERT INTO ledger (led_id, tenant_id, campaign_id, link_id, offer_id, network_id,
             click_id, clicked_at, user_id, first_received_at, converted_at, payable_at, status,
             reasons, currency, user_pct, expected_commission, expected_subsidy, expected_fee,
             user_amount, creator_amount, posted_commission, posted_subsidy, posted_fee,
             posted_user, posted_creator, paid_amount)
         VALUES ($1, $2, $2, $2, 1, 1, $1, $3, $4, $3, $3, $3, 'confirmed', '{}', 'INR', 100,
             $5, 0, 0, $5, 0, $5, 0, 0, $5, 0, 0)",
    )
    .bind(name)
    .bind(Uuid::nil())
    .bind(CLICKED_AT.to_datetime())
    .bind(SHOPPER.uuid())
    .bind(user.to_decimal())
    .execute(&world.owner)
    .await
    .expect("a claim");
}

fn changed(claim: i64, user: Amount) -> LedgerChanged {
    let split = Split {
        commission: user,
        subsidy: Amount::ZERO,
        fee: Amount::ZERO,
        user,
        creator: Amount::ZERO,
    };
    LedgerChanged {
        epoch: 1,
        sequence: claim,
        claim: EventId::new(claim),
        retired: false,
        click_id: ClickId::new(claim),
        clicked_at: CLICKED_AT,
        tenant_id: TenantId::new(Uuid::nil()),
        campaign_id: CampaignId::new(Uuid::nil()),
        link_id: LinkId::new(Uuid::nil()),
        offer_id: OfferId::new(1),
        user_id: Some(SHOPPER),
        country: None,
        first_received_at: CLICKED_AT,
        converted_at: CLICKED_AT,
        payable_at: CLICKED_AT,
        status: ClaimStatus::Confirmed,
        reasons: Vec::new(),
        sale_amount: None,
        currency: Currency::INR,
        expected: split,
        posted: split,
        paid_amount: Amount::ZERO,
        postings: Vec::new(),
    }
}

async fn append(world: &World, change: &LedgerChanged) {
    let value = codec::encode(change).expect("encoded");
    let record = NewRecord::new(change.click_id.to_string(), value);
    world
        .log
        .append(Topic::Ledger, vec![record])
        .await
        .expect("appended");
}

async fn noticed(world: &World) -> i64 {
    world.number("SELECT count(*) FROM claim_notices").await
}

async fn confirmations(world: &World, state: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM messages WHERE kind = 'confirmation' AND state = $1")
        .bind(state)
        .fetch_one(&world.owner)
        .await
        .expect("a count")
}

#[tokio::test]
async fn confirmations_that_come_together_are_one_message() {
    let world = World::new().await;
    shopper(&world, SHOPPER, Some("+911")).await;
    for (name, amount) in [(1, 100), (2, 50)] {
        claim(&world, &[name], rupees(amount)).await;
        append(&world, &changed(name, rupees(amount))).await;
    }
    let reading = Reading::start(&world);
    world
        .until("noticed", async || noticed(&world).await == 2)
        .await;
    let running = world.run();
    // Not before the time to gather is over.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(world.phones.messages().is_empty());
    world.clock.advance(Duration::from_mins(10));
    world
        .until("told", async || confirmations(&world, "sent").await == 1)
        .await;
    let messages = world.phones.messages();
    assert_eq!((messages.len(), messages[0].1.as_str()), (1, "+911"));
    assert!(messages[0].2.contains("₹150 "), "{}", messages[0].2);

    // What comes again, by a replay or an amendment, is told no more; what is new, is.
    append(&world, &changed(1, rupees(100))).await;
    append(&world, &changed(2, rupees(75))).await;
    claim(&world, &[3], rupees(9)).await;
    append(&world, &changed(3, rupees(9))).await;
    world
        .until("noticed", async || noticed(&world).await == 3)
        .await;
    world.clock.advance(Duration::from_mins(10));
    world
        .until("told", async || confirmations(&world, "sent").await == 2)
        .await;
    reading.stop().await;
    running.stop().await;
    let messages = world.phones.messages();
    assert_eq!(messages.len(), 2);
    assert!(messages[1].2.contains("₹9 "), "{}", messages[1].2);
}

#[tokio::test]
async fn a_claim_is_told_of_once_whatever_it_is_called() {
    let world = World::new().await;
    shopper(&world, SHOPPER, Some("+911")).await;
    claim(&world, &[5], rupees(100)).await;
    append(&world, &changed(5, rupees(100))).await;
    let reading = Reading::start(&world);
    world
        .until("noticed", async || noticed(&world).await == 1)
        .await;
    // An earlier report turns up: the claim is called after it from now on.
    sqlx::query("DELETE FROM ledger")
        .execute(&world.owner)
        .await
        .expect("renamed");
    claim(&world, &[4, 5], rupees(100)).await;
    append(&world, &changed(4, rupees(100))).await;
    append(&world, &changed(6, rupees(1))).await;
    world
        .until("read past it", async || {
            world
                .number("SELECT count(*) FROM claim_notices WHERE led_id = 6")
                .await
                == 1
        })
        .await;
    reading.stop().await;
    assert_eq!(
        noticed(&world).await,
        2,
        "5, and 6, which has no other name"
    );
    // And what is told is what the ledger says under today's name.
    let running = world.run();
    world.clock.advance(Duration::from_mins(10));
    world
        .until("told", async || confirmations(&world, "sent").await == 1)
        .await;
    running.stop().await;
    let messages = world.phones.messages();
    assert!(messages[0].2.contains("₹100 "), "{}", messages[0].2);
}

#[tokio::test]
async fn old_news_and_what_is_no_confirmation_is_not_told() {
    let world = World::new().await;
    shopper(&world, SHOPPER, Some("+911")).await;
    let erased = UserId::new(Uuid::from_u128(8));
    shopper(&world, erased, None).await;
    sqlx::query("UPDATE users SET erased_at = now() WHERE user_id = $1")
        .bind(erased.uuid())
        .execute(&world.owner)
        .await
        .expect("erased");
    // A group without a position, or a replay, reads everything that ever was.
    append(&world, &changed(1, rupees(100))).await;
    world.clock.advance(Duration::from_hours(73));
    append(&world, &changed(2, Amount::ZERO)).await;
    for (claim, status) in [
        (3, ClaimStatus::Pending),
        (4, ClaimStatus::Review),
        (5, ClaimStatus::Rejected),
        (6, ClaimStatus::Reversed),
        (7, ClaimStatus::Paid),
    ] {
        let change = LedgerChanged {
            status,
            ..changed(claim, rupees(1))
        };
        append(&world, &change).await;
    }
    let retired = LedgerChanged {
        retired: true,
        ..changed(8, rupees(1))
    };
    append(&world, &retired).await;
    for (claim, user_id) in [(9, None), (10, Some(erased))] {
        let change = LedgerChanged {
            user_id,
            ..changed(claim, rupees(1))
        };
        append(&world, &change).await;
    }
    for claim in 20..40 {
        append(&world, &changed(claim, rupees(1))).await;
    }
    let reading = Reading::start(&world);
    world
        .until("the last ones", async || noticed(&world).await >= 20)
        .await;
    reading.stop().await;
    assert_eq!(noticed(&world).await, 20);
    let old = world.number("SELECT count(*) FROM claim_notices WHERE led_id < 20");
    assert_eq!(old.await, 0);
}

#[tokio::test]
async fn what_was_taken_back_before_it_was_told_is_not_told() {
    let world = World::new().await;
    shopper(&world, SHOPPER, Some("+911")).await;
    claim(&world, &[1], rupees(100)).await;
    append(&world, &changed(1, rupees(100))).await;
    let reading = Reading::start(&world);
    world
        .until("noticed", async || noticed(&world).await == 1)
        .await;
    sqlx::query("UPDATE ledger SET status = 'reversed'")
        .execute(&world.owner)
        .await
        .expect("reversed");
    let running = world.run();
    world.clock.advance(Duration::from_mins(10));
    world
        .until("dropped", async || {
            confirmations(&world, "dropped").await == 1
        })
        .await;
    reading.stop().await;
    running.stop().await;
    assert!(world.phones.messages().is_empty());
}

#[tokio::test]
async fn without_a_number_confirmations_gather_until_there_is_one() {
    let world = World::new().await;
    shopper(&world, SHOPPER, None).await;
    claim(&world, &[1], rupees(100)).await;
    append(&world, &changed(1, rupees(100))).await;
    let reading = Reading::start(&world);
    let running = world.run();
    world
        .as_time_passes("no phone", async || {
            confirmations(&world, "no_phone").await == 1
        })
        .await;
    claim(&world, &[2], rupees(50)).await;
    append(&world, &changed(2, rupees(50))).await;
    world
        .until("noticed", async || noticed(&world).await == 2)
        .await;
    let added: bool = sqlx::query_scalar("SELECT add_phone($1, $2, 'a hash')")
        .bind(SHOPPER.uuid())
        .bind(world.sealed(SHOPPER, "+911"))
        .fetch_one(&world.operator)
        .await
        .expect("asked");
    assert!(added);
    world
        .until("told", async || confirmations(&world, "sent").await == 1)
        .await;
    reading.stop().await;
    running.stop().await;
    let messages = world.phones.messages();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].2.contains("₹150 "), "{}", messages[0].2);
    assert!(world.clock.now() < START.plus_days(1), "and at once");
}
