//! Equal histories have equal dumps, whatever way led there; other histories have others.

use std::collections::{BTreeMap, BTreeSet};

use operations::canonical_dump::{self, CanonicalDump};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use schemas::{
    PayoutId, Position, TenantId,
    events::{NetworkStatus, PayoutResult, PayoutStep},
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sinks::ledger::rebuild;
use sqlx::PgPool;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    ledger::{
        histories::{any_history, shuffled},
        records::{self, Logged, decision, fields, matched},
        world::{self as ledger_world, RUNTIME},
    },
    world::{NOW, World, sale, token},
};

/// The dump and its lines.
pub async fn dump(pool: &PgPool, tenant: Option<TenantId>) -> (CanonicalDump, Vec<Value>) {
    let mut connection = pool.acquire().await.expect("connected");
    let mut text = Vec::new();
    let dump = canonical_dump::write(&mut connection, tenant, &mut text).await;
    let dump = dump.expect("dumped");
    assert_eq!(dump.sha256, hex::encode(Sha256::digest(&text)));
    let text = String::from_utf8(text).expect("text");
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"));
    (dump, lines.collect())
}

fn kind(line: &Value) -> &str {
    line["kind"].as_str().expect("each line says what it is")
}

/// The history as a log with other partitions of `conversions` would hold it.
fn moved(history: &[Logged], shift: i32) -> Vec<Logged> {
    let place = |position: Position| Position {
        partition: (position.partition + shift) % 12,
        offset: position.offset * 3 + i64::from(shift),
        ..position
    };
    let mut moved = history.to_vec();
    for logged in &mut moved {
        if let Logged::Decision(decision) = logged {
            decision.source = place(decision.source);
            if let Some(heal) = &mut decision.heal {
                heal.heals = place(heal.heals);
            }
        }
    }
    moved
}

/// Folds a history into an empty ledger, and dumps it.
async fn folded(
    world: &mut ledger_world::World,
    history: &[Logged],
    seed: u64,
    batch: usize,
) -> (CanonicalDump, Vec<Value>) {
    world.clear().await;
    // What was paid and cancelled stands in the history.
    rebuild::begin(&world.writer).await.expect("begun");
    let partitions = 1 + i32::try_from(seed % 12).expect("small");
    world.scatter(&shuffled(history, seed), partitions).await;
    world.fold(batch).await;
    dump(&world.writer, None).await
}

