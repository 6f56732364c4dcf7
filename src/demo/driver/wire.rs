//! Requests as the proxy forwards them, and what their answers say.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, LOCATION, USER_AGENT},
};
use http_body_util::Full;
use schemas::ClickId;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::demo::world::{Click, ClickRoute, Postback, Reference, Script, messages};

use super::{ClickAnswer, Record};

const PHONE: &str = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) \
                     Chrome/140.0.0.0 Mobile Safari/537.36";
const BOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +https://search.example/bot.html)";
const NETWORK: &str = "Trackier-Postback/2.0";
/// Where the network's calls come from: an address set aside for documentation.
const NETWORK_ADDRESS: &str = "192.0.2.17";

/// The parameter of a tracking link in which the demo's offers carry the token.
const TOKEN_PARAMETER: &str = "p1";
/// Position of the character that a forged token has changed: within its seal.
const FORGED_AT: usize = 60;

type Wired = Result<Request<Full<Bytes>>, http::Error>;

/// A click, by its path; the driver adds where the server is.
pub fn click(click: &Click, script: &Script) -> Wired {
    let link = &script.seeds.links[click.link];
    let mut signals = Vec::new();
    if click.odd.data_centre {
        signals.push("data_centre");
    }
    if click.odd.proxy {
        signals.push("proxy");
    }
    let mut request = Request::builder()
        .header("x-forwarded-for", click.address.to_string())
        .header("cf-ipcountry", click.country)
        .header(USER_AGENT, if click.odd.bot { BOT } else { PHONE });
    if !signals.is_empty() {
        request = request.header("x-client-signals", signals.join(","));
    }
    match click.route {
        ClickRoute::SmartLink => {
            let query = click
                .user_id
                .map(|user_id| format!("?u={user_id}"))
                .unwrap_or_default();
            request
                .uri(format!("/r/{}{query}", link.slug))
                .body(Full::default())
        }
        ClickRoute::Endpoint => {
            let mut body = json!({ "link_id": link.link_id });
            if let Some(user_id) = click.user_id {
                body["user_id"] = json!(user_id);
            }
            if let Some(edge_at) = click.edge_at {
                body["clicked_at"] = json!(edge_at.to_string());
            }
            request
                .method(Method::POST)
                .uri("/v1/events/click")
                .header(CONTENT_TYPE, "application/json")
                .body(Full::from(body.to_string()))
        }
    }
}

/// A postback, by its path. Clicks that got no answer are named by nothing, and the run has ended
/// by then.
pub fn postback(postback: &Postback, script: &Script, record: &Record) -> Wired {
    let reference = reference(&postback.reference, record);
    let network = script.seeds.network(postback.report.network_id);
    let message = messages::write(postback, &reference, network);
    let mut request = Request::builder()
        .method(message.method)
        .uri(message.path)
        .header("x-forwarded-for", NETWORK_ADDRESS)
        .header(USER_AGENT, NETWORK);
    if let Some(content_type) = message.content_type {
        request = request.header(CONTENT_TYPE, content_type);
    }
    request.body(Full::from(message.body))
}

/// The text that names a click.
fn reference(reference: &Reference, record: &Record) -> String {
    let token = |click: usize| {
        record
            .click(click)
            .map(|answer| answer.token.clone())
            .unwrap_or_default()
    };
    match reference {
        Reference::Token(click) => token(*click),
        Reference::Number(click) => record
            .click_id(*click)
            .map(|id| id.to_string())
            .unwrap_or_default(),
        Reference::Forged(click) => with_another(&token(*click), FORGED_AT),
        // The first character holds most of the key's id.
        Reference::UnknownKey(click) => with_another(&token(*click), 0),
        Reference::Foreign(text) => text.clone(),
    }
}

/// A token with one character changed for one that stands far from it in the alphabet.
fn with_another(token: &str, position: usize) -> String {
    let changed = token
        .char_indices()
        .map(|(index, character)| match (index, character) {
            (index, character) if index != position => character,
            (_, 'a'..='z') => 'B',
            (_, _) => 'z',
        });
    changed.collect()
}

/// What the endpoint answers to a click.
#[derive(Deserialize)]
struct ClickBody {
    click_id: String,
    click_token: String,
}

/// Reads the answer to a click; `None` if it isn't one.
pub fn read_click(
    response: &Response<Bytes>,
    click_of_token: &(dyn Fn(&str) -> Option<ClickId> + Sync),
) -> Option<ClickAnswer> {
    match response.status() {
        StatusCode::OK => {
            let body: ClickBody = serde_json::from_slice(response.body()).ok()?;
            let click_id = body.click_id.parse().ok()?;
            let token = body.click_token;
            // Token and number must be the same click's.
            (click_of_token(&token) == Some(click_id)).then_some(ClickAnswer { click_id, token })
        }
        StatusCode::FOUND => {
            let token = token_of(response.headers().get(LOCATION)?)?;
            Some(ClickAnswer {
                click_id: click_of_token(&token)?,
                token,
            })
        }
        _ => None,
    }
}

fn token_of(location: &HeaderValue) -> Option<String> {
    let url = Url::parse(location.to_str().ok()?).ok()?;
    let mut pairs = url.query_pairs();
    pairs
        .find(|(name, _)| name == TOKEN_PARAMETER)
        .map(|(_, value)| value.into_owned())
}

/// What the endpoint answers to a postback.
#[derive(Deserialize)]
struct PostbackBody {
    status: String,
    #[serde(default)]
    ignored: bool,
    reason: Option<String>,
}

/// Reads the answer to a postback: the reason for which it is ignored, if it is. The outer `None`
/// if it isn't such an answer.
#[expect(
    clippy::option_option,
    reason = "an answer without a reason is not the lack of an answer"
)]
pub fn read_postback(response: &Response<Bytes>) -> Option<Option<String>> {
    if response.status() != StatusCode::OK {
        return None;
    }
    let body: PostbackBody = serde_json::from_slice(response.body()).ok()?;
    match (body.status.as_str(), body.ignored, body.reason) {
        ("ok", false, None) => Some(None),
        ("ok", true, Some(reason)) => Some(Some(reason)),
        _ => None,
    }
}
