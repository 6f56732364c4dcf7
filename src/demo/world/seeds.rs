//! What stands in the reference data before the first click: plain values, which the caller writes
//! into the database.

use schemas::{CampaignId, LinkId, NetworkId, OfferId, TenantId, Timestamp, UserId};

use super::coin::{Coin, Exact};

/// A rate in hundredths of a percent: 800 is 8 %.
pub type Hundredths = i64;

/// Everything that must be in the reference data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seeds {
    /// Creators.
    pub tenants: Vec<Tenant>,
    /// Instances of affiliate networks.
    pub networks: Vec<Network>,
    /// Merchants' offers.
    pub offers: Vec<Offer>,
    /// Creators' campaigns.
    pub campaigns: Vec<Campaign>,
    /// Smart links.
    pub links: Vec<Link>,
    /// Members of the tenants. Each is among the users as well.
    pub members: Vec<Member>,
    /// Shoppers and members.
    pub users: Vec<User>,
}

/// One version of something, in force from an instant on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edition<T> {
    /// From when on.
    pub effective_at: Timestamp,
    /// What it says.
    pub value: T,
}

/// The edition in force at an instant; the first, before it.
pub fn as_of<T>(editions: &[Edition<T>], at: Timestamp) -> &T {
    let mut current = &editions[0];
    for edition in &editions[1..] {
        if edition.effective_at <= at {
            current = edition;
        }
    }
    &current.value
}

/// A creator or brand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub tenant_id: TenantId,
    /// Its name.
    pub name: &'static str,
    /// Its settings, oldest first.
    pub settings: Vec<Edition<TenantSettings>>,
    /// Least balance that is paid out, in whole units of any currency.
    pub payout_minimum_units: i64,
    /// Whether only identified users are paid.
    pub asks_for_kyc: bool,
}

/// What a tenant may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSettings {
    /// The shopper's share where the campaign names none.
    pub default_share: Hundredths,
    /// The platform's fee, a part of what is payable.
    pub platform_fee: Hundredths,
    /// The platform's fee, a flat amount on top, in the offer's currency.
    pub platform_fee_flat: Exact,
    /// The platform's bonus on each conversion, in the offer's currency.
    pub subsidy: Exact,
}

/// A configured instance of an affiliate network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its id.
    pub network_id: NetworkId,
    /// Its name.
    pub name: &'static str,
    /// What a report without a currency means.
    pub default_coin: Coin,
    /// What its `payout` means.
    pub payout: PayoutMeaning,
    /// Whether it reports at the moment of the sale.
    pub fires_at_sale: bool,
    /// What its reports must carry as `security_token`. The reference data keeps its SHA-256.
    pub security_token: Option<&'static str>,
}

/// What a network's `payout` parameter means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayoutMeaning {
    /// An amount.
    Amount,
    /// A percentage of the sale.
    Percentage,
}

/// A merchant's offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its number at the network.
    pub offer_id: OfferId,
    /// The network instance.
    pub network_id: NetworkId,
    /// The merchant.
    pub brand: &'static str,
    /// What it sells.
    pub category: &'static str,
    /// Its terms, oldest first.
    pub terms: Vec<Edition<OfferTerms>>,
}

/// An offer's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferTerms {
    /// Where a smart link leads. `{click_token}` is replaced; without one, `p1` is appended.
    pub tracking_url: &'static str,
    /// The commission's currency.
    pub coin: Coin,
    /// What the commission is made of.
    pub commission: CommissionRule,
    /// A commission above this goes to review.
    pub commission_max: Option<Exact>,
    /// A sale above this speaks against a report.
    pub usual_sale_max: Option<Exact>,
    /// From the sale to payable.
    pub cool_off_days: i32,
    /// Whether `txn_id` is an order number.
    pub txn_id_names_order: bool,
    /// Whether a second claim on an order counts as a new order.
    pub accepts_duplicates: bool,
}

/// What a commission is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommissionRule {
    /// A percentage of the sale.
    OfSale(Hundredths),
    /// The network's reported payout.
    ReportedPayout,
}

/// A creator's campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// Its id.
    pub campaign_id: CampaignId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// Its name.
    pub name: &'static str,
    /// Its terms, oldest first.
    pub terms: Vec<Edition<CampaignTerms>>,
}

/// A campaign's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignTerms {
    /// The shopper's share; the tenant's default where absent.
    pub share: Option<Hundredths>,
    /// From the click to the sale, half-open.
    pub attribution_window_days: i32,
}

/// A smart link.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A member of a tenant: the creator, or one of the crew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The person, who is also a user.
    pub user_id: UserId,
    /// Since when.
    pub joined_at: Timestamp,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The person.
    pub user_id: UserId,
    /// Phone number, as typed.
    pub phone: String,
    /// E-mail address, as typed.
    pub email: String,
    /// Whether identity documents were checked.
    pub identified: bool,
    /// Since when.
    pub created_at: Timestamp,
}

impl Seeds {
    /// The offer of a link.
    ///
    /// # Panics
    /// When the link or its offer isn't among the seeds: a defect of the script.
    pub fn offer_of(&self, link: usize) -> &Offer {
        let offer_id = self.links[link].offer_id;
        let found = self.offers.iter().find(|offer| offer.offer_id == offer_id);
        found.expect("every link names an offer of the seeds")
    }

    /// The campaign of a link.
    ///
    /// # Panics
    /// When the link or its campaign isn't among the seeds: a defect of the script.
    pub fn campaign_of(&self, link: usize) -> &Campaign {
        let campaign_id = self.links[link].campaign_id;
        let found = self
            .campaigns
            .iter()
            .find(|campaign| campaign.campaign_id == campaign_id);
        found.expect("every link names a campaign of the seeds")
    }

    /// The tenant that a link earns for.
    pub fn tenant_of(&self, link: usize) -> &Tenant {
        self.tenant(self.campaign_of(link).tenant_id)
    }

    /// A tenant by its id.
    ///
    /// # Panics
    /// When there is none: a defect of the script.
    pub fn tenant(&self, tenant_id: TenantId) -> &Tenant {
        let found = self
            .tenants
            .iter()
            .find(|tenant| tenant.tenant_id == tenant_id);
        found.expect("every tenant id of the script is among the seeds")
    }

    /// A network instance by its id.
    ///
    /// # Panics
    /// When there is none: a defect of the script.
    pub fn network(&self, network_id: NetworkId) -> &Network {
        let found = self
            .networks
            .iter()
            .find(|network| network.network_id == network_id);
        found.expect("every network id of the script is among the seeds")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edition_is_in_force_from_its_instant_on() {
        let edition = |millis, value| Edition {
            effective_at: Timestamp::from_millis(millis),
            value,
        };
        let editions = [edition(100, "a"), edition(200, "b")];
        for (millis, value) in [(0, "a"), (100, "a"), (199, "a"), (200, "b"), (999, "b")] {
            assert_eq!(*as_of(&editions, Timestamp::from_millis(millis)), value);
        }
    }
}
