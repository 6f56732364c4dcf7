//! A small installation: one tenant with an offer of 8% and a share of 60%, and a pipeline that
//! runs when it is told to.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use operations::{
    audit::{self, AuditReport},
    caught_up,
    commands::Commands,
    event_ids::EventIdSource,
    fates::{self, FateCounts},
    healing::{Healer, HealingMetrics, HealingSettings},
    payout_run::PayoutRuns,
};
use processors::stage::{Stage, StageMetrics, StageSettings};
use prometheus::Registry;
use schemas::{
    CampaignId, ClickId, Currency, LinkId, NetworkId, OfferId, Position, TenantId, Timestamp,
    Topic, UserId,
    codec::{self, Event},
    event_id::EventIds,
    events::{
        ClickOrigin, ClickRecorded, ClickSignals, ConversionReported, Device, NetworkStatus,
        RawReport, ReportSource, Reported,
    },
    reference::ReferenceData,
    token::{ClickToken, NONCE_BYTES, TokenKeys},
};
use sinks::{
    ledger::{
        LedgerMetrics, LedgerSettings, LedgerSink, OutboxRelay, clicks::StoredClicks, reference,
    },
    payouts::{
        AgcodConfig, CREATE_PATH,
        agcod::{Endpoint, signature::KeyPair},
    },
};
use sqlx::{AssertSqlSafe, PgPool};
use stream::{InMemoryLog, Limits, Log, ManualClock, NewRecord};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::postgres::Database;

/// 2026-09-21T14:13:20Z.
pub const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
pub const OFFER: OfferId = OfferId::new(5_509);
pub const NETWORK: NetworkId = NetworkId::new(1);
/// Only against hanging: far longer than any test takes.
pub const PATIENCE: Duration = Duration::from_mins(2);

const SEED: &str = "
    INSERT INTO tenants (tenant_id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'Asha');
    INSERT INTO tenant_versions (tenant_id, version, effective_at, default_share_pct)
        VALUES ('00000000-0000-0000-0000-000000000001', 1, '2020-01-01Z', 50);
    INSERT INTO users (user_id) SELECT
        ('00000000-0000-0000-0000-0000000000' || lpad(n::text, 2, '0'))::uuid
        FROM generate_series(11, 40) n;
    INSERT INTO networks (network_id, name, default_currency, fires_at_sale)
        VALUES (1, 'Trackier', 'INR', true);
    INSERT INTO offers VALUES (5509, 1, 'Kurtas');
    INSERT INTO offer_versions (offer_id, version, effective_at, tracking_url, currency,
                                base_commission_pct)
        VALUES (5509, 1, '2020-01-01Z', 'https://network.example/click', 'INR', 8);
    INSERT INTO campaigns
        VALUES ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001',
                'Festive');
    INSERT INTO campaign_versions (campaign_id, tenant_id, version, effective_at, share_pct)
        VALUES ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 1,
                '2020-01-01Z', 60);
    INSERT INTO links
        VALUES ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000001',
                '00000000-0000-0000-0000-000000000002', 5509, 'kurtas');";

pub fn tenant() -> TenantId {
    TenantId::new(Uuid::from_u128(1))
}

/// Shoppers are numbered from 11 on.
pub fn user(number: u8) -> UserId {
    let text = format!("00000000-0000-0000-0000-0000000000{number:02}");
    text.parse().expect("a user id")
}

fn keys() -> TokenKeys {
    TokenKeys::new(&[(1, [1; 32])]).expect("a ring")
}

/// A click of shopper `11 + number % 30`, a day before now.
pub fn click(number: i64) -> ClickRecorded {
    let clicked_at = NOW.plus_days(-2).plus_millis(number);
    ClickRecorded {
        click_id: ClickId::new(number),
        clicked_at,
        received_at: clicked_at,
        tenant_id: tenant(),
        campaign_id: CampaignId::new(Uuid::from_u128(2)),
        link_id: LinkId::new(Uuid::from_u128(3)),
        offer_id: OFFER,
        user_id: Some(user(11 + u8::try_from(number % 30).expect("small"))),
        country: "IN".parse().ok(),
        device: Device::Mobile,
        signals: ClickSignals::default(),
        address_hash: None,
        address_prefix: None,
        referrer: None,
        origin: ClickOrigin::Redirect,
    }
}

