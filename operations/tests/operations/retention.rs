//! What is past its period goes, and what it came to stays; so with what is known of a person.

use operations::retention::{
    self, Periods, RetentionSummary, Stores,
    erasure::{self, Erased, ErasureError, Order},
};
use schemas::{
    PayoutId, Timestamp,
    events::{NetworkStatus, PayoutResult, PayoutStep, Reported},
};
use serde_json::Value;
use stream::Clock;
use uuid::Uuid;

use crate::{
    canonical_dump::dump,
    world::{NOW, World, click, sale, user},
};

/// Past two years, and past seven.
const DAYS_OLD: i32 = 900;
const DAYS_VERY_OLD: i32 = 3_000;

impl World {
    async fn retire(&self, dry_run: bool) -> RetentionSummary {
        let stores = Stores {
            pool: &self.operator,
            clickhouse: None,
            log: &*self.log,
        };
        let now = self.clock.now();
        let run = retention::run(&stores, Periods::default(), now, dry_run).await;
        run.expect("a run")
    }

    /// A click some days ago, with the addresses that a shopper leaves.
    async fn old_click(&self, number: i64, days: i32) {
        let mut click = click(number);
        click.clicked_at = NOW.plus_days(-days);
        click.address_hash = Some("ab".repeat(16));
        click.address_prefix = Some("192.0.2.0/24".to_owned());
        self.append(number.to_string(), &click).await;
        self.settle().await;
    }

    /// A report on such a click, by its bare id.
    async fn old_sale(&self, number: i64, days: i32, status: NetworkStatus) {
        let reported = Reported {
            status: Some(status),
            converted_at: Some(NOW.plus_days(1 - days)),
            ..sale(&number.to_string(), &format!("order-{number}"))
        };
        self.report(reported).await;
        self.settle().await;
    }

    /// Lets every payout have its card.
    async fn fund(&self) {
        let payouts: Vec<Uuid> = sqlx::query_scalar("SELECT payout_id FROM payouts")
            .fetch_all(&self.operator)
            .await
            .expect("payouts");
        for payout_id in payouts {
            for step in [PayoutStep::Sending, PayoutStep::Funded] {
                let result = PayoutResult {
                    payout_id: PayoutId::new(payout_id),
                    step,
                    at: NOW,
                    attempt: 1,
                    detail: None,
                    card_id: (step == PayoutStep::Funded).then(|| format!("card-{payout_id}")),
                };
                self.append(payout_id.to_string(), &result).await;
            }
        }
        self.settle().await;
    }

    async fn partitions(&self, table: &str) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = $1::regclass ORDER BY 1",
        )
        .bind(table)
        .fetch_all(&self.operator)
        .await
        .expect("partitions")
    }
}

/// What neither retention nor erasure changes: the postings, line for line, and the dump.
async fn books(world: &World) -> (Vec<Value>, Vec<Value>) {
    let postings = sqlx::query_scalar("SELECT to_jsonb(p) FROM postings p ORDER BY posting_id")
        .fetch_all(&world.superuser)
        .await
        .expect("postings");
    (postings, dump(&world.operator, None).await.1)
}

