use schemas::events::Rate;
use serde_json::{Value, json};

use super::*;

const NETWORK: NetworkId = NetworkId::new(1);
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn india() -> Country {
    "IN".parse().expect("a country")
}

fn campaign(id: i64) -> Value {
    json!({"id": id, "title": "Paduka Shoes", "currency": "INR", "model": "cps",
           "categories": ["footwear"], "payouts": [{"payout": 8, "geo": ["IN"]}], "goals": [],
           "tracking_link": "https://trk.example/5a?p1={your-transaction-id}&source={sub}&x=1"})
}

fn with(field: &str, value: Value) -> Value {
    let mut changed = campaign(1);
    changed[field] = value;
    changed
}

fn read(campaign: &Value) -> Result<Listed, String> {
    let campaign = serde_json::from_str(&campaign.to_string()).expect("a campaign");
    mapping::listed(&campaign, india())
}

fn rate(campaign: &Value) -> Result<Rate, String> {
    read(campaign).map(|listed| listed.terms.commission)
}

#[test]
fn a_campaign_becomes_an_offer() {
    let listed = read(&campaign(1)).expect("usable");
    assert_eq!(
        (listed.offer_id, listed.brand.as_str()),
        (OfferId::new(1), "Paduka Shoes")
    );
    assert_eq!(
        listed.terms.tracking_url,
        "https://trk.example/5a?x=1&p1={click_token}"
    );
    let percent = Rate::Percentage("8".parse().expect("a percentage"));
    assert_eq!(listed.terms.commission, percent);
    let flat = rate(&with("model", json!("cpa"))).expect("usable");
    assert_eq!(flat, Rate::Flat("8".parse().expect("an amount")));
    let dollars = read(&with("currency", Value::Null)).expect("usable");
    assert_eq!(dollars.terms.currency.to_string(), "USD");
}

#[test]
fn the_payout_of_the_country_counts_and_several_are_for_a_person() {
    let pays = |payouts: Value| rate(&with("payouts", payouts));
    let percent = |text: &str| Ok(Rate::Percentage(text.parse().expect("a percentage")));
    let elsewhere = json!([{"payout": 5, "geo": ["US"]}, {"payout": 7.25, "geo": ["ALL"]}]);
    assert_eq!(pays(elsewhere), percent("7.25"));
    let both = json!([{"payout": 5, "geo": ["in"]}, {"payout": 7, "geo": []}]);
    assert_eq!(pays(both), percent("5"));
    let narrow = json!([{"payout": 9, "geo": ["IN"], "city": ["Pune"]}, {"payout": 7}]);
    assert_eq!(pays(narrow), percent("7"));
    for payouts in [
        json!([]),
        json!([{"payout": 5, "geo": ["US"]}]),
        json!([{"payout": 5, "geo": ["IN"]}, {"payout": 6, "geo": ["IN"]}]),
        json!([{"payout": 101}]),
        json!([{"payout": 1.234}]),
        json!([{"payout": -1}]),
    ] {
        assert!(pays(payouts.clone()).is_err(), "{payouts}");
    }
}

#[test]
fn goals_have_rates_of_their_own() {
    let goals = json!([{"id": "g1", "payout_model": "fixed", "payouts": [{"payout": 40}]},
                       {"id": "g2", "payout_model": null, "payouts": [{"payout": 2.5}]}]);
    let listed = read(&with("goals", goals)).expect("usable");
    let told: Vec<String> = listed
        .terms
        .goal_rates
        .values()
        .map(|rate| format!("{rate:?}"))
        .collect();
    assert!(
        told[0].contains("Flat") && told[1].contains("Percentage"),
        "{told:?}"
    );
    for goals in [
        json!([{"id": "g", "payouts": []}]),
        json!([{"id": "g", "payout_model": "odd",
                  "payouts": [{"payout": 1}]}]),
    ] {
        let refused = read(&with("goals", goals)).expect_err("refused");
        assert!(refused.starts_with("goal g: "), "{refused}");
    }
}

