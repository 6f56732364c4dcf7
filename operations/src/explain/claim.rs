//! A claim: status and reasons, rates and rules, sums, postings, commands, payouts, click, reports.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use schemas::{
    Currency, EventId, NetworkId, PayoutId, Position, TenantId, Timestamp, Topic, UserId, codec,
    events::{ClickFacts, Command, Decision, Matched, Outcome, Rate, RateOrigin, Split},
};
use serde::Serialize;
use serde_json::Value;
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use super::{CLAIMS_MAX, ExplainError, Explainer, ReportLineage, Tree};

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

/// What a claim comes to, in its currency.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Money {
    /// Of everything below.
    pub currency: Currency,
    /// The sale, in the reported currency.
    pub sale: Option<Decimal>,
    /// The shopper's share of what is left after the fee, as a percentage.
    pub user_share_pct: Decimal,
    /// By the terms.
    pub expected: Parts,
    /// In the books.
    pub posted: Parts,
    /// Paid out of the shopper's part.
    pub paid: Decimal,
    /// Whether user + creator + fee = commission + subsidy, of what is expected and of what is
    /// posted; and the postings of the claim sum to what is posted.
    pub adds_up: bool,
}

/// Who gets what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Parts {
    /// What the network owes.
    pub commission: Decimal,
    /// What the platform adds.
    pub subsidy: Decimal,
    /// What the platform keeps.
    pub fee: Decimal,
    /// The shopper's part.
    pub user: Decimal,
    /// The creator's part.
    pub creator: Decimal,
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

impl Money {
    fn read(row: &PgRow, postings: &[PostingLine]) -> Result<Self, ExplainError> {
        let code: &str = row.try_get("currency")?;
        let currency: Currency = code
            .parse()
            .map_err(|_| ExplainError::Invalid(format!("a currency {code:?}")))?;
        let expected = Parts {
            commission: row.try_get("expected_commission")?,
            subsidy: row.try_get("expected_subsidy")?,
            fee: row.try_get("expected_fee")?,
            user: row.try_get("user_amount")?,
            creator: row.try_get("creator_amount")?,
        };
        let posted = Parts {
            commission: row.try_get("posted_commission")?,
            subsidy: row.try_get("posted_subsidy")?,
            fee: row.try_get("posted_fee")?,
            user: row.try_get("posted_user")?,
            creator: row.try_get("posted_creator")?,
        };
        let booked = Parts::booked(postings);
        Ok(Self {
            currency,
            sale: row.try_get("order_value")?,
            user_share_pct: row.try_get("user_pct")?,
            expected,
            posted,
            paid: row.try_get("paid_amount")?,
            adds_up: expected.add_up() && posted.add_up() && booked == posted,
        })
    }
}

impl Parts {
    fn add_up(&self) -> bool {
        self.user + self.creator + self.fee == self.commission + self.subsidy
    }

    /// What the lines of a claim come to.
    fn booked(postings: &[PostingLine]) -> Self {
        let sum = |accounts: &[&str]| -> Decimal {
            let theirs = postings.iter();
            let theirs = theirs.filter(|line| accounts.contains(&line.account.as_str()));
            theirs.map(|line| line.amount).sum()
        };
        Self {
            commission: -sum(&["network_receivable"]),
            subsidy: -sum(&["promotion_expense"]),
            fee: sum(&["platform_revenue"]),
            user: sum(&["user_payable", "unclaimed"]),
            creator: sum(&["creator_payable"]),
        }
    }

    fn line(&self, currency: Currency) -> String {
        let Self {
            commission,
            subsidy,
            fee,
            user,
            creator,
        } = self;
        format!(
            "user {user} + creator {creator} + fee {fee} = commission {commission} + subsidy \
             {subsidy} {currency}"
        )
    }
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

    fn tree(&self) -> Tree {
        let rate = match self.rate {
            Rate::Percentage(percentage) => format!("{percentage}% of the sale"),
            Rate::Flat(amount) => format!("{amount} each"),
        };
        let origin = match self.rate_origin {
            RateOrigin::Offer => "the offer's",
            RateOrigin::Override => "the tenant's own",
        };
        let rules = self
            .commission_rules_version
            .map_or_else(|| "none".to_owned(), |version| format!("version {version}"));
        let mut children = vec![
            Tree::leaf(format!("rate {rate} ({origin})")),
            Tree::leaf(format!(
                "tenant's settings version {}, campaign version {}, offer version {}",
                self.tenant_version, self.campaign_version, self.offer_version
            )),
            Tree::leaf(format!("commission rules {rules}")),
            Tree::leaf(format!(
                "fraud rules version {}, score {}",
                self.fraud_rules_version, self.score
            )),
        ];
        children.extend(self.signals.iter().cloned().map(Tree::leaf));
        Tree::new("terms as of the click", children)
    }
}

