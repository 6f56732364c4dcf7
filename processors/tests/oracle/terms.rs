//! What the stage must write for one report, given the reference data (semantics: what the
//! commission is, signals and score; design section 4, terms).

use std::collections::BTreeMap;

use schemas::{
    OfferId, TenantId, Timestamp,
    events::{
        ClickFacts, ClickSignals, CommissionRule, FraudRules, Rate, RateOrigin, Reported,
        RuleApplication, SelfPurchase, Terms,
    },
    reference::{ReferenceData, ScopedRule},
};

/// The terms of a click, but for the rates of single goals and the commission rules, which are
/// compared by what they come to.
pub fn plain_terms(data: &ReferenceData, click: &ClickFacts) -> Terms {
    let at = click.clicked_at;
    let tenant = data.tenants[&click.tenant_id].as_of(at);
    let campaign = data.campaigns[&click.campaign_id].terms.as_of(at);
    let sold = &data.offers[&click.offer_id];
    let offer = sold.terms.as_of(at);
    let network = &data.networks[&sold.network_id];
    let (commission, rate_origin) = rates(data, click.tenant_id, click.offer_id, at)[&None];
    Terms {
        tenant_version: tenant.version,
        campaign_version: campaign.version,
        offer_version: offer.version,
        currency: offer.value.currency,
        default_currency: network.default_currency,
        commission_source: offer.value.commission_source,
        commission,
        rate_origin,
        goal_rates: Vec::new(),
        commission_rules: None,
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
    }
}

/// The rates of a click, by goal; under no goal, the rate of any other goal and of none.
pub type Rates = BTreeMap<Option<String>, (Rate, RateOrigin)>;

/// Our own rate for every goal that has one of its own, and for the rest.
pub fn rates(data: &ReferenceData, tenant: TenantId, offer: OfferId, at: Timestamp) -> Rates {
    let terms = &data.offers[&offer].terms.as_of(at).value;
    let overrides = data.overrides.get(&(tenant, offer));
    let in_force = |goal: Option<&String>| -> Option<Rate> {
        for own in overrides.into_iter().flatten() {
            if own.goal_id.as_ref() == goal {
                let says = own.versions.in_force(at)?.value;
                let over = says.valid_until.is_some_and(|until| at >= until);
                return says.rate.filter(|_| !over);
            }
        }
        None
    };
    let mut goals: Vec<Option<String>> = vec![None];
    goals.extend(terms.goal_rates.keys().cloned().map(Some));
    goals.extend(
        overrides
            .into_iter()
            .flatten()
            .map(|own| own.goal_id.clone()),
    );
    let mut rates = Rates::new();
    for goal in goals {
        let of_goal = goal.as_ref().and_then(|goal| in_force(Some(goal)));
        let listed = goal.as_ref().and_then(|goal| terms.goal_rates.get(goal));
        let rate = match (of_goal, in_force(None), listed) {
            (Some(rate), _, _) | (None, Some(rate), _) => (rate, RateOrigin::Override),
            (None, None, Some(rate)) => (*rate, RateOrigin::Offer),
            (None, None, None) => (terms.commission, RateOrigin::Offer),
        };
        rates.insert(goal, rate);
    }
    rates
}

/// The commission rules in force that a click leaves open, with their set's version.
pub fn rules(
    data: &ReferenceData,
    tenant: TenantId,
    offer: OfferId,
    at: Timestamp,
) -> Option<(i32, RuleApplication, Vec<CommissionRule>)> {
    let set = data.commission_rules.as_ref()?.in_force(at)?;
    let level = data.tenants[&tenant].as_of(at).value.level;
    let sold = &data.offers[&offer];
    let currency = sold.terms.as_of(at).value.currency;
    let meant = |scoped: &&ScopedRule| {
        let tenants = scoped.tenants.is_empty() || scoped.tenants.contains(&tenant);
        let levels = scoped.levels.is_empty() || scoped.levels.contains(&level);
        let offers = scoped.offers.is_empty() || scoped.offers.contains(&offer);
        let categories = scoped.categories.is_empty()
            || sold
                .category
                .as_ref()
                .is_some_and(|category| scoped.categories.contains(category));
        let currencies = scoped.currency.is_none_or(|meant| meant == currency);
        tenants && levels && offers && categories && currencies
    };
    let rules: Vec<_> = set.value.rules.iter().filter(meant).collect();
    let rules: Vec<_> = rules
        .into_iter()
        .map(|scoped| scoped.rule.clone())
        .collect();
    (!rules.is_empty()).then_some((set.version, set.value.application, rules))
}

/// The fraud rules of a report: the tenant's, else the platform's, else the built-in ones.
pub fn fraud_rules(data: &ReferenceData, tenant: TenantId, received_at: Timestamp) -> FraudRules {
    let own = data.tenant_rules.get(&tenant);
    let own = own.and_then(|versions| versions.in_force(received_at));
    let platform = data.platform_rules.as_ref();
    let platform = platform.and_then(|versions| versions.in_force(received_at));
    let Some(in_force) = own.or(platform) else {
        return FraudRules::default();
    };
    let mut rules = in_force.value.clone();
    rules.version = in_force.version;
    rules
}

/// The score of a report.
pub fn score(
    data: &ReferenceData,
    click: &ClickFacts,
    said: &Reported,
    received_at: Timestamp,
) -> i32 {
    let rules = fraud_rules(data, click.tenant_id, received_at);
    let offer = &data.offers[&click.offer_id];
    let terms = &offer.terms.as_of(click.clicked_at).value;
    let network = &data.networks[&offer.network_id];
    let sale_time = said
        .converted_at
        .or(network.fires_at_sale.then_some(received_at));
    let hasty_ms = i64::from(rules.hasty_sale_seconds) * 1_000;
    let hasty = sale_time.is_some_and(|at| at.millis() - click.clicked_at.millis() < hasty_ms);
    let countries = click.country.zip(said.country);
    let countries = countries.is_some_and(|(clicked, converted)| clicked != converted);
    let in_currency = said.currency.unwrap_or(network.default_currency) == terms.currency;
    let sales = said.sale_amount.zip(terms.usual_sale_max);
    let unusual = in_currency && sales.is_some_and(|(sale, usual)| sale > usual);
    let bit = |bit: ClickSignals| click.signals.contains(bit);
    [
        (countries, rules.country_mismatch_weight),
        (hasty, rules.hasty_sale_weight),
        (bit(ClickSignals::BOT), rules.bot_weight),
        (bit(ClickSignals::DATA_CENTRE), rules.data_centre_weight),
        (bit(ClickSignals::PROXY), rules.proxy_weight),
        (unusual, rules.unusual_sale_weight),
    ]
    .into_iter()
    .filter_map(|(holds, weight)| holds.then_some(weight))
    .sum()
}

/// Which contact of the shopper is a member's, as of the click.
pub fn self_purchase(data: &ReferenceData, click: &ClickFacts) -> Option<SelfPurchase> {
    let shared = data
        .shared_contacts
        .get(&(click.tenant_id, click.user_id?))?;
    (click.clicked_at >= shared.from).then_some(shared.contact)
}
