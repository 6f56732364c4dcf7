//! Where scenarios happen: two creators, three merchants' offers, two networks. A scenario changes
//! what it is about, and says so.

use std::collections::{BTreeMap, HashMap};

use schemas::{
    Amount, CampaignId, Currency, LinkId, NetworkId, OfferId, Percentage, TenantId, Timestamp,
    UserId,
    events::{
        CommissionRule, CommissionSource, DuplicatePolicy, FraudRules, PayoutMeans, Rate,
        RuleApplication, SelfPurchase,
    },
    reference::{
        Campaign, CampaignTerms, CommissionRuleSet, Link, Network, Offer, OfferTerms,
        OverrideTerms, PartnerLevel, RateOverride, ReferenceData, ScopedRule, SharedContact,
        TenantSettings, Version, Versions,
    },
    token::TokenKeys,
};
use uuid::Uuid;

use crate::moment::Moment;

/// The creator whose link is clicked unless a scenario says otherwise.
pub const CREATOR: u128 = 1;
/// The offer, likewise: of network 1.
pub const OFFER: i32 = 1;
/// Another merchant's offer, of the same network.
pub const OTHER_OFFER: i32 = 2;
/// A merchant's offer by network 2, which sends its reports at the sale.
pub const OFFER_AT_SALE: i32 = 3;

pub fn tenant(number: u128) -> TenantId {
    TenantId::new(Uuid::from_u128(number))
}

pub fn campaign(tenant: u128) -> CampaignId {
    CampaignId::new(Uuid::from_u128(100 + tenant))
}

pub fn shopper(number: u128) -> UserId {
    UserId::new(Uuid::from_u128(1_000 + number))
}

/// A creator's link to an offer.
pub fn link(tenant: u128, offer: i32) -> LinkId {
    let offer = u128::try_from(offer).expect("offers count from one");
    LinkId::new(Uuid::from_u128(10 * tenant + offer))
}

pub fn amount(text: &str) -> Amount {
    text.parse().expect("an amount")
}

pub fn percent(text: &str) -> Percentage {
    text.parse().expect("a percentage")
}

pub fn percentage(text: &str) -> Rate {
    Rate::Percentage(percent(text))
}

pub fn flat(text: &str) -> Rate {
    Rate::Flat(amount(text))
}

pub fn currency(code: &str) -> Currency {
    code.parse().expect("a currency")
}

/// The keys that open tokens: the current one, which seals, and the one before it.
pub fn keys() -> TokenKeys {
    TokenKeys::new(&[(2, [2; 32]), (1, [1; 32])]).expect("a ring")
}

fn versions<T>(versions: Vec<(Timestamp, T)>) -> Versions<T> {
    let numbered = (1..)
        .zip(versions)
        .map(|(version, (effective_at, value))| Version {
            version,
            effective_at,
            value,
        });
    Versions::new(numbered.collect()).expect("there is a first version")
}

/// Long before any scenario begins.
const EVER: Timestamp = Timestamp::from_millis(0);

fn only<T>(value: T) -> Versions<T> {
    versions(vec![(EVER, value)])
}

/// Changes what has been in force ever since.
fn edit<T: Clone>(all: &mut Versions<T>, change: impl FnOnce(&mut T)) {
    let mut value = all.as_of(EVER).value.clone();
    change(&mut value);
    *all = only(value);
}

/// Adds a second version.
fn edit_from<T: Clone>(all: &mut Versions<T>, from: &'static str, change: impl FnOnce(&mut T)) {
    let first = all.as_of(EVER).value.clone();
    let mut second = first.clone();
    change(&mut second);
    *all = versions(vec![(EVER, first), (Moment::new(from).at(), second)]);
}

/// The reference data of a scenario.
#[derive(Debug, Clone)]
pub struct World(pub ReferenceData);

