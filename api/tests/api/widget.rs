//! The widget in a browser, on another site's page, over the API and its database.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::{
    browser::{ENTER, PATIENCE, POLL, TAB},
    shop::{HANGS, Shop, element, expect_no_violations, widget},
    world::phone,
};

#[tokio::test]
async fn offers_and_rewards_are_shown_as_configured() {
    let configs = [
        json!({"language": "en-IN", "title": "Festive", "accent": "#ffcc00", "columns": 2}),
        json!({"language": "hi", "theme": "dark", "rewards": false}),
        json!({"language": "ar-EG", "currency": "INR", "offers_max": 1, "radius": 0}),
    ];
    let shop = Shop::open(&configs).await;
    let (world, browser) = (&shop.world, &shop.browser);
    // More digits than a floating-point number has, and one that was paid in part.
    world
        .run(
            "UPDATE ledger SET user_amount = 123456789012345.1,
                    expected_commission = 123456789012409.07 WHERE led_id = 102",
        )
        .await;
    world
        .run(
            "UPDATE ledger SET status = 'confirmed', posted_user = 90, posted_commission = 90,
                    paid_amount = 20.5 WHERE led_id = 101",
        )
        .await;
    let jwt = world.sign_in(&phone(1)).await.jwt();
    let three: String = (1..=3).map(element).collect();
    let give = format!(
        "addEventListener('DOMContentLoaded', () => document
           .querySelectorAll('hissaback-offers').forEach((widget) => widget.token = '{jwt}'));"
    );
    shop.visit(&three, &give).await;
    browser
        .until("shown(0).querySelectorAll('.reward').length === 3")
        .await;
    browser
        .until("shown(2).querySelectorAll('.reward').length === 3")
        .await;
    browser
        .until("shown(1).querySelectorAll('.badge').length === 2")
        .await;

    let text = async |selector: &str, index: u8| {
        browser
            .run(&format!("return text('{selector}', {index})"))
            .await
    };
    assert_eq!(text("h2", 0).await, json!(["Festive", "Your rewards"]));
    assert_eq!(
        text(".brand", 0).await,
        json!(["Kurtas", "Phones", "Kurtas", "Kurtas", "Kurtas"])
    );
    assert_eq!(
        text(".badge", 0).await,
        json!(["Up to 4.8% back", "Up to 4.8% back"])
    );
    assert_eq!(
        text(".amount", 0).await,
        json!(["₹95.95", "₹12,34,56,78,90,12,345.10", "₹90.00"])
    );
    assert_eq!(
        text(".status", 0).await,
        json!(["Pending", "Pending", "Confirmed"])
    );
    let notes = text(".note", 0).await;
    assert_eq!(notes[0], api::VERIFYING);
    assert_eq!(notes[1], "Payable from 20 Oct 2026");
    assert_eq!(notes[5], "₹20.50 of it is paid");

    assert_eq!(
        text(".badge", 1).await,
        json!(["4.8% तक वापस पाएँ", "4.8% तक वापस पाएँ"])
    );
    assert_eq!(
        browser
            .run("return shown(1).querySelector('[part=rewards]').hidden")
            .await,
        true
    );
    assert_eq!(text(".badge", 2).await.as_array().expect("a list").len(), 1);
    assert_eq!(text(".amount", 2).await[0], "\u{200f}٩٥٫٩٥\u{a0}₹");
    let direction = "return getComputedStyle(shown(2).querySelector('.reward')).direction";
    assert_eq!(browser.run(direction).await, "rtl");
    let accent = "return getComputedStyle(shown(0).querySelector('.badge')).backgroundColor";
    assert_eq!(browser.run(accent).await, "rgb(255, 204, 0)");
    expect_no_violations(browser).await;
    assert_eq!(browser.console().await, []);
}

