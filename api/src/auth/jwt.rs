//! Access tokens: JSON web tokens (RFC 7519), signed with Ed25519 (RFC 8037).
//!
//! One algorithm, bound to the key: a token's own word on how it is to be checked counts for
//! nothing, so neither `none` nor another algorithm with our public key as its secret gets in.
//! Audience, issuer and expiry are always there and always checked, by the clock port.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use schemas::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How long an access token counts (specification, section 4).
pub const LIFETIME_SECONDS: i64 = 24 * 60 * 60;
const ISSUER: &str = "hissaback";
const AUDIENCE: &str = "hissaback-api";
const ALGORITHM: &str = "EdDSA";
/// Room for hundreds of tenants; the head of a request is bounded besides.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// What a token lets its bearer do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A person's: their own rewards, and the tenants that they run.
    Person,
    /// An operator's.
    Operator,
    /// An analyst's: reads what operators read, and no contacts.
    Analyst,
    /// The scheduler's.
    Cron,
}

impl Scope {
    /// Its name in tokens and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Operator => "operator",
            Self::Analyst => "analyst",
            Self::Cron => "cron",
        }
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Who made it.
    iss: String,
    /// Whom it is for.
    aud: String,
    /// Whose it is: a user id, or the name of a service.
    pub sub: String,
    /// What it allows.
    pub scope: Scope,
    /// The sign-in that it comes from, for a person.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sid: Option<Uuid>,
    /// The tenants that a person ran when it was made.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tenants: Vec<TenantId>,
    /// When it was made, in seconds.
    iat: i64,
    /// From when on it is refused, in seconds.
    exp: i64,
    /// Its own name.
    jti: Uuid,
}

impl Claims {
    /// Claims that hold from `now` for as long as a token may.
    pub fn new(sub: String, scope: Scope, now: Timestamp) -> Self {
        let iat = now.millis().div_euclid(1_000);
        Self {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub,
            scope,
            sid: None,
            tenants: Vec::new(),
            iat,
            exp: iat + LIFETIME_SECONDS,
            jti: Uuid::new_v4(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// The keys: the newest signs, and each checks what it signed.
#[derive(Clone)]
pub struct JwtKeys {
    newest: u8,
    keys: Arc<BTreeMap<u8, Ed25519KeyPair>>,
}

/// The keys can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtKeysError {
    /// There is none.
    #[error("there is no key for access tokens")]
    None,
    /// A seed can't be used.
    #[error("the key {0} for access tokens can't be used")]
    Seed(u8),
    /// An id stands twice.
    #[error("two keys for access tokens have the id {0}")]
    Twice(u8),
}

impl JwtKeys {
    /// From ids and seeds of 32 secret bytes, newest first.
    ///
    /// # Errors
    /// When there is none, one can't be used, or an id stands twice.
    pub fn new(seeds: &[(u8, [u8; 32])]) -> Result<Self, JwtKeysError> {
        let newest = seeds.first().ok_or(JwtKeysError::None)?.0;
        let mut keys = BTreeMap::new();
        for (id, seed) in seeds {
            let key =
                Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| JwtKeysError::Seed(*id))?;
            if keys.insert(*id, key).is_some() {
                return Err(JwtKeysError::Twice(*id));
            }
        }
        Ok(Self {
            newest,
            keys: Arc::new(keys),
        })
    }

    /// A token that says this.
    pub fn sign(&self, claims: &Claims) -> String {
        let header = Header {
            alg: ALGORITHM.to_owned(),
            typ: "JWT".to_owned(),
            kid: self.newest.to_string(),
        };
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self.keys[&self.newest].sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// What a token says, if we said it, to us, and it still holds.
    pub fn verify(&self, token: &str, now: Timestamp) -> Option<Claims> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = parsed(header)?;
        if header.alg != ALGORITHM || header.typ != "JWT" {
            return None;
        }
        let key = self.keys.get(&header.kid.parse().ok()?)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ED25519, key.public_key().as_ref())
            .verify(signed.as_bytes(), &signature)
            .ok()?;
        let claims: Claims = parsed(claims)?;
        let now = now.millis().div_euclid(1_000);
        let ours = claims.iss == ISSUER && claims.aud == AUDIENCE;
        // A token that would hold for longer than we ever say isn't one of ours.
        let holds = now < claims.exp && claims.exp.saturating_sub(claims.iat) <= LIFETIME_SECONDS;
        (ours && holds).then_some(claims)
    }

    /// The public half of a key, for whoever tries to abuse it in a test.
    #[cfg(test)]
    fn public_key(&self) -> Vec<u8> {
        self.keys[&self.newest].public_key().as_ref().to_vec()
    }
}

fn part(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).expect("claims and headers are plain JSON");
    URL_SAFE_NO_PAD.encode(json)
}

