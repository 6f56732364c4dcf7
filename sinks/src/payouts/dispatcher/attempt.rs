//! One attempt, and the message that follows a card.

use std::{sync::Arc, time::Duration};

use schemas::PayoutId;
use secrecy::SecretString;
use stream::commit_points::{self, CommitPoint};
use tokio::time::Instant;

use super::Worker;
use crate::{
    payouts::{
        agcod::{Expected, Outcome, classify::Detail},
        claim_codes::ClaimCodeStorage,
        sms::{Message, SmsError},
        store::{Attempt, MessageResult, PendingMessage, Settlement, StoreError},
    },
    sealing::{Sealed, Subject},
};

/// How often an outcome is tried to be written down. Should all fail, the attempt's lease runs
/// out, and the identical request finds out again.
const SETTLE_TRIES: u32 = 5;
const SETTLE_PAUSE: Duration = Duration::from_millis(500);

impl Worker {
    pub(super) async fn attempt(self: Arc<Self>, attempt: Attempt) {
        commit_points::pass(CommitPoint::PayoutBeforeCall);
        let outcome = self.outcome(&attempt).await;
        commit_points::pass(CommitPoint::PayoutCalled);
        let kind = outcome.kind();
        self.metrics.attempted(kind);
        let sealed = self.seal(attempt.payout_id, &outcome);
        match self.settle(&attempt, &outcome, sealed.as_ref()).await {
            Ok(settlement) => self.report(&attempt, &outcome, &settlement),
            Err(error) => tracing::error!(
                payout_id = %attempt.payout_id,
                error = &error as &dyn std::error::Error,
                "the outcome of a payout attempt can't be written down"
            ),
        }
        commit_points::pass(CommitPoint::PayoutRecorded);
        if let Outcome::Funded(card) = outcome {
            match self.store.message(attempt.payout_id).await {
                Ok(message) => self.clone().deliver(message, Some(card.claim_code)).await,
                // The lease runs out, and the loop takes the message up.
                Err(error) => tracing::warn!(
                    payout_id = %attempt.payout_id,
                    error = &error as &dyn std::error::Error,
                    "a message has to wait"
                ),
            }
        }
        self.wake.notify_one();
    }

    async fn outcome(&self, attempt: &Attempt) -> Outcome {
        let refused = |text| Outcome::Refused(Detail::new(text));
        let Some(expected) = &attempt.expected else {
            return refused("the payout's own row can't be read");
        };
        if expected.currency != self.config.agcod.currency {
            return refused("a currency that this account doesn't pay");
        }
        self.call(&attempt.request, expected).await
    }

