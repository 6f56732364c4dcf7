//! A payout: its card, steps, postings and items, each down to the reports of its claim.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use schemas::{EventId, PayoutId, Position, TenantId, Timestamp, Topic, UserId};
use serde::Serialize;
use sqlx::Row;

use super::{
    ClaimLineage, ExplainError, Explainer, PostingLine, Tree, claim::lines,
    claim_tree::postings_tree, report::position,
};

/// A payout and everything that it rests on.
#[derive(Debug, Clone, Serialize)]
pub struct PayoutLineage {
    /// The payout.
    pub payout_id: PayoutId,
    /// Whose balance it pays.
    pub tenant_id: TenantId,
    /// The payee.
    pub user_id: UserId,
    /// What became of it.
    pub state: String,
    /// The rail.
    pub method: String,
    /// The card's value.
    pub amount: Decimal,
    /// Its currency.
    pub currency: String,
    /// Only claims payable before it are in.
    pub as_of: Timestamp,
    /// The one request id that it has for ever.
    pub creation_request_id: String,
    /// The rail's own id of the card.
    pub card_id: Option<String>,
    /// When the card was made.
    pub paid_at: Option<Timestamp>,
    /// Whether the items sum to the amount.
    pub adds_up: bool,
    /// What happened to it, in order.
    pub steps: Vec<StepLine>,
    /// What was posted for it.
    pub postings: Vec<PostingLine>,
    /// What it pays.
    pub items: Vec<ItemLineage>,
}

/// A step of a payout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepLine {
    /// Its `payout-results` record.
    pub position: Position,
    /// What happened.
    pub step: String,
    /// When.
    pub at: Timestamp,
    /// Which attempt, from 1.
    pub attempt: i32,
    /// What the rail said.
    pub detail: Option<String>,
}

/// A part of a claim that a payout pays.
#[derive(Debug, Clone, Serialize)]
pub struct ItemLineage {
    /// The claim's name when the payout was made.
    pub claim_then: EventId,
    /// How much of it.
    pub amount: Decimal,
    /// The claim today; absent where its reports moved away.
    pub claim: Option<Box<ClaimLineage>>,
}

impl Explainer<'_> {
    pub(super) async fn payout(&self, payout_id: PayoutId) -> Result<PayoutLineage, ExplainError> {
        let row = sqlx::query("SELECT * FROM payouts WHERE payout_id = $1")
            .bind(payout_id.uuid())
            .fetch_optional(self.pool)
            .await?;
        let row = row.ok_or_else(|| ExplainError::Unknown(format!("payout {payout_id}")))?;
        let items = self.items_of(payout_id).await?;
        let amount: Decimal = row.try_get("amount")?;
        let as_of: DateTime<Utc> = row.try_get("as_of")?;
        let paid_at: Option<DateTime<Utc>> = row.try_get("paid_at")?;
        Ok(PayoutLineage {
            payout_id,
            tenant_id: TenantId::new(row.try_get("tenant_id")?),
            user_id: UserId::new(row.try_get("user_id")?),
            state: row.try_get("state")?,
            method: row.try_get("method")?,
            amount,
            currency: row.try_get("currency")?,
            as_of: as_of.into(),
            creation_request_id: row.try_get("creation_request_id")?,
            card_id: row.try_get("card_id")?,
            paid_at: paid_at.map(Timestamp::from),
            adds_up: items.iter().map(|item| item.amount).sum::<Decimal>() == amount,
            steps: self.steps_of(payout_id).await?,
            postings: self.postings_of_payout(payout_id).await?,
            items,
        })
    }

    async fn items_of(&self, payout_id: PayoutId) -> Result<Vec<ItemLineage>, ExplainError> {
        let rows: Vec<(i64, Decimal)> = sqlx::query_as(
            "SELECT led_id, amount FROM payout_items WHERE payout_id = $1 ORDER BY led_id",
        )
        .bind(payout_id.uuid())
        .fetch_all(self.pool)
        .await?;
        let mut items = Vec::with_capacity(rows.len());
        for (name, amount) in rows {
            let claim_then = EventId::new(name);
            let claim = match self.claim_of(claim_then).await? {
                Some(claim) => Some(Box::new(self.claim(claim).await?)),
                None => None,
            };
            items.push(ItemLineage {
                claim_then,
                amount,
                claim,
            });
        }
        Ok(items)
    }

    async fn steps_of(&self, payout_id: PayoutId) -> Result<Vec<StepLine>, ExplainError> {
        let rows = sqlx::query(
            "SELECT * FROM payout_steps WHERE payout_id = $1
             ORDER BY at, source_partition, source_offset",
        )
        .bind(payout_id.uuid())
        .fetch_all(self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let at: DateTime<Utc> = row.try_get("at")?;
                Ok(StepLine {
                    position: Position {
                        topic: Topic::PayoutResults,
                        ..position(row)?
                    },
                    step: row.try_get("step")?,
                    at: at.into(),
                    attempt: row.try_get("attempt")?,
                    detail: row.try_get("detail")?,
                })
            })
            .collect()
    }

    async fn postings_of_payout(
        &self,
        payout_id: PayoutId,
    ) -> Result<Vec<PostingLine>, ExplainError> {
        let rows = sqlx::query_as(
            "SELECT transaction_id, account, currency::text, amount FROM postings
             WHERE payout_id = $1 ORDER BY posting_id",
        )
        .bind(payout_id.uuid())
        .fetch_all(self.pool)
        .await?;
        Ok(lines(rows))
    }
}

impl PayoutLineage {
    pub(super) fn tree(&self) -> Tree {
        let card = self.card_id.as_deref().unwrap_or("none");
        let label = format!(
            "payout {} of {} {} ({}) by {}, card {card}",
            self.payout_id, self.amount, self.currency, self.state, self.method
        );
        let sums = if self.adds_up {
            "items sum to it"
        } else {
            "ITEMS DON'T SUM TO IT"
        };
        let mut children = vec![
            Tree::leaf(format!("payee {}, tenant {}", self.user_id, self.tenant_id)),
            Tree::leaf(format!(
                "request {}, claims payable before {}; {sums}",
                self.creation_request_id, self.as_of
            )),
        ];
        for step in &self.steps {
            let detail = step.detail.as_deref().unwrap_or_default();
            children.push(Tree::leaf(format!(
                "{} at {}, attempt {}: {} {detail}",
                step.step, step.at, step.attempt, step.position
            )));
        }
        if !self.postings.is_empty() {
            children.push(postings_tree(&self.postings));
        }
        for item in &self.items {
            let label = format!("item: {} of claim {}", item.amount, item.claim_then);
            let claim = item.claim.as_ref().map(|claim| claim.tree());
            children.push(Tree::new(label, claim.into_iter().collect()));
        }
        Tree::new(label, children)
    }
}
