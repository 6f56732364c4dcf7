//! What a dispatcher lives in: database, log, relay, fake, clock, messages.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use prometheus::Registry;
use schemas::{
    Amount, Currency, EventId, PayoutId, TenantId, Timestamp, Topic, UserId, codec,
    events::{Command, CommandBody, PayoutRequested, PayoutResult},
};
use secrecy::ExposeSecret;
use sinks::{
    ledger::OutboxRelay,
    payouts::{
        AgcodConfig, CREATE_PATH, DispatchLimits, Dispatcher, MessagesConfig, PayoutsConfig, Store,
        agcod::{Endpoint, signature::KeyPair},
        claim_codes::ClaimCodeStorage,
        config::CHANNEL,
        creation_request_id,
        fake_agcod::{FakeAccount, FakeAgcod},
        frozen_request,
        sms::{Accepted, Message, SmsError, SmsGateway},
    },
    sealing::{KeyRing, Subject},
};
use sqlx::PgPool;
use stream::{Clock, InMemoryLog, Limits, Log, ManualClock, NewRecord};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::postgres::Database;

pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// Only against hanging: far longer than any test takes.
const PATIENCE: Duration = Duration::from_mins(2);

pub fn rupees(count: i64) -> Amount {
    Amount::from_micros(count * 1_000_000)
}

pub fn payout(number: u128) -> PayoutId {
    PayoutId::new(Uuid::from_u128(number))
}

pub async fn fake() -> (FakeAgcod, String) {
    let fake = FakeAgcod::new(FakeAccount {
        access_key_id: "test-key".into(),
        secret_access_key: "test-secret".into(),
        region: "eu-west-1".into(),
        partner_id: "Awssb".into(),
        currency: Currency::INR,
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(fake.clone().serve(listener));
    (fake, address)
}

pub fn account_config(address: &str) -> AgcodConfig {
    AgcodConfig {
        endpoint: Endpoint::parse(address, CREATE_PATH).expect("an address"),
        region: "eu-west-1".into(),
        partner_id: "Awssb".parse().expect("a partner id"),
        program_id: None,
        currency: Currency::INR,
        key_pair: KeyPair {
            access_key_id: "test-key".into(),
            secret_access_key: "test-secret".into(),
        },
        timeout_ms: 1_000,
    }
}

/// A gateway that remembers, and fails on request.
#[derive(Default)]
pub struct Phones {
    messages: Mutex<Vec<(PayoutId, String, String)>>,
    pub unreachable: AtomicBool,
    /// Whether it tells what became of them.
    pub reports: AtomicBool,
}

impl Phones {
    /// Payout, number and text of each message, in order.
    pub fn messages(&self) -> Vec<(PayoutId, String, String)> {
        self.messages.lock().expect("not poisoned").clone()
    }
}

#[async_trait]
impl SmsGateway for Phones {
    async fn send(&self, message: &Message) -> Result<Accepted, SmsError> {
        if self.unreachable.load(Ordering::SeqCst) {
            return Err(SmsError::Unavailable("on request".into()));
        }
        self.messages.lock().expect("not poisoned").push((
            PayoutId::new(message.reference.message_id),
            message.to.expose_secret().to_owned(),
            message.text.expose_secret().to_owned(),
        ));
        Ok(Accepted::default())
    }

    fn reports_delivery(&self) -> bool {
        self.reports.load(Ordering::SeqCst)
    }
}

pub struct World {
    /// As the owner, who may do what the ledger and operators do.
    pub owner: PgPool,
    pub operator: PgPool,
    pub writer: PgPool,
    pub log: Arc<InMemoryLog>,
    pub clock: Arc<ManualClock>,
    pub fake: FakeAgcod,
    pub phones: Arc<Phones>,
    pub config: PayoutsConfig,
    relay: Option<(CancellationToken, JoinHandle<()>)>,
}

/// A dispatcher at work.
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
    pub registry: Registry,
}

impl Running {
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("stopped cleanly");
    }

    /// As `kill -9` would: nothing is finished and nothing written down.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|ended| ended.is_cancelled()));
    }
}

