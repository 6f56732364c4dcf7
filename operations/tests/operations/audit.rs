use operations::audit::Verdict;
use schemas::events::{NetworkStatus, PayoutResult, PayoutStep, Reported};

use crate::world::{NOW, World, click, sale, token};

/// Tables that the tampering below changes.
const TABLES: [&str; 10] = [
    "conversions",
    "unmatched_conversions",
    "ledger",
    "postings",
    "payouts",
    "payout_items",
    "payout_steps",
    "positions_applied",
    "positions_applied_beyond",
    "links",
];

/// A ledger with a claim that is paid, one in clawback, an order claimed twice, an amendment, a
/// healed report, and one that is parked.
async fn good_ledger() -> World {
    let world = World::new().await;
    for number in 1..=6 {
        world.click(number).await;
    }
    world.report(sale(&token(1), "A")).await;
    world.report(sale(&token(2), "B")).await;
    world.report(sale(&token(3), "A")).await;
    let amended = Reported {
        sale_amount: "2500.00".parse().ok(),
        ..sale(&token(1), "A")
    };
    world.report(amended).await;
    world.report(sale(&token(1), "A")).await;
    world.report(sale("7", "C")).await;
    world.report(sale("8", "D")).await;
    world.settle().await;
    world.click(7).await;
    world.settle().await;
    world.healer.heal_once(NOW).await.expect("a pass");
    world.settle().await;

    world.clock.set(NOW.plus_days(40));
    let paid = world.payout_runs().run(None, false).await.expect("a run");
    assert_eq!(paid.paid_count, 3);
    world.settle().await;
    fund_all(&world).await;
    let taken_back = Reported {
        status: Some(NetworkStatus::Cancelled),
        ..sale(&token(2), "B")
    };
    world.report(taken_back).await;
    world.settle().await;
    world
}

/// Tells of a card for each payout.
async fn fund_all(world: &World) {
    let payouts: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT payout_id FROM payouts")
        .fetch_all(&world.operator)
        .await
        .expect("payouts");
    for payout_id in payouts {
        for (step, card_id) in [
            (PayoutStep::Sending, None),
            (PayoutStep::Funded, Some(format!("card-{payout_id}"))),
        ] {
            let result = PayoutResult {
                payout_id: schemas::PayoutId::new(payout_id),
                step,
                at: NOW.plus_days(40),
                attempt: 1,
                detail: None,
                card_id,
            };
            world.append(payout_id.to_string(), &result).await;
        }
    }
    world.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_ledger_is_ok_and_its_fates_add_up() {
    let world = good_ledger().await;
    let report = world.audit().await;
    assert!(report.ok && report.money_ok, "{report}");
    assert!(report.to_string().ends_with("audit: ok\n"));
    let unchecked: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| matches!(finding.verdict, Verdict::NotChecked { .. }))
        .map(|finding| finding.invariant.name)
        .collect();
    assert_eq!(unchecked, ["analytics_agree"]);
    let fates = world.fates().await;
    assert_eq!(
        (fates.accepted, fates.ledgered, fates.duplicates),
        (8, 3, 1)
    );
    // The amendment, and the cancellation. The third report of the first sale returns to an
    // earlier amount, which a postback isn't believed: it says something all the same.
    assert_eq!(
        (fates.updates, fates.repetitions, fates.unmatched),
        (3, 0, 1)
    );
    let negative = world
        .number(
            "SELECT count(*) FROM (SELECT FROM postings WHERE account = 'user_payable'
             GROUP BY tenant_id, user_id, currency HAVING sum(amount) < 0) AS debts",
        )
        .await;
    assert_eq!(negative, 1, "the clawback leaves a debt");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tampering_is_found_by_its_invariant() {
    let world = good_ledger().await;
    for table in TABLES {
        world
            .tamper(&format!("CREATE TABLE kept_{table} AS TABLE {table}"))
            .await;
    }
    for (tampering, expected) in TAMPERINGS {
        world.tamper(tampering).await;
        let report = world.audit().await;
        assert!(report.broken().contains(expected), "{tampering}:\n{report}");
        assert!(!report.ok);
        for table in TABLES {
            world
                .tamper(&format!(
                    "DELETE FROM {table}; INSERT INTO {table} OVERRIDING SYSTEM VALUE
                     TABLE kept_{table}"
                ))
                .await;
        }
    }
    let report = world.audit().await;
    assert!(report.ok, "after all was put back:\n{report}");
}

