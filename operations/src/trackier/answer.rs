//! What Trackier's answers mean: status and body in, a page or a failure out. Pure.
//!
//! What is documented and what is met differ: bodies come with and without the envelope
//! `{"success": …, "data": …}`, an invalid key is answered 400 as well as 401, and a page may be
//! smaller than was asked for. So everything that makes sense is read.

use std::{fmt, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;

/// Rows asked for on a page; Trackier gives 100 to 1,000.
pub const PAGE_ROWS: u32 = 1_000;
/// Of an error's message.
const MESSAGE_CHARS_MAX: usize = 200;
/// What stands in the key's place, should an answer repeat it.
const KEY_HIDDEN: &str = "[key]";

/// What an HTTP answer consists of, as far as it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<&'a str>,
    /// The whole body.
    pub body: &'a [u8],
    /// The key that was sent, which no failure repeats.
    pub key: &'a str,
}

/// Why a try brought no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody is there.
    #[error("there is no connection")]
    NotConnected,
    /// It took too long.
    #[error("no whole answer came in time")]
    TimedOut,
    /// The connection broke.
    #[error("the connection broke")]
    ConnectionLost,
    /// The answer is larger than any page.
    #[error("the answer is larger than {0} bytes")]
    Oversized(usize),
    /// Too many requests.
    #[error("too many requests")]
    Throttled {
        /// How long to wait, where it is said.
        wait: Option<Duration>,
    },
    /// The server is at fault.
    #[error("the server answered {0}")]
    ServerError(u16),
    /// A success that can't be read.
    #[error("the answer can't be read: {0}")]
    Malformed(String),
    /// What was asked for is refused, and would be again.
    #[error("{0}")]
    Refused(Refusal),
}

/// A refusal in Trackier's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Trackier's own code.
    pub code: Option<i64>,
    /// What it says, cut short.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trackier refuses ({}): {}", self.status, self.message)
    }
}

impl Failure {
    /// Whether another try may do better.
    pub const fn passing(&self) -> bool {
        match self {
            Self::NotConnected
            | Self::TimedOut
            | Self::ConnectionLost
            | Self::Throttled { .. }
            | Self::ServerError(_)
            | Self::Malformed(_) => true,
            Self::Oversized(_) | Self::Refused(_) => false,
        }
    }

    /// How long the answer asks to wait.
    pub const fn wait(&self) -> Option<Duration> {
        match self {
            Self::Throttled { wait } => *wait,
            Self::NotConnected
            | Self::TimedOut
            | Self::ConnectionLost
            | Self::Oversized(_)
            | Self::ServerError(_)
            | Self::Malformed(_)
            | Self::Refused(_) => None,
        }
    }
}

/// A page of conversions: rows as they stood.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ConversionsPage {
    /// The rows.
    #[serde(rename = "conversions")]
    pub rows: Vec<Box<RawValue>>,
    /// Where the page lies among others, where that is told.
    pub pagination: Option<Pagination>,
}

/// Where a page lies among others. Its size isn't looked at: a server may cut smaller pages than it
/// says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Pagination {
    /// Rows of all pages.
    pub total: u64,
}

/// A page of campaigns: as they stood, so that one that can't be read spoils no other.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct CampaignsPage {
    /// The campaigns.
    #[serde(rename = "campaigns")]
    pub rows: Vec<Box<RawValue>>,
    /// Campaigns of all pages, where that is told.
    pub count: Option<u64>,
}

/// A page with or without its envelope.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct Refused {
    error: Option<ErrorBody>,
    errors: Option<ErrorBody>,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: Option<i64>,
    message: Option<String>,
    #[serde(rename = "codeMsg")]
    code_message: Option<String>,
    /// The documentation nests one more in some places.
    error: Option<Box<ErrorBody>>,
}

/// Reads an answer.
///
/// # Errors
/// Why it is no page.
pub fn read<T: for<'de> Deserialize<'de>>(answer: &Answer<'_>) -> Result<T, Failure> {
    match answer.status {
        200..=299 => page(answer),
        429 => Err(Failure::Throttled {
            wait: answer.retry_after.and_then(seconds),
        }),
        408 | 500..=599 => Err(Failure::ServerError(answer.status)),
        _ => Err(Failure::Refused(refusal(answer))),
    }
}

