//! The form of a reference file. `schemas/examples/reference.json` is one.

use rust_decimal::Decimal;
use schemas::{
    CampaignId, Currency, Days, LinkId, NetworkId, OfferId, Percentage, TenantId, Timestamp,
    UserId,
    events::{CommissionSource, DuplicatePolicy, PayoutMeans},
};
use serde::{Deserialize, Serialize};

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
    /// Instances of affiliate networks.
    pub networks: Vec<Network>,
    /// Merchants' offers.
    pub offers: Vec<Offer>,
    /// Tenants' campaigns.
    pub campaigns: Vec<Campaign>,
    /// Smart links.
    pub links: Vec<Link>,
}

/// One version of something, in force from an instant on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effective<T> {
    /// From when on.
    pub effective_at: Timestamp,
    /// What it says.
    #[serde(flatten)]
    pub value: T,
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
    pub versions: Vec<Effective<TenantSettings>>,
}

/// Settings of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TenantSettings {
    /// The shopper's share where a campaign names none.
    pub default_share_pct: Percentage,
    /// The platform's fee in percent.
    #[serde(default)]
    pub platform_fee_pct: Percentage,
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
    pub versions: Vec<Effective<OfferTerms>>,
}

/// Terms of an offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OfferTerms {
    /// Where a smart link leads; `{click_token}` is replaced, else `p1` is appended.
    pub tracking_url: String,
    /// The commission's currency.
    pub currency: Currency,
    /// What the commission is made of.
    pub commission_source: CommissionSource,
    /// Percentage of the sale.
    pub base_commission_pct: Percentage,
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
    pub versions: Vec<Effective<CampaignTerms>>,
}

/// Terms of a campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignTerms {
    /// The shopper's share; the tenant's default where absent.
    pub share_pct: Option<Percentage>,
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
