//! Commission rules and fraud rules.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{SOON, fraud_rules, refuses, rule, rule_set, takes, with};

/// A set of one rule is refused for one thing, at this field of the rule.
#[track_caller]
fn refuses_rule(when: Value, then: Value, refusal: &str) {
    let path = "commission_rules[0].rules[0]";
    refuses(&rule(when, then), &format!("{path}.{refusal}"));
}

/// Conditions on an offer in rupees.
fn inr(more: Value) -> Value {
    with(json!({"currency": "INR"}), more)
}

#[test]
fn what_a_rule_does_lies_in_its_range() {
    for (then, refusal) in [
        (json!({}), "then: the rule does nothing"),
        (json!({"multiply": "0"}), "then.multiply: 0 is out of range"),
        (json!({"multiply": "-1"}), "then.multiply: -1 is out"),
        (
            json!({"multiply": "1000.5"}),
            "then.multiply: 1000.5 is out",
        ),
        (
            json!({"multiply": "1.0000001"}),
            "then.multiply: 1.0000001 has",
        ),
        (
            json!({"multiply_by": "2"}),
            "then.multiply_by: unknown field",
        ),
        (json!({"bonus": "0"}), "then.bonus: a bonus is above 0"),
        (json!({"bonus": "-1"}), "then.bonus: -1 is negative"),
        (
            json!({"bonus": "0.005"}),
            "then.bonus: 0.005 is no sum of INR",
        ),
        (json!({"replace": {}}), "then.replace: a rate is either"),
        (
            json!({"replace": {"pct": "101"}}),
            "then.replace.pct: 101 is",
        ),
        (
            json!({"replace": {"flat": "-1"}}),
            "then.replace.flat: -1 is",
        ),
    ] {
        refuses_rule(inr(json!({})), then, refusal);
    }
    takes(&rule(
        inr(json!({"sale_from": "1000", "sale_below": "5000", "offers": [1, 2]})),
        json!({"replace": {"pct": "10"}, "multiply": "1.5", "bonus": "20"}),
    ));
    takes(&rule_set("first", json!([])));
}

#[test]
fn an_amount_has_a_currency() {
    for then in [json!({"bonus": "1"}), json!({"replace": {"flat": "1"}})] {
        refuses_rule(
            json!({}),
            then,
            "when.currency: a rule that names an amount",
        );
    }
    for when in [json!({"sale_from": "1"}), json!({"sale_below": "1"})] {
        let twice = json!({"multiply": "2"});
        refuses_rule(when, twice, "when.currency: a rule that names an amount");
    }
}

#[test]
fn a_condition_that_is_unknown_or_never_holds_is_refused() {
    for (when, refusal) in [
        (
            inr(json!({"sale_from": "-1"})),
            "when.sale_from: -1 is negative",
        ),
        (
            inr(json!({"sale_from": "5", "sale_below": "5"})),
            "when.sale_below: no sale",
        ),
        (inr(json!({"sale_below": "0"})), "when.sale_below: no sale"),
        (
            json!({"converted_from": SOON, "converted_before": SOON}),
            "when.converted_before: ",
        ),
        (
            json!({"offers": [9]}),
            "when.offers[0]: there is no offer 9",
        ),
        (
            json!({"tenants": [Uuid::nil()]}),
            "when.tenants[0]: there is no tenant",
        ),
        (
            inr(json!({"offers": [2, 3]})),
            "when.currency: none of the rule's offers",
        ),
        (json!({"goals": [""]}), "when.goals[0]: it is empty"),
        (
            json!({"categories": ["a\u{0}"]}),
            "when.categories[0]: it contains a NUL",
        ),
        (
            json!({"levels": ["gilded"]}),
            "when.levels[0]: unknown variant `gilded`",
        ),
        (
            json!({"is_first_purchase": true}),
            "when.is_first_purchase: unknown field `is_first_purchase`, expected one of",
        ),
    ] {
        refuses_rule(when, json!({"multiply": "2"}), refusal);
    }
}

#[test]
fn a_rule_without_effect_is_refused() {
    let rules = |first: Value, second: Value| {
        let then = json!({"replace": {"pct": "9"}});
        json!([{"name": "one", "when": first, "then": then},
               {"name": "two", "when": second, "then": then}])
    };
    let shadowed = "commission_rules[0].rules[1]: it has no effect: rule \"one\" comes first";
    let replaced = "commission_rules[0].rules[0]: it has no effect: rule \"two\" replaces";
    let gold = json!({"levels": ["gold"], "currency": "INR", "sale_from": "500"});
    let wider = json!({"levels": ["gold", "silver"], "currency": "INR", "sale_from": "100"});
    for wide in [json!({}), wider] {
        refuses(
            &rule_set("first", rules(wide.clone(), gold.clone())),
            shadowed,
        );
        takes(&rule_set("first", rules(gold.clone(), wide.clone())));
        refuses(
            &rule_set("all", rules(gold.clone(), wide.clone())),
            replaced,
        );
        takes(&rule_set("all", rules(wide, gold.clone())));
    }
    // Neither covers the other: an unknown amount meets no condition on amounts.
    let any_amount = json!({"currency": "INR", "sale_from": "0"});
    takes(&rule_set(
        "first",
        rules(any_amount, json!({"currency": "INR"})),
    ));
    let same_name = json!([
        {"name": "one", "when": {"levels": ["gold"]}, "then": {"multiply": "2"}},
        {"name": "one", "when": {"levels": ["silver"]}, "then": {"multiply": "3"}},
    ]);
    refuses(
        &rule_set("first", same_name),
        "commission_rules[0].rules[1].name: rules[0] is called \"one\" too",
    );
}

#[test]
fn fraud_rules_lie_in_their_ranges_and_can_be_reached() {
    for (rules, refusal) in [
        (
            json!({"velocity_claims": 0}),
            "velocity_claims: 0 is out of range: 1 to",
        ),
        (
            json!({"velocity_hours": 721}),
            "velocity_hours: 721 is out of range: 1 to 720",
        ),
        (
            json!({"duplicate_days": 731}),
            "duplicate_days: 731 is out of range: 1 to 730",
        ),
        (
            json!({"bot_weight": -1}),
            "bot_weight: -1 is out of range: 0 to 100",
        ),
        (
            json!({"review_score": 0}),
            "review_score: 0 is out of range",
        ),
        (
            json!({"review_score": 7}),
            "review_score: 7 can never be reached: all weights together make 6",
        ),
        (
            json!({"hasty_sale_seconds": 86_401}),
            "hasty_sale_seconds: 86401 is out of range",
        ),
        (json!({"velocity": 5}), "velocity: unknown field `velocity`"),
        (
            json!({"velocity_claims": 1_000_000_000_000_000_000_i64}),
            "velocity_claims: invalid value",
        ),
    ] {
        refuses(
            &fraud_rules(rules),
            &format!("fraud_rules[0].rules.{refusal}"),
        );
    }
    takes(&fraud_rules(
        json!({"review_score": 6, "velocity_claims": 3}),
    ));
    let unscored = json!({
        "country_mismatch_weight": 0, "hasty_sale_weight": 0, "bot_weight": 0,
        "data_centre_weight": 0, "proxy_weight": 0, "unusual_sale_weight": 0,
    });
    takes(&fraud_rules(unscored));
}
