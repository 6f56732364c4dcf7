//! The life of one payout's dispatch: a pure state machine (design section 6).
//!
//! ```text
//!  queued ── announce ──▶ sending ── settle ──▶ funded
//!    │                     │   ▲ └─ refused ──▶ error_hard ─┐ an operator
//!    └─▶ cancelled         │   └── same request, later      ├─ release
//!       (by the ledger)    └─ tried enough ───▶ error_soft ─┘ the nightly run
//! ```
//!
//! An operator who gives a payout up after it was sent *recalls* it: once it is certain that no
//! card can be spent, nothing is sent any more, and the ledger cancels it.
//!
//! A payout that is released keeps its state while it is tried again: what its state says is what
//! the log says, and only a new step moves both.

use processors::rules::payouts::PayoutState;
use schemas::{Timestamp, events::PayoutStep};

use super::agcod::OutcomeKind;

const MILLIS_PER_MINUTE: i64 = 60_000;

/// Whether a request may go out in this state.
const fn sendable(state: PayoutState) -> bool {
    match state {
        PayoutState::Sending | PayoutState::ErrorSoft | PayoutState::ErrorHard => true,
        PayoutState::Queued | PayoutState::Cancelled | PayoutState::Funded => false,
    }
}

/// When an attempt is repeated, and when that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// After the first attempt.
    pub first_delay_ms: i64,
    /// After the second.
    pub second_delay_ms: i64,
    /// After each later one.
    pub later_delay_ms: i64,
    /// Attempts until the nightly run.
    pub attempts_max: u32,
    /// Time from the first attempt until the nightly run.
    pub duration_max_ms: i64,
    /// How long everything stands still after a throttled call.
    pub throttle_pause_ms: i64,
}

/// 3, 5, then every 15 minutes; ten attempts or six hours; ten seconds after throttling.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first_delay_ms: 3 * MILLIS_PER_MINUTE,
            second_delay_ms: 5 * MILLIS_PER_MINUTE,
            later_delay_ms: 15 * MILLIS_PER_MINUTE,
            attempts_max: 10,
            duration_max_ms: 6 * 60 * MILLIS_PER_MINUTE,
            throttle_pause_ms: 10_000,
        }
    }
}

impl RetryPolicy {
    const fn delay_ms(&self, attempts: u32) -> i64 {
        match attempts {
            0 | 1 => self.first_delay_ms,
            2 => self.second_delay_ms,
            _ => self.later_delay_ms,
        }
    }
}

/// Where one payout's dispatch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatch {
    /// The payout's state.
    pub state: PayoutState,
    /// Attempts ever begun.
    pub attempts: u32,
    /// When the first of them began.
    pub first_attempt_at: Option<Timestamp>,
    /// Attempts that count in the present round: a round ends in `error_soft`, and a release or a
    /// channel fault begins a new one.
    pub round_attempts: u32,
    /// When the round's first attempt began.
    pub round_began_at: Option<Timestamp>,
    /// When to try next; `None` while somebody else has to act, or nobody.
    pub next_attempt_at: Option<Timestamp>,
    /// Whether any attempt ever may have left a card that isn't counted. Never unset.
    pub ambiguous: bool,
    /// Whether an attempt has begun whose outcome isn't recorded.
    pub in_flight: bool,
    /// Whether it was given up after it was sent, and no card can be spent. Never unset.
    pub recalled: bool,
}

/// What an outcome changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Settled {
    /// Where the dispatch stands now.
    pub dispatch: Dispatch,
    /// The step to report to the log, if the payout's state changed.
    pub step: Option<PayoutStep>,
    /// Whether the whole channel has to stop until an operator resumes it.
    pub pause_channel: bool,
    /// How long no call may be made at all.
    pub hold_ms: Option<i64>,
}

impl Dispatch {
    /// A payout nothing has been done for, due at once.
    pub const fn queued(now: Timestamp) -> Self {
        Self {
            state: PayoutState::Queued,
            attempts: 0,
            first_attempt_at: None,
            round_attempts: 0,
            round_began_at: None,
            next_attempt_at: Some(now),
            ambiguous: false,
            in_flight: false,
            recalled: false,
        }
    }

    /// From `queued` to `sending`; `None` in any other state. The request may go out only when
    /// the log has this durably.
    pub const fn announced(self) -> Option<Self> {
        match self.state {
            PayoutState::Queued => Some(Self {
                state: PayoutState::Sending,
                ..self
            }),
            PayoutState::Sending
            | PayoutState::Cancelled
            | PayoutState::Funded
            | PayoutState::ErrorSoft
            | PayoutState::ErrorHard => None,
        }
    }

