//! After the first payout run: refunds of what was paid, decisions and reports that took weeks.

use crate::demo::world::{
    ClickRoute, Reference, Report, Status,
    calendar::{Calendar, Slot},
    coin::Exact,
    market,
    planner::{Planner, Sale},
};

use super::changes::{amend, sizeable};

/// A slot of the late phase.
fn late(planner: &mut Planner) -> Slot {
    planner.between(Calendar::LATE, Calendar::LAST)
}

/// An identified newcomer's approved sale of so many rupees through a link, `after` the start.
fn approved_sale_of_newcomer(planner: &mut Planner, link: usize, units: i64) -> Sale {
    let user_id = planner.newcomer();
    planner.user_mut(user_id).identified = true;
    let mut sale = planner.sale_of(3, 2, link, Some(user_id));
    amend(&mut sale, units);
    planner.send(sale.slot, sale.click, sale.with(Status::Approved));
    sale
}

/// Paid, then refunded, and the shopper never comes back: the balance stays below zero.
pub fn refund_that_leaves_a_debt(planner: &mut Planner) {
    let sale = approved_sale_of_newcomer(planner, 0, 20_000);
    planner.send(Calendar::LATE + 2, sale.click, sale.with(Status::Cancelled));
}

/// Paid, then refunded; the next sale fills the hole first.
pub fn refund_that_later_earnings_fill(planner: &mut Planner) {
    let sale = approved_sale_of_newcomer(planner, 0, 20_000);
    planner.send(Calendar::LATE + 1, sale.click, sale.with(Status::Cancelled));
    let user_id = planner.click_mut(sale.click).user_id;
    let mut next = planner.sale_of(Calendar::LATE + 3, 2, 0, user_id);
    amend(&mut next, 45_000);
    planner.send(next.slot, next.click, next.with(Status::Approved));
}

/// Three dear journeys, more than one card holds.
pub fn more_than_one_card(planner: &mut Planner) {
    // Of the two travel links, the first gives all to the shopper.
    let link = planner.links_of(market::TRAVEL)[0];
    let user_id = planner.newcomer();
    planner.user_mut(user_id).identified = true;
    for (slot, units) in [(1, 99_999), (4, 88_888), (7, 1_234)] {
        let mut sale = planner.sale_of(slot, 1, link, Some(user_id));
        amend(&mut sale, units);
        planner.send(sale.slot, sale.click, sale.with(Status::Approved));
    }
}

/// A tenant that asks for identity documents, and a shopper without.
pub fn nobody_is_paid_unidentified(planner: &mut Planner) {
    let link = planner.links_of(market::TRAVEL)[1];
    let sale = approved_sale_of_newcomer(planner, link, 50_000);
    if let Some(user_id) = planner.click_mut(sale.click).user_id {
        planner.user_mut(user_id).identified = false;
    }
}

/// A refund, most often of what was paid.
pub fn refunded_after_payment(planner: &mut Planner) {
    let sale = sizeable(planner, 60);
    planner.send(sale.slot, sale.click, sale.with(Status::Approved));
    let slot = late(planner);
    planner.send(slot, sale.click, sale.with(Status::Cancelled));
}

/// The network decides after the cool-off.
pub fn approved_late(planner: &mut Planner) {
    let sale = planner.sale(0);
    planner.send(sale.slot, sale.click, sale.with(Status::Pending));
    let slot = late(planner);
    planner.send(slot, sale.click, sale.with(Status::Approved));
}

/// A part of the order is returned, or added, after payment.
pub fn amended_late(planner: &mut Planner) {
    let mut sale = sizeable(planner, 60);
    planner.send(sale.slot, sale.click, sale.with(Status::Approved));
    let up = planner.percent(50);
    amend(&mut sale, if up { 12_345 } else { 111 });
    let slot = late(planner);
    planner.send(slot, sale.click, sale.with(Status::Approved));
}

/// The first that we hear of a sale is weeks old. Only the receipt's time is known, and this
/// network's receipts say nothing about the sale's.
pub fn reported_late(planner: &mut Planner) {
    let link = planner.link_of(market::ELECTRONICS);
    let slot = planner.between(0, 80);
    let first_report = late(planner);
    let sale = planner.sale_at(slot, first_report - slot, link);
    let report = Report {
        converted_at: None,
        ..sale.with(Status::Approved)
    };
    planner.send(first_report, sale.click, report);
}

/// A network that lost the token, and kept the click's number.
pub fn named_by_number(planner: &mut Planner) {
    let link = planner.link_of(market::ELECTRONICS);
    let slot = planner.between(60, 150);
    let first_report = late(planner);
    let mut sale = planner.sale_at(slot, first_report - slot, link);
    sale.report.sale_amount = Some(Exact::from_units(777));
    planner.click_mut(sale.click).route = ClickRoute::Endpoint;
    let reference = Reference::Number(sale.click);
    planner.post(first_report, reference, sale.with(Status::Approved), None);
}
