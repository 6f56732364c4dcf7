//! Rates, payouts and rules, case by case.

use proptest::prelude::*;
use schemas::events::{CommissionRules, GoalRate, Replacement};

use super::*;
use crate::rules::fixtures::{self, T0};

fn amount(text: &str) -> Amount {
    text.parse().expect("an amount")
}

fn percent(text: &str) -> Rate {
    Rate::Percentage(text.parse().expect("a percentage"))
}

fn flat(text: &str) -> Rate {
    Rate::Flat(amount(text))
}

/// The commission in paise of a sale of ₹200 with a payout of 7.5.
fn commission(terms: &Terms) -> Option<i64> {
    let sale = Sale {
        payout: Some(amount("7.5")),
        ..fixtures::sale("200")
    };
    let rating = rate(terms, sale).expect("in range");
    rating.commission.map(Minor::get)
}

fn with_rules(application: RuleApplication, rules: Vec<CommissionRule>) -> Terms {
    let commission_rules = Some(CommissionRules {
        version: 3,
        application,
        rules,
    });
    Terms {
        commission_rules,
        ..fixtures::terms()
    }
}

fn rule(name: &str) -> CommissionRule {
    CommissionRule {
        name: name.to_owned(),
        ..CommissionRule::default()
    }
}

fn bonus(name: &str, text: &str) -> CommissionRule {
    CommissionRule {
        bonus: Some(amount(text)),
        ..rule(name)
    }
}

#[test]
fn a_payout_is_an_amount_or_a_percentage_by_configuration() {
    let mut terms = fixtures::terms();
    terms.commission_source = CommissionSource::Payout;
    assert_eq!(commission(&terms), Some(750));
    terms.payout_means = PayoutMeans::Percentage;
    assert_eq!(commission(&terms), Some(1_500));
    let without = rate(&terms, fixtures::sale("200")).expect("in range");
    assert_eq!(without.commission, None);
}

#[test]
fn the_figure_that_does_not_count_is_shown_beside_the_one_that_does() {
    let sale = Sale {
        payout: Some(amount("7.5")),
        ..fixtures::sale("200")
    };
    let mut terms = fixtures::terms();
    for source in [CommissionSource::Percentage, CommissionSource::Payout] {
        terms.commission_source = source;
        let rating = rate(&terms, sale).expect("in range");
        assert_eq!(rating.rated, Some(Minor::new(1_600)));
        assert_eq!(rating.reported, Some(Minor::new(750)));
    }
}

#[test]
fn a_figure_out_of_range_fails_only_where_it_counts() {
    let mut terms = fixtures::terms();
    terms.payout_means = PayoutMeans::Percentage;
    let sale = Sale {
        payout: Some(amount("1000000000000")),
        ..fixtures::sale("1000000000000")
    };
    let rating = rate(&terms, sale).expect("by our own rate");
    assert_eq!(rating.reported, None);
    terms.commission_source = CommissionSource::Payout;
    assert_eq!(rate(&terms, sale), Err(MoneyOverflow));
}

#[test]
fn a_flat_rate_needs_no_sale_amount() {
    let terms = Terms {
        commission: flat("40"),
        ..fixtures::terms()
    };
    let sale = Sale {
        amount: None,
        ..fixtures::sale("1")
    };
    let rating = rate(&terms, sale).expect("in range");
    assert_eq!(rating.commission, Some(Minor::new(4_000)));
}

#[test]
fn the_goals_own_rate_comes_before_the_one_for_all() {
    let terms = Terms {
        goal_rates: vec![GoalRate {
            goal_id: "signup".to_owned(),
            rate: flat("25"),
            origin: RateOrigin::Override,
        }],
        ..fixtures::terms()
    };
    let of = |goal_id| {
        let sale = Sale {
            goal_id,
            ..fixtures::sale("100")
        };
        let rating = rate(&terms, sale).expect("in range");
        (rating.commission.map(Minor::get), rating.rate_origin)
    };
    assert_eq!(of(Some("signup")), (Some(2_500), RateOrigin::Override));
    assert_eq!(of(Some("purchase")), (Some(800), RateOrigin::Offer));
    assert_eq!(of(None), (Some(800), RateOrigin::Offer));
}

#[test]
fn the_first_rule_that_holds_applies_or_all_that_do() {
    let never = CommissionRule {
        goals: vec!["signup".to_owned()],
        ..bonus("signups", "1000")
    };
    let rules = vec![never, bonus("one", "1"), bonus("two", "2")];
    let first = with_rules(RuleApplication::First, rules.clone());
    assert_eq!(commission(&first), Some(1_700));
    let all = with_rules(RuleApplication::All, rules);
    assert_eq!(commission(&all), Some(1_900));
    let rating = rate(&all, fixtures::sale("200")).expect("in range");
    assert_eq!(rating.rules, ["one", "two"]);
    assert_eq!(rating.rules_version, Some(3));
}

