//! One attempt.

use std::sync::Arc;

use schemas::PayoutId;
use stream::commit_points::{self, CommitPoint};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    Worker,
    record::{Ended, Recorded},
};
use crate::{
    payouts::{
        agcod::{Expected, Outcome, OutcomeKind, classify::Detail},
        claim_codes::ClaimCodeStorage,
        store::{Attempt, Concluded, Settlement, rates::Operation},
    },
    sealing::{Sealed, Subject},
};

impl Worker {
    pub(super) async fn attempt(self: Arc<Self>, attempt: Attempt, ended: mpsc::Sender<Ended>) {
        tokio::time::sleep_until(attempt.not_before).await;
        commit_points::pass(CommitPoint::PayoutBeforeCall);
        let outcome = self.outcome(&attempt).await;
        commit_points::pass(CommitPoint::PayoutCalled);
        self.metrics.attempted(outcome.kind());
        let (recorded, written) = oneshot::channel();
        let concluded = Concluded {
            payout_id: attempt.payout_id,
            number: attempt.number,
            sealed: self.seal(attempt.payout_id, &outcome),
            outcome,
        };
        let told = ended.send(Ended {
            concluded,
            recorded,
        });
        // Where it couldn't be written down, that is logged already.
        let (
            Ok(()),
            Ok(Recorded {
                settlement,
                outcome,
            }),
        ) = (told.await, written.await)
        else {
            return;
        };
        report(&attempt, &outcome, &settlement);
        commit_points::pass(CommitPoint::PayoutRecorded);
        if let Outcome::Funded(card) = outcome {
            self.clone()
                .deliver_card(attempt.payout_id, card.claim_code)
                .await;
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
        self.create(&attempt.request, expected).await
    }

    /// Sends a request once more that was sent before, when there is a slot for it.
    pub(super) async fn call(&self, request: &[u8], expected: &Expected) -> Outcome {
        if self.held().await {
            return Outcome::Throttled(Detail::new("calls are held back"));
        }
        match self.store.wait_for_slot(Operation::Call, self.rate).await {
            Ok(()) => {
                let outcome = self.create(request, expected).await;
                if outcome.kind() == OutcomeKind::Throttled {
                    self.hold().await;
                }
                outcome
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "no slot for a call could be taken"
                );
                Outcome::Unreachable(Detail::new("no slot for a call could be taken"))
            }
        }
    }

    async fn create(&self, request: &[u8], expected: &Expected) -> Outcome {
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
}

fn report(attempt: &Attempt, outcome: &Outcome, settlement: &Settlement) {
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
}
