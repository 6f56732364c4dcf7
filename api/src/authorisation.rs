//! Bearer tokens, compared in constant time.

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::Problem;

/// A secret that lets its bearer in. Only its hash is kept, so that neither contents nor length
/// shows in how long a comparison takes.
#[derive(Clone)]
pub struct BearerToken([u8; 32]);

impl BearerToken {
    /// From the secret.
    pub fn new(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    fn matches(&self, given: &str) -> bool {
        self.0.ct_eq(&Self::new(given).0).into()
    }
}

/// Who may do what. What has no token is closed.
#[derive(Clone, Default)]
pub struct Tokens {
    /// The scheduler's: payout runs.
    pub cron: Option<BearerToken>,
    /// The SMS gateway's: delivery reports.
    pub delivery_reports: Option<BearerToken>,
    /// Operators': commands, fates, audit.
    pub operator: Option<BearerToken>,
}

/// Fails unless the request bears the token.
///
/// # Errors
/// [`Problem::Unauthorised`] without a bearer token, [`Problem::Forbidden`] with another one, or
/// where none is configured.
pub(crate) fn check(headers: &HeaderMap, expected: Option<&BearerToken>) -> Result<(), Problem> {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or(Problem::Unauthorised)?;
    compare(given, expected)
}

/// Fails unless this is the token.
///
/// # Errors
/// [`Problem::Forbidden`] where it is another one, or none is configured.
pub(crate) fn compare(given: &str, expected: Option<&BearerToken>) -> Result<(), Problem> {
    match expected {
        Some(expected) if expected.matches(given) => Ok(()),
        Some(_) | None => Err(Problem::Forbidden),
    }
}
