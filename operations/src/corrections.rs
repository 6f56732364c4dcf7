//! What a replay would have booked otherwise, brought into the books: proposed by one operator,
//! approved by another, and given as commands.
//!
//! A correction never names an amount more or less (design section 5). Where the log says what is
//! to be booked, and only the row says otherwise, the command states the correction that is in
//! force, or none: it changes nothing about the claim, and the ledger settles it anew. Where
//! today's code decides otherwise than it was decided, the command names what is to stand in the
//! books. Either posts target less booked, so giving it twice posts nothing more. Nobody is paid
//! by it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use processors::rules::split::Parts;
use rust_decimal::Decimal;
use schemas::{
    Currency, EventId, MoneyOverflow, TenantId,
    events::{CommandBody, Correct, Split, Target},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sinks::ledger::{LedgerError, claim_rows};
use sqlx::{PgConnection, PgPool, Row, postgres::PgRow, types::Json};

use crate::{
    commands::{CommandError, Commands, TEXT_BYTES_MAX},
    replay::{Cause, Misbooked, ReplayReport},
};

/// Rows looked up at a time.
const ROWS_AT_A_TIME: usize = 1_000;
/// Fewest characters of a hash that name it.
const HASH_CHARS_MIN: usize = 8;

/// What is to become of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// The claim.
    pub claim: EventId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Currency of all sums.
    pub currency: Currency,
    /// Why.
    pub cause: Cause,
    /// What was booked when it was proposed.
    pub booked: Split,
    /// What is to be booked.
    pub target: Split,
    /// What the command names: nothing where the log says the rest.
    pub command: Option<Target>,
}

/// How far a proposal reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Claims.
    pub claims: usize,
    /// Whose they are.
    pub tenants: BTreeSet<TenantId>,
    /// Claims by cause.
    pub causes: BTreeMap<Cause, usize>,
    /// What shoppers, creators and the platform get more, and what they get less, by currency.
    pub moved: BTreeMap<String, Moved>,
}

/// Sums in units of a currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// What is booked more.
    pub more: Decimal,
    /// What is booked less; not negative.
    pub less: Decimal,
}

/// A proposal, approved or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// Its number.
    pub proposal_id: i64,
    /// When it was made.
    pub proposed_at: DateTime<Utc>,
    /// By whom.
    pub proposed_by: String,
    /// Why.
    pub reason: String,
    /// How far it reaches.
    pub extent: Extent,
    /// SHA-256 of its corrections.
    pub sha256: String,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// When its commands were in the log.
    pub applied_at: Option<DateTime<Utc>>,
}