/// What is done behind the ledger's back, and the invariant that finds it.
const TAMPERINGS: &[(&str, &str)] = &[
    (
        "DELETE FROM conversions WHERE fate = 'update'",
        "positions_accounted",
    ),
    (
        "DELETE FROM unmatched_conversions WHERE state = 'parked'",
        "positions_accounted",
    ),
    (
        "UPDATE positions_applied SET next_offset = next_offset + 1",
        "log_is_accounted",
    ),
    (
        "INSERT INTO conversions SELECT (json_populate_record(c, '{\"clicked_at\":
         \"2026-09-01T00:00:00Z\"}')).* FROM conversions c WHERE fate = 'update' LIMIT 1",
        "positions_once",
    ),
    (
        "UPDATE conversions SET source_offset = source_offset + 1000 WHERE fate = 'duplicate'",
        "positions_once",
    ),
    (
        "UPDATE conversions SET fate = 'ledgered' WHERE fate = 'update'",
        "fates_add_up",
    ),
    (
        "UPDATE conversions SET fate = 'update' WHERE fate = 'ledgered'",
        "fates_add_up",
    ),
    (
        "UPDATE conversions SET fate = 'undone' WHERE fate = 'duplicate'",
        "fates_add_up",
    ),
    (
        "UPDATE unmatched_conversions SET state = 'parked' WHERE state = 'healed'",
        "heals_in_force",
    ),
    (
        "UPDATE unmatched_conversions SET state = 'healed' WHERE state = 'parked'",
        "heals_in_force",
    ),
    (
        "DELETE FROM ledger WHERE status = 'paid'",
        "rows_have_their_reports",
    ),
    (
        "UPDATE ledger SET user_id = NULL WHERE status = 'paid'",
        "rows_have_their_reports",
    ),
    (
        "INSERT INTO ledger SELECT (json_populate_record(l, '{\"led_id\": 5}')).* FROM ledger l
         LIMIT 1",
        "rows_have_their_reports",
    ),
    (
        "INSERT INTO ledger SELECT (json_populate_record(l, '{\"clicked_at\":
         \"2026-09-01T00:00:00Z\"}')).* FROM ledger l LIMIT 1",
        "claim_has_one_row",
    ),
    (
        "UPDATE payout_items SET led_id = 5 WHERE led_id = (SELECT min(led_id) FROM payout_items)",
        "rows_have_their_reports",
    ),
    (
        "UPDATE ledger SET order_owner = NULL, reasons = '{}', status = 'confirmed'
         WHERE order_owner IS NOT NULL",
        "order_has_one_owner",
    ),
    (
        "UPDATE ledger SET posted_user = posted_user + 0.001, posted_creator = posted_creator
         - 0.001 WHERE status = 'paid'",
        "whole_minor_units",
    ),
    (
        "UPDATE ledger SET posted_user = posted_user + 1, posted_creator = posted_creator - 1
         WHERE status = 'paid'",
        "posted_equals_postings",
    ),
    (
        "UPDATE postings SET amount = amount + 1
         WHERE posting_id = (SELECT min(posting_id) FROM postings)",
        "transactions_sum_to_zero",
    ),
    (
        "UPDATE postings SET amount = amount * 2 WHERE led_id IS NOT NULL",
        "posted_equals_postings",
    ),
    (
        "DELETE FROM postings WHERE led_id IS NOT NULL",
        "posted_equals_postings",
    ),
    (
        "UPDATE postings SET user_id = '00000000-0000-0000-0000-000000000039'
         WHERE led_id = (SELECT min(led_id) FROM postings) AND account = 'user_payable'",
        "posted_to_the_holder",
    ),
    (
        "UPDATE postings SET tenant_id = '00000000-0000-0000-0000-000000000099'
         WHERE led_id = (SELECT min(led_id) FROM postings)",
        "posted_to_the_holder",
    ),
    (
        "DELETE FROM postings WHERE payout_id IS NOT NULL",
        "payouts_are_posted",
    ),
    (
        "UPDATE payouts SET state = 'cancelled', paid_at = NULL, card_id = NULL",
        "payouts_are_posted",
    ),
    (
        "DELETE FROM payout_items; DELETE FROM payouts",
        "payouts_are_posted",
    ),
    (
        "UPDATE ledger SET paid_amount = paid_amount + 1 WHERE status = 'paid'",
        "paid_equals_funded",
    ),
    (
        "UPDATE payout_items SET amount = amount + 1",
        "items_sum_to_payout",
    ),
    (
        "UPDATE payouts SET amount = amount + 1",
        "items_sum_to_payout",
    ),
    (
        "INSERT INTO payout_steps SELECT 0, 1000, payout_id, 'funded', at, 2, NULL, 'another'
         FROM payout_steps WHERE step = 'funded' LIMIT 1",
        "one_card_per_payout",
    ),
    (
        "UPDATE payouts SET card_id = 'the same'",
        "one_card_per_payout",
    ),
    (
        "UPDATE payouts SET amount = amount * 10; UPDATE payout_items SET amount = amount * 10;
         UPDATE postings SET amount = amount * 10 WHERE payout_id IS NOT NULL;
         UPDATE ledger SET paid_amount = paid_amount * 10",
        "paid_within_credits",
    ),
    (
        "DELETE FROM postings WHERE led_id IS NOT NULL AND account = 'user_payable'",
        "debts_come_from_clawbacks",
    ),
    (
        "UPDATE links SET tenant_id = '00000000-0000-0000-0000-000000000099'",
        "tenants_agree",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn amounts_that_do_not_add_up_are_found_behind_the_databases_own_checks() {
    let world = good_ledger().await;
    for (constraint, tampering) in [
        (
            "posted_adds_up",
            "UPDATE ledger SET posted_fee = posted_fee + 1",
        ),
        (
            "expected_adds_up",
            "UPDATE ledger SET user_amount = user_amount + 1",
        ),
    ] {
        world
            .tamper(&format!(
                "ALTER TABLE ledger DROP CONSTRAINT {constraint}; {tampering}"
            ))
            .await;
        let report = world.audit().await;
        assert!(
            report.broken().contains(&"parts_add_up"),
            "{tampering}:\n{report}"
        );
        assert!(!report.money_ok);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_doors_between_tenants_are_found() {
    let world = World::new().await;
    for (opened, closed) in [
        (
            "ALTER TABLE postings NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE postings FORCE ROW LEVEL SECURITY",
        ),
        (
            "GRANT SELECT ON ledger_h0 TO hissaback_api",
            "REVOKE SELECT ON ledger_h0 FROM hissaback_api",
        ),
    ] {
        world.tamper(opened).await;
        let report = world.audit().await;
        assert_eq!(
            report.broken(),
            ["isolation_is_forced"],
            "{opened}:\n{report}"
        );
        assert!(!report.ok && report.money_ok);
        world.tamper(closed).await;
    }
    let report = world.audit().await;
    assert!(report.ok, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_is_not_broken() {
    let world = World::new().await;
    world.append("1", &click(1)).await;
    world.report(sale(&token(1), "A")).await;
    let report = world.audit().await;
    assert!(report.ok, "{report}");
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.invariant.name == "log_is_accounted")
        .expect("checked");
    assert!(matches!(finding.verdict, Verdict::NotChecked { .. }));
}
