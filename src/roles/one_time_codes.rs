//! One-time codes go out by the gateway that gift cards' codes go out by.

use std::sync::Arc;

use api::auth::{CodeNotSent, CodeSender};
use async_trait::async_trait;
use secrecy::SecretString;
use sinks::payouts::sms::{Message, Reference, SmsGateway};
use uuid::Uuid;

/// Sends one-time codes.
pub(super) struct OneTimeCodes(Arc<dyn SmsGateway>);

impl OneTimeCodes {
    pub(super) fn new(gateway: Arc<dyn SmsGateway>) -> Self {
        Self(gateway)
    }
}

#[async_trait]
impl CodeSender for OneTimeCodes {
    async fn send(
        &self,
        request_id: Uuid,
        to: SecretString,
        text: SecretString,
    ) -> Result<(), CodeNotSent> {
        let message = Message {
            reference: Reference {
                message_id: request_id,
                resends: 0,
            },
            to,
            text,
        };
        let sent = self.0.send(&message).await;
        sent.map(drop)
            .map_err(|error| CodeNotSent(error.to_string()))
    }
}
