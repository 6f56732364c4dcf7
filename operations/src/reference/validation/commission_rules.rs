//! Commission rules: values in their ranges, and no rule that does nothing or can never apply.

use std::{
    collections::{BTreeSet, HashMap},
    ops::RangeInclusive,
};

use rust_decimal::Decimal;
use schemas::events::RuleApplication;

use super::Checks;
use crate::reference::file::{Actions, CommissionRule, CommissionRuleSet, Conditions};

/// Each decision carries the rules that may still apply.
const RULES_MAX: usize = 100;
const FACTOR: RangeInclusive<Decimal> =
    Decimal::from_parts(1, 0, 0, false, 6)..=Decimal::ONE_THOUSAND;

impl Checks<'_> {
    /// The platform's commission rules.
    pub fn commission_rules(&mut self) {
        let file = self.file;
        for (index, set) in file.commission_rules.iter().enumerate() {
            let path = format!("commission_rules[{index}]");
            if set.rules.len() > RULES_MAX {
                let what = format!("a set holds at most {RULES_MAX} rules");
                self.refuse(format_args!("{path}.rules"), what);
            }
            for (number, rule) in set.rules.iter().enumerate() {
                let path = format!("{path}.rules[{number}]");
                self.name(format_args!("{path}.name"), &rule.name);
                self.conditions(&format!("{path}.when"), &rule.when);
                self.actions(&path, rule);
            }
            self.one_against_another(&path, set);
        }
    }

    fn conditions(&mut self, path: &str, when: &Conditions) {
        for (index, tenant_id) in when.tenants.iter().enumerate() {
            self.tenant(format_args!("{path}.tenants[{index}]"), *tenant_id);
        }
        for (index, offer_id) in when.offers.iter().enumerate() {
            self.offer(format_args!("{path}.offers[{index}]"), *offer_id);
        }
        for (index, category) in when.categories.iter().enumerate() {
            self.name(format_args!("{path}.categories[{index}]"), category);
        }
        for (index, goal) in when.goals.iter().enumerate() {
            self.name(format_args!("{path}.goals[{index}]"), goal);
        }
        let bounds = [
            ("sale_from", when.sale_from),
            ("sale_below", when.sale_below),
        ];
        for (field, bound) in bounds {
            if let Some(bound) = bound {
                self.amount(format_args!("{path}.{field}"), bound);
            }
        }
        if let Some(below) = when.sale_below {
            // No sale is below zero.
            let from = when.sale_from.unwrap_or_default();
            if below <= from {
                let what = format!("no sale is at least {from} and below {below}: it never holds");
                self.refuse(format_args!("{path}.sale_below"), what);
            }
        }
        let instants = [
            ("converted_from", when.converted_from),
            ("converted_before", when.converted_before),
        ];
        for (field, at) in instants {
            if let Some(at) = at {
                self.date(format_args!("{path}.{field}"), at);
            }
        }
        if let (Some(from), Some(before)) = (when.converted_from, when.converted_before)
            && before <= from
        {
            let what = format!("{before} is not after converted_from, {from}: it never holds");
            self.refuse(format_args!("{path}.converted_before"), what);
        }
        self.offers_in_currency(path, when);
    }

    /// Named offers none of which ever was in the named currency.
    fn offers_in_currency(&mut self, path: &str, when: &Conditions) {
        let Some(currency) = when.currency else {
            return;
        };
        let fits = |offer_id| match self.offers.get(offer_id) {
            Some(currencies) => currencies.contains(&currency),
            // Refused already.
            None => true,
        };
        if !when.offers.is_empty() && !when.offers.iter().any(fits) {
            let what = format!("none of the rule's offers is in {currency}: it never holds");
            self.refuse(format_args!("{path}.currency"), what);
        }
    }

    fn actions(&mut self, path: &str, rule: &CommissionRule) {
        let CommissionRule {
            name: _,
            when,
            then,
        } = rule;
        let Actions {
            replace,
            multiply,
            bonus,
        } = then;
        if replace.is_none() && multiply.is_none() && bonus.is_none() {
            let what = "the rule does nothing: give replace, multiply or bonus";
            self.refuse(format_args!("{path}.then"), what);
        }
        let currencies: BTreeSet<_> = when.currency.into_iter().collect();
        if let Some(rate) = replace {
            self.rate(format_args!("{path}.then.replace"), rate, &currencies);
        }
        if let Some(factor) = multiply.filter(|factor| !FACTOR.contains(factor)) {
            let what = format!("{factor} is out of range: a factor is above 0 and at most 1000");
            self.refuse(format_args!("{path}.then.multiply"), what);
        } else if let Some(factor) = multiply {
            self.amount(format_args!("{path}.then.multiply"), *factor);
        }
        if let Some(bonus) = bonus {
            self.booked(format_args!("{path}.then.bonus"), *bonus, &currencies);
            if bonus.is_zero() {
                self.refuse(format_args!("{path}.then.bonus"), "a bonus is above 0");
            }
        }
        let names_amounts = when.sale_from.is_some()
            || when.sale_below.is_some()
            || bonus.is_some()
            || replace.as_ref().is_some_and(|rate| rate.flat.is_some());
        if names_amounts && when.currency.is_none() {
            let what = "a rule that names an amount names its currency";
            self.refuse(format_args!("{path}.when.currency"), what);
        }
    }

    /// Names that come twice, and rules that another one leaves no effect.
    fn one_against_another(&mut self, path: &str, set: &CommissionRuleSet) {
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (index, rule) in set.rules.iter().enumerate().take(RULES_MAX) {
            if let Some(first) = names.get(rule.name.as_str()) {
                let what = format!("rules[{first}] is called {:?} too", rule.name);
                self.refuse(format_args!("{path}.rules[{index}].name"), what);
            } else {
                names.insert(&rule.name, index);
            }
            let other = match set.application {
                RuleApplication::First => set.rules[..index]
                    .iter()
                    .find(|earlier| covers(&earlier.when, &rule.when))
                    .map(|earlier| ("comes first wherever this one holds", earlier)),
                RuleApplication::All => set.rules[index + 1..]
                    .iter()
                    .find(|later| later.then.replace.is_some() && covers(&later.when, &rule.when))
                    .map(|later| ("replaces what this one does, wherever it holds", later)),
            };
            if let Some((does, other)) = other {
                let what = format!("it has no effect: rule {:?} {does}", other.name);
                self.refuse(format_args!("{path}.rules[{index}]"), what);
            }
        }
    }
}

