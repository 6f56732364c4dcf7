//! Records of the log, as the tests make them.

use std::fmt;

use schemas::{
    Amount, CampaignId, ClickId, Currency, EventId, LinkId, NetworkId, OfferId, Percentage,
    Position, TenantId, Timestamp, Topic, UserId, codec,
    events::{
        ClickFacts, ClickOrigin, ClickRecorded, ClickSignals, Command, CommissionSource, Decision,
        Device, DuplicatePolicy, FraudRules, Matched, NetworkStatus, Outcome, PayoutMeans,
        PayoutRequested, PayoutResult, Rate, RateOrigin, ReportSource, Reported, Terms,
    },
};
use stream::NewRecord;
use uuid::Uuid;

/// When everything begins.
pub const T0: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// One record of the log, as the ledger reads it.
#[derive(Clone, PartialEq)]
pub enum Logged {
    Click(ClickRecorded),
    Decision(Box<Decision>),
    Command(Command),
    Payout(PayoutRequested),
    Step(PayoutResult),
}

/// Failures print histories: only what the generators vary.
impl fmt::Debug for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Click(click) => write!(f, "click {}", click.click_id),
            Self::Decision(decision) => describe(decision, f),
            Self::Command(command) => write!(f, "{} {:?}", command.issued_at, command.body),
            Self::Payout(payout) => write!(f, "{} pays {:?}", payout.payout_id, payout.items),
            Self::Step(result) => write!(f, "{} {:?}", result.payout_id, result.step),
        }
    }
}

fn describe(decision: &Decision, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Decision {
        event_id,
        received_at,
        appended_at,
        as_of,
        ..
    } = decision;
    write!(f, "report {event_id} at {}", decision.source)?;
    if let Outcome::Matched(matched) = &decision.outcome {
        write!(
            f,
            " of click {} by {:?}",
            matched.click.click_id, matched.click.user_id
        )?;
    }
    write!(
        f,
        " received {received_at} appended {appended_at} as of {as_of:?}"
    )?;
    if let Some(fields) = &decision.reported {
        let Reported {
            txn_id,
            goal_id,
            network_conversion_id,
            ..
        } = fields;
        write!(
            f,
            " {txn_id:?} {goal_id:?} {network_conversion_id:?} {:?}",
            fields.status
        )?;
        write!(f, " {:?} {:?}", fields.sale_amount, fields.converted_at)?;
    }
    if let Some(heal) = &decision.heal {
        write!(
            f,
            " heals {} as {} by {:?}",
            heal.heals, heal.heal_id, heal.author
        )?;
    }
    Ok(())
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

    /// A record of the topic, read back.
    pub fn read(topic: Topic, value: &[u8]) -> Self {
        match topic {
            Topic::Clicks => Self::Click(codec::decode(value).expect("a click")),
            Topic::Decisions => Self::Decision(Box::new(codec::decode(value).expect("a decision"))),
            Topic::Commands => Self::Command(codec::decode(value).expect("a command")),
            Topic::Payouts => Self::Payout(codec::decode(value).expect("a payout")),
            Topic::PayoutResults => Self::Step(codec::decode(value).expect("a step")),
            Topic::Conversions | Topic::Ledger | Topic::DeadLetters => {
                panic!("the ledger doesn't read {topic}")
            }
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
        commission: Rate::Percentage(Percentage::from_hundredths(800).expect("a percentage")),
        rate_origin: RateOrigin::Offer,
        goal_rates: Vec::new(),
        commission_rules: None,
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

/// The click as it stands in the log.
pub fn recorded(facts: &ClickFacts) -> ClickRecorded {
    ClickRecorded {
        click_id: facts.click_id,
        clicked_at: facts.clicked_at,
        received_at: facts.clicked_at,
        tenant_id: facts.tenant_id,
        campaign_id: facts.campaign_id,
        link_id: facts.link_id,
        offer_id: facts.offer_id,
        user_id: facts.user_id,
        country: facts.country,
        device: Device::Mobile,
        signals: facts.signals,
        address_hash: None,
        address_prefix: None,
        referrer: None,
        origin: ClickOrigin::Redirect,
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
            books_locked_before: None,
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
