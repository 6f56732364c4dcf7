//! What fails on the way, and records that can't be read.

use std::{sync::atomic::Ordering, time::Duration};

use processors::stage::{ORIGINAL_POSITION, dead_letters};
use proptest::prelude::*;
use schemas::{Topic, codec, events::*};
use stream::{Limits, NewRecord, Record};

use crate::{harness::Harness, world::*};

/// What goes wrong while a history is decided.
#[derive(Debug, Clone, Copy)]
enum Fault {
    LostAcknowledgements(usize),
    RefusedAppends(usize),
    FailedCommits(usize),
    RepeatedBatches(usize),
    Rewind,
    Unreachable,
    LookupOutage,
    Crash,
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let fault = prop_oneof![
        (1_usize..4).prop_map(Fault::LostAcknowledgements),
        (1_usize..4).prop_map(Fault::RefusedAppends),
        (1_usize..4).prop_map(Fault::FailedCommits),
        (1_usize..4).prop_map(Fault::RepeatedBatches),
        Just(Fault::Rewind),
        Just(Fault::Unreachable),
        Just(Fault::LookupOutage),
        Just(Fault::Crash),
    ];
    prop::collection::vec(fault, 1..8)
}

/// Decides a history while these faults happen one after the other.
async fn decide_under(faults: Vec<Fault>) -> Harness {
    let harness = Harness::new();
    let mut running = harness.start();
    for (round, fault) in (0..).zip(faults) {
        let first_click = 1 + round * 30;
        harness.report_clicks(first_click..first_click + 20).await;
        match fault {
            Fault::LostAcknowledgements(count) => harness.faults.lose_acknowledgements(count),
            Fault::RefusedAppends(count) => harness.faults.refuse_appends(count),
            Fault::FailedCommits(count) => harness.faults.fail_commits(count),
            Fault::RepeatedBatches(count) => harness.faults.repeat_records(count),
            Fault::Rewind => harness.faults.rewind_consumers(),
            Fault::Unreachable => harness.faults.set_unreachable(true),
            Fault::LookupOutage => harness.clicks.unreachable.store(true, Ordering::SeqCst),
            Fault::Crash => {
                tokio::task::yield_now().await;
                running.crash().await;
                running = harness.start();
            }
        }
        harness
            .report_clicks(first_click + 20..first_click + 30)
            .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        harness.faults.set_unreachable(false);
        harness.clicks.unreachable.store(false, Ordering::SeqCst);
    }
    harness.caught_up().await;
    running.stop().await.expect("a clean end");
    harness
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_fails_the_first_decision_for_each_position_is_the_same(faults in faults()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let harness = decide_under(faults).await;
            let (first, expected) =
                (harness.first_decisions().await, harness.expected_decisions().await);
            prop_assert_eq!(first, expected);
            Ok(())
        })?;
    }
}

