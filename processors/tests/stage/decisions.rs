//! One report, one decision: the pure function.

use processors::rules::attribution::{ClickReference, LookedUp, click_to_look_up};
use proptest::prelude::*;
use schemas::{
    ClickId, Currency, EventId, NetworkId, Timestamp, codec,
    events::*,
    token::{ClickToken, NONCE_BYTES, TokenKeys},
};

use crate::world::*;

fn heal(click: ClickFacts) -> Heal {
    Heal {
        heals: position(1),
        heal_id: EventId::new(99),
        author: HealAuthor::Operator,
        click,
    }
}

prop_compose! {
    /// Texts that networks send as our reference: good tokens, ids, and anything else.
    fn click_refs()(
        text in prop_oneof![
            Just(sealed(&token(1))),
            Just(sealed(&ClickToken { link_id: link(404), ..token(2) })),
            any::<i64>().prop_map(|id| id.to_string()),
            "[A-Za-z0-9_-]{120,130}",
            any::<String>(),
        ],
    ) -> String {
        text
    }
}

prop_compose! {
    fn reporteds()(
        click_ref in click_refs(),
        sale in prop::option::of(any::<i64>()),
        payout in prop::option::of(any::<i64>()),
        currency in prop::option::of(prop::sample::select(vec!["INR", "USD", "JPY", "KWD"])),
        converted in prop::option::of(any::<i64>()),
        code in prop::option::of("[A-Z]{2}"),
        txn_id in prop::option::of(any::<String>()),
    ) -> Reported {
        Reported {
            click_ref,
            txn_id,
            sale_amount: sale.map(schemas::Amount::from_micros),
            payout: payout.map(schemas::Amount::from_micros),
            currency: currency.map(|code| code.parse().expect("a currency")),
            converted_at: converted.map(Timestamp::from_millis),
            country: code.and_then(|code| country(&code)),
            ..Reported::default()
        }
    }
}

prop_compose! {
    fn reports()(
        reported in prop::option::weighted(0.95, reporteds()),
        event_id: i64,
        received: i64,
        as_of in prop::option::of(any::<i64>()),
        network: i32,
        named in prop::option::of(0_u128..3),
        malformed in prop::option::weighted(0.1, Just(Malformed::SaleAmountAbsurd)),
        clicked in prop::option::weighted(0.2, any::<i64>()),
        number: i64,
    ) -> ConversionReported {
        ConversionReported {
            event_id: EventId::new(event_id),
            received_at: Timestamp::from_millis(received),
            source: ReportSource::Api,
            as_of: as_of.map(Timestamp::from_millis),
            network_id: NetworkId::new(network),
            tenant_id: named.map(tenant),
            reported,
            malformed,
            heal: clicked.map(|millis| {
                heal(ClickFacts { clicked_at: Timestamp::from_millis(millis), ..click(number) })
            }),
            ..report("")
        }
    }
}

