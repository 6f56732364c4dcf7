//! Messages to a gateway that takes JSON over HTTPS.

use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{Message, SmsError, SmsGateway};
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
    /// From connecting to the answer.
    pub timeout_ms: u64,
}

/// Posts `{"to", "text", "reference", "sender"?}`. Any 2xx means that the gateway has it.
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
    async fn send(&self, message: &Message) -> Result<(), SmsError> {
        let mut body = json!({
            "to": message.to.expose_secret(),
            "text": message.text.expose_secret(),
            "reference": message.payout_id,
        });
        if let Some(sender) = &self.config.sender {
            body["sender"] = json!(sender);
        }
        let sent = self
            .http
            .post(self.config.endpoint.url().clone())
            .bearer_auth(self.config.token.expose_secret())
            .json(&body)
            .send()
            .await;
        match sent {
            Ok(response) => judge(response.status()),
            Err(error) if error.is_timeout() => Err(SmsError::Unavailable("timed out".into())),
            // Its own text names the address, which may hold an account's name.
            Err(_) => Err(SmsError::Unavailable("no connection".into())),
        }
    }
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
