//! Events as other stages write them, small and plain.

use schemas::{
    Amount, CampaignId, ClickId, Currency, EventId, LinkId, NetworkId, OfferId, PayoutId, Position,
    TenantId, Timestamp, Topic, UserId,
    events::{
        Account, ClaimStatus, ClickOrigin, ClickRecorded, ClickSignals, Decision, Device, Ignored,
        LedgerChanged, Malformed, Outcome, PayoutItem, PayoutRequested, PayoutResult, PayoutStep,
        Posting, ReportSource, Split, Unmatched, UnmatchedReason,
    },
};
use uuid::Uuid;

/// When everything here begins.
pub const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);

pub fn amount(text: &str) -> Amount {
    text.parse().expect("an amount")
}

pub fn click(number: i64) -> ClickRecorded {
    ClickRecorded {
        click_id: ClickId::new(number),
        clicked_at: START.plus_days((number % 90).try_into().expect("small")),
        received_at: START,
        tenant_id: TenantId::new(Uuid::from_u128(1)),
        campaign_id: CampaignId::new(Uuid::from_u128(2)),
        link_id: LinkId::new(Uuid::from_u128(3)),
        offer_id: OfferId::new(7),
        user_id: (number % 2 == 0).then(|| UserId::new(Uuid::from_u128(4))),
        country: "IN".parse().ok(),
        device: Device::Mobile,
        signals: ClickSignals::BOT,
        address_hash: None,
        address_prefix: Some("203.0.113.0/24".to_owned()),
        referrer: None,
        origin: ClickOrigin::Redirect,
    }
}

pub fn decision(offset: i64, outcome: Outcome) -> Decision {
    Decision {
        source: Position {
            topic: Topic::Conversions,
            partition: 0,
            offset,
        },
        appended_at: START,
        event_id: EventId::new(1_000 + offset),
        received_at: START,
        report_source: ReportSource::Postback,
        as_of: None,
        network_id: NetworkId::new(1),
        reported: None,
        heal: None,
        outcome,
    }
}

pub fn unmatched() -> Outcome {
    Outcome::Unmatched(Unmatched {
        reason: UnmatchedReason::UnknownClick,
        click_id: Some(ClickId::new(1)),
    })
}

pub fn ignored() -> Outcome {
    Outcome::Ignored(Ignored {
        reason: Malformed::MissingClick,
    })
}

pub fn split(commission: &str, user: &str, creator: &str) -> Split {
    Split {
        commission: amount(commission),
        subsidy: Amount::ZERO,
        fee: Amount::ZERO,
        user: amount(user),
        creator: amount(creator),
    }
}

/// The design's example: 8% of ₹1,999.00, shared 60 to 40.
pub fn example() -> Split {
    split("159.92", "95.95", "63.97")
}

pub fn claim(claim: i64, sequence: i64, status: ClaimStatus, posted: Split) -> LedgerChanged {
    let click = click(claim);
    LedgerChanged {
        epoch: 1,
        sequence,
        claim: EventId::new(claim),
        retired: false,
        click_id: click.click_id,
        clicked_at: click.clicked_at,
        tenant_id: click.tenant_id,
        campaign_id: click.campaign_id,
        link_id: click.link_id,
        offer_id: click.offer_id,
        user_id: click.user_id,
        country: click.country,
        first_received_at: click.clicked_at,
        converted_at: click.clicked_at,
        payable_at: click.clicked_at.plus_days(30),
        status,
        reasons: Vec::new(),
        sale_amount: Some(amount("1999.00")),
        currency: Currency::INR,
        expected: example(),
        posted,
        paid_amount: Amount::ZERO,
        postings: vec![Posting {
            account: Account::UserPayable,
            tenant_id: click.tenant_id,
            user_id: click.user_id,
            currency: Currency::INR,
            amount: posted.user,
        }],
    }
}

pub fn payout(number: u128, value: &str) -> PayoutRequested {
    PayoutRequested {
        payout_id: PayoutId::new(Uuid::from_u128(number)),
        tenant_id: TenantId::new(Uuid::from_u128(1)),
        user_id: UserId::new(Uuid::from_u128(4)),
        currency: Currency::INR,
        amount: amount(value),
        as_of: START,
        method: "agcod".to_owned(),
        creation_request_id: format!("Hissa{number}"),
        request: b"{}".to_vec(),
        items: vec![PayoutItem {
            claim: EventId::new(2),
            amount: amount(value),
        }],
    }
}

pub fn step(number: u128, step: PayoutStep, at_ms: i64) -> PayoutResult {
    PayoutResult {
        payout_id: PayoutId::new(Uuid::from_u128(number)),
        step,
        at: START.plus_millis(at_ms),
        attempt: 1,
        detail: None,
        card_id: None,
    }
}
