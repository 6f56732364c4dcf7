//! Random reference data about one click: versions that take effect just before, at and after it,
//! overrides that end there, rules of every scope.

use std::collections::{BTreeMap, HashMap};

use proptest::{collection::vec, option::weighted, prelude::*, sample::select};
use schemas::{
    CampaignId, ClickId, Country, Currency, LinkId, NetworkId, OfferId, TenantId, Timestamp,
    UserId,
    events::{
        ClickFacts, ClickSignals, CommissionSource, DuplicatePolicy, FraudRules, PayoutMeans,
        RuleApplication, SelfPurchase,
    },
    reference::{
        Campaign, CampaignTerms, CommissionRuleSet, Network, Offer, OfferTerms, OverrideTerms,
        PartnerLevel, RateOverride, ReferenceData, ScopedRule, SharedContact, TenantSettings,
        Version, Versions,
    },
};
use uuid::Uuid;

use crate::{
    choices::{currency, some_amount},
    drawn_terms::{percentage, rate, rule},
    plain::{DAY, amount, click},
    records::at,
};

/// When the click of these tests happens.
pub const CLICKED: i64 = 10 * DAY;

/// A time about the click.
fn about_the_click() -> impl Strategy<Value = Timestamp> {
    select(vec![0, -1, 1, -DAY, DAY]).prop_map(|beside| at(CLICKED + beside))
}

/// Up to three versions, numbered in the order in which they were saved.
fn versions<T: Clone + std::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Versions<T>> {
    vec((about_the_click(), value), 1..=3).prop_map(|drawn| {
        let numbered = (1..)
            .zip(drawn)
            .map(|(version, (effective_at, value))| Version {
                version,
                effective_at,
                value,
            });
        Versions::new(numbered.collect()).expect("at least one")
    })
}

fn level() -> impl Strategy<Value = PartnerLevel> {
    select(vec![PartnerLevel::Standard, PartnerLevel::Gold])
}

fn settings() -> impl Strategy<Value = TenantSettings> {
    let flat = select(vec!["0", "0.005", "3"]);
    let subsidy = select(vec!["0", "10", "0.015"]);
    (level(), percentage(), percentage(), flat, subsidy).prop_map(
        |(level, default_share, platform_fee, flat, subsidy)| TenantSettings {
            level,
            default_share,
            platform_fee,
            platform_fee_flat: amount(flat),
            subsidy: amount(subsidy),
        },
    )
}

fn campaign_terms() -> impl Strategy<Value = CampaignTerms> {
    (weighted(0.6, percentage()), select(vec![30, 7])).prop_map(
        |(share, attribution_window_days)| CampaignTerms {
            share,
            attribution_window_days,
        },
    )
}

fn offer_terms() -> impl Strategy<Value = OfferTerms> {
    let source = select(vec![CommissionSource::Percentage, CommissionSource::Payout]);
    let goals = vec((select(vec!["g1", "g2"]), rate()), 0..=2);
    let money = (currency(), source, rate(), goals);
    let bounds = (some_amount(&["8", "100"]), some_amount(&["99", "100"]));
    let rest = (
        select(vec![30, 0]),
        prop::bool::ANY,
        select(vec![DuplicatePolicy::Reject, DuplicatePolicy::Accept]),
    );
    (money, bounds, rest).prop_map(|(money, bounds, rest)| OfferTerms {
        tracking_url: "https://network.example/click".to_owned(),
        currency: money.0,
        commission_source: money.1,
        commission: money.2,
        goal_rates: money
            .3
            .into_iter()
            .map(|(goal, rate)| (goal.to_owned(), rate))
            .collect::<BTreeMap<_, _>>(),
        commission_max: bounds.0,
        usual_sale_max: bounds.1,
        cool_off_days: rest.0,
        txn_id_names_order: rest.1,
        duplicate_orders: rest.2,
    })
}

fn overrides() -> impl Strategy<Value = Vec<RateOverride>> {
    let terms = (weighted(0.8, rate()), weighted(0.5, about_the_click()))
        .prop_map(|(rate, valid_until)| OverrideTerms { rate, valid_until });
    let goals = [None, Some("g1"), Some("g3")];
    vec(weighted(0.5, versions(terms)), goals.len()).prop_map(move |drawn| {
        let pairs = goals.iter().zip(drawn);
        let present = pairs.filter_map(|(goal, versions)| Some((*goal, versions?)));
        present
            .map(|(goal, versions)| RateOverride {
                goal_id: goal.map(str::to_owned),
                versions,
            })
            .collect()
    })
}

