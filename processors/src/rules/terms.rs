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

#[cfg(test)]
mod tests {
    use schemas::{
        Currency, Percentage,
        events::{CommissionRule, CommissionSource, DuplicatePolicy},
        reference::{OverrideTerms, Version, Versions},
    };

    use super::*;
    use crate::rules::fixtures::{self, T0};

    fn flat(micros: i64) -> Rate {
        Rate::Flat(schemas::Amount::from_micros(micros))
    }

    fn offer() -> Offer {
        let terms = OfferTerms {
            tracking_url: "https://network.example".to_owned(),
            currency: Currency::INR,
            commission_source: CommissionSource::Percentage,
            commission: Rate::Percentage(Percentage::ZERO),
            goal_rates: [
                ("signup".to_owned(), flat(1)),
                ("trial".to_owned(), flat(2)),
            ]
            .into(),
            commission_max: None,
            usual_sale_max: None,
            cool_off_days: 30,
            txn_id_names_order: true,
            duplicate_orders: DuplicatePolicy::Reject,
        };
        Offer {
            network_id: schemas::NetworkId::new(1),
            category: Some("footwear".to_owned()),
            terms: versions(vec![(0, terms)]),
        }
    }

    /// Versions in force from days after `T0` on.
    fn versions<T>(values: Vec<(i32, T)>) -> Versions<T> {
        let versions = values
            .into_iter()
            .zip(1..)
            .map(|((day, value), version)| Version {
                version,
                effective_at: T0.plus_days(day),
                value,
            });
        Versions::new(versions.collect()).expect("not empty")
    }

    fn override_of(
        goal: Option<&str>,
        terms: Vec<(i32, Option<Rate>)>,
        until: i32,
    ) -> RateOverride {
        let terms = terms.into_iter().map(|(day, rate)| {
            let valid_until = Some(T0.plus_days(until));
            (day, OverrideTerms { rate, valid_until })
        });
        RateOverride {
            goal_id: goal.map(str::to_owned),
            versions: versions(terms.collect()),
        }
    }

    fn of_goals(rates: &Rates) -> Vec<(&str, Rate)> {
        rates
            .goals
            .iter()
            .map(|goal| (goal.goal_id.as_str(), goal.rate))
            .collect()
    }

    #[test]
    fn without_overrides_the_offer_says_what_is_paid() {
        let offer = offer();
        let terms = &offer.terms.as_of(T0).value;
        let rates = rates(terms, &[], T0);
        assert_eq!(
            (rates.commission, rates.origin),
            (terms.commission, RateOrigin::Offer)
        );
        assert_eq!(of_goals(&rates), [("signup", flat(1)), ("trial", flat(2))]);
    }

    #[test]
    fn an_override_of_one_goal_leaves_the_others_as_they_are() {
        let offer = offer();
        let terms = &offer.terms.as_of(T0).value;
        let vip = override_of(Some("trial"), vec![(0, Some(flat(9)))], 10);
        let rates = rates(terms, &[vip], T0);
        assert_eq!(rates.origin, RateOrigin::Offer);
        assert_eq!(of_goals(&rates), [("signup", flat(1)), ("trial", flat(9))]);
    }

    #[test]
    fn an_override_of_all_goals_comes_before_the_offers_goals() {
        let offer = offer();
        let terms = &offer.terms.as_of(T0).value;
        let all = override_of(None, vec![(0, Some(flat(7)))], 10);
        let trial = override_of(Some("trial"), vec![(0, Some(flat(9)))], 10);
        let rates = rates(terms, &[all, trial], T0);
        assert_eq!(
            (rates.commission, rates.origin),
            (flat(7), RateOrigin::Override)
        );
        assert_eq!(of_goals(&rates), [("trial", flat(9))]);
    }

    #[test]
    fn an_override_holds_from_its_version_until_its_end_or_withdrawal() {
        let vip = override_of(
            None,
            vec![(1, Some(flat(7))), (3, None), (5, Some(flat(8)))],
            6,
        );
        let at = |day, millis| in_force(&vip, T0.plus_days(day).plus_millis(millis));
        assert_eq!(at(1, -1), None);
        assert_eq!(at(1, 0), Some(flat(7)));
        assert_eq!(at(3, -1), Some(flat(7)));
        assert_eq!(at(3, 0), None);
        assert_eq!(at(5, 0), Some(flat(8)));
        assert_eq!(at(6, -1), Some(flat(8)));
        assert_eq!(at(6, 0), None);
    }

    #[test]
    fn a_rule_concerns_a_click_if_every_list_is_empty_or_holds_it() {
        let click = fixtures::click(1, None);
        let offer = offer();
        let any = ScopedRule {
            tenants: Vec::new(),
            levels: Vec::new(),
            offers: Vec::new(),
            categories: Vec::new(),
            currency: None,
            rule: CommissionRule::default(),
        };
        let concerned = |rule: &ScopedRule| concerns(rule, &click, &offer, PartnerLevel::Gold);
        assert!(concerned(&any));
        let matching = ScopedRule {
            tenants: vec![click.tenant_id],
            levels: vec![PartnerLevel::Silver, PartnerLevel::Gold],
            offers: vec![click.offer_id],
            categories: vec!["footwear".to_owned()],
            currency: Some(Currency::INR),
            ..any
        };
        assert!(concerned(&matching));
        let others = [
            ScopedRule {
                tenants: vec![schemas::TenantId::new(uuid::Uuid::nil())],
                ..matching.clone()
            },
            ScopedRule {
                levels: vec![PartnerLevel::Bronze],
                ..matching.clone()
            },
            ScopedRule {
                offers: vec![schemas::OfferId::new(404)],
                ..matching.clone()
            },
            ScopedRule {
                categories: vec!["garden".to_owned()],
                ..matching.clone()
            },
            ScopedRule {
                currency: Some(Currency::USD),
                ..matching.clone()
            },
        ];
        for other in &others {
            assert!(!concerned(other), "{other:?}");
        }
    }
}
