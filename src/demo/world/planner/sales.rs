//! Sales with everything that networks usually say of them.

use rand::RngExt;
use schemas::{Timestamp, UserId};

use crate::demo::world::{
    ClickNumber, Report, Status,
    calendar::{Calendar, DAY_MS, Slot},
    coin::{Coin, Exact},
    market,
    seeds::{CommissionRule, PayoutMeaning},
};

use super::Planner;

/// A sale: a click, and what the network knows of it.
#[derive(Debug, Clone)]
pub struct Sale {
    /// The click.
    pub click: ClickNumber,
    /// The slot of its first report.
    pub slot: Slot,
    /// What a report of it says, unless a story changes it.
    pub report: Report,
}

impl Sale {
    /// Its report with a status.
    pub fn with(&self, status: Status) -> Report {
        Report {
            status,
            ..self.report.clone()
        }
    }
}

impl Planner {
    /// A sale of a regular shopper, or of nobody known, through a link; its first report comes
    /// `after` slots after its click.
    pub fn sale_at(&mut self, slot: Slot, after: usize, link: usize) -> Sale {
        let report_slot = slot + after;
        let user_id = if self.percent(12) {
            None
        } else {
            self.people.regular(slot, report_slot, &mut self.rng)
        };
        self.sale_of(slot, after, link, user_id)
    }

    /// A sale of a chosen shopper.
    pub fn sale_of(
        &mut self,
        slot: Slot,
        after: usize,
        link: usize,
        user_id: Option<UserId>,
    ) -> Sale {
        let click = self.click(slot, link, user_id);
        let report = self.report(slot, slot + after, link);
        Sale {
            click,
            slot: slot + after,
            report,
        }
    }

    /// An ordinary sale in the first days, with at least `room` slots of traffic after its first
    /// report.
    pub fn sale(&mut self, room: usize) -> Sale {
        let link = self.any_link();
        self.sale_through(link, room)
    }

    /// The same through a chosen link.
    pub fn sale_through(&mut self, link: usize, room: usize) -> Sale {
        let after = self.between(1, 12);
        let slot = self.between(0, Calendar::BEFORE_ANNIVERSARY - 1 - room - after);
        self.sale_at(slot, after, link)
    }

    /// The first report of a sale, with everything that such reports usually carry.
    fn report(&mut self, click_slot: Slot, slot: Slot, link: usize) -> Report {
        let offer = self.seeds.offer_of(link);
        let (offer_id, network_id) = (offer.offer_id, offer.network_id);
        let terms = &offer.terms[0].value;
        let (coin, commission) = (terms.coin, terms.commission);
        let network = self.seeds.network(network_id);
        let (default_coin, meaning) = (network.default_coin, network.payout);
        let sale_amount = self.amount(coin);
        let payout = match (commission, meaning) {
            (CommissionRule::ReportedPayout, PayoutMeaning::Amount) => {
                Some(self.part_of(sale_amount, coin))
            }
            (CommissionRule::ReportedPayout, PayoutMeaning::Percentage) => {
                Some(Exact::from_micros(250_000 * self.rng.random_range(4..=60)))
            }
            (CommissionRule::OfSale(_), _) => None,
        };
        let own_time = self.percent(40);
        let domestic = network_id == market::DOMESTIC;
        Report {
            network_id,
            offer_id: self.percent(80).then_some(offer_id),
            status: Status::Pending,
            sale_amount: Some(sale_amount),
            payout,
            coin: (coin != default_coin || self.percent(60)).then_some(coin),
            txn_id: Some(self.name("OD")),
            goal_id: None,
            conversion_id: self.percent(30).then(|| self.conversion_id()),
            converted_at: own_time.then(|| self.time_between(click_slot, slot)),
            country: self
                .percent(30)
                .then_some(if domestic { "IN" } else { "US" }),
        }
    }

    /// The network's own conversion id: 24 hexadecimal digits, the first of them a letter.
    pub fn conversion_id(&mut self) -> String {
        self.names += 1;
        format!(
            "{:08x}{:016x}",
            self.rng.random::<u32>() | 0xA000_0000,
            self.names
        )
    }

    /// A payout of one to four percent of a sale, to the minor unit.
    pub fn part_of(&mut self, sale: Exact, coin: Coin) -> Exact {
        let minor = sale.micros() / coin.micros_per_minor();
        Exact::from_minor(minor * self.rng.random_range(10..=40) / 1_000, coin)
    }

    /// A sum between one minor unit and 99,999, small ones more often.
    fn amount(&mut self, coin: Coin) -> Exact {
        let most = 99_999 * coin.minor_per_unit();
        let digits = self.rng.random_range(0..=most.ilog10());
        let typical = self.percent(85);
        let (least, most) = if typical {
            // What a basket usually costs.
            let (least, most) = match coin {
                Coin::Inr => (150, 6_000),
                Coin::Usd => (5, 250),
                Coin::Jpy => (800, 40_000),
                Coin::Kwd => (3, 120),
            };
            (least * coin.minor_per_unit(), most * coin.minor_per_unit())
        } else {
            (1, 10_i64.pow(digits + 1).min(most))
        };
        Exact::from_minor(self.rng.random_range(least..=most), coin)
    }

    /// An instant well between two slots.
    fn time_between(&mut self, click_slot: Slot, slot: Slot) -> Timestamp {
        let margin_ms = 60_000;
        let earliest = self.calendar.at(click_slot).plus_millis(margin_ms);
        let span_ms = self.calendar.at(slot).millis_since(earliest) - margin_ms;
        // Most sales follow within a day of the click, however late they are reported.
        earliest.plus_millis(self.rng.random_range(0..span_ms.clamp(1, DAY_MS)))
    }
}
