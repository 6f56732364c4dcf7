//! What an answer means. Pure, and by the body alone: which HTTP status comes with which error is
//! not documented.
//!
//! The question behind every branch is the same: may a card exist? *Determinate* outcomes know
//! that none was made by this attempt; an *indeterminate* one marks the payout for ever, because
//! its money may have left.

use schemas::{Amount, Currency, Timestamp};
use secrecy::SecretString;
use serde::Deserialize;

pub use super::failure::Detail;
use super::failure::{self, ErrorBody, Failure};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The payout's one request id.
    pub creation_request_id: String,
    /// The card's value.
    pub amount: Amount,
    /// Its currency.
    pub currency: Currency,
}

/// What came back.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// A body, whatever the HTTP status.
    Body(&'a [u8]),
    /// No whole body.
    Failed(TransportFailure),
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportFailure {
    /// There was no connection, so nothing was sent.
    NotConnected,
    /// No answer in time.
    TimedOut,
    /// The connection broke after it had been made.
    ConnectionLost,
    /// The answer was too large to be one.
    Oversized,
}

/// What became of one attempt.
#[derive(Debug)]
pub enum Outcome {
    /// The card exists, is ours, and has the right value.
    Funded(FundedCard),
    /// The request is refused for what it is; repeating it changes nothing. No card by this
    /// attempt.
    Refused(Detail),
    /// A card exists or existed under this request id, but not the one asked for: refunded,
    /// expired, or another value. Nobody but a person can tell where the money is.
    Mismatched(Detail),
    /// Too many calls; nothing was done.
    Throttled(Detail),
    /// The account or its credentials are at fault, so every payout is; nothing was done.
    ChannelFault(Detail),
    /// Nothing was sent.
    Unreachable(Detail),
    /// There may or may not be a card.
    Unknown(Detail),
}

/// An [`Outcome`] without its contents: what the life cycle decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeKind {
    /// See [`Outcome::Funded`].
    Funded,
    /// See [`Outcome::Refused`].
    Refused,
    /// See [`Outcome::Mismatched`].
    Mismatched,
    /// See [`Outcome::Throttled`].
    Throttled,
    /// See [`Outcome::ChannelFault`].
    ChannelFault,
    /// See [`Outcome::Unreachable`].
    Unreachable,
    /// See [`Outcome::Unknown`].
    Unknown,
}

/// A card that exists.
#[derive(Debug)]
pub struct FundedCard {
    /// Amazon's id of the card (`gcId`); not a secret.
    pub card_id: String,
    /// What the shopper types in: money for whoever reads it.
    pub claim_code: SecretString,
    /// When it expires; `None` where Amazon says nothing, or something that doesn't parse, which
    /// says nothing about the card.
    pub expires_at: Option<Timestamp>,
}

impl OutcomeKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Funded,
        Self::Refused,
        Self::Mismatched,
        Self::Throttled,
        Self::ChannelFault,
        Self::Unreachable,
        Self::Unknown,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Funded => "funded",
            Self::Refused => "refused",
            Self::Mismatched => "mismatched",
            Self::Throttled => "throttled",
            Self::ChannelFault => "channel_fault",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a card may exist that we don't count as funded: once so, the money of the payout
    /// must never be given out again without a person's word.
    pub const fn ambiguous(self) -> bool {
        match self {
            Self::Unknown | Self::Mismatched => true,
            Self::Funded
            | Self::Refused
            | Self::Throttled
            | Self::ChannelFault
            | Self::Unreachable => false,
        }
    }
}

impl Outcome {
    /// Without its contents.
    pub const fn kind(&self) -> OutcomeKind {
        match self {
            Self::Funded(_) => OutcomeKind::Funded,
            Self::Refused(_) => OutcomeKind::Refused,
            Self::Mismatched(_) => OutcomeKind::Mismatched,
            Self::Throttled(_) => OutcomeKind::Throttled,
            Self::ChannelFault(_) => OutcomeKind::ChannelFault,
            Self::Unreachable(_) => OutcomeKind::Unreachable,
            Self::Unknown(_) => OutcomeKind::Unknown,
        }
    }

