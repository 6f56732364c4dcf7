//! Every edge of a window, a millisecond before it, on it, and a millisecond after it: the rules
//! and the oracle against what the documents say in so many words.

use std::collections::BTreeSet;

use schemas::{
    EventId, Timestamp,
    events::{
        ClaimStatus, Command, CommandBody, CommissionRule, CommissionRules, Decision, Reported,
        ReviewClaim, RuleApplication, StatusReason, Verdict,
    },
};

use crate::{
    fraction::Fraction,
    ledger::{Row, ledger},
    logbook::Logbook,
    plain::{DAY, HOUR, amount, approved, click, found, report},
    records::at,
    settle::{as_row, settled},
};

/// A claim's row, on which the rules and the oracle must agree.
fn row(decisions: &[Decision], commands: &[Command], name: i64) -> Row {
    let states = settled(decisions, commands);
    let state = states.iter().find(|state| state.name.get() == name);
    let rules = as_row(state.expect("the claim, by the rules"));
    let mut oracle = ledger(&Logbook::new(decisions, commands));
    let oracle = oracle.remove(&name).expect("the claim, by the oracle");
    assert_eq!(rules, oracle, "the rules and the oracle");
    rules
}

/// What is said a millisecond before an edge, on it and after it.
type Around<T> = [(i64, T); 3];

#[test]
fn a_conversion_lies_in_the_window_from_the_click_on_and_not_at_its_end() {
    use ClaimStatus::{Confirmed, Rejected};
    let opens: Around<_> = [(-1, Rejected), (0, Confirmed), (1, Confirmed)];
    let closes: Around<_> = [(-1, Confirmed), (0, Rejected), (1, Rejected)];
    for (edge, around) in [(0, opens), (30 * DAY, closes)] {
        for (beside, expected) in around {
            let fields = Reported {
                converted_at: Some(at(edge + beside)),
                ..approved()
            };
            let row = row(&[report(1, click(1, 0), 31 * DAY, fields)], &[], 1);
            assert_eq!(
                row.status, expected,
                "converted {edge} {beside:+} after the click"
            );
            let outside = row.reasons.contains(&StatusReason::OutsideWindow);
            assert_eq!(outside, expected == Rejected);
        }
    }
}

#[test]
fn our_receipt_tests_the_window_only_of_networks_that_fire_at_the_sale() {
    for (fires_at_sale, received, expected) in [
        (true, 30 * DAY - 1, ClaimStatus::Confirmed),
        (true, 30 * DAY, ClaimStatus::Rejected),
        (false, 30 * DAY, ClaimStatus::Confirmed),
        (false, 300 * DAY, ClaimStatus::Confirmed),
    ] {
        let mut only = report(1, click(1, 0), received, approved());
        found(&mut only, |matched| {
            matched.terms.fires_at_sale = fires_at_sale;
        });
        assert_eq!(row(&[only], &[], 1).status, expected, "received {received}");
    }
}

#[test]
fn an_order_is_owned_for_thirty_days_and_not_at_their_end() {
    use ClaimStatus::{Confirmed, Rejected};
    let around: Around<_> = [(-1, Rejected), (0, Confirmed), (1, Confirmed)];
    for (beside, expected) in around {
        let fields = || Reported {
            txn_id: Some("o1".to_owned()),
            ..approved()
        };
        let first = report(1, click(1, 0), 0, fields());
        let second = report(2, click(2, 0), 30 * DAY + beside, fields());
        let row = row(&[first, second], &[], 2);
        assert_eq!(
            row.status, expected,
            "received 30 days {beside:+} ms after the owner"
        );
        assert_eq!(row.order_owner, (expected == Rejected).then_some(1));
    }
}

#[test]
fn the_fifth_click_within_a_day_is_one_too_many_and_at_a_day_it_is_not() {
    use ClaimStatus::{Confirmed, Review};
    let around: Around<_> = [(-1, Review), (0, Confirmed), (1, Confirmed)];
    for (beside, expected) in around {
        let fifth = 24 * HOUR + beside;
        let clicked = [0, HOUR, 2 * HOUR, 3 * HOUR, fifth];
        let reports: Vec<_> = (1..)
            .zip(clicked)
            .map(|(number, clicked)| report(number, click(number, clicked), 2 * DAY, approved()))
            .collect();
        assert_eq!(
            row(&reports, &[], 5).status,
            expected,
            "fifth click at {fifth}"
        );
        assert_eq!(row(&reports, &[], 4).status, Confirmed);
    }
}

