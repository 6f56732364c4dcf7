//! Two tenants with a member, a campaign, a link and a shopper's claim each, and the API over them.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex},
};

use api::{
    Api, HealthReport,
    auth::{BearerToken, Claims, CodeNotSent, CodeSender, JwtKeys, Scope, Tokens},
};
use async_trait::async_trait;
use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use operations::{
    audit::Auditor, commands::Commands, event_ids::EventIdSource, reference::Contacts,
};
use prometheus::Registry;
use schemas::{Timestamp, contact::ContactKey, event_id::EventIds};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use stream::{Clock, InMemoryLog, Limits, ManualClock};
use tower::ServiceExt;
use uuid::Uuid;
use web::{
    client_address::TrustedProxies,
    rate_limit::{AddressLimits, CallerLimits},
};

use crate::postgres::Database;

/// 2026-09-21T14:13:20Z.
pub const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
pub const CRON: &str = "the scheduler's";
pub const OPERATOR: &str = "the operators'";
const CONTACT_KEY: [u8; 32] = [1; 32];

/// What was sent: to whom, and the text.
#[derive(Default)]
pub struct Messages(Mutex<Vec<(String, String)>>);

#[async_trait]
impl CodeSender for Messages {
    async fn send(&self, _: Uuid, to: SecretString, text: SecretString) -> Result<(), CodeNotSent> {
        let message = (to.expose_secret().into(), text.expose_secret().into());
        self.0.lock().expect("unharmed").push(message);
        Ok(())
    }
}

pub struct World {
    pub clock: Arc<ManualClock>,
    pub keys: JwtKeys,
    pub owner: PgPool,
    router: Router,
    messages: Arc<Messages>,
}

/// An answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    /// The text as JSON; null where it is none.
    pub body: Value,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The refresh token that was set.
    pub fn cookie(&self) -> String {
        let set = self.headers["set-cookie"].to_str().expect("text");
        set.split(';').next().expect("a pair").to_owned()
    }

    pub fn jwt(&self) -> String {
        self.body["jwt"].as_str().expect("a token").to_owned()
    }
}

pub fn tenant(number: u8) -> Uuid {
    Uuid::from_u128(u128::from(number))
}

pub fn campaign(number: u8) -> Uuid {
    Uuid::from_u128(0x100 + u128::from(number))
}

/// The number of a tenant's member, who has a claim of their own with the other tenant.
pub fn phone(number: u8) -> String {
    format!("+9198765432{number:02}")
}

impl World {
    pub async fn new() -> Self {
        Self::at("https://hissaback.example").await
    }

    /// A world that the outside finds at `public_url`.
    pub async fn at(public_url: &str) -> Self {
        let database = Database::new().await;
        let owner = database.owner().await;
        let clock = Arc::new(ManualClock::new(NOW));
        let log = InMemoryLog::new(clock.clone(), Limits::default());
        let ids = Arc::new(Mutex::new(EventIds::new(1).expect("a valid instance")));
        let keys = JwtKeys::new(&[(1, [7; 32])]).expect("keys");
        let messages = Arc::new(Messages::default());
        let registry = Registry::new();
        let pool = database.pool("hissaback_operator").await;
        let limits = AddressLimits::new(NonZeroU32::new(100).expect("not zero"), &registry);
        let ring = format!("1:{}", "11".repeat(32));
        let api = Api {
            pool: pool.clone(),
            scoped_pool: Some(database.pool("hissaback_api").await),
            clock: clock.clone(),
            contacts: Contacts::new(ContactKey::new(CONTACT_KEY), &ring.into()).expect("keys"),
            codes: Some(messages.clone()),
            public_url: public_url.to_owned(),
            callers: CallerLimits::new(
                Arc::new(limits.expect("registered")),
                TrustedProxies::default(),
            ),
            commands: Commands::new(
                log.clone(),
                clock.clone(),
                EventIdSource::new(ids, clock.clone()),
            ),
            payout_runs: None,
            delivery_reports: None,
            creator_analytics: None,
            auditor: Auditor {
                pool,
                log,
                clickhouse: None,
            },
            health: Arc::new(HealthReport::default),
            registry,
            tokens: Tokens {
                cron: Some(BearerToken::new(CRON)),
                delivery_reports: None,
                operator: Some(BearerToken::new(OPERATOR)),
                jwt: Some(keys.clone()),
            },
        };
        let world = Self {
            clock,
            keys,
            owner,
            router: api::router(Arc::new(api)),
            messages,
        };
        world.seed().await;
        world
    }

