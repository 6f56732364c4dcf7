//! The widget's files and what it reads, as they are served.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    shop::widget,
    world::{World, campaign, tenant},
};

/// The most that the widget may weigh (specification, section 7).
const BYTES_MAX: usize = 50 * 1024;

#[tokio::test]
async fn its_files_are_small_and_kept_and_for_any_page() {
    let world = World::new().await;
    let script = world.get("/widget/hissaback.js").await;
    assert_eq!(script.status, StatusCode::OK);
    let text = include_str!("../../../widget/hissaback.js");
    assert_eq!(script.text, text);
    assert!(text.len() <= BYTES_MAX, "{} bytes", text.len());
    for banned in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "eval(",
        "import ",
    ] {
        assert!(!text.contains(banned), "{banned}");
    }
    for (name, value) in [
        ("content-type", "text/javascript; charset=utf-8"),
        (
            "cache-control",
            "public, max-age=600, stale-while-revalidate=86400",
        ),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("access-control-allow-origin", "*"),
    ] {
        assert_eq!(script.headers[name], value, "{name}");
    }
    let tag = script.headers["etag"].to_str().expect("text");
    for (path, headers, status) in [
        (
            "/widget/hissaback.js",
            [("if-none-match", tag)],
            StatusCode::NOT_MODIFIED,
        ),
        (
            "/widget/hissaback.js",
            [("if-none-match", "\"x\"")],
            StatusCode::OK,
        ),
        (
            "/widget/openapi.html",
            [("accept", "*/*")],
            StatusCode::NOT_FOUND,
        ),
        (
            "/widget/..%2fCargo.toml",
            [("accept", "*/*")],
            StatusCode::NOT_FOUND,
        ),
    ] {
        let answer = world.ask(Method::GET, path, &headers, "").await;
        assert_eq!(answer.status, status, "{path}");
    }
    let page = world.get("/widget/example.html").await;
    let policy = page.headers["content-security-policy"]
        .to_str()
        .expect("text");
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
}

#[tokio::test]
async fn what_a_widget_shows_is_for_anybody_and_for_a_minute() {
    let world = World::new().await;
    let path = format!("/v1/widgets/{}", widget(1));
    assert_eq!(world.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        world.get("/v1/widgets/1").await.status,
        StatusCode::NOT_FOUND
    );
    for (number, link) in [(1_u8, "a"), (2, "b")] {
        let (tenant, campaign) = (tenant(number), campaign(number));
        let widget = widget(number);
        for row in [
            format!("INSERT INTO widgets VALUES ('{widget}', '{tenant}', '{campaign}', '{{}}')"),
            format!(
                "INSERT INTO links (link_id, tenant_id, campaign_id, offer_id, slug)
                 VALUES ('{widget}', '{tenant}', '{campaign}', 5509, '{link}')"
            ),
        ] {
            world.run(&row).await;
        }
    }
    let origin = [("origin", "https://shop.example")];
    let shown = world.ask(Method::GET, &path, &origin, "").await;
    assert_eq!(
        shown.body,
        json!({
            "widget_id": widget(1),
            "config": {},
            "offers": [{
                "offer_id": 5509, "brand": "Kurtas", "category": "fashion", "currency": "INR",
                "reward_pct": "4.80", "reward_flat": null,
                "smart_link": "https://hissaback.example/r/a",
            }],
        })
    );
    assert_eq!(shown.headers[header::CACHE_CONTROL], "public, max-age=60");
    assert_eq!(shown.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    // Cookies never come along, and the operator's endpoints are nobody's else.
    let preflight = |path| {
        let headers = [
            ("origin", "https://shop.example"),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization"),
        ];
        let world = &world;
        async move { world.ask(Method::OPTIONS, path, &headers, "").await }
    };
    let rewards = preflight("/v1/rewards/user").await;
    assert_eq!(rewards.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert!(
        !rewards
            .headers
            .contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS)
    );
    for other in ["/v1/offers", "/v1/auth/refresh", "/v1/audit"] {
        let answer = preflight(other).await;
        let allowed = answer
            .headers
            .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        assert!(!allowed, "{other}");
    }
    world
        .run(&format!(
            "INSERT INTO commission_overrides (tenant_id, offer_id, version, effective_at,
                                               commission_flat)
             VALUES ('{}', 5509, 1, '2026-01-01Z', 50)",
            tenant(1)
        ))
        .await;
    let flat = &world.get(&path).await.body["offers"][0];
    assert_eq!(
        (&flat["reward_pct"], &flat["reward_flat"]),
        (&Value::Null, &json!("30.00"))
    );
    world
        .run("UPDATE tenants SET custom_domain = 'go.shop.example' WHERE name = 'Tenant 1'")
        .await;
    let link = &world.get(&path).await.body["offers"][0]["smart_link"];
    assert_eq!(link, "https://go.shop.example/r/a");
    world.run("UPDATE campaigns SET status = 'paused'").await;
    assert_eq!(world.get(&path).await.body["offers"], json!([]));
}
