//! The form of a reference file. `schemas/examples/reference.json` is one.
//!
//! Numbers are taken as they stand, and checked by [`validation`](super::validation): so that all
//! that is wrong with a file is said at once.

mod rates;
mod rules;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use schemas::{
    CampaignId, Currency, Days, LinkId, NetworkId, OfferId, TenantId, Timestamp, UserId,
    events::{CommissionSource, DuplicatePolicy, PayoutMeans},
    reference::PartnerLevel,
};
use serde::{Deserialize, Serialize};

pub use rates::{Lock, Override, Rate};
pub use rules::{
    Actions, CommissionRule, CommissionRuleSet, Conditions, FraudRuleSet, FraudRuleValues,
};

use super::problem::{Problem, Problems};

/// Everything that a file may hold. Each list may be left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReferenceFile {
    /// Creators and brands.
    pub tenants: Vec<Tenant>,
    /// People: shoppers, and members of tenants.
    pub users: Vec<User>,
    /// Who runs which tenant.
    pub members: Vec<Member>,
    /// By which rail people are paid.
    pub payout_methods: Vec<PayoutMethod>,
    /// Instances of affiliate networks.
    pub networks: Vec<Network>,
    /// Merchants' offers.
    pub offers: Vec<Offer>,
    /// Tenants' campaigns.
    pub campaigns: Vec<Campaign>,
    /// Smart links.
    pub links: Vec<Link>,
    /// Tenants' own rates; those of one tenant, offer and goal oldest first.
    pub overrides: Vec<Override>,
    /// Fraud rules of the platform and of tenants; each one's oldest first.
    pub fraud_rules: Vec<FraudRuleSet>,
    /// The platform's commission rules, oldest set first.
    pub commission_rules: Vec<CommissionRuleSet>,
    /// Until when books are locked; each tenant's oldest first.
    pub locks: Vec<Lock>,
}

impl ReferenceFile {
    /// Reads a file's text.
    ///
    /// # Errors
    /// At the first key that isn't known or missing, or value that isn't of its kind, by its path.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let file = serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|error| Problem::new(error.path(), error.inner()))?;
        deserializer
            .end()
            .map_err(|error| Problem::new("the end of the file", error))?;
        Ok(file)
    }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Its id.
    pub tenant_id: TenantId,
    /// Its name.
    pub name: String,
    /// Its settings, oldest first.
    pub versions: Vec<TenantVersion>,
}

/// Settings of a tenant, in force from an instant on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantVersion {
    /// From when on.
    pub effective_at: Timestamp,
    /// Its standing, which commission rules may ask for.
    #[serde(default)]
    pub level: PartnerLevel,
    /// The shopper's share where a campaign names none.
    pub default_share_pct: Decimal,
    /// The platform's fee in percent.
    #[serde(default)]
    pub platform_fee_pct: Decimal,
    /// The platform's fee, a flat amount on top.
    #[serde(default)]
    pub platform_fee_flat: Decimal,
    /// The platform's bonus on each conversion.
    #[serde(default)]
    pub subsidy: Decimal,
    /// Least balance that is paid out.
    #[serde(default = "one")]
    pub payout_min: Decimal,
    /// Whether only identified users are paid.
    #[serde(default)]
    pub kyc_required: bool,
}

fn one() -> Decimal {
    Decimal::ONE
}

/// A person.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The person.
    pub user_id: UserId,
    /// Phone number.
    pub phone: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Hash of the identity documents that were checked.
    pub kyc_hash: Option<String>,
}

/// Without contacts: a person's debug form may end in a log.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

/// By which rail a person is paid, from an instant on.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayoutMethod {
    /// The person.
    pub user_id: UserId,
    /// From when on: payout runs up to an earlier instant don't see it.
    pub effective_at: Timestamp,
    /// The rail's name.
    pub method: String,
    /// The rail's own token of the account, where it needs one.
    pub destination: Option<String>,
}

/// Without the destination: a debug form may end in a log.
impl std::fmt::Debug for PayoutMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PayoutMethod")
            .field("user_id", &self.user_id)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// A member of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The person.
    pub user_id: UserId,
    /// Since when.
    pub since: Timestamp,
}

/// A network instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Its number.
    pub network_id: NetworkId,
    /// Its name.
    pub name: String,
    /// What a report without a currency means.
    pub default_currency: Currency,
    /// Whether `payout` is an amount or a percentage.
    pub payout_means: PayoutMeans,
    /// Whether it reports at the moment of the sale.
    #[serde(default)]
    pub fires_at_sale: bool,
    /// What its postbacks must carry; only its SHA-256 is kept.
    pub security_token: Option<String>,
    /// Minutes that its own times are ahead of UTC.
    #[serde(default)]
    pub utc_offset_minutes: i32,
}

/// An offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Its number at the network.
    pub offer_id: OfferId,
    /// The network instance.
    pub network_id: NetworkId,
    /// The merchant.
    pub brand: String,
    /// What it sells.
    pub category: Option<String>,
    /// Its terms, oldest first.
    pub versions: Vec<OfferVersion>,
}

/// Terms of an offer, in force from an instant on. Our own rate is either a percentage or flat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferVersion {
    /// From when on.
    pub effective_at: Timestamp,
    /// Where a smart link leads; `{click_token}` is replaced, else `p1` is appended.
    pub tracking_url: String,
    /// The commission's currency.
    pub currency: Currency,
    /// What the commission is made of.
    pub commission_source: CommissionSource,
    /// Our own rate as a percentage of the sale.
    pub base_commission_pct: Option<Decimal>,
    /// Our own rate as an amount for each conversion.
    pub commission_flat: Option<Decimal>,
    /// Our own rates of single goals.
    #[serde(default, deserialize_with = "rates::by_goal")]
    pub goal_rates: BTreeMap<String, Rate>,
    /// A commission above this goes to review.
    pub commission_max: Option<Decimal>,
    /// A sale above this speaks against a report.
    pub usual_sale_max: Option<Decimal>,
    /// From the sale to payable.
    pub cool_off_days: Days,
    /// Whether `txn_id` is an order number.
    pub txn_id_names_order: bool,
    /// What a second claim on an order means.
    pub duplicate_orders: DuplicatePolicy,
}

/// A campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// Its id.
    pub campaign_id: CampaignId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// Its name.
    pub name: String,
    /// Its terms, oldest first.
    pub versions: Vec<CampaignVersion>,
}

/// Terms of a campaign, in force from an instant on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignVersion {
    /// From when on.
    pub effective_at: Timestamp,
    /// The shopper's share; the tenant's default where absent.
    pub share_pct: Option<Decimal>,
    /// From click to conversion, half-open.
    pub attribution_window_days: Days,
}

/// A smart link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Its id.
    pub link_id: LinkId,
    /// Its URL-safe name.
    pub slug: String,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// Its offer.
    pub offer_id: OfferId,
}
