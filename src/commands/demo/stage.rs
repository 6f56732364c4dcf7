//! The product as the demo raises it: every role, on a clock that the demo sets, with a fake
//! gift-card service that makes mistakes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroU32,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use operations::{audit, caught_up, fates, reference, retention::Periods};
use rand::distr::{Alphanumeric, SampleString};
use schemas::{ClickId, Currency, Timestamp, Topic, token::TokenKeys};
use secrecy::SecretString;
use serde_json::{Value, json};
use sinks::{
    analytics::{AnalyticsSettings, completeness},
    payouts::{
        AgcodConfig, CREATE_PATH, DispatchLimits, MessagesConfig, PayoutsConfig, TIMEOUT_MS,
        agcod::{Endpoint, signature::KeyPair},
        claim_codes::ClaimCodeStorage,
        fake_agcod::{FakeAccount, FakeAgcod, Fault, Script as FakeScript},
        sms::{FileSmsGateway, SmsGateway},
    },
};
use stream::{Clock, Log, ManualClock};
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};

use super::{
    readings::{self, Commits},
    seeding,
};
use crate::{
    demo::{
        oracle::Fates,
        summary::{Actual, Audit},
        world::Script,
    },
    platform::{Placement, Platform, Starting},
    roles::{Role, RoleOptions, Roles},
};

/// How long anything may take to settle, on the real clock.
const PATIENCE: Duration = Duration::from_mins(2);
/// How far the demo's clock moves while cards are retried: Amazon's back-off begins at 3 minutes.
const RETRY_STEP_MILLIS: i64 = 60_000;
/// Retries are over long before the next phase begins.
const RETRY_SPAN_MILLIS: i64 = 6 * 3_600_000;
const POLL: Duration = Duration::from_millis(20);

/// Everything that is up.
pub struct DemoStage {
    platform: Platform,
    roles: Roles,
    clock: Arc<ManualClock>,
    token_keys: TokenKeys,
    agcod: FakeAgcod,
    agcod_server: JoinHandle<()>,
    commits: Arc<Mutex<Commits>>,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl DemoStage {
    /// Brings up services, reference data and roles.
    pub async fn raise(
        placement: &Placement,
        data_dir: &Path,
        listener: TcpListener,
        script: &Script,
    ) -> anyhow::Result<Self> {
        let clock = Arc::new(ManualClock::new(script.started_at));
        let its_clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let platform = Platform::start(placement, its_clock, &Starting::at_once()).await?;
        let file = seeding::reference_file(&script.seeds)?;
        let contacts = platform.secrets()?.contacts()?;
        reference::import(platform.operator()?, &file, &contacts, script.started_at)
            .await
            .context("the reference data could not be seeded")?;
        // Each campaign has a widget of its own id.
        sqlx::query(
            "INSERT INTO widgets (widget_id, tenant_id, campaign_id)
             SELECT campaign_id, tenant_id, campaign_id FROM campaigns",
        )
        .execute(platform.operator()?)
        .await
        .context("the widgets could not be seeded")?;

        let account = fake_account();
        let agcod = FakeAgcod::new(account.clone());
        agcod.follow(FakeScript::OneIn {
            calls: 10,
            seed: script.seed,
            faults: vec![
                Fault::LostAfterIssuing,
                Fault::LostBeforeIssuing,
                Fault::Malformed,
                Fault::ServerError,
                Fault::Resend,
                Fault::Throttled,
            ],
        });
        let agcod_listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let payouts = payouts_config(&platform, &account, agcod_listener.local_addr()?)?;
        let server = agcod.clone();
        let agcod_server = tokio::spawn(async move {
            if let Err(error) = server.serve(agcod_listener).await {
                tracing::error!(%error, "the fake gift-card service ended");
            }
        });

        let sms: Arc<dyn SmsGateway> =
            Arc::new(FileSmsGateway::open(&data_dir.join("messages.jsonl"))?);
        let commits = Arc::new(Mutex::new(Commits::new()));
        let noted = Arc::clone(&commits);
        let public_url = format!("http://{}", listener.local_addr()?);
        let options = RoleOptions {
            roles: Role::ALL.into(),
            listener,
            ingest: ingest::Settings::default(),
            public_url,
            payouts: Some(payouts),
            payout_schedule: None,
            messages: Some(sms),
            retention: Periods::default(),
            delivery_reports: None,
            verification: None,
            network: None,
            committed: Some(Arc::new(move |event_id, _latency| {
                locked(&noted)
                    .entry(event_id)
                    .or_insert_with(SystemTime::now);
            })),
        };
        let token_keys = platform.secrets()?.token_keys()?;
        let roles = Roles::start(&platform, options).await?;
        let http = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self {
            platform,
            roles,
            clock,
            token_keys,
            agcod,
            agcod_server,
            commits,
            http,
        })
    }

