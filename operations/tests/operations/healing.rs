use std::time::Duration;

use operations::{
    dead_letters::{DeadLetters, Filter as LetterFilter},
    healing::HealSummary,
    unmatched::{self, Filter, State},
};
use schemas::{
    ClickId, Position, Topic,
    events::{CommandBody, MatchByHand},
};
use tokio_util::sync::CancellationToken;

use crate::world::{NOW, PATIENCE, World, sale};

const TRIED: HealSummary = HealSummary {
    elsewhere: false,
    due: 1,
    healed: 0,
    waiting: 0,
    left_to_people: 0,
};
const HEALED: HealSummary = HealSummary { healed: 1, ..TRIED };
const NOTHING: HealSummary = HealSummary { due: 0, ..TRIED };

async fn parked(world: &World) -> unmatched::UnmatchedReport {
    let mut list = unmatched::list(&world.operator, Filter::default())
        .await
        .expect("listed");
    assert_eq!(list.len(), 1, "{list:?}");
    list.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_click_that_turns_up_is_healed_once_and_ledgered_once() {
    let world = World::new().await;
    let position = world.report(sale("7", "A")).await;
    world.settle().await;
    assert_eq!(world.fates().await.unmatched, 1);

    let summary = world.healer.heal_once(NOW).await.expect("a pass");
    assert_eq!(
        summary,
        HealSummary {
            waiting: 1,
            ..TRIED
        }
    );
    let report = parked(&world).await;
    assert_eq!((report.position, report.tries), (position, 1));
    assert_eq!(report.click_id, Some(ClickId::new(7)));
    assert_eq!(report.next_try_at, Some(NOW.plus_millis(60_000)));
    assert_eq!(world.healer.heal_once(NOW).await.expect("a pass"), NOTHING);

    // Its click wakes it up.
    world.click(7).await;
    world.settle().await;
    assert_eq!(parked(&world).await.next_try_at, Some(NOW));
    assert_eq!(world.healer.heal_once(NOW).await.expect("a pass"), HEALED);
    assert_eq!(world.healer.heal_once(NOW).await.expect("a pass"), NOTHING);

    world.settle().await;
    let fates = world.fates().await;
    assert_eq!((fates.accepted, fates.ledgered, fates.unmatched), (1, 1, 0));
    assert_eq!(world.number("SELECT count(*) FROM conversions").await, 1);
    let report = world.audit().await;
    assert!(report.ok, "{report}");
    let detail = unmatched::show(&world.operator, &*world.log, position)
        .await
        .expect("shown")
        .expect("still listed");
    assert_eq!(detail.report.state, State::Healed);
    assert!(detail.original.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_append_and_update_heals_twice_and_counts_once() {
    let world = World::new().await;
    world.report(sale("7", "A")).await;
    world.settle().await;
    world.click(7).await;
    world.settle().await;
    assert_eq!(world.healer.heal_once(NOW).await.expect("a pass"), HEALED);
    world
        .tamper("UPDATE unmatched_conversions SET tries = 0, next_try_at = received_at")
        .await;
    assert_eq!(world.healer.heal_once(NOW).await.expect("a pass"), HEALED);
    world.settle().await;
    assert_eq!(world.number("SELECT count(*) FROM conversions").await, 2);
    let fates = world.fates().await;
    assert_eq!((fates.accepted, fates.ledgered, fates.unmatched), (1, 1, 0));
    assert_eq!(world.number("SELECT count(*) FROM ledger").await, 1);
    let report = world.audit().await;
    assert!(report.ok, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_day_a_report_is_left_to_people_until_its_click_arrives() {
    let world = World::new().await;
    world.report(sale("7", "A")).await;
    world.settle().await;
    let later = NOW.plus_days(1);
    world.clock.set(later);
    let summary = world.healer.heal_once(later).await.expect("a pass");
    assert_eq!(
        summary,
        HealSummary {
            left_to_people: 1,
            ..TRIED
        }
    );
    assert_eq!(parked(&world).await.next_try_at, None);
    world.click(7).await;
    world.settle().await;
    assert_eq!(world.healer.heal_once(later).await.expect("a pass"), HEALED);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_heals_at_a_time() {
    let world = World::new().await;
    let mut other = world.superuser.acquire().await.expect("a connection");
    sqlx::query("SELECT pg_advisory_lock(hashtext('hissaback.healing'))")
        .execute(&mut *other)
        .await
        .expect("locked");
    assert!(world.healer.heal_once(NOW).await.expect("a pass").elsewhere);
    other.close().await.expect("closed");
    let free = async {
        while world.healer.heal_once(NOW).await.expect("a pass").elsewhere {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free)
        .await
        .expect("the lock goes with its holder");
}

/// Runs the worker until it has appended something to a topic.
async fn work_until_appended(world: &World, topic: Topic) {
    let end = async || {
        let mut sum = 0;
        for partition in 0..topic.partitions() {
            let marks = stream::Log::watermarks(&world.log, topic, partition).await;
            sum += marks.expect("watermarks").high;
        }
        sum
    };
    let before = end().await;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let healer = world.healer.clone();
    let worker = tokio::spawn(async move { healer.run(stop).await });
    let appended = async {
        while end().await == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, appended)
        .await
        .expect("something is appended");
    shutdown.cancel();
    worker.await.expect("no panic").expect("it stops");
}

async fn match_by_hand(world: &World, report: Position, click: i64) {
    let body = CommandBody::MatchByHand(MatchByHand {
        report,
        click_id: ClickId::new(click),
    });
    world
        .commands()
        .give("meera", "the shopper showed the order", body)
        .await
        .expect("given");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_matches_what_no_retry_can() {
    let world = World::new().await;
    let position = world.report(sale("what-is-this", "A")).await;
    world.click(7).await;
    world.settle().await;
    let summary = world.healer.heal_once(NOW).await.expect("a pass");
    assert_eq!(
        summary,
        HealSummary {
            left_to_people: 1,
            ..TRIED
        }
    );

    match_by_hand(&world, position, 7).await;
    work_until_appended(&world, Topic::Conversions).await;
    world.settle().await;
    let fates = world.fates().await;
    assert_eq!((fates.accepted, fates.ledgered, fates.unmatched), (1, 1, 0));
    let report = world.audit().await;
    assert!(report.ok, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_match_that_cannot_be_is_a_dead_letter_with_the_reason() {
    let world = World::new().await;
    let position = world.report(sale("what-is-this", "A")).await;
    world.settle().await;
    world.healer.heal_once(NOW).await.expect("a pass");
    match_by_hand(&world, position, 404).await;
    work_until_appended(&world, Topic::DeadLetters).await;
    let dead_letters = DeadLetters {
        pool: &world.operator,
        log: &*world.log,
    };
    let letters = dead_letters.list(&LetterFilter::default(), 10).await;
    let letters = letters.expect("listed");
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].error.as_deref(), Some("click 404 is not known"));
    assert_eq!(letters[0].stage.as_deref(), Some("healing"));
    let shown = dead_letters.show(letters[0].position).await.expect("read");
    assert_eq!(shown.expect("there").letter, letters[0]);
    world.settle().await;
    assert_eq!(world.fates().await.unmatched, 1);
}
