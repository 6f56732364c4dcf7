//! The payout run: matured balances become payouts (design section 6).
//!
//! Each payee in a transaction of their own, under their lock: payout, items, postings, the
//! frozen request and the outbox row stand together or not at all. Two runs at once pay nobody
//! twice, since the second finds what the first took.

use std::collections::BTreeSet;

use processors::rules::{
    payouts::{self as rules, Limits, Transfer},
    rails::{self, RailChoice},
};
use schemas::{
    Amount, Currency, Minor, PayoutId, TenantId, Timestamp, UserId,
    events::{PayoutItem, PayoutRequested},
};
use sqlx::{PgConnection, PgPool, Row};
use stream::commit_points::{self, CommitPoint};
use uuid::Uuid;

use super::{LedgerError, locks, outbox, payout_hold, payout_methods, payouts, rebuild, rows};
use crate::payouts::Rail;

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct PayoutRunSummary {
    /// Cards requested.
    pub paid_count: u64,
    /// Their sum, in units of the channel's currency.
    pub paid_amount: Amount,
    /// Payees who were looked at.
    pub payees: u64,
    /// Payees held back because their tenant asks for KYC.
    pub kyc_missing: u64,
    /// Payees who were erased: they are paid no more.
    pub erased: u64,
    /// Payees whose chosen rail isn't configured, or doesn't pay their currency.
    pub rail_missing: u64,
}

/// What one tenant asks for.
struct TenantPolicy {
    payout_min: Minor,
    kyc_required: bool,
}

/// Pays what has matured before `as_of`. The caller has seen to it that everything which the log
/// held at the run's start is folded. A dry run counts and changes nothing.
///
/// # Errors
/// When the database refuses; payees who were paid before that stay paid, and a repeated run
/// pays the others.
pub async fn run(
    pool: &PgPool,
    rails: &[Rail],
    as_of: Timestamp,
    dry_run: bool,
) -> Result<PayoutRunSummary, LedgerError> {
    if rebuild::under_way(&mut *pool.acquire().await?).await? {
        return Err(LedgerError::Rebuilding);
    }
    let mut summary = PayoutRunSummary::default();
    let currencies: BTreeSet<Currency> = rails.iter().map(|rail| rail.terms().currency).collect();
    for currency in currencies {
        let payees: Vec<(Uuid, Uuid)> = sqlx::query_as(
            "SELECT DISTINCT tenant_id, user_id FROM ledger
             WHERE user_id IS NOT NULL AND currency = $1 AND payable_at < $2 AND posted_user > 0
             ORDER BY user_id, tenant_id",
        )
        .bind(currency.to_string())
        .bind(as_of.to_datetime())
        .fetch_all(pool)
        .await?;
        for (tenant, user) in payees {
            summary.payees += 1;
            let payee = (TenantId::new(tenant), UserId::new(user), currency);
            pay(pool, rails, payee, as_of, dry_run, &mut summary).await?;
        }
    }
    Ok(summary)
}

async fn pay(
    pool: &PgPool,
    rails: &[Rail],
    payee: payouts::Payee,
    as_of: Timestamp,
    dry_run: bool,
    summary: &mut PayoutRunSummary,
) -> Result<(), LedgerError> {
    let (tenant_id, user_id, currency) = payee;
    let mut transaction = pool.begin().await?;
    // No claim is made final meanwhile.
    locks::names(&mut transaction, false).await?;
    locks::payees(&mut transaction, &[user_id].into()).await?;
    // The audit goes on meanwhile, and may have found something.
    if let Some(hold) = payout_hold::open(&mut transaction).await? {
        return Err(LedgerError::PayoutsHeld(hold));
    }
    let Some(policy) = policy(&mut transaction, tenant_id, currency, as_of).await? else {
        return Ok(());
    };
    let balances = payouts::balances(&mut transaction, &[user_id.uuid()]).await?;
    let claims = balances.get(&payee).map_or(&[][..], Vec::as_slice);
    let Some(rail) = chosen_rail(&mut transaction, rails, payee, as_of).await? else {
        let due = rules::matured(claims, as_of);
        if due > Minor::ZERO && due >= policy.payout_min {
            summary.rail_missing += 1;
        }
        return Ok(());
    };
    let limits = Limits::of(policy.payout_min, &rail.terms());
    let transfers = rules::allocate(claims, as_of, currency, limits);
    if transfers.is_empty() {
        return Ok(());
    }
    match standing(&mut transaction, user_id).await? {
        Standing::Erased => {
            summary.erased += 1;
            return Ok(());
        }
        Standing::KycMissing if policy.kyc_required => {
            summary.kyc_missing += 1;
            return Ok(());
        }
        Standing::KycMissing | Standing::KycKnown => {}
    }
    for transfer in &transfers {
        summary.paid_count += 1;
        let amount = Amount::from_minor(transfer.amount, currency)?;
        summary.paid_amount = Amount::from_micros(summary.paid_amount.micros() + amount.micros());
        if !dry_run {
            request(&mut transaction, rail, payee, as_of, transfer).await?;
        }
    }
    if !dry_run {
        commit_points::pass(CommitPoint::PayoutRunBeforeCommit);
        transaction.commit().await?;
        commit_points::pass(CommitPoint::PayoutRunCommitted);
    }
    Ok(())
}