#[tokio::test]
async fn a_click_follows_the_smart_link_and_names_the_shopper() {
    let shop = Shop::open(&[json!({})]).await;
    let browser = &shop.browser;
    let signed_in = shop.world.sign_in(&phone(1)).await;
    let user = signed_in.body["user_id"].as_str().expect("an id");
    let noted = "window.told = [];
                 addEventListener('hissaback-click', (event) => told.push(event.detail.offer_id));";
    shop.visit(&element(1), noted).await;
    browser.click("shown().querySelector('.offer')").await;
    let give = format!(
        "document.querySelector('hissaback-offers').token = '{}'",
        signed_in.jwt()
    );
    browser.run(&give).await;
    browser.until("shown().querySelector('.reward')").await;
    // By keyboard alone: from the first link to the second, and through that.
    browser.devtools("Page.bringToFront", json!({})).await;
    browser.press(&[TAB, ENTER]).await;
    browser.until("told.length === 2").await;
    assert_eq!(browser.run("return told").await, json!([5509, 7]));
    let two_more_tabs = async {
        while browser.tabs().await < 3 || shop.followed.lock().expect("unharmed").len() < 2 {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, two_more_tabs)
        .await
        .expect("each click opens a tab");
    let followed = shop.followed.lock().expect("unharmed").clone();
    assert_eq!(
        followed,
        ["/r/kurtas".to_owned(), format!("/r/phones?u={user}")]
    );
    let link = browser
        .run("return shown().querySelector('.offer').outerHTML")
        .await;
    let link = link.as_str().expect("text");
    for part in ["rel=\"noopener nofollow sponsored\"", "opens in a new tab"] {
        assert!(link.contains(part), "{link}");
    }
    expect_no_violations(browser).await;
}

#[tokio::test]
async fn the_page_gives_the_token_and_nobody_gets_it_back() {
    let shop = Shop::open(&[json!({})]).await;
    let (world, browser) = (&shop.world, &shop.browser);
    let jwt = world.sign_in(&phone(1)).await.jwt();
    // Set before the widget's script is there; nobody is signed in yet.
    let page = format!(
        "window.asked = [];
         window.jwt = null;
         addEventListener('hissaback-sign-in', () => asked.push('sign in'));
         const give = async ({{ refused }}) => {{
           asked.push(refused);
           return refused ? '{jwt}' : jwt;
         }};
         document.addEventListener('readystatechange', () => {{
           const widget = document.querySelector('hissaback-offers');
           if (document.readyState === 'interactive') widget.token = give;
         }});"
    );
    shop.visit(
        &element(1).replace("></", " token='in-an-attribute'></"),
        &page,
    )
    .await;
    browser
        .click("shown().querySelector('[part=rewards] button')")
        .await;
    assert_eq!(browser.run("return asked").await, json!([false, "sign in"]));
    assert_eq!(
        browser.run("return text('[part=rewards] button')").await,
        json!(["Sign in to see your rewards"])
    );
    // One that doesn't count is asked for again, once.
    browser
        .run(
            "asked = []; jwt = 'e30.e30.e30'; document.querySelector('hissaback-offers').refresh()",
        )
        .await;
    browser
        .until("shown().querySelectorAll('.reward').length === 3")
        .await;
    assert_eq!(browser.run("return asked").await, json!([false, true]));
    let kept = "const widget = document.querySelector('hissaback-offers');
                return JSON.stringify([widget.token ?? null, widget.outerHTML,
                  widget.shadowRoot.innerHTML, {...localStorage}, {...sessionStorage},
                  document.cookie])";
    let kept = browser.run(kept).await;
    assert!(!kept.as_str().expect("text").contains(&jwt));
    // The shopper signs out: a token that was refused twice isn't asked for a third time.
    world.run("DELETE FROM sessions").await;
    browser
        .run("asked = []; document.querySelector('hissaback-offers').refresh()")
        .await;
    browser
        .until("shown().querySelector('[part=rewards] button')")
        .await;
    assert_eq!(browser.run("return asked").await, json!([false, true]));
    browser
        .run("document.querySelector('hissaback-offers').token = null")
        .await;
    browser
        .until("shown().querySelector('[part=rewards]').hidden")
        .await;
    let console = browser.console().await;
    let told = |what: &str| console.iter().any(|(_, text)| text.contains(what));
    assert!(
        told("a token is a property, never an attribute"),
        "{console:?}"
    );
    expect_no_violations(browser).await;
}

#[tokio::test]
async fn more_rewards_come_by_the_page_and_the_focus_goes_with_them() {
    let shop = Shop::open(&[json!({})]).await;
    let browser = &shop.browser;
    shop.world
        .run(
            "INSERT INTO ledger
             SELECT (jsonb_populate_record(one, jsonb_build_object(
                 'led_id', 1000 + n, 'click_id', 1000 + n,
                 'converted_at', one.converted_at - n * interval '1 minute'))).*
             FROM ledger one, generate_series(1, 9) n WHERE led_id = 101",
        )
        .await;
    let jwt = shop.world.sign_in(&phone(1)).await.jwt();
    shop.visit(&element(1), "").await;
    browser
        .run(&format!(
            "document.querySelector('hissaback-offers').token = '{jwt}'"
        ))
        .await;
    browser
        .until("shown().querySelectorAll('.reward').length === 10")
        .await;
    browser
        .run("shown().querySelector('[part=rewards] button').focus()")
        .await;
    browser.press(&[ENTER]).await;
    browser
        .until("shown().querySelectorAll('.reward').length === 12")
        .await;
    let focused = "return [...shown().querySelectorAll('.reward')].indexOf(shown().activeElement)";
    assert_eq!(browser.run(focused).await, 10);
    assert_eq!(
        browser.run("return text('[part=rewards] button')").await,
        json!([])
    );
    expect_no_violations(browser).await;
}

#[tokio::test]
async fn what_fails_is_told_and_tried_again() {
    let shop = Shop::open(&[json!({})]).await;
    let (browser, faults) = (&shop.browser, &shop.faults);
    browser.devtools("Network.enable", json!({})).await;
    let kept = json!({"cacheDisabled": true});
    browser.devtools("Network.setCacheDisabled", kept).await;
    let alert = "shown().querySelector('[role=alert]')?.innerText";
    let offers = "shown().querySelectorAll('.offer').length === 2";
    faults.widget.store(503, Ordering::SeqCst);
    shop.visit(&element(1), "").await;
    let told = browser.until(alert).await;
    assert_eq!(told, "The offers can't be shown at the moment.");
    faults.widget.store(0, Ordering::SeqCst);
    browser.run("document.activeElement?.blur()").await;
    browser.press(&[TAB, ENTER]).await;
    browser.until(offers).await;
    assert_eq!(
        browser.run("return shown().activeElement.innerText").await,
        "Offers"
    );

    // While it loads, that is told, and nothing moves for those who don't want it.
    faults.widget.store(HANGS, Ordering::SeqCst);
    browser
        .run("document.querySelector('hissaback-offers').refresh()")
        .await;
    browser
        .until("shown().querySelector('[aria-busy=true] .bone')")
        .await;
    assert_eq!(
        browser
            .run("return shown().querySelector('[role=status]').innerText")
            .await,
        "Loading…"
    );
    for (motion, animation) in [("reduce", "none"), ("no-preference", "breathe")] {
        let wanted = json!([{"name": "prefers-reduced-motion", "value": motion}]);
        browser
            .devtools("Emulation.setEmulatedMedia", json!({"features": wanted}))
            .await;
        let moves = "return getComputedStyle(shown().querySelector('.bone')).animationName";
        assert_eq!(browser.run(moves).await, animation, "{motion}");
    }
    // A page that is left and comes back asks anew.
    faults.widget.store(0, Ordering::SeqCst);
    browser
        .run(
            "const widget = document.querySelector('hissaback-offers');
              widget.remove(); document.body.append(widget);",
        )
        .await;
    browser.until(offers).await;

    let offline = |offline: bool| {
        let conditions = json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        browser.devtools("Network.emulateNetworkConditions", conditions)
    };
    offline(true).await;
    browser
        .run("document.querySelector('hissaback-offers').refresh()")
        .await;
    browser.until(alert).await;
    offline(false).await;
    browser.until(offers).await;

    faults.rewards.store(500, Ordering::SeqCst);
    let jwt = shop.world.sign_in(&phone(1)).await.jwt();
    browser
        .run(&format!(
            "document.querySelector('hissaback-offers').token = '{jwt}'"
        ))
        .await;
    assert_eq!(browser.until(alert).await, api::VERIFYING);
    faults.rewards.store(0, Ordering::SeqCst);
    browser
        .click("shown().querySelector('[part=rewards] button')")
        .await;
    browser
        .until("shown().querySelectorAll('.reward').length === 3")
        .await;

    // What isn't there isn't tried again.
    let gone = format!(
        "document.querySelector('hissaback-offers').setAttribute('widget-id', '{}')",
        widget(9)
    );
    browser.run(&gone).await;
    assert_eq!(
        browser.until(alert).await,
        "These offers aren't available any more."
    );
    assert_eq!(browser.run("return text('button')").await, json!([]));
    expect_no_violations(browser).await;
}