/// Why nothing is proposed, or approved.
#[derive(Debug, thiserror::Error)]
pub enum CorrectionError {
    /// An author or reason that says nothing, or too much.
    #[error("`{0}` must be a text of 1 to {TEXT_BYTES_MAX} bytes without NULs")]
    Text(&'static str),
    /// The replay found nothing that a correction brings right.
    #[error("there is nothing that a correction would bring right")]
    Nothing,
    /// There is no such proposal.
    #[error("there is no proposal {0}")]
    Unknown(i64),
    /// It was applied before.
    #[error("proposal {0} was applied already")]
    Applied(i64),
    /// Whoever proposes it doesn't approve it.
    #[error("{0} proposed it: another operator has to approve it")]
    SameOperator(String),
    /// Another one has approved it, and is applying it.
    #[error("{0} has approved it already: they can go on with it")]
    ApprovedBy(String),
    /// The hash isn't the proposal's.
    #[error(
        "the hash isn't that of proposal {0}, or has fewer than {HASH_CHARS_MIN} characters: look \
         at it again"
    )]
    OtherHash(i64),
    /// The books have moved on.
    #[error("claim {0} isn't booked as it was when this was proposed: replay and propose anew")]
    Stale(EventId),
    /// A sum leaves its range.
    #[error(transparent)]
    Overflow(#[from] MoneyOverflow),
    /// A command wasn't given; approving again gives those that are missing.
    #[error("a correction was not given, and approving again is harmless: {0}")]
    Command(#[from] CommandError),
    /// The ledger can't be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The proposal can't be encoded.
    #[error("the proposal can't be encoded: {0}")]
    Encode(#[from] serde_json::Error),
}

impl From<sqlx::Error> for CorrectionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}

/// Corrections that a replay asks for.
///
/// # Errors
/// When a sum leaves its range.
pub fn of_replay(report: &ReplayReport) -> Result<Vec<Correction>, MoneyOverflow> {
    report.corrections.iter().map(correction).collect()
}

fn correction(misbooked: &Misbooked) -> Result<Correction, MoneyOverflow> {
    let split = |parts: Parts| parts.to_split(misbooked.currency);
    let named = match misbooked.cause {
        Cause::DecidedOtherwise => Some(misbooked.target),
        Cause::Altered | Cause::FoldedOtherwise | Cause::NotInTheLog | Cause::Unexplained => {
            misbooked.corrected
        }
    };
    Ok(Correction {
        claim: misbooked.claim,
        tenant_id: misbooked.tenant_id,
        currency: misbooked.currency,
        cause: misbooked.cause,
        booked: split(misbooked.booked)?,
        target: split(misbooked.target)?,
        command: match named {
            Some(parts) => Some(Target {
                split: split(parts)?,
            }),
            None => None,
        },
    })
}

/// How far corrections reach.
pub fn extent(corrections: &[Correction]) -> Extent {
    let mut extent = Extent {
        claims: corrections.len(),
        tenants: corrections.iter().map(|one| one.tenant_id).collect(),
        causes: BTreeMap::new(),
        moved: BTreeMap::new(),
    };
    for correction in corrections {
        *extent.causes.entry(correction.cause).or_default() += 1;
        let (target, booked) = (&correction.target, &correction.booked);
        let moved = extent.moved.entry(correction.currency.to_string());
        let moved = moved.or_default();
        for (now, before) in [
            (target.user, booked.user),
            (target.creator, booked.creator),
            (target.fee, booked.fee),
        ] {
            let difference = now.to_decimal() - before.to_decimal();
            if difference.is_sign_negative() {
                moved.less -= difference;
            } else {
                moved.more += difference;
            }
        }
    }
    extent
}

fn hash(corrections: &[Correction]) -> Result<String, serde_json::Error> {
    Ok(hex::encode(Sha256::digest(serde_json::to_vec(
        corrections,
    )?)))
}

fn checked<'a>(name: &'static str, text: &'a str) -> Result<&'a str, CorrectionError> {
    let text = text.trim();
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.contains('\0') {
        return Err(CorrectionError::Text(name));
    }
    Ok(text)
}

const COLUMNS: &str = "proposal_id, proposed_at, proposed_by, reason, extent, sha256, approved_by, \
                       applied_at";

fn proposal(row: &PgRow) -> sqlx::Result<Proposal> {
    let Json(extent) = row.try_get("extent")?;
    Ok(Proposal {
        proposal_id: row.try_get("proposal_id")?,
        proposed_at: row.try_get("proposed_at")?,
        proposed_by: row.try_get("proposed_by")?,
        reason: row.try_get("reason")?,
        extent,
        sha256: row.try_get("sha256")?,
        approved_by: row.try_get("approved_by")?,
        applied_at: row.try_get("applied_at")?,
    })
}

/// Keeps what a replay asks for, until somebody else approves it. `pool` is the operator's.
///
/// # Errors
/// When there is nothing to propose, or it can't be kept.
pub async fn propose(
    pool: &PgPool,
    report: &ReplayReport,
    operator: &str,
    reason: &str,
) -> Result<Proposal, CorrectionError> {
    let operator = checked("operator", operator)?;
    let reason = checked("reason", reason)?;
    let corrections = of_replay(report)?;
    if corrections.is_empty() {
        return Err(CorrectionError::Nothing);
    }
    let statement = sqlx::AssertSqlSafe(format!(
        "INSERT INTO correction_proposals
             (proposed_by, reason, code_version, span, extent, corrections, sha256)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {COLUMNS}"
    ));
    let row = sqlx::query(statement)
        .bind(operator)
        .bind(reason)
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(Json(report.span))
        .bind(Json(extent(&corrections)))
        .bind(Json(&corrections))
        .bind(hash(&corrections)?)
        .fetch_one(pool)
        .await?;
    Ok(proposal(&row)?)
}

/// The newest proposals, newest first.
///
/// # Errors
/// When the database can't be read.
pub async fn list(pool: &PgPool, proposals_max: i64) -> Result<Vec<Proposal>, CorrectionError> {
    let statement = sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM correction_proposals ORDER BY proposal_id DESC LIMIT $1"
    ));
    let rows = sqlx::query(statement)
        .bind(proposals_max)
        .fetch_all(pool)
        .await?;
    Ok(rows.iter().map(proposal).collect::<sqlx::Result<_>>()?)
}