#[test]
fn rules_hold_from_their_first_instant_on_and_not_at_their_last() {
    let from: Around<_> = [(-1, "8"), (0, "9"), (1, "9")];
    let before: Around<_> = [(-1, "9"), (0, "8"), (1, "8")];
    for (first, around) in [(true, from), (false, before)] {
        for (beside, commission) in around {
            let rule = CommissionRule {
                name: "one more".to_owned(),
                converted_from: first.then_some(at(DAY)),
                converted_before: (!first).then_some(at(DAY)),
                bonus: Some(amount("1")),
                ..CommissionRule::default()
            };
            let fields = Reported {
                converted_at: Some(at(DAY + beside)),
                ..approved()
            };
            let row = row(&[ruled(rule, fields)], &[], 1);
            let commission = Fraction::amount(amount(commission));
            assert_eq!(
                row.booked.commission, commission,
                "from {first} {beside:+} ms"
            );
        }
    }
}

#[test]
fn rules_hold_from_their_lowest_sale_on_and_not_at_their_highest() {
    for (first, sale, commission) in [
        (true, "99.999999", "8.00"),
        (true, "100", "9.00"),
        (true, "100.000001", "9.00"),
        (false, "99.999999", "9.00"),
        (false, "100", "8.00"),
        (false, "100.000001", "8.00"),
    ] {
        let rule = CommissionRule {
            name: "one more".to_owned(),
            sale_from: first.then_some(amount("100")),
            sale_below: (!first).then_some(amount("100")),
            bonus: Some(amount("1")),
            ..CommissionRule::default()
        };
        let fields = Reported {
            sale_amount: Some(amount(sale)),
            ..approved()
        };
        let row = row(&[ruled(rule, fields)], &[], 1);
        assert_eq!(
            row.booked.commission,
            Fraction::amount(amount(commission)),
            "{sale}"
        );
    }
}

fn ruled(rule: CommissionRule, fields: Reported) -> Decision {
    let mut decision = report(1, click(1, 0), 2 * DAY, fields);
    found(&mut decision, |matched| {
        matched.terms.commission_rules = Some(CommissionRules {
            version: 1,
            application: RuleApplication::First,
            rules: vec![rule],
        });
    });
    decision
}

#[test]
fn books_are_locked_for_conversions_before_the_locks_end() {
    use ClaimStatus::{Confirmed, Review};
    let around: Around<_> = [(-1, Review), (0, Confirmed), (1, Confirmed)];
    for (beside, expected) in around {
        let fields = Reported {
            converted_at: Some(at(DAY + beside)),
            ..approved()
        };
        let late = locked(report(1, click(1, 0), 2 * DAY, fields), at(DAY));
        let row = row(&[late], &[], 1);
        assert_eq!(
            row.status, expected,
            "converted {beside:+} ms from the lock's end"
        );
        let held = row.reasons.contains(&StatusReason::BooksLocked);
        assert_eq!(held, expected == Review);
    }
}

#[test]
fn a_verdict_lets_in_what_was_there_when_it_was_given() {
    use ClaimStatus::{Confirmed, Review};
    let around: Around<_> = [(-1, Review), (0, Confirmed), (1, Confirmed)];
    for (beside, expected) in around {
        let late = locked(report(1, click(1, 0), 2 * DAY, approved()), at(3 * DAY));
        let approval = Command {
            command_id: EventId::new(9),
            issued_at: at(2 * DAY + beside),
            author: "operator".to_owned(),
            reason: "seen".to_owned(),
            body: CommandBody::ReviewClaim(ReviewClaim {
                event_id: EventId::new(1),
                verdict: Verdict::Approve,
            }),
        };
        let row = row(&[late], &[approval], 1);
        assert_eq!(
            row.status, expected,
            "approved {beside:+} ms from the append"
        );
    }
}

fn locked(mut decision: Decision, before: Timestamp) -> Decision {
    found(&mut decision, |matched| {
        matched.books_locked_before = Some(before);
    });
    decision
}

#[test]
fn what_is_appended_when_a_claim_becomes_payable_changes_it_no_more() {
    use StatusReason::{ClosedFlagged, DuplicateOrder, TimeOfReceipt};
    // Received first, appended late: in time it takes the order from the claim of the table.
    let around: Around<_> = [
        (-1, BTreeSet::from([DuplicateOrder, TimeOfReceipt])),
        (0, BTreeSet::from([ClosedFlagged, TimeOfReceipt])),
        (1, BTreeSet::from([ClosedFlagged, TimeOfReceipt])),
    ];
    for (beside, expected) in around {
        let fields = || Reported {
            txn_id: Some("o1".to_owned()),
            ..approved()
        };
        let claim = report(2, click(2, 0), DAY, fields());
        let mut rival = report(1, click(1, 0), 0, fields());
        rival.appended_at = at(31 * DAY + beside);
        let decisions = [claim, rival];
        let found = row(&decisions, &[], 2);
        assert_eq!(
            found.reasons, expected,
            "rival {beside:+} ms from payable_at"
        );
        assert_eq!(found.payable_at, at(31 * DAY).millis());
        let rival = row(&decisions, &[], 1);
        let outrun = rival.reasons.contains(&StatusReason::OrderOwnedByClosed);
        assert_eq!(outrun, beside >= 0, "the rival, {beside:+} ms");
    }
}
