//! The demo's creators, merchants and links.

use rand::{RngExt, rngs::StdRng};
use schemas::{CampaignId, LinkId, NetworkId, OfferId, TenantId, Timestamp};
use uuid::Uuid;

use super::{
    calendar::DAY_MS,
    coin::{Coin, Exact},
    seeds::{
        Campaign, CampaignTerms, CommissionRule, Edition, Hundredths, Link, Network, Offer,
        OfferTerms, PayoutMeaning, Seeds, Tenant, TenantSettings,
    },
};

/// The Indian network: rupees unless it says otherwise, payouts as amounts.
pub const DOMESTIC: NetworkId = NetworkId::new(1);
/// The foreign network: dollars unless it says otherwise, payouts as percentages, reports at the
/// sale, and asks for its security token.
pub const FOREIGN: NetworkId = NetworkId::new(2);

/// Fashion: 8 % of the sale, 9 % from day 8 on.
pub const FASHION: OfferId = OfferId::new(5509);
/// Electronics: a thin 2.75 %.
pub const ELECTRONICS: OfferId = OfferId::new(5510);
/// Travel: 12 %, the largest sums, 30 days of cool-off.
pub const TRAVEL: OfferId = OfferId::new(5511);
/// Groceries: the network's payout is the commission, up to a cap.
pub const GROCERIES: OfferId = OfferId::new(5512);
/// Insurance: goals; its transaction ids are no order numbers.
pub const INSURANCE: OfferId = OfferId::new(5513);
/// Flash sales: three days of cool-off.
pub const FLASH: OfferId = OfferId::new(5540);
/// A market place whose order numbers come again and mean new orders.
pub const MARKET: OfferId = OfferId::new(5541);
/// Apps, in dollars.
pub const APPS: OfferId = OfferId::new(5520);
/// Hosting, in dollars: the network's payout is a percentage, and is the commission.
pub const HOSTING: OfferId = OfferId::new(5521);
/// Hotels, in yen.
pub const HOTELS: OfferId = OfferId::new(5530);
/// Perfume, in dinars.
pub const PERFUME: OfferId = OfferId::new(5531);

/// Which links there are: campaign's index, offer, and how often shoppers take it.
const LINKS: [(usize, OfferId, u32); 20] = [
    (0, FASHION, 16),
    (0, ELECTRONICS, 8),
    (0, GROCERIES, 8),
    (0, FLASH, 5),
    (1, FASHION, 8),
    (1, GROCERIES, 4),
    (1, INSURANCE, 0),
    (2, ELECTRONICS, 10),
    (2, GROCERIES, 5),
    (2, FLASH, 5),
    (2, MARKET, 3),
    (3, FASHION, 2),
    (4, TRAVEL, 5),
    (4, FASHION, 5),
    (5, TRAVEL, 4),
    (5, INSURANCE, 0),
    (6, APPS, 5),
    (6, HOSTING, 3),
    (6, HOTELS, 5),
    (6, PERFUME, 4),
];

/// How often shoppers take each link, in the order of [`Seeds::links`].
pub fn link_weights() -> [u32; LINKS.len()] {
    LINKS.map(|(_, _, weight)| weight)
}

/// Everything but the people.
pub fn seeds(started_at: Timestamp, rng: &mut StdRng) -> Seeds {
    let tenants = tenants(started_at, rng);
    let campaigns = campaigns(&tenants, started_at, rng);
    let links = LINKS
        .iter()
        .enumerate()
        .map(|(index, (campaign, offer_id, _))| Link {
            link_id: LinkId::new(uuid(rng)),
            slug: format!("demo-{index:02}-{offer_id}"),
            campaign_id: campaigns[*campaign].campaign_id,
            offer_id: *offer_id,
        })
        .collect();
    Seeds {
        tenants,
        networks: networks(),
        offers: offers(started_at),
        campaigns,
        links,
        members: Vec::new(),
        users: Vec::new(),
    }
}

/// A random UUID of version 4, from the script's own randomness.
pub fn uuid(rng: &mut StdRng) -> Uuid {
    uuid::Builder::from_random_bytes(rng.random()).into_uuid()
}

/// Long before the first click.
fn ever(started_at: Timestamp) -> Timestamp {
    started_at.plus_millis(-100 * DAY_MS)
}

/// One edition since ever, and perhaps a second from a day of the traffic on, off the hour at
/// which slots begin.
fn editions<T>(started_at: Timestamp, first: T, second: Option<(i64, T)>) -> Vec<Edition<T>> {
    let first = Edition {
        effective_at: ever(started_at),
        value: first,
    };
    let second = second.map(|(day, value)| Edition {
        effective_at: started_at.plus_millis(day * DAY_MS + 100 * 60_000),
        value,
    });
    std::iter::once(first).chain(second).collect()
}

fn tenants(started_at: Timestamp, rng: &mut StdRng) -> Vec<Tenant> {
    let settings = |default_share, platform_fee, flat, subsidy| TenantSettings {
        default_share,
        platform_fee,
        platform_fee_flat: Exact::from_units(flat),
        subsidy: Exact::from_units(subsidy),
    };
    let mut tenant = |name, minimum, kyc, first, second| Tenant {
        tenant_id: TenantId::new(uuid(rng)),
        name,
        settings: editions(started_at, first, second),
        payout_minimum_units: minimum,
        asks_for_kyc: kyc,
    };
    vec![
        tenant("Asha Styles", 500, false, settings(6_000, 0, 0, 0), None),
        tenant(
            "Gadget Guru",
            200,
            false,
            settings(5_000, 500, 0, 0),
            Some((10, settings(5_000, 400, 0, 0))),
        ),
        tenant("Kabir Wanders", 250, true, settings(7_000, 250, 1, 2), None),
        tenant("Mei at Home", 75, false, settings(6_500, 1_000, 0, 0), None),
    ]
}