/// The rail that a shopper is paid by; `None` where theirs isn't configured, or doesn't pay this
/// currency.
async fn chosen_rail<'a>(
    connection: &mut PgConnection,
    rails: &'a [Rail],
    (_, user_id, currency): payouts::Payee,
    as_of: Timestamp,
) -> Result<Option<&'a Rail>, LedgerError> {
    let method = payout_methods::chosen(connection, user_id, as_of).await?;
    let terms: Vec<_> = rails.iter().map(Rail::terms).collect();
    Ok(match rails::choose(&terms, method.as_deref(), currency) {
        RailChoice::Rail(chosen) => rails.iter().find(|rail| rail.terms() == *chosen),
        RailChoice::NotConfigured | RailChoice::OtherCurrency => None,
    })
}

async fn request(
    connection: &mut PgConnection,
    rail: &Rail,
    (tenant_id, user_id, currency): payouts::Payee,
    as_of: Timestamp,
    transfer: &Transfer,
) -> Result<(), LedgerError> {
    let payout_id = PayoutId::new(Uuid::new_v4());
    let amount = Amount::from_minor(transfer.amount, currency)?;
    let frozen = rail
        .request(payout_id, amount, currency)
        .map_err(|error| LedgerError::Invalid(format!("the request of {payout_id}: {error}")))?;
    let items = transfer
        .items
        .iter()
        .map(|(claim, part)| {
            Ok(PayoutItem {
                claim: *claim,
                amount: Amount::from_minor(*part, currency)?,
            })
        })
        .collect::<Result<_, LedgerError>>()?;
    let payout = PayoutRequested {
        payout_id,
        tenant_id,
        user_id,
        currency,
        amount,
        as_of,
        method: rail.terms().name.to_owned(),
        creation_request_id: frozen.creation_request_id,
        request: frozen.body,
        items,
    };
    payouts::insert(connection, &payout).await?;
    payouts::book(connection, &[payout_id.uuid()]).await?;
    outbox::enqueue(connection, &payout_id.to_string(), &payout).await?;
    Ok(())
}

/// The tenant's settings in force at `as_of`, as limits in minor units.
async fn policy(
    connection: &mut PgConnection,
    tenant_id: TenantId,
    currency: Currency,
    as_of: Timestamp,
) -> Result<Option<TenantPolicy>, LedgerError> {
    let row = sqlx::query(
        "SELECT payout_min, kyc_required FROM tenant_versions
         WHERE tenant_id = $1 AND effective_at <= $2
         ORDER BY effective_at DESC, version DESC LIMIT 1",
    )
    .bind(tenant_id.uuid())
    .bind(as_of.to_datetime())
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(TenantPolicy {
            payout_min: rows::minor(&row, "payout_min", currency)?,
            kyc_required: row.try_get("kyc_required")?,
        })
    })
    .transpose()
}

/// What is known of a payee.
enum Standing {
    Erased,
    KycMissing,
    KycKnown,
}

/// The caller holds the payee's lock, and so does who erases them.
async fn standing(connection: &mut PgConnection, user_id: UserId) -> Result<Standing, LedgerError> {
    let known: Option<(bool, bool)> = sqlx::query_as(
        "SELECT erased_at IS NOT NULL, kyc_hash IS NOT NULL FROM users WHERE user_id = $1",
    )
    .bind(user_id.uuid())
    .fetch_optional(connection)
    .await?;
    Ok(match known {
        Some((true, _)) => Standing::Erased,
        Some((false, true)) => Standing::KycKnown,
        Some((false, false)) | None => Standing::KycMissing,
    })
}
