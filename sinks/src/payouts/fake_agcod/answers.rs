//! Answers in Amazon's form.

use serde::Deserialize;
use serde_json::{Value, json};

use super::IssuedCard;

/// A `CreateGiftCard` request, as far as the fake reads it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateRequest {
    pub(super) creation_request_id: String,
    pub(super) partner_id: String,
    pub(super) value: RequestedValue,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestedValue {
    pub(super) amount: serde_json::Number,
    pub(super) currency_code: String,
}

pub(super) fn success(creation_request_id: &str, card: &IssuedCard) -> Value {
    let status = if card.refunded {
        "RefundedToPurchaser"
    } else {
        "Fulfilled"
    };
    // The fake issues whole amounts only, and Amazon writes them with a decimal.
    let amount: Value = serde_json::from_str(&format!("{}.0", card.amount.micros() / 1_000_000))
        .expect("digits with a decimal are a JSON number");
    json!({
        "cardInfo": {
            "cardNumber": null, "cardStatus": status, "expirationDate": null,
            "value": {"amount": amount, "currencyCode": card.currency.to_string()}
        },
        "creationRequestId": creation_request_id,
        "gcClaimCode": card.claim_code,
        "gcExpirationDate": "Thu Jun 10 14:59:59 UTC 2032",
        "gcId": card.card_id,
        "status": "SUCCESS"
    })
}

pub(super) fn error(code: &str, kind: &str) -> Value {
    with_status(
        code,
        kind,
        "FAILURE",
        "The request could not be carried out",
    )
}

pub(super) fn resend() -> Value {
    with_status(
        "F400",
        "SystemTemporarilyUnavailable",
        "RESEND",
        "Please try again",
    )
}

pub(super) fn signature_refused() -> Value {
    with_status(
        "F200",
        "InvalidRequestInput",
        "FAILURE",
        "The request signature we calculated does not match the signature you provided. Check \
         your AWS Secret Access Key and signing method.",
    )
}

pub(super) fn throttled() -> Value {
    json!({
        "__type": "com.amazon.coral.availability#ThrottlingException",
        "message": "Rate exceeded"
    })
}

fn with_status(code: &str, kind: &str, status: &str, message: &str) -> Value {
    json!({
        "agcodResponse": {
            "__type":
                "CreateGiftCardResponse:http://internal.amazon.com/coral/com.amazonaws.agcod/",
            "cardInfo": null, "creationRequestId": null, "gcClaimCode": null,
            "gcExpirationDate": null, "gcId": null, "status": status
        },
        "errorCode": code, "errorType": kind, "message": message
    })
}

/// The sandbox's fixed answers to its bare request ids.
pub(super) fn sandbox(request: &CreateRequest) -> Option<Value> {
    let answer = match request.creation_request_id.as_str() {
        "F0000" => json!({
            "cardInfo": {
                "cardNumber": null, "cardStatus": "Fulfilled", "expirationDate": null,
                "value": {
                    "amount": request.value.amount,
                    "currencyCode": request.value.currency_code
                }
            },
            "creationRequestId": "F0000", "gcClaimCode": "ZYXW-VUTS-RQPO",
            "gcExpirationDate": null, "gcId": "ABC123ZYX987", "status": "SUCCESS"
        }),
        "F1000" => error("F100", "SystemError"),
        "F2003" => error("F200", "InvalidAmountInput"),
        "F2004" => error("F200", "InvalidAmountValue"),
        "F2005" => error("F200", "InvalidCurrencyCodeInput"),
        "F2010" => error("F200", "CardAlreadyActivatedWithDifferentRequestId"),
        "F2015" => error("F200", "MaxAmountExceeded"),
        "F2016" => error("F200", "CurrencyCodeMismatch"),
        "F2017" => error("F200", "FractionalAmountNotAllowed"),
        "F2047" => error("F200", "CancelRequestArrivedAfterTimeLimit"),
        "F3003" => error("F300", "InsufficientFunds"),
        "F3005" => error("F300", "AccountHasProblems"),
        "F3010" => error("F300", "CustomerSurpassedDailyVelocityLimit"),
        "F4000" => resend(),
        "F5000" => error("F500", "UnknownError"),
        _ => return None,
    };
    Some(answer)
}
