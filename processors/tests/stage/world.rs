//! A small world: two tenants, an offer of two versions, one network that fires at the sale and
//! one that doesn't.

use std::collections::{BTreeMap, HashMap};

use processors::rules::{attribution::LookedUp, decide::decide};
use schemas::{
    Amount, CampaignId, ClickId, Country, Currency, EventId, LinkId, NetworkId, OfferId,
    Percentage, Position, TenantId, Timestamp, Topic, UserId,
    events::*,
    reference::*,
    token::{ClickToken, NONCE_BYTES, TokenKeys},
};
use uuid::Uuid;

/// When the first versions took effect.
pub const START: Timestamp = Timestamp::from_millis(1_780_000_000_000);
/// When the second versions took effect.
pub const CHANGE: Timestamp = Timestamp::from_millis(1_790_000_000_000);

pub const OFFER: OfferId = OfferId::new(5_509);
/// Of the network that doesn't fire at the sale, with dollars as its default.
pub const SLOW_OFFER: OfferId = OfferId::new(77);

pub fn tenant(number: u128) -> TenantId {
    TenantId::new(Uuid::from_u128(number))
}

pub fn campaign(number: u128) -> CampaignId {
    CampaignId::new(Uuid::from_u128(number))
}

pub fn link(number: u128) -> LinkId {
    LinkId::new(Uuid::from_u128(number))
}

pub fn user(number: u128) -> UserId {
    UserId::new(Uuid::from_u128(number))
}

/// `None` of anything but two letters.
pub fn country(code: &str) -> Option<Country> {
    code.parse().ok()
}

pub fn amount(text: &str) -> Amount {
    text.parse().expect("an amount")
}

pub fn percentage(text: &str) -> Percentage {
    text.parse().expect("a percentage")
}

pub fn keys() -> TokenKeys {
    TokenKeys::new(&[(2, [2; 32]), (1, [1; 32])]).expect("a ring")
}

/// Versions 1, from the start, and 2, from the change.
pub fn versions<T>(first: T, second: T) -> Versions<T> {
    let version = |version, effective_at, value| Version {
        version,
        effective_at,
        value,
    };
    Versions::new(vec![version(1, START, first), version(2, CHANGE, second)]).expect("two versions")
}

fn offer(network: i32, commissions: [&str; 2]) -> Offer {
    let terms = |commission| OfferTerms {
        tracking_url: "https://network.example/click".to_owned(),
        currency: Currency::INR,
        commission_source: CommissionSource::Percentage,
        commission: Rate::Percentage(percentage(commission)),
        goal_rates: BTreeMap::new(),
        commission_max: None,
        usual_sale_max: Some(amount("5000")),
        cool_off_days: 30,
        txn_id_names_order: true,
        duplicate_orders: DuplicatePolicy::Reject,
    };
    Offer {
        network_id: NetworkId::new(network),
        category: Some("footwear".to_owned()),
        terms: versions(terms(commissions[0]), terms(commissions[1])),
    }
}

fn network(default_currency: Currency, fires_at_sale: bool) -> Network {
    Network {
        default_currency,
        payout_means: PayoutMeans::Amount,
        fires_at_sale,
        security_token_sha256: None,
        utc_offset_minutes: 0,
    }
}

/// Tenant 1 has campaign 1 with links 1 (to [`OFFER`]) and 3 (to [`SLOW_OFFER`]), tenant 2 has
/// campaign 2 with link 2. User 9 shares a phone number with a member of tenant 1 from the change
/// on.
pub fn reference() -> ReferenceData {
    let settings = |share| TenantSettings {
        level: PartnerLevel::Standard,
        default_share: percentage(share),
        platform_fee: Percentage::ZERO,
        platform_fee_flat: Amount::ZERO,
        subsidy: Amount::ZERO,
    };
    let own = |number, shares: [Option<&str>; 2]| {
        let terms = |share: Option<&str>| CampaignTerms {
            share: share.map(percentage),
            attribution_window_days: 30,
        };
        Campaign {
            tenant_id: tenant(number),
            terms: versions(terms(shares[0]), terms(shares[1])),
        }
    };
    let link_to = |slug: &str, number, offer_id| Link {
        slug: slug.to_owned(),
        campaign_id: campaign(number),
        offer_id,
    };
    let rules = |score| FraudRules {
        review_score: score,
        ..FraudRules::default()
    };
    let shared = SharedContact {
        contact: SelfPurchase::Phone,
        from: CHANGE,
    };
    ReferenceData {
        tenants: HashMap::from(
            [1, 2].map(|number| (tenant(number), versions(settings("50"), settings("55")))),
        ),
        campaigns: HashMap::from([
            (campaign(1), own(1, [Some("60"), Some("40")])),
            (campaign(2), own(2, [None, Some("0")])),
        ]),
        offers: HashMap::from([
            (OFFER, offer(1, ["8", "10"])),
            (SLOW_OFFER, offer(2, ["5", "5"])),
        ]),
        links: HashMap::from([
            (link(1), link_to("first", 1, OFFER)),
            (link(2), link_to("second", 2, OFFER)),
            (link(3), link_to("third", 1, SLOW_OFFER)),
        ]),
        slugs: HashMap::new(),
        networks: HashMap::from([
            (NetworkId::new(1), network(Currency::INR, true)),
            (NetworkId::new(2), network(Currency::USD, false)),
        ]),
        platform_rules: Some(versions(rules(3), rules(4))),
        tenant_rules: HashMap::new(),
        shared_contacts: HashMap::from([((tenant(1), user(9)), shared)]),
        ..ReferenceData::default()
    }
}

