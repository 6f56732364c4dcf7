//! Records of the log, as the tests make them.

use schemas::{
    Amount, CampaignId, ClickId, Currency, EventId, LinkId, NetworkId, OfferId, Percentage,
    Position, TenantId, Timestamp, Topic, UserId, codec,
    events::{
        ClickFacts, ClickRecorded, ClickSignals, Command, CommissionSource, Decision,
        DuplicatePolicy, FraudRules, Matched, NetworkStatus, Outcome, PayoutMeans, PayoutRequested,
        PayoutResult, ReportSource, Reported, Terms,
    },
};
use stream::NewRecord;
use uuid::Uuid;

/// When everything begins.
pub const T0: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// One record of the log, as the ledger reads it.
#[derive(Debug, Clone, PartialEq)]
pub enum Logged {
    Click(ClickRecorded),
    Decision(Box<Decision>),
    Command(Command),
    Payout(PayoutRequested),
    Step(PayoutResult),
}

impl Logged {
    pub fn topic(&self) -> Topic {
        match self {
            Self::Click(_) => Topic::Clicks,
            Self::Decision(_) => Topic::Decisions,
            Self::Command(_) => Topic::Commands,
            Self::Payout(_) => Topic::Payouts,
            Self::Step(_) => Topic::PayoutResults,
        }
    }

    pub fn to_record(&self) -> NewRecord {
        let (key, value) = match self {
            Self::Click(click) => (click.click_id.to_string(), codec::encode(click)),
            Self::Decision(decision) => {
                let key = match &decision.outcome {
                    Outcome::Matched(matched) => matched.click.click_id.to_string(),
                    Outcome::Unmatched(_) | Outcome::Ignored(_) | Outcome::Poisoned(_) => {
                        decision.event_id.to_string()
                    }
                };
                (key, codec::encode(&**decision))
            }
            Self::Command(command) => (command.body.key(), codec::encode(command)),
            Self::Payout(payout) => (payout.payout_id.to_string(), codec::encode(payout)),
            Self::Step(step) => (step.payout_id.to_string(), codec::encode(step)),
        };
        NewRecord::new(key, value.expect("encoded"))
    }
}

impl From<Decision> for Logged {
    fn from(decision: Decision) -> Self {
        Self::Decision(Box::new(decision))
    }
}

/// 8% commission in rupees, 60% to the shopper, 30 days of cool-off and window, no fee.
pub fn terms() -> Terms {
    Terms {
        tenant_version: 1,
        campaign_version: 1,
        offer_version: 1,
        currency: Currency::INR,
        default_currency: Currency::INR,
        commission_source: CommissionSource::Percentage,
        commission: Percentage::from_hundredths(800).expect("a percentage"),
        payout_means: PayoutMeans::Amount,
        commission_max: None,
        usual_sale_max: None,
        cool_off_days: 30,
        attribution_window_days: 30,
        fires_at_sale: false,
        txn_id_names_order: true,
        duplicate_orders: DuplicatePolicy::Reject,
        user_share: Percentage::from_hundredths(6_000).expect("a percentage"),
        platform_fee: Percentage::ZERO,
        platform_fee_flat: Amount::ZERO,
        subsidy: Amount::ZERO,
    }
}

pub fn tenant(number: u128) -> TenantId {
    TenantId::new(Uuid::from_u128(number))
}

pub fn user(number: u128) -> UserId {
    UserId::new(Uuid::from_u128(number))
}

/// A click of tenant 1, at `T0`.
pub fn click(number: i64, shopper: Option<u128>) -> ClickFacts {
    ClickFacts {
        click_id: ClickId::new(number),
        clicked_at: T0,
        tenant_id: tenant(1),
        campaign_id: CampaignId::new(Uuid::from_u128(2)),
        link_id: LinkId::new(Uuid::from_u128(3)),
        offer_id: OfferId::new(1),
        user_id: shopper.map(user),
        country: None,
        signals: ClickSignals::default(),
    }
}

/// An approved postback of ₹1,999.00 about click 1 of user 9, received and appended at `T0`.
pub fn decision(event_id: i64) -> Decision {
    Decision {
        source: Position {
            topic: Topic::Conversions,
            partition: 0,
            offset: event_id,
        },
        appended_at: T0,
        event_id: EventId::new(event_id),
        received_at: T0,
        report_source: ReportSource::Postback,
        as_of: None,
        network_id: NetworkId::new(1),
        reported: Some(Reported {
            click_ref: "1".to_owned(),
            status: Some(NetworkStatus::Approved),
            sale_amount: Some("1999.00".parse().expect("an amount")),
            ..Reported::default()
        }),
        heal: None,
        outcome: Outcome::Matched(Box::new(Matched {
            click: click(1, Some(9)),
            terms: terms(),
            rules: FraudRules::default(),
            signals: Vec::new(),
            score: 0,
            self_purchase: None,
            split: None,
        })),
    }
}

/// The fields of a decision, to be changed.
pub fn fields(decision: &mut Decision) -> &mut Reported {
    decision.reported.as_mut().expect("reported")
}

/// What a decision knows of its click, to be changed.
pub fn matched(decision: &mut Decision) -> &mut Matched {
    match &mut decision.outcome {
        Outcome::Matched(matched) => matched,
        Outcome::Unmatched(_) | Outcome::Ignored(_) | Outcome::Poisoned(_) => {
            panic!("made as matched")
        }
    }
}
