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
#[path = "rating_tests.rs"]
mod tests;
