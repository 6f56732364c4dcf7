use std::{net::SocketAddr, num::NonZeroU32, sync::Mutex};

use axum::{body::Body, extract::ConnectInfo};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use operations::{
    delivery_reports::{DeliveryReports, ReportFields},
    event_ids::EventIdSource,
};
use prometheus::IntCounter;
use schemas::{
    PayoutId, Timestamp, Topic, codec,
    contact::ContactKey,
    event_id::EventIds,
    events::{Command, CommandBody, ResendMessage, Verdict},
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use stream::{InMemoryLog, Limits, Log, ManualClock};
use tower::ServiceExt;
use web::{client_address::TrustedProxies, rate_limit::AddressLimits};

use super::*;
use crate::auth::BearerToken;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

struct World {
    log: Arc<InMemoryLog>,
    router: Router,
}

/// Nothing here asks the database.
fn world(state: ComponentState) -> World {
    let nowhere = PgConnectOptions::new_without_pgpass()
        .socket("/nonexistent")
        .username("nobody");
    let pool = PgPoolOptions::new()
        .acquire_timeout(Duration::from_millis(50))
        .connect_lazy_with(nowhere);
    let clock = Arc::new(ManualClock::new(NOW));
    let log = InMemoryLog::new(clock.clone(), Limits::default());
    let ids = Arc::new(Mutex::new(EventIds::new(1).expect("a valid instance")));
    let event_ids = EventIdSource::new(ids, clock.clone());
    let registry = Registry::new();
    let counter = IntCounter::new("hissaback_things_total", "Things.").expect("a metric");
    registry.register(Box::new(counter)).expect("registered");
    let report = HealthReport {
        components: [(
            "log".to_owned(),
            ComponentHealth {
                state,
                detail: None,
            },
        )]
        .into(),
    };
    let limits = AddressLimits::new(NonZeroU32::new(2).expect("not zero"), &registry);
    let api = Api {
        pool: pool.clone(),
        scoped_pool: None,
        clock: clock.clone(),
        contacts: Contacts::new(
            ContactKey::new([1; 32]),
            &format!("1:{}", "11".repeat(32)).into(),
        )
        .expect("keys"),
        codes: None,
        public_url: "http://127.0.0.1:8080".to_owned(),
        callers: CallerLimits::new(
            Arc::new(limits.expect("registered")),
            TrustedProxies::default(),
        ),
        commands: Commands::new(log.clone(), clock.clone(), event_ids),
        payout_runs: None,
        delivery_reports: Some(DeliveryReports {
            pool: pool.clone(),
            clock: clock.clone(),
            fields: ReportFields::default(),
        }),
        creator_analytics: None,
        auditor: Auditor {
            pool,
            log: log.clone(),
            clickhouse: None,
        },
        health: Arc::new(move || report.clone()),
        registry,
        tokens: Tokens {
            cron: Some(BearerToken::new("tick")),
            delivery_reports: Some(BearerToken::new("ping")),
            operator: Some(BearerToken::new("open sesame")),
            jwt: None,
        },
    };
    World {
        log,
        router: router(Arc::new(api)),
    }
}

impl World {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: impl Into<Body>,
    ) -> (StatusCode, serde_json::Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body.into()).expect("a request");
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("answered");
        let status = response.status();
        let bytes = response.into_body().collect().await.expect("a body");
        let bytes = bytes.to_bytes();
        let json = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
        (status, json)
    }

    async fn commands(&self) -> Vec<Command> {
        let mut commands = Vec::new();
        for partition in 0..Topic::Commands.partitions() {
            let records = self.log.read(Topic::Commands, partition, 0, 100).await;
            for record in records.expect("readable") {
                commands.push(codec::decode(&record.value).expect("a command"));
            }
        }
        commands
    }
}

#[tokio::test]
async fn health_is_503_while_something_needed_fails() {
    for (state, expected) in [
        (ComponentState::Ready, StatusCode::OK),
        (ComponentState::Off, StatusCode::OK),
        (ComponentState::Failing, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let (status, body) = world(state).ask(Method::GET, "/health", None, "").await;
        assert_eq!(status, expected);
        assert!(body["components"]["log"]["state"].is_string());
    }
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let world = world(ComponentState::Ready);
    let (status, body) = world.ask(Method::GET, "/metrics", None, "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        body.as_str()
            .expect("text")
            .contains("hissaback_things_total 0")
    );
}

#[tokio::test]
async fn other_routes_and_methods_are_problems_with_codes() {
    let world = world(ComponentState::Ready);
    let (status, body) = world.ask(Method::GET, "/v2/everything", None, "").await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::NOT_FOUND, &"not_found".into())
    );
    assert_eq!(body["status"], 404);
    let (status, body) = world.ask(Method::DELETE, "/v1/audit", None, "").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(body["code"], "method_not_allowed");
}

