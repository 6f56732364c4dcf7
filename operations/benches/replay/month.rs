//! A month of sales: a log of reports and decisions, and the ledger that comes of it.

use std::collections::{BTreeMap, HashMap};

use processors::rules::{
    attribution::LookedUp,
    decide::decide,
    history::Report,
    settlement::{Neighbourhood, Scope, settle},
};
use schemas::{
    CampaignId, ClickId, Currency, EventId, LinkId, NetworkId, OfferId, Percentage, Position,
    TenantId, Timestamp, Topic, UserId, codec,
    events::{
        ClickFacts, ClickSignals, CommissionSource, ConversionReported, DuplicatePolicy,
        NetworkStatus, PayoutMeans, Rate, RawReport, ReportSource, Reported,
    },
    reference::{
        Campaign, CampaignTerms, Link, Network, Offer, OfferTerms, PartnerLevel, ReferenceData,
        TenantSettings, Version, Versions,
    },
    token::{ClickToken, TokenKeys},
};
use sinks::ledger::{CONSUMER, claim_rows::ClaimRow};
use sqlx::PgPool;
use stream::{Log, NewRecord};
use uuid::Uuid;

/// The month's first moment.
pub const T0: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const MONTH_MILLIS: u64 = 30 * 86_400_000;
const TENANTS: u128 = 50;
const OFFERS: i32 = 200;
/// A shopper clicks so often within a few hours.
const CLICKS_OF_A_VISIT: u64 = 3;
const VISITS_AT_A_TIME: u64 = 1_500;

/// What was made.
pub struct Month {
    pub reports: u64,
    pub rows: u64,
    pub reference: ReferenceData,
}

fn once<T>(value: T) -> Versions<T> {
    let version = Version {
        version: 1,
        effective_at: T0.plus_days(-1),
        value,
    };
    Versions::new(vec![version]).expect("one version")
}

fn percentage(hundredths: i32) -> Percentage {
    Percentage::from_hundredths(hundredths).expect("a percentage")
}

fn id(kind: u128, number: u128) -> Uuid {
    Uuid::from_u128((kind << 64) + number)
}

fn reference() -> ReferenceData {
    let network_id = NetworkId::new(1);
    let mut reference = ReferenceData {
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
    };
    for number in 0..TENANTS {
        let tenant_id = TenantId::new(id(1, number));
        let campaign_id = CampaignId::new(id(2, number));
        let settings = TenantSettings {
            level: PartnerLevel::Standard,
            default_share: percentage(6_000),
            platform_fee: percentage(500),
            platform_fee_flat: schemas::Amount::ZERO,
            subsidy: schemas::Amount::ZERO,
        };
        reference.tenants.insert(tenant_id, once(settings));
        let terms = CampaignTerms {
            share: None,
            attribution_window_days: 30,
        };
        let campaign = Campaign {
            tenant_id,
            terms: once(terms),
        };
        reference.campaigns.insert(campaign_id, campaign);
        let link = Link {
            slug: format!("link-{number}"),
            campaign_id,
            offer_id: OfferId::new(1),
        };
        reference.links.insert(LinkId::new(id(3, number)), link);
    }
    for number in 1..=OFFERS {
        let terms = OfferTerms {
            tracking_url: "https://merchant.example/".to_owned(),
            currency: Currency::INR,
            commission_source: CommissionSource::Percentage,
            commission: Rate::Percentage(percentage(400 + number)),
            goal_rates: BTreeMap::new(),
            commission_max: None,
            usual_sale_max: None,
            cool_off_days: 30,
            txn_id_names_order: true,
            duplicate_orders: DuplicatePolicy::Reject,
        };
        let offer = Offer {
            network_id,
            category: None,
            terms: once(terms),
        };
        reference.offers.insert(OfferId::new(number), offer);
    }
    reference
}

/// One visit of a shopper: a few clicks, each with a sale. Every fiftieth visit reports one order
/// by two clicks; every tenth sale is amended.
fn reports_of_visit(
    visit: u64,
    visits: u64,
    keys: &TokenKeys,
) -> Vec<(ConversionReported, ClickFacts)> {
    let millis = |number: u64| i64::try_from(number).expect("small");
    let began = T0.plus_millis(millis(MONTH_MILLIS / visits.max(1) * visit));
    let tenant = u128::from(visit) % TENANTS;
    let mut reports = Vec::new();
    for place in 0..CLICKS_OF_A_VISIT {
        let number = millis(visit * CLICKS_OF_A_VISIT + place);
        let click = ClickFacts {
            click_id: ClickId::new(1_000_000_000 + number),
            clicked_at: began.plus_millis(millis(place) * 600_000),
            tenant_id: TenantId::new(id(1, tenant)),
            campaign_id: CampaignId::new(id(2, tenant)),
            link_id: LinkId::new(id(3, tenant)),
            offer_id: OfferId::new(1 + i32::try_from(visit % 200).expect("small")),
            // Shoppers come back a week later.
            user_id: Some(UserId::new(id(4, u128::from(visit % (visits / 4).max(1))))),
            country: "IN".parse().ok(),
            signals: ClickSignals::default(),
        };
        let order = if visit.is_multiple_of(50) {
            place.min(1)
        } else {
            place
        };
        let report = |event: i64, sale: i64, hours: i64| {
            let reported = Reported {
                click_ref: keys.seal(&token(&click), [7; 24]),
                txn_id: Some(format!("ORD-{visit}-{order}")),
                status: Some(NetworkStatus::Approved),
                sale_amount: schemas::Amount::from_decimal(sale.into()).ok(),
                converted_at: Some(click.clicked_at.plus_millis(1_800_000)),
                country: "IN".parse().ok(),
                ..Reported::default()
            };
            reported_by_postback(
                event,
                click.clicked_at.plus_millis(hours * 3_600_000),
                reported,
            )
        };
        let sale = 500 + number % 5_000;
        reports.push((report(2 * number + 1, sale, 1), click.clone()));
        if number % 10 == 0 {
            reports.push((report(2 * number + 2, sale - 100, 20), click));
        }
    }
    reports
}