#[test]
fn what_cannot_be_ours_is_named() {
    for (field, value) in [
        ("model", json!("cpc")),
        ("model", json!("barter")),
        ("currency", json!("XYZ1")),
        ("tracking_link", Value::Null),
        ("tracking_link", json!("javascript:alert(1)")),
        ("id", json!(-5)),
        ("id", json!(5_000_000_000_i64)),
    ] {
        let refused = read(&with(field, value.clone()));
        assert!(refused.is_err(), "{field}: {value}");
    }
}

fn listing(campaigns: &[Value]) -> Listing {
    let rows = campaigns.iter().map(|campaign| {
        let row = RawValue::from_string(campaign.to_string()).expect("JSON");
        (Identity::of(&row), row)
    });
    Listing {
        campaigns: rows.collect(),
        settled: true,
    }
}

fn compared(campaigns: &[Value], saved: &ReferenceData) -> (OfferSyncReport, ReferenceFile) {
    let settings = OfferSyncSettings {
        network_id: NETWORK,
        country: india(),
        dry_run: false,
    };
    compare(&listing(campaigns), saved, settings, NOW)
}

/// What is saved once a file is imported.
fn saved(file: &ReferenceFile) -> ReferenceData {
    use schemas::reference::{Offer, Version, Versions};
    let mut data = ReferenceData::default();
    for offer in &file.offers {
        let listed = read(&campaign(offer.offer_id.get().into())).expect("usable");
        let value = OfferTerms {
            commission_max: "20".parse().ok(),
            ..listed.terms.over(&of_new_offers(&listed))
        };
        let version = Version {
            version: 1,
            effective_at: Timestamp::from_millis(0),
            value,
        };
        let offer_data = Offer {
            network_id: NETWORK,
            category: offer.category.clone(),
            terms: Versions::new(vec![version]).expect("one"),
        };
        data.offers.insert(offer.offer_id, offer_data);
    }
    data
}

#[test]
fn what_is_new_changed_and_gone_is_told_and_a_second_time_nothing_is() {
    let (report, file) = compared(&[campaign(1), campaign(2)], &ReferenceData::default());
    assert_eq!((report.new.len(), file.offers.len()), (2, 2));
    let saved = saved(&file);
    let (again, nothing) = compared(&[campaign(1), campaign(2)], &saved);
    assert_eq!((again.unchanged, nothing.offers.len()), (2, 0));

    let mut raised = campaign(1);
    raised["payouts"][0]["payout"] = json!(9.5);
    raised["categories"] = json!(["shoes"]);
    let (report, file) = compared(&[raised, json!({"id": 3, "title": 7}), json!(8)], &saved);
    let change = &report.changed[0].changes;
    assert_eq!(change.len(), 1);
    assert_eq!(
        (change[0].old.as_deref(), change[0].new.as_deref()),
        (Some("8.00%"), Some("9.50%"))
    );
    assert!(change[0].money && change[0].field == "commission");
    assert_eq!(
        (report.gone, report.refused.len()),
        (vec![OfferId::new(2)], 2)
    );
    let version = &file.offers[0].versions[0];
    assert_eq!(
        version.commission_max,
        Some("20".parse().expect("a number")),
        "stays"
    );
    assert_eq!(
        (version.effective_at, file.offers[0].category.as_deref()),
        (NOW, Some("footwear"))
    );
}

#[test]
fn a_list_that_did_not_settle_makes_nothing_gone() {
    let (_, file) = compared(&[campaign(1), campaign(2)], &ReferenceData::default());
    let mut listing = listing(&[campaign(1)]);
    listing.settled = false;
    let settings = OfferSyncSettings {
        network_id: NETWORK,
        country: india(),
        dry_run: true,
    };
    let (report, _) = compare(&listing, &saved(&file), settings, NOW);
    assert!(report.gone.is_empty() && report.unsettled);
}

#[test]
fn later_terms_that_differ_wait_for_their_time() {
    let (_, file) = compared(&[campaign(1)], &ReferenceData::default());
    let mut saved = saved(&file);
    let offer = saved.offers.get_mut(&OfferId::new(1)).expect("there");
    let mut later = offer.terms.all().to_vec();
    later[0].effective_at = NOW.plus_millis(1);
    offer.terms = schemas::reference::Versions::new(later).expect("one");
    let (report, file) = compared(&[with("currency", json!("USD"))], &saved);
    assert!(file.offers.is_empty() && report.refused[0].reason.contains("sync again"));
}