impl World {
    /// 8% commission in rupees, 60% of it to the shopper, 30 days of cool-off and of window, no
    /// fee, the built-in fraud rules.
    pub fn new() -> Self {
        let pairs = [1, 2].map(|tenant| (1..=3).map(move |offer| (tenant, offer)));
        Self(ReferenceData {
            tenants: HashMap::from([1, 2].map(|number| (tenant(number), only(settings())))),
            campaigns: HashMap::from([1, 2].map(|number| (campaign(number), campaign_of(number)))),
            offers: HashMap::from([
                (OfferId::new(OFFER), offer(1)),
                (OfferId::new(OTHER_OFFER), offer(1)),
                (OfferId::new(OFFER_AT_SALE), offer(2)),
            ]),
            links: pairs
                .into_iter()
                .flatten()
                .map(|(tenant, offer)| (link(tenant, offer), link_to(tenant, offer)))
                .collect(),
            networks: HashMap::from([
                (NetworkId::new(1), network(false)),
                (NetworkId::new(2), network(true)),
            ]),
            platform_rules: Some(only(FraudRules::default())),
            ..ReferenceData::default()
        })
    }

    fn offer_terms(&mut self, number: i32) -> &mut Versions<OfferTerms> {
        let offer = self.0.offers.get_mut(&OfferId::new(number));
        &mut offer.expect("an offer of the world").terms
    }

    /// Changes the offer's terms.
    pub fn offer(&mut self, change: impl FnOnce(&mut OfferTerms)) {
        edit(self.offer_terms(OFFER), change);
    }

    /// Changes the offer's terms from an instant on.
    pub fn offer_from(&mut self, from: &'static str, change: impl FnOnce(&mut OfferTerms)) {
        edit_from(self.offer_terms(OFFER), from, change);
    }

    /// Sets what the offer sells.
    pub fn category(&mut self, category: &str) {
        let offer = self.0.offers.get_mut(&OfferId::new(OFFER));
        offer.expect("an offer of the world").category = Some(category.to_owned());
    }

    fn campaign_terms(&mut self) -> &mut Versions<CampaignTerms> {
        let campaign = self.0.campaigns.get_mut(&campaign(CREATOR));
        &mut campaign.expect("a campaign of the world").terms
    }

    /// Changes the campaign's terms.
    pub fn campaign(&mut self, change: impl FnOnce(&mut CampaignTerms)) {
        edit(self.campaign_terms(), change);
    }

    /// Changes the campaign's terms from an instant on.
    pub fn campaign_from(&mut self, from: &'static str, change: impl FnOnce(&mut CampaignTerms)) {
        edit_from(self.campaign_terms(), from, change);
    }

    fn settings(&mut self) -> &mut Versions<TenantSettings> {
        let settings = self.0.tenants.get_mut(&tenant(CREATOR));
        settings.expect("a creator of the world")
    }

    /// Changes the creator's settings.
    pub fn creator(&mut self, change: impl FnOnce(&mut TenantSettings)) {
        edit(self.settings(), change);
    }

    /// Changes the creator's settings from an instant on.
    pub fn creator_from(&mut self, from: &'static str, change: impl FnOnce(&mut TenantSettings)) {
        edit_from(self.settings(), from, change);
    }

    /// Changes the offer's network.
    pub fn network(&mut self, change: impl FnOnce(&mut Network)) {
        let network = self.0.networks.get_mut(&NetworkId::new(1));
        change(network.expect("a network of the world"));
    }

    /// Changes the platform's fraud rules.
    pub fn fraud_rules(&mut self, change: impl FnOnce(&mut FraudRules)) {
        let rules = self.0.platform_rules.as_mut();
        edit(rules.expect("the world has rules"), change);
    }

    /// Changes the platform's fraud rules from an instant on.
    pub fn fraud_rules_from(&mut self, from: &'static str, change: impl FnOnce(&mut FraudRules)) {
        let rules = self.0.platform_rules.as_mut();
        edit_from(rules.expect("the world has rules"), from, change);
    }

    /// Gives the creator fraud rules of its own.
    pub fn creators_fraud_rules(&mut self, change: impl FnOnce(&mut FraudRules)) {
        let mut rules = FraudRules::default();
        change(&mut rules);
        self.0.tenant_rules.insert(tenant(CREATOR), only(rules));
    }