#[tokio::test(start_paused = true)]
async fn lost_acknowledgements_repeat_decisions_to_the_byte() {
    let harness = Harness::new();
    harness.report_clicks(1..8).await;
    harness.faults.lose_acknowledgements(3);
    let running = harness.start();
    harness.caught_up().await;
    running.stop().await.expect("a clean end");

    let written = harness.records(Topic::Decisions).await;
    assert_eq!(written.len(), 4 * 7, "three lost, one told");
    let mut values: Vec<_> = written.into_iter().map(|record| record.value).collect();
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 7);
    assert_eq!(harness.counted("retries_total", "append"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_failed_is_made_up_for_without_another_record() {
    let harness = Harness::new();
    harness.report_clicks(1..2).await;
    harness.faults.fail_commits(3);
    let running = harness.start();
    harness.caught_up().await;
    running.stop().await.expect("a clean end");
    assert_eq!(
        harness.records(Topic::Decisions).await.len(),
        1,
        "decided once"
    );
    assert_eq!(harness.counted("retries_total", "commit"), 3);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_on_a_look_up_that_failed() {
    let harness = Harness::new();
    harness.clicks.unreachable.store(true, Ordering::SeqCst);
    harness.report_clicks(1..8).await;
    let running = harness.start();
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(harness.records(Topic::Decisions).await.is_empty());
    assert_eq!(harness.lag().await, 7, "nothing is committed");
    assert!(
        harness.counted("retries_total", "lookup") > 10,
        "it goes on trying"
    );

    harness.clicks.unreachable.store(false, Ordering::SeqCst);
    harness.caught_up().await;
    running.stop().await.expect("a clean end");
    assert_eq!(
        harness.first_decisions().await,
        harness.expected_decisions().await
    );
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_waits_for_the_database_still_gives_partitions_up_and_stops() {
    let harness = Harness::new();
    harness.clicks.unreachable.store(true, Ordering::SeqCst);
    harness.report_clicks(1..41).await;
    let first = harness.start();
    tokio::time::sleep(Duration::from_mins(1)).await;
    let second = harness.start();
    tokio::time::sleep(Duration::from_mins(1)).await;
    first.stop().await.expect("a clean end");
    assert_eq!(harness.lag().await, 40);
    harness.clicks.unreachable.store(false, Ordering::SeqCst);
    harness.caught_up().await;
    second.stop().await.expect("a clean end");
    assert_eq!(
        harness.first_decisions().await,
        harness.expected_decisions().await
    );
}

#[tokio::test(start_paused = true)]
async fn a_log_that_takes_nothing_is_waited_for() {
    let harness = Harness::new();
    harness.report_clicks(1..8).await;
    harness.faults.refuse_appends(5);
    let running = harness.start();
    harness.caught_up().await;
    running.stop().await.expect("a clean end");
    assert_eq!(
        harness.records(Topic::Decisions).await.len(),
        7,
        "refused is not written"
    );
}

#[tokio::test(start_paused = true)]
async fn shutting_down_finishes_the_batch_in_hand() {
    let harness = Harness::new();
    harness.report_clicks(1..8).await;
    harness.log.hold_writes(true);
    let running = harness.start();
    tokio::time::sleep(Duration::from_secs(5)).await;
    running.shutdown.cancel();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(
        !running.task.is_finished(),
        "its decisions are not durable yet"
    );
    harness.log.hold_writes(false);
    running.stop().await.expect("a clean end");
    assert_eq!(harness.lag().await, 0, "and then it commits them");
}

fn header<'a>(record: &'a Record, name: &str) -> &'a str {
    let value = record
        .header(name)
        .unwrap_or_else(|| panic!("no header {name}"));
    std::str::from_utf8(value).expect("text")
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_a_dead_letter_and_decided_as_such() {
    let harness = Harness::new();
    let good = codec::encode(&report_of(&token(1))).expect("a report");
    let cut = good[..good.len() - 1].to_vec();
    let of_unknown_copy = NewRecord::new("1", good.clone()).with_header(ORIGINAL_POSITION, "?");
    for record in [
        NewRecord::new("1", good.clone()),
        NewRecord::new("1", "junk").with_header("trace", "7"),
        NewRecord::new("1", ""),
        NewRecord::new("1", cut),
        of_unknown_copy,
        NewRecord::new("1", good),
    ] {
        harness.append_raw(record).await;
    }
    let running = harness.start();
    harness.caught_up().await;
    running.stop().await.expect("a clean end");

    let poisoned: Vec<_> = harness
        .first_decisions()
        .await
        .into_values()
        .map(|decision| matches!(decision.outcome, Outcome::Poisoned(_)))
        .collect();
    assert_eq!(poisoned, [false, true, true, true, true, false]);

    let sources = harness.records(Topic::Conversions).await;
    let letters = harness.records(Topic::DeadLetters).await;
    assert_eq!(letters.len(), 4);
    for (letter, source) in letters.iter().zip(&sources[1..]) {
        assert_eq!((&letter.key, &letter.value), (&source.key, &source.value));
        assert_eq!(letter.headers[..source.headers.len()], source.headers);
        assert_eq!(
            header(letter, dead_letters::ORIGIN),
            source.position.to_string()
        );
        assert_eq!(header(letter, dead_letters::STAGE), "processors");
        assert_eq!(header(letter, dead_letters::FAILED_AT), CHANGE.to_string());
        assert_eq!(
            header(letter, dead_letters::CODE_VERSION),
            env!("CARGO_PKG_VERSION")
        );
        assert!(!header(letter, dead_letters::ERROR).is_empty());
    }
    let reasons: Vec<_> = letters
        .iter()
        .map(|letter| header(letter, dead_letters::REASON))
        .collect();
    assert_eq!(
        reasons,
        [
            "undecodable",
            "undecodable",
            "undecodable",
            "origin_unreadable"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_decision_is_written_only_after_its_dead_letter() {
    let harness = Harness::new();
    harness.append_raw(NewRecord::new("1", "junk")).await;
    harness.log.hold_writes(true);
    harness.faults.lose_acknowledgements(1);
    let running = harness.start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    harness.log.hold_writes(false);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(harness.records(Topic::DeadLetters).await.len(), 1);
    assert!(
        harness.records(Topic::Decisions).await.is_empty(),
        "the letter is not known to be"
    );
    harness.caught_up().await;
    running.stop().await.expect("a clean end");
    assert_eq!(harness.records(Topic::Decisions).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_too_large_for_the_log_goes_without_its_value() {
    let limits = Limits {
        record_bytes_max: 2_000,
        ..Limits::default()
    };
    let harness = Harness::with_limits(limits);
    harness
        .append_raw(NewRecord::new("1", vec![7; 1_990]))
        .await;
    harness.append_raw(NewRecord::new("1", "junk")).await;
    let running = harness.start();
    harness.caught_up().await;
    running.stop().await.expect("a clean end");

    let letters = harness.records(Topic::DeadLetters).await;
    assert_eq!(letters.len(), 2);
    assert!(letters[0].value.is_empty());
    assert_eq!(header(&letters[0], dead_letters::VALUE_OMITTED), "true");
    assert_eq!(&letters[1].value[..], b"junk");
    assert_eq!(harness.first_decisions().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_is_too_large_is_a_dead_letter() {
    let harness = Harness::new();
    let mut report = report_of(&token(1));
    report.reported.as_mut().expect("parsed").txn_id = Some("7".repeat(600 * 1024));
    harness.append(&report, 1).await;
    let running = harness.start();
    harness.caught_up().await;
    running.stop().await.expect("a clean end");

    let decisions: Vec<_> = harness.first_decisions().await.into_values().collect();
    assert!(matches!(
        decisions[..],
        [Decision {
            outcome: Outcome::Poisoned(_),
            ..
        }]
    ));
    let letters = harness.records(Topic::DeadLetters).await;
    assert_eq!(
        header(&letters[0], dead_letters::REASON),
        "result_unwritable"
    );
}
