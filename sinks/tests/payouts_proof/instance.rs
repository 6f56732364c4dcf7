//! The process that makes payouts, and dies: log, relay, ledger, two dispatchers.

use std::{env, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use prometheus::Registry;
use sinks::{
    ledger::{LedgerMetrics, LedgerSettings, LedgerSink, OutboxRelay},
    payouts::{
        DispatchLimits, Dispatcher, PayoutsConfig,
        claim_codes::ClaimCodeStorage,
        lifecycle::RetryPolicy,
        messages::MessagesConfig,
        sms::{Accepted, Message, SmsError, SmsGateway},
    },
};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use stream::{EmbeddedLog, EmbeddedOptions, Log, SystemClock};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::books;

const SOCKETS: &str = "PAYOUTS_PROOF_SOCKETS";
const DATABASE: &str = "PAYOUTS_PROOF_DATABASE";
const ADDRESS: &str = "PAYOUTS_PROOF_ADDRESS";
const LOG: &str = "PAYOUTS_PROOF_LOG";
const DISPATCHERS: usize = 2;

/// Where it works.
pub struct Settings {
    pub sockets: PathBuf,
    pub database: String,
    pub address: String,
    pub log: PathBuf,
}

impl Settings {
    pub fn of_environment() -> Option<Self> {
        Some(Self {
            sockets: env::var_os(SOCKETS)?.into(),
            database: env::var(DATABASE).ok()?,
            address: env::var(ADDRESS).ok()?,
            log: env::var_os(LOG)?.into(),
        })
    }

    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            (SOCKETS, self.sockets.display().to_string()),
            (DATABASE, self.database.clone()),
            (ADDRESS, self.address.clone()),
            (LOG, self.log.display().to_string()),
        ]
    }

    async fn pool(&self) -> PgPool {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(&self.sockets)
            .port(5432)
            .username("hissaback_writer")
            .database(&self.database);
        PgPoolOptions::new()
            .max_connections(24)
            .connect_with(options)
            .await
            .expect("connected")
    }
}

/// What production has in minutes takes milliseconds here.
fn config(address: &str) -> PayoutsConfig {
    PayoutsConfig {
        agcod: books::account(address),
        limits: DispatchLimits {
            calls_per_second: 2_000.try_into().expect("not zero"),
            concurrency: 64,
            poll_interval_ms: 5,
            sweep_interval_ms: 500,
            lease_margin_ms: 500,
            funds_interval_ms: 1_000,
            retry: RetryPolicy {
                first_delay_ms: 100,
                second_delay_ms: 200,
                later_delay_ms: 500,
                attempts_max: 10,
                duration_max_ms: 60_000,
                throttle_pause_ms: 30,
            },
        },
        contacts: books::keys(),
        claim_codes: ClaimCodeStorage::Encrypted(books::keys()),
        messages: MessagesConfig::default(),
    }
}

/// Takes every message at once.
struct Phones;

#[async_trait]
impl SmsGateway for Phones {
    async fn send(&self, _message: &Message) -> Result<Accepted, SmsError> {
        Ok(Accepted::default())
    }

    fn reports_delivery(&self) -> bool {
        false
    }
}

/// Until it is killed.
pub async fn run(settings: Settings) {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let pool = settings.pool().await;
    let clock = Arc::new(SystemClock);
    let options = EmbeddedOptions::default();
    let log: Arc<dyn Log> =
        EmbeddedLog::open(&settings.log, clock.clone(), options).expect("the log");
    let written = Arc::default();
    let shutdown = CancellationToken::new();
    let mut roles = JoinSet::new();

    let relay = OutboxRelay::new(pool.clone(), Arc::clone(&log), Arc::clone(&written));
    let stop = shutdown.clone();
    roles.spawn(async move { relay.run(stop).await });

    let ledger = LedgerSink {
        pool: pool.clone(),
        log: Arc::clone(&log),
        clock: clock.clone(),
        written,
        metrics: LedgerMetrics::register(&Registry::new()).expect("metrics"),
        settings: LedgerSettings::default(),
        committed: None,
    };
    let stop = shutdown.clone();
    roles.spawn(async move { ledger.run(stop).await.expect("the ledger") });

    for _ in 0..DISPATCHERS {
        let dispatcher = Dispatcher::new(
            pool.clone(),
            Arc::clone(&log),
            Arc::new(Phones),
            clock.clone(),
            &Registry::new(),
            config(&settings.address),
        )
        .expect("a dispatcher");
        let stop = shutdown.clone();
        roles.spawn(async move { dispatcher.run(stop).await.expect("a dispatcher") });
    }
    let ended = roles.join_next().await;
    panic!("a role ended by itself: {ended:?}");
}