fn page<T: for<'de> Deserialize<'de>>(answer: &Answer<'_>) -> Result<T, Failure> {
    let enveloped = serde_json::from_slice::<Envelope<T>>(answer.body);
    if let Ok(Envelope { data }) = enveloped {
        return Ok(data);
    }
    let plain = match serde_json::from_slice(answer.body) {
        Ok(page) => return Ok(page),
        Err(error) => error,
    };
    match serde_json::from_slice(answer.body) {
        // A refusal may come as a success.
        Ok(Refused { error, errors }) if error.is_some() || errors.is_some() => {
            Err(Failure::Refused(refusal(answer)))
        }
        // The position tells enough; the text of an error may quote the body.
        Ok(_) | Err(_) => Err(Failure::Malformed(format!(
            "line {}, column {} of {} bytes",
            plain.line(),
            plain.column(),
            answer.body.len()
        ))),
    }
}

fn refusal(answer: &Answer<'_>) -> Refusal {
    let told = serde_json::from_slice::<Refused>(answer.body).ok();
    let mut body = told.and_then(|told| told.error.or(told.errors));
    while let Some(inner) = body.as_mut().and_then(|body| body.error.take()) {
        body = Some(*inner);
    }
    let code = body.as_ref().and_then(|body| body.code);
    let message = body.and_then(|body| body.message.or(body.code_message));
    let message = message.unwrap_or_else(|| "without a reason".to_owned());
    let hidden = message.replace(answer.key, KEY_HIDDEN);
    Refusal {
        status: answer.status,
        code,
        message: hidden.chars().take(MESSAGE_CHARS_MAX).collect(),
    }
}

/// `Retry-After` in seconds. As a date it isn't met.
fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer<'_> {
        Answer {
            status,
            retry_after: None,
            body: body.as_bytes(),
            key: "sesame",
        }
    }

    fn conversions(status: u16, body: &str) -> Result<ConversionsPage, Failure> {
        read(&answer(status, body))
    }

    #[test]
    fn a_page_is_read_with_and_without_its_envelope_and_rows_stay_as_they_stood() {
        let page = r#"{"conversions":[{"_id":"a","payout":1.10}],
            "pagination":{"perPage":100,"currentPage":1,"total":1}}"#;
        for body in [
            page.to_owned(),
            format!(r#"{{"success":true,"data":{page}}}"#),
        ] {
            let read = conversions(200, &body).expect("a page");
            assert_eq!(read.rows[0].get(), r#"{"_id":"a","payout":1.10}"#);
            assert_eq!(read.pagination.map(|pagination| pagination.total), Some(1));
        }
        let bare = conversions(200, r#"{"conversions":[]}"#).expect("a page");
        assert!(bare.pagination.is_none());
    }

    #[test]
    fn what_passes_is_told_from_what_stays() {
        let refused = r#"{"success":false,"error":{"code":13,"message":"Invalid API Key"}}"#;
        for (status, body) in [
            (400, refused),
            (401, refused),
            (403, "<html>"),
            (200, refused),
        ] {
            let failure = conversions(status, body).expect_err("no page");
            assert!(!failure.passing(), "{status}: {failure}");
        }
        let nested = r#"{"errors":{"success":false,"error":{"code":102,"codeMsg":"No such day"}}}"#;
        let failure = conversions(400, nested).expect_err("no page");
        assert_eq!(failure.to_string(), "Trackier refuses (400): No such day");
        for (status, body) in [
            (500, ""),
            (502, "<html>"),
            (408, ""),
            (429, ""),
            (200, "{\"conv"),
        ] {
            let failure = conversions(status, body).expect_err("no page");
            assert!(failure.passing(), "{status}: {failure}");
        }
        let throttled = Answer {
            retry_after: Some(" 7 "),
            ..answer(429, "")
        };
        let failure = read::<ConversionsPage>(&throttled).expect_err("no page");
        assert_eq!(failure.wait(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn neither_a_body_nor_a_long_message_is_repeated() {
        let failure = conversions(200, r#"{"conversions": sesame"#).expect_err("no page");
        assert!(!failure.to_string().contains("sesame"), "{failure}");
        let long = format!(r#"{{"error":{{"message":"{}"}}}}"#, "x".repeat(10_000));
        let failure = conversions(400, &long).expect_err("no page");
        assert!(failure.to_string().len() < 300, "{failure}");
        let echo = format!(r#"{{"error":{{"message":"{}sesame"}}}}"#, "x".repeat(197));
        let failure = conversions(400, &echo).expect_err("no page");
        assert!(failure.to_string().ends_with("x[ke"), "{failure}");
    }
}
