//! What a commission comes to (design section 4, money; affiliate-tracking data dictionary,
//! partner_campaign_overrides and commission_rules).
//!
//! Two figures are made of every conversion: by our own rate, and by the network's reported payout.
//! The offer says which of them the commission rests on; the other is shown beside it. Commission
//! rules then change the one that counts. It is rounded once, at the end.
//!
//! Volume tiers and milestones aren't here: they depend on a partner's whole period, and will come
//! as adjustments when a period closes.

use schemas::{
    Amount, Minor, MoneyOverflow, Percentage, Timestamp,
    events::{
        CommissionRule, CommissionSource, PayoutMeans, Rate, RateOrigin, RuleApplication, Terms,
    },
    money::divide_half_even,
};

const MICROS_PER_UNIT: i128 = 1_000_000;

/// What a conversion is rated by. Amounts are in the terms' currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sale<'a> {
    /// Sale amount.
    pub amount: Option<Amount>,
    /// The network's payout: an amount, or a percentage, as the terms say.
    pub payout: Option<Amount>,
    /// The goal.
    pub goal_id: Option<&'a str>,
    /// The conversion's time.
    pub converted_at: Timestamp,
}

/// What a commission came to, and why: the answer to "why did I get 5 and not 10?". Sums are in
/// minor units of the terms' currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rating {
    /// The commission; absent where what it is made of is.
    pub commission: Option<Minor>,
    /// Which of `rated` and `reported` it rests on.
    pub source: CommissionSource,
    /// Our own rate for the goal.
    pub rate: Rate,
    /// Where our own rate is from.
    pub rate_origin: RateOrigin,
    /// By our own rate, before rules.
    pub rated: Option<Minor>,
    /// By the network's payout, before rules.
    pub reported: Option<Minor>,
    /// The rules that changed it, by name, in order.
    pub rules: Vec<String>,
    /// Version of the rule set, where one is pinned.
    pub rules_version: Option<i32>,
}

impl Rating {
    /// Of a conversion that can't be rated: in another currency, or beyond any range.
    pub fn none(terms: &Terms, goal_id: Option<&str>) -> Self {
        let (rate, rate_origin) = own_rate(terms, goal_id);
        Self {
            commission: None,
            source: terms.commission_source,
            rate,
            rate_origin,
            rated: None,
            reported: None,
            rules: Vec::new(),
            rules_version: terms.commission_rules.as_ref().map(|rules| rules.version),
        }
    }
}

/// Rates a conversion.
///
/// # Errors
/// When a sum exceeds 64 bits of minor units, or what exact arithmetic can hold on the way.
pub fn rate(terms: &Terms, sale: Sale<'_>) -> Result<Rating, MoneyOverflow> {
    let exact = Exact {
        micros_per_minor: MICROS_PER_UNIT / i128::from(terms.currency.minor_per_unit()),
    };
    let none = Rating::none(terms, sale.goal_id);
    let rated = exact.by_rate(none.rate, sale.amount);
    let reported = exact.by_payout(terms.payout_means, sale.amount, sale.payout);
    let mut commission = match terms.commission_source {
        CommissionSource::Percentage => rated,
        CommissionSource::Payout => reported,
    };
    let rules = applicable(terms, sale);
    for rule in &rules {
        commission = exact.by_rule(rule, commission, sale.amount)?;
    }
    // Only what counts may fail: the other figure is for show.
    let counted = |sum: Option<Fraction>| sum.map(Fraction::round).transpose();
    let shown = |sum: Option<Fraction>| sum.and_then(|sum| sum.round().ok());
    let (rated, reported) = match terms.commission_source {
        CommissionSource::Percentage => (counted(rated)?, shown(reported)),
        CommissionSource::Payout => (shown(rated), counted(reported)?),
    };
    Ok(Rating {
        commission: counted(commission)?,
        rated,
        reported,
        rules: rules.iter().map(|rule| rule.name.clone()).collect(),
        ..none
    })
}

/// Our own rate for a goal: the goal's, else the one for all.
fn own_rate(terms: &Terms, goal_id: Option<&str>) -> (Rate, RateOrigin) {
    terms
        .goal_rates
        .iter()
        .find(|goal| Some(goal.goal_id.as_str()) == goal_id)
        .map_or((terms.commission, terms.rate_origin), |goal| {
            (goal.rate, goal.origin)
        })
}

/// The rules that hold for a conversion, as far as the set applies them.
fn applicable<'a>(terms: &'a Terms, sale: Sale<'_>) -> Vec<&'a CommissionRule> {
    let Some(set) = &terms.commission_rules else {
        return Vec::new();
    };
    let mut holding = set.rules.iter().filter(|rule| holds(rule, sale));
    match set.application {
        RuleApplication::First => holding.next().into_iter().collect(),
        RuleApplication::All => holding.collect(),
    }
}

