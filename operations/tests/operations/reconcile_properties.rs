//! Losing any set of postbacks and then reconciling with the full export comes to the same claims,
//! statuses, commissions and shares as losing none.
//!
//! What an export can't bring back, and so isn't asked for: that a sale was approved before it was
//! cancelled (`reversed` is then `rejected`, with nothing in the books either way); which of
//! several claims on one order came first, since the first to arrive owns it; and which of five
//! claims on one click is the fifth, since those go by their names.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
};

use operations::{
    reconcile::{
        ReconcileSettings,
        rules::{Action, Comparison, Judgement, Row, judge},
    },
    trackier::{
        fake::Fault,
        pull::pull,
        spool::{PullHeader, Spool},
    },
};
use processors::rules::{
    attribution::LookedUp,
    decide::decide,
    history::Report,
    lifecycle::ClaimState,
    settlement::{Neighbourhood, Scope, settle},
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use schemas::{
    Amount, CampaignId, Currency, EventId, LinkId, Position, Timestamp, Topic,
    events::{
        ClaimStatus, CommissionSource, ConversionReported, DuplicatePolicy, NetworkStatus,
        PayoutMeans, Rate, RawReport, ReportSource, Reported,
    },
    reference::{
        Campaign, CampaignTerms, Link, Network, Offer, OfferTerms, PartnerLevel, ReferenceData,
        TenantSettings, Version, Versions,
    },
    token::TokenKeys,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    reconcile::{reconcile_as, settings},
    trackier,
    world::{NETWORK, NOW, OFFER, World, click, tenant, token},
};

/// What the network says of a sale at some time.
#[derive(Debug, Clone)]
struct Saying {
    status: NetworkStatus,
    sale: i64,
    lost: bool,
    /// How late its postback is, in minutes: they overtake each other.
    late: i64,
}

/// A sale as the network knows it: its last saying stands in the export.
#[derive(Debug, Clone)]
struct Sale {
    click: i64,
    order: String,
    goal: Option<&'static str>,
    conversion: String,
    /// Whether postbacks carry the network's conversion id, and its time.
    names_conversion: bool,
    tells_time: bool,
    sayings: Vec<Saying>,
}

#[derive(Debug, Clone)]
struct Story {
    sales: Vec<Sale>,
}

/// Everything that the property speaks of. By click, order, and goal.
type Outcome = BTreeMap<(i64, String, Option<String>), (ClaimStatus, String)>;

fn sayings() -> impl Strategy<Value = Vec<Saying>> {
    let status = prop_oneof![
        Just(NetworkStatus::Pending),
        Just(NetworkStatus::Extended),
        Just(NetworkStatus::Approved),
        Just(NetworkStatus::Cancelled),
        Just(NetworkStatus::Rejected),
    ];
    let saying = (status, 1..5_i64, any::<bool>(), 0..200_i64);
    prop::collection::vec(saying, 1..5).prop_map(|drawn| {
        let mut sayings: Vec<Saying> = Vec::new();
        for (status, hundreds, lost, late) in drawn {
            let decided =
                |status| !matches!(status, NetworkStatus::Pending | NetworkStatus::Extended);
            // What is decided never becomes undecided again.
            let status = match sayings.last() {
                Some(before) if decided(before.status) && !decided(status) => before.status,
                Some(_) | None => status,
            };
            sayings.push(Saying {
                status,
                sale: hundreds * 100,
                lost,
                late,
            });
        }
        sayings
    })
}

fn story() -> impl Strategy<Value = Story> {
    let sale = (
        sayings(),
        0..3_u8,
        0..3_usize,
        any::<bool>(),
        any::<bool>(),
        0..4_u8,
    );
    (prop::collection::vec(sale, 1..8), any::<bool>()).prop_map(|(drawn, one_shopper)| {
        let mut sales: Vec<Sale> = Vec::new();
        for (number, drawn) in (1_i64..).zip(drawn) {
            let (sayings, shares_click, goal, names_conversion, tells_time, contests) = drawn;
            // Clicks of one shopper are thirty apart.
            let own_click = if one_shopper { 30 * number } else { number };
            let before = sales.last().filter(|_| !one_shopper);
            let roomy =
                |sale: &&Sale| sales.iter().filter(|one| one.click == sale.click).count() < 4;
            let shared = before.filter(|_| shares_click == 0).filter(roomy);
            let click = shared.map_or(own_click, |sale| sale.click);
            let contested = before.filter(|sale| contests == 0 && sale.click != click);
            let order = contested.map_or_else(|| format!("O-{number}"), |sale| sale.order.clone());
            sales.push(Sale {
                click,
                order,
                goal: [None, None, Some("purchase")][goal],
                conversion: format!("c{number}"),
                names_conversion,
                tells_time,
                sayings,
            });
        }
        Story { sales }
    })
}

impl Sale {
    fn converted_at(&self) -> Timestamp {
        click(self.click).clicked_at.plus_millis(7_200_000)
    }

    fn says(&self, saying: &Saying, click_ref: String) -> Reported {
        Reported {
            click_ref,
            txn_id: Some(self.order.clone()),
            goal_id: self.goal.map(str::to_owned),
            status: Some(saying.status),
            sale_amount: Some(Amount::from_micros(saying.sale * 1_000_000)),
            currency: Some(Currency::INR),
            ..Reported::default()
        }
    }

    fn postbacks(&self) -> impl Iterator<Item = (Timestamp, bool, Reported)> {
        (0_i64..).zip(&self.sayings).map(|(number, saying)| {
            let sent_at = self
                .converted_at()
                .plus_millis(60_000 * (60 * number + saying.late));
            let mut fields = self.says(saying, token(self.click));
            fields.network_conversion_id = self.names_conversion.then(|| self.conversion.clone());
            fields.converted_at = self.tells_time.then(|| self.converted_at());
            (sent_at, saying.lost, fields)
        })
    }

    fn exported(&self) -> Reported {
        let last = self.sayings.last().expect("at least one");
        Reported {
            network_conversion_id: Some(self.conversion.clone()),
            converted_at: Some(self.converted_at()),
            ..self.says(last, token(self.click))
        }
    }
}

impl Story {
    /// The postbacks that arrive, in the order of their receipt.
    fn postbacks(&self, losing: bool) -> Vec<(Timestamp, Reported)> {
        let all = self.sales.iter().flat_map(Sale::postbacks);
        let mut arrived: Vec<_> = all
            .filter(|(_, lost, _)| !(losing && *lost))
            .map(|(at, _, fields)| (at, fields))
            .collect();
        arrived.sort_by_key(|(at, _)| *at);
        arrived
    }

    fn export(&self) -> Vec<Reported> {
        self.sales.iter().map(Sale::exported).collect()
    }

    fn csv(&self) -> String {
        let mut text = "_id,p1,created,status,txn_id,goal_id,sale,currency\n".to_owned();
        for row in self.export() {
            let status = format!("{:?}", row.status.expect("told")).to_lowercase();
            let text_of = |field: Option<String>| field.unwrap_or_default();
            text += &[
                text_of(row.network_conversion_id),
                row.click_ref,
                row.converted_at.expect("told").to_string(),
                status,
                text_of(row.txn_id),
                text_of(row.goal_id),
                row.sale_amount.expect("told").to_string(),
                "INR\n".to_owned(),
            ]
            .join(",");
        }
        text
    }

    /// What the fake Trackier lists, pulled over small pages, with faults on the way.
    async fn pulled(&self) -> Vec<u8> {
        let served = trackier::serve().await;
        for row in self.export() {
            let status = format!("{:?}", row.status.expect("told")).to_lowercase();
            served.fake.add_conversion(json!({
                "_id": row.network_conversion_id,
                "click_id": "66ec01a2b3c4d5e6f7000001",
                "p1": row.click_ref,
                "created": row.converted_at.expect("told").to_string(),
                "status": status,
                "txn_id": row.txn_id,
                "goal_id": row.goal_id,
                "sale": row.sale_amount.expect("told").to_string(),
                "currency": "INR",
            }));
        }
        served.fake.cut_pages(2);
        served.fake.overlap_pages(1);
        served.fake.go_wrong([
            Fault::Malformed,
            Fault::ServerError,
            Fault::None,
            Fault::Lost,
        ]);
        let header = PullHeader {
            from: NOW.plus_days(-3),
            to: NOW,
            ..trackier::header()
        };
        let mut spool = Spool::temporary(header).expect("a file");
        let pulled = pull(&served.client(), &mut spool, |_| ()).await;
        assert_eq!(pulled.expect("pulled").rows, self.sales.len() as u64);
        let mut rows = Vec::new();
        let mut kept = spool.rows().expect("readable");
        kept.read_to_end(&mut rows).expect("read");
        rows
    }

    /// Orders that more than one click's sales name.
    fn contested(&self) -> BTreeSet<&str> {
        let mut clicks: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        for sale in &self.sales {
            clicks.entry(&sale.order).or_default().insert(sale.click);
        }
        let several = clicks.into_iter().filter(|(_, clicks)| clicks.len() > 1);
        several.map(|(order, _)| order).collect()
    }

    /// What is to come out alike: of orders that several clicks name, that there is a claim.
    fn comparable(&self, outcome: &Outcome) -> Outcome {
        let contested = self.contested();
        let mut comparable = outcome.clone();
        for ((_, order, _), (status, money)) in &mut comparable {
            if contested.contains(order.as_str()) {
                *status = ClaimStatus::Pending;
                money.clear();
            } else if *status == ClaimStatus::Reversed {
                *status = ClaimStatus::Rejected;
            }
        }
        comparable
    }
}

/// The data of [`crate::world`]: 8%, of which the shopper has 60%.
fn reference() -> ReferenceData {
    fn once<T>(value: T) -> Versions<T> {
        let version = Version {
            version: 1,
            effective_at: Timestamp::from_millis(0),
            value,
        };
        Versions::new(vec![version]).expect("one")
    }
    let settings = TenantSettings {
        level: PartnerLevel::Standard,
        default_share: "50".parse().expect("a share"),
        platform_fee: "0".parse().expect("a fee"),
        platform_fee_flat: Amount::ZERO,
        subsidy: Amount::ZERO,
    };
    let campaign = Campaign {
        tenant_id: tenant(),
        terms: once(CampaignTerms {
            share: "60".parse().ok(),
            attribution_window_days: 30,
        }),
    };
    let offer = Offer {
        network_id: NETWORK,
        category: None,
        terms: once(OfferTerms {
            tracking_url: "https://network.example/click".to_owned(),
            currency: Currency::INR,
            commission_source: CommissionSource::Percentage,
            commission: Rate::Percentage("8".parse().expect("a rate")),
            goal_rates: BTreeMap::new(),
            commission_max: None,
            usual_sale_max: None,
            cool_off_days: 30,
            txn_id_names_order: true,
            duplicate_orders: DuplicatePolicy::Reject,
        }),
    };
    let network = Network {
        default_currency: Currency::INR,
        payout_means: PayoutMeans::Amount,
        fires_at_sale: true,
        security_token_sha256: None,
        utc_offset_minutes: 0,
    };
    let (campaign_id, link_id) = (
        CampaignId::new(Uuid::from_u128(2)),
        LinkId::new(Uuid::from_u128(3)),
    );
    let link = Link {
        slug: "kurtas".to_owned(),
        campaign_id,
        offer_id: OFFER,
    };
    ReferenceData {
        tenants: [(tenant(), once(settings))].into(),
        campaigns: [(campaign_id, campaign)].into(),
        offers: [(OFFER, offer)].into(),
        links: [(link_id, link)].into(),
        networks: [(NETWORK, network)].into(),
        ..ReferenceData::default()
    }
}

/// The fold in memory.
struct InMemory {
    reference: ReferenceData,
    keys: TokenKeys,
    reports: Vec<Report>,
}

impl InMemory {
    fn of(story: &Story, losing: bool) -> Self {
        let mut ledger = Self {
            reference: reference(),
            keys: TokenKeys::new(&[(1, [1; 32])]).expect("a ring"),
            reports: Vec::new(),
        };
        for (at, fields) in story.postbacks(losing) {
            ledger.take(at, ReportSource::Postback, None, fields);
        }
        ledger
    }

    fn take(
        &mut self,
        at: Timestamp,
        source: ReportSource,
        as_of: Option<Timestamp>,
        fields: Reported,
    ) {
        let number = 1 + i64::try_from(self.reports.len()).expect("few");
        let position = Position {
            topic: Topic::Conversions,
            partition: 0,
            offset: number,
        };
        let event = ConversionReported {
            event_id: EventId::new(number),
            received_at: at,
            source,
            as_of,
            network_id: NETWORK,
            tenant_id: None,
            click_id: None,
            raw: RawReport {
                bytes: Vec::new(),
                content_type: "query".to_owned(),
                sha256: String::new(),
                truncated: false,
            },
            reported: Some(fields),
            malformed: None,
            heal: None,
        };
        let (reference, keys) = (&self.reference, &self.keys);
        let decision = decide(position, at, &event, LookedUp::Nothing, reference, keys);
        let report = Report::from_decision(&decision).expect("its click is in its token");
        self.reports.push(report);
    }

    /// Reconciles with an export, and says how many rows were appended.
    fn reconcile(&mut self, export: &[Reported]) -> usize {
        let how = Comparison {
            tolerance: Amount::ZERO,
            utc_offset_minutes: 0,
        };
        let before = self.reports.clone();
        let mut appended = 0;
        for fields in export {
            let click_id = self
                .keys
                .open(&fields.click_ref)
                .expect("our token")
                .click_id;
            let theirs: Vec<Report> = before
                .iter()
                .filter(|report| report.click_id() == click_id)
                .cloned()
                .collect();
            let row = Row {
                fields: fields.clone(),
                as_of: NOW,
                now: NOW,
            };
            let append = match judge(&row, &theirs, None, how) {
                Judgement::Missing => true,
                Judgement::Ambiguous => false,
                Judgement::Matched {
                    differences,
                    action,
                    ..
                } => !differences.is_empty() && action == Action::Append,
            };
            if append {
                self.take(NOW, ReportSource::Csv, Some(NOW), fields.clone());
                appended += 1;
            }
        }
        appended
    }

    fn outcome(&self) -> Outcome {
        let mut neighbourhood = Neighbourhood::default();
        for report in &self.reports {
            let theirs = neighbourhood.reports.entry(report.click_id()).or_default();
            theirs.push(report.clone());
        }
        let scope = Scope {
            clicks: neighbourhood.reports.keys().copied().collect(),
            ..Scope::default()
        };
        settle(&neighbourhood, &scope).iter().map(told).collect()
    }
}

fn told(claim: &ClaimState) -> ((i64, String, Option<String>), (ClaimStatus, String)) {
    let money = format!(
        "{:?} {:?} {:?} {} {:?} {:?}",
        claim.network_status.map(undecided_is_one),
        claim.sale_amount,
        claim.currency,
        claim.user_share,
        claim.expected,
        claim.target
    );
    let order = claim.txn_id.clone().unwrap_or_default();
    let key = (claim.click.click_id.get(), order, claim.goal_id.clone());
    (key, (claim.status, money))
}

fn undecided_is_one(status: NetworkStatus) -> NetworkStatus {
    match status {
        NetworkStatus::Extended | NetworkStatus::Unknown => NetworkStatus::Pending,
        NetworkStatus::Pending
        | NetworkStatus::Approved
        | NetworkStatus::Cancelled
        | NetworkStatus::Rejected => status,
    }
}

proptest! {
    #[test]
    fn lost_postbacks_come_back_with_the_export(story in story()) {
        let mut whole = InMemory::of(&story, false);
        whole.reconcile(&story.export());
        let mut lossy = InMemory::of(&story, true);
        lossy.reconcile(&story.export());
        let expected = story.comparable(&whole.outcome());
        prop_assert_eq!(expected.len(), story.sales.len(), "each sale has its claim");
        prop_assert_eq!(story.comparable(&lossy.outcome()), expected);
        // And nothing is left to be done.
        prop_assert_eq!(lossy.reconcile(&story.export()), 0);
        prop_assert_eq!(whole.reconcile(&story.export()), 0);
    }

    #[test]
    fn where_postbacks_told_all_the_export_has_nothing_to_add(mut story in story()) {
        // First pending, then decided, on time: nothing that only an export is believed on.
        for sale in &mut story.sales {
            let decided = Saying {
                late: 0,
                ..sale.sayings.last().cloned().expect("at least one")
            };
            let pending = Saying {
                status: NetworkStatus::Pending,
                ..decided.clone()
            };
            sale.sayings = vec![pending, decided];
        }
        let mut whole = InMemory::of(&story, false);
        let before = whole.outcome();
        prop_assert_eq!(whole.reconcile(&story.export()), 0);
        prop_assert_eq!(before.len(), story.sales.len());
    }
}

/// Stories that are played on PostgreSQL.
const PLAYED: usize = 3;

/// A row of the ledger: click, order, goal, status, and what it comes to.
type LedgerRow = (i64, Option<String>, Option<String>, String, String);

/// A story through the real stage and ledger, reconciled twice, each time with what is listed then.
async fn played(story: &Story, losing: bool, source: ReportSource) -> Outcome {
    let world = World::new().await;
    world.clock.set(click(0).clicked_at);
    let clicks: BTreeSet<i64> = story.sales.iter().map(|sale| sale.click).collect();
    for click in clicks {
        world.click(click).await;
    }
    for (at, fields) in story.postbacks(losing) {
        world.clock.set(at);
        world.report(fields).await;
    }
    world.clock.set(NOW);
    world.settle().await;
    for last in [false, true] {
        let list = match source {
            ReportSource::Csv => story.csv().into_bytes(),
            ReportSource::Api => story.pulled().await,
            ReportSource::Postback => panic!("postbacks are no list"),
        };
        let how = ReconcileSettings {
            source,
            ..settings(true)
        };
        let outcome = reconcile_as(&world, list, how).await;
        let (summary, breaks) = outcome.expect("reconciled");
        assert!(!last || summary.appended == 0, "{story:?}: {breaks:?}");
        world.settle().await;
    }
    let report = world.audit().await;
    assert!(report.ok, "{story:?}: {report}");
    let rows: Vec<LedgerRow> = sqlx::query_as(
        "SELECT click_id, txn_id, goal_id, status,
                concat_ws(' ', replace(network_status, 'extended', 'pending'), order_value,
                          user_pct, expected_commission, user_amount, creator_amount,
                          posted_commission, posted_user, posted_creator)
         FROM ledger",
    )
    .fetch_all(&world.operator)
    .await
    .expect("claims");
    let told = |(click, order, goal, status, money): LedgerRow| {
        let status = serde_json::from_value(status.into()).expect("a status");
        ((click, order.unwrap_or_default(), goal), (status, money))
    };
    rows.into_iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_postbacks_come_back_on_postgresql_too() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..PLAYED {
        let tree = story().new_tree(&mut runner).expect("a story");
        let story = tree.current();
        let (whole, by_file, by_api) = tokio::join!(
            played(&story, false, ReportSource::Csv),
            played(&story, true, ReportSource::Csv),
            played(&story, true, ReportSource::Api),
        );
        for lossy in [by_file, by_api] {
            assert_eq!(
                story.comparable(&lossy),
                story.comparable(&whole),
                "{story:?}"
            );
        }
        assert_eq!(whole.len(), story.sales.len());
    }
}
