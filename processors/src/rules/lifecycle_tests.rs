//! The life of a conversion, case by case.

use schemas::{
    Minor,
    events::{CommissionSource, PayoutMeans},
};

use super::*;
use crate::rules::{
    fixtures::{ReportBuilder, T0, report, state},
    settlement::{Neighbourhood, Scope, settle},
};

fn sold(event_id: i64, status: NetworkStatus, sale: &str) -> ReportBuilder {
    report(event_id).txn("A").status(status).sale(sale)
}

use NetworkStatus::{Approved, Cancelled, Extended, Pending, Rejected, Unknown};

#[test]
fn pending_never_outranks_a_decided_status() {
    for stale in [Pending, Extended, Unknown] {
        let state = state(vec![sold(1, Approved, "100"), sold(2, stale, "100")]);
        assert_eq!(state.status, ClaimStatus::Confirmed, "{stale:?}");
    }
}

#[test]
fn an_amendment_moves_the_target_and_a_return_is_believed_from_the_export_only() {
    let there = vec![sold(1, Approved, "100"), sold(2, Approved, "250")];
    assert_eq!(state(there.clone()).target.commission, Minor::new(2_000));
    let back = [there.clone(), vec![sold(3, Approved, "100")]].concat();
    assert_eq!(state(back).target.commission, Minor::new(2_000));
    let export = sold(3, Approved, "100").csv(T0.plus_days(1));
    assert_eq!(
        state([there, vec![export]].concat()).target.commission,
        Minor::new(800)
    );
}

#[test]
fn what_was_owed_and_is_taken_back_is_reversed_and_what_never_was_is_rejected() {
    for refusal in [Cancelled, Rejected] {
        let reversed = state(vec![sold(1, Approved, "100"), sold(2, refusal, "100")]);
        assert_eq!(reversed.status, ClaimStatus::Reversed);
        assert_eq!(reversed.target, Parts::default());
        let rejected = state(vec![sold(1, Pending, "100"), sold(2, refusal, "100")]);
        assert_eq!(rejected.status, ClaimStatus::Rejected);
    }
}

#[test]
fn a_return_from_cancelled_is_believed_from_the_export_only() {
    let cancelled = vec![sold(1, Approved, "100"), sold(2, Cancelled, "100")];
    let postback = [cancelled.clone(), vec![sold(3, Approved, "100")]].concat();
    assert_eq!(state(postback).status, ClaimStatus::Reversed);
    let export = sold(3, Approved, "100").csv(T0.plus_days(1));
    assert_eq!(
        state([cancelled, vec![export]].concat()).status,
        ClaimStatus::Confirmed
    );
}

#[test]
fn absent_is_never_zero() {
    let mut bare = report(2).txn("A").build();
    bare.fields.sale_amount = None;
    bare.received_at = T0.plus_millis(120_000);
    let first = sold(1, Approved, "100").build();
    let reports = vec![first, bare];
    let scope = Scope {
        clicks: [reports[0].click_id()].into(),
        ..Scope::default()
    };
    let neighbourhood = Neighbourhood {
        reports: [(reports[0].click_id(), reports)].into(),
        ..Neighbourhood::default()
    };
    let claims = settle(&neighbourhood, &scope);
    assert_eq!(claims[0].target.commission, Minor::new(800));
    assert_eq!(claims[0].reports[1].fate, Fate::Repetition);
}

#[test]
fn fates_tell_repetitions_from_updates() {
    let fates = |reports| -> Vec<Fate> {
        state(reports)
            .reports
            .into_iter()
            .map(|report| report.fate)
            .collect()
    };
    assert_eq!(
        fates(vec![
            sold(1, Pending, "100"),
            sold(2, Pending, "100"),
            sold(3, Approved, "100")
        ]),
        [Fate::Ledgered, Fate::Repetition, Fate::Update]
    );
}

#[test]
fn two_amounts_with_nothing_to_tell_them_apart_go_to_a_person() {
    let state = state(vec![report(1).sale("100"), report(2).sale("200")]);
    assert_eq!(state.status, ClaimStatus::Review);
    assert!(
        state
            .reasons()
            .any(|reason| reason == StatusReason::AmbiguousAmount)
    );
    assert_eq!(state.target, Parts::default());
}

