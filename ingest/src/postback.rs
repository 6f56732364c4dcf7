//! `GET|POST /v1/events/conversion`: a network reports a sale.
//!
//! Parameters come in the query, in a form, or in JSON; query and body merge, and the body wins.
//! Whatever arrives is kept, and answered 200 once it is durable.

use std::{sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use schemas::{
    ClickId, NetworkId,
    events::{ConversionReported, Malformed, ReportSource, Reported},
    reference::{Network, ReferenceData},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    Ingest,
    body::{ReceivedBody, read_body},
    metrics::{Kind, reason_name},
    parameters::{Parameter, Parameters},
    raw_report::{MediaType, Original},
    rejection::Rejection,
    trackier,
};

/// Receives a postback and answers it.
pub(crate) async fn receive(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let started = Instant::now();
    let outcome = ingest.receive_postback(request).await;
    ingest.answer(
        Kind::Postback,
        started,
        outcome,
        |malformed| match malformed {
            None => json(Body::from(r#"{"status":"ok"}"#)),
            Some(reason) => {
                ingest.metrics().count_ignored(reason);
                let reason = reason_name(reason);
                json(Body::from(format!(
                    r#"{{"status":"ok","ignored":true,"reason":"{reason}"}}"#
                )))
            }
        },
    )
}

pub(crate) fn json(body: Body) -> Response {
    (
        [(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )],
        body,
    )
        .into_response()
}

/// What a postback says.
struct Reading {
    network_id: NetworkId,
    /// Where it belongs, even if the rest can't be used.
    click_ref: Option<String>,
    /// The report, or the first thing that is wrong with it.
    outcome: Result<Reported, Malformed>,
}

impl Ingest {
    /// Keeps a postback in the log. Returns, once it is durable, why it can't be used, if so.
    async fn receive_postback(&self, request: Request) -> Result<Option<Malformed>, Rejection> {
        let received_at = self.now();
        let (parts, body) = request.into_parts();
        let limits = &self.settings.limits;
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let mut hash = Sha256::new_with_prefix(query);
        let mut separator: &[u8] = if query.is_empty() { b"" } else { b"\n" };
        let body = read_body(body, limits, |piece| {
            hash.update(std::mem::take(&mut separator));
            hash.update(piece);
        })
        .await?;

        let media_type = MediaType::of(&parts.headers);
        let reading = self.read_postback(query, &body, &media_type);
        let ReceivedBody { bytes, whole } = &body;
        let original = Original {
            query,
            body: bytes,
            whole: *whole,
            media_type: &media_type,
        };
        let readable = reading
            .outcome
            .as_ref()
            .map_or_else(|reason| syntax_holds(*reason), |_| true);
        let sha256 = hex(&hash.finalize());
        let redaction = &self.settings.redaction;
        let raw = original.keep(readable, redaction, sha256, limits.raw_bytes_max);

        let event_id = self.draw_id().await?;
        let click_id = reading
            .click_ref
            .as_deref()
            .and_then(|text| self.click_id(text));
        let key = match (click_id, reading.click_ref) {
            (Some(click_id), _) => click_id.to_string(),
            (None, Some(click_ref)) => click_ref,
            (None, None) => event_id.to_string(),
        };
        let (reported, malformed) = match reading.outcome {
            Ok(reported) => (Some(reported), None),
            Err(reason) => (None, Some(reason)),
        };
        let event = ConversionReported {
            event_id,
            received_at,
            source: ReportSource::Postback,
            as_of: None,
            network_id: reading.network_id,
            tenant_id: None,
            click_id,
            raw,
            reported,
            malformed,
            heal: None,
        };
        self.append(key, &event).await?;
        Ok(malformed)
    }

    fn read_postback(&self, query: &[u8], body: &ReceivedBody, media_type: &MediaType) -> Reading {
        let mut parameters = Parameters::default();
        let query_outcome = parameters.insert_pairs(query);
        let body_outcome = insert_body(&mut parameters, body, media_type);

        let reference = self.reference.load();
        let default_network = self.settings.default_network;
        let network = named_network(&parameters, &reference, default_network);
        let network_id = network.unwrap_or(default_network);
        let configured = reference.networks.get(&network_id);
        let outcome = body_outcome
            .and(query_outcome)
            .and(network)
            .and_then(|_| check_security_token(&parameters, configured))
            .and_then(|()| {
                let utc_offset_minutes = configured.map_or(0, |network| network.utc_offset_minutes);
                trackier::read(&parameters, utc_offset_minutes)
            });
        let click_ref = trackier::click_reference(&parameters)
            .ok()
            .map(str::to_owned);
        Reading {
            network_id,
            click_ref,
            outcome,
        }
    }

    /// The click that a reference names, as far as that can be told without looking it up.
    fn click_id(&self, click_ref: &str) -> Option<ClickId> {
        let number = click_ref.parse().ok();
        number.or_else(|| {
            self.token_keys
                .open(click_ref)
                .ok()
                .map(|token| token.click_id)
        })
    }
}

fn insert_body<'b>(
    parameters: &mut Parameters<'b>,
    body: &'b ReceivedBody,
    media_type: &MediaType,
) -> Result<(), Malformed> {
    if !body.whole {
        return Err(Malformed::BodyTooLarge);
    }
    if body.bytes.is_empty() {
        return Ok(());
    }
    match media_type {
        MediaType::Form => parameters.insert_pairs(&body.bytes),
        MediaType::Json => parameters.insert_json(&body.bytes),
        MediaType::Other(_) | MediaType::Encoded(_) => Err(Malformed::ContentTypeUnknown),
    }
}

/// The network instance that a postback names. One that isn't configured is refused: it would
/// get round the security token of those that are.
fn named_network(
    parameters: &Parameters<'_>,
    reference: &ReferenceData,
    default_network: NetworkId,
) -> Result<NetworkId, Malformed> {
    let Some(text) = parameters.get(Parameter::Network) else {
        return Ok(default_network);
    };
    let named: NetworkId = text.parse().map_err(|_| Malformed::FieldInvalid)?;
    if named == default_network || reference.networks.contains_key(&named) {
        Ok(named)
    } else {
        Err(Malformed::FieldInvalid)
    }
}

fn check_security_token(
    parameters: &Parameters<'_>,
    network: Option<&Network>,
) -> Result<(), Malformed> {
    let Some(expected) = network.and_then(|network| network.security_token_sha256.as_deref())
    else {
        return Ok(());
    };
    let given = parameters.get(Parameter::SecurityToken).unwrap_or_default();
    let given = hex(&Sha256::digest(given.as_bytes()));
    let equal = given
        .as_bytes()
        .ct_eq(expected.to_ascii_lowercase().as_bytes());
    if equal.into() {
        Ok(())
    } else {
        Err(Malformed::SecurityTokenInvalid)
    }
}

/// Whether a report with this defect was nevertheless written as its media type says. One without
/// a click may be something else altogether, such as JSON sent as a form.
fn syntax_holds(reason: Malformed) -> bool {
    match reason {
        Malformed::MissingClick
        | Malformed::BodyTooLarge
        | Malformed::NotUtf8
        | Malformed::ContentTypeUnknown
        | Malformed::JsonInvalid
        | Malformed::SecurityTokenInvalid => false,
        Malformed::ClickIdOutOfRange
        | Malformed::ClickRefTooLong
        | Malformed::SaleAmountInvalid
        | Malformed::SaleAmountNegative
        | Malformed::SaleAmountAbsurd
        | Malformed::PayoutInvalid
        | Malformed::CurrencyUnknown
        | Malformed::OfferIdInvalid
        | Malformed::FieldInvalid
        | Malformed::ConvertedAtInvalid => true,
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}
