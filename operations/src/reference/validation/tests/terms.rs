//! Percentages, amounts and dates; terms and tenants' own rates.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{SOON, offer_version, own_rate, refuses, rule, takes, tenant_version};
use crate::reference::file::ReferenceFile;

#[test]
fn percentages_lie_between_0_and_100() {
    for (number, what) in [
        (
            "100.01",
            "100.01 is refused: a percentage lies between 0 and 100",
        ),
        ("-1", "-1 is refused: a percentage lies between 0 and 100"),
        (
            "8.125",
            "8.125 is refused: a percentage lies between 0 and 100 and has at most two",
        ),
    ] {
        let path = "tenants[0].versions[0].default_share_pct";
        refuses(
            &tenant_version(json!({"default_share_pct": number})),
            &format!("{path}: {what}"),
        );
        let path = "overrides[0].rate.pct";
        refuses(
            &own_rate(json!({"rate": {"pct": number}})),
            &format!("{path}: {what}"),
        );
    }
    for number in [json!("0"), json!("100.00"), json!(8.25), json!(60)] {
        takes(&tenant_version(json!({"default_share_pct": number})));
    }
}

#[test]
fn amounts_lie_between_0_and_10_to_the_12() {
    let path = "tenants[0].versions[0].subsidy";
    for (number, what) in [
        ("-0.01", "-0.01 is negative"),
        ("1000000000000.01", "1000000000000.01 is out of range"),
        ("1000000000000000000", "1000000000000000000 is out of range"),
        ("-9223372036854.775808", "-9223372036854.775808 is negative"),
        ("0.0000001", "0.0000001 has more than six decimal places"),
    ] {
        refuses(
            &tenant_version(json!({"subsidy": number})),
            &format!("{path}: {what}"),
        );
    }
    refuses(
        &tenant_version(json!({"subsidy": "a lot"})),
        "tenants[0].versions[0].subsidy: invalid",
    );
    takes(&tenant_version(json!({"subsidy": "1000000000000"})));
}

#[test]
fn flat_amounts_are_whole_minor_units() {
    for (offer, flat, taken) in [
        (1, "12.34", true),
        (1, "12.345", false),
        (2, "12", true),
        (2, "12.5", false),
        (3, "12.345", true),
        (3, "12.3456", false),
    ] {
        let file = own_rate(json!({"offer_id": offer, "rate": {"flat": flat}}));
        if taken {
            takes(&file);
        } else {
            refuses(
                &file,
                &format!("overrides[0].rate.flat: {flat} is no sum of "),
            );
        }
    }
    refuses(
        &offer_version(json!({"currency": "JPY"})),
        "offers[0].versions[0].commission_flat: 12.50 is no sum of JPY, which has 0 decimal places",
    );
    refuses(
        &offer_version(json!({"goal_rates": {"signup": {"flat": "0.005"}}})),
        "offers[0].versions[0].goal_rates.signup.flat: 0.005 is no sum of INR",
    );
}

#[test]
fn dates_lie_in_the_years_2000_to_2099() {
    for at in [
        "1970-01-01T00:00:00Z",
        "1999-12-31T23:59:59.999Z",
        "2100-01-01T00:00:00Z",
    ] {
        let converted = rule(json!({"converted_from": at}), json!({"multiply": "2"}));
        refuses(
            &converted,
            "commission_rules[0].rules[0].when.converted_from: ",
        );
    }
    refuses(
        &tenant_version(json!({"effective_at": "2100-01-01T00:00:00Z"})),
        "tenants[0].versions[0].effective_at: 2100-01-01T00:00:00.000Z is refused",
    );
    let first = json!({"tenants": [{"tenant_id": Uuid::from_u128(9), "name": "New", "versions": [
        {"effective_at": "1970-01-01T00:00:00Z", "default_share_pct": "60"}
    ]}]});
    refuses(
        &first,
        "tenants[0].versions[0].effective_at: 1970-01-01T00:00:00.000Z is refused",
    );
    let first_instant = rule(
        json!({"converted_from": "2000-01-01T00:00:00Z"}),
        json!({"multiply": "2"}),
    );
    takes(&first_instant);
}

#[test]
fn an_offer_has_one_rate_and_one_of_each_goal() {
    let path = "offers[0].versions[0]";
    refuses(
        &offer_version(json!({"base_commission_pct": "8"})),
        &format!("{path}.base_commission_pct: an offer has either"),
    );
    refuses(
        &offer_version(json!({"commission_flat": null})),
        &format!("{path}.base_commission_pct: an offer has either"),
    );
    refuses(
        &offer_version(json!({"goal_rates": {"signup": {"flat": "5", "pct": "5"}}})),
        &format!("{path}.goal_rates.signup: a rate is either a percentage or flat"),
    );
    refuses(
        &offer_version(json!({"goal_rates": {"": {"flat": "5"}}})),
        &format!("{path}.goal_rates.: it is empty"),
    );
    refuses(
        &offer_version(json!({"commission_max": "10"})),
        &format!("{path}.commission_flat: 12.50 is above commission_max, 10"),
    );
    for days in [0, 731] {
        refuses(
            &offer_version(json!({"cool_off_days": days})),
            &format!("{path}.cool_off_days: {days} is out of range: 1 to 730 is allowed"),
        );
    }
    let twice = offer_version(json!({"goal_rates": {"signup": {"flat": "5"}}}))
        .to_string()
        .replace(
            r#""signup":{"flat":"5"}"#,
            r#""signup":{"flat":"5"},"signup":{"flat":"6"}"#,
        );
    let error = ReferenceFile::parse(&twice).expect_err("twice").to_string();
    let begins = "offers[0].versions[0].goal_rates: goal \"signup\" comes twice";
    assert!(error.starts_with(begins), "{error}");
}

#[test]
fn what_decides_money_is_not_changed_in_passing() {
    let file = offer_version(json!({}));
    let changed = file
        .to_string()
        .replace(r#""brand""#, r#""category":"shoes","brand""#);
    let changed: Value = serde_json::from_str(&changed).expect("JSON");
    refuses(
        &changed,
        "offers[0].category: the offer's category is \"none\", for good",
    );
    let campaign = json!({"tenants": [{"tenant_id": Uuid::from_u128(9), "name": "New",
                                       "versions": []}],
                          "campaigns": [{"campaign_id": Uuid::from_u128(2), "name": "Monsoon",
                                         "tenant_id": Uuid::from_u128(9), "versions": []}]});
    refuses(
        &campaign,
        "campaigns[0].tenant_id: the campaign belongs to tenant",
    );
}

#[test]
fn own_rates_are_for_someone_and_end_after_they_begin() {
    takes(&own_rate(
        json!({"valid_until": "2026-12-31T00:00:00Z", "goal_id": "signup"}),
    ));
    takes(&own_rate(json!({"rate": null})));
    refuses(
        &own_rate(json!({"valid_until": SOON})),
        "overrides[0].valid_until: ",
    );
    refuses(
        &own_rate(json!({"valid_until": "2026-12-31T00:00:00Z", "rate": null})),
        "overrides[0].valid_until: a withdrawn override",
    );
    refuses(
        &own_rate(json!({"offer_id": 9})),
        "overrides[0].offer_id: there is no offer 9",
    );
    refuses(
        &own_rate(json!({"tenant_id": Uuid::from_u128(9)})),
        "overrides[0].tenant_id: there is no tenant 0000",
    );
    let mut forgotten = own_rate(json!({}));
    forgotten["overrides"][0]
        .as_object_mut()
        .expect("an object")
        .remove("rate");
    refuses(&forgotten, "overrides[0]: missing field `rate`");
}
