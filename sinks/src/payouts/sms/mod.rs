//! The message that brings the claim code: a port, its text, and two adapters.

mod file;
mod http_gateway;

use std::fmt;

use async_trait::async_trait;
use schemas::{Amount, Currency, PayoutId};
use secrecy::{ExposeSecret, SecretString};

pub use file::FileSmsGateway;
pub use http_gateway::{HttpSmsGateway, HttpSmsGatewayConfig};

/// A message to one phone. Its number and its text are secrets.
#[derive(Debug, Clone)]
pub struct Message {
    /// The payout it is about: the gateway may use it to recognise a repetition, which has the
    /// same text.
    pub payout_id: PayoutId,
    /// The phone number.
    pub to: SecretString,
    /// The text, with the claim code.
    pub text: SecretString,
}

/// Why a message did not go out.
#[derive(Debug, thiserror::Error)]
pub enum SmsError {
    /// The gateway won't take this message, now or later: an operator has to look.
    #[error("the gateway refuses the message ({0})")]
    Refused(String),
    /// It may take it later, or may have taken it: a repetition brings the same code.
    #[error("the gateway can't be reached ({0})")]
    Unavailable(String),
}

/// Whatever delivers text messages.
#[async_trait]
pub trait SmsGateway: Send + Sync {
    /// Hands a message over; returns once the gateway is answerable for it.
    async fn send(&self, message: &Message) -> Result<(), SmsError>;
}

/// What the shopper reads, with `{amount}` and `{claim_code}` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageText(String);

/// The text lacks a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message needs {{amount}} and {{claim_code}}")]
pub struct MessageTextError;

impl MessageText {
    /// Takes a text that has both parts.
    pub fn parse(text: &str) -> Result<Self, MessageTextError> {
        if text.contains("{amount}") && text.contains("{claim_code}") {
            Ok(Self(text.to_owned()))
        } else {
            Err(MessageTextError)
        }
    }

    /// The text for one card.
    pub fn fill(
        &self,
        amount: Amount,
        currency: Currency,
        claim_code: &SecretString,
    ) -> SecretString {
        let text = self
            .0
            .replace("{amount}", &spoken(amount, currency))
            .replace("{claim_code}", claim_code.expose_secret());
        SecretString::from(text)
    }
}

impl Default for MessageText {
    fn default() -> Self {
        Self(
            "Good news: your Hissaback reward of {amount} is here. Your Amazon gift card code is \
             {claim_code}. Add it to your Amazon account to spend it."
                .to_owned(),
        )
    }
}

/// `₹500`, `USD 12.50`: what a person says, without decimals that are zero.
fn spoken(amount: Amount, currency: Currency) -> String {
    let number = amount.to_string();
    let number = number.strip_suffix(".00").unwrap_or(&number);
    if currency == Currency::INR {
        format!("₹{number}")
    } else {
        format!("{currency} {number}")
    }
}

/// What became of the message about a card, as `payout_dispatch.sms_state` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// There is no card yet.
    None,
    /// To be sent, now or at its time.
    Due,
    /// The shopper has no phone number; looked at again each day, and at once on request.
    NoPhone,
    /// The gateway has it.
    Sent,
    /// The gateway refuses it, or the card isn't there any more: an operator has to look.
    Failed,
}

impl MessageState {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::Due,
        Self::NoPhone,
        Self::Sent,
        Self::Failed,
    ];

    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Due => "due",
            Self::NoPhone => "no_phone",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for MessageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_says_how_much_and_which_code() {
        let filled = MessageText::default().fill(
            Amount::from_micros(500_000_000),
            Currency::INR,
            &"ABCD-EFGHIJ-KLMN".into(),
        );
        let text = filled.expose_secret();
        assert!(
            text.contains("₹500 ") && text.contains("ABCD-EFGHIJ-KLMN"),
            "{text}"
        );
        assert!(!format!("{filled:?}").contains("ABCD"));
    }

    #[test]
    fn amounts_are_as_people_say_them() {
        let said = |micros, currency| spoken(Amount::from_micros(micros), currency);
        assert_eq!(said(12_500_000, Currency::USD), "USD 12.50");
        assert_eq!(said(10_000_000_000, Currency::INR), "₹10000");
    }

    #[test]
    fn a_text_without_the_code_is_refused() {
        assert!(MessageText::parse("You got {amount}").is_err());
        assert!(MessageText::parse("{amount}: {claim_code}").is_ok());
    }
}
