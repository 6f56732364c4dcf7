//! What shoppers read: texts of the platform, and of tenants who have their own.

use std::collections::BTreeMap;

use schemas::{Amount, Currency, TenantId};
use secrecy::{ExposeSecret, SecretString};

const AMOUNT: &str = "{amount}";
const CLAIM_CODE: &str = "{claim_code}";

/// A text with `{amount}` in it and, where it brings a card, `{claim_code}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageText(String);

/// Why a text can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageTextError {
    /// It lacks a part.
    #[error("the message needs {0}")]
    Lacks(&'static str),
    /// It has a part that nothing is known of, which shoppers would read as it stands.
    #[error("the message has braces round something else than its parts")]
    UnknownPart,
}

impl MessageText {
    /// A text that brings a card's code: it has to have both parts.
    ///
    /// # Errors
    /// When it lacks one, or has another.
    pub fn of_gift_card(text: &str) -> Result<Self, MessageTextError> {
        Self::parse(text, &[AMOUNT, CLAIM_CODE])
    }

    /// A text that tells of a confirmation: it has to say how much.
    ///
    /// # Errors
    /// When it doesn't, or has another part.
    pub fn of_confirmation(text: &str) -> Result<Self, MessageTextError> {
        Self::parse(text, &[AMOUNT])
    }

    fn parse(text: &str, parts: &[&'static str]) -> Result<Self, MessageTextError> {
        let mut rest = text.to_owned();
        for part in parts {
            if !text.contains(part) {
                return Err(MessageTextError::Lacks(part));
            }
            rest = rest.replace(part, "");
        }
        if rest.contains(['{', '}']) {
            return Err(MessageTextError::UnknownPart);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text for one card.
    pub fn with_code(
        &self,
        amount: Amount,
        currency: Currency,
        claim_code: &SecretString,
    ) -> SecretString {
        // The code last: a part that it happened to spell would be left alone.
        let text = self.0.replace(AMOUNT, &spoken(amount, currency));
        SecretString::from(text.replace(CLAIM_CODE, claim_code.expose_secret()))
    }

    /// The text for an amount.
    pub fn with_amount(&self, amount: Amount, currency: Currency) -> SecretString {
        SecretString::from(self.0.replace(AMOUNT, &spoken(amount, currency)))
    }
}

/// The platform's texts, and those of tenants before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageTexts {
    /// Brings a card's code.
    pub gift_card: MessageText,
    /// Tells of rewards that were confirmed.
    pub confirmation: MessageText,
    /// Tenants' own.
    pub tenants: BTreeMap<TenantId, TenantTexts>,
}

/// A tenant's own texts; the platform's where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantTexts {
    /// Brings a card's code.
    pub gift_card: Option<MessageText>,
    /// Tells of rewards that were confirmed.
    pub confirmation: Option<MessageText>,
}

impl MessageTexts {
    /// The text that brings a card of this tenant's.
    pub fn gift_card(&self, tenant_id: TenantId) -> &MessageText {
        let own = self.tenants.get(&tenant_id);
        own.and_then(|own| own.gift_card.as_ref())
            .unwrap_or(&self.gift_card)
    }

    /// The text that tells of confirmed rewards of this tenant's.
    pub fn confirmation(&self, tenant_id: TenantId) -> &MessageText {
        let own = self.tenants.get(&tenant_id);
        own.and_then(|own| own.confirmation.as_ref())
            .unwrap_or(&self.confirmation)
    }
}

impl Default for MessageTexts {
    fn default() -> Self {
        Self {
            gift_card: MessageText(
                "Good news: your Hissaback reward of {amount} is here. Your Amazon gift card code \
                 is {claim_code}. Add it to your Amazon account to spend it."
                    .to_owned(),
            ),
            confirmation: MessageText(
                "Good news: we've verified your purchase, and your Hissaback reward of {amount} is \
                 confirmed. You'll be notified automatically when it is paid."
                    .to_owned(),
            ),
            tenants: BTreeMap::new(),
        }
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn texts_say_how_much_and_which_code() {
        let texts = MessageTexts::default();
        let nobody = TenantId::new(Uuid::nil());
        let amount = Amount::from_micros(500_000_000);
        let filled = texts.gift_card(nobody).with_code(
            amount,
            Currency::INR,
            &"ABCD-EFGHIJ-{amount}".into(),
        );
        let text = filled.expose_secret();
        assert!(
            text.contains("₹500 ") && text.contains("ABCD-EFGHIJ-{amount}"),
            "{text}"
        );
        assert!(!format!("{filled:?}").contains("ABCD"));
        let told = texts
            .confirmation(nobody)
            .with_amount(amount, Currency::INR);
        assert!(told.expose_secret().contains("₹500 "));
        assert!(
            told.expose_secret()
                .contains("You'll be notified automatically"),
            "the specification's words (section 5)"
        );
    }

    #[test]
    fn amounts_are_as_people_say_them() {
        let said = |micros, currency| spoken(Amount::from_micros(micros), currency);
        assert_eq!(said(12_500_000, Currency::USD), "USD 12.50");
        assert_eq!(said(10_000_000_000, Currency::INR), "₹10000");
    }

    #[test]
    fn a_tenants_own_text_goes_before_the_platforms() {
        let theirs = TenantId::new(Uuid::from_u128(7));
        let own = MessageText::of_gift_card("{amount}: {claim_code}").expect("both parts");
        let mut texts = MessageTexts::default();
        let tenant = TenantTexts {
            gift_card: Some(own.clone()),
            confirmation: None,
        };
        texts.tenants.insert(theirs, tenant);
        assert_eq!(texts.gift_card(theirs), &own);
        assert_eq!(texts.confirmation(theirs), &texts.confirmation);
        assert_ne!(texts.gift_card(TenantId::new(Uuid::nil())), &own);
    }

    #[test]
    fn a_text_that_would_tell_too_little_or_nonsense_is_refused() {
        let lacks = |part| Err(MessageTextError::Lacks(part));
        assert_eq!(
            MessageText::of_gift_card("You got {amount}"),
            lacks("{claim_code}")
        );
        assert_eq!(
            MessageText::of_confirmation("It's there"),
            lacks("{amount}")
        );
        assert_eq!(
            MessageText::of_confirmation("{amount} for {name}"),
            Err(MessageTextError::UnknownPart)
        );
        // A code has no business in a confirmation.
        assert!(MessageText::of_confirmation("{amount} {claim_code}").is_err());
    }
}
