//! A small installation, and clicks and reports of it, for what is measured without HTTP.

use std::collections::{BTreeMap, HashMap};

use schemas::{
    Amount, CampaignId, ClickId, Currency, EventId, LinkId, NetworkId, OfferId, Percentage,
    TenantId, Timestamp, UserId,
    events::{
        ClickOrigin, ClickRecorded, ClickSignals, CommissionSource, ConversionReported, Device,
        DuplicatePolicy, NetworkStatus, PayoutMeans, Rate, RawReport, ReportSource, Reported,
    },
    reference::{
        Campaign, CampaignTerms, Link, Network, Offer, OfferTerms, PartnerLevel, ReferenceData,
        TenantSettings, Version, Versions,
    },
    token::{ClickToken, TokenKeys},
};
use uuid::Uuid;

const CLICKED_AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn once<T>(value: T) -> Versions<T> {
    let version = Version {
        version: 1,
        effective_at: CLICKED_AT.plus_days(-1),
        value,
    };
    Versions::new(vec![version]).expect("one version")
}

fn percentage(hundredths: i32) -> Percentage {
    Percentage::from_hundredths(hundredths).expect("a percentage")
}

/// A tenant with a campaign, an offer and a link.
pub fn reference() -> ReferenceData {
    let (tenant_id, campaign_id, link_id) = ids();
    let offer_id = OfferId::new(5_509);
    let network_id = NetworkId::new(1);
    let link = Link {
        slug: "shoes".to_owned(),
        campaign_id,
        offer_id,
    };
    ReferenceData {
        tenants: HashMap::from([(
            tenant_id,
            once(TenantSettings {
                level: PartnerLevel::Standard,
                default_share: percentage(6_000),
                platform_fee: Percentage::ZERO,
                platform_fee_flat: Amount::ZERO,
                subsidy: Amount::ZERO,
            }),
        )]),
        campaigns: HashMap::from([(
            campaign_id,
            Campaign {
                tenant_id,
                terms: once(CampaignTerms {
                    share: None,
                    attribution_window_days: 30,
                }),
            },
        )]),
        offers: HashMap::from([(
            offer_id,
            Offer {
                network_id,
                category: None,
                terms: once(OfferTerms {
                    tracking_url: "https://merchant.example/".to_owned(),
                    currency: Currency::INR,
                    commission_source: CommissionSource::Percentage,
                    commission: Rate::Percentage(percentage(800)),
                    goal_rates: BTreeMap::new(),
                    commission_max: None,
                    usual_sale_max: None,
                    cool_off_days: 30,
                    txn_id_names_order: true,
                    duplicate_orders: DuplicatePolicy::Reject,
                }),
            },
        )]),
        links: HashMap::from([(link_id, link)]),
        networks: HashMap::from([(
            network_id,
            Network {
                default_currency: Currency::INR,
                payout_means: PayoutMeans::Amount,
                fires_at_sale: false,
                security_token_sha256: None,
                utc_offset_minutes: 0,
            },
        )]),
        ..ReferenceData::default()
    }
}

fn ids() -> (TenantId, CampaignId, LinkId) {
    (
        TenantId::new(Uuid::from_u128(1)),
        CampaignId::new(Uuid::from_u128(2)),
        LinkId::new(Uuid::from_u128(3)),
    )
}

/// The shopper of the sale of this number. Each buys three times, below what velocity calls
/// suspicious, and 10,000 sales apart: of 200,000 a day, more than an hour.
pub const fn shopper(number: u64) -> u64 {
    const APART: u64 = 10_000;
    number / (3 * APART) * APART + number % APART
}

/// The click of this number, before the sale of this number.
pub fn click(number: u32) -> ClickRecorded {
    let (tenant_id, campaign_id, link_id) = ids();
    let clicked_at = CLICKED_AT.plus_millis(i64::from(number));
    ClickRecorded {
        click_id: ClickId::new(900_719_925_474_000_000 + i64::from(number)),
        clicked_at,
        received_at: clicked_at,
        tenant_id,
        campaign_id,
        link_id,
        offer_id: OfferId::new(5_509),
        user_id: Some(UserId::new(Uuid::from_u128(
            1_000 + u128::from(shopper(number.into())),
        ))),
        country: Some("IN".parse().expect("a country")),
        device: Device::Mobile,
        signals: ClickSignals::default(),
        address_hash: Some("cd".repeat(32)),
        address_prefix: Some("203.0.113.0/24".to_owned()),
        referrer: None,
        origin: ClickOrigin::Api,
    }
}

/// The report of a sale by the click of this number.
pub fn report(keys: &TokenKeys, number: u32) -> ConversionReported {
    let click = click(number);
    let token = ClickToken {
        click_id: click.click_id,
        clicked_at: click.clicked_at,
        link_id: click.link_id,
        offer_id: click.offer_id,
        user_id: click.user_id,
        country: click.country,
        signals: click.signals,
    };
    let click_ref = keys.seal(&token, [7; 24]);
    let order = format!("ORDER-{number}");
    let query = format!("click_id={click_ref}&sale_amount=1999.00&status=approved&txn_id={order}");
    ConversionReported {
        event_id: EventId::new(900_719_925_475_000_000 + i64::from(number)),
        received_at: CLICKED_AT.plus_days(1),
        source: ReportSource::Postback,
        as_of: None,
        network_id: NetworkId::new(1),
        tenant_id: None,
        click_id: Some(click.click_id),
        raw: RawReport {
            bytes: query.into_bytes(),
            content_type: "query".to_owned(),
            sha256: "ab".repeat(32),
            truncated: false,
        },
        reported: Some(Reported {
            click_ref,
            txn_id: Some(order),
            status: Some(NetworkStatus::Approved),
            sale_amount: Some("1999.00".parse().expect("an amount")),
            ..Reported::default()
        }),
        malformed: None,
        heal: None,
    }
}