#[test]
fn equal_histories_have_equal_dumps() {
    let world = Mutex::new(RUNTIME.block_on(ledger_world::World::new()));
    let cases = (
        any_history(1..16, 2, 2),
        any::<u64>(),
        any::<u64>(),
        1_usize..8,
        1_usize..40,
        0..12_i32,
    );
    let config = Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(
            &cases,
            |(history, seed, other_seed, batch, other_batch, shift)| {
                RUNTIME.block_on(async {
                    let mut world = world.lock().await;
                    let (dump, lines) = folded(&mut world, &history, seed, batch).await;
                    let moved = moved(&history, shift);
                    let (other, other_lines) =
                        folded(&mut world, &moved, other_seed, other_batch).await;
                    prop_assert_eq!(lines, other_lines);
                    prop_assert_eq!(dump, other);
                    Ok(())
                })
            },
        )
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn one_changed_fact_makes_another_dump() {
    type Change = fn(&mut schemas::events::Decision);
    let changes: [(&str, Change); 9] = [
        ("nothing", |_| {}),
        ("the sale's amount", |report| {
            fields(report).sale_amount = Some("1999.01".parse().expect("an amount"));
        }),
        ("the network's status", |report| {
            fields(report).status = Some(NetworkStatus::Cancelled);
        }),
        ("the order", |report| {
            fields(report).txn_id = Some("B".to_owned());
        }),
        ("the goal", |report| {
            fields(report).goal_id = Some("g".to_owned());
        }),
        ("the shopper", |report| {
            matched(report).click.user_id = Some(records::user(8));
        }),
        ("the tenant", |report| {
            matched(report).click.tenant_id = records::tenant(2);
        }),
        ("when it was received", |report| {
            report.received_at = report.received_at.plus_millis(1);
        }),
        ("a report about another click", |report| {
            matched(report).click.click_id = schemas::ClickId::new(7);
        }),
    ];
    RUNTIME.block_on(async {
        let mut world = ledger_world::World::new().await;
        let mut seen = BTreeMap::new();
        for (what, change) in changes {
            let (mut first, mut changed) = (decision(1), decision(2));
            fields(&mut first).txn_id = Some("A".to_owned());
            matched(&mut first).click.click_id = schemas::ClickId::new(9);
            fields(&mut changed).txn_id = Some("C".to_owned());
            change(&mut changed);
            let (dump, _) = folded(&mut world, &[first.into(), changed.into()], 3, 10).await;
            let known = seen.insert(dump.sha256, what);
            assert_eq!(known, None, "{what} makes no difference");
        }
    });
}

/// A ledger with two claims, one of them paid with a card, and the other one's payout requested.
async fn paid() -> World {
    let world = World::new().await;
    for number in [1, 2] {
        world.click(number).await;
        let order = format!("order-{number}");
        world.report(sale(&token(number), &order)).await;
    }
    world.settle().await;
    world.clock.set(NOW.plus_days(40));
    let run = world.payout_runs().run(None, false).await.expect("a run");
    assert_eq!(run.paid_count, 2);
    world.settle().await;
    let payout: Uuid = sqlx::query_scalar("SELECT min(payout_id::text)::uuid FROM payouts")
        .fetch_one(&world.operator)
        .await
        .expect("a payout");
    for step in [PayoutStep::Sending, PayoutStep::Funded] {
        let result = PayoutResult {
            payout_id: PayoutId::new(payout),
            step,
            at: NOW.plus_days(41),
            attempt: 1,
            detail: None,
            card_id: (step == PayoutStep::Funded).then(|| "card".to_owned()),
        };
        world.append(payout.to_string(), &result).await;
    }
    world.settle().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_ledger_has_the_same_dump() {
    let world = paid().await;
    let (dump, lines) = dump(&world.operator, None).await;
    let counts = (
        dump.claims,
        dump.balances,
        dump.claimants,
        dump.payouts,
        dump.payout_items,
    );
    // Receivable and clearing of two users, the creator, and the paise that no card was made of.
    assert_eq!(counts, (2, 6, 2, 2, 2), "{lines:#?}");

    world
        .tamper(
            "DELETE FROM consumer_positions; DELETE FROM positions_applied;
             DELETE FROM positions_applied_beyond; DELETE FROM clicks; DELETE FROM conversions;
             DELETE FROM orders; DELETE FROM order_claims; DELETE FROM ledger;
             DELETE FROM postings; DELETE FROM payouts; DELETE FROM payout_items;
             DELETE FROM payout_steps",
        )
        .await;
    rebuild::begin(&world.writer).await.expect("begun");
    world.settle().await;
    rebuild::finish(&world.writer, NOW).await.expect("finished");
    world.settle().await;
    assert_eq!(
        super::canonical_dump::dump(&world.operator, None).await,
        (dump, lines)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_dump_holds_their_lines_only() {
    let world = paid().await;
    let (all, lines) = dump(&world.operator, None).await;
    let (own, own_lines) = dump(&world.operator, Some(crate::world::tenant())).await;
    assert_eq!(lines[1..], own_lines[1..], "there is one tenant");
    assert_ne!(all.sha256, own.sha256, "the first line says whose it is");
    let nobody = TenantId::new(Uuid::from_u128(99));
    let (none, none_lines) = dump(&world.operator, Some(nobody)).await;
    assert_eq!((none.claims, none_lines.len()), (0, 1));
}

/// Columns that no line shows: what the database numbers, and what other lines say.
const LEFT_OUT: [(&str, &[&str]); 5] = [
    ("claim", &[]),
    (
        "balance",
        &["posting_id", "transaction_id", "led_id", "payout_id"],
    ),
    ("claimant", &[]),
    // The request by its hash. A claim code is never in `payouts`.
    ("payout", &["request", "voucher_code"]),
    ("payout_item", &[]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_column_is_shown_or_left_out_on_purpose() {
    let world = paid().await;
    let (_, lines) = dump(&world.operator, None).await;
    let tables = [
        "ledger",
        "postings",
        "order_claims",
        "payouts",
        "payout_items",
    ];
    for (table, (line_kind, left_out)) in tables.into_iter().zip(LEFT_OUT) {
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT attname::text FROM pg_attribute
             WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
        )
        .bind(table)
        .fetch_all(&world.operator)
        .await
        .expect("columns");
        let line = lines.iter().find(|line| kind(line) == line_kind);
        let shown = line
            .and_then(Value::as_object)
            .expect("a line of each kind");
        let missing: BTreeSet<&str> = columns
            .iter()
            .map(String::as_str)
            .filter(|column| !shown.contains_key(*column) && !left_out.contains(column))
            .collect();
        assert_eq!(
            missing,
            BTreeSet::new(),
            "columns of {table} that the dump forgets"
        );
    }
}
