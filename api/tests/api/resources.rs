//! What shoppers and creators work with.

use http::{Method, StatusCode};
use serde_json::json;

use crate::world::{OPERATOR, World, campaign, phone, tenant};

#[tokio::test]
async fn rewards_come_page_by_page_newest_first_and_once_only_to_who_has_them() {
    let world = World::new().await;
    let jwt = world.sign_in(&phone(1)).await.jwt();
    let first = world.get_as(&jwt, "/v1/rewards/user?limit=2").await;
    let list = first.body.as_array().expect("a list");
    assert_eq!(list.len(), 2);
    assert_eq!(list[0]["purchased_at"], "2026-09-20T03:00:00.000Z");
    assert_eq!(
        (&list[0]["amount"], &list[0]["status"], &list[0]["brand"]),
        (&json!("95.95"), &json!("pending"), &json!("Kurtas"))
    );
    assert_eq!(list[0]["eta"], "2026-10-20T00:00:00.000Z");
    assert_eq!(list[0]["message"], api::VERIFYING);
    let cursor = first.headers["next-cursor"].to_str().expect("text");
    let last = world
        .get_as(&jwt, &format!("/v1/rewards/user?limit=2&cursor={cursor}"))
        .await;
    assert_eq!(last.body[0]["purchased_at"], "2026-09-20T01:00:00.000Z");
    assert!(!last.headers.contains_key("next-cursor"));

    let bearer = format!("Bearer {jwt}");
    let tag = last.headers["etag"].to_str().expect("text");
    let again = world
        .ask(
            Method::GET,
            &format!("/v1/rewards/user?limit=2&cursor={cursor}"),
            &[("authorization", &bearer), ("if-none-match", tag)],
            "",
        )
        .await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    for wrong in [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "order=amount",
    ] {
        let answer = world
            .get_as(&jwt, &format!("/v1/rewards/user?{wrong}"))
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "invalid_fields"),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_reward_shows_what_was_booked_and_never_why_we_look() {
    let world = World::new().await;
    let jwt = world.sign_in(&phone(1)).await.jwt();
    for (status, posted, shown, amount, coming) in [
        ("review", "0", "pending", "95.95", true),
        ("confirmed", "90", "confirmed", "90", true),
        ("paid", "90", "paid", "90", false),
        ("rejected", "0", "rejected", "0", false),
        ("reversed", "0", "reversed", "0", false),
    ] {
        world
            .run(&format!(
                "UPDATE ledger SET status = '{status}', posted_user = {posted},
                        posted_commission = {posted}, reasons = '{{score}}' WHERE led_id = 103"
            ))
            .await;
        let rewards = world.get_as(&jwt, "/v1/rewards/user").await;
        let reward = &rewards.body[0];
        assert_eq!(
            (&reward["status"], &reward["amount"]),
            (&json!(shown), &json!(amount)),
            "{status}"
        );
        assert_eq!(reward["eta"].is_string(), coming, "{status}");
        assert!(!rewards.body.to_string().contains("score"));
    }
}

#[tokio::test]
async fn offers_have_the_tenants_own_rate_and_can_be_chosen_by_category() {
    let world = World::new().await;
    let jwt = world.sign_in(&phone(1)).await.jwt();
    let path = format!("/v1/offers?tenant_id={}", tenant(1));
    world
        .run(&format!(
            "INSERT INTO commission_overrides (tenant_id, offer_id, version, effective_at,
                                               commission_pct)
             VALUES ('{}', 5509, 1, '2026-01-01Z', 9.5), ('{}', 7, 1, '2026-01-01Z', 1)",
            tenant(1),
            tenant(2)
        ))
        .await;
    let offers = world.get_as(&jwt, &path).await;
    let rates: Vec<_> = offers
        .body
        .as_array()
        .expect("a list")
        .iter()
        .map(|offer| &offer["commission_pct"])
        .collect();
    assert_eq!(rates, [&json!("8.00"), &json!("9.50")]);
    let fashion = world
        .get_as(&jwt, &format!("{path}&category=fashion"))
        .await;
    assert_eq!(fashion.body[0]["offer_id"], 5509);
    assert_eq!(fashion.body.as_array().expect("a list").len(), 1);
    let none = world
        .get_as(&jwt, &format!("{path}&category=%27%20OR%20true--"))
        .await;
    assert_eq!(none.body, json!([]));
    // A withdrawn rate, and one that has run out, count no more.
    world
        .run(&format!(
            "INSERT INTO commission_overrides (tenant_id, offer_id, version, effective_at,
                                               valid_until)
             VALUES ('{}', 5509, 2, '2026-02-01Z', null)",
            tenant(1)
        ))
        .await;
    assert_eq!(
        world.get_as(&jwt, &path).await.body[1]["commission_pct"],
        "8.00"
    );
    let lacking = world.get_as(&jwt, "/v1/offers").await;
    assert_eq!(lacking.body["errors"][0]["code"], "required");
}