/// Approves a proposal by its number and hash, gives its commands, and notes both in the audit log.
/// Approved and then interrupted, it is gone on with by approving it again.
///
/// # Errors
/// See [`CorrectionError`]; but for a command that wasn't given, nothing was changed.
pub async fn approve(
    pool: &PgPool,
    commands: &Commands,
    proposal_id: i64,
    sha256: &str,
    operator: &str,
) -> Result<Proposal, CorrectionError> {
    let operator = checked("operator", operator)?;
    let corrections = note_approval(pool, proposal_id, sha256, operator).await?;
    let reason = format!("replay, proposal {proposal_id}, approved by {operator}");
    let mut transaction = pool.begin().await?;
    let author: String = sqlx::query_scalar(
        "SELECT proposed_by FROM correction_proposals WHERE proposal_id = $1 FOR UPDATE",
    )
    .bind(proposal_id)
    .fetch_one(&mut *transaction)
    .await?;
    for correction in &corrections {
        let body = CommandBody::Correct(Correct {
            event_id: correction.claim,
            target: correction.command,
        });
        commands.give(&author, &reason, body).await?;
    }
    let statement = sqlx::AssertSqlSafe(format!(
        "UPDATE correction_proposals SET applied_at = now() WHERE proposal_id = $1
         RETURNING {COLUMNS}"
    ));
    let row = sqlx::query(statement)
        .bind(proposal_id)
        .fetch_one(&mut *transaction)
        .await?;
    let applied = proposal(&row)?;
    sqlx::query(
        "INSERT INTO audit_log (author, action, subject, detail)
         VALUES ($1, 'approve_corrections', $2, $3)",
    )
    .bind(operator)
    .bind(proposal_id.to_string())
    .bind(Json(&applied))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    tracing::info!(
        proposal_id,
        operator,
        claims = corrections.len(),
        "corrections given"
    );
    Ok(applied)
}

/// Looks whether it may be approved, and notes that it is: before the first command.
async fn note_approval(
    pool: &PgPool,
    proposal_id: i64,
    sha256: &str,
    operator: &str,
) -> Result<Vec<Correction>, CorrectionError> {
    let mut transaction = pool.begin().await?;
    let statement = sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS}, corrections FROM correction_proposals WHERE proposal_id = $1 FOR UPDATE"
    ));
    let row = sqlx::query(statement)
        .bind(proposal_id)
        .fetch_optional(&mut *transaction)
        .await?;
    let row = row.ok_or(CorrectionError::Unknown(proposal_id))?;
    let found = proposal(&row)?;
    let Json(corrections): Json<Vec<Correction>> = row.try_get("corrections")?;
    let same = |other: &str| other.eq_ignore_ascii_case(operator);
    if found.applied_at.is_some() {
        return Err(CorrectionError::Applied(proposal_id));
    }
    if same(&found.proposed_by) {
        return Err(CorrectionError::SameOperator(found.proposed_by));
    }
    if let Some(other) = found.approved_by.filter(|other| !same(other)) {
        return Err(CorrectionError::ApprovedBy(other));
    }
    let named = sha256.len() >= HASH_CHARS_MIN && found.sha256.starts_with(sha256);
    if !named || hash(&corrections)? != found.sha256 {
        return Err(CorrectionError::OtherHash(proposal_id));
    }
    check_books(&mut transaction, &corrections).await?;
    sqlx::query(
        "UPDATE correction_proposals SET approved_by = $2, approved_at = now()
         WHERE proposal_id = $1",
    )
    .bind(proposal_id)
    .bind(operator)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(corrections)
}

/// What was approved is a change from what was booked; where that has changed, it is another one.
async fn check_books(
    connection: &mut PgConnection,
    corrections: &[Correction],
) -> Result<(), CorrectionError> {
    for some in corrections.chunks(ROWS_AT_A_TIME) {
        let names: Vec<EventId> = some.iter().map(|one| one.claim).collect();
        let rows = claim_rows::of_claims(connection, &names).await?;
        let booked: BTreeMap<EventId, Parts> =
            rows.iter().map(|row| (row.claim(), row.posted())).collect();
        for correction in some {
            let parts = |split| Parts::from_split(split, correction.currency);
            let now = booked.get(&correction.claim).copied().unwrap_or_default();
            // The latter, where an interrupted approval came that far.
            if now != parts(&correction.booked) && now != parts(&correction.target) {
                return Err(CorrectionError::Stale(correction.claim));
            }
        }
    }
    Ok(())
}
