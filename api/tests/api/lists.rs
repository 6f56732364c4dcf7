//! What operators and creators list, make and look into.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{OPERATOR, World, campaign, phone, tenant};

fn length(list: &Value) -> usize {
    list.as_array().expect("a list").len()
}

#[tokio::test]
async fn a_creator_sees_their_own_sales_and_each_ones_story() {
    let world = World::new().await;
    let jwt = world.sign_in(&phone(1)).await.jwt();
    let mine = format!("tenant_id={}", tenant(1));
    let path = format!("/v1/conversions?{mine}");
    let first = world.get_as(&jwt, &format!("{path}&limit=2")).await;
    assert_eq!(length(&first.body), 2, "{}", first.body);
    assert_eq!(first.body[0]["converted_at"], "2026-09-20T03:00:00.000Z");
    let cursor = first.headers["next-cursor"].to_str().expect("text");
    let rest = world
        .get_as(&jwt, &format!("{path}&limit=2&cursor={cursor}"))
        .await;
    assert_eq!(length(&rest.body), 1);
    let paid = world.get_as(&jwt, &format!("{path}&status=paid")).await;
    assert_eq!(paid.body, json!([]));
    let wrong = world.get_as(&jwt, &format!("{path}&status=odd")).await;
    assert_eq!(wrong.body["errors"][0]["field"], "status");

    let name = first.body[0]["conv_id"].as_str().expect("a string");
    world
        .run(&format!(
            "INSERT INTO postings (transaction_id, led_id, tenant_id, account, currency, amount)
             VALUES (1, {name}, '{0}', 'network_receivable', 'INR', 5),
                    (1, {name}, '{0}', 'creator_payable', 'INR', -5)",
            tenant(1)
        ))
        .await;
    let story = world
        .get_as(&jwt, &format!("/v1/conversions/{name}?{mine}"))
        .await;
    assert_eq!(story.status, StatusCode::OK, "{}", story.body);
    assert_eq!(story.body["conv_id"], name);
    assert_eq!(story.body["postings"][1]["account"], "creator_payable");
    assert_eq!(story.body["postings"][1]["amount"], "-5");
    // Another tenant's sale, one that isn't there, and what is no name are told alike.
    for other in ["103", "999", "x"] {
        let other = world
            .get_as(&jwt, &format!("/v1/conversions/{other}?{mine}"))
            .await;
        assert_eq!(
            (other.status, other.code()),
            (StatusCode::NOT_FOUND, "not_found")
        );
    }
}

#[tokio::test]
async fn payouts_are_listed_by_their_tenant_with_their_state() {
    let world = World::new().await;
    for number in [1_u8, 2] {
        world
            .run(&format!(
                "INSERT INTO payouts (payout_id, tenant_id, user_id, currency, amount, method,
                                      as_of, creation_request_id, request, state)
                 SELECT gen_random_uuid(), '{0}', '{0}', 'INR', 100, 'agcod', '2026-09-20Z',
                        '{number}-' || n, '', 'queued' FROM generate_series(1, 3) n",
                tenant(number)
            ))
            .await;
    }
    let jwt = world.sign_in(&phone(1)).await.jwt();
    let path = format!("/v1/payouts?tenant_id={}", tenant(1));
    let first = world.get_as(&jwt, &format!("{path}&limit=2")).await;
    assert_eq!(length(&first.body), 2, "{}", first.body);
    assert_eq!(
        (&first.body[0]["state"], &first.body[0]["paid_at"]),
        (&json!("queued"), &Value::Null)
    );
    assert!(!first.body.to_string().contains("creation_request_id"));
    let cursor = first.headers["next-cursor"].to_str().expect("text");
    let rest = world
        .get_as(&jwt, &format!("{path}&limit=2&cursor={cursor}"))
        .await;
    assert_eq!(length(&rest.body), 1);
    let funded = world.get_as(&jwt, &format!("{path}&state=funded")).await;
    assert_eq!(funded.body, json!([]));
}

