//! More sales of one shopper within a day than a person makes.
//!
//! The shopper belongs to the story, so that nobody else's sales count. All sales are approved:
//! what becomes of them is the rule's doing.

use schemas::{OfferId, UserId};

use crate::demo::world::{
    ClickRoute, Report, Status,
    calendar::{HOUR_MS, Slot},
    market,
    planner::{Planner, Sale},
};

/// A sale of the shopper, not reported yet.
fn sale(planner: &mut Planner, slot: Slot, after: usize, link: usize, shopper: UserId) -> Sale {
    let mut sale = planner.sale_of(slot, after, link, Some(shopper));
    // Payable so many days after its receipt, to the millisecond.
    sale.report.converted_at = None;
    planner.click_mut(sale.click).edge_at = None;
    sale
}

fn report(planner: &mut Planner, sale: &Sale) {
    planner.send(sale.slot, sale.click, sale.with(Status::Approved));
}

fn link_and_shopper(planner: &mut Planner, offer: OfferId) -> (usize, UserId) {
    (planner.link_of(offer), planner.newcomer())
}

/// Seven clicks in eighteen hours: from the fifth on they go to review. One of the others is
/// cancelled, and counts all the same.
pub fn burst(planner: &mut Planner) {
    let (link, shopper) = link_and_shopper(planner, market::FASHION);
    let start = planner.between(0, 130);
    for number in 0..7 {
        let sale = sale(planner, start + number, 3, link, shopper);
        report(planner, &sale);
        if number == 1 {
            planner.send(sale.slot + 8, sale.click, sale.with(Status::Cancelled));
        }
    }
}

/// The fifth click lies exactly a day after the first, or a millisecond less.
pub fn burst_at_the_edge(planner: &mut Planner) {
    for short_ms in [0, 1] {
        let (link, shopper) = link_and_shopper(planner, market::FASHION);
        let start = planner.between(1, 120);
        let first_at = planner.calendar.at(start).plus_millis(-HOUR_MS / 2);
        let clicks = [
            (start, 0),
            (start + 1, HOUR_MS),
            (start + 2, 2 * HOUR_MS),
            (start + 3, 3 * HOUR_MS),
            (start + 9, 24 * HOUR_MS - short_ms),
        ];
        for (slot, after_ms) in clicks {
            let sale = sale(planner, slot, 2, link, shopper);
            let click = planner.click_mut(sale.click);
            click.route = ClickRoute::Endpoint;
            click.edge_at = Some(first_at.plus_millis(after_ms));
            report(planner, &sale);
        }
    }
}

/// Five clicks in twelve hours, of which the first is reported last.
fn burst_whose_first_comes_last(planner: &mut Planner, offer: OfferId, delay: usize) {
    let (link, shopper) = link_and_shopper(planner, offer);
    let start = planner.between(0, 60);
    let first = sale(planner, start, delay, link, shopper);
    for number in 1..5 {
        let sale = sale(planner, start + number, 3, link, shopper);
        report(planner, &sale);
    }
    report(planner, &first);
}

/// The first is reported while the fifth is open: it goes to review.
pub fn burst_completed_late(planner: &mut Planner) {
    burst_whose_first_comes_last(planner, market::FASHION, 30);
}

/// The first is reported when the fifth is closed after three days: it stays.
pub fn burst_completed_too_late(planner: &mut Planner) {
    burst_whose_first_comes_last(planner, market::FLASH, 60);
}

/// One of the five is a duplicate of somebody else's order, and doesn't count.
pub fn burst_with_a_duplicate(planner: &mut Planner) {
    let (link, shopper) = link_and_shopper(planner, market::FASHION);
    let start = planner.between(2, 130);
    let owner = planner.sale_at(start - 2, 1, link);
    let owned = Report {
        converted_at: None,
        ..owner.with(Status::Approved)
    };
    planner.send(owner.slot, owner.click, owned);
    for number in 0..5 {
        let mut sale = sale(planner, start + number, 3, link, shopper);
        if number == 2 {
            sale.report.txn_id.clone_from(&owner.report.txn_id);
        }
        report(planner, &sale);
    }
}