#[test]
fn the_window_is_half_open_and_tested_on_the_networks_own_time_only() {
    let at = |millis| {
        let mut report = sold(1, Approved, "100").build();
        report.fields.converted_at = millis;
        report.received_at = T0.plus_days(40);
        let scope = Scope {
            clicks: [report.click_id()].into(),
            ..Scope::default()
        };
        let neighbourhood = Neighbourhood {
            reports: [(report.click_id(), vec![report])].into(),
            ..Neighbourhood::default()
        };
        settle(&neighbourhood, &scope)[0].status
    };
    let end = T0.plus_days(30);
    assert_eq!(at(Some(end.plus_millis(-1))), ClaimStatus::Confirmed);
    assert_eq!(at(Some(end)), ClaimStatus::Rejected);
    assert_eq!(at(None), ClaimStatus::Confirmed);
}

#[test]
fn another_currency_is_never_booked_blindly() {
    let mut dollars = sold(1, Approved, "100").build();
    dollars.fields.currency = Some(Currency::USD);
    let scope = Scope {
        clicks: [dollars.click_id()].into(),
        ..Scope::default()
    };
    let neighbourhood = Neighbourhood {
        reports: [(dollars.click_id(), vec![dollars])].into(),
        ..Neighbourhood::default()
    };
    let claims = settle(&neighbourhood, &scope);
    assert_eq!(claims[0].status, ClaimStatus::Review);
    assert_eq!(claims[0].target, Parts::default());
}

#[test]
fn a_commission_beyond_any_range_goes_to_a_person_and_stops_nobody() {
    let mut absurd = sold(1, Approved, "1000000000000").build();
    absurd.matched.terms.commission_source = CommissionSource::Payout;
    absurd.matched.terms.payout_means = PayoutMeans::Percentage;
    absurd.fields.payout = Some("1000".parse().expect("an amount"));
    let click = absurd.click_id();
    let scope = Scope {
        clicks: [click].into(),
        ..Scope::default()
    };
    let neighbourhood = Neighbourhood {
        reports: [(click, vec![absurd])].into(),
        ..Neighbourhood::default()
    };
    let claims = settle(&neighbourhood, &scope);
    assert_eq!(claims[0].status, ClaimStatus::Review);
    assert!(claims[0].expected.to_split(claims[0].currency).is_ok());
}

fn evidence(state: &ClaimState, reason: StatusReason) -> &str {
    let finding = state
        .findings
        .iter()
        .find(|finding| finding.reason == reason);
    finding.map_or("", |finding| &finding.evidence)
}

#[test]
fn what_comes_after_the_books_were_locked_waits_for_an_operator() {
    let locked = Some(T0.plus_days(1));
    let late = sold(2, Cancelled, "100").locked_before(locked);
    let held = state(vec![sold(1, Approved, "100"), late]);
    assert_eq!(held.status, ClaimStatus::Confirmed);
    assert_eq!(held.target.commission, Minor::new(800));
    assert_eq!(
        evidence(&held, StatusReason::BooksLocked),
        "1 report(s) came after the books were locked"
    );
    assert_eq!(held.reports[1].fate, Fate::Update);
}

#[test]
fn a_claim_of_which_nothing_counts_yet_is_in_review_as_it_would_be() {
    let late = sold(1, Approved, "100").locked_before(Some(T0.plus_days(1)));
    let waiting = state(vec![late.clone()]);
    assert_eq!(waiting.status, ClaimStatus::Review);
    assert_eq!(waiting.expected.commission, Minor::new(800));
    assert_eq!(waiting.target, Parts::default());
    assert!(!evidence(&waiting, StatusReason::BooksLocked).is_empty());
}

#[test]
fn every_finding_says_what_it_rests_on() {
    let other_currency = sold(1, Approved, "100").currency("USD");
    let state = state(vec![other_currency.converted_at(T0)]);
    assert_eq!(
        evidence(&state, StatusReason::CurrencyMismatch),
        "reported in USD, the offer pays in INR"
    );
    assert!(
        state
            .findings
            .iter()
            .all(|finding| !finding.evidence.is_empty())
    );
}

#[test]
fn a_commission_above_the_cap_says_by_how_much() {
    let capped = sold(1, Approved, "100").commission_max("7.99");
    let capped = state(vec![capped]);
    assert_eq!(capped.status, ClaimStatus::Review);
    assert_eq!(
        evidence(&capped, StatusReason::CommissionAboveMax),
        "commission of 8.00 INR, 7.99 at most"
    );
    let at_the_cap = state(vec![sold(1, Approved, "100").commission_max("8")]);
    assert_eq!(at_the_cap.status, ClaimStatus::Confirmed);
}
