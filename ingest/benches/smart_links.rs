//! Resolving a smart link in the process, among 100,000 of them: from the slug to the address that
//! the shopper is sent to.
//!
//! `cargo bench -p ingest --bench smart_links`

use std::{collections::BTreeMap, hint::black_box};

use criterion::{Criterion, criterion_group, criterion_main};
use ingest::smart_link::SmartLink;
use schemas::{
    CampaignId, ClickId, Currency, LinkId, NetworkId, OfferId, TenantId, Timestamp,
    events::{ClickSignals, CommissionSource, DuplicatePolicy, Rate},
    reference::{
        Campaign, CampaignTerms, Link, Offer, OfferTerms, ReferenceData, Version, Versions,
    },
    token::{ClickToken, TokenKeys},
};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const LINKS: u128 = 100_000;
const OFFER: OfferId = OfferId::new(41);

fn only<T>(value: T) -> Versions<T> {
    let version = Version {
        version: 1,
        effective_at: NOW.plus_days(-1),
        value,
    };
    Versions::new(vec![version]).expect("one version")
}

fn reference() -> ReferenceData {
    let offer = Offer {
        network_id: NetworkId::new(1),
        category: None,
        terms: only(OfferTerms {
            tracking_url: "https://t.example/click?campaign_id=41&pub_id=2".to_owned(),
            currency: Currency::INR,
            commission_source: CommissionSource::Percentage,
            commission: Rate::Percentage("8".parse().expect("a percentage")),
            goal_rates: BTreeMap::new(),
            commission_max: None,
            usual_sale_max: None,
            cool_off_days: 30,
            txn_id_names_order: true,
            duplicate_orders: DuplicatePolicy::Reject,
        }),
    };
    let mut data = ReferenceData::default();
    data.offers.insert(OFFER, offer);
    for number in 1..=LINKS {
        let id = Uuid::from_u128(number);
        let (campaign_id, link_id) = (CampaignId::new(id), LinkId::new(id));
        let campaign = Campaign {
            tenant_id: TenantId::new(id),
            terms: only(CampaignTerms {
                share: None,
                attribution_window_days: 30,
            }),
        };
        let slug = format!("slug-{number}");
        let link = Link {
            slug: slug.clone(),
            campaign_id,
            offer_id: OFFER,
        };
        data.domains
            .insert(format!("{slug}.example"), campaign.tenant_id);
        data.campaigns.insert(campaign_id, campaign);
        data.links.insert(link_id, link);
        data.slugs.insert(slug, link_id);
    }
    data
}

fn resolve(c: &mut Criterion) {
    let data = reference();
    let keys = TokenKeys::new(&[(1, [1; 32])]).expect("a key ring");
    let token = ClickToken {
        click_id: ClickId::new(7_012_345_678_901_234_567),
        clicked_at: NOW,
        link_id: LinkId::new(Uuid::from_u128(1)),
        offer_id: OFFER,
        user_id: None,
        country: None,
        signals: ClickSignals::default(),
    };
    let mut number = 0;
    c.bench_function("a slug to its address, with a sealed token", |bencher| {
        bencher.iter(|| {
            // Another link each time, so that no cache line is warm.
            number = (number + 7_919) % LINKS;
            let slug = format!("slug-{}", number + 1);
            let link = SmartLink::resolve(&data, Some("hissaback.app"), black_box(&slug), NOW);
            let token = keys.seal(&token, [7; 24]);
            link.and_then(|link| link.location(&token, "utm_source=insta"))
                .expect("it leads on")
        });
    });
}

criterion_group!(benches, resolve);
criterion_main!(benches);
