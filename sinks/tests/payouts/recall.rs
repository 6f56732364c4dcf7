//! Payouts that an operator gives up, and what stops a whole channel.

use std::time::Duration;

use schemas::{
    Amount, PayoutId,
    events::{CancelPayout, ChannelSwitch, CommandBody},
};
use sinks::payouts::{
    agcod::Operation,
    creation_request_id,
    fake_agcod::{Fault, Script},
    store::rates::{CallRate, Operation as Slots},
};
use sqlx::Row;

use crate::world::{World, rupees};

const PHONE: Option<&str> = Some("+9198765");

fn request_id(world: &World, id: PayoutId) -> String {
    creation_request_id(&world.config.agcod.partner_id, id)
}

async fn give_up(world: &World, command_id: i64, id: PayoutId) {
    let body = CommandBody::CancelPayout(CancelPayout { payout_id: id });
    world.command(command_id, body).await;
}

/// Whether it was found that no card can be spent, and why it could not be given up.
async fn recall(world: &World, id: PayoutId) -> (bool, Option<String>) {
    let row = sqlx::query(
        "SELECT recalled_at IS NOT NULL AS recalled, recall_error FROM payout_dispatch
         WHERE payout_id = $1",
    )
    .bind(id.uuid())
    .fetch_one(&world.owner)
    .await
    .expect("a row");
    (row.get("recalled"), row.get("recall_error"))
}

async fn until_recalled(world: &World, id: PayoutId) {
    world
        .until("recalled", async || recall(world, id).await.0)
        .await;
}

async fn until_refused(world: &World, id: PayoutId, why: &str) {
    world
        .until(why, async || {
            let (recalled, error) = recall(world, id).await;
            !recalled && error.is_some_and(|error| error.contains(why))
        })
        .await;
}

async fn until_told(world: &World, id: PayoutId, steps: &[&str]) {
    world
        .until("told to the log", async || {
            world.step_names(id).await == steps
        })
        .await;
}

#[tokio::test]
async fn a_fresh_card_is_cancelled_and_the_log_is_told_once() {
    let world = World::new().await;
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world.until_sms(id, "sent").await;
    give_up(&world, 1, id).await;
    until_recalled(&world, id).await;
    until_told(&world, id, &["sending", "funded", "cancelled"]).await;
    assert_eq!(world.fake.funded(), (0, Amount::ZERO));
    let steps = world.steps(id).await;
    assert_eq!(steps[2].attempt, 1, "it tells of attempts");
    // The command comes again, and another one.
    give_up(&world, 1, id).await;
    give_up(&world, 2, id).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.clock.advance(Duration::from_mins(10));
    }
    running.stop().await;
    until_told(&world, id, &["sending", "funded", "cancelled"]).await;
    assert_eq!(world.fake.cards().len(), 1);
}

#[tokio::test]
async fn a_cancellation_whose_answer_is_lost_is_asked_after() {
    let world = World::new().await;
    world.fake.follow_for(
        Operation::CancelGiftCard,
        Script::FirstCalls(vec![Fault::LostAfterIssuing, Fault::Throttled]),
    );
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world.until_sms(id, "sent").await;
    give_up(&world, 1, id).await;
    until_refused(&world, id, "isn't known yet").await;
    world
        .as_time_passes("recalled", async || recall(&world, id).await.0)
        .await;
    running.stop().await;
    until_told(&world, id, &["sending", "funded", "cancelled"]).await;
}

#[tokio::test]
async fn a_spent_or_an_old_card_stays_paid() {
    let world = World::new().await;
    let spent = world.request(1, rupees(500), PHONE).await;
    let old = world.request(2, rupees(300), PHONE).await;
    let running = world.run();
    world.until_sms(spent, "sent").await;
    world.until_sms(old, "sent").await;
    assert!(world.fake.claim(&request_id(&world, spent)));
    give_up(&world, 1, spent).await;
    until_refused(&world, spent, "can't be cancelled any more").await;
    world.clock.advance(Duration::from_mins(15));
    give_up(&world, 2, old).await;
    until_refused(&world, old, "can't be cancelled any more").await;
    running.stop().await;
    for id in [spent, old] {
        assert_eq!(world.state(id).await, "funded");
        until_told(&world, id, &["sending", "funded"]).await;
    }
    assert_eq!(world.fake.funded(), (2, rupees(800)));
}

