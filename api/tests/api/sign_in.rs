//! One-time codes, sessions, and what is done against those who abuse them.

use api::auth::LIFETIME_SECONDS;
use http::{Method, StatusCode};

use crate::world::{NOW, World, phone, tenant};

const MINUTE_MILLIS: i64 = 60_000;
const HOUR_MILLIS: i64 = 60 * MINUTE_MILLIS;
const DAY_MILLIS: i64 = 24 * HOUR_MILLIS;

#[tokio::test]
async fn a_known_phone_signs_in_as_its_person_and_an_unknown_one_becomes_one() {
    let world = World::new().await;
    let creator = world.sign_in(&phone(1)).await;
    assert_eq!(
        creator.body["user_id"],
        "00000000-0000-0000-0000-000000000201"
    );
    assert_eq!(creator.body["tenant_ids"][0], tenant(1).to_string());
    assert_eq!(creator.body["expires_in"], LIFETIME_SECONDS);
    assert_eq!(creator.headers["cache-control"], "no-store");
    let cookie = creator.headers["set-cookie"].to_str().expect("text");
    for part in [
        "HttpOnly",
        "Secure",
        "SameSite=Strict",
        "Max-Age=2592000",
        "Path=/v1/auth",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }

    let before = world.count("SELECT count(*) FROM users").await;
    let first = world.sign_in("+14155550100").await;
    let again = world.sign_in("+14155550100").await;
    assert_eq!(first.body["user_id"], again.body["user_id"]);
    assert_eq!(world.count("SELECT count(*) FROM users").await, before + 1);
    let rewards = world.get_as(&first.jwt(), "/v1/rewards/user").await;
    assert_eq!(
        (rewards.status, rewards.body),
        (StatusCode::OK, serde_json::json!([]))
    );
    // Where their codes will be sent is kept sealed.
    let sealed =
        "SELECT count(*) FROM users WHERE phone_sealed IS NOT NULL AND phone_hash IS NOT NULL";
    assert_eq!(world.count(sealed).await, 1);
}

#[tokio::test]
async fn known_and_unknown_phones_are_answered_alike() {
    let world = World::new().await;
    let mut answers = Vec::new();
    for phone in [phone(1), "+14155550199".to_owned()] {
        let (request_id, code) = world.code(&phone).await;
        let wrong = world.verify(&request_id, wrong(&code)).await;
        let names: Vec<String> = wrong.headers.keys().map(ToString::to_string).collect();
        answers.push((wrong.status, names, wrong.body));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(world.sent().len(), 2);
    let (one, other) = (&world.sent()[0].1, &world.sent()[1].1);
    assert_eq!(
        one.split_once(' ').expect("text").1,
        other.split_once(' ').expect("text").1
    );
}

/// A code that isn't this one.
fn wrong(code: &str) -> &'static str {
    if code == "000000" { "000001" } else { "000000" }
}

#[tokio::test]
async fn a_code_counts_once_in_time_and_for_five_tries() {
    let world = World::new().await;
    let rejected = async |request_id: &str, code: &str| {
        let answer = world.verify(request_id, code).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::UNAUTHORIZED, "code_rejected")
        );
        assert!(!answer.headers.contains_key("set-cookie"));
        answer.body
    };
    let (used, code) = world.code(&phone(1)).await;
    assert_eq!(world.verify(&used, &code).await.status, StatusCode::OK);
    let of_used = rejected(&used, &code).await;

    let (tried, code) = world.code(&phone(1)).await;
    for _ in 0..5 {
        rejected(&tried, wrong(&code)).await;
    }
    let of_tried = rejected(&tried, &code).await;

    let (late, code) = world.code(&phone(1)).await;
    world.clock.set(NOW.plus_millis(10 * MINUTE_MILLIS));
    let of_late = rejected(&late, &code).await;

    let (_, code) = world.code(&phone(1)).await;
    let unknown = "7f6f1ab4-8f0c-4a57-9a43-0c8e6d1f2b11";
    let of_unknown = rejected(unknown, &code).await;
    // Another request's code doesn't count either, and none of the answers tells which it was.
    let (mine, _) = world.code(&phone(2)).await;
    let of_other = rejected(&mine, wrong(&code)).await;
    for body in [of_tried, of_late, of_unknown, of_other] {
        assert_eq!(body, of_used);
    }
    let stored = "SELECT count(*) FROM one_time_codes WHERE code_hash ~ '^[0-9]{6}$'";
    assert_eq!(world.count(stored).await, 0);
}

#[tokio::test]
async fn a_phone_gets_five_codes_an_hour_however_it_is_written() {
    let world = World::new().await;
    for _ in 0..5 {
        world.code("+14155550100").await;
        world
            .clock
            .set(stream::Clock::now(&*world.clock).plus_millis(MINUTE_MILLIS));
    }
    for spelling in ["+14155550100", "+1 415-555-0100"] {
        let refused = world
            .post(
                "/v1/auth/otp/request",
                &format!(r#"{{"phone": "{spelling}"}}"#),
            )
            .await;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::TOO_MANY_REQUESTS, "too_many_codes")
        );
        assert_eq!(refused.headers["retry-after"], "3300");
    }
    assert_eq!(world.sent().len(), 5);
    world.code("+14155550101").await;
    world.clock.set(NOW.plus_millis(HOUR_MILLIS));
    world.code("+14155550100").await;
}