impl ClaimLineage {
    /// Whose shopper it is; absent where the click has none, or is retired.
    pub fn user_id(&self) -> Option<UserId> {
        self.click.as_ref().and_then(|click| click.user_id)
    }

    pub(super) fn tree(&self) -> Tree {
        let order = self.order.as_deref().unwrap_or("none");
        let label = format!("claim {} ({}), order {order}", self.claim, self.status);
        let mut children = vec![self.verdict_tree(), self.money_tree()];
        children.extend(self.terms.as_ref().map(PinnedTerms::tree));
        if !self.postings.is_empty() {
            children.push(postings_tree(&self.postings));
        }
        children.extend(self.commands.iter().map(CommandLine::tree));
        children.extend(self.payouts.iter().map(PaidBy::tree));
        children.extend(self.click.as_ref().map(click_tree));
        children.extend(self.reports.iter().map(ReportLineage::tree));
        Tree::new(label, children)
    }

    fn verdict_tree(&self) -> Tree {
        let network = self.network_status.as_deref().unwrap_or("nothing");
        let mut children: Vec<Tree> = self
            .reasons
            .iter()
            .map(|reason| match &reason.evidence {
                Some(evidence) => Tree::leaf(format!("{}: {evidence}", reason.code)),
                None => Tree::leaf(reason.code.clone()),
            })
            .collect();
        let SharedOrder {
            same_tenant,
            other_tenants,
            owner,
        } = &self.shared_order;
        if let Some(owner) = owner {
            children.push(Tree::leaf(format!("the order is claim {owner}'s")));
        }
        for claim in same_tenant {
            children.push(Tree::leaf(format!("claim {claim} names the same order")));
        }
        if *other_tenants > 0 {
            let count = format!("{other_tenants} claims of other tenants name the same order");
            children.push(Tree::leaf(count));
        }
        let label = format!(
            "verdict: {}; the network says {network}; converted {}, payable from {}",
            self.status, self.converted_at, self.payable_at
        );
        Tree::new(label, children)
    }

    fn money_tree(&self) -> Tree {
        let money = &self.money;
        let currency = money.currency;
        let mut children = vec![
            Tree::leaf(format!("expected: {}", money.expected.line(currency))),
            Tree::leaf(format!("in the books: {}", money.posted.line(currency))),
            Tree::leaf(format!("paid out: {} {currency}", money.paid)),
        ];
        let rating = self.rating.as_ref().and_then(|rating| {
            let rating = rating.as_object()?;
            let says: Vec<String> = rating
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| format!("{name} {}", plain(value)))
                .collect();
            Some(Tree::leaf(format!("rated: {}", says.join(", "))))
        });
        children.extend(rating);
        let sale = money
            .sale
            .map_or_else(|| "unknown".to_owned(), |sale| sale.to_string());
        let sums = if money.adds_up {
            "sums add up"
        } else {
            "SUMS DON'T ADD UP"
        };
        let share = money.user_share_pct;
        let label = format!("sale {sale}, share of the shopper {share}%: {sums}");
        Tree::new(label, children)
    }
}

/// A JSON value without the quotes of a string.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn postings_tree(postings: &[PostingLine]) -> Tree {
    let transactions = postings.chunk_by(|one, next| one.transaction == next.transaction);
    let children = transactions
        .map(|lines| {
            let legs: Vec<String> = lines
                .iter()
                .map(|line| format!("{} {} {}", line.account, line.amount, line.currency))
                .collect();
            let transaction = lines.first().map_or(0, |line| line.transaction);
            Tree::leaf(format!("transaction {transaction}: {}", legs.join(", ")))
        })
        .collect();
    Tree::new("postings", children)
}

impl CommandLine {
    fn tree(&self) -> Tree {
        let label = format!(
            "command {} by {} at {}: {}",
            self.command_id, self.author, self.issued_at, self.reason
        );
        let what = Tree::leaf(self.body.to_string());
        Tree::new(label, vec![what, Tree::leaf(self.position.to_string())])
    }
}

impl PaidBy {
    fn tree(&self) -> Tree {
        let card = self.card_id.as_deref();
        let card = card.map_or_else(String::new, |card| format!(", card {card}"));
        Tree::leaf(format!(
            "payout {} ({}) pays {}{card}",
            self.payout_id, self.state, self.amount
        ))
    }
}

fn click_tree(click: &ClickFacts) -> Tree {
    let user = click
        .user_id
        .map_or_else(|| "nobody known".to_owned(), |user| user.to_string());
    let country = click
        .country
        .map_or_else(|| "unknown".to_owned(), |country| country.to_string());
    let children = vec![
        Tree::leaf(format!(
            "link {}, campaign {}, offer {}, tenant {}",
            click.link_id, click.campaign_id, click.offer_id, click.tenant_id
        )),
        Tree::leaf(format!("shopper {user}, country {country}")),
    ];
    Tree::new(
        format!("click {} at {}", click.click_id, click.clicked_at),
        children,
    )
}
