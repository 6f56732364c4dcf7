//! The pure core: one report from its bytes to its decision, and one claim settled.
//!
//! `cargo bench --bench rules`. Figures are per report; the ledger's database is not in them.

use std::{
    collections::{BTreeMap, HashMap},
    hint::black_box,
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use processors::rules::{
    attribution::LookedUp,
    decide::decide,
    history::Report,
    settlement::{Neighbourhood, Scope, settle},
};
use schemas::{
    Amount, CampaignId, ClickId, Currency, EventId, LinkId, NetworkId, OfferId, Percentage,
    Position, TenantId, Timestamp, Topic, UserId, codec,
    events::{
        ClickSignals, CommissionSource, ConversionReported, DuplicatePolicy, NetworkStatus,
        PayoutMeans, Rate, RawReport, ReportSource, Reported,
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

fn reference() -> ReferenceData {
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

fn report(keys: &TokenKeys) -> ConversionReported {
    let click_id = ClickId::new(900_719_925_474_099_301);
    let token = ClickToken {
        click_id,
        clicked_at: CLICKED_AT,
        link_id: ids().2,
        offer_id: OfferId::new(5_509),
        user_id: Some(UserId::new(Uuid::from_u128(4))),
        country: Some("IN".parse().expect("a country")),
        signals: ClickSignals::default(),
    };
    let click_ref = keys.seal(&token, [7; 24]);
    ConversionReported {
        event_id: EventId::new(900_719_925_474_099_302),
        received_at: CLICKED_AT.plus_days(1),
        source: ReportSource::Postback,
        as_of: None,
        network_id: NetworkId::new(1),
        tenant_id: None,
        click_id: Some(click_id),
        raw: RawReport {
            bytes: format!("click_id={click_ref}&sale_amount=1999.00&status=approved").into_bytes(),
            content_type: "query".to_owned(),
            sha256: "ab".repeat(32),
            truncated: false,
        },
        reported: Some(Reported {
            click_ref,
            txn_id: Some("ORDER-1".to_owned()),
            status: Some(NetworkStatus::Approved),
            sale_amount: Some("1999.00".parse().expect("an amount")),
            ..Reported::default()
        }),
        malformed: None,
        heal: None,
    }
}

fn rules(criterion: &mut Criterion) {
    let keys = TokenKeys::new(&[(1, [1; 32])]).expect("a key ring");
    let reference = reference();
    let report = report(&keys);
    let encoded = codec::encode(&report).expect("encodes");
    let position = Position {
        topic: Topic::Conversions,
        partition: 3,
        offset: 42,
    };
    let appended_at = report.received_at;
    let decided = |report: &ConversionReported| {
        decide(
            position,
            appended_at,
            report,
            LookedUp::Nothing,
            &reference,
            &keys,
        )
    };

    let mut group = criterion.benchmark_group("one report");
    group.throughput(Throughput::Elements(1));
    group.bench_function("decide", |bencher| {
        bencher.iter(|| decided(black_box(&report)));
    });
    group.bench_function("decode, decide, encode", |bencher| {
        bencher.iter(|| {
            let report = codec::decode(black_box(&encoded)).expect("decodes");
            codec::encode(&decided(&report)).expect("encodes")
        });
    });
    let fact = Report::from_decision(&decided(&report)).expect("matched");
    let neighbourhood = Neighbourhood {
        reports: [(fact.click_id(), vec![fact.clone()])].into(),
        ..Neighbourhood::default()
    };
    let scope = Scope {
        clicks: [fact.click_id()].into(),
        ..Scope::default()
    };
    group.bench_function("settle a claim of one report", |bencher| {
        bencher.iter(|| settle(black_box(&neighbourhood), &scope));
    });
    group.finish();
}

criterion_group!(benches, rules);
criterion_main!(benches);
