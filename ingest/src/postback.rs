//! `GET|POST /v1/events/conversion`: a network reports a sale.
//!
//! Parameters come in the query, in a form, or in JSON; query and body merge, and the body wins.
//! Whatever arrives is kept, and answered 200 once it is durable.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::request::Parts;
use schemas::{
    ClickId, NetworkId, Timestamp,
    events::{ConversionReported, Malformed, ReportSource, Reported},
    reference::{Network, ReferenceData},
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;
use web::problem_details::ProblemBody;

use crate::{
    Ingest,
    body::{ReceivedBody, read_body},
    metrics::{Kind, reason_name},
    parameters::{Parameter, Parameters},
    raw_report::{MediaType, Original},
    rejection::Rejection,
    trackier,
};

/// What became of a report.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ok"}))]
pub(crate) struct Accepted {
    /// Always `ok`: the report is in the log.
    status: &'static str,
    /// Whether nothing can be made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored: Option<bool>,
    /// Why nothing can be made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<&'static str>,
}

/// Takes a network's report of a sale (a postback), with whatever parameters it has.
///
/// It is accepted once the log has it; what it means is decided later. No rate limit holds here.
#[utoipa::path(
    get, path = "/v1/events/conversion", tag = "events", operation_id = "report_conversion",
    security(()),
    params(
        ("click_id" = Option<String>, Query, description = "The click token, or the click's number; `p1` does as well."),
        ("offer_id" = Option<i32>, Query, description = "The offer, as the network knows it."),
        ("sale_amount" = Option<String>, Query, description = "What was paid, in decimal."),
        ("status" = Option<String>, Query, description = "`approved`, `pending`, `rejected`, `cancelled`, `extended`; others are kept."),
        ("network" = Option<i32>, Query, description = "The network instance; the first, if absent."),
        ("security_token" = Option<String>, Query, description = "Where the network instance has one. A wrong one makes the report an ignored one."),
        ("X-Hissaback-Signature" = Option<String>, Header, description = "`t=SECONDS,v1=HEX`, where the network instance signs: see docs/api.md."),
    ),
    responses(
        (status = 200, body = Accepted, description = "It is durable."),
        (status = 403, body = ProblemBody, description = "`source_not_allowed`, `signature_invalid`: it isn't the network's"),
        (status = 408, body = ProblemBody, description = "`body_timeout`"),
        (status = 413, body = ProblemBody, description = "`body_too_large`, where it has to be signed"),
        (status = 503, body = ProblemBody, description = "`unavailable`: try again"),
    )
)]
pub(crate) async fn receive(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    ingest.take_postback(request).await
}

/// As `GET`, with parameters in the query, as a form, or as JSON.
#[utoipa::path(
    post, path = "/v1/events/conversion", tag = "events",
    operation_id = "report_conversion_by_post", security(()),
    responses(
        (status = 200, body = Accepted, description = "It is durable."),
        (status = 400, body = ProblemBody, description = "`invalid_body`: it broke off"),
        (status = 403, body = ProblemBody, description = "`source_not_allowed`, `signature_invalid`: it isn't the network's"),
        (status = 408, body = ProblemBody, description = "`body_timeout`"),
        (status = 413, body = ProblemBody, description = "`body_too_large`, where it has to be signed"),
        (status = 503, body = ProblemBody, description = "`unavailable`: try again"),
    )
)]
pub(crate) async fn receive_posted(
    State(ingest): State<Arc<Ingest>>,
    request: Request,
) -> Response {
    ingest.take_postback(request).await
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
    async fn take_postback(&self, request: Request) -> Response {
        let started = Instant::now();
        let outcome = self.receive_postback(request).await;
        self.answer(Kind::Postback, started, outcome, |malformed| {
            if let Some(reason) = malformed {
                self.metrics().count_ignored(reason);
            }
            let answer = Accepted {
                status: "ok",
                ignored: malformed.map(|_| true),
                reason: malformed.map(reason_name),
            };
            Json(answer).into_response()
        })
    }

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
        self.check_sender(reading.network_id, &parts, received_at, &body)?;
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
        let sha256 = hex::encode(hash.finalize());
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

    /// Whether the postback is its network's. It says itself which network that is; what isn't
    /// taken from one isn't kept either, so that nobody else fills the log.
    fn check_sender(
        &self,
        network_id: NetworkId,
        parts: &Parts,
        received_at: Timestamp,
        body: &ReceivedBody,
    ) -> Result<(), Rejection> {
        let Some(sender) = self.settings.senders.get(&network_id) else {
            return Ok(());
        };
        if !sender.sends_from(self.client(parts).address) {
            return Err(Rejection::SourceNotAllowed);
        }
        let Some(secrets) = &sender.secrets else {
            return Ok(());
        };
        if !body.whole {
            return Err(Rejection::BodyTooLarge);
        }
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        secrets.verify(&parts.headers, received_at, query, &body.bytes)?;
        Ok(())
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
    let given = hex::encode(Sha256::digest(given.as_bytes()));
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
