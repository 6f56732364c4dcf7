//! Reports and terms for the unit and property tests of the rules.

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use schemas::{
    Amount, CampaignId, ClickId, Currency, EventId, LinkId, NetworkId, OfferId, Percentage,
    Position, TenantId, Timestamp, Topic, UserId,
    events::{
        ClickFacts, ClickSignals, CommissionSource, DuplicatePolicy, FraudRules, Matched,
        NetworkStatus, PayoutMeans, Rate, RateOrigin, ReportSource, Reported, Terms,
    },
};
use uuid::Uuid;

use super::{
    history::Report,
    lifecycle::ClaimState,
    rating::Sale,
    settlement::{Neighbourhood, Scope, settle},
};

/// When everything begins.
pub const T0: Timestamp = Timestamp::from_millis(1_790_000_000_000);

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

/// A sale of an amount, at `T0`, without a payout or a goal.
pub fn sale(amount: &str) -> Sale<'static> {
    Sale {
        amount: Some(amount.parse().expect("an amount")),
        payout: None,
        goal_id: None,
        converted_at: T0,
    }
}

/// A click of one tenant, at `T0`.
pub fn click(number: i64, user: Option<u128>) -> ClickFacts {
    ClickFacts {
        click_id: ClickId::new(number),
        clicked_at: T0,
        tenant_id: TenantId::new(Uuid::from_u128(1)),
        campaign_id: CampaignId::new(Uuid::from_u128(2)),
        link_id: LinkId::new(Uuid::from_u128(3)),
        offer_id: OfferId::new(1),
        user_id: user.map(|user| UserId::new(Uuid::from_u128(user))),
        country: None,
        signals: ClickSignals::default(),
    }
}

/// Builds reports; every setter replaces one value.
#[derive(Debug, Clone)]
pub struct ReportBuilder(Report);

/// An approved postback about click 1, received and appended at `T0`, without any name.
pub fn report(event_id: i64) -> ReportBuilder {
    ReportBuilder(Report {
        position: Position {
            topic: Topic::Conversions,
            partition: 0,
            offset: event_id,
        },
        appended_at: T0,
        superseded_at: None,
        event_id: EventId::new(event_id),
        received_at: T0,
        source: ReportSource::Postback,
        as_of: None,
        network_id: NetworkId::new(1),
        fields: Reported {
            click_ref: "1".to_owned(),
            status: Some(NetworkStatus::Approved),
            sale_amount: Some(Amount::from_micros(100_000_000)),
            ..Reported::default()
        },
        heal: None,
        matched: Box::new(Matched {
            click: click(1, Some(9)),
            terms: terms(),
            rules: FraudRules::default(),
            signals: Vec::new(),
            score: 0,
            self_purchase: None,
            split: None,
            books_locked_before: None,
        }),
    })
}

impl ReportBuilder {
    pub fn build(self) -> Report {
        self.0
    }

    fn with(mut self, change: impl FnOnce(&mut Report)) -> Self {
        change(&mut self.0);
        self
    }

    pub fn txn(self, txn_id: &str) -> Self {
        self.with(|report| report.fields.txn_id = Some(txn_id.to_owned()))
    }

    pub fn goal(self, goal_id: &str) -> Self {
        self.with(|report| report.fields.goal_id = Some(goal_id.to_owned()))
    }

    pub fn conversion(self, id: &str) -> Self {
        self.with(|report| report.fields.network_conversion_id = Some(id.to_owned()))
    }

    pub fn received_at(self, at: Timestamp) -> Self {
        self.with(|report| report.received_at = at)
    }

    pub fn appended_at(self, at: Timestamp) -> Self {
        self.with(|report| report.appended_at = at)
    }

    pub fn no_orders(self) -> Self {
        self.with(|report| report.matched.terms.txn_id_names_order = false)
    }

    pub fn status(self, status: NetworkStatus) -> Self {
        self.with(|report| report.fields.status = Some(status))
    }

    pub fn sale(self, amount: &str) -> Self {
        let amount = amount.parse().expect("an amount");
        self.with(|report| report.fields.sale_amount = Some(amount))
    }

