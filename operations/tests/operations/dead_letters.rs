//! Dead letters are tried again or given up, and never for ever.

use operations::{
    dead_letters::{
        DeadLetter, DeadLetterError, DeadLetters, Filter, REDRIVES_MAX, RedriveOrder,
        RedriveSummary, State,
    },
    unmatched::{self, UnmatchedError},
};
use schemas::{Position, Timestamp, Topic};
use stream::{Log, NewRecord};

use crate::world::{NOW, World, sale, token};

fn letters(world: &World) -> DeadLetters<'_> {
    DeadLetters {
        pool: &world.operator,
        log: &*world.log,
    }
}

async fn open(world: &World) -> Vec<DeadLetter> {
    let filter = Filter {
        state: Some(State::Open),
        ..Filter::default()
    };
    letters(world).list(&filter, 100).await.expect("listed")
}

fn order(filter: Filter) -> RedriveOrder {
    RedriveOrder {
        filter,
        author: "asha".to_owned(),
        reason: "mended".to_owned(),
        dry_run: false,
        rate_per_second: 1_000,
        redrives_max: REDRIVES_MAX,
    }
}

async fn redrive(world: &World) -> RedriveSummary {
    let order = order(Filter::default());
    letters(world).redrive(&order).await.expect("redriven")
}

/// A record that no stage can read.
async fn garbage(world: &World, topic: Topic) -> Position {
    let record = NewRecord::new("7", &b"not an event"[..]).with_header("theirs", "kept");
    world.log.append(topic, vec![record]).await.expect("taken")[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_dies_each_time_is_stopped() {
    let world = World::new().await;
    let origin = garbage(&world, Topic::Conversions).await;
    world.settle().await;
    for redrives in 0..REDRIVES_MAX {
        let found = open(&world).await;
        let [letter] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(
            (letter.redrives, letter.reason.as_deref()),
            (redrives, Some("undecodable"))
        );
        let dry = RedriveOrder {
            dry_run: true,
            ..order(Filter::default())
        };
        let would = letters(&world).redrive(&dry).await.expect("a dry run");
        assert_eq!(would.redriven, [letter.position]);
        assert_eq!(open(&world).await, found);
        assert_eq!(redrive(&world).await.redriven, [letter.position]);
        assert!(open(&world).await.is_empty(), "and not twice");
        world.settle().await;
    }
    let last = open(&world).await.remove(0);
    assert_eq!(last.redrives, REDRIVES_MAX);
    assert_ne!(last.origin, Some(origin.to_string()));
    let summary = redrive(&world).await;
    assert!(summary.redriven.is_empty());
    assert_eq!(
        summary.refused[0].why,
        "it was redriven 3 times, and died each time"
    );
    // The sender's own headers went along, and ours once.
    let again = world.log.read(
        Topic::DeadLetters,
        last.position.partition,
        last.position.offset,
        1,
    );
    let again = again.await.expect("read").remove(0);
    let names = |name: &str| {
        again
            .headers
            .iter()
            .filter(|header| header.name == name)
            .count()
    };
    assert_eq!((names("theirs"), names("hissaback-origin")), (1, 1));
    assert_eq!(world.fates().await.dead_lettered, 4);
    let report = world.audit().await;
    assert!(report.ok, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_takes_a_reason_and_stands_in_the_audit_log() {
    let world = World::new().await;
    garbage(&world, Topic::Conversions).await;
    garbage(&world, Topic::Commands).await;
    world.settle().await;
    assert_eq!(open(&world).await.len(), 2);
    let commands = Filter {
        topic: Some(Topic::Commands),
        ..Filter::default()
    };
    let letters = letters(&world);
    let unexplained = letters.discard(&commands, "asha", " ", false).await;
    assert!(matches!(unexplained, Err(DeadLetterError::Unexplained)));
    let dry = letters
        .discard(&commands, "asha", "a test", true)
        .await
        .expect("a dry run");
    assert_eq!((dry.len(), open(&world).await.len()), (1, 2));
    let gone = letters
        .discard(&commands, "asha", "a test", false)
        .await
        .expect("discarded");
    assert_eq!(gone, dry);
    let again = letters
        .discard(&commands, "asha", "a test", false)
        .await
        .expect("nothing");
    assert!(again.is_empty());
    assert_eq!(open(&world).await.len(), 1);
    let noted: (String, String, String) = sqlx::query_as(
        "SELECT author, subject, detail->>'reason' FROM audit_log
         WHERE action = 'dead_letter_discarded'",
    )
    .fetch_one(&world.operator)
    .await
    .expect("noted");
    let wanted = (
        "asha".to_owned(),
        gone[0].position.to_string(),
        "a test".to_owned(),
    );
    assert_eq!(noted, wanted);
    let shown = letters
        .show(gone[0].position)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(shown.letter.state, State::Discarded);
    let counted = letters.count().await.expect("counted");
    let states: Vec<(State, i64)> = counted
        .iter()
        .map(|((_, _, state), n)| (*state, *n))
        .collect();
    assert_eq!(states.iter().map(|(_, count)| count).sum::<i64>(), 2);
    assert!(states.contains(&(State::Discarded, 1)));

    let later = Filter {
        from: Some(NOW.plus_millis(1)),
        ..Filter::default()
    };
    let before = Filter {
        to: Some(Timestamp::from_millis(0)),
        ..Filter::default()
    };
    for nothing in [later, before] {
        assert!(letters.list(&nothing, 10).await.expect("listed").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_the_ledger_has_is_not_redriven() {
    let world = World::new().await;
    world.click(1).await;
    let position = world.report(sale(&token(1), "A")).await;
    world.settle().await;
    // As another stage would write it, for a defect of its own.
    let record = NewRecord::new("7", &b"bytes"[..])
        .with_header("hissaback-origin", position.to_string())
        .with_header("hissaback-reason", "undecodable")
        .with_header("hissaback-stage", "analytics");
    world
        .log
        .append(Topic::DeadLetters, vec![record])
        .await
        .expect("taken");
    let summary = redrive(&world).await;
    assert!(summary.redriven.is_empty());
    assert!(
        summary.refused[0].why.contains("the ledger has the report"),
        "{summary:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_report_is_given_up_once_and_healed_all_the_same() {
    let world = World::new().await;
    let position = world.report(sale("7", "A")).await;
    world.settle().await;
    let listed = async |state| {
        let filter = unmatched::Filter {
            state: Some(state),
            reason: Some("unknown_click".to_owned()),
            ..unmatched::Filter::default()
        };
        unmatched::list(&world.operator, filter)
            .await
            .expect("listed")
            .len()
    };
    assert_eq!(listed(unmatched::State::Parked).await, 1);
    let discard =
        async |reason: &str| unmatched::discard(&world.operator, position, "asha", reason).await;
    assert!(matches!(
        discard("").await,
        Err(UnmatchedError::Unexplained)
    ));
    assert!(discard("a test sale").await.expect("noted"));
    assert!(!discard("a test sale").await.expect("known"));
    let (parked, discarded) = (unmatched::State::Parked, unmatched::State::Discarded);
    assert_eq!((listed(parked).await, listed(discarded).await), (0, 1));
    let shown = unmatched::show(&world.operator, &*world.log, position).await;
    assert_eq!(shown.expect("read").expect("there").report.state, discarded);
    assert_eq!(world.fates().await.unmatched, 1);

    world.click(7).await;
    world.settle().await;
    world.healer.heal_once(NOW).await.expect("a pass");
    world.settle().await;
    assert_eq!(world.fates().await.ledgered, 1);
    assert_eq!((listed(parked).await, listed(discarded).await), (0, 0));
}
