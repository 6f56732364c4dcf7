use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use super::*;

/// A server that puts each postback off once, and then accepts it or answers what it is told to.
#[derive(Clone)]
struct Reluctant {
    seen: Arc<Mutex<HashMap<String, u32>>>,
    then: fn() -> Response,
}

async fn answer(
    State(server): State<Reluctant>,
    headers: HeaderMap,
    uri: http::Uri,
    body: Bytes,
) -> Response {
    assert!(
        headers.contains_key("x-forwarded-for"),
        "a proxy says whom it speaks for"
    );
    let request = format!("{uri} {}", String::from_utf8_lossy(&body));
    let mut seen = server.seen.lock().expect("not poisoned");
    let times = seen.entry(request).or_default();
    *times += 1;
    if *times == 1 {
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "0")]).into_response();
    }
    (server.then)()
}

async fn server(then: fn() -> Response) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let router = Router::new()
        .route("/v1/events/conversion", get(answer).post(answer))
        .with_state(Reluctant {
            seen: Arc::default(),
            then,
        });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A script of one plain postback, whose click the test has answered itself.
fn one_postback() -> Script {
    let mut script = Script::write(5, 1, Timestamp::from_millis(1_790_000_000_000));
    for step in &mut script.steps {
        step.actions
            .retain(|action| matches!(action, Action::Postback(_)));
    }
    script
}

async fn play(then: fn() -> Response) -> (Result<(), DriveError>, Record, Timestamp) {
    let script = one_postback();
    let mut driver = Driver::new(server(then).await, 4, &script);
    for number in 0..script.clicks.len() {
        let answer = ClickAnswer {
            click_id: ClickId::new(1),
            token: "t".to_owned(),
        };
        driver.record.note_click(number, answer);
    }
    let clock = AtomicI64::new(0);
    let surroundings = Surroundings {
        set_clock: &|at| {
            let before = clock.swap(at.millis(), Ordering::SeqCst);
            assert!(before < at.millis(), "time goes on");
        },
        click_of_token: &|_| None,
        progress: &|progress| assert!(progress.postbacks <= progress.postbacks_total),
    };
    let played = driver.play(&script, Phase::Traffic, surroundings).await;
    let now = Timestamp::from_millis(clock.load(Ordering::SeqCst));
    (played, driver.into_record(), now)
}

#[tokio::test]
async fn a_postback_that_is_put_off_is_sent_again() {
    let (played, record, now) = play(|| r#"{"status":"ok"}"#.into_response()).await;
    played.expect("accepted in the end");
    assert!(record.accepted(0));
    assert_eq!(record.retries(), 1);
    assert_eq!(now, one_postback().postbacks[0].at);
}

#[tokio::test]
async fn an_ignored_postback_is_noted_with_its_reason() {
    let body = || r#"{"status":"ok","ignored":true,"reason":"not_utf8"}"#.into_response();
    let (played, record, _) = play(body).await;
    played.expect("answered");
    let answer = record.postback(0).expect("noted");
    assert_eq!(answer.ignored.as_deref(), Some("not_utf8"));
}

#[tokio::test]
async fn any_other_answer_ends_the_run() {
    for then in [
        || StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        || "ok".into_response(),
        || r#"{"status":"ok","ignored":true}"#.into_response(),
        || (StatusCode::ACCEPTED, r#"{"status":"ok"}"#).into_response(),
    ] as [fn() -> Response; 4]
    {
        let (played, record, _) = play(then).await;
        assert!(
            matches!(played, Err(DriveError::Unexpected { .. })),
            "{played:?}"
        );
        assert!(!record.accepted(0));
    }
}