proptest! {
    #[test]
    fn every_report_gets_a_decision_that_names_it_and_can_be_written(
        report in reports(), known: bool
    ) {
        let looked_up = if known { LookedUp::Click(click(5)) } else { LookedUp::Nothing };
        let decision = decided_in(&reference(), &report, looked_up.clone());
        prop_assert_eq!(decision.source, position(8));
        prop_assert_eq!(decision.event_id, report.event_id);
        prop_assert_eq!(decision.received_at, report.received_at);
        prop_assert_eq!(decision.as_of, report.as_of);
        prop_assert_eq!(&decision.reported, &report.reported);
        prop_assert_eq!(&decision.heal, &report.heal);
        let ignored = matches!(decision.outcome, Outcome::Ignored(_));
        prop_assert_eq!(ignored, report.malformed.is_some() || report.reported.is_none());
        let written = codec::encode(&decision).expect("a decision fits its schema");
        let read: Decision = codec::decode(&written).expect("what is written can be read");
        prop_assert_eq!(&read, &decision);
        prop_assert_eq!(decided_in(&reference(), &report, looked_up), decision);
    }

    #[test]
    fn any_text_is_a_reference_or_says_why_not(text in click_refs()) {
        match ClickReference::read(&text, &keys()) {
            Ok(ClickReference::Bare(id)) => prop_assert!(id.get() > 0),
            Ok(ClickReference::Token(token)) => prop_assert_eq!(sealed(&token), text),
            Err(reason) => prop_assert!(matches!(
                reason,
                UnmatchedReason::NotAReference
                    | UnmatchedReason::TokenForged
                    | UnmatchedReason::TokenKeyUnknown
            )),
        }
    }

    #[test]
    fn terms_are_those_of_the_click_and_rules_those_of_the_receipt(
        clicked in -3_i64..3, received in -3_i64..3
    ) {
        let token = ClickToken { clicked_at: CHANGE.plus_millis(clicked), ..token(1) };
        let mut report = report_of(&token);
        report.received_at = CHANGE.plus_millis(received);
        let matched = matched(decided(&report));
        let (version, commission, share) =
            if clicked < 0 { (1, "8", "60") } else { (2, "10", "40") };
        prop_assert_eq!(matched.terms.offer_version, version);
        prop_assert_eq!(matched.terms.campaign_version, version);
        prop_assert_eq!(matched.terms.tenant_version, version);
        prop_assert_eq!(matched.terms.commission, Rate::Percentage(percentage(commission)));
        prop_assert_eq!(matched.terms.user_share, percentage(share));
        let (rules, review_score) = if received < 0 { (1, 3) } else { (2, 4) };
        prop_assert_eq!(matched.rules.version, rules);
        prop_assert_eq!(matched.rules.review_score, review_score);
    }
}

#[test]
fn the_share_falls_back_from_the_campaign_to_the_tenant_and_a_share_of_nothing_does_not() {
    let share = |clicked_at| {
        let token = ClickToken {
            clicked_at,
            link_id: link(2),
            ..token(1)
        };
        matched(decided(&report_of(&token))).terms.user_share
    };
    assert_eq!(share(START), percentage("50"));
    assert_eq!(share(CHANGE), percentage("0"));
}

#[test]
fn the_networks_part_of_the_terms_is_that_of_the_offers_network() {
    let token = ClickToken {
        offer_id: SLOW_OFFER,
        link_id: link(3),
        ..token(1)
    };
    let terms = matched(decided(&report_of(&token))).terms;
    assert_eq!(
        (terms.default_currency, terms.fires_at_sale),
        (Currency::USD, false)
    );
}

#[test]
fn the_designs_worked_example_comes_out() {
    let matched = matched(decided(&report_of(&token(1))));
    assert_eq!(matched.click, click(1));
    let split = matched.split.expect("a split");
    assert_eq!(split.commission, amount("159.92"));
    assert_eq!(split.user, amount("95.95"));
    assert_eq!(split.creator, amount("63.97"));
}

#[test]
fn nothing_is_split_in_another_currency_than_the_offers() {
    let mut report = report_of(&token(1));
    report.reported.as_mut().expect("parsed").currency = Some(Currency::USD);
    assert_eq!(matched(decided(&report)).split, None);
    let dollars_by_default = ClickToken {
        offer_id: SLOW_OFFER,
        link_id: link(3),
        ..token(1)
    };
    assert_eq!(
        matched(decided(&report_of(&dollars_by_default))).split,
        None
    );
}

#[test]
fn a_reference_that_leads_nowhere_says_why() {
    let unknown_ring = TokenKeys::new(&[(9, [9; 32])]).expect("a ring");
    let mut forged = sealed(&token(5)).into_bytes();
    forged[80] = if forged[80] == b'A' { b'B' } else { b'A' };
    let no_link = ClickToken {
        link_id: link(404),
        ..token(5)
    };
    let no_offer = ClickToken {
        offer_id: schemas::OfferId::new(404),
        ..token(5)
    };
    let five = Some(ClickId::new(5));
    for (click_ref, reason, click_id) in [
        ("5".to_owned(), UnmatchedReason::UnknownClick, five),
        (String::new(), UnmatchedReason::NotAReference, None),
        ("0".to_owned(), UnmatchedReason::NotAReference, None),
        (
            "9223372036854775808".to_owned(),
            UnmatchedReason::NotAReference,
            None,
        ),
        (
            "{click_id}".to_owned(),
            UnmatchedReason::NotAReference,
            None,
        ),
        (
            String::from_utf8(forged).expect("ascii"),
            UnmatchedReason::TokenForged,
            None,
        ),
        (
            unknown_ring.seal(&token(5), [7; NONCE_BYTES]),
            UnmatchedReason::TokenKeyUnknown,
            None,
        ),
        (sealed(&no_link), UnmatchedReason::UnknownLink, five),
        (sealed(&no_offer), UnmatchedReason::UnknownLink, five),
    ] {
        let expected = Unmatched { reason, click_id };
        assert_eq!(
            unmatched(decided(&report(click_ref.clone()))),
            expected,
            "{click_ref}"
        );
    }
}

