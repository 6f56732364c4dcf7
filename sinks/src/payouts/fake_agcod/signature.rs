//! Signature version 4 checked the long way: written from its definition, sharing nothing with
//! the library that signs.

use axum::http::{HeaderMap, Method, Uri};
use chrono::NaiveDateTime;
use hmac::{Hmac, KeyInit, Mac};
use schemas::Timestamp;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::FakeAccount;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TARGET: &str = "com.amazonaws.agcod.AGCODService.";
/// Amazon asks for these to be signed.
const SIGNED_AT_LEAST: [&str; 5] = [
    "accept",
    "content-type",
    "host",
    "x-amz-date",
    "x-amz-target",
];

/// A request as it arrived.
#[derive(Debug)]
pub struct SignedRequest<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path and query.
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, byte for byte.
    pub body: &'a [u8],
}

/// What was asked for, and when, as far as the signature vouches for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified<'a> {
    /// The operation's name.
    pub operation: &'a str,
    /// When the request was signed.
    pub signed_at: Timestamp,
}

/// Checks that the account's key signed this very request, and gives the operation that it names.
///
/// # Errors
/// With what is wrong, for the log.
pub fn verify<'a>(
    request: &SignedRequest<'a>,
    account: &FakeAccount,
) -> Result<Verified<'a>, &'static str> {
    let header = |name: &str| {
        request
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let operation = header("x-amz-target").and_then(|target| target.strip_prefix(TARGET));
    let operation = operation.ok_or("another service")?;
    let authorization = header("authorization").ok_or("no authorization")?;
    let fields = authorization
        .strip_prefix(ALGORITHM)
        .ok_or("another algorithm")?;
    let field = |name: &str| {
        fields
            .split(',')
            .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let credential = field("Credential").ok_or("no credential")?;
    let signed_headers = field("SignedHeaders").ok_or("no list of signed headers")?;
    let signature = field("Signature").ok_or("no signature")?;

    let at = header("x-amz-date").ok_or("no date")?;
    let signed_at = NaiveDateTime::parse_from_str(at, "%Y%m%dT%H%M%SZ")
        .map_err(|_| "a date that can't be read")?;
    let date = at.get(..8).ok_or("a date that is too short")?;
    let scope = format!("{date}/{}/AGCODService/aws4_request", account.region);
    if credential != format!("{}/{scope}", account.access_key_id) {
        return Err("another key or scope");
    }
    let names: Vec<&str> = signed_headers.split(';').collect();
    if !names.is_sorted() || SIGNED_AT_LEAST.iter().any(|name| !names.contains(name)) {
        return Err("headers that have to be signed are not");
    }

    let canonical = canonical_request(request, &names, signed_headers)?;
    let to_sign = format!(
        "{ALGORITHM}\n{at}\n{scope}\n{}",
        sha256_hex(canonical.as_bytes())
    );
    let secret = account.secret_access_key.expose_secret();
    let key = ["AGCODService", "aws4_request"].iter().fold(
        hmac(
            &hmac(format!("AWS4{secret}").as_bytes(), date.as_bytes()),
            account.region.as_bytes(),
        ),
        |key, part| hmac(&key, part.as_bytes()),
    );
    if hex::encode(hmac(&key, to_sign.as_bytes())) == signature {
        Ok(Verified {
            operation,
            signed_at: Timestamp::from(signed_at.and_utc()),
        })
    } else {
        Err("a signature that doesn't match")
    }
}

fn canonical_request(
    request: &SignedRequest<'_>,
    names: &[&str],
    signed_headers: &str,
) -> Result<String, &'static str> {
    let mut canonical = format!(
        "{}\n{}\n{}\n",
        request.method,
        request.uri.path(),
        request.uri.query().unwrap_or_default()
    );
    for name in names {
        let value = request
            .headers
            .get(*name)
            .ok_or("a signed header is missing")?;
        let value = value.to_str().map_err(|_| "a header that isn't text")?;
        let squeezed: Vec<&str> = value.split_ascii_whitespace().collect();
        canonical += &[name, ":", &squeezed.join(" "), "\n"].concat();
    }
    Ok(format!(
        "{canonical}\n{signed_headers}\n{}",
        sha256_hex(request.body)
    ))
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use schemas::Currency;

    use super::*;

    const BODY: &[u8] = b"{\"creationRequestId\":\"Test001\",\"partnerId\":\"Test\",\
          \"value\":{\"amount\":123,\"currencyCode\":\"USD\"}}";

    fn account() -> FakeAccount {
        FakeAccount {
            access_key_id: "fake-aws-key".into(),
            secret_access_key: "fake-secret-key".into(),
            region: "us-east-1".into(),
            partner_id: "Test".into(),
            currency: Currency::USD,
        }
    }

    /// The request of the published vector.
    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("accept", "application/json"),
            ("content-length", "94"),
            ("content-type", "application/json"),
            ("host", "agcod-v2-gamma.amazon.com"),
            ("x-amz-date", "20170918T133138Z"),
            (
                "x-amz-target",
                "com.amazonaws.agcod.AGCODService.CreateGiftCard",
            ),
            (
                "authorization",
                "AWS4-HMAC-SHA256 \
                 Credential=fake-aws-key/20170918/us-east-1/AGCODService/aws4_request, \
                 SignedHeaders=accept;content-length;content-type;host;x-amz-date;x-amz-target, \
                 Signature=e9d5479b216d39a2dd949f5971383c871ab420a6c6b3380f98e9851a8349e260",
            ),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn verified(
        headers: &HeaderMap,
        path: &'static str,
        body: &[u8],
    ) -> Result<String, &'static str> {
        let request = SignedRequest {
            method: &Method::POST,
            uri: &Uri::from_static(path),
            headers,
            body,
        };
        verify(&request, &account()).map(|verified| verified.operation.to_owned())
    }

    #[test]
    fn accepts_the_published_vector() {
        assert_eq!(
            verified(&headers(), "/CreateGiftCard", BODY).as_deref(),
            Ok("CreateGiftCard")
        );
    }

    #[test]
    fn notices_any_change() {
        assert!(verified(&headers(), "/CancelGiftCard", BODY).is_err());
        assert!(verified(&headers(), "/CreateGiftCard?x=1", BODY).is_err());
        assert!(verified(&headers(), "/CreateGiftCard", b"{}").is_err());
        for name in [
            "accept",
            "content-type",
            "host",
            "x-amz-date",
            "x-amz-target",
        ] {
            let mut changed = headers();
            changed.insert(name, HeaderValue::from_static("20170918T133139Z"));
            assert!(
                verified(&changed, "/CreateGiftCard", BODY).is_err(),
                "{name}"
            );
            changed.remove(name);
            assert!(
                verified(&changed, "/CreateGiftCard", BODY).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn another_secret_does_not_verify() {
        let mut other = account();
        other.secret_access_key = "another".into();
        let request = SignedRequest {
            method: &Method::POST,
            uri: &Uri::from_static("/CreateGiftCard"),
            headers: &headers(),
            body: BODY,
        };
        assert_eq!(
            verify(&request, &other),
            Err("a signature that doesn't match")
        );
    }
}