    /// With one more attempt begun; `None` when none is due or one is in flight.
    pub fn begun(self, now: Timestamp) -> Option<Self> {
        let due = self.next_attempt_at.is_some_and(|due_at| due_at <= now);
        (due && !self.in_flight && !self.recalled && sendable(self.state)).then(|| Self {
            attempts: self.attempts.saturating_add(1),
            first_attempt_at: self.first_attempt_at.or(Some(now)),
            round_attempts: self.round_attempts.saturating_add(1),
            round_began_at: self.round_began_at.or(Some(now)),
            in_flight: true,
            ..self
        })
    }

    /// What the outcome of the attempt in flight changes.
    ///
    /// An attempt whose process died has the outcome [`OutcomeKind::Unknown`]. A card that turns
    /// out to exist counts in whatever state the payout is: that is how the world is. Only after a
    /// recall such an outcome is the late news of a card that was cancelled since.
    pub fn settled(self, outcome: OutcomeKind, now: Timestamp, policy: &RetryPolicy) -> Settled {
        let landed = Self {
            in_flight: false,
            ambiguous: self.ambiguous || outcome.ambiguous(),
            ..self
        };
        // Nothing can have been sent in these states, or nothing is left to be done.
        let idle = self.recalled || (!sendable(self.state) && outcome != OutcomeKind::Funded);
        let dispatch = if idle {
            landed
        } else {
            match outcome {
                OutcomeKind::Funded => landed.resting(PayoutState::Funded),
                OutcomeKind::Refused | OutcomeKind::Mismatched => {
                    landed.resting(PayoutState::ErrorHard)
                }
                OutcomeKind::Throttled => {
                    landed
                        .uncounted()
                        .later(now, policy.throttle_pause_ms, policy)
                }
                OutcomeKind::ChannelFault => landed.new_round(now),
                OutcomeKind::Unreachable | OutcomeKind::Unknown => {
                    landed.later(now, policy.delay_ms(landed.round_attempts), policy)
                }
            }
        };
        Settled {
            dispatch,
            step: (dispatch.state != self.state)
                .then(|| step(dispatch.state))
                .flatten(),
            pause_channel: outcome == OutcomeKind::ChannelFault,
            hold_ms: (outcome == OutcomeKind::Throttled).then_some(policy.throttle_pause_ms),
        }
    }

    /// Tried again, in a new round, by the nightly run or an operator; `None` where the payout
    /// doesn't wait for that. The request is the identical one.
    pub fn released(self, now: Timestamp) -> Option<Self> {
        let waits = match self.state {
            PayoutState::ErrorSoft | PayoutState::ErrorHard => {
                self.next_attempt_at.is_none() && !self.in_flight && !self.recalled
            }
            PayoutState::Queued
            | PayoutState::Sending
            | PayoutState::Cancelled
            | PayoutState::Funded => false,
        };
        waits.then(|| self.new_round(now))
    }

    /// Whether no card can exist for this payout, so that its money may be given to another: never
    /// once any attempt had no known outcome.
    pub const fn money_may_be_freed(&self) -> bool {
        match self.state {
            PayoutState::Queued | PayoutState::Cancelled => true,
            PayoutState::ErrorHard => !self.ambiguous && !self.in_flight,
            PayoutState::Sending | PayoutState::Funded | PayoutState::ErrorSoft => false,
        }
    }

    const fn resting(self, state: PayoutState) -> Self {
        Self {
            state,
            next_attempt_at: None,
            ..self
        }
    }

    const fn new_round(self, now: Timestamp) -> Self {
        Self {
            round_attempts: 0,
            round_began_at: None,
            next_attempt_at: Some(now),
            ..self
        }
    }

    /// A throttled attempt was none: only time counts against it.
    const fn uncounted(self) -> Self {
        Self {
            round_attempts: self.round_attempts.saturating_sub(1),
            ..self
        }
    }

    fn later(self, now: Timestamp, delay_ms: i64, policy: &RetryPolicy) -> Self {
        let spent_ms = self
            .round_began_at
            .map_or(0, |began_at| now.millis_since(began_at));
        if self.round_attempts >= policy.attempts_max || spent_ms >= policy.duration_max_ms {
            return self.resting(match self.state {
                // An operator released it and has to look again.
                PayoutState::ErrorHard => PayoutState::ErrorHard,
                PayoutState::Queued
                | PayoutState::Sending
                | PayoutState::Cancelled
                | PayoutState::Funded
                | PayoutState::ErrorSoft => PayoutState::ErrorSoft,
            });
        }
        Self {
            next_attempt_at: Some(now.plus_millis(delay_ms)),
            ..self
        }
    }
}

/// The step that reports a state; `queued` is the request itself.
const fn step(state: PayoutState) -> Option<PayoutStep> {
    match state {
        PayoutState::Queued => None,
        PayoutState::Sending => Some(PayoutStep::Sending),
        PayoutState::Cancelled => Some(PayoutStep::Cancelled),
        PayoutState::Funded => Some(PayoutStep::Funded),
        PayoutState::ErrorSoft => Some(PayoutStep::ErrorSoft),
        PayoutState::ErrorHard => Some(PayoutStep::ErrorHard),
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