    async fn seed(&self) {
        self.run("INSERT INTO networks (network_id, name) VALUES (1, 'Trackier')")
            .await;
        self.run("INSERT INTO offers VALUES (5509, 1, 'Kurtas', null, 'fashion'), (7, 1, 'Phones', null, 'mobiles')").await;
        self.run(
            "INSERT INTO offer_versions (offer_id, version, effective_at, tracking_url, currency,
                                         base_commission_pct)
             SELECT offer_id, 1, '2020-01-01Z', 'https://network.example/click', 'INR', 8
             FROM offers",
        )
        .await;
        self.run("SELECT ensure_partitions('2026-09-01Z', '2026-09-30Z')")
            .await;
        for number in [1, 2] {
            let (tenant, campaign) = (tenant(number), campaign(number));
            let member = Uuid::from_u128(0x200 + u128::from(number));
            let phone = ContactKey::new(CONTACT_KEY).phone(&phone(number));
            let other = self::tenant(3 - number);
            for statement in [
                format!(
                    "INSERT INTO tenants (tenant_id, name) VALUES ('{tenant}', 'Tenant {number}')"
                ),
                format!(
                    "INSERT INTO tenant_versions (tenant_id, version, effective_at, default_share_pct) VALUES ('{tenant}', 1, '2020-01-01Z', 50)"
                ),
                format!("INSERT INTO users (user_id, phone_hash) VALUES ('{member}', '{phone}')"),
                format!(
                    "INSERT INTO tenant_members (tenant_id, user_id) VALUES ('{tenant}', '{member}')"
                ),
                format!("INSERT INTO campaigns VALUES ('{campaign}', '{tenant}', 'Festive')"),
                format!(
                    "INSERT INTO campaign_versions (campaign_id, tenant_id, version, effective_at, share_pct) VALUES ('{campaign}', '{tenant}', 1, '2020-01-01Z', 60)"
                ),
                format!(
                    "INSERT INTO ledger (led_id, tenant_id, campaign_id, link_id, offer_id,
                         network_id,
                         click_id, clicked_at, user_id, first_received_at, converted_at, payable_at,
                         status, reasons, currency, user_pct, expected_commission,
                         expected_subsidy, expected_fee, user_amount, creator_amount,
                         posted_commission, posted_subsidy, posted_fee, posted_user, posted_creator,
                         paid_amount, rating)
                     SELECT {number} * 100 + n, '{other}', '{campaign}', '{campaign}', 5509, 1,
                         {number} * 100 + n, '2026-09-20Z', '{member}', '2026-09-20Z',
                         '2026-09-20Z'::timestamptz + n * interval '1 hour', '2026-10-20Z',
                         'pending', '{{}}',
                         'INR', 60, 159.92, 0, 0, 95.95, 63.97, 0, 0, 0, 0, 0, 0, '{{}}'
                     FROM generate_series(1, 3) n"
                ),
            ] {
                self.run(&statement).await;
            }
        }
    }

    /// The endpoints.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    pub async fn run(&self, statement: &str) {
        let ran = sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(&self.owner)
            .await;
        ran.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    pub async fn count(&self, query: &str) -> i64 {
        let counted = sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
            .fetch_one(&self.owner)
            .await;
        counted.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Body::from(body.to_owned()))
            .expect("a request");
        let response = self.router().oneshot(request).await.expect("answered");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(Method::POST, path, &[], body).await
    }

    pub async fn get_as(&self, token: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.ask(Method::GET, path, &[("authorization", &bearer)], "")
            .await
    }

    pub async fn post_as(&self, token: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.ask(Method::POST, path, &[("authorization", &bearer)], body)
            .await
    }

    /// Asks for a code; gives the request, and the code as it was sent.
    pub async fn code(&self, phone: &str) -> (String, String) {
        let asked = format!(r#"{{"phone": "{phone}"}}"#);
        let answer = self.post("/v1/auth/otp/request", &asked).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let request_id = answer.body["request_id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let sent = self.sent();
        let (to, text) = sent.last().expect("a message");
        assert_eq!(to, phone);
        (
            request_id,
            text.split(' ').next().expect("a code").to_owned(),
        )
    }

    pub async fn verify(&self, request_id: &str, code: &str) -> Answer {
        let body = format!(r#"{{"request_id": "{request_id}", "code": "{code}"}}"#);
        self.post("/v1/auth/otp/verify", &body).await
    }

    pub async fn sign_in(&self, phone: &str) -> Answer {
        let (request_id, code) = self.code(phone).await;
        let answer = self.verify(&request_id, &code).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer
    }

    pub async fn refresh(&self, cookie: &str) -> Answer {
        self.ask(Method::POST, "/v1/auth/refresh", &[("cookie", cookie)], "")
            .await
    }

    pub fn sent(&self) -> Vec<(String, String)> {
        self.messages.0.lock().expect("unharmed").clone()
    }

    /// An access token of a service.
    pub fn service(&self, scope: Scope) -> String {
        self.keys
            .sign(&Claims::new("test".to_owned(), scope, self.clock.now()))
    }
}