#[tokio::test]
async fn a_refunded_card_gives_its_money_back_on_command() {
    let world = World::new().await;
    world.fake.follow(Script::FirstCalls(vec![Fault::Refunded]));
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world.until_state(id, "error_hard").await;
    give_up(&world, 1, id).await;
    until_recalled(&world, id).await;
    until_told(&world, id, &["sending", "error_hard", "cancelled"]).await;
    running.stop().await;
    assert_eq!(world.fake.funded().0, 0);
}

#[tokio::test]
async fn what_was_refused_for_certain_is_given_up_without_a_call() {
    let mut world = World::new().await;
    // The account pays another currency than the payout is in.
    let id = world.request(1, rupees(500), PHONE).await;
    world.config.agcod.currency = schemas::Currency::USD;
    let running = world.run();
    world.until_state(id, "error_hard").await;
    give_up(&world, 1, id).await;
    until_recalled(&world, id).await;
    until_told(&world, id, &["sending", "error_hard", "cancelled"]).await;
    running.stop().await;
    assert_eq!(world.fake.calls(&request_id(&world, id)), 0);
    let error: String = sqlx::query_scalar("SELECT last_error FROM payout_dispatch")
        .fetch_one(&world.owner)
        .await
        .expect("a row");
    assert_eq!(error, "a currency that this account doesn't pay");
}

#[tokio::test]
async fn a_doubtful_payout_is_not_given_up() {
    let world = World::new().await;
    world
        .fake
        .follow(Script::FirstCalls(vec![Fault::LostAfterIssuing; 3]));
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world
        .until("a doubt", async || {
            let store = world.store();
            let dispatch = store.dispatch(id).await.expect("a row");
            dispatch.is_some_and(|dispatch| dispatch.ambiguous && !dispatch.in_flight)
        })
        .await;
    give_up(&world, 1, id).await;
    until_refused(&world, id, "isn't known").await;
    world
        .as_time_passes("funded", async || world.state(id).await == "funded")
        .await;
    running.stop().await;
    assert_eq!(world.fake.funded(), (1, rupees(500)));
}

#[tokio::test]
async fn what_is_given_up_while_queued_is_never_sent() {
    let world = World::new().await;
    let id = world.request(1, rupees(500), PHONE).await;
    // Noted before the dispatcher gets to it; the ledger, which cancels it, comes later.
    let now = stream::Clock::now(&world.clock);
    let order = sinks::payouts::store::CommandOrder {
        issued_at: now,
        command_id: schemas::EventId::new(1),
    };
    assert!(
        world
            .store()
            .ask_recall(id, order, now)
            .await
            .expect("asked")
    );
    let other = world.request(2, rupees(300), PHONE).await;
    let running = world.run();
    world.until_state(other, "funded").await;
    assert_eq!(world.state(id).await, "queued");
    running.stop().await;
    assert_eq!(world.fake.cards().len(), 1);
}

/// Whatever is wrong with the account stops the channel with a sentence that says what it is;
/// resumed, every payout is made.
#[tokio::test]
async fn each_fault_of_the_account_pauses_the_channel_and_says_how_to_go_on() {
    for (fault, says) in [
        (Fault::SignatureExpired, "set this machine's clock"),
        (Fault::KeyUnknown, "the access key is expired"),
        (Fault::AccountClosed, "the account is closed"),
        (Fault::InsufficientFunds, "the prepaid funds are used up"),
    ] {
        let world = World::new().await;
        world.fake.follow(Script::FirstCalls(vec![fault]));
        let id = world.request(1, rupees(500), PHONE).await;
        let running = world.run();
        let store = world.store();
        world
            .until("paused", async || {
                store.paused().await.expect("a row").is_some()
            })
            .await;
        let reason = store.paused().await.expect("a row").unwrap_or_default();
        assert!(reason.contains(says), "{fault:?}: {reason}");
        assert_eq!(world.state(id).await, "sending");
        let resume = ChannelSwitch {
            channel: "agcod".into(),
            paused: false,
        };
        world.command(1, CommandBody::ChannelSwitch(resume)).await;
        world.until_state(id, "funded").await;
        running.stop().await;
        assert_eq!(world.fake.funded(), (1, rupees(500)), "{fault:?}");
    }
}

