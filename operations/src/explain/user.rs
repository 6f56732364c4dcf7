//! A shopper: balances, payouts, and the newest claims.

use rust_decimal::Decimal;
use schemas::{EventId, PayoutId, TenantId, UserId};
use serde::Serialize;
use uuid::Uuid;

use super::{CLAIMS_MAX, ClaimLineage, ExplainError, Explainer, Tree};

/// What a shopper was owed and paid. Nothing of who they are.
#[derive(Debug, Clone, Serialize)]
pub struct UserLineage {
    /// The shopper.
    pub user_id: UserId,
    /// By tenant and currency.
    pub balances: Vec<BalanceLine>,
    /// Their payouts, oldest first.
    pub payouts: Vec<PayoutId>,
    /// How many claims they have.
    pub claims_in_all: i64,
    /// The newest of them.
    pub claims: Vec<ClaimLineage>,
}

/// A balance: what is owed, as the postings say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BalanceLine {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The currency.
    pub currency: String,
    /// Earned by claims.
    pub earned: Decimal,
    /// Taken by payouts.
    pub paid: Decimal,
    /// What is left: the sum of the account.
    pub balance: Decimal,
}

impl Explainer<'_> {
    pub(super) async fn user(
        &self,
        user_id: UserId,
        tenant: Option<TenantId>,
    ) -> Result<UserLineage, ExplainError> {
        let tenant = tenant.map(TenantId::uuid);
        let known: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM users WHERE user_id = $1)")
                .bind(user_id.uuid())
                .fetch_one(self.pool)
                .await?;
        if !known {
            return Err(ExplainError::Unknown(format!("user {user_id}")));
        }
        let balances: Vec<(Uuid, String, Decimal, Decimal)> = sqlx::query_as(
            "SELECT tenant_id, currency::text,
                    coalesce(sum(amount) FILTER (WHERE led_id IS NOT NULL), 0),
                    coalesce(-sum(amount) FILTER (WHERE payout_id IS NOT NULL), 0)
             FROM postings
             WHERE user_id = $1 AND account = 'user_payable'
               AND ($2::uuid IS NULL OR tenant_id = $2)
             GROUP BY 1, 2 ORDER BY 1, 2",
        )
        .bind(user_id.uuid())
        .bind(tenant)
        .fetch_all(self.pool)
        .await?;
        let payouts: Vec<Uuid> = sqlx::query_scalar(
            "SELECT payout_id FROM payouts
             WHERE user_id = $1 AND ($2::uuid IS NULL OR tenant_id = $2)
             ORDER BY as_of, payout_id",
        )
        .bind(user_id.uuid())
        .bind(tenant)
        .fetch_all(self.pool)
        .await?;
        let names: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT led_id, count(*) OVER () FROM ledger
             WHERE user_id = $1 AND ($2::uuid IS NULL OR tenant_id = $2)
             ORDER BY clicked_at DESC, led_id DESC LIMIT $3",
        )
        .bind(user_id.uuid())
        .bind(tenant)
        .bind(CLAIMS_MAX)
        .fetch_all(self.pool)
        .await?;
        let mut claims = Vec::with_capacity(names.len());
        for (name, _) in &names {
            claims.push(self.claim(EventId::new(*name)).await?);
        }
        let balance = |(tenant_id, currency, earned, paid)| BalanceLine {
            tenant_id: TenantId::new(tenant_id),
            currency,
            earned,
            paid,
            balance: earned - paid,
        };
        Ok(UserLineage {
            user_id,
            balances: balances.into_iter().map(balance).collect(),
            payouts: payouts.into_iter().map(PayoutId::new).collect(),
            claims_in_all: names.first().map_or(0, |(_, count)| *count),
            claims,
        })
    }
}

impl UserLineage {
    pub(super) fn tree(&self) -> Tree {
        let mut children: Vec<Tree> = self
            .balances
            .iter()
            .map(|line| {
                Tree::leaf(format!(
                    "tenant {}: earned {}, paid {}, balance {} {}",
                    line.tenant_id, line.earned, line.paid, line.balance, line.currency
                ))
            })
            .collect();
        for payout in &self.payouts {
            children.push(Tree::leaf(format!("payout {payout}")));
        }
        let shown = self.claims.len();
        let claims = self.claims.iter().map(ClaimLineage::tree).collect();
        let label = format!("{shown} of {} claims, newest first", self.claims_in_all);
        children.push(Tree::new(label, claims));
        Tree::new(format!("user {}", self.user_id), children)
    }
}
