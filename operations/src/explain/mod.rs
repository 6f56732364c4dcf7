//! Why a sum is what it is: from a gift card down to the bytes of the raw reports, and up again
//! (design section 7, explain).
//!
//! ```text
//!  payout ─▶ items ─▶ claim ─▶ status, reasons with evidence, rates and rules with their versions
//!    ▲                  ├─▶ postings, operators' commands
//!    │                  ├─▶ click
//!    └──────────────────┘─▶ reports ─▶ topic/partition/offset ─▶ bytes, read from the log
//! ```
//!
//! What a claim owes to another tenant's claims is told as a number only.

mod claim;
mod claim_tree;
mod money;
mod payout;
pub mod proof;
mod report;
mod tree;
mod user;

use schemas::{EventId, PayoutId, Position, TenantId, UserId, codec::CodecError};
use serde::Serialize;
use sqlx::PgPool;
use stream::{Log, LogError};

pub use claim::{ClaimLineage, CommandLine, PaidBy, PinnedTerms, PostingLine, Reason, SharedOrder};
pub use money::{Money, Parts};
pub use payout::{ItemLineage, PayoutLineage, StepLine};
pub use report::{RawEvidence, ReportLineage, UnmatchedLineage};
pub use tree::Tree;
pub use user::{BalanceLine, UserLineage};

/// Claims that the explanation of an order or a user holds at most; a user's are the newest.
pub const CLAIMS_MAX: i64 = 100;

/// What is to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A sale, by the event id of any of its reports.
    Conversion(EventId),
    /// A sale, by the position of one of its reports.
    Report(Position),
    /// The claims that name an order, of one tenant where it is given.
    Order(String, Option<TenantId>),
    /// A gift card.
    Payout(PayoutId),
    /// What a shopper was owed and paid, of one tenant where it is given.
    User(UserId, Option<TenantId>),
}

/// How something came about.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Explanation {
    /// Claims: one for a conversion, all that name it for an order.
    Claims(Vec<ClaimLineage>),
    /// A report without a claim.
    Unmatched(Box<UnmatchedLineage>),
    /// A payout, down to the reports.
    Payout(Box<PayoutLineage>),
    /// A shopper.
    User(Box<UserLineage>),
}

/// Why something can't be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// There is nothing of this name.
    #[error("{0} isn't known to the ledger")]
    Unknown(String),
    /// What one tenant may know of an order, another may not.
    #[error("claims of {0} tenants name the order {1}: say whose are meant")]
    SeveralTenants(usize, String),
    /// The database can't be read.
    #[error("the ledger can't be read: {0}")]
    Database(#[from] sqlx::Error),
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What the ledger stored can't be read.
    #[error("a stored record can't be read: {0}")]
    Stored(#[from] CodecError),
    /// A stored value is none that we write.
    #[error("the ledger holds {0}")]
    Invalid(String),
}

/// Reads a ledger and its log, as an operator.
#[derive(Clone, Copy)]
pub struct Explainer<'a> {
    /// Connections as the operator.
    pub pool: &'a PgPool,
    /// Holds the raw reports.
    pub log: &'a dyn Log,
}

impl Explainer<'_> {
    /// Explains a subject.
    ///
    /// # Errors
    /// When there is no such thing, or it can't be read.
    pub async fn explain(&self, subject: &Subject) -> Result<Explanation, ExplainError> {
        match subject {
            Subject::Conversion(event_id) => self.conversion(*event_id).await,
            Subject::Report(position) => {
                let event_id = self.event_id_at(*position).await?;
                self.conversion(event_id).await
            }
            Subject::Order(txn_id, tenant) => {
                let claims = self.order(txn_id, *tenant).await?;
                Ok(Explanation::Claims(claims))
            }
            Subject::Payout(payout_id) => {
                let payout = self.payout(*payout_id).await?;
                Ok(Explanation::Payout(Box::new(payout)))
            }
            Subject::User(user_id, tenant) => {
                let user = self.user(*user_id, *tenant).await?;
                Ok(Explanation::User(Box::new(user)))
            }
        }
    }

    async fn conversion(&self, event_id: EventId) -> Result<Explanation, ExplainError> {
        if let Some(claim) = self.claim_of(event_id).await? {
            return Ok(Explanation::Claims(vec![self.claim(claim).await?]));
        }
        let unmatched = self.unmatched(event_id).await?;
        Ok(Explanation::Unmatched(Box::new(unmatched)))
    }
}

impl Explanation {
    /// As a tree, for people.
    pub fn trees(&self) -> Vec<Tree> {
        match self {
            Self::Claims(claims) => claims.iter().map(ClaimLineage::tree).collect(),
            Self::Unmatched(unmatched) => vec![unmatched.tree()],
            Self::Payout(payout) => vec![payout.tree()],
            Self::User(user) => vec![user.tree()],
        }
    }
}
