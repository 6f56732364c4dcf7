//! The seeds as a snapshot of reference data.

use std::collections::{BTreeMap, HashMap};

use schemas::{
    Amount, Currency, Percentage, TenantId, UserId,
    contact::ContactKey,
    events::{CommissionSource, DuplicatePolicy, PayoutMeans, Rate, SelfPurchase},
    reference::{
        Campaign, CampaignTerms, Link, Network, Offer, OfferTerms, PartnerLevel, ReferenceData,
        SharedContact, TenantSettings, Version, Versions,
    },
};
use sha2::{Digest, Sha256};

use crate::demo::world::{
    coin::{Coin, Exact},
    seeds::{CommissionRule, Edition, Hundredths, PayoutMeaning, Seeds},
};

fn versions<T, U>(editions: &[Edition<T>], read: impl Fn(&T) -> U) -> Versions<U> {
    let versions = (1..).zip(editions).map(|(version, edition)| Version {
        version,
        effective_at: edition.effective_at,
        value: read(&edition.value),
    });
    Versions::new(versions.collect()).expect("at least one edition")
}

fn rate(hundredths: Hundredths) -> Percentage {
    let hundredths = i32::try_from(hundredths).expect("at most 10,000");
    Percentage::from_hundredths(hundredths).expect("a percentage")
}

fn amount(exact: Exact) -> Amount {
    Amount::from_micros(exact.micros())
}

fn currency(coin: Coin) -> Currency {
    coin.code().parse().expect("a currency")
}

/// The snapshot.
pub fn of(seeds: &Seeds, contact_key: &ContactKey) -> ReferenceData {
    let tenants = seeds.tenants.iter().map(|tenant| {
        let settings = versions(&tenant.settings, |settings| TenantSettings {
            level: PartnerLevel::Standard,
            default_share: rate(settings.default_share),
            platform_fee: rate(settings.platform_fee),
            platform_fee_flat: amount(settings.platform_fee_flat),
            subsidy: amount(settings.subsidy),
        });
        (tenant.tenant_id, settings)
    });
    let campaigns = seeds.campaigns.iter().map(|campaign| {
        let terms = versions(&campaign.terms, |terms| CampaignTerms {
            share: terms.share.map(rate),
            attribution_window_days: terms.attribution_window_days,
        });
        (
            campaign.campaign_id,
            Campaign {
                tenant_id: campaign.tenant_id,
                terms,
            },
        )
    });
    let networks = seeds.networks.iter().map(|network| {
        let value = Network {
            default_currency: currency(network.default_coin),
            payout_means: match network.payout {
                PayoutMeaning::Amount => PayoutMeans::Amount,
                PayoutMeaning::Percentage => PayoutMeans::Percentage,
            },
            fires_at_sale: network.fires_at_sale,
            security_token_sha256: network
                .security_token
                .map(|token| hex::encode(Sha256::digest(token.as_bytes()))),
            utc_offset_minutes: 0,
        };
        (network.network_id, value)
    });
    let links = seeds.links.iter().map(|link| {
        let value = Link {
            slug: link.slug.clone(),
            campaign_id: link.campaign_id,
            offer_id: link.offer_id,
        };
        (link.link_id, value)
    });
    ReferenceData {
        tenants: tenants.collect(),
        campaigns: campaigns.collect(),
        offers: offers(seeds),
        links: links.collect(),
        slugs: seeds
            .links
            .iter()
            .map(|link| (link.slug.clone(), link.link_id))
            .collect(),
        networks: networks.collect(),
        shared_contacts: shared_contacts(seeds, contact_key),
        ..ReferenceData::default()
    }
}

fn offers(seeds: &Seeds) -> HashMap<schemas::OfferId, Offer> {
    let offers = seeds.offers.iter().map(|offer| {
        let terms = versions(&offer.terms, |terms| {
            let (commission_source, commission) = match terms.commission {
                CommissionRule::OfSale(percentage) => {
                    (CommissionSource::Percentage, rate(percentage))
                }
                CommissionRule::ReportedPayout => (CommissionSource::Payout, Percentage::ZERO),
            };
            OfferTerms {
                tracking_url: terms.tracking_url.to_owned(),
                currency: currency(terms.coin),
                commission_source,
                commission: Rate::Percentage(commission),
                goal_rates: BTreeMap::new(),
                commission_max: terms.commission_max.map(amount),
                usual_sale_max: terms.usual_sale_max.map(amount),
                cool_off_days: terms.cool_off_days,
                txn_id_names_order: terms.txn_id_names_order,
                duplicate_orders: if terms.accepts_duplicates {
                    DuplicatePolicy::Accept
                } else {
                    DuplicatePolicy::Reject
                },
            }
        });
        (
            offer.offer_id,
            Offer {
                network_id: offer.network_id,
                category: Some(offer.category.to_owned()),
                terms,
            },
        )
    });
    offers.collect()
}

/// Every user who shares a contact with a member, members themselves among them.
fn shared_contacts(seeds: &Seeds, key: &ContactKey) -> HashMap<(TenantId, UserId), SharedContact> {
    let hashes: HashMap<UserId, (String, String)> = seeds
        .users
        .iter()
        .map(|user| {
            (
                user.user_id,
                (key.phone(&user.phone), key.email(&user.email)),
            )
        })
        .collect();
    let mut shared = HashMap::new();
    for member in &seeds.members {
        let (phone, email) = &hashes[&member.user_id];
        for (user_id, (other_phone, other_email)) in &hashes {
            let contact = if phone == other_phone {
                SelfPurchase::Phone
            } else if email == other_email {
                SelfPurchase::Email
            } else {
                continue;
            };
            let key = (member.tenant_id, *user_id);
            shared.insert(
                key,
                SharedContact {
                    contact,
                    from: member.joined_at,
                },
            );
        }
    }
    shared
}