    /// What to tell the operator; nothing about a funded card.
    pub fn detail(&self) -> Option<&Detail> {
        match self {
            Self::Funded(_) => None,
            Self::Refused(detail)
            | Self::Mismatched(detail)
            | Self::Throttled(detail)
            | Self::ChannelFault(detail)
            | Self::Unreachable(detail)
            | Self::Unknown(detail) => Some(detail),
        }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(detail) => Self::Refused(detail),
            Failure::Throttled(detail) => Self::Throttled(detail),
            Failure::ChannelFault(detail) => Self::ChannelFault(detail),
            Failure::Unreachable(detail) => Self::Unreachable(detail),
            Failure::Unknown(detail) => Self::Unknown(detail),
        }
    }
}

/// What `answer` to a request for `expected` means.
pub fn classify(answer: Answer<'_>, expected: &Expected) -> Outcome {
    let body = match answer {
        Answer::Failed(failed) => return failure::judge_transport(failed).into(),
        Answer::Body(body) => body,
    };
    // The parser's own error may quote the body, so it is dropped.
    let Ok(said) = serde_json::from_slice::<ErrorBody>(body) else {
        return unknown("unreadable answer");
    };
    match said.status.as_deref() {
        Some("SUCCESS") if said.error_code.is_none() => {
            match serde_json::from_slice::<CreateResult>(body) {
                Ok(result) => judge_card(result, expected),
                Err(_) => unknown("unreadable answer"),
            }
        }
        Some("SUCCESS") => unknown("success and an error at once"),
        Some(_) | None => failure::judge(&said).into(),
    }
}

fn unknown(text: &'static str) -> Outcome {
    Outcome::Unknown(Detail::new(text))
}

/// `SUCCESS` is not yet success: after a cancellation a repeated create still says so.
fn judge_card(result: CreateResult, expected: &Expected) -> Outcome {
    let mismatched = |text| Outcome::Mismatched(Detail::new(text));
    if result
        .creation_request_id
        .is_some_and(|id| id != expected.creation_request_id)
    {
        return unknown("an answer to another request");
    }
    let Some(card) = result.card_info else {
        return unknown("success without a card");
    };
    match card.card_status.as_deref() {
        Some("Fulfilled") => {}
        Some("RefundedToPurchaser") => return mismatched("RefundedToPurchaser"),
        Some("Expired") => return mismatched("Expired"),
        Some(_) | None => return unknown("success with an unknown card status"),
    }
    let Some(value) = card.value else {
        return unknown("success without a value");
    };
    if value.currency_code != expected.currency.to_string() {
        return mismatched("a card in another currency");
    }
    // The number's shortest decimal form, never arithmetic on a float.
    match value.amount.to_string().parse::<Amount>() {
        Ok(amount) if amount == expected.amount => {}
        Ok(_) | Err(_) => return mismatched("a card of another amount"),
    }
    match (result.gc_id, result.gc_claim_code) {
        (Some(card_id), Some(claim_code)) if !card_id.is_empty() => Outcome::Funded(FundedCard {
            card_id,
            claim_code,
            expires_at: result.gc_expiration_date.as_deref().and_then(parse_date),
        }),
        (_, _) => unknown("success without card id or claim code"),
    }
}

/// As Amazon writes dates: `Thu Jun 10 14:59:59 UTC 2032`.
fn parse_date(text: &str) -> Option<Timestamp> {
    chrono::NaiveDateTime::parse_from_str(text, "%a %b %d %H:%M:%S UTC %Y")
        .ok()
        .map(|instant| Timestamp::from(instant.and_utc()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateResult {
    creation_request_id: Option<String>,
    gc_id: Option<String>,
    gc_claim_code: Option<SecretString>,
    gc_expiration_date: Option<String>,
    card_info: Option<CardInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CardInfo {
    card_status: Option<String>,
    value: Option<CardValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CardValue {
    amount: serde_json::Number,
    currency_code: String,
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
