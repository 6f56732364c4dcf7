//! A claim: status and reasons, rates and rules, sums, postings, commands, payouts, click, reports.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use schemas::{
    EventId, NetworkId, PayoutId, Position, TenantId, Timestamp, Topic, UserId, codec,
    events::{ClickFacts, Command, Decision, Matched, Outcome, Rate, RateOrigin, Split},
};
use serde::Serialize;
use serde_json::Value;
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use super::{CLAIMS_MAX, ExplainError, Explainer, Money, ReportLineage};

/// A claim and everything that it rests on.
#[derive(Debug, Clone, Serialize)]
pub struct ClaimLineage {
    /// Its name: the event id of its lowest-ranked report.
    pub claim: EventId,
    /// Owner of the link.
    pub tenant_id: TenantId,
    /// The network instance.
    pub network_id: NetworkId,
    /// Row status.
    pub status: String,
    /// What the network says, folded.
    pub network_status: Option<String>,
    /// The order number.
    pub order: Option<String>,
    /// The goal.
    pub goal: Option<String>,
    /// The conversion's time.
    pub converted_at: Timestamp,
    /// From when on it can be paid.
    pub payable_at: Timestamp,
    /// Why it stands as it does.
    pub reasons: Vec<Reason>,
    /// Other claims on the same order.
    pub shared_order: SharedOrder,
    /// What it comes to.
    pub money: Money,
    /// How the commission came about: rates, rules and the version of their set.
    pub rating: Option<Value>,
    /// Terms and rules, pinned; absent once its reports are retired.
    pub terms: Option<PinnedTerms>,
    /// The click; absent likewise.
    pub click: Option<ClickFacts>,
    /// Its reports, in rank order.
    pub reports: Vec<ReportLineage>,
    /// What was posted for it, oldest first.
    pub postings: Vec<PostingLine>,
    /// What operators decided about it, oldest first.
    pub commands: Vec<CommandLine>,
    /// The payouts that pay it.
    pub payouts: Vec<PaidBy>,
}

/// A reason for a claim's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Its code.
    pub code: String,
    /// The values that it rests on, where the code doesn't say it all.
    pub evidence: Option<String>,
}

/// Other claims that name the order of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SharedOrder {
    /// Those of the same tenant, by name.
    pub same_tenant: Vec<EventId>,
    /// How many there are of other tenants.
    pub other_tenants: i64,
    /// The owner, where it is a claim of the same tenant.
    pub owner: Option<EventId>,
}

/// The terms that a claim is decided by, as of its click.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PinnedTerms {
    /// Version of the tenant's settings.
    pub tenant_version: i32,
    /// Version of the campaign's terms.
    pub campaign_version: i32,
    /// Version of the offer.
    pub offer_version: i32,
    /// Version of the fraud rules.
    pub fraud_rules_version: i32,
    /// Version of the commission rules, where any could apply.
    pub commission_rules_version: Option<i32>,
    /// Our own rate of the commission, whatever the goal.
    pub rate: Rate,
    /// Where that rate is from.
    pub rate_origin: RateOrigin,
    /// The score of the first report.
    pub score: i32,
    /// The signals behind it, with their evidence.
    pub signals: Vec<String>,
    /// The split of the first report taken alone, as the stage decided it.
    pub first_split: Option<Split>,
}

/// A line of the books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PostingLine {
    /// Lines of one transaction sum to zero per currency.
    pub transaction: i64,
    /// The account.
    pub account: String,
    /// Its currency.
    pub currency: String,
    /// Signed.
    pub amount: Decimal,
}

/// An operator's command on a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandLine {
    /// Its name.
    pub command_id: EventId,
    /// Its record.
    pub position: Position,
    /// When it was given.
    pub issued_at: Timestamp,
    /// By whom.
    pub author: String,
    /// Why.
    pub reason: String,
    /// What was decided.
    pub body: Value,
}

/// A payout that pays a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaidBy {
    /// The payout.
    pub payout_id: PayoutId,
    /// What became of it.
    pub state: String,
    /// How much of the claim it pays.
    pub amount: Decimal,
    /// The rail's own id of the card.
    pub card_id: Option<String>,
}

