//! `[messages]`: how shoppers are told.
//!
//! Texts are configuration and not reference data: nothing is decided by them, so no version of
//! theirs has to be pinned or replayed, and one that can't be used is refused at start.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf, sync::Arc};

use anyhow::Context;
use schemas::TenantId;
use secrecy::SecretString;
use serde::Deserialize;
use sinks::payouts::{
    MessagesConfig, NoticeLimits,
    agcod::Endpoint,
    sms::{
        FileSmsGateway, HttpSmsGateway, HttpSmsGatewayConfig, MessageFields, MessageText,
        MessageTextError, MessageTexts, ReportFields, SmsGateway, TenantTexts,
    },
};

use super::{ConfigurationError, refused};

const TIMEOUT_MS: u64 = 10_000;
const MILLIS_PER_MINUTE: i64 = 60_000;
const MILLIS_PER_HOUR: i64 = 60 * MILLIS_PER_MINUTE;

/// How shoppers are told: by an HTTP gateway, or for development into a file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Messages {
    /// The gateway's whole address.
    pub url: Option<String>,
    /// Its bearer token.
    pub token: Option<SecretString>,
    /// The sender that shoppers see, where the gateway wants one.
    pub sender: Option<String>,
    /// What the gateway calls the parts of a message.
    pub fields: Fields,
    /// What the gateway proves itself by when it posts delivery reports; without one it posts none.
    pub report_secret: Option<SecretString>,
    /// How it writes them.
    pub reports: Reports,
    /// Instead of a gateway: the file that messages are appended to, codes included.
    pub file: Option<PathBuf>,
    /// Messages to one number within a day, at most.
    pub daily_max: Option<NonZeroU32>,
    /// Minutes that a confirmation waits for others of the same shopper.
    pub bundle_minutes: Option<u32>,
    /// Hours after which a confirmation isn't news.
    pub age_max_hours: Option<NonZeroU32>,
    /// What brings a card's code, instead of the platform's own words.
    pub gift_card_text: Option<String>,
    /// What tells of confirmed rewards, instead of the platform's own words.
    pub confirmation_text: Option<String>,
    /// Tenants' own words.
    pub tenants: BTreeMap<TenantId, Texts>,
}

/// What a tenant's shoppers read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Texts {
    /// With `{amount}` and `{claim_code}`.
    pub gift_card_text: Option<String>,
    /// With `{amount}`.
    pub confirmation_text: Option<String>,
}

/// Names of a gateway's fields, where they aren't the default ones.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    /// The phone number.
    pub to: Option<String>,
    /// The text.
    pub text: Option<String>,
    /// What we know the message by.
    pub reference: Option<String>,
    /// The sender.
    pub sender: Option<String>,
    /// In the answer: the gateway's own id.
    pub id: Option<String>,
}

/// Delivery reports, where their names and words aren't the default ones.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reports {
    /// Where it repeats our reference.
    pub reference_field: Option<String>,
    /// Where it writes its own id.
    pub id_field: Option<String>,
    /// Where it says what became of the message.
    pub status_field: Option<String>,
    /// What it says of a message that is there.
    pub delivered: Option<Vec<String>>,
    /// What it says of one that won't be.
    pub failed: Option<Vec<String>>,
    /// Hours that a code is kept for the report.
    pub wait_hours: Option<NonZeroU32>,
}

impl Messages {
    /// What the dispatcher is told.
    ///
    /// # Errors
    /// When a value can't be used; the error names its key.
    pub fn config(&self) -> Result<MessagesConfig, ConfigurationError> {
        let default = MessagesConfig::default();
        let bundle_ms = self
            .bundle_minutes
            .map(|minutes| i64::from(minutes) * MILLIS_PER_MINUTE);
        let hours_ms = |hours: NonZeroU32| i64::from(hours.get()) * MILLIS_PER_HOUR;
        let notices = default.notices;
        Ok(MessagesConfig {
            texts: self.message_texts(default.texts)?,
            daily_max: self.daily_max.map_or(default.daily_max, NonZeroU32::get),
            report_wait_ms: self
                .reports
                .wait_hours
                .map_or(default.report_wait_ms, hours_ms),
            notices: NoticeLimits {
                bundle_ms: bundle_ms.unwrap_or(notices.bundle_ms),
                age_max_ms: self.age_max_hours.map_or(notices.age_max_ms, hours_ms),
            },
        })
    }

    fn message_texts(&self, default: MessageTexts) -> Result<MessageTexts, ConfigurationError> {
        let platform = Texts {
            gift_card_text: self.gift_card_text.clone(),
            confirmation_text: self.confirmation_text.clone(),
        };
        let platform = platform.read()?;
        let tenants = self
            .tenants
            .iter()
            .map(|(tenant_id, texts)| Ok((*tenant_id, texts.read()?)));
        Ok(MessageTexts {
            gift_card: platform.gift_card.unwrap_or(default.gift_card),
            confirmation: platform.confirmation.unwrap_or(default.confirmation),
            tenants: tenants.collect::<Result<_, ConfigurationError>>()?,
        })
    }

