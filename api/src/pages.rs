//! Long lists, page by page, and answers that the caller has already.
//!
//! A cursor says where the last page ended; it is opaque to callers, and read strictly. What a page
//! shows is decided by the caller's scope alone: a cursor that was made up shows nothing more.

use std::{fmt::Display, str::FromStr};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schemas::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::body::Fields;

/// Entries of a page, unless fewer are asked for.
const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;
const VERSION: &str = "1";

/// No entry is dated later: the end of the year 9999, in milliseconds.
const AT_MAX: Timestamp = Timestamp::from_millis(253_402_300_799_999);

/// Where an entry stands in the order of its list.
pub(crate) trait Place: Sized {
    /// As a cursor holds it.
    fn write(&self) -> String;
    /// From a cursor.
    fn read(text: &str) -> Option<Self>;
}

impl Place for Uuid {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl<T: Display + FromStr> Place for (Timestamp, T) {
    fn write(&self) -> String {
        format!("{}|{}", self.0.millis(), self.1)
    }

    fn read(text: &str) -> Option<Self> {
        let (at, id) = text.split_once('|')?;
        let at = Timestamp::from_millis(at.parse().ok()?);
        // PostgreSQL knows no times before 4713 BC, nor any time.
        let dated = (Timestamp::from_millis(0)..=AT_MAX).contains(&at);
        Some((at, id.parse().ok()?)).filter(|_| dated)
    }
}

/// Of a record in its topic: partition and offset.
impl Place for (i32, i64) {
    fn write(&self) -> String {
        format!("{}|{}", self.0, self.1)
    }

    fn read(text: &str) -> Option<Self> {
        let (partition, offset) = text.split_once('|')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    }
}

/// A place as callers get it.
fn encode(place: &impl Place) -> String {
    URL_SAFE_NO_PAD.encode(format!("{VERSION}|{}", place.write()))
}

fn parse<P: Place>(text: &str) -> Option<P> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (version, place) = text.split_once('|')?;
    P::read(place).filter(|_| version == VERSION)
}

/// Which page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page<P> {
    /// The entries after it; from the first, if absent.
    pub(crate) after: Option<P>,
    /// At most as many.
    pub(crate) limit: u32,
}

impl<P: Place> Page<P> {
    /// From the parameters `cursor` and `limit`.
    pub(crate) fn of(cursor: Option<String>, limit: Option<u32>, fields: &mut Fields) -> Self {
        let after = fields.optional("cursor", cursor, |text| {
            parse(&text).ok_or_else(|| "as the page before named it".to_owned())
        });
        let limit = fields.optional("limit", limit, |limit| {
            if (1..=LIMIT_MAX).contains(&limit) {
                Ok(limit)
            } else {
                Err(format!("1 to {LIMIT_MAX}"))
            }
        });
        Self {
            after,
            limit: limit.unwrap_or(LIMIT_DEFAULT),
        }
    }

    /// How many rows to look for: one more than is shown tells whether there is a next page.
    pub(crate) fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// A page as a plain list; a further one is named in the header `Next-Cursor`.
    pub(crate) fn answer<T: Serialize>(
        self,
        headers: &HeaderMap,
        mut entries: Vec<T>,
        place_of: impl FnOnce(&T) -> P,
    ) -> Response {
        let shown = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = entries.len() > shown;
        entries.truncate(shown);
        let next = entries.last().filter(|_| more).map(place_of);
        let mut response = tagged(headers, &entries);
        if let Some(next) = next {
            let value = HeaderValue::from_str(&encode(&next)).expect("base64 is ASCII");
            response.headers_mut().insert("next-cursor", value);
        }
        response
    }
}

/// An answer with an `ETag`; 304 without a body where the caller has it (`If-None-Match`).
pub(crate) fn tagged(headers: &HeaderMap, body: &impl Serialize) -> Response {
    let json = serde_json::to_vec(body).expect("answers are plain JSON");
    // One caller's own, and asked for anew each time.
    tagged_bytes(headers, json, "application/json", "private, no-cache")
}

/// An answer of any type, as [`tagged`], which may be kept as `caching` says.
pub(crate) fn tagged_bytes(
    headers: &HeaderMap,
    body: impl AsRef<[u8]> + Into<Body>,
    content_type: &'static str,
    caching: &'static str,
) -> Response {
    let digest = Sha256::digest(body.as_ref());
    let tag = format!("\"{}\"", hex::encode(&digest[..16]));
    let mut response = if known(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, content_type)], body.into()).into_response()
    };
    let headers = response.headers_mut();
    let tag = HeaderValue::from_str(&tag).expect("hexadecimal is ASCII");
    headers.insert(header::ETAG, tag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}

fn known(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"));
    tags.any(|given| given == tag || given == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        type Dated = (Timestamp, i64);
        let place: Dated = (Timestamp::from_millis(1_790_000_000_000), 7_012);
        assert_eq!(parse(&encode(&place)), Some(place));
        let named = Uuid::from_u128(7);
        assert_eq!(parse(&encode(&named)), Some(named));
        for wrong in ["", "x", "1|1|1"] {
            assert_eq!(parse::<Dated>(wrong), None, "{wrong}");
        }
        for wrong in [
            "2|1|1",
            "1|1",
            "1|1|1|1",
            "1|a|1",
            "1|-1|1",
            "1|9223372036854775807|1",
        ] {
            let cursor = URL_SAFE_NO_PAD.encode(wrong);
            assert_eq!(parse::<Dated>(&cursor), None, "{wrong}");
        }
    }

    #[test]
    fn the_last_page_names_no_next_one() {
        let page = Page {
            after: None,
            limit: 2,
        };
        let place_of = |number: &u128| Uuid::from_u128(*number);
        let more = page.answer(&HeaderMap::new(), vec![1, 2, 3], place_of);
        let next = more.headers()["next-cursor"].to_str().expect("text");
        assert_eq!(parse(next), Some(Uuid::from_u128(2)));
        let last = page.answer(&HeaderMap::new(), vec![1, 2], place_of);
        assert!(!last.headers().contains_key("next-cursor"));
    }

    #[test]
    fn what_the_caller_has_is_not_sent_again() {
        let first = tagged(&HeaderMap::new(), &["a"]);
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(tagged(&headers, &["a"]).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(tagged(&headers, &["b"]).status(), StatusCode::OK);
    }
}
