//! Who asks, from the bearer token.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::{HeaderMap, header, request::Parts};
use schemas::{TenantId, Timestamp, UserId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{Claims, JwtKeys, Scope};
use crate::{Api, Problem};

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

/// What bearer tokens are checked with.
#[derive(Clone, Default)]
pub struct Tokens {
    /// The scheduler's service token: payout runs.
    pub cron: Option<BearerToken>,
    /// The SMS gateway's secret: delivery reports.
    pub delivery_reports: Option<BearerToken>,
    /// Operators' service token: commands, fates, audit.
    pub operator: Option<BearerToken>,
    /// The keys of access tokens.
    pub jwt: Option<JwtKeys>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Somebody who signed in with their phone.
    Person(Person),
    /// A service, or a person of the platform's.
    Service(Service),
}

/// Somebody who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub user_id: UserId,
    /// The sign-in that their token comes from.
    pub session_id: Uuid,
    /// The tenants that they ran when the token was made.
    pub tenants: Vec<TenantId>,
}

/// A service, or a person of the platform's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What it may do.
    pub scope: Scope,
    /// What it calls itself, for the audit.
    pub name: String,
}

impl Tokens {
    /// Who bears the token of these headers. A token that doesn't count is like none.
    ///
    /// # Errors
    /// [`Problem::Unauthorised`].
    pub fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Result<Caller, Problem> {
        let given = bearer(headers).ok_or(Problem::Unauthorised)?;
        for (token, scope) in [(&self.operator, Scope::Operator), (&self.cron, Scope::Cron)] {
            if token.as_ref().is_some_and(|token| token.matches(given)) {
                let name = scope.name().to_owned();
                return Ok(Caller::Service(Service { scope, name }));
            }
        }
        let claims = self.jwt.as_ref().and_then(|keys| keys.verify(given, now));
        claims
            .and_then(Caller::of_claims)
            .ok_or(Problem::Unauthorised)
    }

    /// Lets the SMS gateway in: by the secret in its headers, or by the one that its address names.
    ///
    /// # Errors
    /// [`Problem::Forbidden`] for somebody else, [`Problem::Unauthorised`] for nobody.
    pub fn gateway(
        &self,
        headers: &HeaderMap,
        in_address: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let given = in_address.or_else(|| bearer(headers));
        let expected = self.delivery_reports.as_ref().zip(given);
        if expected.is_some_and(|(expected, given)| expected.matches(given)) {
            return Ok(());
        }
        self.caller(headers, now).and(Err(Problem::Forbidden))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let line = lines.next().filter(|_| lines.next().is_none())?;
    let (scheme, token) = line.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

impl Caller {
    fn of_claims(claims: Claims) -> Option<Self> {
        match claims.scope {
            Scope::Person => Some(Self::Person(Person {
                user_id: claims.sub.parse().ok()?,
                session_id: claims.sid?,
                tenants: claims.tenants,
            })),
            scope @ (Scope::Operator | Scope::Analyst | Scope::Cron) => {
                Some(Self::Service(Service {
                    scope,
                    name: claims.sub,
                }))
            }
        }
    }

    /// Names the caller where keys and logs of different callers must not meet.
    pub fn key(&self) -> String {
        match self {
            Self::Person(person) => format!("person:{}", person.user_id),
            Self::Service(service) => format!("{}:{}", service.scope.name(), service.name),
        }
    }
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let caller = api.tokens.caller(&parts.headers, api.clock.now())?;
        tracing::debug!(caller = caller.key(), "who asks");
        Ok(caller)
    }
}

/// Somebody who signed in; services are forbidden.
pub struct SignedIn(pub Person);

impl FromRequestParts<Arc<Api>> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, api).await? {
            Caller::Person(person) => Ok(Self(person)),
            Caller::Service(_) => Err(Problem::Forbidden),
        }
    }
}

async fn service(parts: &mut Parts, api: &Arc<Api>, allowed: &[Scope]) -> Result<Service, Problem> {
    match Caller::from_request_parts(parts, api).await? {
        Caller::Service(service) if allowed.contains(&service.scope) => Ok(service),
        Caller::Service(_) | Caller::Person(_) => Err(Problem::Forbidden),
    }
}

/// An operator.
pub struct Operator(pub Service);

impl FromRequestParts<Arc<Api>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        service(parts, api, &[Scope::Operator]).await.map(Self)
    }
}

/// An operator or an analyst: reads what names nobody.
pub struct Reader(pub Service);

impl FromRequestParts<Arc<Api>> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let allowed = [Scope::Operator, Scope::Analyst];
        service(parts, api, &allowed).await.map(Self)
    }
}

/// The scheduler.
pub struct Cron(pub Service);

impl FromRequestParts<Arc<Api>> for Cron {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        service(parts, api, &[Scope::Cron]).await.map(Self)
    }
}