    /// Where the product listens.
    pub fn address(&self) -> SocketAddr {
        self.roles.address
    }

    /// Sets the demo's clock.
    pub fn set_clock(&self, at: Timestamp) {
        self.clock.set(at);
    }

    /// The click in a token, for the generator's record.
    pub fn click_of_token(&self, token: &str) -> Option<ClickId> {
        self.token_keys.open(token).ok().map(|token| token.click_id)
    }

    /// Waits until a role ends by itself.
    pub async fn failed(&self) -> anyhow::Error {
        self.roles.failed().await
    }

    /// Waits until everything that the log holds is in the ledger, healed where its click is
    /// known, and everything that the ledger said is in the log.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let Platform { log, writer, .. } = &self.platform;
        let deadline = Instant::now() + PATIENCE;
        loop {
            caught_up::wait_until_caught_up(log.as_ref(), writer, PATIENCE).await?;
            // A report whose click is known by now is due for the healing role; what the ledger
            // had to say is on its way out.
            let waiting: i64 = sqlx::query_scalar(
                "SELECT (SELECT count(*) FROM outbox)
                      + (SELECT count(*) FROM unmatched_conversions
                         WHERE state = 'parked' AND next_try_at <= $1)",
            )
            .bind(self.clock.now().to_datetime())
            .fetch_one(writer)
            .await?;
            if waiting == 0 {
                return Ok(caught_up::wait_until_caught_up(log.as_ref(), writer, PATIENCE).await?);
            }
            ensure!(
                Instant::now() < deadline,
                "the ledger doesn't settle: {waiting} are waiting"
            );
            sleep(POLL).await;
        }
    }

    /// Runs payouts through the API, as the scheduler would, and gives the number of cards.
    pub async fn run_payouts(&self, as_of: Timestamp) -> anyhow::Result<u64> {
        let request = Request::post(format!("http://{}/v1/rewards/payout/run", self.address()))
            .header(
                "authorization",
                format!("Bearer {}", self.platform.secrets()?.cron_token),
            )
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(
                json!({ "as_of": as_of }).to_string(),
            )))?;
        let response = self.http.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let body: Value =
            serde_json::from_slice(&body).context("the payout run's answer is no JSON")?;
        ensure!(
            status.is_success(),
            "the payout run was answered with {status}: {body}"
        );
        body["paid_count"]
            .as_u64()
            .context("the payout run tells no paid_count")
    }

    /// Waits until no payout is on its way, moving the clock on for retries.
    pub async fn wait_for_cards(&self, from: Timestamp, shown: impl Fn(u64)) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut now = from;
        loop {
            let open: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM payouts WHERE state NOT IN ('funded', 'cancelled')",
            )
            .fetch_one(&self.platform.writer)
            .await?;
            if open == 0 {
                return Ok(());
            }
            shown(open.unsigned_abs());
            ensure!(Instant::now() < deadline, "{open} payouts are still open");
            if now.millis_since(from) < RETRY_SPAN_MILLIS {
                now = now.plus_millis(RETRY_STEP_MILLIS);
                self.set_clock(now);
            }
            sleep(POLL).await;
        }
    }

    /// What came out, and the audit's verdict.
    pub async fn readings(&self) -> anyhow::Result<(Actual, Audit)> {
        let Platform {
            log, clickhouse, ..
        } = &self.platform;
        let operator = self.platform.operator()?;
        let client = clickhouse.client();
        let totals = match &client {
            Some(client) => {
                wait_for_analytics(log.as_ref(), client).await?;
                Some(completeness::totals(client).await?)
            }
            None => None,
        };
        let counted = fates::count(operator).await?;
        let fates = Fates {
            ledgered: counted.ledgered.unsigned_abs(),
            updates: counted.updates.unsigned_abs(),
            repetitions: counted.repetitions.unsigned_abs(),
            duplicates: counted.duplicates.unsigned_abs(),
            unmatched: counted.unmatched.unsigned_abs(),
            ignored: counted.ignored.unsigned_abs(),
            dead_lettered: counted.dead_lettered.unsigned_abs(),
        };
        let commits = locked(&self.commits).clone();
        let actual =
            readings::read(operator, fates, &commits, &self.agcod, totals.as_ref()).await?;
        let report = audit::audit(operator, client.as_ref(), log.as_ref()).await?;
        let audit = if report.ok {
            Audit::Ok {
                checks: report.findings.len(),
            }
        } else {
            // The whole table: it shows the offending rows.
            Audit::Broken(report.to_string().lines().map(str::to_owned).collect())
        };
        Ok((actual, audit))
    }

    /// Takes everything down.
    pub async fn lower(self) -> anyhow::Result<()> {
        let stopped = self.roles.stop().await;
        self.agcod_server.abort();
        stopped.and(self.platform.stop().await)
    }
}

