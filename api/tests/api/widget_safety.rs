//! What others may try with the widget, whom it has to be readable for, and its example page.

use axum::{Json, Router, routing::get};
use http::header;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    browser::{Browser, ENTER, TAB},
    shop::{Shop, element, expect_no_violations, serve, visit, widget},
    world::phone,
};

const MARKUP: &str = "<img src=x onerror=\"window.broken = true\"><script>broken = true</script>";

/// An API that answers this, whatever widget it is asked for.
async fn api_that_says(shown: Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = async move || ([(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], Json(shown));
    let script = include_str!("../../../widget/hissaback.js");
    let script = async move || ([(header::CONTENT_TYPE, "text/javascript")], script);
    let router = Router::new()
        .route("/v1/widgets/{id}", get(answer))
        .route("/widget/hissaback.js", get(script));
    serve(listener, router);
    origin
}

#[tokio::test]
async fn markup_in_names_is_text() {
    let shop = Shop::open(&[json!({"title": "<b>Festive</b>"})]).await;
    let (world, browser) = (&shop.world, &shop.browser);
    let name = MARKUP.replace('\'', "''");
    world
        .run(&format!(
            "UPDATE offers SET brand = '{name}', category = '{name}'"
        ))
        .await;
    let jwt = world.sign_in(&phone(1)).await.jwt();
    shop.visit(&element(1), "").await;
    browser
        .run(&format!(
            "document.querySelector('hissaback-offers').token = '{jwt}'"
        ))
        .await;
    browser
        .until("shown().querySelectorAll('.reward').length === 3")
        .await;
    let names = browser.run("return text('.brand')").await;
    assert_eq!(names, json!([MARKUP, MARKUP, MARKUP, MARKUP, MARKUP]));
    assert_eq!(browser.run("return text('h2')[0]").await, "<b>Festive</b>");
    assert_eq!(
        browser
            .run("return shown().querySelectorAll('img, script, b').length")
            .await,
        0
    );
    assert_eq!(
        browser.run("return window.broken ?? null").await,
        Value::Null
    );
    expect_no_violations(browser).await;
}

#[tokio::test]
async fn an_answer_that_cant_be_trusted_does_no_harm() {
    let offer = |number: u32, link: &str| {
        json!({
            "offer_id": number, "brand": "Kurtas", "category": null, "currency": "INR",
            "reward_pct": "4.8%", "reward_flat": null, "smart_link": link
        })
    };
    let api = api_that_says(json!({
        "config": {
            "__proto__x": 1, "onload": "x", "constructor": {}, "columns": 7, "radius": "8px",
            "accent": "red;background:url(https://evil.example)", "language": "x y",
            "theme": "light\" onclick=\"x", "title": 5, "currency": "inr", "offers_max": 0
        },
        "offers": [
            offer(1, "javascript:window.broken = true"),
            offer(2, "data:text/html,x"),
            offer(3, "//evil.example/"),
            offer(4, "https://hissaback.example/r/a"),
        ]
    }))
    .await;
    let browser = Browser::open().await;
    visit(&browser, &api, &element(1), "").await;
    browser.until("shown().querySelector('.offer')").await;
    assert_eq!(
        browser
            .run("return [...shown().querySelectorAll('a')].map((link) => link.href)")
            .await,
        json!(["https://hissaback.example/r/a"])
    );
    assert_eq!(
        browser.run("return text('.badge')").await,
        json!(["Up to – back"])
    );
    let console: Vec<_> = browser.console().await;
    for key in [
        "__proto__x",
        "onload",
        "constructor",
        "columns",
        "radius",
        "accent",
        "language",
        "theme",
        "title",
        "currency",
        "offers_max",
    ] {
        let told = console.iter().filter(|(level, text)| {
            level == "WARNING" && text.contains(&format!("\\\"{key}\\\": ignored"))
        });
        assert_eq!(told.count(), 1, "{key}: {console:?}");
    }
    let style = "return shown().querySelector('.widget').getAttribute('style')";
    let style = browser.run(style).await;
    assert!(!style.as_str().expect("text").contains("evil"), "{style}");
    expect_no_violations(&browser).await;

    // What isn't an answer at all is a failure that can be tried again.
    for nonsense in [
        json!(null),
        json!([]),
        json!({"offers": "x"}),
        json!({"offers": [null]}),
    ] {
        let api = api_that_says(nonsense.clone()).await;
        visit(&browser, &api, &element(1), "").await;
        browser
            .until("shown().querySelector('[role=alert] + button')")
            .await;
        expect_no_violations(&browser).await;
    }
}

/// Every text in a widget with the contrast to what is behind it (WCAG 2.2).
const CONTRASTS: &str = "
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const luminance = (colour) => parts(colour).slice(0, 3)
      .map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
      .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    const behind = (node) => {
      const colour = getComputedStyle(node).backgroundColor;
      return parts(colour)[3] === 0 ? behind(node.parentElement) : colour;
    };
    const found = [];
    for (let index = 0; index < document.querySelectorAll('hissaback-offers').length; index++) {
      for (const node of shown(index).querySelectorAll('h2, p, span, button')) {
        if (!node.textContent || node.closest('[hidden], [role=status]')) continue;
        const [one, other] = [getComputedStyle(node).color, behind(node)].map(luminance);
        const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        found.push([contrast, `${index}: ${node.textContent}`]);
      }
    }
    return found.sort(([one], [other]) => one - other);";

#[tokio::test]
async fn everybody_can_read_it() {
    let configs: Vec<Value> = ["#000000", "#ffffff", "#777777", "#ff0000", "#0b57d0"]
        .iter()
        .flat_map(|accent| ["light", "dark"].map(|theme| json!({"accent": accent, "theme": theme})))
        .chain([json!({}), json!({"language": "ar", "columns": 4})])
        .collect();
    let shop = Shop::open(&configs).await;
    let browser = &shop.browser;
    let last = u8::try_from(configs.len()).expect("few");
    let elements: String = (1..=last).map(element).collect();
    let give = "addEventListener('DOMContentLoaded', () => document
                  .querySelectorAll('hissaback-offers')
                  .forEach((widget) => widget.token = () => null));";
    shop.visit(&elements, give).await;
    let all = "[...document.querySelectorAll('hissaback-offers')]
                 .every((widget) => widget.shadowRoot.querySelector('[part=rewards] button'))";
    browser.until(all).await;
    for scheme in ["light", "dark"] {
        let wanted = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        browser
            .devtools("Emulation.setEmulatedMedia", json!({"features": wanted}))
            .await;
        let contrasts = browser.run(CONTRASTS).await;
        let contrasts = contrasts.as_array().expect("a list");
        assert!(contrasts.len() > 100, "{}", contrasts.len());
        let least = contrasts[0][0].as_f64().expect("a number");
        assert!(least >= 4.5, "{}", contrasts[0]);
    }
    // On a narrow screen, and with text twice as large, nothing runs out at the side.
    for (width, size) in [(320, "100%"), (640, "200%")] {
        let screen =
            json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        browser
            .devtools("Emulation.setDeviceMetricsOverride", screen)
            .await;
        browser
            .run(&format!(
                "document.documentElement.style.fontSize = '{size}'"
            ))
            .await;
        let wide =
            "const root = document.documentElement; return [root.clientWidth, root.scrollWidth]";
        let wide = browser.run(wide).await;
        assert_eq!(wide[1], wide[0], "{size}");
    }
    // Each part is named, and each control is large enough to be hit.
    let named = "return [...shown().querySelectorAll('section')].map((section) =>
                   shown().getElementById(section.getAttribute('aria-labelledby')).innerText)";
    assert_eq!(browser.run(named).await, json!(["Offers", "Your rewards"]));
    let small = "return [...shown().querySelectorAll('a, button')]
                   .map((control) => control.getBoundingClientRect().height)
                   .filter((height) => height < 44)";
    assert_eq!(browser.run(small).await, json!([]));
    browser.run("shown().querySelector('a').focus()").await;
    let ring = "return getComputedStyle(shown().querySelector('a')).outlineStyle";
    browser.press(&[TAB]).await;
    let ring_of_next = ring.replace("querySelector('a')", "activeElement");
    assert_eq!(browser.run(&ring_of_next).await, "solid");
    expect_no_violations(browser).await;
}

#[tokio::test]
async fn a_shopper_signs_in_on_the_example_page_and_sees_their_rewards() {
    let shop = Shop::open(&[json!({})]).await;
    let (world, browser) = (&shop.world, &shop.browser);
    let page = format!("{}/widget/example.html?widget-id={}", shop.api, widget(1));
    browser.go_to(&page).await;
    let widget = "document.querySelector('hissaback-offers').shadowRoot";
    browser
        .click(&format!("{widget}.querySelector('[part=rewards] button')"))
        .await;
    let field = |name: &str| format!("document.querySelector('input[name={name}]')");
    browser
        .until(&format!("document.activeElement === {}", field("phone")))
        .await;
    browser.fill(&field("phone"), &phone(1)).await;
    browser.press(&[ENTER]).await;
    browser.until("!document.forms.code.hidden").await;
    let sent = world.sent();
    let code = sent.last().expect("a message").1[..6].to_owned();
    browser.fill(&field("code"), &code).await;
    browser.press(&[ENTER]).await;
    browser
        .until(&format!(
            "{widget}.querySelectorAll('.reward').length === 3"
        ))
        .await;
    assert_eq!(browser.console().await, []);
}
