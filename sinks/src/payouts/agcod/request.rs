//! What is sent: the body that a payout has for ever.

use std::{fmt, str::FromStr};

use schemas::{Amount, Currency, PayoutId};
use serde::{Deserialize, Serialize};

use crate::payouts::config::AgcodConfig;

/// The longest partner id that leaves room for a payout id in hexadecimal within the 40
/// characters of a `creationRequestId`.
const PARTNER_ID_LENGTH_MAX: usize = 8;
const MICROS_PER_UNIT: i64 = 1_000_000;

/// Our account with Amazon: case-sensitive letters and digits, at most eight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerId(String);

/// Why a payout can't be put into a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Amazon refuses it (`InvalidAmountInput`).
    #[error("a gift card needs a positive amount, not {0}")]
    NotPositive(Amount),
    /// Amazon refuses it (`FractionalAmountNotAllowed`).
    #[error("a gift card needs a whole amount, not {0}")]
    Fractional(Amount),
    /// The account pays one currency.
    #[error("this account pays {pays}, not {asked}")]
    OtherCurrency {
        /// The account's currency.
        pays: Currency,
        /// The payout's.
        asked: Currency,
    },
    /// It has no JSON form, which strings and an integer always have.
    #[error("the request can't be written")]
    Unwritable,
    /// Not usable as a partner id.
    #[error("a partner id has 1 to {PARTNER_ID_LENGTH_MAX} letters and digits")]
    PartnerId,
}

impl PartnerId {
    /// As Amazon gave it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PartnerId {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let length_fits = (1..=PARTNER_ID_LENGTH_MAX).contains(&text.len());
        if length_fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RequestError::PartnerId)
        }
    }
}

impl fmt::Display for PartnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The one `creationRequestId` that a payout has for ever: the partner id, then the payout id in
/// hexadecimal. At most 40 letters and digits, as Amazon asks; who finds one in Amazon's reports
/// has the payout.
pub fn creation_request_id(partner_id: &PartnerId, payout_id: PayoutId) -> String {
    format!("{partner_id}{}", payout_id.uuid().simple())
}

/// The `CreateGiftCard` body, byte for byte as it is sent at every attempt. Built once, by the
/// payout run, and kept with the payout: a configuration that changes later must not change what
/// a repetition asks for.
pub fn frozen_request(
    config: &AgcodConfig,
    creation_request_id: &str,
    amount: Amount,
    currency: Currency,
) -> Result<Vec<u8>, RequestError> {
    if currency != config.currency {
        return Err(RequestError::OtherCurrency {
            pays: config.currency,
            asked: currency,
        });
    }
    if amount <= Amount::ZERO {
        return Err(RequestError::NotPositive(amount));
    }
    if amount.micros() % MICROS_PER_UNIT != 0 {
        return Err(RequestError::Fractional(amount));
    }
    let body = CreateGiftCard {
        creation_request_id,
        partner_id: config.partner_id.as_str(),
        value: Value {
            currency_code: currency.to_string(),
            amount: amount.micros() / MICROS_PER_UNIT,
        },
        program_id: config.program_id.as_deref(),
    };
    serde_json::to_vec(&body).map_err(|_| RequestError::Unwritable)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateGiftCard<'a> {
    creation_request_id: &'a str,
    partner_id: &'a str,
    value: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    program_id: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Value {
    currency_code: String,
    amount: i64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::payouts::config::tests::config_for_tests;

    #[test]
    fn body_is_as_documented() {
        let body = frozen_request(
            &config_for_tests(),
            "Awssb0001",
            Amount::from_micros(500_000_000),
            Currency::INR,
        );
        assert_eq!(
            String::from_utf8(body.expect("a good request")).expect("UTF-8"),
            concat!(
                r#"{"creationRequestId":"Awssb0001","partnerId":"Awssb","#,
                r#""value":{"currencyCode":"INR","amount":500}}"#
            )
        );
    }

    #[test]
    fn refuses_what_amazon_would() {
        let ask = |micros, currency| {
            frozen_request(
                &config_for_tests(),
                "Awssb0001",
                Amount::from_micros(micros),
                currency,
            )
        };
        assert!(matches!(
            ask(0, Currency::INR),
            Err(RequestError::NotPositive(_))
        ));
        assert!(matches!(
            ask(-1_000_000, Currency::INR),
            Err(RequestError::NotPositive(_))
        ));
        assert!(matches!(
            ask(1_500_000, Currency::INR),
            Err(RequestError::Fractional(_))
        ));
        assert!(matches!(
            ask(1_000_000, Currency::USD),
            Err(RequestError::OtherCurrency { .. })
        ));
    }

    #[test]
    fn partner_ids_are_short_and_plain() {
        for good in ["A", "Awssb", "12345678"] {
            assert_eq!(
                good.parse::<PartnerId>().map(|id| id.to_string()),
                Ok(good.into())
            );
        }
        for bad in ["", "123456789", "Aw sb", "Aw-sb", "Äbc"] {
            assert_eq!(
                bad.parse::<PartnerId>(),
                Err(RequestError::PartnerId),
                "{bad}"
            );
        }
    }

    proptest! {
        #[test]
        fn request_ids_fit_and_differ(first: u128, second: u128, partner in "[A-Za-z0-9]{1,8}") {
            let partner: PartnerId = partner.parse().expect("within the rules");
            let id = |number| creation_request_id(&partner, PayoutId::new(Uuid::from_u128(number)));
            prop_assert!(id(first).len() <= 40);
            prop_assert!(id(first).starts_with(partner.as_str()));
            prop_assert!(id(first).bytes().all(|byte| byte.is_ascii_alphanumeric()));
            prop_assert_eq!(id(first) == id(second), first == second);
        }
    }
}
