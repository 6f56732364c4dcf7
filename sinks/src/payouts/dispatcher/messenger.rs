//! Messages on their way to shoppers.

use std::sync::Arc;

use schemas::PayoutId;
use secrecy::SecretString;
use stream::commit_points::{self, CommitPoint};

use super::Worker;
use crate::{
    payouts::{
        agcod::{Expected, Outcome, classify::Detail},
        claim_codes::ClaimCodeStorage,
        sms::{Message, SmsError},
        store::{CardContent, Content, MessageResult, PendingMessage, Recipient},
    },
    sealing::{Sealed, Subject},
};

impl Worker {
    /// Tells of a card that was funded just now, whose code is still at hand.
    pub(super) async fn deliver_card(self: Arc<Self>, payout_id: PayoutId, code: SecretString) {
        match self.store.message(payout_id).await {
            Ok(Some(message)) => self.deliver(message, Some(code)).await,
            // It was told before.
            Ok(None) => {}
            // The lease runs out, and the loop takes the message up.
            Err(error) => tracing::warn!(
                %payout_id,
                error = &error as &dyn std::error::Error,
                "a message has to wait"
            ),
        }
    }

    /// Brings a message to its shopper, and writes down what came of it.
    pub(super) async fn deliver(
        self: Arc<Self>,
        message: PendingMessage,
        claim_code: Option<SecretString>,
    ) {
        let (reference, attempts) = (message.reference, message.attempts);
        let message_id = reference.message_id;
        let result = match self.prepare(message, claim_code).await {
            Ok(message) => self.send(&message).await,
            Err(result) => result,
        };
        self.metrics.messaged(&result);
        match &result {
            MessageResult::Sent { .. } => tracing::info!(%message_id, "message sent"),
            MessageResult::NoPhone => tracing::warn!(%message_id, "no phone number for a message"),
            MessageResult::Later(why) => tracing::warn!(%message_id, why, "a message has to wait"),
            MessageResult::HeldUntil(until) => {
                tracing::error!(%message_id, %until, "a number has had its messages of the day");
            }
            MessageResult::Failed(why) | MessageResult::CardGone(why) => {
                tracing::error!(%message_id, why, "a message needs an operator");
            }
            MessageResult::Dropped(why) => tracing::info!(%message_id, why, "no message is sent"),
        }
        let now = self.clock.now();
        let tried = (reference, attempts);
        if let Err(error) = self.store.settle_message(tried, &result, now).await {
            // Sent again when the lease is out, with the same text.
            tracing::warn!(
                %message_id,
                error = &error as &dyn std::error::Error,
                "what became of a message can't be written down"
            );
        }
    }

    /// The message as it goes out, or what becomes of it without.
    async fn prepare(
        &self,
        pending: PendingMessage,
        claim_code: Option<SecretString>,
    ) -> Result<Message, MessageResult> {
        if pending.erased {
            return Err(MessageResult::Dropped("the shopper was erased"));
        }
        let Some(content) = &pending.content else {
            return Err(MessageResult::Dropped("there is nothing left to tell"));
        };
        let Some(recipient) = &pending.recipient else {
            return Err(MessageResult::NoPhone);
        };
        let to = self.phone(&pending, recipient)?;
        let texts = &self.config.messages.texts;
        let text = match content {
            Content::Confirmation { amount, currency } => texts
                .confirmation(pending.tenant_id)
                .with_amount(*amount, *currency),
            Content::GiftCard(card) => {
                let expected = card
                    .expected
                    .as_ref()
                    .ok_or(MessageResult::Failed("the payout's own row can't be read"))?;
                let code = match claim_code.or_else(|| self.stored_code(card)) {
                    Some(code) => code,
                    None => self.fetch_code(card, expected).await?,
                };
                let text = texts.gift_card(pending.tenant_id);
                text.with_code(expected.amount, expected.currency, &code)
            }
        };
        self.admit(recipient).await?;
        Ok(Message {
            reference: pending.reference,
            to,
            text,
        })
    }

    async fn send(&self, message: &Message) -> MessageResult {
        match self.sms.send(message).await {
            Ok(accepted) => {
                commit_points::pass(CommitPoint::PayoutMessageSent);
                let wait_ms = self.config.messages.report_wait_ms;
                MessageResult::Sent {
                    gateway_id: accepted.gateway_id,
                    report_wait_ms: self.sms.reports_delivery().then_some(wait_ms),
                }
            }
            Err(SmsError::Refused(_)) => MessageResult::Failed("the gateway refuses the message"),
            Err(SmsError::Unavailable(_)) => MessageResult::Later("the gateway can't be reached"),
        }
    }

    /// Every try counts: the gateway may have sent what it didn't acknowledge.
    async fn admit(&self, recipient: &Recipient) -> Result<(), MessageResult> {
        let daily_max = self.config.messages.daily_max;
        let admitted = self.store.admit(recipient, self.clock.now(), daily_max);
        match admitted.await {
            Ok(None) => Ok(()),
            Ok(Some(until)) => Err(MessageResult::HeldUntil(until)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "a number's limit isn't known");
                Err(MessageResult::Later("the number's limit isn't known"))
            }
        }
    }

    fn phone(
        &self,
        message: &PendingMessage,
        recipient: &Recipient,
    ) -> Result<SecretString, MessageResult> {
        let subject = Subject::Phone(message.user_id);
        let sealed = Sealed::from_bytes(&recipient.phone);
        let opened = sealed.map(|sealed| self.config.contacts.open(subject, &sealed));
        match opened {
            Some(Ok(phone)) => Ok(phone),
            Some(Err(error)) => {
                tracing::error!(user_id = %message.user_id, %error, "a phone number");
                Err(MessageResult::Failed("the phone number can't be opened"))
            }
            None => Err(MessageResult::Failed("the phone number can't be opened")),
        }
    }

    fn stored_code(&self, card: &CardContent) -> Option<SecretString> {
        let (Some(sealed), ClaimCodeStorage::Encrypted(ring)) =
            (&card.sealed, &self.config.claim_codes)
        else {
            return None;
        };
        let payout_id = card.payout_id;
        ring.open(Subject::ClaimCode(payout_id), sealed)
            .inspect_err(
                |error| tracing::error!(%payout_id, %error, "a claim code is fetched again"),
            )
            .ok()
    }

    /// The identical request yields the same card with its code.
    async fn fetch_code(
        &self,
        card: &CardContent,
        expected: &Expected,
    ) -> Result<SecretString, MessageResult> {
        let later = Err(MessageResult::Later("the claim code can't be fetched"));
        if self.held().await || !matches!(self.store.paused().await, Ok(None)) {
            return later;
        }
        match self.call(&card.request, expected).await {
            Outcome::Funded(card) => Ok(card.claim_code),
            Outcome::Mismatched(detail) => Err(MessageResult::CardGone(void(&detail))),
            Outcome::Refused(_) => Err(MessageResult::Failed(
                "the gift-card service doesn't tell the code again",
            )),
            Outcome::Throttled(_) => {
                self.hold().await;
                later
            }
            Outcome::ChannelFault(_) | Outcome::Unreachable(_) | Outcome::Unknown(_) => later,
        }
    }
}

/// Why a card's code is not sent, for the operator.
fn void(detail: &Detail) -> &'static str {
    match detail.as_str() {
        "RefundedToPurchaser" => "the card was refunded to the platform: its code is void",
        "Expired" => "the card has expired: its code is void",
        _ => "the card is not the one that was asked for: its code is not sent",
    }
}
