//! Random terms: rates, rules, fees and days, at the ends of what may be written.

use proptest::{collection::vec, option::weighted, prelude::*, sample::select};
use schemas::{
    Amount, Percentage,
    events::{
        CommissionRule, CommissionRules, CommissionSource, DuplicatePolicy, GoalRate, PayoutMeans,
        Rate, RateOrigin, Replacement, RuleApplication, Terms,
    },
};

use crate::{
    choices::{currency, some_amount},
    records::at,
};

/// A percentage, the ends included.
pub fn percentage() -> impl Strategy<Value = Percentage> {
    let hundredths = prop_oneof![
        select(vec![800, 0, 10_000, 6_000, 3_333, 1, 9_999]),
        0..=10_000_i32
    ];
    hundredths.prop_map(|hundredths| Percentage::from_hundredths(hundredths).expect("in range"))
}

fn amounts(texts: &'static [&'static str]) -> impl Strategy<Value = Amount> {
    select(texts).prop_map(|text| text.parse().expect("an amount"))
}

/// A rate of either kind.
pub fn rate() -> impl Strategy<Value = Rate> {
    prop_oneof![
        3 => percentage().prop_map(Rate::Percentage),
        1 => amounts(&["50", "0", "0.005", "0.015", "12.345678"]).prop_map(Rate::Flat),
    ]
}

/// One rule of a set.
pub fn rule() -> impl Strategy<Value = CommissionRule> {
    let goals = prop_oneof![
        3 => Just(vec![]),
        1 => Just(vec!["g1".to_owned()]),
        1 => Just(vec!["g1".to_owned(), "g2".to_owned()]),
    ];
    let sale = (
        weighted(0.3, amounts(&["100", "120", "33.333333"])),
        weighted(0.3, amounts(&["100", "120", "1999.005"])),
    );
    let instant = || select(vec![0, 1, -1, 86_400_000, 30 * 86_400_000_i64]);
    let days = (weighted(0.2, instant()), weighted(0.2, instant()));
    let action = (
        weighted(0.4, rate()),
        weighted(
            0.4,
            amounts(&["0", "1.5", "0.333333", "2", "1000000000000"]),
        ),
        weighted(0.4, amounts(&["0", "0.005", "5", "1000000000000"])),
    );
    (goals, sale, days, action).prop_map(|(goals, sale, days, action)| CommissionRule {
        name: "rule".to_owned(),
        goals,
        sale_from: sale.0,
        sale_below: sale.1,
        converted_from: days.0.map(at),
        converted_before: days.1.map(at),
        replace: action.0.map(|rate| Replacement { rate }),
        multiply: action.1,
        bonus: action.2,
    })
}

fn rule_set() -> impl Strategy<Value = CommissionRules> {
    let application = prop_oneof![Just(RuleApplication::First), Just(RuleApplication::All)];
    (application, vec(rule(), 1..=3)).prop_map(|(application, mut rules)| {
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.name = format!("rule {index}");
        }
        CommissionRules {
            version: 1,
            application,
            rules,
        }
    })
}

fn goal_rates() -> impl Strategy<Value = Vec<GoalRate>> {
    weighted(0.4, rate()).prop_map(|rate| {
        let rates = rate.into_iter().map(|rate| GoalRate {
            goal_id: "g1".to_owned(),
            rate,
            origin: RateOrigin::Offer,
        });
        rates.collect()
    })
}

/// Terms of a click.
pub fn drawn_terms() -> impl Strategy<Value = Terms> {
    let money = (
        currency(),
        weighted(0.1, currency()),
        prop_oneof![3 => Just(CommissionSource::Percentage), 1 => Just(CommissionSource::Payout)],
        rate(),
        goal_rates(),
        weighted(0.4, rule_set()),
        prop_oneof![2 => Just(PayoutMeans::Amount), 1 => Just(PayoutMeans::Percentage)],
        some_amount(&["8", "10", "100", "20000", "100000000000"]),
    );
    let days = (
        select(vec![30, 30, 0, 7]),
        select(vec![30, 30, 1, 0]),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.85),
        prop_oneof![4 => Just(DuplicatePolicy::Reject), 1 => Just(DuplicatePolicy::Accept)],
    );
    let parts = (
        percentage(),
        prop_oneof![3 => Just(Percentage::ZERO), 1 => percentage()],
        amounts(&["0", "0", "0.005", "3", "1000000"]),
        amounts(&["0", "0", "0.005", "10"]),
    );
    (money, days, parts).prop_map(|(money, days, parts)| Terms {
        tenant_version: 1,
        campaign_version: 1,
        offer_version: 1,
        currency: money.0,
        default_currency: money.1.unwrap_or(money.0),
        commission_source: money.2,
        commission: money.3,
        rate_origin: RateOrigin::Offer,
        goal_rates: money.4,
        commission_rules: money.5,
        payout_means: money.6,
        commission_max: money.7,
        usual_sale_max: None,
        cool_off_days: days.0,
        attribution_window_days: days.1,
        fires_at_sale: days.2,
        txn_id_names_order: days.3,
        duplicate_orders: days.4,
        user_share: parts.0,
        platform_fee: parts.1,
        platform_fee_flat: parts.2,
        subsidy: parts.3,
    })
}