#[test]
fn a_rule_replaces_then_multiplies_then_adds() {
    let everything = CommissionRule {
        replace: Some(Replacement {
            rate: percent("10"),
        }),
        multiply: Some(amount("1.5")),
        bonus: Some(amount("10")),
        ..rule("festival")
    };
    let terms = with_rules(RuleApplication::First, vec![everything]);
    // 10% of 200, times 1.5, and 10 on top.
    assert_eq!(commission(&terms), Some(4_000));
}

#[test]
fn nothing_is_added_to_a_commission_that_is_not_there() {
    let no_sale = Sale {
        amount: None,
        ..fixtures::sale("1")
    };
    let commission = |rule| {
        let terms = with_rules(RuleApplication::First, vec![rule]);
        rate(&terms, no_sale).expect("in range").commission
    };
    assert_eq!(commission(bonus("more", "5")), None);
    let replaced = |rate| CommissionRule {
        replace: Some(Replacement { rate }),
        ..bonus("other", "5")
    };
    assert_eq!(commission(replaced(percent("9"))), None);
    assert_eq!(commission(replaced(flat("9"))), Some(Minor::new(1_400)));
}

#[test]
fn conditions_are_half_open_and_need_what_they_ask_for() {
    let holds_for = |rule: &CommissionRule, sale: Sale<'_>| holds(rule, sale);
    let amounts = CommissionRule {
        sale_from: Some(amount("100")),
        sale_below: Some(amount("200")),
        ..rule("amounts")
    };
    for (sale, expected) in [
        ("99.999999", false),
        ("100", true),
        ("199.999999", true),
        ("200", false),
    ] {
        assert_eq!(
            holds_for(&amounts, fixtures::sale(sale)),
            expected,
            "{sale}"
        );
    }
    let no_sale = Sale {
        amount: None,
        ..fixtures::sale("1")
    };
    assert!(!holds_for(&amounts, no_sale));
    let below_only = CommissionRule {
        sale_from: None,
        ..amounts
    };
    assert!(!holds_for(&below_only, no_sale));
    let dates = CommissionRule {
        converted_from: Some(T0),
        converted_before: Some(T0.plus_days(1)),
        ..rule("dates")
    };
    let day = 24 * 3_600_000;
    for (millis, expected) in [(-1, false), (0, true), (day - 1, true), (day, false)] {
        let sale = Sale {
            converted_at: T0.plus_millis(millis),
            ..fixtures::sale("1")
        };
        assert_eq!(holds_for(&dates, sale), expected, "{millis}");
    }
}

#[test]
fn the_commission_is_rounded_once_at_the_end() {
    // 8% of 0.19 is 1.52 paise; rounded first, three times that would be 6.
    let triple = CommissionRule {
        multiply: Some(amount("3")),
        ..rule("triple")
    };
    let terms = with_rules(RuleApplication::First, vec![triple]);
    let rating = rate(&terms, fixtures::sale("0.19")).expect("in range");
    assert_eq!(rating.commission, Some(Minor::new(5)));
}

#[test]
fn a_long_chain_of_rules_stays_exact() {
    let half_as_much_again = CommissionRule {
        multiply: Some(amount("1.5")),
        bonus: Some(amount("0.5")),
        ..rule("again")
    };
    let terms = with_rules(RuleApplication::All, vec![half_as_much_again; 9]);
    // x → 1.5 x + 0.5, nine times from 16: 17 × 1.5^9 − 1 = 652.53…
    assert_eq!(commission(&terms), Some(65_254));
}

#[test]
fn what_cannot_be_rounded_is_out_of_range() {
    let of = |denominator| Fraction::new(1, denominator).round();
    assert_eq!(of(i128::MAX / 2), Ok(Minor::ZERO));
    assert_eq!(of(i128::MAX / 2 + 1), Err(MoneyOverflow));
    assert_eq!(of(i128::MAX), Err(MoneyOverflow));
}

proptest! {
    #[test]
    fn a_chain_of_rules_stays_exact_or_says_that_it_left_the_range(
        sale in 0_i64..=1_000_000_000_000_000_000,
        factors in prop::collection::vec(1_i64..=1_000_000_000, 0..12),
        bonuses in prop::collection::vec(0_i64..=1_000_000_000_000, 0..12),
    ) {
        let rules = factors.iter().zip(bonuses.iter().chain(std::iter::repeat(&0)));
        let rules = rules.map(|(factor, bonus)| CommissionRule {
            multiply: Some(Amount::from_micros(*factor)),
            bonus: Some(Amount::from_micros(*bonus)),
            ..rule("any")
        });
        let terms = with_rules(RuleApplication::All, rules.collect());
        let sale = Sale { amount: Some(Amount::from_micros(sale)), ..fixtures::sale("1") };
        if let Ok(rating) = rate(&terms, sale) {
            prop_assert!(rating.commission.is_some_and(|sum| sum >= Minor::ZERO));
        }
    }
}
