//! The original of a report as the log keeps it: redacted, bounded, with a hash of what it was.

use http::{HeaderMap, header};
use schemas::events::RawReport;

use crate::redaction::{Redaction, Syntax};

/// Stands in place of a body that is compressed: what can't be searched for personal data is not
/// kept.
const ENCODED_BODY: &[u8] = b"[a body with a content encoding is not kept]";
/// Longest media type that is kept, in bytes.
const MEDIA_TYPE_BYTES_MAX: usize = 100;

/// How a body says that it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MediaType {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`, or another type that ends in `+json`.
    Json,
    /// One that postbacks don't come in, or none.
    Other(String),
    /// Compressed, whatever is inside. We don't unpack: no decompression bomb goes off here.
    Encoded(String),
}

impl MediaType {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let declared = headers
            .get(header::CONTENT_TYPE)
            .map_or("", |value| value.to_str().unwrap_or("invalid"));
        let mut essence = declared
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        essence.truncate(MEDIA_TYPE_BYTES_MAX);
        let encoding = headers.get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Self::Encoded(essence);
        }
        match essence.as_str() {
            "application/x-www-form-urlencoded" => Self::Form,
            "application/json" | "text/json" => Self::Json,
            other if other.ends_with("+json") => Self::Json,
            "" => Self::Other("none".to_owned()),
            _ => Self::Other(essence),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Form => "application/x-www-form-urlencoded",
            Self::Json => "application/json",
            Self::Other(essence) | Self::Encoded(essence) => essence,
        }
    }

    /// `readable`: whether the body was what its media type says, and a report was found in it.
    /// If not, it may be in any other syntax as well.
    fn redact(&self, bytes: &[u8], readable: bool, redaction: &Redaction) -> Vec<u8> {
        let by_type = match self {
            Self::Encoded(_) => return ENCODED_BODY.to_vec(),
            Self::Form => redaction.redact(bytes, Syntax::Pairs),
            Self::Json => redaction.redact(bytes, Syntax::Json),
            Self::Other(_) => bytes.to_vec(),
        };
        if readable {
            by_type
        } else {
            redaction.redact(&by_type, Syntax::Unknown)
        }
    }
}

/// A report's original, before redaction.
pub(crate) struct Original<'a> {
    /// The query string.
    pub(crate) query: &'a [u8],
    /// The body, or its head.
    pub(crate) body: &'a [u8],
    /// Whether `body` is all of it.
    pub(crate) whole: bool,
    /// How the body says that it is written.
    pub(crate) media_type: &'a MediaType,
}

impl Original<'_> {
    /// Redacts and bounds it. A query and a body stand one after the other, a line feed between
    /// them, which no query holds; `content_type` then names both.
    pub(crate) fn keep(
        &self,
        readable: bool,
        redaction: &Redaction,
        sha256: String,
        bytes_max: usize,
    ) -> RawReport {
        let mut bytes = redaction.redact(self.query, Syntax::Pairs);
        let mut content_type = "query".to_owned();
        let mut truncated = !self.whole;
        if !self.body.is_empty() {
            if self.query.is_empty() {
                content_type.clear();
            } else {
                bytes.push(b'\n');
                content_type.push_str(", ");
            }
            content_type.push_str(self.media_type.name());
            bytes.extend(self.media_type.redact(self.body, readable, redaction));
            truncated |= matches!(self.media_type, MediaType::Encoded(_));
        }
        truncated |= bytes.len() > bytes_max;
        bytes.truncate(bytes_max);
        RawReport {
            bytes,
            content_type,
            sha256,
            truncated,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::redaction::DEFAULT_NAMES;

    fn media_type(content_type: &'static str, encoding: Option<&'static str>) -> MediaType {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        MediaType::of(&headers)
    }

    fn keep(query: &str, body: &str, media_type: &MediaType, readable: bool) -> RawReport {
        let redaction = Redaction::new(&DEFAULT_NAMES).expect("valid names");
        let original = Original {
            query: query.as_bytes(),
            body: body.as_bytes(),
            whole: true,
            media_type,
        };
        original.keep(readable, &redaction, String::new(), 64)
    }

    #[test]
    fn media_types_are_told_apart() {
        assert_eq!(
            media_type("Application/JSON; charset=utf-8", None),
            MediaType::Json
        );
        assert_eq!(
            media_type("application/vnd.trackier+json", None),
            MediaType::Json
        );
        assert_eq!(
            media_type("application/x-www-form-urlencoded", Some("identity")),
            MediaType::Form
        );
        assert_eq!(
            media_type("text/plain", None),
            MediaType::Other("text/plain".to_owned())
        );
        assert_eq!(
            MediaType::of(&HeaderMap::new()),
            MediaType::Other("none".to_owned())
        );
        let packed = media_type("application/json", Some("gzip"));
        assert_eq!(packed, MediaType::Encoded("application/json".to_owned()));
    }

    #[test]
    fn query_and_body_are_both_kept() {
        let raw = keep("p1=7&phone=9", "email=a&x=1", &MediaType::Form, true);
        assert_eq!(raw.bytes, b"p1=7&phone=[redacted]\nemail=[redacted]&x=1");
        assert_eq!(raw.content_type, "query, application/x-www-form-urlencoded");
        assert!(!raw.truncated);
        assert_eq!(
            keep("p1=7", "", &MediaType::Form, true).content_type,
            "query"
        );
        assert_eq!(
            keep("", "{}", &MediaType::Json, true).content_type,
            "application/json"
        );
    }

    #[test]
    fn what_is_not_readable_is_redacted_in_every_syntax() {
        let raw = keep("", r#"{"phone":"98765"}"#, &MediaType::Form, false);
        assert_eq!(raw.bytes, br#"{"phone":"[redacted]"}"#);
        let raw = keep("", "p1=7&phone=98765", &MediaType::Json, false);
        assert_eq!(raw.bytes, b"p1=7&phone=[redacted]");
    }

    #[test]
    fn long_and_encoded_bodies_are_marked_as_not_whole() {
        let raw = keep("", &"a=1&".repeat(100), &MediaType::Form, true);
        assert_eq!((raw.bytes.len(), raw.truncated), (64, true));
        let raw = keep(
            "",
            "\x1f",
            &MediaType::Encoded("application/json".to_owned()),
            false,
        );
        assert_eq!((raw.bytes.as_slice(), raw.truncated), (ENCODED_BODY, true));
    }
}