/// Waits until analytics has everything that the log holds.
async fn wait_for_analytics(log: &dyn Log, client: &clickhouse::Client) -> anyhow::Result<()> {
    let mut ends = BTreeMap::new();
    for topic in [
        Topic::Clicks,
        Topic::Decisions,
        Topic::Ledger,
        Topic::Payouts,
        Topic::PayoutResults,
    ] {
        for partition in 0..topic.partitions() {
            let high = log.watermarks(topic, partition).await?.high;
            ends.insert((topic, partition), high);
        }
    }
    // Having computed much, analytics leaves aggregates alone for as long as this.
    let rest_max = AnalyticsSettings::default().aggregate_interval_behind;
    let deadline = Instant::now() + rest_max + PATIENCE;
    while !completeness::covers(&completeness::complete_up_to(client).await?, &ends)
        || !completeness::covers(
            &completeness::aggregates_complete_up_to(client).await?,
            &ends,
        )
    {
        ensure!(
            Instant::now() < deadline,
            "analytics doesn't catch up with the log"
        );
        sleep(POLL).await;
    }
    Ok(())
}

fn locked(commits: &Mutex<Commits>) -> MutexGuard<'_, Commits> {
    // Nothing panics half way through an insertion.
    commits.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An account with keys of this run.
fn fake_account() -> FakeAccount {
    let random = |length| Alphanumeric.sample_string(&mut rand::rng(), length);
    FakeAccount {
        access_key_id: random(20),
        secret_access_key: SecretString::from(random(40)),
        region: "eu-west-1".to_owned(),
        partner_id: "Hissa".to_owned(),
        currency: Currency::INR,
    }
}

fn payouts_config(
    platform: &Platform,
    account: &FakeAccount,
    address: SocketAddr,
) -> anyhow::Result<PayoutsConfig> {
    Ok(PayoutsConfig {
        agcod: AgcodConfig {
            endpoint: Endpoint::parse(&format!("http://{address}"), CREATE_PATH)?,
            region: account.region.clone(),
            partner_id: account.partner_id.parse()?,
            program_id: None,
            currency: account.currency,
            key_pair: KeyPair {
                access_key_id: account.access_key_id.clone(),
                secret_access_key: account.secret_access_key.clone(),
            },
            timeout_ms: TIMEOUT_MS,
        },
        // The fake is ours: its rate is this machine's, and its timers are the demo's clock.
        limits: DispatchLimits {
            calls_per_second: NonZeroU32::new(2_000).context("a positive rate")?,
            concurrency: 16,
            poll_interval_ms: 20,
            sweep_interval_ms: 1_000,
            ..DispatchLimits::default()
        },
        contacts: platform.secrets()?.contact_keys()?,
        claim_codes: ClaimCodeStorage::Encrypted(platform.secrets()?.claim_code_keys()?),
        messages: MessagesConfig::default(),
    })
}
