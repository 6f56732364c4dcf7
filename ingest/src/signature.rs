//! Requests that are signed with a shared secret: postbacks of networks that can, and what an edge
//! sends.
//!
//! The header `X-Hissaback-Signature` is `t=SECONDS,v1=HEX`: when it was signed (Unix time), and
//! HMAC-SHA256 with the secret over the time's digits, a line feed, the query as it is sent
//! (without `?`), a line feed, and the body. Several `v1` may stand there while a secret is
//! replaced. What was signed more than five minutes ago, or lies as far ahead, is refused.
//!
//! Within these minutes a captured request may be sent again, and changes nothing: a report that
//! comes twice is one sale, and a click that comes twice is one click.

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use schemas::Timestamp;
use sha2::Sha256;

/// The header that carries a signature.
pub const HEADER: &str = "x-hissaback-signature";
/// How far the signer's clock may be from ours, and how long a request may be on its way.
pub const TOLERANCE_SECONDS: i64 = 300;

/// Shorter secrets could be guessed.
const SECRET_BYTES_MIN: usize = 16;
/// More signatures than secrets that are being replaced aren't looked at.
const SIGNATURES_MAX: usize = 4;

/// Secrets that a sender may sign with: two while one is replaced by the other.
#[derive(Clone)]
pub struct SigningSecrets(Vec<Hmac<Sha256>>);

/// Secrets that can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret has at least 16 bytes, each on a line of its own; and there is at least one")]
pub struct SecretError;

/// Why a signature doesn't count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no header, or it isn't as described.
    #[error("`X-Hissaback-Signature` is needed: `t=SECONDS,v1=HEX`")]
    Missing,
    /// It was signed too long ago, or in the future.
    #[error("it was signed more than five minutes from now: send it anew, or set the clock")]
    OutOfTime,
    /// It isn't made with the secret over this time, query and body.
    #[error("the signature doesn't fit the request")]
    Wrong,
}

impl SigningSecrets {
    /// One secret a line; blank lines don't count.
    ///
    /// # Errors
    /// When there is none, or one is too short.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let secrets: Vec<&str> = lines.collect();
        let usable = |secret: &&str| secret.len() >= SECRET_BYTES_MIN;
        if secrets.is_empty() || !secrets.iter().all(usable) {
            return Err(SecretError);
        }
        let keyed = secrets
            .iter()
            .map(|secret| Hmac::new_from_slice(secret.as_bytes()));
        let keyed: Result<_, _> = keyed.collect();
        keyed.map(Self).map_err(|_| SecretError)
    }

    /// # Errors
    /// When the request isn't signed with one of the secrets, or not within the tolerance of `now`.
    pub(crate) fn verify(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
        query: &[u8],
        body: &[u8],
    ) -> Result<(), SignatureError> {
        let (at, given) = read(headers).ok_or(SignatureError::Missing)?;
        let seconds: i64 = at.parse().map_err(|_| SignatureError::Missing)?;
        let apart = (now.millis() / 1_000).abs_diff(seconds);
        if apart > TOLERANCE_SECONDS.unsigned_abs() {
            return Err(SignatureError::OutOfTime);
        }
        let fits = self.0.iter().any(|secret| {
            let signed = signed(secret, at, query, body);
            // Compared in constant time.
            let mut each = given.iter();
            each.any(|signature| signed.clone().verify_slice(signature).is_ok())
        });
        fits.then_some(()).ok_or(SignatureError::Wrong)
    }

    /// The header's value for a request, by the first secret.
    #[cfg(test)]
    pub(crate) fn sign(&self, now: Timestamp, query: &[u8], body: &[u8]) -> String {
        let at = (now.millis() / 1_000).to_string();
        let signed = signed(&self.0[0], &at, query, body).finalize();
        format!("t={at},v1={}", hex::encode(signed.into_bytes()))
    }
}

impl std::fmt::Debug for SigningSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningSecrets({})", self.0.len())
    }
}

fn signed(secret: &Hmac<Sha256>, at: &str, query: &[u8], body: &[u8]) -> Hmac<Sha256> {
    // Neither the digits nor a query hold a line feed: nothing can be moved from one to the next.
    let parts: [&[u8]; 5] = [at.as_bytes(), b"\n", query, b"\n", body];
    parts.iter().fold(secret.clone(), Mac::chain_update)
}