fn token(click: &ClickFacts) -> ClickToken {
    ClickToken {
        click_id: click.click_id,
        clicked_at: click.clicked_at,
        link_id: click.link_id,
        offer_id: click.offer_id,
        user_id: click.user_id,
        country: click.country,
        signals: click.signals,
    }
}

fn reported_by_postback(
    event: i64,
    received_at: Timestamp,
    reported: Reported,
) -> ConversionReported {
    let query = format!("p1={}&status=approved&txn_id=ORD", reported.click_ref);
    ConversionReported {
        event_id: EventId::new(event),
        received_at,
        source: ReportSource::Postback,
        as_of: None,
        network_id: NetworkId::new(1),
        tenant_id: None,
        click_id: None,
        raw: RawReport {
            bytes: query.into_bytes(),
            content_type: "query".to_owned(),
            sha256: "ab".repeat(32),
            truncated: false,
        },
        reported: Some(reported),
        malformed: None,
        heal: None,
    }
}

impl Month {
    /// Makes log and ledger; some visits at a time.
    pub async fn make(log: &dyn Log, owner: &PgPool, conversions: u64) -> Self {
        prepare(owner).await;
        let keys = TokenKeys::new(&[(1, [1; 32])]).expect("a ring");
        let mut month = Self {
            reports: 0,
            rows: 0,
            reference: reference(),
        };
        let visits = conversions.div_ceil(CLICKS_OF_A_VISIT);
        let mut next = 0;
        while next < visits {
            let some = next..(next + VISITS_AT_A_TIME).min(visits);
            next = some.end;
            let reports = some.map(|visit| reports_of_visit(visit, visits, &keys));
            month.add(log, owner, reports.collect(), &keys).await;
        }
        note_positions(log, owner).await;
        month
    }

    async fn add(
        &mut self,
        log: &dyn Log,
        owner: &PgPool,
        visits: Vec<Vec<(ConversionReported, ClickFacts)>>,
        keys: &TokenKeys,
    ) {
        let records = visits.iter().flatten().map(|(report, click)| {
            let value = codec::encode(report).expect("encoded");
            let mut record = NewRecord::new(click.click_id.to_string(), value);
            record.appended_at = Some(report.received_at);
            record
        });
        let positions = log.append(Topic::Conversions, records.collect()).await;
        let mut positions = positions.expect("appended").into_iter();
        let mut decisions = Vec::new();
        let mut rows = Vec::new();
        for visit in &visits {
            let mut neighbourhood = Neighbourhood::default();
            for (report, click) in visit {
                let position: Position = positions.next().expect("one for each record");
                let looked_up = LookedUp::Click(click.clone());
                let at = report.received_at;
                let decision = decide(position, at, report, looked_up, &self.reference, keys);
                let value = codec::encode(&decision).expect("encoded");
                let key = click.click_id.to_string();
                decisions.push(NewRecord::new(key, value).in_partition(position.partition));
                let report = Report::from_decision(&decision).expect("matched");
                let reports = neighbourhood.reports.entry(click.click_id).or_default();
                reports.push(report);
            }
            let scope = Scope {
                clicks: neighbourhood.reports.keys().copied().collect(),
                ..Scope::default()
            };
            rows.extend(settle(&neighbourhood, &scope).iter().map(ClaimRow::of));
        }
        self.reports += decisions.len() as u64;
        self.rows += rows.len() as u64;
        let json = serde_json::to_string(&rows).expect("JSON");
        let inserted = sqlx::query(
            "INSERT INTO ledger SELECT * FROM json_populate_recordset(NULL::ledger, $1::json)",
        )
        .bind(json)
        .execute(owner);
        let (appended, inserted) = tokio::join!(log.append(Topic::Decisions, decisions), inserted);
        appended.expect("appended");
        inserted.expect("inserted");
    }
}

/// Partitions for the month, and no index that only slows down filling it.
async fn prepare(owner: &PgPool) {
    sqlx::query("SELECT ensure_partitions($1, $2)")
        .bind(T0.to_datetime())
        .bind(T0.plus_days(31).to_datetime())
        .execute(owner)
        .await
        .expect("partitions");
    sqlx::raw_sql("DROP INDEX ledger_click; DROP INDEX ledger_user; DROP INDEX ledger_status")
        .execute(owner)
        .await
        .expect("dropped");
}

/// As if the ledger had read all of it.
async fn note_positions(log: &dyn Log, owner: &PgPool) {
    for partition in 0..Topic::Decisions.partitions() {
        let held = log.watermarks(Topic::Decisions, partition).await;
        sqlx::query("INSERT INTO consumer_positions VALUES ($1, $2, $3, $4)")
            .bind(CONSUMER)
            .bind(Topic::Decisions.name())
            .bind(partition)
            .bind(held.expect("watermarks").high)
            .execute(owner)
            .await
            .expect("noted");
    }
}