#[tokio::test]
async fn a_tenant_is_made_given_a_member_and_run_by_them() {
    let world = World::new().await;
    let made = json!({"name": "Asha's picks", "default_share_pct": "60"}).to_string();
    let made = world.post_as(OPERATOR, "/v1/tenants", &made).await;
    let tenant = made.body["tenant_id"].as_str().expect("an id").to_owned();
    let members = format!("/v1/tenants/{tenant}/members");
    // Once for somebody who is here, and once for somebody who isn't yet; twice is once.
    for number in ["+919876543201", "+14155550177", "+14155550177"] {
        let added = json!({"phone": number}).to_string();
        let added = world.post_as(OPERATOR, &members, &added).await;
        assert_eq!(added.status, StatusCode::OK, "{}", added.body);
    }
    let listed = world.get_as(OPERATOR, &members).await;
    assert_eq!(length(&listed.body), 2, "{}", listed.body);
    let jwt = world.sign_in("+14155550177").await.jwt();
    let shown = world.get_as(&jwt, &format!("/v1/tenants/{tenant}")).await;
    assert_eq!(shown.body["default_share_pct"], "60.00", "{}", shown.body);

    let campaign = json!({"tenant_id": tenant, "name": "Diwali"}).to_string();
    let campaign = world.post_as(&jwt, "/v1/campaigns", &campaign).await;
    let campaign = campaign.body["campaign_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let versions = format!("/v1/campaigns/{campaign}/versions");
    let terms = json!({"effective_at": "2026-10-01T00:00:00Z", "share_pct": "65"}).to_string();
    let terms = world.post_as(&jwt, &versions, &terms).await;
    assert_eq!(terms.status, StatusCode::OK, "{}", terms.body);
    // Terms never take effect at once, let alone in the past.
    let late = json!({"effective_at": "2026-09-01T00:00:00Z"}).to_string();
    let late = world.post_as(&jwt, &versions, &late).await;
    assert_eq!(
        (late.status, &late.body["errors"][0]["field"]),
        (StatusCode::BAD_REQUEST, &json!("effective_at")),
        "{}",
        late.body
    );
    let campaigns = world
        .get_as(&jwt, &format!("/v1/campaigns?tenant_id={tenant}"))
        .await;
    assert_eq!(campaigns.body[0]["versions"][1]["share_pct"], "65.00");

    let link = json!({"campaign_id": campaign, "offer_id": 5509}).to_string();
    let link = world.post_as(&jwt, "/v1/links", &link).await;
    let links = world
        .get_as(&jwt, &format!("/v1/links?tenant_id={tenant}"))
        .await;
    assert_eq!(links.body[0]["smart_link"], link.body["smart_link"]);
}

#[tokio::test]
async fn widgets_are_made_once_and_shown_to_anybody() {
    let world = World::new().await;
    let jwt = world.sign_in(&phone(1)).await.jwt();
    let bearer = format!("Bearer {jwt}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "w")];
    let config = json!({"theme": "dark"});
    let body = json!({"campaign_id": campaign(1), "config_json": config}).to_string();
    let first = world
        .ask(Method::POST, "/v1/widgets", &headers, &body)
        .await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let again = world
        .ask(Method::POST, "/v1/widgets", &headers, &body)
        .await;
    assert_eq!(again.body, first.body);
    let listed = world
        .get_as(&jwt, &format!("/v1/widgets?tenant_id={}", tenant(1)))
        .await;
    assert_eq!(length(&listed.body), 1);
    let widget = first.body["widget_id"].as_str().expect("an id");
    let shown = world.get(&format!("/v1/widgets/{widget}")).await;
    assert_eq!(shown.body["config"], config, "{}", shown.body);
    let others = json!({"campaign_id": campaign(2)}).to_string();
    let others = world.post_as(&jwt, "/v1/widgets", &others).await;
    assert_eq!(others.status, StatusCode::NOT_FOUND);
    let nul = json!({"campaign_id": campaign(1), "config_json": {"a": ["\0"]}}).to_string();
    let nul = world.post_as(&jwt, "/v1/widgets", &nul).await;
    assert_eq!(nul.body["errors"][0]["field"], "config_json");
}

#[tokio::test]
async fn operators_look_into_what_waits_and_why() {
    let world = World::new().await;
    world
        .run("UPDATE ledger SET status = 'review', reasons = '{score}' WHERE led_id IN (101, 201)")
        .await;
    let waiting = world.get_as(OPERATOR, "/v1/reviews").await;
    assert_eq!(length(&waiting.body), 2, "{}", waiting.body);
    assert_eq!(waiting.body[0]["reasons"], json!(["score"]));
    let one = format!("/v1/reviews?tenant_id={}", tenant(1));
    assert_eq!(length(&world.get_as(OPERATOR, &one).await.body), 1);

    for partition in [0, 1] {
        world
            .run(&format!(
                "INSERT INTO unmatched_conversions (source_partition, source_offset, conv_id,
                     received_at, network_id, reason, state, decision)
                 VALUES ({partition}, 7, 42, '2026-09-20Z', 1, 'unknown_click', 'parked', '')"
            ))
            .await;
    }
    let first = world.get_as(OPERATOR, "/v1/unmatched?limit=1").await;
    assert_eq!(first.body[0]["position"]["partition"], 0, "{}", first.body);
    let cursor = first.headers["next-cursor"].to_str().expect("text");
    let next = format!("/v1/unmatched?limit=1&cursor={cursor}");
    let next = world.get_as(OPERATOR, &next).await;
    assert_eq!(next.body[0]["position"]["partition"], 1);
    let healed = world.get_as(OPERATOR, "/v1/unmatched?state=healed").await;
    assert_eq!(healed.body, json!([]));

    for (path, status) in [
        ("/v1/dead-letters", StatusCode::OK),
        ("/v1/dead-letters?state=open&limit=5", StatusCode::OK),
        ("/v1/dead-letters/0/7", StatusCode::NOT_FOUND),
        ("/v1/dead-letters/99/7", StatusCode::NOT_FOUND),
        ("/v1/corrections", StatusCode::OK),
        ("/v1/fraud-rules", StatusCode::OK),
        ("/v1/explain/conversion/999", StatusCode::NOT_FOUND),
        ("/v1/explain/payout/x", StatusCode::NOT_FOUND),
        ("/v1/explain/odd/101", StatusCode::NOT_FOUND),
    ] {
        let answer = world.get_as(OPERATOR, path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn fraud_rules_are_versions_that_come_into_force_later() {
    let world = World::new().await;
    let path = "/v1/fraud-rules";
    let made = json!({
        "tenant_id": tenant(1), "effective_at": "2026-10-01T00:00:00Z",
        "rules": {"velocity_claims": 4}
    })
    .to_string();
    for _ in 0..2 {
        let made = world.post_as(OPERATOR, path, &made).await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    }
    let listed = format!("{path}?tenant_id={}", tenant(1));
    let listed = world.get_as(OPERATOR, &listed).await;
    assert_eq!(length(&listed.body), 1, "{}", listed.body);
    assert_eq!(listed.body[0]["rules"]["velocity_claims"], 4);
    let wrong = made.replace("\"velocity_claims\":4", "\"velocity_claims\":-4");
    let wrong = wrong.replace("10-01", "10-02");
    let wrong = world.post_as(OPERATOR, path, &wrong).await;
    assert_eq!(
        wrong.body["errors"][0]["field"], "rules.velocity_claims",
        "{}",
        wrong.body
    );
}

#[tokio::test]
async fn a_command_that_comes_again_with_its_key_is_given_once() {
    let world = World::new().await;
    let bearer = format!("Bearer {OPERATOR}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "r")];
    let body = json!({"conv_id": "101", "verdict": "approve", "reason": "called"}).to_string();
    let path = "/v1/commands/review";
    let first = world.ask(Method::POST, path, &headers, &body).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let again = world.ask(Method::POST, path, &headers, &body).await;
    assert_eq!(again.body, first.body);
    assert_eq!(again.headers["idempotency-replayed"], "true");
}