#[tokio::test]
async fn each_door_has_its_own_key() {
    let world = world(ComponentState::Ready);
    for (path, method, others) in [
        ("/v1/rewards/payout/run", Method::POST, "open sesame"),
        ("/v1/commands/review", Method::POST, "tick"),
        ("/v1/fates", Method::GET, "tick"),
        ("/v1/audit", Method::GET, "tick"),
        (
            "/v1/analytics/creator?tenant_id=00000000-0000-0000-0000-000000000001",
            Method::GET,
            "tick",
        ),
    ] {
        let (status, body) = world.ask(method.clone(), path, None, "{}").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(body["code"], "unauthorised");
        for token in ["", "ticktick", "open"] {
            let (status, body) = world.ask(method.clone(), path, Some(token), "{}").await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {token:?}");
            assert_eq!(body["code"], "unauthorised");
        }
        let (status, body) = world.ask(method, path, Some(others), "{}").await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(body["code"], "forbidden");
    }
    assert!(world.commands().await.is_empty());
}

#[tokio::test]
async fn a_review_is_in_the_log_before_it_is_answered() {
    let world = world(ComponentState::Ready);
    let body = r#"{"conv_id": "42", "verdict": "approve", "reason": "called the shopper"}"#;
    let path = "/v1/commands/review";
    let (status, answer) = world
        .ask(Method::POST, path, Some("open sesame"), body)
        .await;
    assert_eq!(status, StatusCode::OK);
    let commands = world.commands().await;
    let [command] = &commands[..] else {
        panic!("one command was expected: {commands:?}");
    };
    assert_eq!(answer["command_id"], command.command_id.to_string());
    assert_eq!(
        (command.issued_at, command.reason.as_str()),
        (NOW, "called the shopper")
    );
    match &command.body {
        CommandBody::ReviewClaim(review) => {
            assert_eq!(
                (review.event_id.get(), review.verdict),
                (42, Verdict::Approve)
            );
        }
        other => panic!("a review was expected: {other:?}"),
    }
}

#[tokio::test]
async fn bodies_that_say_something_else_are_refused() {
    let world = world(ComponentState::Ready);
    let long = format!(
        r#"{{"conv_id": "42", "verdict": "reject", "reason": "{}"}}"#,
        "x".repeat(2_000)
    );
    for body in [
        "",
        "{",
        "[]",
        r#"{"conv_id": "0", "verdict": "approve", "reason": "x"}"#,
        r#"{"conv_id": "42", "verdict": "maybe", "reason": "x"}"#,
        r#"{"conv_id": "42", "verdict": "approve", "reason": "  "}"#,
        r#"{"conv_id": "42", "verdict": "approve", "reason": "x", "amount": 5}"#,
        &long,
    ] {
        let path = "/v1/commands/review";
        let (status, answer) = world
            .ask(Method::POST, path, Some("open sesame"), body.to_owned())
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        let named = answer["code"] == "invalid_fields" && answer["errors"][0]["field"].is_string();
        assert!(named || answer["code"] == "invalid_body", "{answer}");
    }
    let path = "/v1/commands/review";
    let huge = " ".repeat(BODY_BYTES_MAX + 1);
    let (status, _) = world
        .ask(Method::POST, path, Some("open sesame"), huge)
        .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(world.commands().await.is_empty());
}

#[tokio::test]
async fn a_log_that_takes_nothing_is_503() {
    let world = world(ComponentState::Ready);
    world.log.close().await;
    let body = r#"{"conv_id": "42", "verdict": "approve", "reason": "x"}"#;
    let path = "/v1/commands/review";
    let (status, answer) = world
        .ask(Method::POST, path, Some("open sesame"), body)
        .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer["code"], "unavailable");
}

#[tokio::test]
async fn a_payout_run_without_a_rail_and_a_ledger_without_a_database_say_so() {
    let world = world(ComponentState::Ready);
    let path = "/v1/rewards/payout/run";
    let (status, answer) = world.ask(Method::POST, path, Some("tick"), "").await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &"not_configured".into())
    );
    let (status, answer) = world
        .ask(Method::POST, path, Some("tick"), r#"{"as_of": 5}"#)
        .await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::BAD_REQUEST, &"invalid_fields".into())
    );
    assert_eq!(answer["errors"][0]["field"], "as_of");
    for path in ["/v1/fates", "/v1/audit"] {
        let (status, answer) = world.ask(Method::GET, path, Some("open sesame"), "").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer["code"], "unavailable");
    }
}

#[tokio::test]
async fn an_address_that_asks_too_much_is_told_when_to_come_again_and_monitoring_never_is() {
    let world = world(ComponentState::Ready);
    let send = async |path: &str| {
        let peer = SocketAddr::from(([203, 0, 113, 9], 4_711));
        let request = Request::get(path).extension(ConnectInfo(peer));
        let request = request.body(Body::empty()).expect("a request");
        world
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("answered")
    };
    for _ in 0..2 {
        let response = send("/v1/openapi.json").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["ratelimit-limit"], "2");
    }
    let response = send("/v1/openapi.json").await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["ratelimit-remaining"], "0");
    let wait = response.headers()["retry-after"].to_str().expect("text");
    assert!((1..=30).contains(&wait.parse::<u64>().expect("seconds")));
    for path in ["/health", "/metrics"] {
        assert_eq!(send(path).await.status(), StatusCode::OK, "{path}");
    }
}