    /// How the gateway writes delivery reports, and what it proves itself by, where it posts any.
    pub fn delivery_reports(&self) -> Option<(ReportFields, SecretString)> {
        let secret = self.report_secret.clone()?;
        Some((self.reports.fields(), secret))
    }

    /// Whatever delivers messages.
    ///
    /// # Errors
    /// When there is none, or it can't be set up.
    pub fn gateway(&self) -> anyhow::Result<Arc<dyn SmsGateway>> {
        match (&self.url, &self.file) {
            (Some(url), None) => Ok(Arc::new(self.http_gateway(url)?)),
            (None, Some(file)) => {
                let refused = || format!("the message file {} can't be opened", file.display());
                Ok(Arc::new(FileSmsGateway::open(file).with_context(refused)?))
            }
            (None, None) | (Some(_), Some(_)) => Err(ConfigurationError::Value {
                key: "messages",
                reason: "either messages.url or messages.file says where messages go".to_owned(),
            }
            .into()),
        }
    }

    fn http_gateway(&self, url: &str) -> anyhow::Result<HttpSmsGateway> {
        let token = self.token.clone().ok_or(ConfigurationError::Value {
            key: "messages.token",
            reason: "a gateway is asked with a token".to_owned(),
        })?;
        let default = MessageFields::default();
        let Fields {
            to,
            text,
            reference,
            sender,
            id,
        } = self.fields.clone();
        Ok(HttpSmsGateway::new(HttpSmsGatewayConfig {
            endpoint: Endpoint::parse(url, "").map_err(refused("messages.url"))?,
            token,
            sender: self.sender.clone(),
            fields: MessageFields {
                to: to.unwrap_or(default.to),
                text: text.unwrap_or(default.text),
                reference: reference.unwrap_or(default.reference),
                sender: sender.unwrap_or(default.sender),
                id: id.unwrap_or(default.id),
            },
            reports_delivery: self.report_secret.is_some(),
            timeout_ms: TIMEOUT_MS,
        })?)
    }
}

impl Texts {
    fn read(&self) -> Result<TenantTexts, ConfigurationError> {
        type Parse = fn(&str) -> Result<MessageText, MessageTextError>;
        let read = |text: &Option<String>, parse: Parse, key| {
            let text = text.as_deref().map(parse).transpose();
            text.map_err(refused(key))
        };
        Ok(TenantTexts {
            gift_card: read(
                &self.gift_card_text,
                MessageText::of_gift_card,
                "messages.gift_card_text",
            )?,
            confirmation: read(
                &self.confirmation_text,
                MessageText::of_confirmation,
                "messages.confirmation_text",
            )?,
        })
    }
}

impl Reports {
    fn fields(&self) -> ReportFields {
        let default = ReportFields::default();
        let given = self.clone();
        ReportFields {
            reference: given.reference_field.unwrap_or(default.reference),
            id: given.id_field.unwrap_or(default.id),
            status: given.status_field.unwrap_or(default.status),
            delivered: given.delivered.unwrap_or(default.delivered),
            failed: given.failed.unwrap_or(default.failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Messages {
        toml::from_str(text).expect("valid")
    }

    #[test]
    fn tenants_have_their_own_words() {
        let messages = read(
            "confirmation_text = \"Confirmed: {amount}\"\n\
             [tenants.00000000-0000-0000-0000-000000000007]\n\
             gift_card_text = \"{amount} {claim_code}\"\n",
        );
        let texts = messages.config().expect("usable").texts;
        let own = MessageText::of_gift_card("{amount} {claim_code}").expect("both parts");
        let theirs = TenantId::new(uuid::Uuid::from_u128(7));
        assert_eq!(texts.gift_card(theirs), &own);
        assert_eq!(texts.confirmation(theirs), &texts.confirmation);
        assert_ne!(texts.confirmation, MessageTexts::default().confirmation);
        assert_eq!(texts.gift_card, MessageTexts::default().gift_card);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_key() {
        let text = read("gift_card_text = \"no code\"").config();
        assert!(
            text.expect_err("refused")
                .to_string()
                .contains("messages.gift_card_text")
        );
        for (messages, named) in [
            ("", "messages.url or messages.file"),
            ("url = \"https://x\"\nfile = \"/x\"", "messages.url or"),
            ("url = \"https://x\"", "messages.token"),
            ("url = \"http://x\"\ntoken = \"t\"", "messages.url"),
        ] {
            let error = read(messages).gateway().err().expect("refused");
            assert!(error.to_string().contains(named), "{messages}: {error}");
        }
    }
}