#[tokio::test]
async fn a_request_that_comes_again_is_answered_alike_and_makes_one_campaign() {
    let world = World::new().await;
    let jwt = world.sign_in(&phone(1)).await.jwt();
    let bearer = format!("Bearer {jwt}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("idempotency-key", "order-1"),
    ];
    let body = json!({"tenant_id": tenant(1), "name": "Diwali", "share_pct": "72.5"}).to_string();
    let path = "/v1/campaigns";
    let first = world.ask(Method::POST, path, &headers, &body).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let again = world.ask(Method::POST, path, &headers, &body).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let other = body.replace("Diwali", "Holi");
    let mismatch = world.ask(Method::POST, path, &headers, &other).await;
    assert_eq!(
        (mismatch.status, mismatch.code()),
        (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused")
    );
    // Cut off after the campaign was saved and before its answer was: the next try finds it.
    world
        .run("UPDATE idempotency_keys SET status = null, answer = null")
        .await;
    let busy = world.ask(Method::POST, path, &headers, &body).await;
    assert_eq!(
        (busy.status, busy.code()),
        (StatusCode::CONFLICT, "request_in_progress")
    );
    world.clock.set(crate::world::NOW.plus_millis(61_000));
    let resumed = world.ask(Method::POST, path, &headers, &body).await;
    assert_eq!(
        (resumed.status, &resumed.body),
        (StatusCode::OK, &first.body)
    );
    let made = "SELECT count(*) FROM campaign_versions WHERE share_pct = 72.5";
    assert_eq!(world.count(made).await, 1);
    // Another caller's key of the same name is another key.
    let others = world.sign_in(&phone(2)).await.jwt();
    let bearer = format!("Bearer {others}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("idempotency-key", "order-1"),
    ];
    let body = json!({"tenant_id": tenant(2), "name": "Holi"}).to_string();
    let theirs = world.ask(Method::POST, path, &headers, &body).await;
    assert_eq!(theirs.status, StatusCode::OK);
    assert_ne!(theirs.body, first.body);
}

#[tokio::test]
async fn what_is_refused_frees_its_key_and_names_the_field() {
    let world = World::new().await;
    let jwt = world.sign_in(&phone(1)).await.jwt();
    let bearer = format!("Bearer {jwt}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k")];
    for (field, value) in [
        ("share_pct", json!("101")),
        ("name", json!(" ")),
        ("share_pct", json!("1.234")),
    ] {
        let mut body = json!({"tenant_id": tenant(1), "name": "Diwali"});
        body[field] = value;
        let answer = world
            .ask(Method::POST, "/v1/campaigns", &headers, &body.to_string())
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "invalid_fields"),
            "{}",
            answer.body
        );
        assert_eq!(answer.body["errors"][0]["field"], field);
    }
    let unknown = json!({"tenant_id": tenant(1), "name": "a", "role": "admin"}).to_string();
    let answer = world
        .ask(Method::POST, "/v1/campaigns", &headers, &unknown)
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let body = json!({"tenant_id": tenant(1), "name": "Diwali"}).to_string();
    let made = world
        .ask(Method::POST, "/v1/campaigns", &headers, &body)
        .await;
    assert_eq!(made.status, StatusCode::OK);
}

#[tokio::test]
async fn a_link_leads_from_a_campaign_to_an_offer() {
    let world = World::new().await;
    let jwt = world.sign_in(&phone(1)).await.jwt();
    for token in [jwt.as_str(), OPERATOR] {
        let body = json!({"campaign_id": campaign(1), "offer_id": 5509}).to_string();
        let made = world.post_as(token, "/v1/links", &body).await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.body);
        let link = made.body["smart_link"].as_str().expect("a link");
        let slug = link
            .strip_prefix("https://hissaback.example/r/")
            .expect("ours");
        let saved = format!(
            "SELECT count(*) FROM links WHERE slug = '{slug}' AND tenant_id = '{}'",
            tenant(1)
        );
        assert_eq!(world.count(&saved).await, 1);
    }
    sqlx::query("UPDATE tenants SET custom_domain = 'shop.example' WHERE tenant_id = $1")
        .bind(tenant(1))
        .execute(&world.owner)
        .await
        .expect("a domain");
    let body = json!({"campaign_id": campaign(1), "offer_id": 5509}).to_string();
    let made = world.post_as(&jwt, "/v1/links", &body).await;
    let link = made.body["smart_link"].as_str().expect("a link");
    assert!(link.starts_with("https://shop.example/r/"), "{link}");
    let body = json!({"campaign_id": campaign(1), "offer_id": 1}).to_string();
    let refused = world.post_as(&jwt, "/v1/links", &body).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    assert_eq!(refused.body["errors"][0]["field"], "offer_id");
}