/// A click of user 1 from India on link 1, a day after the start.
pub fn token(click_id: i64) -> ClickToken {
    ClickToken {
        click_id: ClickId::new(click_id),
        clicked_at: START.plus_days(1),
        link_id: link(1),
        offer_id: OFFER,
        user_id: Some(user(1)),
        country: country("IN"),
        signals: ClickSignals::default(),
    }
}

pub fn sealed(token: &ClickToken) -> String {
    keys().seal(token, [7; NONCE_BYTES])
}

/// The facts of the same click, as the `clicks` table has them.
pub fn click(click_id: i64) -> ClickFacts {
    let ClickToken {
        click_id,
        clicked_at,
        link_id,
        offer_id,
        user_id,
        country,
        signals,
    } = token(click_id);
    let (tenant_id, campaign_id) = (tenant(1), campaign(1));
    ClickFacts {
        click_id,
        clicked_at,
        tenant_id,
        campaign_id,
        link_id,
        offer_id,
        user_id,
        country,
        signals,
    }
}

/// A sale of ₹1,999.00 reported with this click reference, an hour after the click.
pub fn report(click_ref: impl Into<String>) -> ConversionReported {
    let sold_at = START.plus_days(1).plus_millis(3_600_000);
    ConversionReported {
        event_id: EventId::new(42),
        received_at: sold_at.plus_millis(1_500),
        source: ReportSource::Postback,
        as_of: None,
        network_id: NetworkId::new(1),
        tenant_id: None,
        click_id: None,
        raw: RawReport {
            bytes: b"sale".to_vec(),
            content_type: "query".to_owned(),
            sha256: "00".repeat(32),
            truncated: false,
        },
        reported: Some(Reported {
            click_ref: click_ref.into(),
            sale_amount: Some(amount("1999.00")),
            converted_at: Some(sold_at),
            country: country("IN"),
            ..Reported::default()
        }),
        malformed: None,
        heal: None,
    }
}

/// The report of a token's click, by the network of its offer.
pub fn report_of(token: &ClickToken) -> ConversionReported {
    let network = if token.offer_id == SLOW_OFFER { 2 } else { 1 };
    ConversionReported {
        network_id: NetworkId::new(network),
        ..report(sealed(token))
    }
}

pub fn position(offset: i64) -> Position {
    Position {
        topic: Topic::Conversions,
        partition: 3,
        offset,
    }
}

/// Decides in this world, with nothing looked up.
pub fn decided(report: &ConversionReported) -> Decision {
    decided_in(&reference(), report, LookedUp::Nothing)
}

pub fn decided_in(
    reference: &ReferenceData,
    report: &ConversionReported,
    looked_up: LookedUp,
) -> Decision {
    let appended_at = report.received_at.plus_millis(5);
    decide(
        position(8),
        appended_at,
        report,
        looked_up,
        reference,
        &keys(),
    )
}

pub fn matched(decision: Decision) -> Matched {
    match decision.outcome {
        Outcome::Matched(matched) => *matched,
        other => panic!("expected a match, got {other:?}"),
    }
}

pub fn unmatched(decision: Decision) -> Unmatched {
    match decision.outcome {
        Outcome::Unmatched(unmatched) => unmatched,
        other => panic!("expected no match, got {other:?}"),
    }
}