/// Whether `wide` holds wherever `narrow` does, as far as the conditions themselves tell.
fn covers(wide: &Conditions, narrow: &Conditions) -> bool {
    fn list<T: PartialEq>(wide: &[T], narrow: &[T]) -> bool {
        wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|value| wide.contains(value)))
    }
    fn least<T: PartialOrd>(wide: Option<T>, narrow: Option<T>) -> bool {
        match (wide, narrow) {
            (None, _) => true,
            (Some(wide), Some(narrow)) => wide <= narrow,
            (Some(_), None) => false,
        }
    }
    fn most<T: PartialOrd>(wide: Option<T>, narrow: Option<T>) -> bool {
        match (wide, narrow) {
            (None, _) => true,
            (Some(wide), Some(narrow)) => narrow <= wide,
            (Some(_), None) => false,
        }
    }
    list(&wide.tenants, &narrow.tenants)
        && list(&wide.levels, &narrow.levels)
        && list(&wide.offers, &narrow.offers)
        && list(&wide.categories, &narrow.categories)
        && list(&wide.goals, &narrow.goals)
        && (wide.currency.is_none() || wide.currency == narrow.currency)
        && least(wide.sale_from, narrow.sale_from)
        && most(wide.sale_below, narrow.sale_below)
        && least(wide.converted_from, narrow.converted_from)
        && most(wide.converted_before, narrow.converted_before)
}
