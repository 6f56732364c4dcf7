//! A campaign's terms as ours, or why they can't be. Pure.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use schemas::{
    Amount, Country, Currency, OfferId, Percentage, Timestamp, events::Rate, reference::OfferTerms,
};

use crate::{
    reference::file,
    trackier::campaign::{Campaign, Payout},
};

/// Stands in a tracking link where the click token goes.
const CLICK_TOKEN: &str = "p1={click_token}";

/// A campaign as an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) offer_id: OfferId,
    pub(super) brand: String,
    pub(super) category: Option<String>,
    pub(super) terms: NetworkTerms,
}

/// The part of an offer's terms that the network sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NetworkTerms {
    pub(super) tracking_url: String,
    pub(super) currency: Currency,
    pub(super) commission: Rate,
    pub(super) goal_rates: BTreeMap<String, Rate>,
}

impl NetworkTerms {
    /// With what the network doesn't say.
    pub(super) fn over(&self, rest: &OfferTerms) -> OfferTerms {
        OfferTerms {
            tracking_url: self.tracking_url.clone(),
            currency: self.currency,
            commission: self.commission,
            goal_rates: self.goal_rates.clone(),
            ..rest.clone()
        }
    }
}

/// What a payout means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Percentage,
    Flat,
}

impl Meaning {
    /// Of a campaign's model.
    fn of_model(model: &str) -> Result<Self, String> {
        match model.to_ascii_lowercase().as_str() {
            "cps" => Ok(Self::Percentage),
            "cpa" | "cpi" | "cpl" | "cpr" => Ok(Self::Flat),
            "cpc" | "cpm" | "cpv" => Err(format!("it pays for traffic, not for sales: {model}")),
            _ => Err(format!("its model isn't known: {model:?}")),
        }
    }

    /// Of a goal, which may have a model of its own.
    fn of_goal(model: Option<&str>, campaign: Self) -> Result<Self, String> {
        match model.map(str::to_ascii_lowercase).as_deref() {
            None | Some("") => Ok(campaign),
            Some("fixed") => Ok(Self::Flat),
            Some("percentage" | "percent") => Ok(Self::Percentage),
            Some(other) => Self::of_model(other),
        }
    }

    fn rate(self, payout: Decimal) -> Result<Rate, String> {
        let unusable = || format!("its payout can't be ours: {payout}");
        let digits = payout.normalize().to_string();
        match self {
            Self::Percentage => digits.parse().map(Rate::Percentage).map_err(|_| unusable()),
            Self::Flat => match Amount::from_decimal(payout) {
                Ok(amount) if !amount.negative() => Ok(Rate::Flat(amount)),
                Ok(_) | Err(_) => Err(unusable()),
            },
        }
    }
}

/// Reads a campaign.
pub(super) fn listed(campaign: &Campaign, country: Country) -> Result<Listed, String> {
    let number = i32::try_from(campaign.id).ok().filter(|number| *number > 0);
    let number = number.ok_or_else(|| format!("its number can't be ours: {}", campaign.id))?;
    let meaning = Meaning::of_model(&campaign.model)?;
    // Without a currency, payouts are in US dollars: Trackier says so.
    let currency = campaign.currency.as_deref().filter(|code| !code.is_empty());
    let currency = currency.unwrap_or("USD");
    let currency = currency
        .parse()
        .map_err(|_| format!("its currency isn't known: {currency:?}"))?;
    let link = campaign.tracking_link.as_deref();
    let commission = meaning.rate(payout(&campaign.payouts, country)?)?;
    let mut goal_rates = BTreeMap::new();
    for goal in &campaign.goals {
        let rate = Meaning::of_goal(goal.payout_model.as_deref(), meaning)
            .and_then(|meaning| meaning.rate(payout(&goal.payouts, country)?))
            .map_err(|reason| format!("goal {}: {reason}", goal.id))?;
        goal_rates.insert(goal.id.clone(), rate);
    }
    let category = campaign
        .categories
        .first()
        .map(|name| name.trim().to_owned());
    Ok(Listed {
        offer_id: OfferId::new(number),
        brand: campaign.title.trim().to_owned(),
        category: category.filter(|name| !name.is_empty()),
        terms: NetworkTerms {
            tracking_url: tracking_url(link.ok_or("it has no tracking link")?)?,
            currency,
            commission,
            goal_rates,
        },
    })
}

