//! The ways by which money leaves, as far as a decision depends on them. Pure.
//!
//! What a rail is able to do is data here; how it is spoken to is an adapter in
//! `sinks/payouts` ([ADR 0022](../../../docs/adr/0022-a-rail-is-data-and-a-consumer.md)).

use schemas::{Currency, Minor};

/// What a payout run has to know of a rail that is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RailTerms {
    /// Its name, which payouts carry as their method.
    pub name: &'static str,
    /// The one currency that it pays.
    pub currency: Currency,
    /// Whether it refuses parts of a unit; what is left over stays in the balance.
    pub whole_units: bool,
    /// The least that it transfers at once.
    pub transfer_min: Minor,
    /// The most that it transfers at once: more goes in several transfers.
    pub transfer_max: Minor,
}

/// By which rail a shopper is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RailChoice<'a> {
    /// This one.
    Rail(&'a RailTerms),
    /// They chose one that isn't configured here: they are not paid by another behind their back.
    NotConfigured,
    /// Their rail doesn't pay the balance's currency.
    OtherCurrency,
}

/// The rail of a shopper who chose `method`; without a choice, the first that pays the currency.
pub fn choose<'a>(
    rails: &'a [RailTerms],
    method: Option<&str>,
    currency: Currency,
) -> RailChoice<'a> {
    let Some(method) = method else {
        let paying = rails.iter().find(|rail| rail.currency == currency);
        return paying.map_or(RailChoice::OtherCurrency, RailChoice::Rail);
    };
    let mut named = rails.iter().filter(|rail| rail.name == method).peekable();
    if named.peek().is_none() {
        return RailChoice::NotConfigured;
    }
    named
        .find(|rail| rail.currency == currency)
        .map_or(RailChoice::OtherCurrency, RailChoice::Rail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rail(name: &'static str, currency: Currency) -> RailTerms {
        RailTerms {
            name,
            currency,
            whole_units: true,
            transfer_min: Minor::new(100),
            transfer_max: Minor::new(1_000_000),
        }
    }

    #[test]
    fn a_shopper_is_paid_by_the_rail_that_they_chose_or_not_at_all() {
        let rails = [rail("agcod", Currency::INR), rail("bank", Currency::USD)];
        let chosen = |method, currency| choose(&rails, method, currency);
        assert_eq!(chosen(None, Currency::INR), RailChoice::Rail(&rails[0]));
        assert_eq!(chosen(None, Currency::USD), RailChoice::Rail(&rails[1]));
        assert_eq!(
            chosen(Some("bank"), Currency::USD),
            RailChoice::Rail(&rails[1])
        );
        assert_eq!(
            chosen(Some("bank"), Currency::INR),
            RailChoice::OtherCurrency
        );
        assert_eq!(
            chosen(Some("paystack"), Currency::INR),
            RailChoice::NotConfigured
        );
        assert_eq!(choose(&[], None, Currency::INR), RailChoice::OtherCurrency);
    }
}
