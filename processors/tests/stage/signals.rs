//! Signals, score and self-purchase, each at its edge.

use processors::rules::signals::score;
use schemas::{Currency, Timestamp, events::*, token::ClickToken};

use crate::world::*;

/// The codes of the signals that a decision on this report holds, each of the default weight.
fn codes(report: &ConversionReported) -> Vec<SignalCode> {
    let matched = matched(decided(report));
    assert!(
        matched
            .signals
            .iter()
            .all(|signal| signal.weight == 1 && !signal.evidence.is_empty())
    );
    assert_eq!(usize::try_from(matched.score), Ok(matched.signals.len()));
    matched
        .signals
        .into_iter()
        .map(|signal| signal.code)
        .collect()
}

fn with_reported(change: impl FnOnce(&mut Reported)) -> ConversionReported {
    let mut report = report_of(&token(1));
    change(report.reported.as_mut().expect("parsed"));
    report
}

#[test]
fn an_ordinary_sale_has_none() {
    assert_eq!(codes(&report_of(&token(1))), []);
}

#[test]
fn countries_that_differ_count_and_unknown_ones_do_not() {
    for (clicked, converted, expected) in [
        (
            country("IN"),
            country("US"),
            vec![SignalCode::CountryMismatch],
        ),
        (country("IN"), country("in"), vec![]),
        (None, country("US"), vec![]),
        (country("IN"), None, vec![]),
    ] {
        let mut report = report_of(&ClickToken {
            country: clicked,
            ..token(1)
        });
        report.reported.as_mut().expect("parsed").country = converted;
        assert_eq!(codes(&report), expected, "{clicked:?} {converted:?}");
    }
}

#[test]
fn a_sale_is_hasty_below_five_seconds_to_the_millisecond() {
    let clicked_at = token(1).clicked_at;
    for (elapsed_ms, hasty) in [
        (5_001, false),
        (5_000, false),
        (4_999, true),
        (0, true),
        (-1, true),
    ] {
        let sold_at = clicked_at.plus_millis(elapsed_ms);
        let report = with_reported(|reported| reported.converted_at = Some(sold_at));
        assert_eq!(
            codes(&report) == [SignalCode::HastySale],
            hasty,
            "{elapsed_ms} ms"
        );
    }
}

#[test]
fn our_receipt_shows_haste_only_where_the_network_fires_at_the_sale() {
    for (offer_id, link_id, hasty) in [(OFFER, link(1), true), (SLOW_OFFER, link(3), false)] {
        let token = ClickToken {
            offer_id,
            link_id,
            ..token(1)
        };
        let mut report = report_of(&token);
        report.received_at = token.clicked_at.plus_millis(10);
        report.reported.as_mut().expect("parsed").converted_at = None;
        assert_eq!(
            codes(&report) == [SignalCode::HastySale],
            hasty,
            "offer {offer_id}"
        );
    }
}

#[test]
fn the_clicks_byte_of_signals_counts_bit_by_bit() {
    for (signals, expected) in [
        (ClickSignals::BOT, vec![SignalCode::Bot]),
        (ClickSignals::DATA_CENTRE, vec![SignalCode::DataCentre]),
        (ClickSignals::PROXY, vec![SignalCode::Proxy]),
        (ClickSignals::from_byte(0b1111_1000), vec![]),
        (
            ClickSignals::from_byte(0xFF),
            vec![SignalCode::Bot, SignalCode::DataCentre, SignalCode::Proxy],
        ),
    ] {
        let report = report_of(&ClickToken {
            signals,
            ..token(1)
        });
        assert_eq!(codes(&report), expected, "{signals:?}");
    }
}

#[test]
fn a_sale_above_the_usual_counts_in_the_offers_currency_only() {
    for (sale, currency, unusual) in [
        ("5000.00", None, false),
        ("5000.000001", None, true),
        ("5000.01", Some(Currency::INR), true),
        ("99999", Some(Currency::USD), false),
    ] {
        let report = with_reported(|reported| {
            reported.sale_amount = Some(amount(sale));
            reported.currency = currency;
        });
        assert_eq!(
            codes(&report) == [SignalCode::UnusualSale],
            unusual,
            "{sale} {currency:?}"
        );
    }
}

#[test]
fn weights_are_data_and_zero_switches_a_signal_off() {
    let mut reference = reference();
    let rules = FraudRules {
        bot_weight: 0,
        proxy_weight: 7,
        ..FraudRules::default()
    };
    reference
        .tenant_rules
        .insert(tenant(1), versions(rules.clone(), rules));
    let everything = ClickToken {
        signals: ClickSignals::from_byte(0xFF),
        ..token(1)
    };
    let decision = decided_in(
        &reference,
        &report_of(&everything),
        processors::rules::attribution::LookedUp::Nothing,
    );
    let matched = matched(decision);
    let weights: Vec<_> = matched
        .signals
        .iter()
        .map(|signal| (signal.code, signal.weight))
        .collect();
    assert_eq!(
        weights,
        [(SignalCode::DataCentre, 1), (SignalCode::Proxy, 7)]
    );
    assert_eq!(matched.score, 8);
}

#[test]
fn a_score_beyond_the_range_stays_at_its_end() {
    let signal = Signal {
        code: SignalCode::Bot,
        weight: i32::MAX,
        evidence: String::new(),
    };
    assert_eq!(score(&[signal.clone(), signal]), i32::MAX);
}

#[test]
fn the_evidence_names_the_values() {
    let report = with_reported(|reported| {
        reported.country = country("US");
        reported.sale_amount = Some(amount("5000.01"));
        reported.converted_at = Some(token(1).clicked_at.plus_millis(1_200));
    });
    let evidence: Vec<_> = matched(decided(&report))
        .signals
        .into_iter()
        .map(|signal| signal.evidence)
        .collect();
    assert_eq!(
        evidence,
        [
            "clicked in IN, converted in US",
            "sold 1200 ms after the click, 5000 ms are the least plausible",
            "sale of 5000.01 INR, usual up to 5000.00 INR",
        ]
    );
}

#[test]
fn a_self_purchase_is_seen_as_of_the_click() {
    let found = |clicked_at: Timestamp, number, link_id| {
        let token = ClickToken {
            clicked_at,
            user_id: Some(user(number)),
            link_id,
            ..token(1)
        };
        matched(decided(&report_of(&token))).self_purchase
    };
    assert_eq!(found(CHANGE, 9, link(1)), Some(SelfPurchase::Phone));
    assert_eq!(
        found(CHANGE.plus_millis(-1), 9, link(1)),
        None,
        "no member yet"
    );
    assert_eq!(found(CHANGE, 1, link(1)), None, "another shopper");
    assert_eq!(found(CHANGE, 9, link(2)), None, "another tenant");
    let nobody = ClickToken {
        clicked_at: CHANGE,
        user_id: None,
        ..token(1)
    };
    assert_eq!(matched(decided(&report_of(&nobody))).self_purchase, None);
}
