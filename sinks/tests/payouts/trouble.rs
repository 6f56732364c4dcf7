//! Crashes, lost rows, and everything at once.

use std::time::Duration;

use schemas::Amount;
use sinks::payouts::fake_agcod::{Fault, Script};

use crate::world::{Running, World, rupees};

const PHONE: Option<&str> = Some("+9198765");

async fn agree(world: &World) {
    let (count, sum): (i64, rust_decimal::Decimal) = sqlx::query_as(
        "SELECT count(*), coalesce(sum(amount), 0) FROM payouts WHERE state = 'funded'",
    )
    .fetch_one(&world.owner)
    .await
    .expect("a sum");
    let booked = (
        usize::try_from(count).expect("a count"),
        Amount::from_decimal(sum),
    );
    let (cards, issued) = world.fake.funded();
    assert_eq!(booked, (cards, Ok(issued)));
}

#[tokio::test]
async fn a_crash_between_call_and_result_repeats_the_identical_request() {
    let world = World::new().await;
    // The card is issued, and the dispatcher dies waiting for the answer.
    world
        .fake
        .follow(Script::FirstCalls(vec![Fault::Slow(Duration::from_mins(
            1,
        ))]));
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world
        .until("a card", async || world.fake.cards().len() == 1)
        .await;
    running.kill().await;
    assert_eq!(world.state(id).await, "sending");

    let running = world.run();
    world
        .as_time_passes("funded", async || world.state(id).await == "funded")
        .await;
    world.until_sms(id, "sent").await;
    running.stop().await;
    let dispatch = world
        .store()
        .dispatch(id)
        .await
        .expect("a row")
        .expect("taken up");
    assert!(dispatch.ambiguous, "the lost attempt is remembered");
    agree(&world).await;
}

#[tokio::test]
async fn lost_dispatch_rows_are_taken_up_again_as_doubtful() {
    let world = World::new().await;
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world.until_sms(id, "sent").await;
    running.stop().await;
    // A restored database knows that it was being sent, and nothing else. The trigger's record
    // was consumed long ago.
    sqlx::query("DELETE FROM payout_dispatch")
        .execute(&world.owner)
        .await
        .expect("deleted");
    sqlx::query("UPDATE payouts SET state = 'sending', card_id = NULL, paid_at = NULL")
        .execute(&world.owner)
        .await
        .expect("set back");
    let running = world.run();
    world.until_state(id, "funded").await;
    world.until_sms(id, "sent").await;
    running.stop().await;
    let dispatch = world
        .store()
        .dispatch(id)
        .await
        .expect("a row")
        .expect("taken up");
    assert!(dispatch.ambiguous);
    agree(&world).await;
}

#[tokio::test]
async fn two_dispatchers_and_every_fault_at_once() {
    let mut world = World::new().await;
    world.config.agcod.timeout_ms = 150;
    world.config.limits.concurrency = 4;
    world.fake.follow(Script::OneIn {
        calls: 3,
        seed: 7,
        faults: vec![
            Fault::Slow(Duration::from_millis(400)),
            Fault::LostAfterIssuing,
            Fault::LostBeforeIssuing,
            Fault::Throttled,
            Fault::Malformed,
            Fault::ServerError,
            Fault::Internal,
            Fault::Resend,
        ],
    });
    let mut running: Vec<Running> = vec![world.run(), world.run()];
    for number in 0..60 {
        world
            .request(
                number,
                rupees(100 + i64::try_from(number).expect("small")),
                PHONE,
            )
            .await;
    }
    // One of them dies and is replaced, again and again.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.clock.advance(Duration::from_mins(2));
        running.remove(0).kill().await;
        running.push(world.run());
    }
    world
        .as_time_passes("all funded", async || {
            // What ended softly meanwhile, the nightly run takes up.
            let now = stream::Clock::now(&world.clock);
            world
                .store()
                .release_soft_errors(now)
                .await
                .expect("released");
            world.count(&["funded"]).await == 60
        })
        .await;
    for one in running {
        one.stop().await;
    }
    assert_eq!(world.fake.cards().len(), 60);
    agree(&world).await;
    // Each was told to its shopper at least once, always with the card's own code.
    let cards = world.fake.cards();
    for (payout_id, _, text) in world.phones.messages() {
        let id = sinks::payouts::creation_request_id(&world.config.agcod.partner_id, payout_id);
        assert!(text.contains(&cards[&id].claim_code));
    }
}