/// Whether all conditions of a rule hold. What isn't known meets no condition.
fn holds(rule: &CommissionRule, sale: Sale<'_>) -> bool {
    let goal = rule.goals.is_empty()
        || sale
            .goal_id
            .is_some_and(|goal| rule.goals.iter().any(|named| named == goal));
    goal && rule
        .sale_from
        .is_none_or(|from| sale.amount.is_some_and(|amount| amount >= from))
        && rule
            .sale_below
            .is_none_or(|below| sale.amount.is_some_and(|amount| amount < below))
        && rule
            .converted_from
            .is_none_or(|from| sale.converted_at >= from)
        && rule
            .converted_before
            .is_none_or(|before| sale.converted_at < before)
}

/// Sums in a currency, exact until they are rounded.
#[derive(Clone, Copy)]
struct Exact {
    micros_per_minor: i128,
}

impl Exact {
    fn by_rate(self, rate: Rate, sale: Option<Amount>) -> Option<Fraction> {
        match rate {
            Rate::Percentage(percentage) => sale.map(|sale| {
                Fraction::new(
                    i128::from(sale.micros()) * i128::from(percentage.hundredths()),
                    Percentage::WHOLE * self.micros_per_minor,
                )
            }),
            Rate::Flat(amount) => Some(self.amount(amount)),
        }
    }

    fn by_payout(
        self,
        means: PayoutMeans,
        sale: Option<Amount>,
        payout: Option<Amount>,
    ) -> Option<Fraction> {
        match means {
            PayoutMeans::Amount => payout.map(|payout| self.amount(payout)),
            PayoutMeans::Percentage => sale.zip(payout).map(|(sale, percent)| {
                Fraction::new(
                    i128::from(sale.micros()) * i128::from(percent.micros()),
                    100 * MICROS_PER_UNIT * self.micros_per_minor,
                )
            }),
        }
    }

    fn by_rule(
        self,
        rule: &CommissionRule,
        commission: Option<Fraction>,
        sale: Option<Amount>,
    ) -> Result<Option<Fraction>, MoneyOverflow> {
        let replaced = match rule.replace {
            Some(replacement) => self.by_rate(replacement.rate, sale),
            None => commission,
        };
        let Some(mut sum) = replaced else {
            return Ok(None);
        };
        if let Some(factor) = rule.multiply {
            sum = sum.times(Fraction::new(i128::from(factor.micros()), MICROS_PER_UNIT))?;
        }
        if let Some(bonus) = rule.bonus {
            sum = sum.plus(self.amount(bonus))?;
        }
        Ok(Some(sum))
    }

    fn amount(self, amount: Amount) -> Fraction {
        Fraction::new(i128::from(amount.micros()), self.micros_per_minor)
    }
}

/// A sum in minor units.
#[derive(Clone, Copy)]
struct Fraction {
    numerator: i128,
    /// Positive.
    denominator: i128,
}

impl Fraction {
    const fn new(numerator: i128, denominator: i128) -> Self {
        Self {
            numerator,
            denominator,
        }
    }

    /// In lowest terms, so that a chain of rules stays in range.
    fn reduced(self) -> Self {
        let divisor = greatest_common_divisor(self.numerator, self.denominator);
        Self::new(self.numerator / divisor, self.denominator / divisor)
    }

    fn times(self, other: Self) -> Result<Self, MoneyOverflow> {
        let (left, right) = (self.reduced(), other.reduced());
        let numerator = left.numerator.checked_mul(right.numerator);
        let denominator = left.denominator.checked_mul(right.denominator);
        numerator
            .zip(denominator)
            .map(|(numerator, denominator)| Self::new(numerator, denominator))
            .ok_or(MoneyOverflow)
    }

    fn plus(self, other: Self) -> Result<Self, MoneyOverflow> {
        let (left, right) = (self.reduced(), other.reduced());
        let scaled = (
            left.numerator.checked_mul(right.denominator),
            right.numerator.checked_mul(left.denominator),
        );
        let numerator = match scaled {
            (Some(left), Some(right)) => left.checked_add(right),
            (None, _) | (_, None) => None,
        };
        let denominator = left.denominator.checked_mul(right.denominator);
        numerator
            .zip(denominator)
            .map(|(numerator, denominator)| Self::new(numerator, denominator))
            .ok_or(MoneyOverflow)
    }

    fn round(self) -> Result<Minor, MoneyOverflow> {
        // Rounding doubles the remainder.
        if self.denominator > i128::MAX / 2 {
            return Err(MoneyOverflow);
        }
        Minor::from_i128(divide_half_even(self.numerator, self.denominator))
    }
}

/// By Euclid; at least 1, as the denominator is positive.
fn greatest_common_divisor(numerator: i128, denominator: i128) -> i128 {
    let (mut larger, mut smaller) = (numerator.unsigned_abs(), denominator.unsigned_abs());
    while smaller != 0 {
        (larger, smaller) = (smaller, larger % smaller);
    }
    // A divisor of the positive denominator, which fits.
    i128::try_from(larger).unwrap_or(1)
}

#[cfg(test)]
mod tests {
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
}
