//! What a conversion earns, and who gets what of it (semantics: what the commission is, the money
//! of one conversion).

use schemas::{
    Amount, Currency,
    events::{CommissionRule, CommissionSource, PayoutMeans, Rate, RuleApplication, Split, Terms},
};

use crate::fraction::Fraction;

/// What a price is made of: the folded fields of a claim, or those of a single report.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The sale.
    pub sale: Option<Amount>,
    /// The network's payout.
    pub payout: Option<Amount>,
    /// Whether an amount was in another currency than the offer's.
    pub foreign: bool,
    /// The goal that was reached.
    pub goal: Option<String>,
    /// The conversion's time, in milliseconds.
    pub converted_at: i64,
}

/// Who gets what, in units of the offer's currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    pub commission: Fraction,
    pub subsidy: Fraction,
    pub fee: Fraction,
    pub user: Fraction,
    pub creator: Fraction,
}

impl Parts {
    /// Nothing for anybody.
    pub fn nothing() -> Self {
        Self {
            commission: Fraction::zero(),
            subsidy: Fraction::zero(),
            fee: Fraction::zero(),
            user: Fraction::zero(),
            creator: Fraction::zero(),
        }
    }

    /// The same, from a record.
    pub fn recorded(split: &Split) -> Self {
        Self {
            commission: Fraction::amount(split.commission),
            subsidy: Fraction::amount(split.subsidy),
            fee: Fraction::amount(split.fee),
            user: Fraction::amount(split.user),
            creator: Fraction::amount(split.creator),
        }
    }

    /// Whether nobody loses and nothing is left over.
    pub fn add_up(&self) -> bool {
        let parts = [
            &self.commission,
            &self.subsidy,
            &self.fee,
            &self.user,
            &self.creator,
        ];
        parts.into_iter().all(|part| *part >= Fraction::zero())
            && self.user.plus(&self.creator).plus(&self.fee) == self.commission.plus(&self.subsidy)
    }
}

/// What the terms make of the facts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Price {
    /// The split; none where the commission can't be told.
    pub parts: Option<Parts>,
    /// The rules that applied, by name.
    pub rules: Vec<String>,
    /// There isn't what a commission is made of.
    pub missing: bool,
    /// Above the offer's cap, the sale, or any range.
    pub too_high: bool,
}

/// Decimal places of a currency, of those that the tests use and a few more.
pub fn places(currency: Currency) -> u32 {
    match currency.to_string().as_str() {
        "JPY" | "KRW" | "VND" | "CLP" | "ISK" => 0,
        "KWD" | "BHD" | "TND" | "OMR" | "JOD" => 3,
        _ => 2,
    }
}

/// The largest amount that a record can carry.
fn range() -> Fraction {
    Fraction::ratio(i64::MAX, 1_000_000)
}

/// The price of a conversion.
pub fn price(terms: &Terms, facts: &Facts) -> Price {
    if facts.foreign {
        return Price::default();
    }
    let places = places(terms.currency);
    let sale = facts.sale.map(Fraction::amount);
    let reported = reported(terms, facts, sale.as_ref());
    let more_than_the_sale = match (&reported, &sale) {
        (Some(reported), Some(sale)) => reported.half_even(places) > sale.half_even(places),
        (None | Some(_), None) | (None, Some(_)) => false,
    };
    let implausible = terms.commission_source == CommissionSource::Payout && more_than_the_sale;
    let base = match terms.commission_source {
        CommissionSource::Percentage => rated(own_rate(terms, facts), sale.as_ref()),
        CommissionSource::Payout => reported,
    };
    let (exact, rules) = by_the_rules(terms, facts, sale.as_ref(), base);
    let Some(exact) = exact else {
        return Price {
            parts: None,
            rules,
            missing: true,
            too_high: implausible,
        };
    };
    let parts = divide(terms, &exact);
    let beyond = parts.commission.plus(&parts.subsidy) > range();
    let capped = terms
        .commission_max
        .is_some_and(|max| parts.commission > Fraction::amount(max));
    Price {
        parts: (!beyond).then_some(parts),
        rules,
        missing: false,
        too_high: implausible || beyond || capped,
    }
}

