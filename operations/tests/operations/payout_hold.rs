//! A broken money invariant stops payouts, and only an operator lets them go on.

use operations::{
    payout_hold::{self, Accepted, LiftError, Lifting, PayoutHold},
    payout_run::PayoutRunError,
};
use sinks::payouts::{CHANNEL, Store, store::rates::CallRate};
use stream::Clock;

use crate::world::{NOW, World, sale, token};

const BREAK: &str =
    "UPDATE ledger SET posted_user = posted_user + 1, posted_creator = posted_creator - 1";
const REPAIR: &str =
    "UPDATE ledger SET posted_user = posted_user - 1, posted_creator = posted_creator + 1";

/// So many claims that have matured.
async fn matured(claims: i64) -> World {
    let world = World::new().await;
    for number in 1..=claims {
        world.click(number).await;
        let order = format!("order-{number}");
        world.report(sale(&token(number), &order)).await;
    }
    world.settle().await;
    world.clock.set(NOW.plus_days(40));
    world
}

fn lifting(anyway: bool) -> Lifting {
    Lifting {
        author: "a person".to_owned(),
        reason: "the row is repaired".to_owned(),
        anyway,
    }
}

impl World {
    async fn held(&self) -> PayoutHold {
        match self.payout_runs().run(None, false).await {
            Err(PayoutRunError::Held(hold)) => hold,
            other => panic!("payouts should be held: {other:?}"),
        }
    }

    /// As the schedule does after each audit.
    async fn audited(&self) -> Option<PayoutHold> {
        let report = self.audit().await;
        let hold = payout_hold::raise(&self.operator, &report.findings).await;
        hold.expect("asked")
    }

    async fn lift(&self, anyway: bool) -> Result<Accepted, LiftError> {
        let lifted = payout_hold::lift(&self.operator, &*self.log, &lifting(anyway)).await;
        lifted.map(|lifted| lifted.accepted)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payouts_stay_held_until_an_operator_lifts_the_hold() {
    let world = matured(1).await;
    assert_eq!(world.audited().await, None);
    world.tamper(BREAK).await;
    let hold = world.held().await;
    assert_eq!(
        (hold.invariant.as_str(), hold.figure),
        ("posted_equals_postings", 1)
    );
    assert!(hold.offending_rows[0]["led_id"].is_number(), "{hold:?}");
    assert!(
        hold.to_string()
            .contains("posted_equals_postings was broken by 1 rows")
    );
    assert_eq!(
        world.held().await,
        hold,
        "there is one, however often it is noticed"
    );
    assert_eq!(world.audited().await, Some(hold.clone()));
    match world.lift(false).await {
        Err(LiftError::StillBroken(names)) => assert_eq!(names, ["posted_equals_postings"]),
        other => panic!("it is still broken: {other:?}"),
    }

    // Right again by itself: somebody has to look nevertheless.
    world.tamper(REPAIR).await;
    assert_eq!(world.held().await, hold);
    let mut silent = lifting(false);
    silent.reason = " ".to_owned();
    let refused = payout_hold::lift(&world.operator, &*world.log, &silent).await;
    assert!(
        matches!(refused, Err(LiftError::Text("reason"))),
        "{refused:?}"
    );
    assert_eq!(world.lift(false).await.expect("lifted"), Accepted::new());
    assert!(matches!(world.lift(false).await, Err(LiftError::NotHeld)));
    let run = world.payout_runs().run(None, false).await.expect("a run");
    assert_eq!(run.paid_count, 1);

    let past = payout_hold::past(&world.operator, 5).await.expect("read");
    assert_eq!((past.len(), past[0].lifted_by.as_str()), (1, "a person"));
    let noted = "SELECT count(*) FROM audit_log WHERE subject = 'posted_equals_postings'
                 AND (author, action) IN (('audit', 'raise_payout_hold'),
                                          ('a person', 'lift_payout_hold'))";
    assert_eq!(world.number(noted).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_accepted_holds_payouts_again_when_it_gets_worse() {
    let world = matured(2).await;
    let one = format!("{BREAK} WHERE click_id = 1");
    world.tamper(&one).await;
    assert!(world.audited().await.is_some());
    let accepted = world.lift(true).await.expect("lifted anyway");
    let expected = Accepted::from([("posted_equals_postings".to_owned(), 1)]);
    assert_eq!(accepted, expected);
    assert_eq!(world.audited().await, None, "it was accepted");

    world.tamper(&format!("{BREAK} WHERE click_id = 2")).await;
    assert_eq!(world.held().await.figure, 2);
    // Lifted once all is well, it forgets what was accepted.
    world.tamper(REPAIR).await;
    world.lift(false).await.expect("lifted");
    world.tamper(&one).await;
    assert_eq!(world.held().await.figure, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_concerns_money_holds_payouts() {
    let world = matured(1).await;
    world.tamper("UPDATE conversions SET fate = 'update'").await;
    let report = world.audit().await;
    assert!(!report.ok && report.money_ok, "{report}");
    assert_eq!(world.audited().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_announced_or_sent_while_payouts_are_held() {
    let world = matured(2).await;
    world.payout_runs().run(None, false).await.expect("a run");
    world.settle().await;
    let store = Store::new(world.writer.clone(), CHANNEL);
    let now = world.clock.now();
    let payouts: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT payout_id FROM payouts")
        .fetch_all(&world.operator)
        .await
        .expect("payouts");
    let first = schemas::PayoutId::new(payouts[0]);
    store.adopt(Some(&[first]), now).await.expect("adopted");
    assert_eq!(store.announce(now, 10).await.expect("announced"), 1);
    world.settle().await;
    store.adopt(None, now).await.expect("adopted");

    world.tamper(BREAK).await;
    assert!(world.audited().await.is_some());
    let rate = CallRate::per_second(10.try_into().expect("not zero"));
    let moved = async || {
        let announced = store.announce(now, 10).await.expect("announced");
        (
            announced,
            store
                .begin(now, 10, 1_000, rate)
                .await
                .expect("begun")
                .len(),
        )
    };
    assert_eq!(
        moved().await,
        (0, 0),
        "one queued, one announced: both wait"
    );
    world.tamper(REPAIR).await;
    assert_eq!(moved().await, (0, 0), "until somebody has looked");
    world.lift(false).await.expect("lifted");
    assert_eq!(moved().await, (1, 1));
}

#[tokio::test]
async fn a_hold_is_kept_as_it_was() {
    let world = World::new().await;
    let query = "INSERT INTO payout_holds (invariant, figure, offending_rows)
                 VALUES ('x', 1, '[]')";
    sqlx::query(query)
        .execute(&world.writer)
        .await
        .expect("raised");
    for (what, statement) in [
        ("a second open one", query),
        ("another figure", "UPDATE payout_holds SET figure = 2"),
        (
            "half a lifting",
            "UPDATE payout_holds SET lifted_at = now()",
        ),
        ("a deletion", "DELETE FROM payout_holds"),
    ] {
        let outcome = sqlx::query(statement).execute(&world.superuser).await;
        assert!(outcome.is_err(), "{what}");
    }
    let lift = "UPDATE payout_holds
                SET lifted_at = now(), lifted_by = 'a', reason = 'b', accepted = '{}'";
    assert!(
        sqlx::query(lift).execute(&world.writer).await.is_err(),
        "operators lift"
    );
    sqlx::query(lift)
        .execute(&world.operator)
        .await
        .expect("lifted");
    let again = sqlx::query(lift).execute(&world.operator).await;
    assert!(again.is_err(), "once");
}
