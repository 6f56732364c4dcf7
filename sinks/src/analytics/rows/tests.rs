//! The golden payloads of the log as rows: what an analyst finds of each event.

use processors::stage::Origin;
use schemas::{Amount, Position, Timestamp, Topic, codec, events::*};
use uuid::Uuid;

use super::*;

const CLICKED_AT: i64 = 1_790_000_000_000;

fn origin(topic: Topic) -> Origin {
    Origin {
        position: Position {
            topic,
            partition: 3,
            offset: 42,
        },
        appended_at: Timestamp::from_millis(1_790_000_500_000),
    }
}

fn instant(millis: i64) -> Instant {
    Timestamp::from_millis(millis).into()
}

fn amount(text: &str) -> Decimal {
    text.parse::<Amount>().expect("an amount").into()
}

fn identifier(number: u128) -> Identifier {
    Uuid::from_u128(number).into()
}

macro_rules! golden {
    ($event:ty, $name:literal) => {
        codec::decode::<$event>(include_bytes!(concat!(
            "../../../../schemas/golden/",
            $name
        )))
        .expect("a golden payload")
    };
}

#[test]
fn a_click() {
    let click = golden!(ClickRecorded, "clicks.v1.avro");
    assert_eq!(
        ClickRow::of(&click, &origin(Topic::Clicks)),
        ClickRow {
            click_id: 900_719_925_474_099_301,
            clicked_at: instant(CLICKED_AT),
            received_at: instant(CLICKED_AT + 12),
            tenant_id: identifier(1),
            campaign_id: identifier(2),
            link_id: identifier(3),
            offer_id: 5_509,
            user_id: Some(identifier(4)),
            country: "IN".to_owned(),
            device: "mobile",
            origin: "redirect",
            signals: 5,
            address_hash: "00ff".to_owned(),
            address_prefix: "203.0.113.0/24".to_owned(),
            referrer: String::new(),
            appended_at: instant(1_790_000_500_000),
            source_partition: 3,
            source_offset: 42,
        }
    );
}

#[test]
fn a_report_stands_for_the_record_that_was_decided_on() {
    let decision = golden!(Decision, "decisions.matched.v1.avro");
    let row = ConversionRow::of(&decision, &origin(Topic::Decisions));
    assert_eq!((row.source_partition, row.source_offset), (3, 8));
    assert_eq!(row.appended_at, instant(1_790_000_200_001));
    assert_eq!((row.report_source, row.status), ("postback", "approved"));
    assert_eq!(row.txn_id, "ORDER-1 \u{20b9}");
    assert_eq!(row.goal_id, "");
    assert_eq!(row.sale_amount, Some(amount("1999.00")));
    assert_eq!(row.payout, Some(amount("-0.000001")));
    assert_eq!((row.currency.as_str(), row.country.as_str()), ("INR", "IN"));
    assert_eq!((row.heals.as_str(), row.heal_author), ("", ""));
}

#[test]
fn the_first_decision_on_a_report_has_the_highest_precedence() {
    let decision = golden!(Decision, "decisions.matched.v1.avro");
    let first = origin(Topic::Decisions);
    let second = Origin {
        position: Position {
            offset: 43,
            ..first.position
        },
        ..first
    };
    assert!(
        ConversionRow::of(&decision, &first).precedence
            > ConversionRow::of(&decision, &second).precedence
    );
    assert!(
        DecisionRow::of(&decision, &first).precedence
            > DecisionRow::of(&decision, &second).precedence
    );
}

#[test]
fn a_decision_of_each_outcome() {
    let origin = origin(Topic::Decisions);
    let matched = DecisionRow::of(&golden!(Decision, "decisions.matched.v1.avro"), &origin);
    assert_eq!((matched.outcome, matched.reason), ("matched", ""));
    assert_eq!(matched.decided_at, instant(1_790_000_500_000));
    assert_eq!(matched.tenant_id, Some(identifier(1)));
    assert_eq!(matched.signals, ["country_mismatch"]);
    assert_eq!((matched.score, matched.self_purchase), (1, "email"));
    assert_eq!(
        (matched.campaign_version, matched.rules_version),
        (Some(2), Some(1))
    );
    assert_eq!(matched.commission, Some(amount("159.92")));
    assert_eq!(matched.user_part, Some(amount("95.95")));
    assert_eq!(matched.creator_part, Some(amount("63.96")));

    let unmatched = DecisionRow::of(&golden!(Decision, "decisions.unmatched.v1.avro"), &origin);
    assert_eq!(unmatched.outcome, "unmatched");
    assert_ne!(unmatched.reason, "");
    assert_eq!((unmatched.tenant_id, unmatched.commission), (None, None));

    let ignored = DecisionRow::of(&golden!(Decision, "decisions.ignored.v1.avro"), &origin);
    assert_eq!(ignored.outcome, "ignored");
    assert_ne!(ignored.reason, "");

    let poisoned = DecisionRow::of(&golden!(Decision, "decisions.poisoned.v1.avro"), &origin);
    assert_eq!(poisoned.outcome, "poisoned");
    assert_ne!(poisoned.error, "");
}

#[test]
fn a_claim_and_the_change_that_made_it() {
    let change = golden!(LedgerChanged, "ledger.v1.avro");
    let entry = LedgerEntryRow::of(&change, &origin(Topic::Ledger));
    assert_eq!(entry.claim, 900_719_925_474_099_302);
    assert_eq!((entry.epoch, entry.sequence, entry.retired), (1, 42, false));
    assert_eq!(entry.status, "confirmed");
    assert_eq!(entry.reasons, ["time_of_receipt"]);
    assert_eq!(entry.sale_amount, Some(amount("1999")));
    assert_eq!(entry.expected_commission, amount("159.92"));
    assert_eq!(entry.posted_fee, amount("0.01"));
    assert_eq!(entry.posted_user, amount("95.95"));
    assert_eq!(entry.posted_creator, amount("63.96"));
    assert_eq!(entry.payable_at, instant(CLICKED_AT + 30 * 86_400_000));
    assert_eq!(entry.changed_at, instant(1_790_000_500_000));

    let step = LedgerChangeRow::of(&change, &origin(Topic::Ledger));
    assert_eq!(
        (step.epoch, step.sequence, step.claim),
        (1, 42, entry.claim)
    );
    assert_eq!(step.posting_accounts, ["user_payable"]);
    assert_eq!(step.posting_users, [Some(identifier(4))]);
    assert_eq!(step.posting_currencies, ["INR"]);
    assert_eq!(step.posting_amounts, [amount("95.95")]);
}

#[test]
fn a_payout_and_a_step_of_it() {
    let payout = golden!(PayoutRequested, "payouts.v1.avro");
    let row = PayoutRow::of(&payout, &origin(Topic::Payouts));
    assert_eq!((row.payout_id, row.user_id), (identifier(9), identifier(4)));
    assert_eq!((row.currency.as_str(), row.amount), ("INR", amount("95")));
    assert_eq!(
        (row.item_claims, row.item_amounts),
        (vec![1], vec![amount("95")])
    );

    let result = golden!(PayoutResult, "payout-results.v1.avro");
    assert_eq!(
        PayoutStepRow::of(&result, &origin(Topic::PayoutResults)),
        PayoutStepRow {
            payout_id: identifier(9),
            step: "funded",
            attempt: 2,
            at: instant(1_795_000_000_500),
            detail: String::new(),
            source_offset: 42,
        }
    );
}
