//! Messages to shoppers: a port, and two adapters.

mod delivery_report;
mod file;
mod http_gateway;
mod text;

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use secrecy::SecretString;
use uuid::Uuid;

pub use delivery_report::{DeliveryReport, DeliveryState, ReportFields, UnreadableReport};
pub use file::FileSmsGateway;
pub use http_gateway::{HttpSmsGateway, HttpSmsGatewayConfig, MessageFields};
pub use text::{MessageText, MessageTextError, MessageTexts, TenantTexts};

/// A message to one phone. Its number and its text are secrets.
#[derive(Debug, Clone)]
pub struct Message {
    /// A repetition has the same one, and the same text, so that the gateway may recognise it;
    /// what is sent anew on command has another.
    pub reference: Reference,
    /// The phone number.
    pub to: SecretString,
    /// The text, perhaps with a claim code.
    pub text: SecretString,
}

/// What a gateway knows a message by: `<message id>-<how often it was sent anew>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// The message; a gift card's is called like its payout.
    pub message_id: Uuid,
    /// How often it was sent anew on command.
    pub resends: i32,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.message_id.simple(), self.resends)
    }
}

/// It isn't one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message's reference")]
pub struct UnknownReference;

impl FromStr for Reference {
    type Err = UnknownReference;

    fn from_str(text: &str) -> Result<Self, UnknownReference> {
        let (message_id, resends) = text.rsplit_once('-').ok_or(UnknownReference)?;
        Ok(Self {
            message_id: message_id.parse().map_err(|_| UnknownReference)?,
            resends: resends.parse().map_err(|_| UnknownReference)?,
        })
    }
}

/// A message that the gateway is answerable for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Its own id of it, where it gives one.
    pub gateway_id: Option<String>,
}

/// Why a message did not go out. Neither says anything of number or text.
#[derive(Debug, thiserror::Error)]
pub enum SmsError {
    /// The gateway won't take this message, now or later: an operator has to look.
    #[error("the gateway refuses the message ({0})")]
    Refused(String),
    /// It may take it later, or may have taken it: a repetition brings the same.
    #[error("the gateway can't be reached ({0})")]
    Unavailable(String),
}

/// Whatever delivers text messages.
#[async_trait]
pub trait SmsGateway: Send + Sync {
    /// Hands a message over; returns once the gateway is answerable for it.
    async fn send(&self, message: &Message) -> Result<Accepted, SmsError>;

    /// Whether it tells when a message is there. Where it doesn't, taken is as good.
    fn reports_delivery(&self) -> bool;
}

/// Where a message stands, as `messages.state` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// To be sent, now or at its time.
    Due,
    /// The shopper has no phone number; sent when one is added.
    NoPhone,
    /// The gateway has it.
    Sent,
    /// The gateway says that it is there.
    Delivered,
    /// The gateway refuses it or could not deliver it: an operator has to look.
    Failed,
    /// Its card is void: an operator has to look.
    CardGone,
    /// There is nobody, or nothing, to tell any more.
    Dropped,
}

impl MessageState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Due,
        Self::NoPhone,
        Self::Sent,
        Self::Delivered,
        Self::Failed,
        Self::CardGone,
        Self::Dropped,
    ];

    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::NoPhone => "no_phone",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::CardGone => "card_gone",
            Self::Dropped => "dropped",
        }
    }

    /// Whether there still is something to be done, by us or by a person.
    pub const fn open(self) -> bool {
        match self {
            Self::Due | Self::NoPhone | Self::Failed | Self::CardGone => true,
            Self::Sent | Self::Delivered | Self::Dropped => false,
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
    fn references_read_as_they_are_written() {
        for resends in [0, 7] {
            let reference = Reference {
                message_id: Uuid::from_u128(0x1234),
                resends,
            };
            assert_eq!(reference.to_string().parse(), Ok(reference));
            // A gateway that only takes letters, digits and hyphens takes it.
            assert!(reference.to_string().len() <= 40);
        }
        for foreign in ["", "12", "x-1", "00000000000000000000000000001234-x"] {
            assert_eq!(foreign.parse::<Reference>(), Err(UnknownReference));
        }
    }
}
