//! The payout run: matured balances become payouts (design section 6).
//!
//! Each payee in a transaction of their own, under their lock: payout, items, postings, the
//! frozen request and the outbox row stand together or not at all. Two runs at once pay nobody
//! twice, since the second finds what the first took.

use std::collections::{BTreeMap, BTreeSet};

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

use super::{LedgerError, epoch, locks, outbox, payout_hold, payout_methods, payouts, rows};
use crate::payouts::Rail;

/// What a run is to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Claims that are payable before it.
    pub as_of: Timestamp,
    /// One tenant's shoppers only.
    pub tenant_id: Option<TenantId>,
    /// Count, and change nothing.
    pub dry_run: bool,
}

impl Scope {
    /// Every tenant's.
    pub const fn all(as_of: Timestamp, dry_run: bool) -> Self {
        Self {
            as_of,
            tenant_id: None,
            dry_run,
        }
    }
}

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
    /// The same, and who else was not paid and why, by tenant and currency.
    pub totals: Vec<Totals>,
}

/// What a run came to for one tenant in one currency.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The currency.
    pub currency: Currency,
    /// Payees who are paid.
    pub payees: u64,
    /// Transfers, such as cards.
    pub transfers: u64,
    /// Their sum, in units.
    pub amount: Amount,
    /// Of the payees who are paid, those without a phone number: their codes wait for one.
    pub without_phone: u64,
    /// Payees who are not paid, by reason.
    pub skipped: BTreeMap<Skip, u64>,
}

/// Why a payee with something open is not paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// What has matured is less than the tenant's minimum, or than the rail transfers.
    BelowMinimum,
    /// More was taken back than was earned since: later earnings fill it first.
    NegativeBalance,
    /// The tenant asks for KYC, and there is none.
    KycMissing,
    /// No rail that is configured pays the currency.
    CurrencyNotPaid,
    /// The rail that the shopper chose isn't configured, or doesn't pay the currency.
    RailMissing,
    /// The shopper was erased.
    Erased,
}

impl Skip {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::BelowMinimum,
        Self::NegativeBalance,
        Self::KycMissing,
        Self::CurrencyNotPaid,
        Self::RailMissing,
        Self::Erased,
    ];

    /// For an operator.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::BelowMinimum => "below the minimum",
            Self::NegativeBalance => "more was taken back than earned since",
            Self::KycMissing => "KYC is missing",
            Self::CurrencyNotPaid => "no rail pays the currency",
            Self::RailMissing => "the chosen rail isn't there or doesn't pay the currency",
            Self::Erased => "erased",
        }
    }
}

impl PayoutRunSummary {
    fn totals(&mut self, tenant_id: TenantId, currency: Currency) -> &mut Totals {
        let known = self
            .totals
            .iter()
            .position(|totals| (totals.tenant_id, totals.currency) == (tenant_id, currency));
        let index = known.unwrap_or_else(|| {
            self.totals.push(Totals {
                tenant_id,
                currency,
                payees: 0,
                transfers: 0,
                amount: Amount::ZERO,
                without_phone: 0,
                skipped: BTreeMap::new(),
            });
            self.totals.len() - 1
        });
        &mut self.totals[index]
    }

    fn skip(&mut self, (tenant_id, _, currency): payouts::Payee, why: Skip, count: u64) {
        match why {
            Skip::KycMissing => self.kyc_missing += count,
            Skip::Erased => self.erased += count,
            Skip::RailMissing => self.rail_missing += count,
            Skip::BelowMinimum | Skip::NegativeBalance | Skip::CurrencyNotPaid => {}
        }
        let skipped = &mut self.totals(tenant_id, currency).skipped;
        *skipped.entry(why).or_default() += count;
    }

    fn pay(
        &mut self,
        (tenant_id, _, currency): payouts::Payee,
        amounts: &[Amount],
        phone_known: bool,
    ) {
        let add = |sum: Amount, amount: &Amount| {
            Amount::from_micros(sum.micros().saturating_add(amount.micros()))
        };
        self.paid_count += amounts.len() as u64;
        self.paid_amount = amounts.iter().fold(self.paid_amount, add);
        let totals = self.totals(tenant_id, currency);
        totals.payees += 1;
        totals.transfers += amounts.len() as u64;
        totals.amount = amounts.iter().fold(totals.amount, add);
        totals.without_phone += u64::from(!phone_known);
    }
}

/// What one tenant asks for.
struct TenantPolicy {
    payout_min: Minor,
    kyc_required: bool,
}