fn networks() -> Vec<Network> {
    vec![
        Network {
            network_id: DOMESTIC,
            name: "Trackier India",
            default_coin: Coin::Inr,
            payout: PayoutMeaning::Amount,
            fires_at_sale: false,
            security_token: None,
        },
        Network {
            network_id: FOREIGN,
            name: "Trackier Worldwide",
            default_coin: Coin::Usd,
            payout: PayoutMeaning::Percentage,
            fires_at_sale: true,
            security_token: Some("demo-security-token"),
        },
    ]
}

fn campaigns(tenants: &[Tenant], started_at: Timestamp, rng: &mut StdRng) -> Vec<Campaign> {
    let terms = |share, attribution_window_days| CampaignTerms {
        share,
        attribution_window_days,
    };
    let mut campaign = |tenant: usize, name, first, second| Campaign {
        campaign_id: CampaignId::new(uuid(rng)),
        tenant_id: tenants[tenant].tenant_id,
        name,
        terms: editions(started_at, first, second),
    };
    let raised = Some((12, terms(Some(6_500), 30)));
    vec![
        campaign(0, "Festive picks", terms(Some(6_000), 30), raised),
        campaign(0, "Everyday", terms(None, 7), None),
        campaign(1, "Worth the money", terms(Some(5_000), 30), None),
        campaign(1, "All for the channel", terms(Some(0), 30), None),
        campaign(2, "All for you", terms(Some(10_000), 30), None),
        campaign(2, "A third for you", terms(Some(3_333), 30), None),
        campaign(3, "Tokyo to Kuwait", terms(Some(7_000), 30), None),
    ]
}

/// The usual offer of a currency, from which each of them departs.
fn terms(coin: Coin, commission: CommissionRule, cool_off_days: i32) -> OfferTerms {
    OfferTerms {
        tracking_url: "https://track.example/click?campaign_id=7&pub_id=2&p1={click_token}",
        coin,
        commission,
        commission_max: None,
        usual_sale_max: None,
        cool_off_days,
        txn_id_names_order: true,
        accepts_duplicates: false,
    }
}

fn of_sale(rate: Hundredths) -> CommissionRule {
    CommissionRule::OfSale(rate)
}

fn offers(started_at: Timestamp) -> Vec<Offer> {
    use CommissionRule::ReportedPayout;
    let offer = |offer_id, network_id, brand, category, terms| Offer {
        offer_id,
        network_id,
        brand,
        category,
        terms: editions(started_at, terms, None),
    };
    let fashion = OfferTerms {
        usual_sale_max: Some(Exact::from_units(50_000)),
        ..terms(Coin::Inr, of_sale(800), 14)
    };
    let fashion_later = OfferTerms {
        commission: of_sale(900),
        ..fashion.clone()
    };
    let groceries = OfferTerms {
        // No place for the token: `p1` is appended.
        tracking_url: "https://fresh.example/go?campaign_id=12&pub_id=2",
        commission_max: Some(Exact::from_units(5_000)),
        ..terms(Coin::Inr, ReportedPayout, 10)
    };
    let insurance = OfferTerms {
        txn_id_names_order: false,
        ..terms(Coin::Inr, of_sale(500), 10)
    };
    let market = OfferTerms {
        accepts_duplicates: true,
        ..terms(Coin::Inr, of_sale(800), 14)
    };
    let hosting = OfferTerms {
        commission_max: Some(Exact::from_units(20_000)),
        ..terms(Coin::Usd, ReportedPayout, 14)
    };
    vec![
        Offer {
            terms: editions(started_at, fashion.clone(), Some((8, fashion_later))),
            ..offer(FASHION, DOMESTIC, "Marigold", "fashion", fashion)
        },
        offer(
            ELECTRONICS,
            DOMESTIC,
            "Volt & Co",
            "electronics",
            terms(Coin::Inr, of_sale(275), 7),
        ),
        offer(
            TRAVEL,
            DOMESTIC,
            "Monsoon Air",
            "travel",
            terms(Coin::Inr, of_sale(1_200), 30),
        ),
        offer(GROCERIES, DOMESTIC, "Fresh Lane", "groceries", groceries),
        offer(INSURANCE, DOMESTIC, "Banyan Cover", "insurance", insurance),
        offer(
            FLASH,
            DOMESTIC,
            "Three Day Deal",
            "deals",
            terms(Coin::Inr, of_sale(900), 3),
        ),
        offer(MARKET, DOMESTIC, "Bazaar", "market", market),
        offer(
            APPS,
            FOREIGN,
            "Pixel Loft",
            "apps",
            terms(Coin::Usd, of_sale(1_000), 10),
        ),
        offer(HOSTING, FOREIGN, "Rackspring", "hosting", hosting),
        offer(
            HOTELS,
            DOMESTIC,
            "Ryokan Road",
            "hotels",
            terms(Coin::Jpy, of_sale(650), 14),
        ),
        offer(
            PERFUME,
            DOMESTIC,
            "Oud House",
            "perfume",
            terms(Coin::Kwd, of_sale(725), 5),
        ),
    ]
}
