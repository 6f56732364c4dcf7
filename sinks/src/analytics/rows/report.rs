use clickhouse::Row;
use processors::stage::Origin;
use schemas::{
    CampaignId, ClickId, EventId, LinkId, OfferId, TenantId, UserId,
    events::{ClickFacts, Decision, HealAuthor, Matched, NetworkStatus, Outcome},
};
use serde::Serialize;

use super::{
    super::names::Name,
    column::{Decimal, Identifier, Instant, text},
};

/// A row of `conversions`: what the network reported.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
#[expect(
    missing_docs,
    reason = "columns are described where the table is created"
)]
pub struct ConversionRow {
    pub source_partition: i32,
    pub source_offset: i64,
    pub event_id: i64,
    pub received_at: Instant,
    pub appended_at: Instant,
    pub report_source: &'static str,
    pub as_of: Option<Instant>,
    pub network_id: i32,
    pub offer_id: Option<i32>,
    pub network_conversion_id: String,
    pub txn_id: String,
    pub goal_id: String,
    pub status: &'static str,
    pub sale_amount: Option<Decimal>,
    pub payout: Option<Decimal>,
    pub currency: String,
    pub converted_at: Option<Instant>,
    pub country: String,
    pub heals: String,
    pub heal_author: &'static str,
    pub precedence: u64,
}

impl ConversionRow {
    /// The row of the report that a decision is about.
    pub fn of(decision: &Decision, origin: &Origin) -> Self {
        let reported = decision.reported.as_ref();
        let heal = decision.heal.as_ref();
        Self {
            source_partition: decision.source.partition,
            source_offset: decision.source.offset,
            event_id: decision.event_id.get(),
            received_at: decision.received_at.into(),
            appended_at: decision.appended_at.into(),
            report_source: decision.report_source.name(),
            as_of: decision.as_of.map(Instant::from),
            network_id: decision.network_id.get(),
            offer_id: reported
                .and_then(|fields| fields.offer_id)
                .map(OfferId::get),
            network_conversion_id: text(
                reported.and_then(|fields| fields.network_conversion_id.as_ref()),
            ),
            txn_id: text(reported.and_then(|fields| fields.txn_id.as_ref())),
            goal_id: text(reported.and_then(|fields| fields.goal_id.as_ref())),
            status: reported
                .and_then(|fields| fields.status)
                .map_or("", NetworkStatus::name),
            sale_amount: reported
                .and_then(|fields| fields.sale_amount)
                .map(Decimal::from),
            payout: reported.and_then(|fields| fields.payout).map(Decimal::from),
            currency: text(reported.and_then(|fields| fields.currency)),
            converted_at: reported
                .and_then(|fields| fields.converted_at)
                .map(Instant::from),
            country: text(reported.and_then(|fields| fields.country)),
            heals: text(heal.map(|heal| heal.heals)),
            heal_author: heal.map(|heal| heal.author).map_or("", HealAuthor::name),
            precedence: precedence(origin),
        }
    }
}

/// A row of `decisions`: what was made of a report, taken alone.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
#[expect(
    missing_docs,
    reason = "columns are described where the table is created"
)]
pub struct DecisionRow {
    pub source_partition: i32,
    pub source_offset: i64,
    pub event_id: i64,
    pub received_at: Instant,
    pub decided_at: Instant,
    pub outcome: &'static str,
    pub reason: &'static str,
    pub error: String,
    pub click_id: Option<i64>,
    pub clicked_at: Option<Instant>,
    pub tenant_id: Option<Identifier>,
    pub campaign_id: Option<Identifier>,
    pub link_id: Option<Identifier>,
    pub offer_id: Option<i32>,
    pub user_id: Option<Identifier>,
    pub click_country: String,
    pub tenant_version: Option<i32>,
    pub campaign_version: Option<i32>,
    pub offer_version: Option<i32>,
    pub rules_version: Option<i32>,
    pub score: i32,
    pub signals: Vec<&'static str>,
    pub self_purchase: &'static str,
    pub currency: String,
    pub commission: Option<Decimal>,
    pub subsidy: Option<Decimal>,
    pub fee: Option<Decimal>,
    pub user_part: Option<Decimal>,
    pub creator_part: Option<Decimal>,
    pub precedence: u64,
}

impl DecisionRow {
    /// The row of a decision.
    pub fn of(decision: &Decision, origin: &Origin) -> Self {
        let undecided = Self::without_outcome(decision, origin);
        match &decision.outcome {
            Outcome::Matched(matched) => undecided.matched(matched),
            Outcome::Unmatched(unmatched) => Self {
                outcome: "unmatched",
                reason: unmatched.reason.name(),
                click_id: unmatched.click_id.map(ClickId::get),
                ..undecided
            },
            Outcome::Ignored(ignored) => Self {
                outcome: "ignored",
                reason: ignored.reason.name(),
                ..undecided
            },
            Outcome::Poisoned(poisoned) => Self {
                outcome: "poisoned",
                error: poisoned.error.clone(),
                ..undecided
            },
        }
    }

    fn without_outcome(decision: &Decision, origin: &Origin) -> Self {
        Self {
            source_partition: decision.source.partition,
            source_offset: decision.source.offset,
            event_id: EventId::get(decision.event_id),
            received_at: decision.received_at.into(),
            decided_at: origin.appended_at.into(),
            outcome: "",
            reason: "",
            error: String::new(),
            click_id: None,
            clicked_at: None,
            tenant_id: None,
            campaign_id: None,
            link_id: None,
            offer_id: None,
            user_id: None,
            click_country: String::new(),
            tenant_version: None,
            campaign_version: None,
            offer_version: None,
            rules_version: None,
            score: 0,
            signals: Vec::new(),
            self_purchase: "",
            currency: String::new(),
            commission: None,
            subsidy: None,
            fee: None,
            user_part: None,
            creator_part: None,
            precedence: precedence(origin),
        }
    }

    fn matched(self, matched: &Matched) -> Self {
        let Matched {
            click,
            terms,
            rules,
            signals,
            score,
            self_purchase,
            split,
            books_locked_before: _,
        } = matched;
        Self {
            outcome: "matched",
            tenant_version: Some(terms.tenant_version),
            campaign_version: Some(terms.campaign_version),
            offer_version: Some(terms.offer_version),
            rules_version: Some(rules.version),
            score: *score,
            signals: signals.iter().map(|signal| signal.code.name()).collect(),
            self_purchase: self_purchase.map_or("", Name::name),
            currency: terms.currency.to_string(),
            commission: split.map(|split| split.commission.into()),
            subsidy: split.map(|split| split.subsidy.into()),
            fee: split.map(|split| split.fee.into()),
            user_part: split.map(|split| split.user.into()),
            creator_part: split.map(|split| split.creator.into()),
            ..self.with_click(click)
        }
    }

    fn with_click(self, click: &ClickFacts) -> Self {
        Self {
            click_id: Some(click.click_id.get()),
            clicked_at: Some(click.clicked_at.into()),
            tenant_id: Some(TenantId::uuid(click.tenant_id).into()),
            campaign_id: Some(CampaignId::uuid(click.campaign_id).into()),
            link_id: Some(LinkId::uuid(click.link_id).into()),
            offer_id: Some(click.offer_id.get()),
            user_id: click.user_id.map(UserId::uuid).map(Identifier::from),
            click_country: text(click.country),
            ..self
        }
    }
}

/// The table keeps the row of the highest precedence: the earliest decision on a report counts
/// (design section 1, rule 4), and decisions on one report share a partition.
fn precedence(origin: &Origin) -> u64 {
    u64::MAX - origin.position.offset.unsigned_abs()
}