#[tokio::test]
async fn a_throttled_call_makes_every_dispatcher_wait() {
    let world = World::new().await;
    world
        .fake
        .follow(Script::FirstCalls(vec![Fault::Throttled]));
    let first = world.request(1, rupees(500), PHONE).await;
    let running = [world.run(), world.run()];
    let store = world.store();
    let held = async || {
        store
            .held(stream::Clock::now(&world.clock))
            .await
            .expect("asked")
    };
    world.until("held", held).await;
    let second = world.request(2, rupees(300), PHONE).await;
    world.until_state(second, "sending").await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(world.fake.cards().is_empty(), "nobody calls meanwhile");
    world.clock.advance(Duration::from_secs(10));
    for id in [first, second] {
        world
            .as_time_passes("funded", async || world.state(id).await == "funded")
            .await;
    }
    for one in running {
        one.stop().await;
    }
}

#[tokio::test]
async fn the_funds_are_asked_for_and_shown_beside_what_is_to_be_paid() {
    let world = World::new().await;
    world.fake.fund(rupees(700));
    let first = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world.until_sms(first, "sent").await;
    let store = world.store();
    let standing = async || {
        store
            .standing(stream::Clock::now(&world.clock))
            .await
            .expect("read")
    };
    world
        .until("asked", async || standing().await.funds.is_some())
        .await;
    let funds = standing().await.funds.map(|(funds, _)| funds);
    assert!([rupees(700), rupees(200)].contains(&funds.expect("asked")));
    assert_eq!(standing().await.unpaid, Amount::ZERO);
    let metrics = prometheus::TextEncoder::new()
        .encode_to_string(&running.registry.gather())
        .expect("text");
    assert!(metrics.contains("hissaback_payout_funds "), "{metrics}");
    running.stop().await;
}

/// When a payout is tried next stands in the database: who starts later keeps to it.
#[tokio::test]
async fn a_timer_survives_the_dispatcher_that_set_it() {
    let world = World::new().await;
    world.fake.follow(Script::FirstCalls(vec![Fault::Internal]));
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    let due = async || {
        let dispatch = world.store().dispatch(id).await.expect("a row");
        dispatch.filter(|dispatch| dispatch.attempts == 1 && !dispatch.in_flight)
    };
    world
        .until("tried once", async || due().await.is_some())
        .await;
    running.stop().await;
    let next = due().await.and_then(|dispatch| dispatch.next_attempt_at);
    let started = stream::Clock::now(&world.clock);
    assert_eq!(next, Some(started.plus_millis(3 * 60_000)));

    let running = world.run();
    world.clock.advance(Duration::from_secs(179));
    let other = world.request(2, rupees(300), PHONE).await;
    world
        .until("the other was tried", async || {
            world.fake.calls(&request_id(&world, other)) == 1
        })
        .await;
    assert_eq!(world.fake.calls(&request_id(&world, id)), 1, "not yet");
    world.clock.advance(Duration::from_secs(1));
    world.until_state(id, "funded").await;
    running.stop().await;
}

/// Four instances at once: their slots are one spacing apart, by the database's clock.
#[tokio::test(flavor = "multi_thread")]
async fn slots_are_shared_by_all_instances() {
    const EACH: i64 = 10;
    let world = World::new().await;
    let rate = CallRate::per_second(200.try_into().expect("not zero"));
    let began: chrono::DateTime<chrono::Utc> = sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(&world.owner)
        .await
        .expect("a time");
    let instances: Vec<_> = (0..4)
        .map(|_| {
            let store = world.store();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    let slot = store.wait_for_slot(Slots::Call, rate).await;
                    slot.expect("a slot");
                }
            })
        })
        .collect();
    for instance in instances {
        instance.await.expect("it ends");
    }
    let free: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("SELECT next_at FROM payout_rates WHERE operation = 'call'")
            .fetch_one(&world.owner)
            .await
            .expect("a time");
    assert!(free - began >= chrono::Duration::milliseconds(4 * EACH * 5));
}