impl World {
    pub async fn new() -> Self {
        let database = Database::new().await;
        let owner = database.owner().await;
        let operator = database.pool("hissaback_operator").await;
        let writer = database.pool("hissaback_writer").await;
        let clock = Arc::new(ManualClock::new(START));
        let log = InMemoryLog::new(clock.clone(), Limits::default());
        let (fake, address) = fake().await;
        let keys = format!("1:{}", "ab".repeat(32));
        let keys = KeyRing::parse(&keys.into()).expect("keys");
        let config = PayoutsConfig {
            agcod: account_config(&address),
            limits: DispatchLimits {
                calls_per_second: 1_000.try_into().expect("not zero"),
                poll_interval_ms: 10,
                sweep_interval_ms: 50,
                lease_margin_ms: 300,
                ..DispatchLimits::default()
            },
            contacts: keys.clone(),
            claim_codes: ClaimCodeStorage::Encrypted(keys),
            messages: MessagesConfig::default(),
        };
        let mut world = Self {
            owner,
            operator,
            writer,
            log,
            clock,
            fake,
            phones: Arc::default(),
            config,
            relay: None,
        };
        world.start_relay();
        world
    }

    /// Lets the outbox go to the log.
    pub fn start_relay(&mut self) {
        let relay = OutboxRelay::new(self.writer.clone(), self.log.clone(), Arc::default());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { relay.run(stopped).await });
        self.relay = Some((stop, task));
    }

    /// Nothing more leaves the outbox.
    pub async fn stop_relay(&mut self) {
        let (stop, task) = self.relay.take().expect("it runs");
        stop.cancel();
        task.await.expect("stopped cleanly");
    }

    pub fn store(&self) -> Store {
        Store::new(self.writer.clone(), CHANNEL)
    }

    pub fn run(&self) -> Running {
        let registry = Registry::new();
        let dispatcher = Dispatcher::new(
            self.writer.clone(),
            self.log.clone(),
            self.phones.clone(),
            self.clock.clone(),
            &registry,
            self.config.clone(),
        )
        .expect("a dispatcher");
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            dispatcher
                .run(stopped)
                .await
                .expect("it works until it is stopped");
        });
        Running {
            stop,
            task,
            registry,
        }
    }

    /// A phone number as it is stored.
    pub fn sealed(&self, user_id: UserId, phone: &str) -> Vec<u8> {
        let sealed = self
            .config
            .contacts
            .seal(Subject::Phone(user_id), &phone.into());
        sealed.expect("sealed").to_bytes()
    }

    /// Does what the payout run does: payout and outbox row in one transaction. The payee has a
    /// phone number unless `phone` is `None`.
    pub async fn request(&self, number: u128, amount: Amount, phone: Option<&str>) -> PayoutId {
        let id = payout(number);
        let user = Uuid::from_u128(number + (1 << 64));
        let request_id = creation_request_id(&self.config.agcod.partner_id, id);
        let request = frozen_request(&self.config.agcod, &request_id, amount, Currency::INR)
            .expect("a request");
        let requested = PayoutRequested {
            payout_id: id,
            tenant_id: TenantId::new(Uuid::nil()),
            user_id: UserId::new(user),
            currency: Currency::INR,
            amount,
            as_of: START,
            method: CHANNEL.into(),
            creation_request_id: request_id.clone(),
            request: request.clone(),
            items: Vec::new(),
        };
        let mut transaction = self.owner.begin().await.expect("begun");
        let phone =
            phone.map(|phone| self.sealed(UserId::new(user), &format!("{phone}{number:04}")));
        sqlx::query("INSERT INTO users (user_id, phone_sealed) VALUES ($1, $2)")
            .bind(user)
            .bind(phone)
            .execute(&mut *transaction)
            .await
            .expect("a user");
        sqlx::query(
            "INSERT INTO payouts (payout_id, tenant_id, user_id, currency, amount, method, as_of,
                                  creation_request_id, request, state)
             VALUES ($1, $2, $3, 'INR', $4, $5, $6, $7, $8, 'queued')",
        )
        .bind(id.uuid())
        .bind(Uuid::nil())
        .bind(user)
        .bind(amount.to_decimal())
        .bind(CHANNEL)
        .bind(START.to_datetime())
        .bind(&request_id)
        .bind(&request)
        .execute(&mut *transaction)
        .await
        .expect("a payout");
        sqlx::query("INSERT INTO outbox (epoch, topic, key, value) VALUES (1, 'payouts', $1, $2)")
            .bind(id.to_string().into_bytes())
            .bind(codec::encode(&requested).expect("encoded"))
            .execute(&mut *transaction)
            .await
            .expect("an outbox row");
        transaction.commit().await.expect("committed");
        id
    }

    pub async fn command(&self, command_id: i64, body: CommandBody) {
        let command = Command {
            command_id: EventId::new(command_id),
            issued_at: self.clock.now(),
            author: "operator".into(),
            reason: "a test".into(),
            body,
        };
        let value = codec::encode(&command).expect("encoded");
        let record = NewRecord::new(command.body.key(), value);
        self.log
            .append(Topic::Commands, vec![record])
            .await
            .expect("appended");
    }

    pub async fn state(&self, id: PayoutId) -> String {
        self.text("SELECT state FROM payouts WHERE payout_id = $1", id)
            .await
    }

    pub async fn sms_state(&self, id: PayoutId) -> String {
        self.text(
            "SELECT coalesce((SELECT state FROM messages WHERE message_id = $1), '-')",
            id,
        )
        .await
    }

    pub async fn message_error(&self, id: PayoutId) -> Option<String> {
        sqlx::query_scalar("SELECT error FROM messages WHERE message_id = $1")
            .bind(id.uuid())
            .fetch_optional(&self.owner)
            .await
            .expect("a row")
            .flatten()
    }

    pub async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.owner)
            .await
            .expect("a number")
    }

    async fn text(&self, query: &'static str, id: PayoutId) -> String {
        sqlx::query_scalar(query)
            .bind(id.uuid())
            .fetch_one(&self.owner)
            .await
            .expect("a row")
    }

    /// How many payouts are in each of these states together.
    pub async fn count(&self, states: &[&str]) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM payouts WHERE state = ANY ($1)")
            .bind(states)
            .fetch_one(&self.owner)
            .await
            .expect("a count")
    }

    pub async fn until_state(&self, id: PayoutId, state: &str) {
        self.until(state, async || self.state(id).await == state)
            .await;
    }

    pub async fn until_sms(&self, id: PayoutId, state: &str) {
        self.until(state, async || self.sms_state(id).await == state)
            .await;
    }

    /// Waits for something to become true; the clock stands still.
    pub async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "it never came to be: {what}");
    }

    /// Lets the clock run, a minute at a time, until something becomes true.
    pub async fn as_time_passes(&self, what: &str, condition: impl AsyncFn() -> bool) {
        self.until(what, async || {
            let reached = condition().await;
            if !reached {
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.clock.advance(Duration::from_mins(1));
            }
            reached
        })
        .await;
    }

    /// The steps of a payout in the log, in order.
    pub async fn steps(&self, id: PayoutId) -> Vec<PayoutResult> {
        let mut steps = Vec::new();
        for partition in 0..Topic::PayoutResults.partitions() {
            let records = self
                .log
                .read(Topic::PayoutResults, partition, 0, 100_000)
                .await
                .expect("records");
            for record in records {
                let step: PayoutResult = codec::decode(&record.value).expect("a step");
                if step.payout_id == id {
                    steps.push(step);
                }
            }
        }
        steps
    }

    pub async fn step_names(&self, id: PayoutId) -> Vec<&'static str> {
        self.steps(id)
            .await
            .iter()
            .map(|result| result.step.name())
            .collect()
    }
}
