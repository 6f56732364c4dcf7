mod properties;

use std::time::{Duration, SystemTime};

use schemas::Timestamp;

use super::*;
use crate::demo::{
    driver::{ClickAnswer, PostbackAnswer},
    world::{
        Action, Click, ClickRoute, OddSigns, Phase, Postback, Reference, Report, Status, Step,
        calendar::{DAY_MS, HOUR_MS},
        coin::Exact,
        market,
        messages::{Form, Spelling},
    },
};

const START: i64 = 1_790_000_000_000;

/// The record of a run in which everything was accepted.
pub(in crate::demo) fn perfect(script: &Script) -> Record {
    let mut record = Record::of(script);
    for number in 0..script.clicks.len() {
        let click_id = ClickId::new(i64::try_from(number).expect("small") + 1_000);
        record.note_click(
            number,
            ClickAnswer {
                click_id,
                token: format!("token-{number}"),
            },
        );
    }
    for (number, postback) in script.postbacks.iter().enumerate() {
        let ignored = postback.fault.map(|fault| fault.reason().to_owned());
        let answer = PostbackAnswer {
            sent_at: SystemTime::UNIX_EPOCH,
            took: Duration::ZERO,
            attempts: 1,
            ignored,
        };
        record.note_postback(number, answer);
    }
    record
}

/// An empty script whose seeds a test fills with clicks and reports of its own.
struct Tale {
    script: Script,
}

fn at(after_ms: i64) -> Timestamp {
    Timestamp::from_millis(START + after_ms)
}

impl Tale {
    fn new() -> Self {
        let mut script = Script::write(1, 1, Timestamp::from_millis(START));
        script.clicks.clear();
        script.postbacks.clear();
        script.steps.clear();
        for tenant in &mut script.seeds.tenants {
            tenant.payout_minimum_units = 100;
        }
        Self { script }
    }

    /// A click of the nth regular shopper on a link; members come first among the users.
    fn click(&mut self, after_ms: i64, link: usize, shopper: Option<usize>) -> usize {
        let user_id = shopper.map(|number| self.script.seeds.users[number + 8].user_id);
        self.script.clicks.push(Click {
            at: at(after_ms),
            edge_at: None,
            link,
            user_id,
            route: ClickRoute::Endpoint,
            country: "IN",
            odd: OddSigns::default(),
            address: [192, 0, 2, 1].into(),
        });
        self.script.clicks.len() - 1
    }

    /// A report with an order number.
    fn report(&mut self, after_ms: i64, click: usize, order: &str, status: Status, units: i64) {
        let report = Report {
            network_id: market::DOMESTIC,
            offer_id: None,
            status,
            sale_amount: Some(Exact::from_units(units)),
            payout: None,
            coin: None,
            txn_id: Some(order.to_owned()),
            goal_id: None,
            conversion_id: None,
            converted_at: None,
            country: None,
        };
        let phase = if after_ms < 36 * DAY_MS {
            Phase::Traffic
        } else {
            Phase::Late
        };
        let number = self.script.postbacks.len();
        self.script.steps.push(Step {
            at: at(after_ms),
            phase,
            actions: vec![Action::Postback(number)],
        });
        self.script.postbacks.push(Postback {
            at: at(after_ms),
            phase,
            reference: Reference::Token(click),
            report,
            fault: None,
            spelling: Spelling {
                form: Form::Query,
                click_in_p1: false,
                trackier_names: false,
                padded: false,
            },
        });
    }

    fn expect(&self) -> Expected {
        expect(&self.script, &perfect(&self.script))
    }

    fn standings(&self) -> Vec<Standing> {
        let mut claims = self.expect().claims;
        claims.sort_by_key(|claim| claim.first);
        claims.into_iter().map(|claim| claim.standing).collect()
    }

    fn first_link_of(&self, offer: schemas::OfferId) -> usize {
        let mut links = self.script.seeds.links.iter();
        links
            .position(|link| link.offer_id == offer)
            .expect("every offer has a link")
    }
}

