//! The bytes' way to Amazon and back.

use std::time::Duration;

use schemas::Timestamp;
use secrecy::{ExposeSecret, SecretSlice};

use super::{
    classify::{Answer, Expected, Outcome, TransportFailure, classify},
    endpoint::Endpoint,
    signature::{KeyPair, SignatureError, Unsigned, signature_headers},
};
use crate::payouts::{
    config::AgcodConfig,
    https::{self, HttpsError},
};

const TARGET: &str = "com.amazonaws.agcod.AGCODService.CreateGiftCard";
const JSON: &str = "application/json";
/// Real answers have about 500 bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends `CreateGiftCard` requests.
#[derive(Debug, Clone)]
pub struct AgcodClient {
    http: reqwest::Client,
    endpoint: Endpoint,
    region: String,
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
}

impl AgcodClient {
    /// A client of the account that `config` describes.
    pub fn new(config: &AgcodConfig) -> Result<Self, ClientError> {
        Ok(Self {
            http: https::client(Duration::from_millis(config.timeout_ms))?,
            endpoint: config.endpoint.clone(),
            region: config.region.clone(),
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
        let host = self.endpoint.host();
        let headers = [
            ("accept", JSON),
            ("content-type", JSON),
            ("host", host.as_str()),
            ("x-amz-target", TARGET),
        ];
        let unsigned = Unsigned {
            url: self.endpoint.url().as_str(),
            headers: &headers,
            body,
        };
        let signature = signature_headers(&unsigned, &self.key_pair, &self.region, at)?;
        let mut request = self
            .http
            .post(self.endpoint.url().clone())
            .body(body.to_vec());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in signature {
            request = request.header(name, value);
        }
        Ok(match answer(request).await {
            Ok(answered) => classify(Answer::Body(answered.expose_secret()), expected),
            Err(failure) => classify(Answer::Failed(failure), expected),
        })
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