    /// Locks the creator's books, at an instant, for conversions before another.
    pub fn lock(&mut self, at: &'static str, before: &'static str) {
        let lock = vec![(Moment::new(at).at(), Moment::new(before).at())];
        self.0.locks.insert(tenant(CREATOR), versions(lock));
    }

    /// Gives the creator a rate of its own for the offer: for a goal or all, as versions.
    pub fn own_rate(&mut self, goal: Option<&str>, terms: Vec<(&'static str, OverrideTerms)>) {
        let terms = terms
            .into_iter()
            .map(|(from, terms)| (Moment::new(from).at(), terms));
        let own = RateOverride {
            goal_id: goal.map(str::to_owned),
            versions: versions(terms.collect()),
        };
        let key = (tenant(CREATOR), OfferId::new(OFFER));
        self.0.overrides.entry(key).or_default().push(own);
    }

    /// Sets the platform's commission rules.
    pub fn commission_rules(&mut self, application: RuleApplication, rules: Vec<ScopedRule>) {
        self.0.commission_rules = Some(only(CommissionRuleSet { application, rules }));
    }

    /// Sets the platform's commission rules from an instant on, before which there were none.
    pub fn commission_rules_from(&mut self, from: &'static str, rules: Vec<ScopedRule>) {
        let application = RuleApplication::All;
        let set = CommissionRuleSet { application, rules };
        self.0.commission_rules = Some(versions(vec![(Moment::new(from).at(), set)]));
    }

    /// Lets a shopper share a contact with a member of the creator's team.
    pub fn shared_contact(&mut self, user: u128, contact: SelfPurchase, from: &'static str) {
        let from = Moment::new(from).at();
        let shared = SharedContact { contact, from };
        let key = (tenant(CREATOR), shopper(user));
        self.0.shared_contacts.insert(key, shared);
    }
}

/// A creator's own rate, without an end.
pub fn own(rate: Rate) -> OverrideTerms {
    OverrideTerms {
        rate: Some(rate),
        valid_until: None,
    }
}

/// A commission rule for every click.
pub fn rule(name: &str, change: impl FnOnce(&mut ScopedRule)) -> ScopedRule {
    let mut scoped = ScopedRule {
        tenants: Vec::new(),
        levels: Vec::new(),
        offers: Vec::new(),
        categories: Vec::new(),
        currency: None,
        rule: CommissionRule {
            name: name.to_owned(),
            ..CommissionRule::default()
        },
    };
    change(&mut scoped);
    scoped
}

fn settings() -> TenantSettings {
    TenantSettings {
        level: PartnerLevel::Standard,
        default_share: percent("50"),
        platform_fee: Percentage::ZERO,
        platform_fee_flat: Amount::ZERO,
        subsidy: Amount::ZERO,
    }
}

fn campaign_of(number: u128) -> Campaign {
    Campaign {
        tenant_id: tenant(number),
        terms: only(CampaignTerms {
            share: Some(percent("60")),
            attribution_window_days: 30,
        }),
    }
}

fn offer(network: i32) -> Offer {
    Offer {
        network_id: NetworkId::new(network),
        category: None,
        terms: only(OfferTerms {
            tracking_url: "https://network.example/click".to_owned(),
            currency: Currency::INR,
            commission_source: CommissionSource::Percentage,
            commission: percentage("8"),
            goal_rates: BTreeMap::new(),
            commission_max: None,
            usual_sale_max: None,
            cool_off_days: 30,
            txn_id_names_order: true,
            duplicate_orders: DuplicatePolicy::Reject,
        }),
    }
}

fn link_to(tenant: u128, offer: i32) -> Link {
    Link {
        slug: format!("link-{tenant}-{offer}"),
        campaign_id: campaign(tenant),
        offer_id: OfferId::new(offer),
    }
}

fn network(fires_at_sale: bool) -> Network {
    Network {
        default_currency: Currency::INR,
        payout_means: PayoutMeans::Amount,
        fires_at_sale,
        security_token_sha256: None,
        utc_offset_minutes: 0,
    }
}