    async fn call(&self, request: &[u8], expected: &Expected) -> Outcome {
        self.rate.until_ready().await;
        let began = Instant::now();
        let now = self.clock.now();
        let called = self.client.create_gift_card(request, expected, now).await;
        self.metrics.called(began.elapsed().as_secs_f64());
        called.unwrap_or_else(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a payout can't be signed"
            );
            Outcome::ChannelFault(Detail::new("requests can't be signed"))
        })
    }

    /// A code that can't be sealed isn't stored; it can be fetched again.
    fn seal(&self, payout_id: PayoutId, outcome: &Outcome) -> Option<Sealed> {
        let (Outcome::Funded(card), ClaimCodeStorage::Encrypted(ring)) =
            (outcome, &self.config.claim_codes)
        else {
            return None;
        };
        ring.seal(Subject::ClaimCode(payout_id), &card.claim_code)
            .inspect_err(|error| tracing::error!(%payout_id, %error, "a claim code isn't stored"))
            .ok()
    }

    async fn settle(
        &self,
        attempt: &Attempt,
        outcome: &Outcome,
        sealed: Option<&Sealed>,
    ) -> Result<Settlement, StoreError> {
        let mut tries = 1;
        loop {
            let policy = &self.config.limits.retry;
            let now = self.clock.now();
            let settled = self
                .store
                .settle(attempt, outcome, sealed, now, policy, self.lease_ms());
            match settled.await {
                Err(error) if tries < SETTLE_TRIES => {
                    tracing::warn!(
                        payout_id = %attempt.payout_id,
                        error = &error as &dyn std::error::Error,
                        "writing an outcome down failed"
                    );
                    tokio::time::sleep(SETTLE_PAUSE * tries).await;
                    tries += 1;
                }
                Ok(settlement) => return Ok(settlement),
                Err(error) => return Err(error),
            }
        }
    }

    fn report(&self, attempt: &Attempt, outcome: &Outcome, settlement: &Settlement) {
        let payout_id = attempt.payout_id;
        let detail = outcome.detail().map(Detail::as_str);
        let outcome = outcome.kind().name();
        let settled = match settlement {
            Settlement::Applied(settled) => settled,
            Settlement::Stale => {
                tracing::warn!(%payout_id, outcome, "an outcome came too late");
                return;
            }
        };
        let state = settled.dispatch.state.name();
        let number = attempt.number;
        tracing::info!(%payout_id, number, outcome, detail, state, "payout attempted");
        if settled.pause_channel {
            tracing::error!(
                detail,
                "the payout channel is paused until an operator resumes it"
            );
        }
        if let Some(hold_ms) = settled.hold_ms {
            self.hold(self.clock.now().plus_millis(hold_ms));
        }
    }

    /// Brings a claim code to its shopper, and shreds it once that is done.
    pub(super) async fn deliver(
        self: Arc<Self>,
        message: PendingMessage,
        claim_code: Option<SecretString>,
    ) {
        let payout_id = message.payout_id;
        let result = self.deliver_now(message, claim_code).await;
        self.metrics.messaged(result);
        match result {
            MessageResult::Sent => tracing::info!(%payout_id, "message sent"),
            MessageResult::NoPhone => tracing::warn!(%payout_id, "no phone number for a message"),
            MessageResult::Later(why) => tracing::warn!(%payout_id, why, "a message has to wait"),
            MessageResult::Failed(why) => {
                tracing::error!(%payout_id, why, "a message needs an operator");
            }
        }
        let policy = &self.config.limits.retry;
        let now = self.clock.now();
        if let Err(error) = self
            .store
            .settle_message(payout_id, result, now, policy)
            .await
        {
            // Sent again when the lease is out, with the same code.
            tracing::warn!(
                %payout_id,
                error = &error as &dyn std::error::Error,
                "what became of a message can't be written down"
            );
        }
    }

    async fn deliver_now(
        &self,
        message: PendingMessage,
        claim_code: Option<SecretString>,
    ) -> MessageResult {
        let Some(sealed) = &message.phone else {
            return MessageResult::NoPhone;
        };
        let Some(to) = self.phone(&message, sealed) else {
            return MessageResult::Failed("the phone number can't be opened");
        };
        let Some(expected) = message.expected.clone() else {
            return MessageResult::Failed("the payout's own row can't be read");
        };
        let claim_code = match claim_code.or_else(|| self.stored_code(&message)) {
            Some(claim_code) => claim_code,
            None => match self.fetch_code(&message, &expected).await {
                Ok(claim_code) => claim_code,
                Err(result) => return result,
            },
        };
        let text = &self.config.message;
        let message = Message {
            payout_id: message.payout_id,
            to,
            text: text.fill(expected.amount, expected.currency, &claim_code),
        };
        match self.sms.send(&message).await {
            Ok(()) => {
                commit_points::pass(CommitPoint::PayoutMessageSent);
                MessageResult::Sent
            }
            Err(SmsError::Refused(_)) => MessageResult::Failed("the gateway refuses the message"),
            Err(SmsError::Unavailable(_)) => MessageResult::Later("the gateway can't be reached"),
        }
    }

    fn phone(&self, message: &PendingMessage, sealed: &[u8]) -> Option<SecretString> {
        let subject = Subject::Phone(message.user_id?);
        let opened = self
            .config
            .contacts
            .open(subject, &Sealed::from_bytes(sealed)?);
        let payout_id = message.payout_id;
        opened
            .inspect_err(|error| tracing::error!(%payout_id, %error, "a phone number"))
            .ok()
    }

    fn stored_code(&self, message: &PendingMessage) -> Option<SecretString> {
        let (Some(sealed), ClaimCodeStorage::Encrypted(ring)) =
            (&message.sealed, &self.config.claim_codes)
        else {
            return None;
        };
        let payout_id = message.payout_id;
        ring.open(Subject::ClaimCode(payout_id), sealed)
            .inspect_err(
                |error| tracing::error!(%payout_id, %error, "a claim code is fetched again"),
            )
            .ok()
    }

    /// The identical request yields the same card with its code.
    async fn fetch_code(
        &self,
        message: &PendingMessage,
        expected: &Expected,
    ) -> Result<SecretString, MessageResult> {
        match self.call(&message.request, expected).await {
            Outcome::Funded(card) => Ok(card.claim_code),
            Outcome::Mismatched(_) | Outcome::Refused(_) => {
                Err(MessageResult::Failed("the card isn't there any more"))
            }
            Outcome::Throttled(_) => {
                let hold_ms = self.config.limits.retry.throttle_pause_ms;
                self.hold(self.clock.now().plus_millis(hold_ms));
                Err(MessageResult::Later("the claim code can't be fetched"))
            }
            Outcome::ChannelFault(_) | Outcome::Unreachable(_) | Outcome::Unknown(_) => {
                Err(MessageResult::Later("the claim code can't be fetched"))
            }
        }
    }
}
