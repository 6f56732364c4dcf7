//! From `conversions` to `decisions` when all goes well, and when members come and go.

use std::time::Duration;

use processors::stage::{ORIGINAL_APPENDED_AT, ORIGINAL_POSITION, StageError};
use schemas::{Position, Timestamp, Topic, codec, events::Decision};
use stream::{Log, LogError, NewRecord};

use crate::{harness::Harness, world::*};

#[tokio::test(start_paused = true)]
async fn every_report_gets_one_decision_in_its_partition_and_order() {
    let harness = Harness::new();
    harness.report_clicks(1..201).await;
    let running = harness.start();
    harness.caught_up().await;
    // And what comes while it runs.
    harness.report_clicks(201..251).await;
    harness.caught_up().await;
    running.stop().await.expect("a clean end");

    assert_eq!(
        harness.first_decisions().await,
        harness.expected_decisions().await
    );
    assert_eq!(
        harness.records(Topic::Decisions).await.len(),
        250,
        "none twice"
    );
    assert!(harness.records(Topic::DeadLetters).await.is_empty());
    assert_eq!(harness.counted("decisions_total", "matched"), 125);
    assert_eq!(harness.counted("decisions_total", "unmatched"), 125);
}

#[tokio::test(start_paused = true)]
async fn a_batch_asks_for_its_bare_clicks_once_and_not_at_all_without_any() {
    let harness = Harness::new();
    for id in [4, 8, 12] {
        harness.append(&report_of(&token(id)), 1).await;
    }
    let running = harness.start();
    harness.caught_up().await;
    assert_eq!(
        harness
            .clicks
            .queries
            .load(std::sync::atomic::Ordering::SeqCst),
        0
    );
    running.stop().await.expect("a clean end");
    for id in [5, 6, 5] {
        harness.append(&report(id.to_string()), 1).await;
    }
    let running = harness.start();
    harness.caught_up().await;
    running.stop().await.expect("a clean end");
    assert_eq!(
        harness
            .clicks
            .queries
            .load(std::sync::atomic::Ordering::SeqCst),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_copied_record_is_decided_under_its_original_position() {
    let harness = Harness::new();
    let report = report_of(&token(1));
    let value = codec::encode(&report).expect("a report");
    let copy = NewRecord::new("1", value)
        .with_header(ORIGINAL_POSITION, "conversions/11/4711")
        .with_header(ORIGINAL_APPENDED_AT, "1234567");
    let position = harness.append_raw(copy).await;
    let running = harness.start();
    harness.caught_up().await;
    running.stop().await.expect("a clean end");

    let records = harness.records(Topic::Decisions).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].position.partition, position.partition);
    let decision: Decision = codec::decode(&records[0].value).expect("a decision");
    let original = Position {
        topic: Topic::Conversions,
        partition: 11,
        offset: 4711,
    };
    assert_eq!(decision.source, original);
    assert_eq!(decision.appended_at, Timestamp::from_millis(1_234_567));
    assert_eq!(matched(decision).click, click(1));
}

#[tokio::test(start_paused = true)]
async fn members_come_go_and_crash_and_every_position_is_decided_alike() {
    let harness = Harness::new();
    harness.report_clicks(1..301).await;
    let first = harness.start();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let second = harness.start();
    harness.report_clicks(301..401).await;
    harness.caught_up().await;
    first.stop().await.expect("a clean end");
    harness.report_clicks(401..501).await;
    let third = harness.start();
    tokio::task::yield_now().await;
    second.crash().await;
    harness.report_clicks(501..601).await;
    harness.caught_up().await;
    third.stop().await.expect("a clean end");

    assert_eq!(
        harness.first_decisions().await,
        harness.expected_decisions().await
    );
}

#[tokio::test(start_paused = true)]
async fn two_members_share_the_work() {
    let harness = Harness::new();
    let (first, second) = (harness.start(), harness.start());
    // Each gets to hear of the other.
    tokio::time::sleep(Duration::from_secs(5)).await;
    harness.report_clicks(1..101).await;
    harness.caught_up().await;
    first.stop().await.expect("a clean end");
    second.stop().await.expect("a clean end");
    assert_eq!(
        harness.first_decisions().await,
        harness.expected_decisions().await
    );
    assert_eq!(
        harness.records(Topic::Decisions).await.len(),
        100,
        "none twice"
    );
}

#[tokio::test(start_paused = true)]
async fn a_closed_log_ends_the_stage() {
    let harness = Harness::new();
    let running = harness.start();
    harness.caught_up().await;
    harness.log.close().await;
    let ended = running.task.await.expect("no panic");
    assert!(
        matches!(ended, Err(StageError::Read(LogError::Closed))),
        "{ended:?}"
    );
}