fn read(headers: &HeaderMap) -> Option<(&str, Vec<Vec<u8>>)> {
    let value = headers.get(HEADER)?.to_str().ok()?;
    let mut at = None;
    let mut signatures = Vec::new();
    for part in value.split(',') {
        match part.trim().split_once('=')? {
            ("t", digits) if at.is_none() => at = Some(digits),
            ("v1", signature) if signatures.len() < SIGNATURES_MAX => {
                signatures.push(hex::decode(signature).ok()?);
            }
            // Schemes to come.
            _ => {}
        }
    }
    let at = at.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((at, signatures))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
    const SECRET: &str = "an example secret";

    fn secrets(text: &str) -> SigningSecrets {
        SigningSecrets::parse(text).expect("usable")
    }

    fn verify(value: &str, now: Timestamp, query: &str, body: &str) -> Result<(), SignatureError> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_str(value).expect("a value"));
        let (query, body) = (query.as_bytes(), body.as_bytes());
        secrets(SECRET).verify(&headers, now, query, body)
    }

    /// The example of `docs/api.md`, made with openssl.
    #[test]
    fn what_others_sign_as_documented_counts() {
        let value = "t=1790000000,\
                     v1=f8487058d8c777d2e112c9520db7234410cfad4e6708840fe87ca44b3b184bd1";
        assert_eq!(verify(value, NOW, "p1=7&status=approved", ""), Ok(()));
        assert_eq!(
            secrets(SECRET).sign(NOW, b"p1=7&status=approved", b""),
            value
        );
    }

    #[test]
    fn a_signature_holds_for_its_time_query_and_body_only() {
        let value = secrets(SECRET).sign(NOW, b"a=1", b"b=2");
        assert_eq!(verify(&value, NOW, "a=1", "b=2"), Ok(()));
        for (query, body) in [
            ("a=2", "b=2"),
            ("a=1", "b=3"),
            ("a=1\nb=2", ""),
            ("", "a=1\nb=2"),
        ] {
            let refused = verify(&value, NOW, query, body);
            assert_eq!(refused, Err(SignatureError::Wrong), "{query} {body}");
        }
        let moved = value.replace("t=1790000000", "t=1790000001");
        assert_eq!(
            verify(&moved, NOW, "a=1", "b=2"),
            Err(SignatureError::Wrong)
        );
        for seconds in [-300, 300] {
            let now = NOW.plus_millis(seconds * 1_000);
            assert_eq!(verify(&value, now, "a=1", "b=2"), Ok(()));
            let now = now.plus_millis(seconds.signum() * 1_000);
            let refused = verify(&value, now, "a=1", "b=2");
            assert_eq!(refused, Err(SignatureError::OutOfTime));
        }
    }

    #[test]
    fn what_is_no_signature_is_none() {
        for value in [
            "",
            "t=1790000000",
            "t=1790000000,v1=",
            "t=1790000000,v1=xyz",
            "v1=00",
            "t=-1790000000,v1=00",
            "t=99999999999999999999,v1=00",
            "t=1790000000,v2=00",
        ] {
            assert!(verify(value, NOW, "", "").is_err(), "{value}");
        }
        let none = secrets(SECRET).verify(&HeaderMap::new(), NOW, b"", b"");
        assert_eq!(none, Err(SignatureError::Missing));
    }

    #[test]
    fn while_a_secret_is_replaced_both_count() {
        let new = secrets("a newer secret, also long").sign(NOW, b"", b"x");
        let both = secrets(&format!("{SECRET}\n\na newer secret, also long\n"));
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_str(&new).expect("a value"));
        assert_eq!(both.verify(&headers, NOW, b"", b"x"), Ok(()));
        assert_eq!(verify(&new, NOW, "", "x"), Err(SignatureError::Wrong));
        let other = "00".repeat(32);
        let (at, signature) = new.split_once(',').expect("two parts");
        let several = format!("{at},v1={other},{signature}");
        headers.insert(HEADER, HeaderValue::from_str(&several).expect("a value"));
        assert_eq!(both.verify(&headers, NOW, b"", b"x"), Ok(()));
    }

    #[test]
    fn short_secrets_and_none_are_refused() {
        for text in ["", "\n \n", "short", "long enough to be used\nshort"] {
            assert_eq!(
                SigningSecrets::parse(text).err(),
                Some(SecretError),
                "{text}"
            );
        }
        assert_eq!(format!("{:?}", secrets(SECRET)), "SigningSecrets(1)");
    }
}