/// The token that the click's link hands out.
pub fn token(number: i64) -> String {
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
    keys().seal(&token, [7; NONCE_BYTES])
}

/// An approved sale of ₹1,999.00 with an order number, a day after the click.
pub fn sale(click_ref: &str, order: &str) -> Reported {
    Reported {
        click_ref: click_ref.to_owned(),
        txn_id: Some(order.to_owned()),
        status: Some(NetworkStatus::Approved),
        sale_amount: "1999.00".parse().ok(),
        converted_at: Some(NOW.plus_days(-1)),
        country: "IN".parse().ok(),
        ..Reported::default()
    }
}

pub struct World {
    pub log: Arc<InMemoryLog>,
    pub clock: Arc<ManualClock>,
    /// As the sinks connect.
    pub writer: PgPool,
    /// As operators connect.
    pub operator: PgPool,
    /// Above all rules.
    pub superuser: PgPool,
    pub event_ids: EventIdSource,
    pub reference: Arc<ArcSwap<ReferenceData>>,
    pub healer: Healer,
}

impl World {
    pub async fn new() -> Self {
        let database = Database::new().await;
        let owner = database.owner().await;
        sqlx::raw_sql(SEED).execute(&owner).await.expect("seeded");
        let writer = database.pool("hissaback_writer").await;
        let clock = Arc::new(ManualClock::new(NOW));
        let log = InMemoryLog::new(clock.clone(), Limits::default());
        let ids = Arc::new(Mutex::new(EventIds::new(1).expect("a valid instance")));
        let event_ids = EventIdSource::new(ids, clock.clone());
        let data = reference::load(&writer).await.expect("reference data");
        let reference = Arc::new(ArcSwap::from_pointee(data));
        let healer = Healer {
            pool: writer.clone(),
            log: log.clone(),
            clock: clock.clone(),
            clicks: Arc::new(StoredClicks::new(writer.clone())),
            reference: reference.clone(),
            token_keys: keys(),
            event_ids: event_ids.clone(),
            metrics: HealingMetrics::register(&Registry::new()).expect("a fresh registry"),
            settings: HealingSettings::default(),
        };
        Self {
            log,
            clock,
            operator: database.pool("hissaback_operator").await,
            superuser: database.pool("postgres").await,
            writer,
            event_ids,
            reference,
            healer,
        }
    }

    pub async fn append<E: Event>(&self, key: impl Into<String>, event: &E) -> Position {
        let value = codec::encode(event).expect("it fits its schema");
        let record = NewRecord::new(key.into(), value);
        self.log
            .append(E::TOPIC, vec![record])
            .await
            .expect("taken")[0]
    }

    pub async fn click(&self, number: i64) {
        let click = click(number);
        self.append(number.to_string(), &click).await;
    }

    /// Appends a postback, received now.
    pub async fn report(&self, reported: Reported) -> Position {
        let report = ConversionReported {
            event_id: self.event_ids.draw().await.expect("an id"),
            received_at: stream::Clock::now(&*self.clock),
            source: ReportSource::Postback,
            as_of: None,
            network_id: NETWORK,
            tenant_id: None,
            click_id: None,
            raw: RawReport {
                bytes: b"sale".to_vec(),
                content_type: "query".to_owned(),
                sha256: "00".repeat(32),
                truncated: false,
            },
            reported: Some(reported.clone()),
            malformed: None,
            heal: None,
        };
        self.append(reported.click_ref, &report).await
    }

