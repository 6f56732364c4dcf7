//! Ordinary sales: nine of ten.

use crate::demo::world::{Report, Status, coin::Exact, market, planner::Planner};

/// ₹1,999.00 at 8 %, of which the shopper gets 60 %: 95.95 and 63.97.
pub fn the_example_of_the_design(planner: &mut Planner) {
    let sale = planner.sale_at(2, 3, 0);
    let report = Report {
        sale_amount: Some(Exact::from_units(1_999)),
        ..sale.with(Status::Approved)
    };
    planner.send(sale.slot, sale.click, report);
}

/// From one paisa to ₹99,999, and a sum that no coin can pay.
pub fn smallest_largest_and_finest(planner: &mut Planner) {
    for micros in [10_000, 99_999_000_000, 1_999_005_000, 0] {
        let sale = planner.sale_through(0, 10);
        let sale_amount = Some(Exact::from_micros(micros));
        planner.send(
            sale.slot,
            sale.click,
            Report {
                sale_amount,
                ..sale.with(Status::Approved)
            },
        );
    }
    for (offer, micros) in [
        (market::HOTELS, 1_000_000),
        (market::HOTELS, 99_999_000_000),
        (market::PERFUME, 1_000),
        (market::PERFUME, 1_234_567_000),
        (market::APPS, 10_000),
    ] {
        let link = planner.link_of(offer);
        let sale = planner.sale_through(link, 10);
        let sale_amount = Some(Exact::from_micros(micros));
        planner.send(
            sale.slot,
            sale.click,
            Report {
                sale_amount,
                ..sale.with(Status::Approved)
            },
        );
    }
}

/// The network decides on the spot.
pub fn approved_at_once(planner: &mut Planner) {
    let sale = planner.sale(0);
    planner.send(sale.slot, sale.click, sale.with(Status::Approved));
}

/// The network decides days later.
pub fn pending_then_approved(planner: &mut Planner) {
    let sale = planner.sale(50);
    planner.send(sale.slot, sale.click, sale.with(Status::Pending));
    let later = sale.slot + planner.between(4, 50);
    planner.send(later, sale.click, sale.with(Status::Approved));
}

/// The network never decides.
pub fn still_pending(planner: &mut Planner) {
    let sale = planner.sale(0);
    planner.send(sale.slot, sale.click, sale.with(Status::Pending));
}

/// Each report is delivered more than once, one of them long after its time.
pub fn redelivered(planner: &mut Planner) {
    let sale = planner.sale(40);
    let pending = planner.send(sale.slot, sale.click, sale.with(Status::Pending));
    planner.again(sale.slot + 1, pending);
    let approval = sale.slot + planner.between(3, 20);
    let approved = planner.send(approval, sale.click, sale.with(Status::Approved));
    let repeated = approval + planner.between(1, 9);
    planner.again(repeated, approved);
    if planner.percent(50) {
        planner.again(approval + 10, pending);
    }
}

/// The same request twice at the same moment: whichever comes first, one is a repetition.
pub fn fired_twice_at_once(planner: &mut Planner) {
    let sale = planner.sale(0);
    let first = planner.send(sale.slot, sale.click, sale.with(Status::Approved));
    planner.again(sale.slot, first);
}

/// The approval carries nothing but the name of the order.
pub fn approved_by_a_bare_status(planner: &mut Planner) {
    let sale = planner.sale(30);
    planner.send(sale.slot, sale.click, sale.with(Status::Pending));
    let bare = Report {
        sale_amount: None,
        payout: None,
        coin: None,
        converted_at: None,
        country: None,
        ..sale.with(Status::Approved)
    };
    let later = sale.slot + planner.between(1, 30);
    planner.send(later, sale.click, bare);
}
