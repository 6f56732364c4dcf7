use serde::{Deserialize, Serialize};

use crate::{ClickId, EventId, PayoutId, Position, Timestamp};

use super::Split;

/// An operator's decision (topic `commands`). Kept on arrival whether or not its subject is
/// known yet; of several on one subject the highest (`issued_at`, `command_id`) holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Names and orders it.
    pub command_id: EventId,
    /// When it was given.
    pub issued_at: Timestamp,
    /// Who gave it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// What to do.
    pub body: CommandBody,
}

/// What an operator decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandBody {
    /// Approve or reject a claim.
    ReviewClaim(ReviewClaim),
    /// Match a parked report to a click.
    MatchByHand(MatchByHand),
    /// Book a claim to a target.
    Correct(Correct),
    /// Try a payout again.
    ReleasePayout(ReleasePayout),
    /// Give a payout up.
    CancelPayout(CancelPayout),
    /// Pause or resume the payout channel.
    ChannelSwitch(ChannelSwitch),
    /// Send a payout's message once more.
    ResendMessage(ResendMessage),
}

/// Approves or rejects the claim that holds a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewClaim {
    /// Any report of the claim.
    pub event_id: EventId,
    /// The verdict; it outranks every machine's.
    pub verdict: Verdict,
}

/// An operator's verdict on a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The machine's flags don't count.
    Approve,
    /// Nothing is owed.
    Reject,
}

/// Matches a parked report to a click.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchByHand {
    /// The parked `conversions` record.
    pub report: Position,
    /// The click that it belongs to.
    pub click_id: ClickId,
}

/// Books a claim to an absolute target, never to an amount more or less: repeating it posts
/// nothing (design section 5, correction).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correct {
    /// Any report of the claim.
    pub event_id: EventId,
    /// What is to stand in the books; absent lifts an earlier correction.
    pub target: Option<Target>,
}

/// What is to stand in the books for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The split, in the claim's currency.
    pub split: Split,
}

/// Tries a payout in `error_soft` or `error_hard` again, with the identical request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasePayout {
    /// The payout.
    pub payout_id: PayoutId,
}

/// Gives up a payout that was never sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelPayout {
    /// The payout.
    pub payout_id: PayoutId,
}

/// Pauses or resumes the payout channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelSwitch {
    /// The channel, such as `agcod`.
    pub channel: String,
    /// Whether it is to stand still.
    pub paused: bool,
}

/// Sends the message of a funded payout once more, with the same code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResendMessage {
    /// The payout.
    pub payout_id: PayoutId,
}

impl CommandBody {
    /// The record's key: the subject.
    pub fn key(&self) -> String {
        match self {
            Self::ReviewClaim(review) => review.event_id.to_string(),
            Self::Correct(correct) => correct.event_id.to_string(),
            Self::MatchByHand(by_hand) => by_hand.click_id.to_string(),
            Self::ReleasePayout(release) => release.payout_id.to_string(),
            Self::CancelPayout(cancel) => cancel.payout_id.to_string(),
            Self::ChannelSwitch(switch) => switch.channel.clone(),
            Self::ResendMessage(resend) => resend.payout_id.to_string(),
        }
    }
}
