//! Reference data as one immutable snapshot: tenants, campaigns, offers, links, networks, fraud
//! rules.
//!
//! It is primary in PostgreSQL as append-only versions (design section 1). A version takes effect
//! at least 60 seconds after it is saved and snapshots are refreshed faster than that, so no two
//! instances differ about an instant that has passed.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::{
    Amount, CampaignId, Currency, Days, LinkId, NetworkId, OfferId, Percentage, TenantId,
    Timestamp, UserId,
    events::{
        CommissionRule, CommissionSource, DuplicatePolicy, FraudRules, PayoutMeans, Rate,
        RuleApplication, SelfPurchase,
    },
};

/// All versions of one thing, by the time from which each is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions<T> {
    /// Oldest first; never empty.
    versions: Vec<Version<T>>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version<T> {
    /// Counts from 1.
    pub version: i32,
    /// From when on it is in force.
    pub effective_at: Timestamp,
    /// What it says.
    pub value: T,
}

impl<T> Versions<T> {
    /// Of at least one version, in any order; `None` when there is none.
    pub fn new(mut versions: Vec<Version<T>>) -> Option<Self> {
        versions.sort_by_key(|version| (version.effective_at, version.version));
        (!versions.is_empty()).then_some(Self { versions })
    }

    /// All of them, oldest first.
    pub fn all(&self) -> &[Version<T>] {
        &self.versions
    }

    /// The version in force at an instant. Before the first, the first: a click can't be older
    /// than its link, unless history was imported, and then the oldest known terms are the best
    /// there are.
    pub fn as_of(&self, at: Timestamp) -> &Version<T> {
        self.in_force(at).unwrap_or(&self.versions[0])
    }

    /// The version in force at an instant; `None` before the first.
    pub fn in_force(&self, at: Timestamp) -> Option<&Version<T>> {
        let after = self
            .versions
            .partition_point(|version| version.effective_at <= at);
        self.versions[..after].last()
    }
}

/// A tenant's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSettings {
    /// Its standing with the platform, which commission rules may ask for.
    pub level: PartnerLevel,
    /// The shopper's share where the campaign names none.
    pub default_share: Percentage,
    /// The platform's fee, as a percentage of what is payable.
    pub platform_fee: Percentage,
    /// The platform's fee, a flat amount on top, in the offer's currency.
    pub platform_fee_flat: Amount,
    /// The platform's bonus on each conversion, in the offer's currency.
    pub subsidy: Amount,
}

/// A tenant's standing as a partner (affiliate-tracking data dictionary, partners.tier).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum PartnerLevel {
    #[default]
    Standard,
    Bronze,
    Silver,
    Gold,
    Platinum,
}

/// A campaign and its terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// Its owner.
    pub tenant_id: TenantId,
    /// Its terms.
    pub terms: Versions<CampaignTerms>,
}

/// A campaign's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignTerms {
    /// The shopper's share; the tenant's default where absent.
    pub share: Option<Percentage>,
    /// From click to conversion, half-open.
    pub attribution_window_days: Days,
}

/// An offer and its terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The network instance that it comes from.
    pub network_id: NetworkId,
    /// What it sells, which commission rules may ask for. Set once.
    pub category: Option<String>,
    /// Its terms.
    pub terms: Versions<OfferTerms>,
}

/// An offer's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferTerms {
    /// The network's tracking link, which a smart link redirects to. `{click_token}` in it is
    /// replaced; without one, `p1` is appended.
    pub tracking_url: String,
    /// The commission's currency.
    pub currency: Currency,
    /// What the commission is made of.
    pub commission_source: CommissionSource,
    /// Our own rate, whatever the goal.
    pub commission: Rate,
    /// Our own rates of single goals.
    pub goal_rates: BTreeMap<String, Rate>,
    /// A commission above this goes to review.
    pub commission_max: Option<Amount>,
    /// A sale above this is far above the usual.
    pub usual_sale_max: Option<Amount>,
    /// From conversion to payable.
    pub cool_off_days: Days,
    /// Whether `txn_id` is an order number.
    pub txn_id_names_order: bool,
    /// What a second claim on an order means.
    pub duplicate_orders: DuplicatePolicy,
}

/// A tenant's own rate for an offer, instead of the offer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateOverride {
    /// The goal that it is for; absent: all.
    pub goal_id: Option<String>,
    /// Its versions.
    pub versions: Versions<OverrideTerms>,
}

/// What an override says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverrideTerms {
    /// The rate; absent: the override is withdrawn.
    pub rate: Option<Rate>,
    /// From when on it no longer holds.
    pub valid_until: Option<Timestamp>,
}

/// A set of commission rules: the platform's, for all tenants and offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommissionRuleSet {
    /// How many of the rules that hold apply.
    pub application: RuleApplication,
    /// In the order in which they are tried.
    pub rules: Vec<ScopedRule>,
}

/// A commission rule, with the conditions that the click decides. An empty list is any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopedRule {
    /// The click's tenant is one of these.
    pub tenants: Vec<TenantId>,
    /// The tenant's level at the click is one of these.
    pub levels: Vec<PartnerLevel>,
    /// The offer is one of these.
    pub offers: Vec<OfferId>,
    /// The offer's category is one of these.
    pub categories: Vec<String>,
    /// Currency of the rule's amounts: it holds for offers in this currency only. A rule that
    /// names an amount names its currency.
    pub currency: Option<Currency>,
    /// What the conversion decides, and what becomes of the commission.
    pub rule: CommissionRule,
}

