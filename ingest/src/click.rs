//! `POST /v1/events/click`: a shopper clicked, reported by a page or an edge.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, header};
use schemas::{
    ClickId, LinkId, Timestamp, UserId,
    events::{ClickOrigin, ClickRecorded, ClickSignals, Device},
    reference::{Link, ReferenceData},
    token::{ClickToken, NONCE_BYTES},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;
use utoipa::ToSchema;
use web::{
    client_address::{Client, prefix},
    problem_details::{FieldError, ProblemBody},
};

use crate::{Ingest, body::read_small_body, device, metrics::Kind, rejection::Rejection};

/// Longest referrer that is kept, in bytes.
const REFERRER_BYTES_MAX: usize = 500;

/// Clicks before 2000 or after 2100 are defects of their sender: a click's time also decides which
/// partitions of the database are made.
const CLICKED_AT_MILLIS: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

/// A click to be recorded.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"link_id": "00000000-0000-0000-0000-000000000003"}))]
pub(crate) struct NewClick {
    /// The smart link.
    #[schema(value_type = Uuid)]
    link_id: LinkId,
    /// The shopper, if known.
    #[schema(value_type = Option<Uuid>)]
    user_id: Option<UserId>,
    /// When, RFC 3339; taken from trusted proxies only.
    #[schema(value_type = Option<String>, format = DateTime)]
    clicked_at: Option<Timestamp>,
}

/// A click that is in the log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"click_id": "7012345678901234567", "click_token": "AQ…"}))]
pub(crate) struct ClickAnswer {
    /// 64 bits, as a string.
    #[schema(value_type = String)]
    click_id: ClickId,
    /// What the merchant's network is to report back.
    click_token: String,
}

/// A click as it arrived.
pub(crate) struct Arrival {
    pub(crate) click_id: ClickId,
    pub(crate) received_at: Timestamp,
    pub(crate) link_id: LinkId,
    pub(crate) user_id: Option<UserId>,
    /// The click's time, where a trusted edge names one.
    pub(crate) clicked_at: Option<Timestamp>,
    pub(crate) client: Client,
    pub(crate) user_agent: Option<String>,
    pub(crate) referrer: Option<String>,
    pub(crate) origin: ClickOrigin,
}

/// A click that is ready to be written.
pub(crate) struct NamedClick {
    event: ClickRecorded,
    pub(crate) token: String,
}

/// Records a click.
#[utoipa::path(
    post, path = "/v1/events/click", tag = "events", operation_id = "record_click", security(()),
    request_body = NewClick,
    responses(
        (status = 200, body = ClickAnswer, description = "It is durable."),
        (status = 400, body = ProblemBody, description = "`invalid_fields`, `invalid_body`"),
        (status = 404, body = ProblemBody, description = "`not_found`: there is no such link"),
        (status = 408, body = ProblemBody, description = "`body_timeout`"),
        (status = 410, body = ProblemBody, description = "`link_ended`: the campaign has ended"),
        (status = 413, body = ProblemBody, description = "`body_too_large`"),
        (status = 429, body = ProblemBody, description = "`too_many_requests`"),
        (status = 503, body = ProblemBody, description = "`unavailable`: try again"),
    )
)]
pub(crate) async fn receive(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let started = Instant::now();
    let outcome = ingest.receive_click(request).await;
    ingest.answer(Kind::Click, started, outcome, |click| {
        axum::Json(click).into_response()
    })
}

impl Ingest {
    async fn receive_click(&self, request: Request) -> Result<ClickAnswer, Rejection> {
        let received_at = self.now();
        let (parts, body) = request.into_parts();
        let client = self.client(&parts);
        let body = read_small_body(body, &self.settings.limits).await?;
        let request: NewClick = read_json(&body)?;
        let reference = self.reference.load_full();
        let link = reference.links.get(&request.link_id);
        let closed = |link: &Link| reference.closed_campaigns.contains(&link.campaign_id);
        if link.is_some_and(closed) {
            return Err(Rejection::LinkEnded);
        }
        let arrival = Arrival {
            click_id: self.draw_click_id().await?,
            received_at,
            link_id: request.link_id,
            user_id: request.user_id,
            clicked_at: request.clicked_at.filter(|_| client.peer_trusted),
            client,
            user_agent: text_of(&parts.headers, &header::USER_AGENT),
            referrer: text_of(&parts.headers, &header::REFERER),
            origin: ClickOrigin::Api,
        };
        let click = self.name_click(&arrival, &reference)?;
        self.append_click(&click).await?;
        Ok(ClickAnswer {
            click_id: click.event.click_id,
            click_token: click.token,
        })
    }

    /// The id of a new click.
    pub(crate) async fn draw_click_id(&self) -> Result<ClickId, Rejection> {
        Ok(ClickId::new(self.draw_id().await?.get()))
    }

