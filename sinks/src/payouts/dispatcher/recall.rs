//! A payout that an operator gives up after it was sent: is there a card, and can it be cancelled?

use std::sync::Arc;

use processors::rules::payouts::PayoutState;
use schemas::Timestamp;

use super::Worker;
use crate::payouts::{
    agcod::{Failure, Outcome},
    store::{
        rates::Operation,
        recalls::{Recall, RecallResult},
    },
};

/// Until when Amazon cancels a card.
const CANCEL_WITHIN_MS: i64 = 15 * 60 * 1_000;
/// What an attempt comes to when the card was cancelled.
const REFUNDED: &str = "RefundedToPurchaser";

/// What has to be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Nothing: this is the answer.
    Answered(RecallResult),
    /// The card has to be cancelled.
    Cancel,
    /// The card exists, or existed: whether it still can be spent.
    Ask,
}

fn question(recall: &Recall, now: Timestamp) -> Question {
    use RecallResult::{Impossible, Later, Recalled};
    let dispatch = &recall.dispatch;
    if dispatch.recalled {
        return Question::Answered(Impossible("it was given up before"));
    }
    if dispatch.in_flight {
        return Question::Answered(Later("an attempt is in flight"));
    }
    match dispatch.state {
        // The ledger has the same command before it.
        PayoutState::Queued => Question::Answered(Later("the ledger cancels what was never sent")),
        PayoutState::Cancelled => Question::Answered(Impossible("it is cancelled")),
        PayoutState::Sending | PayoutState::ErrorSoft => Question::Answered(Impossible(
            "whether there is a card isn't known: give it up once it is funded or refused",
        )),
        PayoutState::ErrorHard if dispatch.money_may_be_freed() => {
            Question::Answered(Recalled("refused at every attempt: no card was made"))
        }
        // The card is known to have been made, so that asking can't make it.
        PayoutState::ErrorHard if recall.last_error.as_deref() == Some(REFUNDED) => Question::Ask,
        PayoutState::ErrorHard => Question::Answered(Impossible(
            "an attempt had no known outcome, so a card may exist: release it, or look for it by \
             `hissaback payout reconcile`",
        )),
        PayoutState::Funded => {
            let age_ms = recall
                .paid_at
                .map_or(i64::MAX, |paid_at| now.millis_since(paid_at));
            if age_ms < CANCEL_WITHIN_MS {
                Question::Cancel
            } else {
                Question::Ask
            }
        }
    }
}

impl Worker {
    pub(super) async fn recall(self: Arc<Self>, recall: Recall) {
        let payout_id = recall.payout_id;
        let result = match question(&recall, self.clock.now()) {
            Question::Answered(result) => result,
            Question::Cancel => self.cancel_card(&recall).await,
            Question::Ask => self.ask_for_card(&recall).await,
        };
        let now = self.clock.now();
        let stood = recall.dispatch.state;
        match self
            .store
            .settle_recall(payout_id, stood, result, now)
            .await
        {
            Ok(result) => {
                self.metrics.recalled(result);
                tracing::warn!(%payout_id, ?result, "an operator gives a payout up");
            }
            // It is due again soon.
            Err(error) => tracing::warn!(
                %payout_id,
                error = &error as &dyn std::error::Error,
                "what came of giving a payout up can't be written down"
            ),
        }
        self.wake.notify_one();
    }

    async fn cancel_card(&self, recall: &Recall) -> RecallResult {
        let (Some(expected), Some(card_id)) = (&recall.expected, &recall.card_id) else {
            return RecallResult::Impossible("the payout's own row can't be read");
        };
        if let Err(error) = self.store.wait_for_slot(Operation::Call, self.rate).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no slot for a call"
            );
            return RecallResult::Later("no slot for a call could be taken");
        }
        let id = &expected.creation_request_id;
        let now = self.clock.now();
        match self.client.cancel_gift_card(id, card_id, now).await {
            Ok(Ok(())) => RecallResult::Recalled("the card was cancelled"),
            // It may have been cancelled by a try whose answer was lost, or by Amazon itself.
            Ok(Err(Failure::Refused(_))) => self.ask_for_card(recall).await,
            Ok(Err(Failure::Throttled(_))) => {
                self.hold().await;
                RecallResult::Later("there were too many calls")
            }
            Ok(Err(Failure::ChannelFault(_) | Failure::Unreachable(_) | Failure::Unknown(_))) => {
                RecallResult::Later("whether the card is cancelled isn't known yet")
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a card isn't cancelled"
                );
                RecallResult::Later("the request can't be made")
            }
        }
    }

    /// The identical request tells of the card that it made, cancelled or not.
    async fn ask_for_card(&self, recall: &Recall) -> RecallResult {
        let Some(expected) = &recall.expected else {
            return RecallResult::Impossible("the payout's own row can't be read");
        };
        match self.call(&recall.request, expected).await {
            Outcome::Mismatched(detail) if detail.as_str() == REFUNDED => {
                RecallResult::Recalled("the card was refunded to the platform")
            }
            Outcome::Funded(_) => RecallResult::Impossible(
                "the card can be spent, and can't be cancelled any more: it is claimed, or older \
                 than 15 minutes",
            ),
            Outcome::Mismatched(_) | Outcome::Refused(_) => {
                RecallResult::Impossible("the gift-card service doesn't say that it was cancelled")
            }
            Outcome::Throttled(_)
            | Outcome::ChannelFault(_)
            | Outcome::Unreachable(_)
            | Outcome::Unknown(_) => RecallResult::Later("whether there is a card isn't known yet"),
        }
    }
}
