//! The bytes' way to Amazon and back.

use std::time::Duration;

use schemas::Timestamp;
use secrecy::{ExposeSecret, SecretSlice};

use super::{
    classify::{Answer, Expected, Outcome, TransportFailure, classify},
    endpoint::Endpoint,
    failure::Failure,
    operations::{
        self, ActivityPage, CancelRequest, Funds, FundsRequest, Operation, PAGE_SIZE, PageRequest,
    },
    request::PartnerId,
    signature::{KeyPair, SignatureError, Unsigned, signature_headers},
};
use crate::payouts::{
    config::AgcodConfig,
    https::{self, HttpsError},
};

const TARGET: &str = "com.amazonaws.agcod.AGCODService";
const JSON: &str = "application/json";
/// Real answers have about 500 bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends requests.
#[derive(Debug, Clone)]
pub struct AgcodClient {
    http: reqwest::Client,
    endpoint: Endpoint,
    region: String,
    partner_id: PartnerId,
    key_pair: KeyPair,
}

/// Why no request could even be tried. Determinate: no byte has gone out.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The HTTP client can't be built.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// The request can't be signed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It has no JSON form, which strings and integers always have.
    #[error("the request can't be written")]
    Unwritable(#[source] serde_json::Error),
}

/// The whole body of an answer, or why there is none.
type Answered = Result<SecretSlice<u8>, TransportFailure>;

impl AgcodClient {
    /// A client of the account that `config` describes.
    pub fn new(config: &AgcodConfig) -> Result<Self, ClientError> {
        Ok(Self {
            http: https::client(Duration::from_millis(config.timeout_ms))?,
            endpoint: config.endpoint.clone(),
            region: config.region.clone(),
            partner_id: config.partner_id.clone(),
            key_pair: config.key_pair.clone(),
        })
    }

    /// Sends `body` exactly as it is, signed afresh for `at`, and says what became of it. The
    /// answer's HTTP status is not looked at: Amazon doesn't document which code comes with which.
    ///
    /// # Errors
    /// Only where nothing was sent.
    pub async fn create_gift_card(
        &self,
        body: &[u8],
        expected: &Expected,
        at: Timestamp,
    ) -> Result<Outcome, ClientError> {
        let answered = self.post(Operation::CreateGiftCard, body, at).await?;
        Ok(classify(whole(&answered), expected))
    }

    /// Takes a card back: within 15 minutes, and only while nobody has claimed it.
    ///
    /// # Errors
    /// Only where nothing was sent.
    pub async fn cancel_gift_card(
        &self,
        creation_request_id: &str,
        card_id: &str,
        at: Timestamp,
    ) -> Result<Result<(), Failure>, ClientError> {
        let request = CancelRequest {
            creation_request_id,
            partner_id: self.partner_id.as_str(),
            gc_id: card_id,
        };
        let answered = self.ask(Operation::CancelGiftCard, &request, at).await?;
        Ok(operations::cancelled(whole(&answered), card_id))
    }

    /// What is left of the prepaid funds. Amazon allows it once a second.
    ///
    /// # Errors
    /// Only where nothing was sent.
    pub async fn available_funds(
        &self,
        at: Timestamp,
    ) -> Result<Result<Funds, Failure>, ClientError> {
        let request = FundsRequest {
            partner_id: self.partner_id.as_str(),
        };
        let answered = self.ask(Operation::GetAvailableFunds, &request, at).await?;
        Ok(operations::funds(whole(&answered)))
    }

    /// A page, from 0, of what the account did in a span of time, which is `[from, to)`.
    /// `request_id` is any: it names the question in Amazon's logs.
    ///
    /// # Errors
    /// Only where nothing was sent.
    pub async fn activity_page(
        &self,
        request_id: &str,
        (from, to): (Timestamp, Timestamp),
        page_index: u32,
        at: Timestamp,
    ) -> Result<Result<ActivityPage, Failure>, ClientError> {
        let request = PageRequest {
            request_id,
            partner_id: self.partner_id.as_str(),
            utc_start_date: operations::page_time(from),
            utc_end_date: operations::page_time(to),
            page_index,
            page_size: PAGE_SIZE,
            show_no_ops: false,
        };
        let asked = Operation::GetGiftCardActivityPage;
        let answered = self.ask(asked, &request, at).await?;
        Ok(operations::page(whole(&answered)))
    }

    async fn ask(
        &self,
        operation: Operation,
        request: &impl serde::Serialize,
        at: Timestamp,
    ) -> Result<Answered, ClientError> {
        let body = serde_json::to_vec(request).map_err(ClientError::Unwritable)?;
        self.post(operation, &body, at).await
    }

    async fn post(
        &self,
        operation: Operation,
        body: &[u8],
        at: Timestamp,
    ) -> Result<Answered, ClientError> {
        let endpoint = match operation {
            // Its path is what contracts differ in.
            Operation::CreateGiftCard => self.endpoint.clone(),
            Operation::CancelGiftCard
            | Operation::GetAvailableFunds
            | Operation::GetGiftCardActivityPage => self.endpoint.beside(operation.name()),
        };
        let host = endpoint.host();
        let target = format!("{TARGET}.{}", operation.name());
        let headers = [
            ("accept", JSON),
            ("content-type", JSON),
            ("host", host.as_str()),
            ("x-amz-target", target.as_str()),
        ];
        let unsigned = Unsigned {
            url: endpoint.url().as_str(),
            headers: &headers,
            body,
        };
        let signature = signature_headers(&unsigned, &self.key_pair, &self.region, at)?;
        let mut request = self.http.post(endpoint.url().clone()).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in signature {
            request = request.header(name, value);
        }
        Ok(answer(request).await)
    }
}

fn whole(answered: &Answered) -> Answer<'_> {
    match answered {
        Ok(body) => Answer::Body(body.expose_secret()),
        Err(failure) => Answer::Failed(*failure),
    }
}

/// The answer's body, which may hold a claim code: wiped when dropped, and never logged.
async fn answer(request: reqwest::RequestBuilder) -> Result<SecretSlice<u8>, TransportFailure> {
    let mut response = request.send().await.map_err(|error| failure(&error))?;
    let mut body = Vec::with_capacity(1024);
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(TransportFailure::Oversized);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(SecretSlice::from(body))
}

fn failure(error: &reqwest::Error) -> TransportFailure {
    // A connection that never came to be has carried no byte of the request. A time-out may have
    // struck at any moment.
    if error.is_timeout() {
        TransportFailure::TimedOut
    } else if error.is_connect() {
        TransportFailure::NotConnected
    } else {
        TransportFailure::ConnectionLost
    }
}