#[test]
fn an_approved_sale_is_split_and_paid_in_whole_rupees() {
    let mut tale = Tale::new();
    let link = tale.first_link_of(market::FASHION);
    let click = tale.click(0, link, Some(0));
    tale.report(HOUR_MS, click, "A", Status::Approved, 1_999);
    let second = tale.click(2 * HOUR_MS, link, Some(0));
    tale.report(3 * HOUR_MS, second, "B", Status::Approved, 1_999);
    let expected = tale.expect();
    let parts = Parts {
        commission: 15_992,
        user: 9_595,
        creator: 6_397,
        ..Parts::default()
    };
    assert_eq!(expected.claims[0].parts, parts);
    // 191.90 is owed, 191 is paid: the first claim in full, the second all but ninety paise.
    assert_eq!(expected.claims[0].standing, Standing::Paid);
    assert_eq!(expected.claims[1].standing, Standing::Confirmed);
    assert_eq!(expected.claims[1].paid, 9_505);
    let values: Vec<_> = expected
        .cards
        .iter()
        .map(|card| (card.run, card.minor))
        .collect();
    assert_eq!(values, [(0, 19_100)]);
    assert_eq!(expected.payees.values().copied().collect::<Vec<_>>(), [90]);
    assert_eq!(expected.balances.values().sum::<i128>(), 0);
}

#[test]
fn less_than_the_minimum_waits() {
    let mut tale = Tale::new();
    let link = tale.first_link_of(market::FASHION);
    let click = tale.click(0, link, Some(0));
    tale.report(HOUR_MS, click, "A", Status::Approved, 1_999);
    assert!(
        tale.expect().cards.is_empty(),
        "95.95 is below the tenant's hundred"
    );
}

#[test]
fn a_refund_after_payment_leaves_a_debt_that_later_earnings_fill() {
    let mut tale = Tale::new();
    let link = tale.first_link_of(market::FASHION);
    let click = tale.click(0, link, Some(0));
    tale.report(HOUR_MS, click, "A", Status::Approved, 10_000);
    tale.report(37 * DAY_MS, click, "A", Status::Cancelled, 10_000);
    let expected = tale.expect();
    assert_eq!(expected.claims[0].standing, Standing::Reversed);
    assert_eq!(
        expected.payees.values().copied().collect::<Vec<_>>(),
        [-48_000]
    );

    // 9 % by then, of which 65 % are the shopper's: 1,170.00, less the 480.00.
    let next = tale.click(38 * DAY_MS, link, Some(0));
    tale.report(39 * DAY_MS, next, "B", Status::Approved, 20_000);
    let cards = tale.expect().cards;
    let values: Vec<_> = cards.iter().map(|card| (card.run, card.minor)).collect();
    assert_eq!(values, [(0, 48_000), (1, 69_000)]);
}

#[test]
fn a_card_holds_ten_thousand() {
    let mut tale = Tale::new();
    let link = tale.first_link_of(market::TRAVEL);
    let user_id = tale.script.seeds.users[8].user_id;
    for user in &mut tale.script.seeds.users {
        user.identified |= user.user_id == user_id;
    }
    let click = tale.click(0, link, Some(0));
    tale.report(HOUR_MS, click, "A", Status::Approved, 99_999);
    let cards = tale.expect().cards;
    // 11,999.88 and 2 of bonus, less 2.5 % and 1: 11,700.83, all the shopper's.
    let values: Vec<_> = cards.iter().map(|card| card.minor).collect();
    assert_eq!(values, [1_000_000, 170_000]);
}

#[test]
fn states_follow_the_reports_and_not_their_stragglers() {
    use Status::{Approved, Cancelled, Extended, OnHold, Pending, Rejected};
    for (statuses, standing) in [
        (vec![Pending], Standing::Pending),
        (vec![OnHold], Standing::Pending),
        (vec![Pending, Extended, Approved], Standing::Confirmed),
        (vec![Approved, Pending], Standing::Confirmed),
        (vec![Pending, Cancelled], Standing::Rejected),
        (vec![Pending, Cancelled, Approved], Standing::Rejected),
        (vec![Approved, Cancelled], Standing::Reversed),
        (vec![Approved, Cancelled, Pending], Standing::Reversed),
        (vec![Approved, Rejected], Standing::Reversed),
    ] {
        let mut tale = Tale::new();
        let link = tale.first_link_of(market::FASHION);
        let click = tale.click(0, link, None);
        for (number, status) in (1_i64..).zip(&statuses) {
            tale.report(number * HOUR_MS, click, "A", *status, 500);
        }
        assert_eq!(tale.standings(), [standing], "{statuses:?}");
    }
}

#[test]
fn an_earlier_amount_is_not_believed_and_still_no_repetition() {
    let mut tale = Tale::new();
    let link = tale.first_link_of(market::FASHION);
    let click = tale.click(0, link, None);
    for (hour, units) in [(1, 100), (2, 200), (3, 100), (4, 200), (5, 300)] {
        tale.report(hour * HOUR_MS, click, "A", Status::Approved, units);
    }
    let expected = tale.expect();
    assert_eq!(expected.claims[0].parts.commission, 2_400, "8 % of 300.00");
    let fates = Fates {
        ledgered: 1,
        updates: 3,
        repetitions: 1,
        ..Fates::default()
    };
    assert_eq!(expected.fates, fates);
}

