//! Answers in Amazon's form.

use schemas::{Amount, Timestamp};
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

/// A `CancelGiftCard` request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "as Amazon calls them")]
pub(super) struct CancelRequest {
    pub(super) creation_request_id: String,
    pub(super) partner_id: String,
    pub(super) gc_id: String,
}

/// A `GetAvailableFunds` request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FundsRequest {
    pub(super) partner_id: String,
}

/// A `GetGiftCardActivityPage` request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageRequest {
    pub(super) partner_id: String,
    pub(super) utc_start_date: String,
    pub(super) utc_end_date: String,
    pub(super) page_index: usize,
    pub(super) page_size: usize,
}

/// Amazon writes amounts with a decimal; the fake issues whole ones only.
fn written(amount: Amount) -> Value {
    serde_json::from_str(&format!("{}.0", amount.micros() / 1_000_000))
        .expect("digits with a decimal are a JSON number")
}

pub(super) fn cancelled(request: &CancelRequest) -> Value {
    json!({
        "creationRequestId": request.creation_request_id, "gcId": request.gc_id,
        "status": "SUCCESS"
    })
}

pub(super) fn funds(amount: Amount, currency: &str, at: Timestamp) -> Value {
    json!({
        "availableFunds": {"amount": written(amount), "currencyCode": currency},
        "status": "SUCCESS",
        "timestamp": at.to_datetime().format("%Y%m%dT%H%M%SZ").to_string()
    })
}

/// One thing that was done with a card.
pub(super) fn activity(kind: &str, id: &str, card: &IssuedCard, at: Timestamp) -> Value {
    json!({
        "activityStatus": "SUCCESS", "activityType": kind, "requestId": id,
        "activityTime": at.to_datetime().format("%Y-%m-%dT%H:%M:%S").to_string(),
        "cardNumber": null, "gcId": card.card_id, "isRealOp": "true",
        "cardValue": {
            "amount": written(card.amount), "currencyCode": card.currency.to_string()
        }
    })
}

pub(super) fn page(entries: &[Value], total: usize, page_index: usize) -> Value {
    json!({
        "cardActivityList": entries, "pageIndex": page_index, "status": "SUCCESS",
        "totalNumberOfTransactionsInRequestedTimeFrame": total
    })
}

pub(super) fn success(creation_request_id: &str, card: &IssuedCard) -> Value {
    let status = if card.refunded {
        "RefundedToPurchaser"
    } else {
        "Fulfilled"
    };
    let amount = written(card.amount);
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

pub(super) fn signature_expired() -> Value {
    json!({
        "__type": "com.amazon.coral.service#InvalidSignatureException",
        "message": "Signature expired: it is now earlier than the service's time less 15 min."
    })
}

pub(super) fn key_unknown() -> Value {
    json!({
        "__type": "com.amazon.coral.service#UnrecognizedClientException",
        "message": "The security token included in the request is invalid."
    })
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