    pub fn currency(self, code: &str) -> Self {
        let currency = code.parse().expect("a currency");
        self.with(|report| report.fields.currency = Some(currency))
    }

    pub fn commission_max(self, amount: &str) -> Self {
        let max = amount.parse().expect("an amount");
        self.with(|report| report.matched.terms.commission_max = Some(max))
    }

    pub fn converted_at(self, at: Timestamp) -> Self {
        self.with(|report| report.fields.converted_at = Some(at))
    }

    pub fn locked_before(self, before: Option<Timestamp>) -> Self {
        self.with(|report| report.matched.books_locked_before = before)
    }

    pub fn csv(self, as_of: Timestamp) -> Self {
        self.with(|report| {
            report.source = ReportSource::Csv;
            report.as_of = Some(as_of);
        })
    }
}

/// The only claim of click 1, from reports one minute apart.
pub fn state(reports: Vec<ReportBuilder>) -> ClaimState {
    let reports: Vec<_> = reports
        .into_iter()
        .zip(1..)
        .map(|(report, minute)| report.received_at(T0.plus_millis(minute * 60_000)).build())
        .collect();
    let click = reports[0].click_id();
    let scope = Scope {
        clicks: [click].into(),
        ..Scope::default()
    };
    let neighbourhood = Neighbourhood {
        reports: [(click, reports)].into(),
        ..Neighbourhood::default()
    };
    let mut claims = settle(&neighbourhood, &scope);
    assert_eq!(claims.len(), 1, "one claim was expected");
    claims.remove(0)
}

/// Shuffles with a seed that proptest prints.
pub fn shuffle<T>(items: &mut [T], seed: u64) {
    items.shuffle(&mut StdRng::seed_from_u64(seed));
}

prop_compose! {
    /// Any report about one click, with few enough names and amounts that they collide.
    pub fn any_report(event_id: i64)(
        txn in prop::option::of(prop::sample::select(vec!["A", "B"])),
        goal in prop::option::weighted(0.3, prop::sample::select(vec!["g", "h"])),
        conversion in prop::option::weighted(0.2, prop::sample::select(vec!["c1", "c2"])),
        status in prop::option::weighted(0.9, prop::sample::select(vec![
            NetworkStatus::Pending, NetworkStatus::Approved, NetworkStatus::Approved,
            NetworkStatus::Cancelled, NetworkStatus::Rejected, NetworkStatus::Unknown,
        ])),
        sale in prop::option::weighted(0.9, prop::sample::select(vec!["100", "200", "0"])),
        received_day in 0_i32..70,
        late_days in prop_oneof![5 => Just(0), 1 => 1_i32..40],
        converted_day in prop::option::weighted(0.3, 0_i32..40),
        snapshot in prop::option::weighted(0.2, 0_i32..70),
        locked_day in prop::option::weighted(0.15, 0_i32..70),
    ) -> Report {
        let received_at = T0.plus_days(received_day).plus_millis(event_id);
        let mut report = report(event_id).received_at(received_at).build();
        report.appended_at = received_at.plus_days(late_days).plus_millis(1);
        report.fields.txn_id = txn.map(str::to_owned);
        report.fields.goal_id = goal.map(str::to_owned);
        report.fields.network_conversion_id = conversion.map(str::to_owned);
        report.fields.status = status;
        report.fields.sale_amount = sale.map(|sale| sale.parse().expect("an amount"));
        report.fields.converted_at = converted_day.map(|day| T0.plus_days(day));
        report.matched.books_locked_before = locked_day.map(|day| T0.plus_days(day));
        if let Some(day) = snapshot {
            report.source = ReportSource::Csv;
            report.as_of = Some(T0.plus_days(day));
        }
        report
    }
}

/// Up to `most` reports about click 1.
pub fn reports_of_one_click(most: i64) -> impl Strategy<Value = Vec<Report>> {
    (1..=most).prop_flat_map(|count| (1..=count).map(any_report).collect::<Vec<_>>())
}