#[test]
fn of_three_claimants_over_forty_days_the_second_is_a_duplicate() {
    let mut tale = Tale::new();
    let link = tale.first_link_of(market::FASHION);
    for day in [1, 20, 41] {
        let click = tale.click(0, link, None);
        tale.report(day * DAY_MS, click, "A", Status::Approved, 500);
    }
    assert_eq!(
        tale.standings(),
        [Standing::Confirmed, Standing::Rejected, Standing::Confirmed]
    );
    let fates = tale.expect().fates;
    assert_eq!((fates.ledgered, fates.duplicates), (2, 1));
}

#[test]
fn the_thirtieth_day_is_free_again() {
    for (short_ms, standing) in [(1, Standing::Rejected), (0, Standing::Confirmed)] {
        let mut tale = Tale::new();
        let link = tale.first_link_of(market::FASHION);
        for after_ms in [DAY_MS, 31 * DAY_MS - short_ms] {
            let click = tale.click(0, link, None);
            tale.report(after_ms, click, "A", Status::Approved, 500);
        }
        assert_eq!(tale.standings()[1], standing);
    }
}

/// Clicks at these hours, reported so much later, through an offer.
fn burst(offer: schemas::OfferId, clicks: &[(i64, i64)]) -> Vec<Standing> {
    let mut tale = Tale::new();
    let link = tale.first_link_of(offer);
    for (number, (click_ms, after_ms)) in clicks.iter().enumerate() {
        let click = tale.click(*click_ms, link, Some(0));
        tale.report(
            click_ms + after_ms,
            click,
            &format!("O{number}"),
            Status::Approved,
            20,
        );
    }
    tale.standings()
}

#[test]
fn the_fifth_within_a_day_goes_to_review() {
    let hourly: Vec<_> = (0..6).map(|hour| (hour * HOUR_MS, HOUR_MS / 2)).collect();
    let standings = burst(market::FASHION, &hourly);
    assert_eq!(standings[..4], [Standing::Confirmed; 4]);
    assert_eq!(standings[4..], [Standing::Review; 2]);

    let fifth = |at_ms| {
        let mut clicks = hourly[..4].to_vec();
        clicks.push((at_ms, HOUR_MS));
        burst(market::FASHION, &clicks)[4]
    };
    assert_eq!(fifth(24 * HOUR_MS), Standing::Confirmed);
    assert_eq!(fifth(24 * HOUR_MS - 1), Standing::Review);
}

#[test]
fn a_late_first_report_reaches_only_what_is_open() {
    for (delay_days, standing) in [(2, Standing::Review), (5, Standing::Confirmed)] {
        let mut clicks = vec![(0, delay_days * DAY_MS)];
        clicks.extend((1..5).map(|hour| (hour * HOUR_MS, HOUR_MS)));
        let standings = burst(market::FLASH, &clicks);
        assert_eq!(
            standings[4], standing,
            "three days of cool-off, {delay_days} of delay"
        );
    }
}

#[test]
fn members_and_their_contacts_earn_nothing() {
    let mut tale = Tale::new();
    let link = tale.first_link_of(market::FASHION);
    let phone = tale.script.seeds.users[0].phone.clone();
    tale.script.seeds.users[8].phone = phone.replace("+91", "+91 ");
    let email = tale.script.seeds.users[1].email.to_uppercase();
    tale.script.seeds.users[9].email = email;
    for shopper in 0..3 {
        let click = tale.click(0, link, Some(shopper));
        tale.report(
            HOUR_MS,
            click,
            &format!("O{shopper}"),
            Status::Approved,
            500,
        );
    }
    assert_eq!(
        tale.standings(),
        [Standing::Rejected, Standing::Rejected, Standing::Confirmed]
    );
}

#[test]
fn three_points_go_to_review_and_two_do_not() {
    for (odd, standing) in [
        (
            OddSigns {
                bot: true,
                data_centre: true,
                proxy: false,
            },
            Standing::Confirmed,
        ),
        (
            OddSigns {
                bot: true,
                data_centre: true,
                proxy: true,
            },
            Standing::Review,
        ),
    ] {
        let mut tale = Tale::new();
        let link = tale.first_link_of(market::FASHION);
        let click = tale.click(0, link, None);
        tale.script.clicks[click].odd = odd;
        tale.report(HOUR_MS, click, "A", Status::Approved, 500);
        assert_eq!(tale.standings(), [standing]);
    }
}