/// Pays what has matured. The caller has seen to it that everything which the log
/// held at the run's start is folded. A dry run counts and changes nothing.
///
/// # Errors
/// When the database refuses; payees who were paid before that stay paid, and a repeated run
/// pays the others.
pub async fn run(
    pool: &PgPool,
    rails: &[Rail],
    scope: Scope,
) -> Result<PayoutRunSummary, LedgerError> {
    let epoch = epoch::current(&mut *pool.acquire().await?).await?;
    if epoch.rebuilding {
        return Err(LedgerError::Rebuilding);
    }
    let mut summary = PayoutRunSummary::default();
    count_unpaid_currencies(pool, rails, scope, &mut summary).await?;
    let currencies: BTreeSet<Currency> = rails.iter().map(|rail| rail.terms().currency).collect();
    for currency in currencies {
        let payees: Vec<(Uuid, Uuid)> = sqlx::query_as(
            "SELECT DISTINCT tenant_id, user_id FROM ledger
             WHERE user_id IS NOT NULL AND currency = $1
               AND ($3::uuid IS NULL OR tenant_id = $3)
               -- Who was paid in full isn't looked at again; who owes something is.
               AND (payable_at < $2 AND posted_user > paid_amount OR posted_user < paid_amount)
             ORDER BY user_id, tenant_id",
        )
        .bind(currency.to_string())
        .bind(scope.as_of.to_datetime())
        .bind(scope.tenant_id.map(TenantId::uuid))
        .fetch_all(pool)
        .await?;
        for (tenant, user) in payees {
            summary.payees += 1;
            let payee = (TenantId::new(tenant), UserId::new(user), currency);
            pay(pool, rails, payee, scope, &mut summary).await?;
        }
    }
    Ok(summary)
}

/// Payees with something open in a currency that no rail pays: nothing is done for them.
async fn count_unpaid_currencies(
    pool: &PgPool,
    rails: &[Rail],
    scope: Scope,
    summary: &mut PayoutRunSummary,
) -> Result<(), LedgerError> {
    let paid: Vec<String> = rails
        .iter()
        .map(|rail| rail.terms().currency.to_string())
        .collect();
    let rows = sqlx::query(
        "SELECT tenant_id, currency::text AS currency, count(DISTINCT user_id) AS payees
         FROM ledger
         WHERE user_id IS NOT NULL AND currency <> ALL ($1)
           AND ($3::uuid IS NULL OR tenant_id = $3)
           AND payable_at < $2 AND posted_user > paid_amount
         GROUP BY 1, 2 ORDER BY 1, 2",
    )
    .bind(paid)
    .bind(scope.as_of.to_datetime())
    .bind(scope.tenant_id.map(TenantId::uuid))
    .fetch_all(pool)
    .await?;
    for row in &rows {
        let tenant_id = TenantId::new(row.try_get("tenant_id")?);
        let currency = rows::currency(row, "currency")?;
        let payees: i64 = row.try_get("payees")?;
        let skipped = &mut summary.totals(tenant_id, currency).skipped;
        skipped.insert(Skip::CurrencyNotPaid, payees.unsigned_abs());
    }
    Ok(())
}

async fn pay(
    pool: &PgPool,
    rails: &[Rail],
    payee: payouts::Payee,
    scope: Scope,
    summary: &mut PayoutRunSummary,
) -> Result<(), LedgerError> {
    let Scope { as_of, dry_run, .. } = scope;
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
    let due = rules::matured(claims, as_of);
    if due < Minor::ZERO {
        summary.skip(payee, Skip::NegativeBalance, 1);
        return Ok(());
    }
    let Some(rail) = chosen_rail(&mut transaction, rails, payee, as_of).await? else {
        if due > Minor::ZERO && due >= policy.payout_min {
            summary.skip(payee, Skip::RailMissing, 1);
        }
        return Ok(());
    };
    let limits = Limits::of(policy.payout_min, &rail.terms());
    let transfers = rules::allocate(claims, as_of, currency, limits);
    if transfers.is_empty() {
        if due > Minor::ZERO {
            summary.skip(payee, Skip::BelowMinimum, 1);
        }
        return Ok(());
    }
    let known = known(&mut transaction, user_id).await?;
    if known.erased {
        summary.skip(payee, Skip::Erased, 1);
        return Ok(());
    }
    if policy.kyc_required && !known.kyc {
        summary.skip(payee, Skip::KycMissing, 1);
        return Ok(());
    }
    let amounts = transfers
        .iter()
        .map(|transfer| Ok(Amount::from_minor(transfer.amount, currency)?))
        .collect::<Result<Vec<_>, LedgerError>>()?;
    summary.pay(payee, &amounts, known.phone);
    if !dry_run {
        for transfer in &transfers {
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
#[derive(Default, sqlx::FromRow)]
struct Known {
    erased: bool,
    kyc: bool,
    phone: bool,
}

/// The caller holds the payee's lock, and so does who erases them.
async fn known(connection: &mut PgConnection, user_id: UserId) -> Result<Known, LedgerError> {
    let known = sqlx::query_as(
        "SELECT erased_at IS NOT NULL AS erased, kyc_hash IS NOT NULL AS kyc,
                phone_sealed IS NOT NULL AS phone
         FROM users WHERE user_id = $1",
    )
    .bind(user_id.uuid())
    .fetch_optional(connection)
    .await?;
    Ok(known.unwrap_or_default())
}
