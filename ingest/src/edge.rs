//! What an edge needs to redirect by itself, close to shoppers (`docs/edge.md`): the link table,
//! and a way to tell of the clicks. Both are asked for with the edge's signature.
//!
//! An edge names a click before anybody here knows of it, by a number from the half of the ids that
//! are edges' ([`schemas::event_id`]). A sale that is reported before its click has arrived waits
//! for it, as any report of an unknown click does.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Instant};

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schemas::{
    ClickId, Country, LinkId, TenantId, Timestamp, UserId,
    event_id::drawn_at_edge,
    events::{ClickOrigin, ClickSignals},
    reference::ReferenceData,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use web::{
    client_address::Client,
    problem_details::{FieldError, ProblemBody},
};

use crate::{
    Ingest,
    body::read_small_body,
    click::{Arrival, read_json},
    metrics::Kind,
    rejection::Rejection,
    signature::SigningSecrets,
    smart_link::SmartLink,
};

/// Stands in a link's address where the edge puts the click's number. No address has it of its own,
/// and it means the same in a path and in a query.
const CLICK_ID_PLACEHOLDER: &str = "__CLICK_ID__";

/// A click that an edge redirected.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "click_id": "887649959940096123", "link_id": "00000000-0000-0000-0000-000000000003",
    "address": "203.0.113.9", "country": "IN", "user_agent": "Mozilla/5.0 (iPhone)"
}))]
pub(crate) struct EdgeClick {
    /// The number that the edge drew, which holds the click's time.
    #[schema(value_type = String)]
    click_id: ClickId,
    /// The smart link, from the table.
    #[schema(value_type = Uuid)]
    link_id: LinkId,
    /// The shopper, if known.
    #[schema(value_type = Option<Uuid>)]
    user_id: Option<UserId>,
    /// The shopper's address.
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// The shopper's country, two letters.
    country: Option<String>,
    /// The shopper's `User-Agent`.
    user_agent: Option<String>,
    /// The page that the shopper came from.
    referrer: Option<String>,
    /// Whether the address is a data centre's.
    #[serde(default)]
    data_centre: bool,
    /// Whether the address is an anonymising proxy's.
    #[serde(default)]
    proxy: bool,
}

/// An edge's click that is in the log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EdgeAnswer {
    /// The click's number, as it was sent.
    #[schema(value_type = String)]
    click_id: ClickId,
}

/// A link for a key-value store: the form that bulk uploads take.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "key": "4fT9xQ2bLm",
    "value": "{\"link_id\":\"00000000-0000-0000-0000-000000000003\",\
              \"url\":\"https://t.example/click?p1=__CLICK_ID__\",\"domain\":null}"
}))]
pub(crate) struct StoredLink {
    /// The slug.
    key: String,
    /// JSON, as text: `link_id`; `url`, with `__CLICK_ID__` in it, or null where the link has ended
    /// (answer 410); `domain`, the tenant's own, or null.
    value: String,
}

#[derive(Serialize)]
struct LinkValue<'r> {
    link_id: LinkId,
    url: Option<String>,
    domain: Option<&'r str>,
}

/// Records a click that an edge redirected.
///
/// Signed, see docs/edge.md. The same click again is no second one.
#[utoipa::path(
    post, path = "/v1/edge/clicks", tag = "edge", operation_id = "record_edge_click", security(()),
    request_body = EdgeClick,
    params(("X-Hissaback-Signature" = String, Header, description = "`t=SECONDS,v1=HEX`")),
    responses(
        (status = 200, body = EdgeAnswer, description = "It is durable."),
        (status = 400, body = ProblemBody, description = "`invalid_fields`, `invalid_body`"),
        (status = 403, body = ProblemBody, description = "`signature_invalid`"),
        (status = 404, body = ProblemBody, description = "`not_found`: no such link, or no edge is configured"),
        (status = 408, body = ProblemBody, description = "`body_timeout`"),
        (status = 413, body = ProblemBody, description = "`body_too_large`"),
        (status = 503, body = ProblemBody, description = "`unavailable`: try again"),
    )
)]
pub(crate) async fn receive(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let started = Instant::now();
    let outcome = ingest.receive_edge_click(request).await;
    ingest.answer(Kind::Edge, started, outcome, |click_id| {
        Json(EdgeAnswer { click_id }).into_response()
    })
}

