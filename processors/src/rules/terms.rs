//! The terms of a conversion: pinned as of its click, by version and by value, so that a later
//! edit never re-prices history (design section 4, terms).

use std::collections::BTreeMap;

use schemas::{
    Timestamp,
    events::{ClickFacts, CommissionRules, GoalRate, Rate, RateOrigin, Terms},
    reference::{Offer, OfferTerms, PartnerLevel, RateOverride, ReferenceData, ScopedRule},
};

/// The terms of a click, as they stood when it happened.
///
/// They are a function of the click alone, so that all reports of a click agree on them: the
/// network's part is that of the instance that the *offer* comes from, whichever instance a report
/// claims to be from. The share falls back from the campaign to the tenant. `None` where the
/// reference data lacks the tenant, campaign, offer or network.
pub fn terms_as_of_click(click: &ClickFacts, reference: &ReferenceData) -> Option<Terms> {
    let tenant = reference
        .tenants
        .get(&click.tenant_id)?
        .as_of(click.clicked_at);
    let campaign = reference
        .campaigns
        .get(&click.campaign_id)?
        .terms
        .as_of(click.clicked_at);
    let offered = reference.offers.get(&click.offer_id)?;
    let offer = offered.terms.as_of(click.clicked_at);
    let network = reference.networks.get(&offered.network_id)?;
    let overrides = reference
        .overrides
        .get(&(click.tenant_id, click.offer_id))
        .map_or(&[][..], Vec::as_slice);
    let rates = rates(&offer.value, overrides, click.clicked_at);
    Some(Terms {
        tenant_version: tenant.version,
        campaign_version: campaign.version,
        offer_version: offer.version,
        currency: offer.value.currency,
        default_currency: network.default_currency,
        commission_source: offer.value.commission_source,
        commission: rates.commission,
        rate_origin: rates.origin,
        goal_rates: rates.goals,
        commission_rules: rules_of_click(click, offered, tenant.value.level, reference),
        payout_means: network.payout_means,
        commission_max: offer.value.commission_max,
        usual_sale_max: offer.value.usual_sale_max,
        cool_off_days: offer.value.cool_off_days,
        attribution_window_days: campaign.value.attribution_window_days,
        fires_at_sale: network.fires_at_sale,
        txn_id_names_order: offer.value.txn_id_names_order,
        duplicate_orders: offer.value.duplicate_orders,
        user_share: campaign.value.share.unwrap_or(tenant.value.default_share),
        platform_fee: tenant.value.platform_fee,
        platform_fee_flat: tenant.value.platform_fee_flat,
        subsidy: tenant.value.subsidy,
    })
}

/// Our own rates for a click.
struct Rates {
    commission: Rate,
    origin: RateOrigin,
    goals: Vec<GoalRate>,
}

/// A tenant's override comes before anything that the offer says (data dictionary,
/// partner_campaign_overrides); of two, the one for the goal before the one for all goals.
fn rates(offer: &OfferTerms, overrides: &[RateOverride], clicked_at: Timestamp) -> Rates {
    let in_force: BTreeMap<Option<&str>, Rate> = overrides
        .iter()
        .filter_map(|candidate| {
            Some((
                candidate.goal_id.as_deref(),
                in_force(candidate, clicked_at)?,
            ))
        })
        .collect();
    let for_all_goals = in_force.get(&None).copied();
    let mut goals: BTreeMap<&str, (Rate, RateOrigin)> = BTreeMap::new();
    if for_all_goals.is_none() {
        let offered = offer.goal_rates.iter();
        goals.extend(offered.map(|(goal, rate)| (goal.as_str(), (*rate, RateOrigin::Offer))));
    }
    for (goal, rate) in &in_force {
        if let Some(goal) = goal {
            goals.insert(goal, (*rate, RateOrigin::Override));
        }
    }
    Rates {
        commission: for_all_goals.unwrap_or(offer.commission),
        origin: match for_all_goals {
            Some(_) => RateOrigin::Override,
            None => RateOrigin::Offer,
        },
        goals: goals
            .into_iter()
            .map(|(goal, (rate, origin))| GoalRate {
                goal_id: goal.to_owned(),
                rate,
                origin,
            })
            .collect(),
    }
}

/// An override's rate, where it is in force and neither withdrawn nor past its end.
fn in_force(candidate: &RateOverride, clicked_at: Timestamp) -> Option<Rate> {
    let terms = candidate.versions.in_force(clicked_at)?.value;
    terms
        .rate
        .filter(|_| terms.valid_until.is_none_or(|until| clicked_at < until))
}

/// The commission rules in force at the click that its facts don't rule out already; `None` where
/// none is left.
fn rules_of_click(
    click: &ClickFacts,
    offer: &Offer,
    level: PartnerLevel,
    reference: &ReferenceData,
) -> Option<CommissionRules> {
    let set = reference
        .commission_rules
        .as_ref()?
        .in_force(click.clicked_at)?;
    let rules: Vec<_> = set
        .value
        .rules
        .iter()
        .filter(|scoped| concerns(scoped, click, offer, level))
        .map(|scoped| scoped.rule.clone())
        .collect();
    (!rules.is_empty()).then_some(CommissionRules {
        version: set.version,
        application: set.value.application,
        rules,
    })
}

fn concerns(scoped: &ScopedRule, click: &ClickFacts, offer: &Offer, level: PartnerLevel) -> bool {
    fn any_or<T: PartialEq>(allowed: &[T], value: Option<&T>) -> bool {
        allowed.is_empty() || value.is_some_and(|value| allowed.contains(value))
    }
    let currency = offer.terms.as_of(click.clicked_at).value.currency;
    any_or(&scoped.tenants, Some(&click.tenant_id))
        && any_or(&scoped.levels, Some(&level))
        && any_or(&scoped.offers, Some(&click.offer_id))
        && any_or(&scoped.categories, offer.category.as_ref())
        && scoped.currency.is_none_or(|named| named == currency)
}
