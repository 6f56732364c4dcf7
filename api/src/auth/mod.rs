//! Who asks, and what they may do.
//!
//! | who | bears | may |
//! |---|---|---|
//! | a shopper | an access token of scope `person`, from a one-time code | see their own rewards |
//! | a creator | the same; a shopper is a creator of the tenants that they are a member of | act for those tenants |
//! | an operator, an analyst, the scheduler | an access token of that scope, from `hissaback token`; or, as an operator or the scheduler, the static service token of the secrets | operate; read; run payouts |
//!
//! A handler says who it is for by what it extracts ([`SignedIn`], [`Operator`], [`Reader`],
//! [`Cron`], [`Caller`]), and gets at rows only through a [`ScopedTransaction`], which can't be had
//! without a caller whose token and standing were checked.

mod caller;
mod jwt;
mod one_time_code;
mod scope;
mod session;

pub use caller::{BearerToken, Caller, Cron, Operator, Person, Reader, Service, SignedIn, Tokens};
pub use jwt::{Claims, JwtKeys, JwtKeysError, LIFETIME_SECONDS, Scope};
pub use one_time_code::{CodeNotSent, CodeSender};
pub use scope::{ScopedTransaction, TenantScope};

pub(crate) use one_time_code::{__path_request, __path_verify, normalised_phone, request, verify};
pub(crate) use scope::{now, people_pool};
pub(crate) use session::{__path_refresh, __path_sign_out, refresh, sign_out};
