use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;

fn expected() -> Expected {
    Expected {
        creation_request_id: "Awssb0001".into(),
        amount: Amount::from_micros(500_000_000),
        currency: Currency::INR,
    }
}

fn judged(body: &Value) -> Outcome {
    classify(Answer::Body(body.to_string().as_bytes()), &expected())
}

fn success() -> Value {
    json!({
        "cardInfo": {
            "cardNumber": null, "cardStatus": "Fulfilled", "expirationDate": null,
            "value": {"amount": 500.0, "currencyCode": "INR"}
        },
        "creationRequestId": "Awssb0001",
        "gcClaimCode": "ABCD-EFGHIJ-KLMN",
        "gcExpirationDate": "Thu Jun 10 14:59:59 UTC 2032",
        "gcId": "5535125272070255",
        "status": "SUCCESS"
    })
}

fn error(code: &str, kind: &str, status: &str, message: &str) -> Value {
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

/// The success with one field changed.
fn success_with(pointer: &str, value: Value) -> Value {
    let mut body = success();
    *body.pointer_mut(pointer).expect("the field") = value;
    body
}

#[test]
fn a_card_is_funded_when_all_three_agree() {
    let Outcome::Funded(card) = judged(&success()) else {
        panic!("it is funded");
    };
    assert_eq!(card.card_id, "5535125272070255");
    assert_eq!(card.claim_code.expose_secret(), "ABCD-EFGHIJ-KLMN");
    assert_eq!(card.expires_at, Timestamp::parse("2032-06-10T14:59:59Z"));
}

#[test]
fn an_amount_is_a_number_in_any_of_its_forms() {
    for amount in [json!(500), json!(500.0), json!(5e2)] {
        let body = success_with("/cardInfo/value/amount", amount);
        assert_eq!(judged(&body).kind(), OutcomeKind::Funded);
    }
}

#[test]
fn a_date_that_does_not_parse_is_not_a_failure() {
    for date in [json!(null), json!("soon"), json!("2032-06-10"), json!("")] {
        let body = success_with("/gcExpirationDate", date);
        let Outcome::Funded(card) = judged(&body) else {
            panic!("it is funded");
        };
        assert_eq!(card.expires_at, None);
    }
}

#[test]
fn success_alone_is_not_success() {
    use OutcomeKind::{Mismatched, Unknown};
    for (pointer, value, kind) in [
        (
            "/cardInfo/cardStatus",
            json!("RefundedToPurchaser"),
            Mismatched,
        ),
        ("/cardInfo/cardStatus", json!("Expired"), Mismatched),
        ("/cardInfo/cardStatus", json!("fulfilled"), Unknown),
        ("/cardInfo/cardStatus", json!(null), Unknown),
        ("/cardInfo/value/amount", json!(499.99), Mismatched),
        ("/cardInfo/value/amount", json!(500.000_000_1), Mismatched),
        ("/cardInfo/value/amount", json!(5000), Mismatched),
        ("/cardInfo/value/amount", json!(-500), Mismatched),
        ("/cardInfo/value/amount", json!(1e300), Mismatched),
        ("/cardInfo/value/amount", json!("500"), Unknown),
        ("/cardInfo/value/currencyCode", json!("USD"), Mismatched),
        ("/cardInfo/value/currencyCode", json!("inr"), Mismatched),
        ("/cardInfo/value", json!(null), Unknown),
        ("/cardInfo", json!(null), Unknown),
        ("/gcId", json!(null), Unknown),
        ("/gcId", json!(""), Unknown),
        ("/gcClaimCode", json!(null), Unknown),
        ("/creationRequestId", json!("Awssb0002"), Unknown),
        ("/status", json!("success"), Unknown),
        ("/status", json!(null), Unknown),
        ("/status", json!("FAILURE"), Unknown),
    ] {
        let body = success_with(pointer, value.clone());
        assert_eq!(judged(&body).kind(), kind, "{pointer} = {value}");
    }
    let mut both = success();
    both["errorCode"] = json!("F200");
    assert_eq!(judged(&both).kind(), Unknown);
}

#[test]
fn every_answer_of_the_sandbox() {
    use OutcomeKind::{ChannelFault, Refused, Unknown};
    for (code, kind, status, judgement) in [
        ("F100", "SystemError", "FAILURE", Unknown),
        ("F200", "InvalidAmountInput", "FAILURE", Refused),
        ("F200", "InvalidAmountValue", "FAILURE", Refused),
        ("F200", "InvalidCurrencyCodeInput", "FAILURE", Refused),
        (
            "F200",
            "CardAlreadyActivatedWithDifferentRequestId",
            "FAILURE",
            Refused,
        ),
        ("F200", "MaxAmountExceeded", "FAILURE", Refused),
        ("F200", "CurrencyCodeMismatch", "FAILURE", Refused),
        ("F200", "FractionalAmountNotAllowed", "FAILURE", Refused),
        (
            "F200",
            "CancelRequestArrivedAfterTimeLimit",
            "FAILURE",
            Refused,
        ),
        ("F300", "InsufficientFunds", "FAILURE", ChannelFault),
        ("F300", "AccountHasProblems", "FAILURE", ChannelFault),
        ("F300", "ActiveContractNotFound", "FAILURE", ChannelFault),
        (
            "F300",
            "CustomerSurpassedDailyVelocityLimit",
            "FAILURE",
            ChannelFault,
        ),
        ("F400", "SystemTemporarilyUnavailable", "RESEND", Unknown),
        ("F500", "UnknownError", "FAILURE", Unknown),
    ] {
        let outcome = judged(&error(code, kind, status, "words"));
        assert_eq!(outcome.kind(), judgement, "{code} {kind}");
        let detail = outcome.detail().expect("a detail").as_str();
        let named = format!("{code} {kind}");
        // What concerns the whole account also says how to go on.
        match judgement {
            ChannelFault => assert!(detail.starts_with(&format!("{named}: ")), "{detail}"),
            _ => assert_eq!(detail, named),
        }
    }
    // F0000, with the claim code and id that the sandbox gives.
    let mut body = success();
    body["gcClaimCode"] = json!("ZYXW-VUTS-RQPO");
    body["gcId"] = json!("ABC123ZYX987");
    assert_eq!(judged(&body).kind(), OutcomeKind::Funded);
}

#[test]
fn throttling_has_many_faces_and_is_never_hard() {
    for body in [
        error("F200", "ThrottlingException", "FAILURE", "words"),
        error("F300", "Whatever", "FAILURE", "Rate exceeded"),
        json!({
            "__type": "com.amazon.coral.availability#ThrottlingException",
            "message": "Rate exceeded"
        }),
        json!({"message": "Rate exceeded"}),
        json!({"errorCode": "ThrottlingException"}),
        json!({"errorType": "Throttled"}),
    ] {
        assert_eq!(judged(&body).kind(), OutcomeKind::Throttled, "{body}");
    }
}

#[test]
fn a_fault_of_the_account_says_what_is_wrong_and_how_to_go_on() {
    let mismatch = "The request signature we calculated does not match the signature you provided.";
    let late = "Signature expired: 20170918T133138Z is now earlier than 20170918T140000Z";
    for (body, wrong) in [
        (
            error("F200", "InvalidRequest", "FAILURE", mismatch),
            "secret key, region",
        ),
        (error("F200", "InvalidRequest", "FAILURE", late), "clock"),
        (
            json!({
                "__type": "com.amazon.coral.service#InvalidSignatureException",
                "message": "Signature not yet current: 20170918T133138Z is still later"
            }),
            "clock",
        ),
        (json!({"errorType": "RequestExpired"}), "clock"),
        (json!({"errorType": "RequestTimeTooSkewed"}), "clock"),
        (
            json!({"__type": "com.amazon.coral.service#InvalidSignatureException", "message": "m"}),
            "secret key, region",
        ),
        (
            json!({"__type": "com.amazon.coral.service#UnrecognizedClientException"}),
            "access key is expired",
        ),
        (
            json!({"errorType": "ExpiredTokenException"}),
            "access key is expired",
        ),
        (
            json!({"errorCode": "F300", "errorType": "AccessDeniedException"}),
            "secret key, region",
        ),
        (
            error("F300", "InsufficientFunds", "FAILURE", "words"),
            "funds are used up",
        ),
        (
            error("F300", "ActiveContractNotFound", "FAILURE", "words"),
            "no contract",
        ),
        (
            error("F300", "AccountHasProblems", "FAILURE", "words"),
            "closed, blocked",
        ),
        (
            error(
                "F300",
                "CustomerSurpassedDailyVelocityLimit",
                "FAILURE",
                "words",
            ),
            "limit for the day",
        ),
    ] {
        let outcome = judged(&body);
        assert_eq!(outcome.kind(), OutcomeKind::ChannelFault, "{body}");
        let detail = outcome.detail().expect("a detail").as_str();
        assert!(
            detail.contains(wrong) && detail.contains("resume"),
            "{detail}"
        );
    }
    let unrelated = error(
        "F200",
        "InvalidAmountInput",
        "FAILURE",
        "Amount can't be null",
    );
    assert_eq!(judged(&unrelated).kind(), OutcomeKind::Refused);
}

#[test]
fn what_is_not_documented_is_unknown() {
    for body in [
        json!({}),
        json!({"errorCode": "F600"}),
        json!({"errorCode": "F2000"}),
        json!({"agcodResponse": {"status": "RESEND"}, "errorCode": "F200"}),
        json!({"status": "RESEND"}),
        json!({"status": "FAILURE"}),
        json!({"message": "Internal Server Error"}),
    ] {
        assert_eq!(judged(&body).kind(), OutcomeKind::Unknown, "{body}");
    }
    for bytes in [
        &b""[..],
        b"<html>502 Bad Gateway</html>",
        b"null",
        b"[]",
        b"\"SUCCESS\"",
        b"{\"status\":\"SUCC",
        b"\xff\xfe{}",
    ] {
        let outcome = classify(Answer::Body(bytes), &expected());
        assert_eq!(outcome.kind(), OutcomeKind::Unknown, "{bytes:?}");
    }
}

#[test]
fn only_a_connection_that_never_was_is_certain() {
    for (failure, kind) in [
        (TransportFailure::NotConnected, OutcomeKind::Unreachable),
        (TransportFailure::TimedOut, OutcomeKind::Unknown),
        (TransportFailure::ConnectionLost, OutcomeKind::Unknown),
        (TransportFailure::Oversized, OutcomeKind::Unknown),
    ] {
        assert_eq!(classify(Answer::Failed(failure), &expected()).kind(), kind);
    }
}

#[test]
fn nothing_printed_holds_the_claim_code() {
    let funded = judged(&success());
    assert!(!format!("{funded:?}").contains("ABCD"));
    // An error whose every text repeats the code.
    let planted = error(
        "ABCD-EFGHIJ-KLMN ",
        "{\"ABCD-EFGHIJ-KLMN\"}",
        "FAILURE",
        "ABCD-EFGHIJ-KLMN",
    );
    let detail = format!("{:?}", judged(&planted).detail());
    assert!(!detail.contains("ABCD-EFGHIJ-KLMN"), "{detail}");
}

proptest::proptest! {
    #[test]
    fn never_panics_and_never_funds_on_noise(bytes: Vec<u8>) {
        let kind = classify(Answer::Body(&bytes), &expected()).kind();
        proptest::prop_assert_ne!(kind, OutcomeKind::Funded);
    }
}