    /// Says all that is known of a click, and seals its token.
    pub(crate) fn name_click(
        &self,
        arrival: &Arrival,
        reference: &ReferenceData,
    ) -> Result<NamedClick, Rejection> {
        let link = reference
            .links
            .get(&arrival.link_id)
            .ok_or(Rejection::UnknownLink)?;
        let campaign = reference
            .campaigns
            .get(&link.campaign_id)
            .ok_or(Rejection::UnknownLink)?;
        let clicked_at = click_time(arrival.clicked_at, arrival.received_at)?;
        let device = arrival.user_agent.as_deref();
        let device = device.map_or(Device::Unknown, device::device);
        let signals = if device == Device::Bot {
            arrival.client.signals.with(ClickSignals::BOT)
        } else {
            arrival.client.signals
        };
        let address = arrival.client.address;
        let event = ClickRecorded {
            click_id: arrival.click_id,
            clicked_at,
            received_at: arrival.received_at,
            tenant_id: campaign.tenant_id,
            campaign_id: link.campaign_id,
            link_id: arrival.link_id,
            offer_id: link.offer_id,
            // The nil UUID is nobody, in a token as well.
            user_id: arrival.user_id.filter(|user| !user.uuid().is_nil()),
            country: arrival.client.country,
            device,
            signals,
            address_hash: address.map(|address| self.contact_key.address(&address.to_string())),
            address_prefix: address.map(prefix),
            referrer: arrival.referrer.as_deref().and_then(referrer),
            origin: arrival.origin,
        };
        let token = self
            .token_keys
            .seal(&token_of(&event), rand::random::<[u8; NONCE_BYTES]>());
        Ok(NamedClick { event, token })
    }

    /// Writes the click, and returns once it is durable.
    pub(crate) async fn append_click(&self, click: &NamedClick) -> Result<(), Rejection> {
        self.append(click.event.click_id.to_string(), &click.event)
            .await
    }
}

/// The edge's time of the click, which can't lie after its receipt: clocks differ.
fn click_time(named: Option<Timestamp>, received_at: Timestamp) -> Result<Timestamp, Rejection> {
    match named {
        None => Ok(received_at),
        Some(at) if CLICKED_AT_MILLIS.contains(&at.millis()) => Ok(at.min(received_at)),
        Some(_) => Err(Rejection::InvalidField(FieldError {
            field: "clicked_at".to_owned(),
            code: "invalid",
            detail: "a time between 2000 and 2100".to_owned(),
        })),
    }
}

/// A JSON body, or the first thing that is wrong with it.
pub(crate) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Rejection> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut deserializer);
    let value = read.map_err(|error| {
        let (field, inner) = (error.path().to_string(), error.into_inner());
        // `.` is the body itself: it lacks a member, or isn't an object.
        if inner.is_data() && field != "." {
            Rejection::InvalidField(FieldError {
                field,
                code: "invalid",
                detail: inner.to_string(),
            })
        } else {
            Rejection::BadClick(format!("not a click: {inner}"))
        }
    })?;
    deserializer
        .end()
        .map_err(|error| Rejection::BadClick(format!("something follows the click: {error}")))?;
    Ok(value)
}

/// A header's text, whatever bytes it has.
pub(crate) fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn token_of(event: &ClickRecorded) -> ClickToken {
    ClickToken {
        click_id: event.click_id,
        clicked_at: event.clicked_at,
        link_id: event.link_id,
        offer_id: event.offer_id,
        user_id: event.user_id,
        country: event.country,
        signals: event.signals,
    }
}

/// The page that the shopper came from: without its query, fragment and any credentials, which
/// may tell who the shopper is.
fn referrer(value: &str) -> Option<String> {
    let mut page = Url::parse(value).ok().filter(Url::has_host)?;
    page.set_query(None);
    page.set_fragment(None);
    // Pages of schemes that have no credentials can't have any taken away.
    page.set_username("").ok()?;
    page.set_password(None).ok()?;
    let mut page = String::from(page);
    // A URL is ASCII, so any cut is at a character's edge.
    page.truncate(REFERRER_BYTES_MAX);
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_referrer_keeps_nothing_that_tells_who() {
        for (value, expected) in [
            (
                "https://u:p@example.org/a?q=me#x",
                Some("https://example.org/a"),
            ),
            ("https://example.org", Some("https://example.org/")),
            ("about:blank", None),
            ("nonsense", None),
        ] {
            let found = referrer(value);
            assert_eq!(found.as_deref(), expected, "{value}");
        }
        let long = format!("https://example.org/{}", "é".repeat(1_000));
        assert_eq!(
            referrer(&long).map(|page| page.len()),
            Some(REFERRER_BYTES_MAX)
        );
    }

    #[test]
    fn a_click_is_never_later_than_its_receipt() {
        let at = Timestamp::from_millis;
        let received_at = at(1_790_000_000_000);
        let earlier = at(1_780_000_000_000);
        assert_eq!(click_time(None, received_at).unwrap(), received_at);
        assert_eq!(click_time(Some(earlier), received_at).unwrap(), earlier);
        let later = Some(received_at.plus_millis(1));
        assert_eq!(click_time(later, received_at).unwrap(), received_at);
        assert!(click_time(Some(at(-1)), received_at).is_err());
        assert!(click_time(Some(Timestamp::MAX), received_at).is_err());
    }
}
