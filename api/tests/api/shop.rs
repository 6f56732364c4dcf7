//! A shop's page with the widget, on an origin of its own and under a strict policy, and the API
//! that the widget asks.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, Ordering},
};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    browser::Browser,
    world::{World, campaign, tenant},
};

/// Answers with this status never come: the request hangs.
pub const HANGS: u16 = 1;

/// What goes wrong between the page and the API: nothing (0), a status, or [`HANGS`].
#[derive(Clone, Default)]
pub struct Faults {
    /// Of the widget.
    pub widget: Arc<AtomicU16>,
    /// Of the shopper's rewards.
    pub rewards: Arc<AtomicU16>,
}

pub struct Shop {
    pub world: World,
    pub browser: Browser,
    pub faults: Faults,
    /// Where the API is.
    pub api: String,
    /// The smart links that were followed, with their queries.
    pub followed: Arc<Mutex<Vec<String>>>,
}

pub fn widget(number: u8) -> Uuid {
    Uuid::from_u128(0x300 + u128::from(number))
}

/// Its element.
pub fn element(number: u8) -> String {
    let id = widget(number);
    format!("<hissaback-offers widget-id='{id}'></hissaback-offers>")
}

impl Shop {
    /// With a link to each of two offers, and widgets that are configured so.
    pub async fn open(configs: &[Value]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let api = origin(&listener);
        let world = World::at(&api).await;
        for (offer, slug) in [(5509, "kurtas"), (7, "phones")] {
            let link = format!(
                "INSERT INTO links (link_id, tenant_id, campaign_id, offer_id, slug)
                 VALUES ('{}', '{}', '{}', {offer}, '{slug}')",
                Uuid::from_u128(offer),
                tenant(1),
                campaign(1)
            );
            world.run(&link).await;
        }
        for (number, config) in (1..).zip(configs) {
            let config = config.to_string().replace('\'', "''");
            let row = format!(
                "INSERT INTO widgets VALUES ('{}', '{}', '{}', '{config}')",
                widget(number),
                tenant(1),
                campaign(1)
            );
            world.run(&row).await;
        }
        let (faults, followed) = (Faults::default(), Arc::default());
        let router = smart_links(&followed)
            .merge(world.router())
            .layer(middleware::from_fn_with_state(faults.clone(), fail));
        serve(listener, router);
        Self {
            world,
            browser: Browser::open().await,
            faults,
            api,
            followed,
        }
    }

    /// Opens a page with this in its body, before which `script` has run.
    pub async fn visit(&self, body: &str, script: &str) {
        visit(&self.browser, &self.api, body, script).await;
    }
}

/// Opens a page of another origin than the API's.
pub async fn visit(browser: &Browser, api: &str, body: &str, script: &str) {
    // What docs/widget.md asks for, and nothing more: no styles, pictures or inline scripts.
    let policy = format!(
        "default-src 'none'; script-src 'nonce-page' {api}; connect-src {api}; \
         require-trusted-types-for 'script'"
    );
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Shop</title>\
         <script nonce=page>
           window.violations = [];
           addEventListener('securitypolicyviolation', (event) =>
             violations.push(`${{event.violatedDirective}} ${{event.blockedURI}}`));
           addEventListener('unhandledrejection', (event) => violations.push(`${{event.reason}}`));
           addEventListener('error', (event) => violations.push(event.message));
           window.shown = (index = 0) =>
             document.querySelectorAll('hissaback-offers')[index].shadowRoot;
           window.text = (selector, index) =>
             [...shown(index).querySelectorAll(selector)].map((found) => found.innerText);
           {script}
         </script>\
         <script src='{api}/widget/hissaback.js' defer></script>\
         <body>{body}</body></html>"
    );
    let answer = move || async move { ([(header::CONTENT_SECURITY_POLICY, policy)], Html(page)) };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let shop = origin(&listener);
    serve(listener, Router::new().route("/", get(answer)));
    browser.go_to(&shop).await;
}

/// The page broke no rule of its policy, and nothing in it failed.
pub async fn expect_no_violations(browser: &Browser) {
    assert_eq!(browser.run("return violations").await, json!([]));
}

fn origin(listener: &TcpListener) -> String {
    format!("http://{}", listener.local_addr().expect("an address"))
}

pub fn serve(listener: TcpListener, router: Router) {
    tokio::spawn(async move { axum::serve(listener, router).await });
}

/// Stands for ingest, whose redirect has tests of its own: notes who comes.
fn smart_links(followed: &Arc<Mutex<Vec<String>>>) -> Router {
    let followed = Arc::clone(followed);
    let follow = async move |request: Request| {
        let uri = request.uri().to_string();
        followed.lock().expect("unharmed").push(uri);
        "the merchant"
    };
    Router::new().route("/r/{slug}", get(follow))
}

async fn fail(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    let fault = match request.uri().path() {
        path if path.starts_with("/v1/widgets/") => faults.widget.load(Ordering::SeqCst),
        "/v1/rewards/user" => faults.rewards.load(Ordering::SeqCst),
        _ => 0,
    };
    match fault {
        0 => next.run(request).await,
        HANGS => std::future::pending().await,
        status => StatusCode::from_u16(status)
            .expect("a status")
            .into_response(),
    }
}
