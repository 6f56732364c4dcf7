//! The edges of what is in force when: a millisecond before, on the instant, a millisecond after.

use std::collections::{BTreeMap, HashMap};

use schemas::{
    Amount, Currency, NetworkId, OfferId, Percentage, Timestamp,
    events::{
        ClickFacts, CommissionSource, DuplicatePolicy, FraudRules, Matched, PayoutMeans, Rate,
        Reported, Terms,
    },
    reference::{
        Campaign, CampaignTerms, Network, Offer, OfferTerms, OverrideTerms, PartnerLevel,
        RateOverride, ReferenceData, TenantSettings, Version, Versions,
    },
};

use crate::{
    decisions::{decided, expected_terms},
    drawn_reference::tenant,
    plain::{DAY, amount, approved, click, percent},
    records::at,
    terms,
};

/// Versions 1, 2, …, each with the instant from which it is in force.
fn versions<T>(values: impl IntoIterator<Item = (i64, T)>) -> Versions<T> {
    let numbered = (1..).zip(values).map(|(version, (from, value))| Version {
        version,
        effective_at: at(from),
        value,
    });
    Versions::new(numbered.collect()).expect("at least one")
}

fn offer_terms(commission: Rate) -> OfferTerms {
    OfferTerms {
        tracking_url: "https://network.example/click".to_owned(),
        currency: Currency::INR,
        commission_source: CommissionSource::Percentage,
        commission,
        goal_rates: BTreeMap::new(),
        commission_max: None,
        usual_sale_max: None,
        cool_off_days: 30,
        txn_id_names_order: true,
        duplicate_orders: DuplicatePolicy::Reject,
    }
}

fn settings() -> TenantSettings {
    TenantSettings {
        level: PartnerLevel::Standard,
        default_share: percent("60"),
        platform_fee: Percentage::ZERO,
        platform_fee_flat: Amount::ZERO,
        subsidy: Amount::ZERO,
    }
}

/// One tenant, campaign, offer (at 8%) and network, since before the beginning.
fn reference() -> ReferenceData {
    let campaign = Campaign {
        tenant_id: tenant(1),
        terms: versions([(
            -DAY,
            CampaignTerms {
                share: None,
                attribution_window_days: 30,
            },
        )]),
    };
    let offer = Offer {
        network_id: NetworkId::new(1),
        category: None,
        terms: versions([(-DAY, offer_terms(Rate::Percentage(percent("8"))))]),
    };
    let network = Network {
        default_currency: Currency::INR,
        payout_means: PayoutMeans::Amount,
        fires_at_sale: false,
        security_token_sha256: None,
        utc_offset_minutes: 0,
    };
    ReferenceData {
        tenants: HashMap::from([(tenant(1), versions([(-DAY, settings())]))]),
        campaigns: HashMap::from([(click(1, 0).campaign_id, campaign)]),
        offers: HashMap::from([(OfferId::new(1), offer)]),
        networks: HashMap::from([(NetworkId::new(1), network)]),
        ..ReferenceData::default()
    }
}

/// The terms of a click, on which the stage and the oracle must agree.
fn terms_at(clicked: i64, data: &ReferenceData) -> Terms {
    let click = click(1, clicked);
    let found = decided(&click, &approved(), at(clicked), at(clicked), data).terms;
    assert_eq!(found, expected_terms(data, &click));
    found
}

#[test]
fn an_override_holds_from_its_instant_on_and_not_at_its_end() {
    let mut data = reference();
    let own = RateOverride {
        goal_id: None,
        versions: versions([(
            0,
            OverrideTerms {
                rate: Some(Rate::Flat(amount("5"))),
                valid_until: Some(at(DAY)),
            },
        )]),
    };
    data.overrides = HashMap::from([((tenant(1), OfferId::new(1)), vec![own])]);
    for (clicked, overridden) in [
        (-1, false),
        (0, true),
        (1, true),
        (DAY - 1, true),
        (DAY, false),
        (DAY + 1, false),
    ] {
        let expected = if overridden {
            Rate::Flat(amount("5"))
        } else {
            Rate::Percentage(percent("8"))
        };
        assert_eq!(
            terms_at(clicked, &data).commission,
            expected,
            "clicked at {clicked}"
        );
    }
}

#[test]
fn a_version_of_an_offer_prices_clicks_from_its_instant_on() {
    let mut data = reference();
    let old = offer_terms(Rate::Percentage(percent("8")));
    let new = offer_terms(Rate::Percentage(percent("9")));
    let offer = data.offers.get_mut(&OfferId::new(1)).expect("the offer");
    offer.terms = versions([(-DAY, old), (0, new)]);
    for (clicked, rate) in [(-1, "8"), (0, "9"), (1, "9")] {
        let expected = Rate::Percentage(percent(rate));
        assert_eq!(
            terms_at(clicked, &data).commission,
            expected,
            "clicked at {clicked}"
        );
    }
}

/// What the stage finds for a report of a click at the beginning.
fn found(said: &Reported, received: i64, appended: i64, data: &ReferenceData) -> Matched {
    let click: ClickFacts = click(1, 0);
    let found = decided(&click, said, at(received), at(appended), data);
    assert_eq!(found.score, terms::score(data, &click, said, at(received)));
    found
}

#[test]
fn books_are_locked_by_the_lock_in_force_at_the_append() {
    let mut data = reference();
    data.locks = HashMap::from([(tenant(1), versions([(DAY, at(7))]))]);
    for (appended, expected) in [(-1, None), (0, Some(at(7))), (1, Some(at(7)))] {
        let found = found(&approved(), 0, DAY + appended, &data);
        let lock: Option<Timestamp> = found.books_locked_before;
        assert_eq!(lock, expected, "appended {appended:+} ms");
    }
}

#[test]
fn fraud_rules_are_those_in_force_at_the_receipt() {
    let mut data = reference();
    let strict = FraudRules {
        review_score: 1,
        ..FraudRules::default()
    };
    data.tenant_rules = HashMap::from([(tenant(1), versions([(DAY, strict)]))]);
    for (received, expected) in [(-1, 3), (0, 1), (1, 1)] {
        let found = found(&approved(), DAY + received, 2 * DAY, &data);
        assert_eq!(
            found.rules.review_score, expected,
            "received {received:+} ms"
        );
    }
}

#[test]
fn a_sale_is_hasty_below_five_seconds() {
    let data = reference();
    for (after, score) in [(-1, 1), (0, 1), (4_999, 1), (5_000, 0), (5_001, 0)] {
        let said = Reported {
            converted_at: Some(at(after)),
            ..approved()
        };
        let found = found(&said, DAY, DAY, &data);
        assert_eq!(found.score, score, "converted {after} ms after the click");
    }
}