/// Every smart link, for an edge's key-value store.
///
/// Signed, see docs/edge.md. `If-None-Match` gets 304 while nothing has changed.
#[utoipa::path(
    get, path = "/v1/edge/links", tag = "edge", operation_id = "list_edge_links", security(()),
    params(
        ("X-Hissaback-Signature" = String, Header, description = "`t=SECONDS,v1=HEX`"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of a table that the caller has."),
    ),
    responses(
        (status = 200, body = Vec<StoredLink>, description = "All of them, by slug."),
        (status = 304, description = "The caller has this table."),
        (status = 403, body = ProblemBody, description = "`signature_invalid`"),
        (status = 404, body = ProblemBody, description = "`not_found`: no edge is configured"),
    )
)]
pub(crate) async fn links(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    match ingest.edge_links(&request) {
        Ok(response) => response,
        Err(rejection) => rejection.into_response(),
    }
}

impl Ingest {
    fn edge_secrets(&self) -> Result<&SigningSecrets, Rejection> {
        self.settings.edge_secrets.as_ref().ok_or(Rejection::NoEdge)
    }

    async fn receive_edge_click(&self, request: Request) -> Result<ClickId, Rejection> {
        let received_at = self.now();
        let secrets = self.edge_secrets()?;
        let (parts, body) = request.into_parts();
        let body = read_small_body(body, &self.settings.limits).await?;
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        secrets.verify(&parts.headers, received_at, query, &body)?;
        let request: EdgeClick = read_json(&body)?;
        let click_id = request.click_id;
        let arrival = arrival(request, received_at)?;
        let click = self.name_click(&arrival, &self.reference.load_full())?;
        self.append_click(&click).await?;
        Ok(click_id)
    }

    fn edge_links(&self, request: &Request) -> Result<Response, Rejection> {
        let now = self.now();
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let headers = request.headers();
        self.edge_secrets()?.verify(headers, now, query, b"")?;
        let table = table(&self.reference.load_full(), now);
        Ok(tagged(headers, &table))
    }
}

/// A click is the edge's word: where the shopper is, and when it was.
fn arrival(request: EdgeClick, received_at: Timestamp) -> Result<Arrival, Rejection> {
    let clicked_at = drawn_at_edge(request.click_id).ok_or_else(|| {
        Rejection::InvalidField(FieldError {
            field: "click_id".to_owned(),
            code: "invalid",
            detail: "a number from the half that is edges'".to_owned(),
        })
    })?;
    let mut signals = ClickSignals::default();
    if request.data_centre {
        signals = signals.with(ClickSignals::DATA_CENTRE);
    }
    if request.proxy {
        signals = signals.with(ClickSignals::PROXY);
    }
    Ok(Arrival {
        click_id: request.click_id,
        received_at,
        link_id: request.link_id,
        user_id: request.user_id,
        clicked_at: Some(clicked_at),
        client: Client {
            address: request.address.map(|address| address.to_canonical()),
            peer_trusted: true,
            country: request.country.as_deref().and_then(Country::known),
            signals,
        },
        user_agent: request.user_agent,
        referrer: request.referrer,
        origin: ClickOrigin::Redirect,
    })
}

fn table(reference: &ReferenceData, at: Timestamp) -> Vec<StoredLink> {
    let domains = reference.domains.iter();
    let domains: HashMap<TenantId, &str> = domains
        .map(|(domain, tenant)| (*tenant, domain.as_str()))
        .collect();
    let mut table: Vec<StoredLink> = reference
        .slugs
        .iter()
        .map(|(slug, link_id)| {
            let location = SmartLink::resolve(reference, None, slug, at)
                .and_then(|link| link.location(CLICK_ID_PLACEHOLDER, ""));
            let campaign = reference.links.get(link_id);
            let campaign = campaign.and_then(|link| reference.campaigns.get(&link.campaign_id));
            let value = LinkValue {
                link_id: *link_id,
                url: location.ok(),
                domain: campaign.and_then(|campaign| domains.get(&campaign.tenant_id).copied()),
            };
            StoredLink {
                key: slug.clone(),
                value: serde_json::to_string(&value).expect("plain JSON"),
            }
        })
        .collect();
    table.sort_by(|left, right| left.key.cmp(&right.key));
    table
}

fn tagged(headers: &HeaderMap, table: &[StoredLink]) -> Response {
    let json = serde_json::to_vec(table).expect("plain JSON");
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&json)[..16]));
    let known = headers.get(header::IF_NONE_MATCH);
    let mut response = if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let json_type = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, json_type)], json).into_response()
    };
    let tag = HeaderValue::from_str(&tag).expect("hexadecimal is ASCII");
    response.headers_mut().insert(header::ETAG, tag);
    response
}