/// The rate for the claim's goal, else the one for any.
fn own_rate(terms: &Terms, facts: &Facts) -> Rate {
    for goal_rate in &terms.goal_rates {
        if facts.goal.as_ref() == Some(&goal_rate.goal_id) {
            return goal_rate.rate;
        }
    }
    terms.commission
}

fn rated(rate: Rate, sale: Option<&Fraction>) -> Option<Fraction> {
    match rate {
        Rate::Flat(amount) => Some(Fraction::amount(amount)),
        Rate::Percentage(percentage) => {
            sale.map(|sale| sale.times(&Fraction::percentage(percentage)))
        }
    }
}

fn reported(terms: &Terms, facts: &Facts, sale: Option<&Fraction>) -> Option<Fraction> {
    let payout = Fraction::amount(facts.payout?);
    match terms.payout_means {
        PayoutMeans::Amount => Some(payout),
        PayoutMeans::Percentage => {
            sale.map(|sale| sale.times(&payout).times(&Fraction::ratio(1, 100)))
        }
    }
}

/// The commission after the rules, and the names of those that applied.
fn by_the_rules(
    terms: &Terms,
    facts: &Facts,
    sale: Option<&Fraction>,
    base: Option<Fraction>,
) -> (Option<Fraction>, Vec<String>) {
    let mut commission = base;
    let mut applied = Vec::new();
    let Some(set) = &terms.commission_rules else {
        return (commission, applied);
    };
    for rule in &set.rules {
        if !holds(rule, facts) {
            continue;
        }
        applied.push(rule.name.clone());
        if let Some(replacement) = rule.replace {
            commission = rated(replacement.rate, sale);
        }
        if let Some(factor) = rule.multiply {
            commission = commission.map(|sum| sum.times(&Fraction::amount(factor)));
        }
        if let Some(bonus) = rule.bonus {
            commission = commission.map(|sum| sum.plus(&Fraction::amount(bonus)));
        }
        if set.application == RuleApplication::First {
            break;
        }
    }
    (commission, applied)
}

/// Whether all conditions hold; one on something that isn't known doesn't.
fn holds(rule: &CommissionRule, facts: &Facts) -> bool {
    let goal = rule.goals.is_empty()
        || facts
            .goal
            .as_ref()
            .is_some_and(|goal| rule.goals.contains(goal));
    let sale = facts.sale;
    let from = rule
        .sale_from
        .is_none_or(|from| sale.is_some_and(|sale| sale >= from));
    let below = rule
        .sale_below
        .is_none_or(|below| sale.is_some_and(|sale| sale < below));
    let since = rule
        .converted_from
        .is_none_or(|from| facts.converted_at >= from.millis());
    let before = rule
        .converted_before
        .is_none_or(|before| facts.converted_at < before.millis());
    goal && from && below && since && before
}

/// Commission, fee and user's part are rounded once each; the creator gets the rest.
pub fn divide(terms: &Terms, exact: &Fraction) -> Parts {
    let places = places(terms.currency);
    let commission = exact.half_even(places);
    let subsidy = Fraction::amount(terms.subsidy).half_even(places);
    let payable = commission.plus(&subsidy);
    let fee = Fraction::percentage(terms.platform_fee)
        .times(&payable)
        .plus(&Fraction::amount(terms.platform_fee_flat))
        .half_even(places)
        .min(payable.clone());
    let left = payable.less(&fee);
    let user = Fraction::percentage(terms.user_share)
        .times(&left)
        .half_even(places);
    let creator = left.less(&user);
    Parts {
        commission,
        subsidy,
        fee,
        user,
        creator,
    }
}
