//! Messages to a gateway that takes JSON over HTTPS.

use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::{Accepted, Message, SmsError, SmsGateway};
use crate::payouts::{
    agcod::Endpoint,
    https::{self, HttpsError},
};

/// Where and how messages are handed over.
#[derive(Debug, Clone)]
pub struct HttpSmsGatewayConfig {
    /// The whole address.
    pub endpoint: Endpoint,
    /// Sent as a bearer token.
    pub token: SecretString,
    /// The sender that shoppers see, where the gateway wants one.
    pub sender: Option<String>,
    /// How this gateway calls what it is told.
    pub fields: MessageFields,
    /// Whether it posts delivery reports to us.
    pub reports_delivery: bool,
    /// From connecting to the answer.
    pub timeout_ms: u64,
}

/// What a gateway calls the parts of a message, and its own id in its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFields {
    /// The phone number.
    pub to: String,
    /// The text.
    pub text: String,
    /// What we know the message by.
    pub reference: String,
    /// The sender that shoppers see.
    pub sender: String,
    /// In the answer: what the gateway knows it by.
    pub id: String,
}

impl Default for MessageFields {
    fn default() -> Self {
        Self {
            to: "to".to_owned(),
            text: "text".to_owned(),
            reference: "reference".to_owned(),
            sender: "sender".to_owned(),
            id: "id".to_owned(),
        }
    }
}

/// The most of an answer that is read for the gateway's id.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const GATEWAY_ID_LENGTH_MAX: usize = 200;

/// Posts a flat JSON object of [`MessageFields`]. Any 2xx means that the gateway has it.
#[derive(Debug)]
pub struct HttpSmsGateway {
    http: reqwest::Client,
    config: HttpSmsGatewayConfig,
}

impl HttpSmsGateway {
    /// A gateway that `config` describes.
    pub fn new(config: HttpSmsGatewayConfig) -> Result<Self, HttpsError> {
        Ok(Self {
            http: https::client(Duration::from_millis(config.timeout_ms))?,
            config,
        })
    }
}

#[async_trait]
impl SmsGateway for HttpSmsGateway {
    async fn send(&self, message: &Message) -> Result<Accepted, SmsError> {
        let fields = &self.config.fields;
        let mut body = Map::new();
        let mut tell = |name: &str, value: &str| body.insert(name.to_owned(), value.into());
        tell(&fields.to, message.to.expose_secret());
        tell(&fields.text, message.text.expose_secret());
        tell(&fields.reference, &message.reference.to_string());
        if let Some(sender) = &self.config.sender {
            tell(&fields.sender, sender);
        }
        let sent = self
            .http
            .post(self.config.endpoint.url().clone())
            .bearer_auth(self.config.token.expose_secret())
            .json(&body)
            .send()
            .await;
        match sent {
            Ok(response) => {
                judge(response.status())?;
                let gateway_id = gateway_id(response, &fields.id).await;
                Ok(Accepted { gateway_id })
            }
            Err(error) if error.is_timeout() => Err(SmsError::Unavailable("timed out".into())),
            // Its own text names the address, which may hold an account's name.
            Err(_) => Err(SmsError::Unavailable("no connection".into())),
        }
    }

    fn reports_delivery(&self) -> bool {
        self.config.reports_delivery
    }
}

/// The gateway's id of what it has taken. It has taken it, whatever it says of it: an answer that
/// can't be read only leaves it without an id.
async fn gateway_id(mut response: reqwest::Response, field: &str) -> Option<String> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    let answer: Map<String, Value> = serde_json::from_slice(&body).ok()?;
    let id = match answer.get(field)? {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    // Kept for comparison; what isn't an id isn't kept.
    let plausible = |id: &String| {
        (1..=GATEWAY_ID_LENGTH_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    Some(id).filter(plausible)
}

fn judge(status: StatusCode) -> Result<(), SmsError> {
    // Credentials are the channel's fault, not the message's: later is right for them too.
    let later = matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
    );
    if status.is_success() {
        Ok(())
    } else if status.is_client_error() && !later {
        Err(SmsError::Refused(status.as_u16().to_string()))
    } else {
        Err(SmsError::Unavailable(status.as_u16().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fault_of_the_message_is_final() {
        for (status, refused) in [
            (400, true),
            (422, true),
            (401, false),
            (429, false),
            (503, false),
        ] {
            let judged = judge(StatusCode::from_u16(status).expect("a status"));
            assert_eq!(
                matches!(judged, Err(SmsError::Refused(_))),
                refused,
                "{status}"
            );
            assert!(judged.is_err());
        }
        assert!(judge(StatusCode::ACCEPTED).is_ok());
    }
}