/// The payout that counts for a country. What is paid for some cities or parameters only can't be
/// told from our reports, and is left out.
fn payout(payouts: &[Payout], country: Country) -> Result<Decimal, String> {
    let narrow = |payout: &&Payout| {
        let Payout {
            city,
            region,
            allowed_values,
            ..
        } = payout;
        ![city, region, allowed_values]
            .iter()
            .all(|list| list.is_empty())
    };
    let within = |payout: &&Payout, place: &str| {
        let mut geo = payout.geo.iter();
        geo.any(|one| one.trim().eq_ignore_ascii_case(place))
    };
    let country = country.to_string();
    let general = || payouts.iter().filter(|payout| !narrow(payout));
    let here = general().filter(|payout| within(payout, &country));
    let mut amounts: BTreeSet<Decimal> = here.map(|payout| payout.payout).collect();
    if amounts.is_empty() {
        let everywhere = general().filter(|one| one.geo.is_empty() || within(one, "ALL"));
        amounts.extend(everywhere.map(|payout| payout.payout));
    }
    let amounts: Vec<Decimal> = amounts.into_iter().collect();
    match amounts.as_slice() {
        [] => Err(format!("there is no payout for {country}")),
        [only] => Ok(*only),
        [_, _, ..] => {
            let amounts: Vec<String> = amounts.iter().map(Decimal::to_string).collect();
            let amounts = amounts.join(", ");
            Err(format!(
                "there are several payouts for {country}: {amounts}"
            ))
        }
    }
}

/// A tracking link with our click token as `p1`, and without placeholders that nobody fills.
fn tracking_url(link: &str) -> Result<String, String> {
    let link = link.trim();
    if !(link.starts_with("https://") || link.starts_with("http://")) {
        return Err("its tracking link is no web address".to_owned());
    }
    let (base, query) = link.split_once('?').unwrap_or((link, ""));
    let pairs = query.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        !pair.is_empty() && name != "p1" && !pair.contains('{')
    });
    let pairs: Vec<&str> = pairs.chain([CLICK_TOKEN]).collect();
    Ok(format!("{base}?{}", pairs.join("&")))
}

/// Terms as a reference file has them.
pub(super) fn version(terms: &OfferTerms, effective_at: Timestamp) -> file::OfferVersion {
    let commission = rate(terms.commission);
    let goal_rates = terms.goal_rates.iter();
    file::OfferVersion {
        effective_at,
        tracking_url: terms.tracking_url.clone(),
        currency: terms.currency,
        commission_source: terms.commission_source,
        base_commission_pct: commission.pct,
        commission_flat: commission.flat,
        goal_rates: goal_rates
            .map(|(goal, own)| (goal.clone(), rate(*own)))
            .collect(),
        commission_max: terms.commission_max.map(Amount::to_decimal),
        usual_sale_max: terms.usual_sale_max.map(Amount::to_decimal),
        cool_off_days: terms.cool_off_days,
        txn_id_names_order: terms.txn_id_names_order,
        duplicate_orders: terms.duplicate_orders,
    }
}

fn rate(rate: Rate) -> file::Rate {
    match rate {
        Rate::Percentage(percentage) => file::Rate {
            pct: Some(in_percent(percentage)),
            flat: None,
        },
        Rate::Flat(amount) => file::Rate {
            pct: None,
            flat: Some(amount.to_decimal()),
        },
    }
}

fn in_percent(percentage: Percentage) -> Decimal {
    Decimal::new(percentage.hundredths().into(), 2)
}
