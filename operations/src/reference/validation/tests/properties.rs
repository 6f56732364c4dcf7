//! Nothing panics, whatever a file holds.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::plan, NOW, SOON, TENANT, fraud_rules, known, lock, offer_version, own_rate, read,
    refused, rule, tenant_version, with,
};

/// Numbers and texts at the ends of what JSON and our types can hold.
fn leaf() -> impl Strategy<Value = Value> {
    let odd = prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e300),
        json!(-1e-300),
        json!(0.1),
        json!(""),
        json!("\u{0}"),
        json!("INR"),
        json!("JPY"),
        json!("8"),
        json!("-9223372036854.775808"),
        json!("9223372036854.775807"),
        json!("79228162514264337593543950335"),
        json!("0.0000000000000000000000000001"),
        json!("1e18"),
        json!("1970-01-01T00:00:00Z"),
        json!("9999-12-31T23:59:60Z"),
        json!(SOON),
        json!("+262142-12-31"),
        json!("-262143-01-01"),
        json!(TENANT),
        json!("first"),
    ]);
    prop_oneof![
        4 => odd,
        1 => any::<i64>().prop_map(|number| json!(number)),
        1 => any::<f64>().prop_map(|number| json!(number)),
        1 => ".{0,8}".prop_map(Value::from),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "tenants",
        "offers",
        "overrides",
        "fraud_rules",
        "commission_rules",
        "locks",
        "versions",
        "rules",
        "when",
        "then",
        "rate",
        "replace",
        "goal_rates",
        "effective_at",
        "tenant_id",
        "x",
    ]);
    leaf().prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(keys.clone(), inner, 0..6).prop_map(|map| map
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

/// A file that is taken as it stands, with everything in it.
fn whole() -> Value {
    let mut file = tenant_version(json!({"level": "gold", "payout_min": "100"}));
    for part in [
        offer_version(json!({"goal_rates": {"signup": {"flat": "5"}}, "commission_max": "500"})),
        own_rate(json!({"goal_id": "signup", "valid_until": "2027-01-01T00:00:00Z"})),
        fraud_rules(json!({"review_score": 4, "bot_weight": 2})),
        rule(
            json!({"tenants": [TENANT], "levels": ["gold"], "offers": [1], "categories": ["shoes"],
                   "currency": "INR", "goals": ["signup"], "sale_from": "1", "sale_below": "9",
                   "converted_from": SOON, "converted_before": "2027-01-01T00:00:00Z"}),
            json!({"replace": {"flat": "9"}, "multiply": "2", "bonus": "1"}),
        ),
        json!({"locks": [lock("2026-08-31", SOON)]}),
    ] {
        file = with(file, part);
    }
    file
}

/// How many values a tree has that are neither lists nor objects.
fn leaves(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(values) => values.iter_mut().flat_map(leaves).collect(),
        Value::Object(map) => map.values_mut().flat_map(leaves).collect(),
        leaf => vec![leaf],
    }
}

#[test]
fn a_whole_file_is_taken_and_becomes_rows() {
    let file = read(&whole()).expect("of the form");
    let plan = plan(&file, &known(), NOW).expect("taken");
    assert_eq!(plan.further.len(), 6);
    for (_, edition) in &plan.further {
        edition.row().expect("what is valid has a row");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_json_is_refused_or_taken_but_never_panics(json in any_json()) {
        refused(&json);
    }

    /// Close to the form, so that what is checked is reached. What is taken becomes rows.
    #[test]
    fn arbitrary_values_are_refused_or_become_rows(
        changes in prop::collection::vec((any::<prop::sample::Index>(), leaf()), 1..4)
    ) {
        let mut json = whole();
        for (index, value) in changes {
            let mut leaves = leaves(&mut json);
            let index = index.index(leaves.len());
            *leaves[index] = value;
        }
        if let Ok(file) = read(&json) && let Ok(plan) = plan(&file, &known(), NOW) {
            for (_, edition) in &plan.further {
                prop_assert!(edition.row().is_ok(), "{}", edition.path);
            }
        }
    }
}