impl Explainer<'_> {
    /// The claim that holds a report, as it is called today.
    pub(super) async fn claim_of(
        &self,
        event_id: EventId,
    ) -> Result<Option<EventId>, ExplainError> {
        let claim: Option<i64> = sqlx::query_scalar(
            "SELECT led_id FROM reports WHERE conv_id = $1 AND led_id IS NOT NULL LIMIT 1",
        )
        .bind(event_id.get())
        .fetch_optional(self.pool)
        .await?;
        Ok(claim.map(EventId::new))
    }

    /// The claims that name an order.
    pub(super) async fn order(
        &self,
        txn_id: &str,
        tenant: Option<TenantId>,
    ) -> Result<Vec<ClaimLineage>, ExplainError> {
        // By the key of `order_claims`, one network and offer after the other.
        let claims: Vec<(i64, Uuid)> = sqlx::query_as(
            "SELECT DISTINCT c.led_id, c.tenant_id
             FROM networks n CROSS JOIN offers f
             CROSS JOIN LATERAL (
                 SELECT * FROM order_claims o
                 WHERE o.network_id = n.network_id AND o.offer_id = f.offer_id AND o.txn_id = $1
             ) o
             JOIN conversions c USING (click_id, clicked_at)
             WHERE c.txn_id = $1 AND c.led_id IS NOT NULL ORDER BY 1",
        )
        .bind(txn_id)
        .fetch_all(self.pool)
        .await?;
        let mut tenants: Vec<Uuid> = claims.iter().map(|(_, tenant)| *tenant).collect();
        tenants.sort_unstable();
        tenants.dedup();
        if tenant.is_none() && tenants.len() > 1 {
            let several = ExplainError::SeveralTenants(tenants.len(), txn_id.to_owned());
            return Err(several);
        }
        let limit = usize::try_from(CLAIMS_MAX).unwrap_or(usize::MAX);
        let mut lineages = Vec::new();
        let theirs = |of: &Uuid| tenant.is_none_or(|tenant| tenant.uuid() == *of);
        for (claim, _) in claims.iter().filter(|(_, of)| theirs(of)).take(limit) {
            lineages.push(self.claim(EventId::new(*claim)).await?);
        }
        if lineages.is_empty() {
            return Err(ExplainError::Unknown(format!("the order {txn_id}")));
        }
        Ok(lineages)
    }

    /// A claim by its name of today.
    pub(super) async fn claim(&self, claim: EventId) -> Result<ClaimLineage, ExplainError> {
        let row = sqlx::query("SELECT * FROM ledger WHERE led_id = $1")
            .bind(claim.get())
            .fetch_optional(self.pool)
            .await?;
        let row = row.ok_or_else(|| ExplainError::Unknown(format!("claim {claim}")))?;
        let (reports, first) = self.reports_of(claim).await?;
        let names: Vec<i64> = reports.iter().map(|report| report.event_id.get()).collect();
        let postings = self.postings_of(&names).await?;
        let matched = first.as_ref().and_then(|decision| match &decision.outcome {
            Outcome::Matched(matched) => Some(matched.as_ref()),
            Outcome::Unmatched(_) | Outcome::Ignored(_) | Outcome::Poisoned(_) => None,
        });
        let at = |column| -> sqlx::Result<Timestamp> {
            Ok(row.try_get::<DateTime<Utc>, _>(column)?.into())
        };
        Ok(ClaimLineage {
            claim,
            tenant_id: TenantId::new(row.try_get("tenant_id")?),
            network_id: NetworkId::new(row.try_get("network_id")?),
            status: row.try_get("status")?,
            network_status: row.try_get("network_status")?,
            order: row.try_get("txn_id")?,
            goal: row.try_get("goal_id")?,
            converted_at: at("converted_at")?,
            payable_at: at("payable_at")?,
            reasons: reasons(&row)?,
            shared_order: self.shared_order(&row).await?,
            money: Money::read(&row, &postings)?,
            rating: row.try_get("rating")?,
            terms: matched.map(PinnedTerms::of),
            click: matched.map(|matched| matched.click.clone()),
            reports,
            postings,
            commands: self.commands_on(&names).await?,
            payouts: self.payouts_of(&names).await?,
        })
    }

    /// A claim's reports in rank order, and the decision on the first of them.
    async fn reports_of(
        &self,
        claim: EventId,
    ) -> Result<(Vec<ReportLineage>, Option<Decision>), ExplainError> {
        let rows = sqlx::query(
            "SELECT r.*, c.decision FROM reports r
             LEFT JOIN conversions c USING (source_partition, source_offset, clicked_at)
             WHERE r.led_id = $1 AND r.click_id = (SELECT click_id FROM ledger WHERE led_id = $1)",
        )
        .bind(claim.get())
        .fetch_all(self.pool)
        .await?;
        let mut reports = Vec::with_capacity(rows.len());
        for row in &rows {
            let encoded: Option<&[u8]> = row.try_get("decision")?;
            let decision: Option<Decision> = encoded.map(codec::decode).transpose()?;
            let report = self.report(row, decision.as_ref()).await?;
            reports.push((report, decision));
        }
        reports.sort_by_key(|(report, _)| {
            let at = report.as_of.or(report.received_at);
            (at, report.event_id, report.position)
        });
        let first = reports.iter().find(|(report, _)| report.event_id == claim);
        let first = first.and_then(|(_, decision)| decision.clone());
        Ok((
            reports.into_iter().map(|(report, _)| report).collect(),
            first,
        ))
    }

    async fn postings_of(&self, names: &[i64]) -> Result<Vec<PostingLine>, ExplainError> {
        let rows: Vec<(i64, String, String, Decimal)> = sqlx::query_as(
            "SELECT transaction_id, account, currency::text, amount FROM postings
             WHERE led_id = ANY($1) ORDER BY posting_id",
        )
        .bind(names)
        .fetch_all(self.pool)
        .await?;
        Ok(lines(rows))
    }

    async fn commands_on(&self, names: &[i64]) -> Result<Vec<CommandLine>, ExplainError> {
        let rows = sqlx::query(
            "SELECT * FROM commands WHERE conv_id = ANY($1) ORDER BY issued_at, command_id",
        )
        .bind(names)
        .fetch_all(self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let command: Command = codec::decode(row.try_get::<&[u8], _>("body")?)?;
                let body = serde_json::to_value(&command.body);
                Ok(CommandLine {
                    command_id: command.command_id,
                    position: Position {
                        topic: Topic::Commands,
                        ..super::report::position(row)?
                    },
                    issued_at: command.issued_at,
                    author: command.author,
                    reason: command.reason,
                    body: body.map_err(|error| ExplainError::Invalid(error.to_string()))?,
                })
            })
            .collect()
    }

    async fn payouts_of(&self, names: &[i64]) -> Result<Vec<PaidBy>, ExplainError> {
        let rows: Vec<(Uuid, String, Decimal, Option<String>)> = sqlx::query_as(
            "SELECT p.payout_id, p.state, i.amount, p.card_id
             FROM payout_items i JOIN payouts p USING (payout_id)
             WHERE i.led_id = ANY($1) ORDER BY p.as_of, p.payout_id",
        )
        .bind(names)
        .fetch_all(self.pool)
        .await?;
        let paid = |(payout_id, state, amount, card_id)| PaidBy {
            payout_id: PayoutId::new(payout_id),
            state,
            amount,
            card_id,
        };
        Ok(rows.into_iter().map(paid).collect())
    }

    async fn shared_order(&self, row: &PgRow) -> Result<SharedOrder, ExplainError> {
        let txn_id: Option<String> = row.try_get("txn_id")?;
        let Some(txn_id) = txn_id else {
            return Ok(SharedOrder::default());
        };
        let tenant: Uuid = row.try_get("tenant_id")?;
        let others: Vec<(i64, Uuid)> = sqlx::query_as(
            "SELECT DISTINCT c.led_id, c.tenant_id
             FROM order_claims o JOIN conversions c USING (click_id, clicked_at)
             WHERE o.network_id = $1 AND o.offer_id = $2 AND o.txn_id = $3 AND c.txn_id = $3
               AND c.led_id IS NOT NULL AND c.led_id <> $4 ORDER BY 1",
        )
        .bind(row.try_get::<i32, _>("network_id")?)
        .bind(row.try_get::<i32, _>("offer_id")?)
        .bind(txn_id)
        .bind(row.try_get::<i64, _>("led_id")?)
        .fetch_all(self.pool)
        .await?;
        let (same, other): (Vec<_>, Vec<_>) = others.iter().partition(|(_, of)| *of == tenant);
        let same_tenant: Vec<EventId> = same
            .into_iter()
            .map(|(claim, _)| EventId::new(claim))
            .collect();
        let owner: Option<i64> = row.try_get("order_owner")?;
        let owner = owner.map(EventId::new);
        Ok(SharedOrder {
            owner: owner.filter(|owner| same_tenant.contains(owner)),
            same_tenant,
            other_tenants: i64::try_from(other.len()).unwrap_or(i64::MAX),
        })
    }
}

