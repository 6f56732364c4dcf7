//! `POST /v1/events/click`: a shopper clicked, reported by a page or an edge.

use std::{sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, header};
use schemas::{
    ClickId, LinkId, Timestamp, UserId,
    events::{ClickOrigin, ClickRecorded, ClickSignals, Device},
    reference::ReferenceData,
    token::{ClickToken, NONCE_BYTES},
};
use serde::Deserialize;
use url::Url;

use crate::{
    Ingest,
    body::read_small_body,
    client_address::{Client, prefix},
    device::device,
    metrics::Kind,
    postback::json,
    rejection::Rejection,
};

/// Longest referrer that is kept, in bytes.
const REFERRER_BYTES_MAX: usize = 500;

/// Clicks before 2000 or after 2100 are defects of their sender: a click's time also decides which
/// partitions of the database are made.
const CLICKED_AT_MILLIS: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

/// The body of a click.
#[derive(Debug, Deserialize)]
struct ClickRequest {
    link_id: LinkId,
    user_id: Option<UserId>,
    clicked_at: Option<Timestamp>,
}

/// A click as it arrived.
pub(crate) struct Arrival<'r> {
    pub(crate) received_at: Timestamp,
    pub(crate) link_id: LinkId,
    pub(crate) user_id: Option<UserId>,
    /// The click's time, where a trusted edge names one.
    pub(crate) clicked_at: Option<Timestamp>,
    pub(crate) client: Client,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) origin: ClickOrigin,
}

/// A click that is ready to be written.
pub(crate) struct NamedClick {
    event: ClickRecorded,
    pub(crate) token: String,
}

/// Receives a click and answers it.
pub(crate) async fn receive(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let started = Instant::now();
    let outcome = ingest.receive_click(request).await;
    ingest.answer(Kind::Click, started, outcome, |(click_id, token)| {
        // Both are made of characters that JSON strings hold as they are.
        json(Body::from(format!(
            r#"{{"click_id":"{click_id}","click_token":"{token}"}}"#
        )))
    })
}

impl Ingest {
    async fn receive_click(&self, request: Request) -> Result<(ClickId, String), Rejection> {
        let received_at = self.now();
        let (parts, body) = request.into_parts();
        let client = self.client(&parts);
        let body = read_small_body(body, &self.settings.limits).await?;
        let request: ClickRequest = serde_json::from_slice(&body)
            .map_err(|error| Rejection::BadClick(format!("not a click: {error}")))?;
        let arrival = Arrival {
            received_at,
            link_id: request.link_id,
            user_id: request.user_id,
            clicked_at: request.clicked_at.filter(|_| client.peer_trusted),
            client,
            headers: &parts.headers,
            origin: ClickOrigin::Api,
        };
        let reference = self.reference.load_full();
        let click = self.name_click(arrival, &reference).await?;
        self.append_click(&click).await?;
        Ok((click.event.click_id, click.token))
    }

    /// Draws the click's id and seals its token.
    pub(crate) async fn name_click(
        &self,
        arrival: Arrival<'_>,
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
        let click_id = ClickId::new(self.draw_id().await?.get());
        let device = arrival
            .headers
            .get(header::USER_AGENT)
            .map_or(Device::Unknown, |agent| {
                device(&String::from_utf8_lossy(agent.as_bytes()))
            });
        let signals = if device == Device::Bot {
            arrival.client.signals.with(ClickSignals::BOT)
        } else {
            arrival.client.signals
        };
        let address = arrival.client.address;
        let event = ClickRecorded {
            click_id,
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
            referrer: arrival.headers.get(header::REFERER).and_then(referrer),
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
        Some(_) => Err(Rejection::BadClick(
            "`clicked_at` is out of range".to_owned(),
        )),
    }
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
fn referrer(value: &http::HeaderValue) -> Option<String> {
    let mut page = Url::parse(value.to_str().ok()?)
        .ok()
        .filter(Url::has_host)?;
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
            let found = referrer(&http::HeaderValue::from_static(value));
            assert_eq!(found.as_deref(), expected, "{value}");
        }
        let long = format!("https://example.org/{}", "é".repeat(1_000));
        let long = http::HeaderValue::from_bytes(Url::parse(&long).unwrap().as_str().as_bytes());
        assert_eq!(
            referrer(&long.unwrap()).map(|page| page.len()),
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
