//! How requests are written: query, form or JSON, and each way of getting it wrong.

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Postback, Report, faults::Fault, seeds::Network};

/// A body above what ingest reads (256 KiB by default), and well below what it drains.
const OVERSIZED_BODY_BYTES: usize = 384 * 1024;

/// Where postbacks go.
pub const CONVERSION_PATH: &str = "/v1/events/conversion";

/// How a postback is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spelling {
    /// Where the parameters stand.
    pub form: Form,
    /// The click stands in `p1` rather than in `click_id`.
    pub click_in_p1: bool,
    /// `conversion_status` and `created` rather than `status` and `converted_at`.
    pub trackier_names: bool,
    /// Amounts with as many decimal places as the currency has; else as few as possible.
    pub padded: bool,
}

/// Where the parameters of a postback stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `GET`, in the query.
    Query,
    /// `POST`, in a form.
    Form,
    /// `POST`, the click in the query and the rest in a form.
    QueryAndForm,
    /// `POST`, in a JSON object.
    Json,
}

/// A request as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub path: String,
    /// Media type of its body, where it has one.
    pub content_type: Option<&'static str>,
    /// Its body.
    pub body: Vec<u8>,
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

type Pair = (&'static str, String);

/// Writes a postback. `reference` is the text that names the click.
pub fn write(postback: &Postback, reference: &str, network: &Network) -> Message {
    let spelling = postback.spelling;
    let click_name = if spelling.click_in_p1 {
        "p1"
    } else {
        "click_id"
    };
    let click = (click_name, reference.to_owned());
    let rest = pairs(&postback.report, spelling, network);
    match postback.fault {
        None => plain(click, rest, spelling.form),
        Some(fault) => faulty(fault, click, rest, spelling.form),
    }
}

fn pairs(report: &Report, spelling: Spelling, network: &Network) -> Vec<Pair> {
    let (status, time) = if spelling.trackier_names {
        ("conversion_status", "created")
    } else {
        ("status", "converted_at")
    };
    let places = match (spelling.padded, report.coin) {
        (true, Some(coin)) => coin.places(),
        (true, None) => network.default_coin.places(),
        (false, _) => 0,
    };
    let mut pairs: Vec<Pair> = vec![(status, report.status.text().to_owned())];
    // The first instance is the default.
    if report.network_id.get() != 1 {
        pairs.push(("network", report.network_id.to_string()));
    }
    let optional = [
        ("offer_id", report.offer_id.map(|id| id.to_string())),
        (
            "sale_amount",
            report.sale_amount.map(|amount| amount.padded(places)),
        ),
        ("payout", report.payout.map(|amount| amount.padded(places))),
        ("currency", report.coin.map(|coin| coin.code().to_owned())),
        ("txn_id", report.txn_id.clone()),
        ("goal_id", report.goal_id.clone()),
        ("conversion_id", report.conversion_id.clone()),
        (time, report.converted_at.map(|at| at.to_string())),
        ("country", report.country.map(str::to_owned)),
        ("security_token", network.security_token.map(str::to_owned)),
    ];
    pairs.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    pairs
}

fn plain(click: Pair, mut rest: Vec<Pair>, form: Form) -> Message {
    match form {
        Form::Query => {
            rest.insert(0, click);
            get(&encode(&rest))
        }
        Form::Form => {
            rest.insert(0, click);
            post(CONVERSION_PATH.to_owned(), FORM, encode(&rest).into_bytes())
        }
        Form::QueryAndForm => {
            let path = format!("{CONVERSION_PATH}?{}", encode(&[click]));
            post(path, FORM, encode(&rest).into_bytes())
        }
        Form::Json => {
            rest.insert(0, click);
            post(CONVERSION_PATH.to_owned(), JSON, json(&rest).into_bytes())
        }
    }
}

fn faulty(fault: Fault, click: Pair, mut rest: Vec<Pair>, form: Form) -> Message {
    if let Some((name, value)) = fault.wrong_value() {
        if name == "click_id" {
            return plain((name, value), rest, form);
        }
        // The two names of a time are one parameter.
        rest.retain(|(other, _)| {
            *other != name && !(name == "converted_at" && *other == "created")
        });
        rest.push((name, value));
        return plain(click, rest, form);
    }
    if fault != Fault::ClickMissing {
        rest.insert(0, click);
    }
    let encoded = encode(&rest);
    let to = CONVERSION_PATH.to_owned();
    match fault {
        Fault::BodyOversized => {
            let padding = "x".repeat(OVERSIZED_BODY_BYTES);
            post(to, FORM, format!("{encoded}&note={padding}").into_bytes())
        }
        Fault::FormNotUtf8 => {
            let body = [encoded.as_bytes(), b"&goal_id=\xFF\xFE"].concat();
            post(to, FORM, body)
        }
        Fault::JsonNotUtf8 => post(to, JSON, b"{\"goal_id\": \"\xFF\"}".to_vec()),
        Fault::QueryNotUtf8 => get(&format!("{encoded}&goal_id=%FF%FE")),
        Fault::ContentTypeUnknown => post(to, "application/xml", b"<conversion/>".to_vec()),
        Fault::JsonBroken => post(to, JSON, b"{\"click_id\": \"1\", ".to_vec()),
        Fault::JsonArray => post(to, JSON, format!("[{}]", json(&rest)).into_bytes()),
        Fault::ClickMissing
        | Fault::ClickIdBeyond63Bits
        | Fault::ClickIdZero
        | Fault::ClickReferenceEndless
        | Fault::AmountNan
        | Fault::AmountInWords
        | Fault::AmountWithExponent
        | Fault::AmountNegative
        | Fault::AmountHuge
        | Fault::AmountTooFine
        | Fault::PayoutInWords
        | Fault::PayoutNegative
        | Fault::CurrencyUnknown
        | Fault::OfferIdBeyond32Bits
        | Fault::FieldWithNul
        | Fault::FieldEndless
        | Fault::TimeUnreadable
        | Fault::SecurityTokenWrong => get(&encoded),
    }
}

fn get(query: &str) -> Message {
    Message {
        method: Method::GET,
        path: format!("{CONVERSION_PATH}?{query}"),
        content_type: None,
        body: Vec::new(),
    }
}

fn post(path: String, content_type: &'static str, body: Vec<u8>) -> Message {
    Message {
        method: Method::POST,
        path,
        content_type: Some(content_type),
        body,
    }
}

fn encode(pairs: &[Pair]) -> String {
    let encoded = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    encoded.collect::<Vec<_>>().join("&")
}

/// Amounts as JSON numbers, everything else as strings.
fn json(pairs: &[Pair]) -> String {
    let members = pairs.iter().map(|(name, value)| {
        let number = matches!(*name, "sale_amount" | "payout")
            && value
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
        if number {
            format!("\"{name}\":{value}")
        } else {
            format!("\"{name}\":{}", serde_json::Value::from(value.as_str()))
        }
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}