#[test]
fn tokens_of_an_older_key_still_match() {
    let older = TokenKeys::new(&[(1, [1; 32])]).expect("a ring");
    let report = report(older.seal(&token(1), [7; NONCE_BYTES]));
    assert_eq!(matched(decided(&report)).click, click(1));
}

#[test]
fn another_network_is_no_way_round_the_offers_own() {
    let mut report = report_of(&token(5));
    report.network_id = NetworkId::new(report.network_id.get() + 1);
    let other = Unmatched {
        reason: UnmatchedReason::OtherNetwork,
        click_id: Some(ClickId::new(5)),
    };
    assert_eq!(unmatched(decided(&report)), other);
}

#[test]
fn an_import_matches_its_own_tenants_clicks_only() {
    let mut report = report_of(&token(5));
    report.tenant_id = Some(tenant(1));
    assert_eq!(matched(decided(&report)).click, click(5));
    report.tenant_id = Some(tenant(2));
    let other = Unmatched {
        reason: UnmatchedReason::OtherTenant,
        click_id: Some(ClickId::new(5)),
    };
    assert_eq!(unmatched(decided(&report)), other);
    // Nor does a heal reach into another tenant.
    report.heal = Some(heal(click(5)));
    assert_eq!(unmatched(decided(&report)), other);
}

#[test]
fn a_healed_report_matches_by_the_facts_it_carries_and_keeps_its_identity() {
    let mut healed = report("no reference");
    healed.heal = Some(heal(click(7)));
    let decision = decided(&healed);
    assert_eq!(decision.event_id, healed.event_id);
    assert_eq!(decision.received_at, healed.received_at);
    assert_eq!(decision.report_source, healed.source);
    assert_eq!(matched(decision).click, click(7));

    healed.reported.as_mut().expect("parsed").click_ref = "5".to_owned();
    assert_eq!(click_to_look_up(&healed), None);
    assert_eq!(matched(decided(&healed)).click, click(7));
}

#[test]
fn only_a_bare_id_of_a_usable_report_is_looked_up() {
    let mut bare = report("5");
    assert_eq!(click_to_look_up(&bare), Some(ClickId::new(5)));
    assert_eq!(click_to_look_up(&report_of(&token(5))), None);
    assert_eq!(click_to_look_up(&report("p1")), None);
    let found = decided_in(&reference(), &bare, LookedUp::Click(click(5)));
    assert_eq!(matched(found).click, click(5));
    bare.malformed = Some(Malformed::PayoutInvalid);
    assert_eq!(click_to_look_up(&bare), None);
}

#[test]
fn a_replay_repeats_what_was_decided_though_links_moved() {
    let mut moved = reference();
    moved.links.get_mut(&link(1)).expect("link 1").campaign_id = campaign(2);
    let of_token = report_of(&token(1));
    let of_bare = report("5");
    for (report, looked_up) in [
        (&of_token, LookedUp::Nothing),
        (&of_bare, LookedUp::Click(click(5))),
        (&of_bare, LookedUp::Nothing),
    ] {
        let live = decided_in(&reference(), report, looked_up);
        let recorded = LookedUp::recorded(&live).expect("a recorded look-up");
        assert_eq!(decided_in(&moved, report, recorded), live);
    }
    let mut ignored = report("5");
    ignored.malformed = Some(Malformed::NotUtf8);
    assert_eq!(LookedUp::recorded(&decided(&ignored)), None);
}