#[tokio::test]
async fn five_at_once_are_five_whoever_answers() {
    let world = World::new().await;
    let asked = r#"{"phone": "+14155550100"}"#;
    let asks = (0..12).map(|_| world.post("/v1/auth/otp/request", asked));
    let answers = futures::future::join_all(asks).await;
    let answers: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    let let_in = answers
        .iter()
        .filter(|status| **status == StatusCode::OK)
        .count();
    assert_eq!(let_in, 5, "{answers:?}");
}

#[tokio::test]
async fn a_refresh_token_that_comes_twice_ends_its_session_for_good() {
    let world = World::new().await;
    let first = world.sign_in(&phone(1)).await;
    let second = world.refresh(&first.cookie()).await;
    assert_eq!(second.status, StatusCode::OK);
    assert_ne!(second.cookie(), first.cookie());
    let path = "/v1/rewards/user";
    assert_eq!(
        world.get_as(&second.jwt(), path).await.status,
        StatusCode::OK
    );

    let bystander = world.sign_in(&phone(1)).await;
    let replayed = world.refresh(&first.cookie()).await;
    assert_eq!(
        (replayed.status, replayed.code()),
        (StatusCode::UNAUTHORIZED, "session_over")
    );
    for cookie in [first.cookie(), second.cookie()] {
        assert_eq!(
            world.refresh(&cookie).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    // The access tokens that came of it are over too, though they haven't expired.
    for jwt in [first.jwt(), second.jwt()] {
        assert_eq!(world.get_as(&jwt, path).await.code(), "unauthorised");
    }
    assert_eq!(
        world.get_as(&bystander.jwt(), path).await.status,
        StatusCode::OK
    );
    assert_eq!(
        world.refresh(&bystander.cookie()).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn who_signs_out_or_is_erased_or_stays_away_is_out() {
    let world = World::new().await;
    let path = "/v1/rewards/user";
    let out = world.sign_in(&phone(1)).await;
    for _ in 0..2 {
        let answer = world
            .ask(
                Method::POST,
                "/v1/auth/logout",
                &[("cookie", &out.cookie())],
                "",
            )
            .await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert!(
            answer.headers["set-cookie"]
                .to_str()
                .expect("text")
                .contains("Max-Age=0")
        );
    }
    assert_eq!(
        world.get_as(&out.jwt(), path).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        world.refresh(&out.cookie()).await.status,
        StatusCode::UNAUTHORIZED
    );

    let expiring = world.sign_in(&phone(1)).await;
    world.clock.set(NOW.plus_millis(LIFETIME_SECONDS * 1_000));
    assert_eq!(
        world.get_as(&expiring.jwt(), path).await.status,
        StatusCode::UNAUTHORIZED
    );
    world.clock.set(NOW.plus_millis(30 * DAY_MILLIS - 1));
    let kept = world.refresh(&expiring.cookie()).await;
    assert_eq!(kept.status, StatusCode::OK);
    world.clock.set(NOW.plus_millis(60 * DAY_MILLIS));
    assert_eq!(
        world.refresh(&kept.cookie()).await.status,
        StatusCode::UNAUTHORIZED
    );

    let erased = world.sign_in(&phone(2)).await;
    let user = erased.body["user_id"].as_str().expect("an id");
    world
        .run(&format!("SELECT erase_user('{user}', false)"))
        .await;
    assert_eq!(
        world.get_as(&erased.jwt(), path).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        world.refresh(&erased.cookie()).await.status,
        StatusCode::UNAUTHORIZED
    );
    for made_up in [
        "",
        "__Secure-hissaback-refresh=",
        "__Secure-hissaback-refresh=AAAA",
    ] {
        assert_eq!(world.refresh(made_up).await.code(), "session_over");
    }
}

#[tokio::test]
async fn what_nobody_asks_for_any_more_goes_and_nothing_else() {
    let world = World::new().await;
    let kept = world.sign_in(&phone(1)).await;
    let remove = |at: schemas::Timestamp| format!("SELECT expired_sign_ins_removed('{at}')");
    assert_eq!(
        world.count(&remove(NOW.plus_millis(DAY_MILLIS - 1))).await,
        0
    );
    assert_eq!(world.refresh(&kept.cookie()).await.status, StatusCode::OK);
    assert_eq!(
        world.count(&remove(NOW.plus_millis(33 * DAY_MILLIS))).await,
        2
    );
    assert_eq!(world.count("SELECT count(*) FROM refresh_tokens").await, 0);
}

#[tokio::test]
async fn forms_that_say_something_else_are_told_by_field() {
    let world = World::new().await;
    for (path, body, field, code) in [
        ("request", "{}", "phone", "required"),
        ("request", r#"{"phone": "98765"}"#, "phone", "invalid"),
        ("request", r#"{"phone": 5}"#, "phone", "invalid"),
        (
            "request",
            r#"{"phone": "'; DROP TABLE users; --"}"#,
            "phone",
            "invalid",
        ),
        ("verify", "{}", "request_id", "required"),
        (
            "verify",
            r#"{"request_id": "1", "code": "123456"}"#,
            "request_id",
            "invalid",
        ),
    ] {
        let answer = world.post(&format!("/v1/auth/otp/{path}"), body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "invalid_fields"),
            "{body}"
        );
        let error = &answer.body["errors"][0];
        assert_eq!(
            (&error["field"], &error["code"]),
            (&field.into(), &code.into()),
            "{body}"
        );
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    let huge = format!(r#"{{"phone": "{}"}}"#, "9".repeat(20_000));
    let answer = world.post("/v1/auth/otp/request", &huge).await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large")
    );
    assert!(world.sent().is_empty());
}
