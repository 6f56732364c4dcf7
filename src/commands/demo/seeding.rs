//! The demo's seeds as the reference file that an operator would write.

use std::collections::BTreeMap;

use operations::reference::file::{
    Campaign, CampaignVersion, Link, Member, Network, Offer, OfferVersion, ReferenceFile, Tenant,
    TenantVersion, User,
};
use rust_decimal::Decimal;
use schemas::{
    UnknownCurrency,
    events::{CommissionSource, DuplicatePolicy, PayoutMeans},
    reference::PartnerLevel,
};
use sha2::{Digest, Sha256};

use crate::demo::world::{
    coin::Exact,
    seeds::{self, CommissionRule, Edition, PayoutMeaning, Seeds},
};

/// The file.
///
/// # Errors
/// When the seeds hold what no reference data can: a defect of the script.
pub fn reference_file(seeds: &Seeds) -> anyhow::Result<ReferenceFile> {
    let offers: Result<_, UnknownCurrency> = seeds.offers.iter().map(offer).collect();
    let networks: Result<_, UnknownCurrency> = seeds.networks.iter().map(network).collect();
    Ok(ReferenceFile {
        tenants: seeds.tenants.iter().map(tenant).collect(),
        users: seeds.users.iter().map(user).collect(),
        members: seeds
            .members
            .iter()
            .map(|member| Member {
                tenant_id: member.tenant_id,
                user_id: member.user_id,
                since: member.joined_at,
            })
            .collect(),
        networks: networks?,
        offers: offers?,
        campaigns: seeds.campaigns.iter().map(campaign).collect(),
        links: seeds
            .links
            .iter()
            .map(|link| Link {
                link_id: link.link_id,
                slug: link.slug.clone(),
                campaign_id: link.campaign_id,
                offer_id: link.offer_id,
            })
            .collect(),
        ..ReferenceFile::default()
    })
}

fn percentage(hundredths: i64) -> Decimal {
    Decimal::new(hundredths, 2)
}

fn number(exact: Exact) -> Decimal {
    Decimal::new(exact.micros(), 6).normalize()
}

fn tenant(tenant: &seeds::Tenant) -> Tenant {
    let version = |edition: &Edition<seeds::TenantSettings>| TenantVersion {
        effective_at: edition.effective_at,
        level: PartnerLevel::Standard,
        default_share_pct: percentage(edition.value.default_share),
        platform_fee_pct: percentage(edition.value.platform_fee),
        platform_fee_flat: number(edition.value.platform_fee_flat),
        subsidy: number(edition.value.subsidy),
        payout_min: Decimal::from(tenant.payout_minimum_units),
        kyc_required: tenant.asks_for_kyc,
    };
    Tenant {
        tenant_id: tenant.tenant_id,
        name: tenant.name.to_owned(),
        versions: tenant.settings.iter().map(version).collect(),
    }
}

fn user(user: &seeds::User) -> User {
    let kyc_hash = || hex::encode(Sha256::digest(user.user_id.uuid()));
    User {
        user_id: user.user_id,
        phone: Some(user.phone.clone()),
        email: Some(user.email.clone()),
        kyc_hash: user.identified.then(kyc_hash),
    }
}

fn network(network: &seeds::Network) -> Result<Network, UnknownCurrency> {
    Ok(Network {
        network_id: network.network_id,
        name: network.name.to_owned(),
        default_currency: network.default_coin.code().parse()?,
        payout_means: match network.payout {
            PayoutMeaning::Amount => PayoutMeans::Amount,
            PayoutMeaning::Percentage => PayoutMeans::Percentage,
        },
        fires_at_sale: network.fires_at_sale,
        security_token: network.security_token.map(str::to_owned),
        utc_offset_minutes: 0,
    })
}

fn offer(offer: &seeds::Offer) -> Result<Offer, UnknownCurrency> {
    let version = |edition: &Edition<seeds::OfferTerms>| {
        let terms = &edition.value;
        let (commission_source, rate) = match terms.commission {
            CommissionRule::OfSale(rate) => (CommissionSource::Percentage, rate),
            CommissionRule::ReportedPayout => (CommissionSource::Payout, 0),
        };
        Ok(OfferVersion {
            effective_at: edition.effective_at,
            tracking_url: terms.tracking_url.to_owned(),
            currency: terms.coin.code().parse()?,
            commission_source,
            base_commission_pct: Some(percentage(rate)),
            commission_flat: None,
            goal_rates: BTreeMap::new(),
            commission_max: terms.commission_max.map(number),
            usual_sale_max: terms.usual_sale_max.map(number),
            cool_off_days: terms.cool_off_days,
            txn_id_names_order: terms.txn_id_names_order,
            duplicate_orders: if terms.accepts_duplicates {
                DuplicatePolicy::Accept
            } else {
                DuplicatePolicy::Reject
            },
        })
    };
    Ok(Offer {
        offer_id: offer.offer_id,
        network_id: offer.network_id,
        brand: offer.brand.to_owned(),
        category: Some(offer.category.to_owned()),
        versions: offer.terms.iter().map(version).collect::<Result<_, _>>()?,
    })
}

fn campaign(campaign: &seeds::Campaign) -> Campaign {
    let version = |edition: &Edition<seeds::CampaignTerms>| CampaignVersion {
        effective_at: edition.effective_at,
        share_pct: edition.value.share.map(percentage),
        attribution_window_days: edition.value.attribution_window_days,
    };
    Campaign {
        campaign_id: campaign.campaign_id,
        tenant_id: campaign.tenant_id,
        name: campaign.name.to_owned(),
        versions: campaign.terms.iter().map(version).collect(),
    }
}