/// A smart link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its URL-safe name.
    pub slug: String,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// Its offer.
    pub offer_id: OfferId,
}

/// A configured instance of an affiliate network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// What a report without a currency means (Trackier: USD).
    pub default_currency: Currency,
    /// Whether `payout` is an amount or a percentage.
    pub payout_means: PayoutMeans,
    /// Whether it fires at the sale, so that our own receipt may test the window.
    pub fires_at_sale: bool,
    /// SHA-256 of the `security_token` that its postbacks must carry, hex; none is asked for
    /// where absent.
    pub security_token_sha256: Option<String>,
    /// Minutes that the network's own times are ahead of UTC.
    pub utc_offset_minutes: i32,
}

/// A time during which a shopper shares a contact with one of the tenant's members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedContact {
    /// Which contact.
    pub contact: SelfPurchase,
    /// From when on.
    pub from: Timestamp,
}

/// The snapshot.
#[derive(Debug, Clone, Default)]
pub struct ReferenceData {
    /// Settings of each tenant.
    pub tenants: HashMap<TenantId, Versions<TenantSettings>>,
    /// Each campaign.
    pub campaigns: HashMap<CampaignId, Campaign>,
    /// Each offer.
    pub offers: HashMap<OfferId, Offer>,
    /// Tenants' own rates, by tenant and offer.
    pub overrides: HashMap<(TenantId, OfferId), Vec<RateOverride>>,
    /// The platform's commission rules.
    pub commission_rules: Option<Versions<CommissionRuleSet>>,
    /// Tenants' locked books: conversions before the instant.
    pub locks: HashMap<TenantId, Versions<Timestamp>>,
    /// Each smart link.
    pub links: HashMap<LinkId, Link>,
    /// Smart links by slug.
    pub slugs: HashMap<String, LinkId>,
    /// Campaigns that are paused or archived: their links lead nowhere. Clicks that were made
    /// before count on.
    pub closed_campaigns: HashSet<CampaignId>,
    /// Tenants by their own domain, in lower case: under it only their links are served.
    pub domains: HashMap<String, TenantId>,
    /// Each network instance.
    pub networks: HashMap<NetworkId, Network>,
    /// The platform's fraud rules; the default set where absent.
    pub platform_rules: Option<Versions<FraudRules>>,
    /// Tenants' own fraud rules.
    pub tenant_rules: HashMap<TenantId, Versions<FraudRules>>,
    /// Shoppers who share a contact with a member of the tenant.
    pub shared_contacts: HashMap<(TenantId, UserId), SharedContact>,
}

impl ReferenceData {
    /// The instant before which a tenant's books were locked, as of `at`.
    pub fn books_locked_before(&self, tenant: TenantId, at: Timestamp) -> Option<Timestamp> {
        let lock = self.locks.get(&tenant)?.in_force(at)?;
        Some(lock.value)
    }

    /// The fraud rules in force for a tenant at an instant: its own over the platform's over the
    /// built-in default. The version number tells which, being unique over all sets.
    pub fn fraud_rules(&self, tenant: TenantId, at: Timestamp) -> FraudRules {
        let own = self
            .tenant_rules
            .get(&tenant)
            .and_then(|rules| rules.in_force(at));
        let platforms = || self.platform_rules.as_ref()?.in_force(at);
        let in_force = own.or_else(platforms);
        in_force.map_or_else(FraudRules::default, |version| FraudRules {
            version: version.version,
            ..version.value.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_version_is_in_force_from_its_instant_on() {
        let version = |version, millis, value| Version {
            version,
            effective_at: at(millis),
            value,
        };
        let versions = Versions::new(vec![version(2, 200, "b"), version(1, 100, "a")]);
        let versions = versions.expect("not empty");
        for (millis, expected) in [(0, "a"), (100, "a"), (199, "a"), (200, "b"), (900, "b")] {
            assert_eq!(versions.as_of(at(millis)).value, expected, "at {millis}");
        }
        assert_eq!(Versions::<()>::new(vec![]), None);
    }

    #[test]
    fn a_tenants_own_rules_come_before_the_platforms_once_in_force() {
        let tenant = TenantId::new(uuid::Uuid::from_u128(1));
        let rules = |number, millis| {
            let value = FraudRules {
                review_score: number,
                ..FraudRules::default()
            };
            Versions::new(vec![Version {
                version: number,
                effective_at: at(millis),
                value,
            }])
        };
        let data = ReferenceData {
            platform_rules: rules(7, 0),
            tenant_rules: HashMap::from([(tenant, rules(8, 100).expect("one version"))]),
            ..ReferenceData::default()
        };
        assert_eq!(data.fraud_rules(tenant, at(99)).version, 7);
        assert_eq!(data.fraud_rules(tenant, at(100)).version, 8);
        let other = TenantId::new(uuid::Uuid::from_u128(2));
        assert_eq!(data.fraud_rules(other, at(100)).review_score, 7);
    }
}