pub(super) fn lines(rows: Vec<(i64, String, String, Decimal)>) -> Vec<PostingLine> {
    let line = |(transaction, account, currency, amount)| PostingLine {
        transaction,
        account,
        currency,
        amount,
    };
    rows.into_iter().map(line).collect()
}

fn reasons(row: &PgRow) -> Result<Vec<Reason>, ExplainError> {
    let codes: Vec<String> = row.try_get("reasons")?;
    let evidence: Value = row.try_get("evidence")?;
    let reason = |code: String| {
        let evidence = evidence.get(&code).and_then(Value::as_str);
        Reason {
            evidence: evidence.map(str::to_owned),
            code,
        }
    };
    Ok(codes.into_iter().map(reason).collect())
}

impl PinnedTerms {
    fn of(matched: &Matched) -> Self {
        let terms = &matched.terms;
        let rules = terms.commission_rules.as_ref();
        let signals = matched.signals.iter();
        Self {
            tenant_version: terms.tenant_version,
            campaign_version: terms.campaign_version,
            offer_version: terms.offer_version,
            fraud_rules_version: matched.rules.version,
            commission_rules_version: rules.map(|rules| rules.version),
            rate: terms.commission,
            rate_origin: terms.rate_origin,
            score: matched.score,
            signals: signals
                .map(|signal| format!("{} (+{})", signal.evidence, signal.weight))
                .collect(),
            first_split: matched.split,
        }
    }
}

impl ClaimLineage {
    /// Whose shopper it is; absent where the click has none, or is retired.
    pub fn user_id(&self) -> Option<UserId> {
        self.click.as_ref().and_then(|click| click.user_id)
    }
}