#[test]
fn the_committed_description_is_that_of_the_endpoints() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let described = description().to_pretty_json().expect("JSON") + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &described).expect("written");
    }
    let committed = std::fs::read_to_string(&path).expect("docs/openapi.json");
    assert!(
        committed == described,
        "docs/openapi.json is not up to date: UPDATE_OPENAPI=1 cargo test -p api writes it"
    );
}

#[tokio::test]
async fn the_page_for_people_takes_nothing_from_elsewhere() {
    let world = world(ComponentState::Ready);
    let (status, page) = world.ask(Method::GET, "/docs", None, "").await;
    assert_eq!(status, StatusCode::OK);
    let page = page.as_str().expect("text");
    assert!(!page.contains("://"), "something comes from elsewhere");
}

#[tokio::test]
async fn delivery_reports_need_the_gateways_secret() {
    let world = world(ComponentState::Ready);
    let report = r#"{"id":"7","status":"delivered"}"#;
    for (path, token, body, wanted) in [
        (
            "/v1/messages/delivery",
            None,
            report,
            StatusCode::UNAUTHORIZED,
        ),
        (
            "/v1/messages/delivery",
            Some("open sesame"),
            report,
            StatusCode::FORBIDDEN,
        ),
        (
            "/v1/messages/delivery?token=pong",
            None,
            report,
            StatusCode::UNAUTHORIZED,
        ),
        (
            "/v1/messages/delivery",
            Some("ping"),
            "?",
            StatusCode::BAD_REQUEST,
        ),
        // The right secret, by either way; the database is nowhere.
        (
            "/v1/messages/delivery",
            Some("ping"),
            report,
            StatusCode::SERVICE_UNAVAILABLE,
        ),
        (
            "/v1/messages/delivery?token=ping",
            None,
            report,
            StatusCode::SERVICE_UNAVAILABLE,
        ),
    ] {
        let (status, _) = world.ask(Method::POST, path, token, body).await;
        assert_eq!(status, wanted, "{path} {token:?} {body}");
    }
}

#[tokio::test]
async fn a_repetition_is_a_command_in_the_log() {
    let world = world(ComponentState::Ready);
    let payout_id: PayoutId = "00000000-0000-0000-0000-000000000009"
        .parse()
        .expect("an id");
    let body = format!(r#"{{"payout_id":"{payout_id}","reason":"asked for it"}}"#);
    let path = "/v1/commands/resend";
    for (token, body, wanted) in [
        (Some("tick"), body.as_str(), StatusCode::FORBIDDEN),
        (Some("open sesame"), "{}", StatusCode::BAD_REQUEST),
        (Some("open sesame"), body.as_str(), StatusCode::OK),
    ] {
        let (status, _) = world.ask(Method::POST, path, token, body.to_owned()).await;
        assert_eq!(status, wanted);
    }
    let commands = world.commands().await;
    assert_eq!(commands.len(), 1);
    assert_eq!(
        commands[0].body,
        CommandBody::ResendMessage(ResendMessage { payout_id })
    );
    assert_eq!(commands[0].reason, "asked for it");
}

#[tokio::test]
async fn a_creators_figures_are_asked_for_by_tenant_and_period() {
    let world = world(ComponentState::Ready);
    let tenant = "tenant_id=00000000-0000-0000-0000-000000000001";
    for (query, status, code) in [
        ("", StatusCode::BAD_REQUEST, "invalid_fields"),
        ("tenant_id=1", StatusCode::BAD_REQUEST, "invalid_fields"),
        (
            &format!("{tenant}&period=0d"),
            StatusCode::BAD_REQUEST,
            "invalid_fields",
        ),
        (
            &format!("{tenant}&period=month"),
            StatusCode::BAD_REQUEST,
            "invalid_fields",
        ),
        (
            &format!("{tenant}&user_id=1"),
            StatusCode::BAD_REQUEST,
            "invalid_fields",
        ),
        (
            &format!("{tenant}&{tenant}"),
            StatusCode::BAD_REQUEST,
            "invalid_fields",
        ),
        // This installation has no analytics, and says so.
        (tenant, StatusCode::CONFLICT, "not_configured"),
        (
            &format!("{tenant}&period=7d"),
            StatusCode::CONFLICT,
            "not_configured",
        ),
    ] {
        let path = format!("/v1/analytics/creator?{query}");
        let (found, body) = world.ask(Method::GET, &path, Some("open sesame"), "").await;
        assert_eq!(
            (found, &body["code"]),
            (status, &code.into()),
            "{query}: {body}"
        );
    }
}