fn scoped_rule() -> impl Strategy<Value = ScopedRule> {
    fn some_of<T: Clone + std::fmt::Debug + 'static>(
        one: T,
        other: T,
    ) -> impl Strategy<Value = Vec<T>> {
        let lists = vec![
            vec![],
            vec![],
            vec![one.clone()],
            vec![other.clone()],
            vec![other, one],
        ];
        select(lists)
    }
    let tenants = some_of(tenant(1), tenant(2));
    let levels = some_of(PartnerLevel::Standard, PartnerLevel::Gold);
    let offers = some_of(OfferId::new(1), OfferId::new(2));
    let categories = some_of("shoes".to_owned(), "books".to_owned());
    let scope = (
        tenants,
        levels,
        offers,
        categories,
        weighted(0.3, currency()),
    );
    (scope, rule()).prop_map(|(scope, rule)| ScopedRule {
        tenants: scope.0,
        levels: scope.1,
        offers: scope.2,
        categories: scope.3,
        currency: scope.4,
        rule,
    })
}

fn rule_set() -> impl Strategy<Value = CommissionRuleSet> {
    let application = select(vec![RuleApplication::First, RuleApplication::All]);
    (application, vec(scoped_rule(), 0..=3)).prop_map(|(application, mut rules)| {
        for (number, rule) in rules.iter_mut().enumerate() {
            rule.rule.name = format!("rule {number}");
        }
        CommissionRuleSet { application, rules }
    })
}

fn fraud_rules() -> impl Strategy<Value = FraudRules> {
    let weight = || 0..=3_i32;
    (weight(), weight(), weight(), weight(), weight(), weight()).prop_map(
        |(country, hasty, bot, data_centre, proxy, unusual)| FraudRules {
            country_mismatch_weight: country,
            hasty_sale_weight: hasty,
            bot_weight: bot,
            data_centre_weight: data_centre,
            proxy_weight: proxy,
            unusual_sale_weight: unusual,
            ..FraudRules::default()
        },
    )
}

fn network() -> impl Strategy<Value = Network> {
    let means = select(vec![PayoutMeans::Amount, PayoutMeans::Percentage]);
    (currency(), means, prop::bool::ANY).prop_map(
        |(default_currency, payout_means, fires_at_sale)| Network {
            default_currency,
            payout_means,
            fires_at_sale,
            security_token_sha256: None,
            utc_offset_minutes: 0,
        },
    )
}

/// A tenant of the tests.
pub fn tenant(number: u128) -> TenantId {
    TenantId::new(Uuid::from_u128(number))
}

/// The click that the data is about.
pub fn drawn_click() -> impl Strategy<Value = ClickFacts> {
    let country = |code: &str| code.parse::<Country>().expect("a country");
    let countries = select(vec![None, Some(country("IN")), Some(country("DE"))]);
    (countries, 0..8_u8, prop::bool::ANY).prop_map(|(country, signals, known)| ClickFacts {
        click_id: ClickId::new(1),
        country,
        signals: ClickSignals::from_byte(signals),
        user_id: known.then_some(UserId::new(Uuid::from_u128(1))),
        link_id: LinkId::new(Uuid::from_u128(1)),
        campaign_id: CampaignId::new(Uuid::from_u128(1)),
        ..click(1, CLICKED)
    })
}

/// Reference data for that click: tenant 1, campaign 1, offer 1, network 1.
pub fn drawn_reference() -> impl Strategy<Value = ReferenceData> {
    let category = select(vec![
        None,
        Some("shoes".to_owned()),
        Some("books".to_owned()),
    ]);
    let places = (
        versions(settings()),
        versions(campaign_terms()),
        versions(offer_terms()),
        category,
        network(),
    );
    let extra = (
        overrides(),
        weighted(0.7, versions(rule_set())),
        weighted(0.4, versions(about_the_click())),
        weighted(0.5, versions(fraud_rules())),
        weighted(0.3, versions(fraud_rules())),
        weighted(0.3, about_the_click()),
    );
    (places, extra).prop_map(|(places, extra)| {
        let mut data = ReferenceData {
            commission_rules: extra.1,
            platform_rules: extra.3,
            ..ReferenceData::default()
        };
        let campaign = CampaignId::new(Uuid::from_u128(1));
        let offer = OfferId::new(1);
        data.tenants = HashMap::from([(tenant(1), places.0)]);
        data.campaigns.insert(
            campaign,
            Campaign {
                tenant_id: tenant(1),
                terms: places.1,
            },
        );
        data.offers.insert(
            offer,
            Offer {
                network_id: NetworkId::new(1),
                category: places.3,
                terms: places.2,
            },
        );
        data.networks.insert(NetworkId::new(1), places.4);
        data.overrides.insert((tenant(1), offer), extra.0);
        data.locks.extend(extra.2.map(|lock| (tenant(1), lock)));
        data.tenant_rules
            .extend(extra.4.map(|rules| (tenant(1), rules)));
        data.shared_contacts.extend(extra.5.map(|from| {
            let shopper = UserId::new(Uuid::from_u128(1));
            let shared = SharedContact {
                contact: SelfPurchase::Email,
                from,
            };
            ((tenant(1), shopper), shared)
        }));
        data
    })
}

/// A currency that a report may name.
pub fn reported_currency() -> impl Strategy<Value = Option<Currency>> {
    weighted(0.3, currency())
}
