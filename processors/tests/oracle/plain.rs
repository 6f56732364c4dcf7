//! The plainest records there are, for tables of edges: one offer in rupees at 8%, a share of 60%,
//! 30 days of everything, and the specification's fraud rules.

use schemas::{
    Amount, CampaignId, ClickId, Currency, EventId, LinkId, NetworkId, OfferId, Percentage,
    Position, TenantId, Topic, UserId,
    events::{
        ClickFacts, ClickSignals, CommissionSource, Decision, DuplicatePolicy, FraudRules, Matched,
        NetworkStatus, Outcome, PayoutMeans, Rate, RateOrigin, ReportSource, Reported, Terms,
    },
};
use uuid::Uuid;

use crate::records::at;

/// A day in milliseconds.
pub const DAY: i64 = 86_400_000;
/// An hour in milliseconds.
pub const HOUR: i64 = 3_600_000;

/// An amount from its text.
pub fn amount(text: &str) -> Amount {
    text.parse().expect("an amount")
}

/// A percentage from its text.
pub fn percent(text: &str) -> Percentage {
    text.parse().expect("a percentage")
}

/// The plainest terms.
pub fn terms() -> Terms {
    Terms {
        tenant_version: 1,
        campaign_version: 1,
        offer_version: 1,
        currency: Currency::INR,
        default_currency: Currency::INR,
        commission_source: CommissionSource::Percentage,
        commission: Rate::Percentage(percent("8")),
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
        user_share: percent("60"),
        platform_fee: Percentage::ZERO,
        platform_fee_flat: Amount::ZERO,
        subsidy: Amount::ZERO,
    }
}

/// The facts of a click of the one user, some milliseconds after the beginning.
pub fn click(number: i64, clicked: i64) -> ClickFacts {
    ClickFacts {
        click_id: ClickId::new(number),
        clicked_at: at(clicked),
        tenant_id: TenantId::new(Uuid::from_u128(1)),
        campaign_id: CampaignId::new(Uuid::from_u128(1)),
        link_id: LinkId::new(Uuid::from_u128(1)),
        offer_id: OfferId::new(1),
        user_id: Some(UserId::new(Uuid::from_u128(1))),
        country: None,
        signals: ClickSignals::default(),
    }
}

/// What an approved sale of 100 says.
pub fn approved() -> Reported {
    Reported {
        click_ref: "1".to_owned(),
        status: Some(NetworkStatus::Approved),
        sale_amount: Some(amount("100")),
        ..Reported::default()
    }
}

/// A report, received and appended some milliseconds after the beginning.
pub fn report(event: i64, click: ClickFacts, received: i64, fields: Reported) -> Decision {
    let matched = Matched {
        click,
        terms: terms(),
        rules: FraudRules::default(),
        signals: Vec::new(),
        score: 0,
        self_purchase: None,
        split: None,
        books_locked_before: None,
    };
    Decision {
        source: Position {
            topic: Topic::Conversions,
            partition: 0,
            offset: event,
        },
        appended_at: at(received),
        event_id: EventId::new(event),
        received_at: at(received),
        report_source: ReportSource::Postback,
        as_of: None,
        network_id: NetworkId::new(1),
        reported: Some(fields),
        heal: None,
        outcome: Outcome::Matched(Box::new(matched)),
    }
}

/// Changes what the stage found.
pub fn found(decision: &mut Decision, change: impl FnOnce(&mut Matched)) {
    if let Outcome::Matched(matched) = &mut decision.outcome {
        change(matched);
    }
}