fn month(days: i32) -> String {
    let then: Timestamp = NOW.plus_days(-days);
    then.to_datetime().format("%Y_%m").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_months_go_and_what_they_came_to_stays() {
    let world = World::new().await;
    world.old_click(1, DAYS_VERY_OLD).await;
    world.old_click(2, DAYS_OLD).await;
    world.click(3).await;
    world
        .old_sale(1, DAYS_VERY_OLD, NetworkStatus::Approved)
        .await;
    world
        .old_sale(1, DAYS_VERY_OLD, NetworkStatus::Approved)
        .await;
    world.old_sale(2, DAYS_OLD, NetworkStatus::Approved).await;
    world.payout_runs().run(None, false).await.expect("a run");
    world.fund().await;
    let (before, fates) = (books(&world).await, world.fates().await);
    let counts = dump(&world.operator, None).await.0;
    assert_eq!((counts.claims, counts.payouts), (2, 2));

    let rehearsed = world.retire(true).await;
    let very_old = format!("clicks_{}", month(DAYS_VERY_OLD));
    assert!(world.partitions("clicks").await.contains(&very_old));
    let summary = world.retire(false).await;
    assert_eq!(summary.detached, rehearsed.detached);
    let gone = [
        very_old,
        format!("clicks_{}", month(DAYS_OLD)),
        format!("conversions_{}", month(DAYS_VERY_OLD)),
    ];
    let detached: Vec<_> = summary
        .detached
        .iter()
        .map(|month| (month.partition.clone(), month.rows))
        .collect();
    let expected: Vec<_> = gone.iter().cloned().zip([1, 1, 2]).collect();
    assert_eq!(detached, expected);
    assert_eq!(summary.dropped, gone);
    assert_eq!(summary.unsettled_claims, 0);
    assert!(!world.partitions("clicks").await.contains(&gone[0]));

    // Partitions for the months to come.
    let ahead = world.partitions("conversions").await;
    assert!(
        ahead.contains(&"conversions_2026_12".to_owned()),
        "{ahead:?}"
    );

    assert_eq!(books(&world).await, before);
    assert_eq!(world.fates().await, fates);
    let report = world.audit().await;
    assert!(report.ok, "{report}");
    let again = world.payout_runs().run(None, false).await.expect("a run");
    assert_eq!(
        again.paid_count, 0,
        "what was paid is known by its name still"
    );

    let noted = "SELECT count(*) FROM audit_log WHERE author = 'retention'";
    assert_eq!(world.number(noted).await, 6);
    let repeated = world.retire(false).await;
    assert_eq!((repeated.detached, repeated.dropped), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_past_its_period_is_final() {
    let world = World::new().await;
    world.old_click(1, DAYS_VERY_OLD).await;
    world
        .old_sale(1, DAYS_VERY_OLD, NetworkStatus::Cancelled)
        .await;
    world.retire(false).await;
    let before = books(&world).await;

    // The click turns up once more, and with it a report that would change its claim.
    world.old_click(1, DAYS_VERY_OLD).await;
    world
        .old_sale(1, DAYS_VERY_OLD, NetworkStatus::Approved)
        .await;
    assert_eq!(books(&world).await, before);
    assert_eq!(world.fates().await.ignored, 1);
    let reason = "SELECT count(*) FROM unmatched_conversions
                  WHERE state = 'ignored' AND reason = 'claim_final'";
    assert_eq!(world.number(reason).await, 1);
    let report = world.audit().await;
    assert!(report.ok, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_owed_keeps_its_month_and_those_after_it() {
    let world = World::new().await;
    let days = [DAYS_VERY_OLD, DAYS_VERY_OLD - 100, DAYS_VERY_OLD - 200];
    for (number, days) in (1..).zip(days) {
        world.old_click(number, days).await;
        let status = if number == 2 {
            NetworkStatus::Approved
        } else {
            NetworkStatus::Cancelled
        };
        world.old_sale(number, days, status).await;
    }
    let summary = world.retire(false).await;
    assert_eq!(summary.unsettled_claims, 1);
    let left = world.partitions("conversions").await;
    let kept = |days| left.contains(&format!("conversions_{}", month(days)));
    assert_eq!(days.map(kept), [false, true, true]);
    assert!(world.audit().await.ok);

    // Paid, it can go.
    world.payout_runs().run(None, false).await.expect("a run");
    world.fund().await;
    let summary = world.retire(false).await;
    assert_eq!(summary.unsettled_claims, 0);
    let left = world.partitions("conversions").await;
    let kept = |days| left.contains(&format!("conversions_{}", month(days)));
    assert_eq!(days.map(kept), [false, false, false]);
    assert!(world.audit().await.ok);
}

#[tokio::test]
async fn only_months_past_their_period_can_be_detached() {
    let world = World::new().await;
    for (child, before) in [
        ("ledger_h0", "2099-01-01"),
        ("users", "2099-01-01"),
        ("clicks_2031_01", "2099-01-01"),
        ("clicks", "2099-01-01"),
        ("clicks_2026_09; DROP TABLE postings", "2099-01-01"),
    ] {
        let query = sqlx::query("SELECT detach_month($1, $2::timestamptz)").bind(child);
        let refused = query.bind(before).execute(&world.operator).await;
        assert!(refused.is_err(), "{child}");
    }
    sqlx::query("SELECT ensure_partitions('2026-09-01', '2026-09-01')")
        .execute(&world.operator)
        .await
        .expect("made");
    for child in ["clicks_2026_09", "conversions_2026_09"] {
        for before in ["2026-09-30 23:59:59Z", "2026-10-01 00:00:00Z"] {
            let query = sqlx::query("SELECT detach_month($1, $2::timestamptz)").bind(child);
            let outcome = query.bind(before).execute(&world.operator).await;
            // Clicks may go when their month is over; reports once their claims are final.
            let may = child.starts_with("clicks") && before.starts_with("2026-10");
            assert_eq!(outcome.is_ok(), may, "{child}, {before}");
        }
    }
}

fn order(number: u8, despite_open_payouts: bool) -> Order {
    Order {
        user_id: user(number),
        author: "a person".to_owned(),
        reason: "asked for it".to_owned(),
        despite_open_payouts,
    }
}

/// Shopper 12 (click 1) with contacts, an address, and a matured claim.
async fn shopper() -> World {
    let world = World::new().await;
    world
        .tamper(
            "UPDATE users SET phone_sealed = 'x', email_sealed = 'y', phone_hash = 'p',
                 email_hash = 'e', kyc_hash = 'k'",
        )
        .await;
    world.old_click(1, 100).await;
    world.old_sale(1, 100, NetworkStatus::Approved).await;
    world
}

const KNOWN: &str = "SELECT count(*) FROM users
    WHERE num_nonnulls(phone_sealed, email_sealed, phone_hash, email_hash, kyc_hash) > 0";
const ADDRESSES: &str = "SELECT count(*) FROM clicks
    WHERE num_nonnulls(address_hash, address_prefix) > 0";

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_unknown_unpaid_and_the_books_are_as_before() {
    let world = shopper().await;
    let before = books(&world).await;
    assert_eq!(
        (world.number(KNOWN).await, world.number(ADDRESSES).await),
        (30, 1)
    );

    let erased = erasure::erase(&world.operator, None, &order(12, false)).await;
    let expected = Erased {
        users: 1,
        messages: 0,
        clicks: 1,
    };
    assert_eq!(erased.expect("erased"), expected);
    assert_eq!(
        (world.number(KNOWN).await, world.number(ADDRESSES).await),
        (29, 0)
    );
    assert_eq!(books(&world).await, before);

    let run = world.payout_runs().run(None, false).await.expect("a run");
    assert_eq!((run.paid_count, run.payees, run.erased), (0, 1, 1));
    // The log still holds the address: what is read from it again is kept without.
    world.old_click(31, 50).await;
    assert_eq!(world.number("SELECT count(*) FROM clicks").await, 2);
    assert_eq!(world.number(ADDRESSES).await, 0);
    // And no repetition of the first click is a contradiction.
    world.old_click(1, 100).await;
    assert_eq!(world.number("SELECT count(*) FROM conflicts").await, 0);

    let again = erasure::erase(&world.operator, None, &order(12, false)).await;
    let nothing = Erased {
        users: 0,
        messages: 0,
        clicks: 0,
    };
    assert_eq!(again.expect("erased before"), nothing);
    let noted = "SELECT count(*) FROM audit_log WHERE action = 'erase_user'
                 AND author = 'a person' AND detail ->> 'reason' = 'asked for it'";
    assert_eq!(world.number(noted).await, 2);
    assert!(world.audit().await.ok);

    // What an unpaid, erased person is owed holds no month for ever.
    world.clock.set(NOW.plus_days(3_100));
    assert_eq!(world.retire(true).await.unsettled_claims, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_erased_while_money_is_on_its_way_unless_forced() {
    let world = shopper().await;
    world.payout_runs().run(None, false).await.expect("a run");
    world.settle().await;
    world
        .tamper(
            "INSERT INTO payout_dispatch (payout_id, tenant_id, channel, next_attempt_at,
                 claim_code_key_id, claim_code_nonce, claim_code_ciphertext)
             SELECT payout_id, tenant_id, 'agcod', '2020-01-01', 1,
                 decode(repeat('00', 24), 'hex'), 'sealed' FROM payouts",
        )
        .await;
    world
        .tamper(
            "INSERT INTO messages (message_id, kind, tenant_id, user_id, currency, created_at,
                 next_attempt_at)
             SELECT payout_id, 'gift_card', tenant_id, user_id, currency, now(), now()
             FROM payouts",
        )
        .await;
    let refused = erasure::erase(&world.operator, None, &order(12, false)).await;
    assert!(
        matches!(refused, Err(ErasureError::OpenPayout(_))),
        "{refused:?}"
    );
    assert_eq!(
        (world.number(KNOWN).await, world.number(ADDRESSES).await),
        (30, 1)
    );

    let forced = erasure::erase(&world.operator, None, &order(12, true)).await;
    assert_eq!(forced.expect("forced").messages, 1);
    let store = sinks::payouts::Store::new(world.writer.clone(), sinks::payouts::CHANNEL);
    assert_eq!(
        store.announce(NOW, 10).await.expect("asked"),
        0,
        "nothing is sent any more"
    );
    let messages = store.begin_messages(NOW, 10, 1_000).await.expect("asked");
    assert!(messages.is_empty());
    let codes = "SELECT count(*) FROM payout_dispatch WHERE claim_code_ciphertext IS NOT NULL";
    assert_eq!(world.number(codes).await, 0);
    let dropped = "SELECT count(*) FROM messages
                   WHERE state = 'dropped' AND error = 'the shopper was erased'";
    assert_eq!(world.number(dropped).await, 1);
}

#[tokio::test]
async fn who_is_not_there_and_what_says_nothing_is_refused() {
    let world = World::new().await;
    let mut nobody = order(12, false);
    nobody.user_id = schemas::UserId::new(Uuid::max());
    let refused = erasure::erase(&world.operator, None, &nobody).await;
    assert!(
        matches!(refused, Err(ErasureError::Unknown(_))),
        "{refused:?}"
    );
    let mut silent = order(12, false);
    silent.reason = " ".to_owned();
    let refused = erasure::erase(&world.operator, None, &silent).await;
    assert!(
        matches!(refused, Err(ErasureError::Text("reason"))),
        "{refused:?}"
    );
    assert_eq!(world.number("SELECT count(*) FROM audit_log").await, 0);
}