    /// Runs the stage, the ledger and the outbox until they have nothing left to do, and stops
    /// them.
    pub async fn settle(&self) {
        let shutdown = CancellationToken::new();
        let written = Arc::new(Notify::new());
        let stage = Stage {
            log: self.log.clone(),
            clicks: Arc::new(StoredClicks::new(self.writer.clone())),
            reference: self.reference.clone(),
            token_keys: keys(),
            clock: self.clock.clone(),
            metrics: StageMetrics::register(&Registry::new()).expect("a fresh registry"),
            settings: StageSettings::default(),
        };
        let sink = LedgerSink {
            pool: self.writer.clone(),
            log: self.log.clone(),
            clock: self.clock.clone(),
            written: written.clone(),
            metrics: LedgerMetrics::register(&Registry::new()).expect("a fresh registry"),
            settings: LedgerSettings::default(),
            committed: None,
        };
        let relay = OutboxRelay::new(self.writer.clone(), self.log.clone(), written);
        let (stop_stage, stop_sink, stop_relay) =
            (shutdown.clone(), shutdown.clone(), shutdown.clone());
        let stage = tokio::spawn(stage.run(stop_stage));
        let sink = tokio::spawn(async move { sink.run(stop_sink).await });
        let relay = tokio::spawn(async move { relay.run(stop_relay).await });
        tokio::time::timeout(PATIENCE, self.quiet())
            .await
            .expect("the pipeline comes to rest");
        shutdown.cancel();
        stage.await.expect("no panic").expect("the stage stops");
        sink.await.expect("no panic").expect("the ledger stops");
        relay.await.expect("no panic");
    }

    /// Waits until everything is folded and published.
    async fn quiet(&self) {
        loop {
            let folded = caught_up::check(&*self.log, &self.writer).await.is_ok();
            if folded && self.clicks_folded().await && self.outbox_empty().await {
                // What was published in the meantime has to be folded too.
                if caught_up::check(&*self.log, &self.writer).await.is_ok() {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn clicks_folded(&self) -> bool {
        let mut ends = 0;
        for partition in 0..Topic::Clicks.partitions() {
            let marks = self.log.watermarks(Topic::Clicks, partition).await;
            ends += marks.expect("watermarks").high;
        }
        let folded: i64 = self
            .number(
                "SELECT coalesce(sum(next_offset), 0)::bigint FROM consumer_positions
                 WHERE topic = 'clicks'",
            )
            .await;
        folded == ends
    }

    async fn outbox_empty(&self) -> bool {
        self.number("SELECT count(*) FROM outbox").await == 0
    }

    pub async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.superuser)
            .await
            .expect("a number")
    }

    /// As the superuser, with triggers and foreign keys off.
    pub async fn tamper(&self, statements: &str) {
        let statements =
            format!("BEGIN; SET LOCAL session_replication_role = replica; {statements}; COMMIT");
        sqlx::raw_sql(AssertSqlSafe(statements.clone()))
            .execute(&self.superuser)
            .await
            .unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    pub async fn fates(&self) -> FateCounts {
        fates::count(&self.operator).await.expect("counted")
    }

    pub async fn audit(&self) -> AuditReport {
        let report = audit::audit(&self.operator, None, &*self.log).await;
        report.expect("audited")
    }

    pub fn commands(&self) -> Commands {
        Commands::new(self.log.clone(), self.clock.clone(), self.event_ids.clone())
    }

    pub fn payout_runs(&self) -> PayoutRuns {
        PayoutRuns {
            pool: self.writer.clone(),
            log: self.log.clone(),
            clock: self.clock.clone(),
            account: AgcodConfig {
                endpoint: Endpoint::parse("http://127.0.0.1:9", CREATE_PATH).expect("an address"),
                region: "eu-west-1".into(),
                partner_id: "Awssb".parse().expect("a partner id"),
                program_id: None,
                currency: Currency::INR,
                key_pair: KeyPair {
                    access_key_id: "test-key".into(),
                    secret_access_key: "test-secret".into(),
                },
                timeout_ms: 1_000,
            },
            patience: Duration::ZERO,
        }
    }
}