fn parsed<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use ring::hmac;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn keys(ids: &[u8]) -> JwtKeys {
        let seeds: Vec<_> = ids.iter().map(|id| (*id, [*id; 32])).collect();
        JwtKeys::new(&seeds).expect("keys")
    }

    fn claims() -> Claims {
        Claims::new("service".to_owned(), Scope::Operator, NOW)
    }

    /// A token with these parts, signed as we sign.
    fn crafted(header: &serde_json::Value, claims: &serde_json::Value) -> String {
        let signed = format!("{}.{}", part(header), part(claims));
        let key = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).expect("a key");
        let signature = key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn header() -> serde_json::Value {
        json!({"alg": "EdDSA", "typ": "JWT", "kid": "1"})
    }

    fn as_json(claims: &Claims) -> serde_json::Value {
        serde_json::to_value(claims).expect("JSON")
    }

    #[test]
    fn what_we_signed_is_read_until_it_expires() {
        let keys = keys(&[1]);
        let token = keys.sign(&claims());
        assert_eq!(keys.verify(&token, NOW), Some(claims_of(&token)));
        let last = NOW.plus_millis(LIFETIME_SECONDS * 1_000 - 1);
        assert!(keys.verify(&token, last).is_some());
        assert!(keys.verify(&token, last.plus_millis(1)).is_none());
        // What `crafted` makes of the same parts is a token too: the refusals below are not for
        // want of form.
        assert!(
            keys.verify(&crafted(&header(), &as_json(&claims())), NOW)
                .is_some()
        );
    }

    fn claims_of(token: &str) -> Claims {
        let part = token.split('.').nth(1).expect("claims");
        parsed(part).expect("claims")
    }

    #[test]
    fn keys_rotate_by_their_id() {
        let before = keys(&[1]);
        let after = keys(&[2, 1]);
        assert!(after.verify(&before.sign(&claims()), NOW).is_some());
        assert!(before.verify(&after.sign(&claims()), NOW).is_none());
        assert!(keys(&[2]).verify(&before.sign(&claims()), NOW).is_none());
        assert_eq!(JwtKeys::new(&[]).err(), Some(JwtKeysError::None));
        let twice = JwtKeys::new(&[(1, [1; 32]), (1, [2; 32])]);
        assert_eq!(twice.err(), Some(JwtKeysError::Twice(1)));
    }

    #[test]
    fn a_forged_token_is_refused() {
        let keys = keys(&[1]);
        let token = keys.sign(&claims());
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(bytes).expect("ASCII");
            assert!(keys.verify(&forged, NOW).is_none(), "byte {index}");
        }
        for cut in ["", ".", "..", "a.b.c", &token[..token.len() - 1]] {
            assert!(keys.verify(cut, NOW).is_none(), "{cut:?}");
        }
        assert!(keys.verify(&"a".repeat(TOKEN_BYTES_MAX + 1), NOW).is_none());
    }

    #[test]
    fn another_algorithm_is_refused_whatever_it_is_keyed_with() {
        let keys = keys(&[1]);
        let claims = as_json(&claims());
        for algorithm in ["none", "None", "HS256", "ES256", "RS256", "eddsa", ""] {
            let header = json!({"alg": algorithm, "typ": "JWT", "kid": "1"});
            assert!(
                keys.verify(&crafted(&header, &claims), NOW).is_none(),
                "{algorithm}"
            );
        }
        let header = json!({"alg": "HS256", "typ": "JWT", "kid": "1"});
        let signed = format!("{}.{}", part(&header), part(&claims));
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &keys.public_key());
        let tag = hmac::sign(&secret, signed.as_bytes());
        let swapped = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert!(keys.verify(&swapped, NOW).is_none());
        let none = json!({"alg": "none", "typ": "JWT", "kid": "1"});
        assert!(
            keys.verify(&format!("{}.{}.", part(&none), part(&claims)), NOW)
                .is_none()
        );
    }

    #[test]
    fn a_header_that_brings_its_own_key_is_refused() {
        let keys = keys(&[1]);
        for extra in ["jwk", "jku", "x5u", "crit", "b64"] {
            let mut header = header();
            header[extra] = json!("https://evil.example/keys");
            assert!(
                keys.verify(&crafted(&header, &as_json(&claims())), NOW)
                    .is_none(),
                "{extra}"
            );
        }
        for kid in ["2", "", "../1", "01 "] {
            let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": kid});
            assert!(
                keys.verify(&crafted(&header, &as_json(&claims())), NOW)
                    .is_none(),
                "{kid:?}"
            );
        }
    }

    #[test]
    fn claims_that_are_missing_or_not_meant_for_us_are_refused() {
        let keys = keys(&[1]);
        let good = as_json(&claims());
        for claim in ["iss", "aud", "sub", "scope", "iat", "exp", "jti"] {
            let mut lacking = good.clone();
            lacking.as_object_mut().expect("an object").remove(claim);
            assert!(
                keys.verify(&crafted(&header(), &lacking), NOW).is_none(),
                "{claim}"
            );
        }
        for (claim, value) in [
            ("iss", json!("somebody")),
            ("aud", json!("another-api")),
            ("aud", json!(["hissaback-api", "another-api"])),
            ("exp", json!(i64::from(i32::MAX) * 4)),
            ("exp", json!("2200000000")),
            ("iat", json!(0)),
            ("scope", json!("root")),
        ] {
            let mut wrong = good.clone();
            wrong[claim] = value.clone();
            assert!(
                keys.verify(&crafted(&header(), &wrong), NOW).is_none(),
                "{claim} {value}"
            );
        }
    }
}
