//! Reports that can't be used, that know no click of ours, or that nobody is paid for.

use crate::demo::world::{
    ClickRoute, Reference, Report, Status,
    calendar::{Calendar, DAY_MS},
    coin::{Coin, Exact},
    faults::Fault,
    market,
    planner::Planner,
};

/// One defect: it is ignored, and the network is told why.
pub fn malformed(planner: &mut Planner) {
    // Each kind in turn, so that a script of some size has them all.
    for _ in 0..3 {
        let fault = Fault::ALL[planner.between(0, Fault::ALL.len() - 1)];
        report_with(planner, fault);
    }
}

/// Every kind of defect once.
pub fn every_defect(planner: &mut Planner) {
    for fault in Fault::ALL {
        report_with(planner, fault);
    }
}

fn report_with(planner: &mut Planner, fault: Fault) {
    let offer = if fault == Fault::SecurityTokenWrong {
        market::APPS
    } else {
        market::FASHION
    };
    let link = planner.link_of(offer);
    let sale = planner.sale_through(link, 0);
    let reference = Reference::Token(sale.click);
    planner.post(
        sale.slot,
        reference,
        sale.with(Status::Approved),
        Some(fault),
    );
}

/// A click that we never had, or that we never gave.
pub fn click_unknown(planner: &mut Planner) {
    let sale = planner.sale(20);
    let number = planner.between(1, 4_000_000);
    let references = [
        Reference::Foreign(number.to_string()),
        Reference::Forged(sale.click),
        Reference::UnknownKey(sale.click),
        Reference::Foreign(planner.conversion_id()),
    ];
    let chosen = planner.between(0, references.len() - 1);
    let report = sale.with(Status::Approved);
    let reference = references[chosen].clone();
    let postback = planner.post(sale.slot, reference, report, None);
    if planner.percent(30) {
        planner.again(sale.slot + 10, postback);
    }
}

/// The network's own time is past the window.
pub fn after_the_window(planner: &mut Planner) {
    // The campaign with a window of seven days.
    let link = planner.links_of(market::FASHION)[1];
    let slot = planner.between(0, 80);
    let after = planner.between(60, 75);
    let sale = planner.sale_at(slot, after, link);
    let converted_at = Some(planner.calendar.at(sale.slot).plus_millis(-60_000));
    let report = Report {
        converted_at,
        ..sale.with(Status::Approved)
    };
    planner.send(sale.slot, sale.click, report);
}

/// A network that fires at the sale fires more than thirty days after the click.
pub fn receipt_after_the_window(planner: &mut Planner) {
    let link = planner.link_of(market::APPS);
    let slot = planner.between(0, 40);
    let sale = planner.sale_at(slot, Calendar::LATE + 3 - slot, link);
    let report = Report {
        converted_at: None,
        ..sale.with(Status::Approved)
    };
    planner.send(sale.slot, sale.click, report);
}

/// The last millisecond of the window, and the first after it.
pub fn edge_of_the_window(planner: &mut Planner) {
    let link = planner.links_of(market::FASHION)[1];
    for past_ms in [-1, 0] {
        let slot = planner.between(1, 80);
        let sale = planner.sale_at(slot, 62, link);
        let clicked_at = planner.calendar.at(slot).plus_millis(-1_000);
        let click = planner.click_mut(sale.click);
        click.route = ClickRoute::Endpoint;
        click.edge_at = Some(clicked_at);
        let converted_at = Some(clicked_at.plus_millis(7 * DAY_MS + past_ms));
        let report = Report {
            converted_at,
            ..sale.with(Status::Approved)
        };
        planner.send(sale.slot, sale.click, report);
    }
}

/// Dollars for an offer in rupees: a person decides what that means.
pub fn other_currency(planner: &mut Planner) {
    let link = planner.link_of(market::FASHION);
    let sale = planner.sale_through(link, 0);
    let report = Report {
        coin: Some(Coin::Usd),
        ..sale.with(Status::Approved)
    };
    planner.send(sale.slot, sale.click, report);
}

/// A payout above the offer's cap.
pub fn above_the_cap(planner: &mut Planner) {
    let link = planner.link_of(market::GROCERIES);
    let sale = planner.sale_through(link, 0);
    let report = Report {
        sale_amount: Some(Exact::from_units(60_000)),
        payout: Some(Exact::from_micros(5_000_010_000)),
        ..sale.with(Status::Approved)
    };
    planner.send(sale.slot, sale.click, report);
}

/// The click was for fashion, the report is for travel.
pub fn another_offer(planner: &mut Planner) {
    let link = planner.link_of(market::FASHION);
    let sale = planner.sale_through(link, 0);
    let report = Report {
        offer_id: Some(market::TRAVEL),
        ..sale.with(Status::Approved)
    };
    planner.send(sale.slot, sale.click, report);
}

/// Approved, but nobody says how much; half of the time somebody does later.
pub fn without_an_amount(planner: &mut Planner) {
    let link = planner.link_of(market::ELECTRONICS);
    let sale = planner.sale_through(link, 20);
    let report = Report {
        sale_amount: None,
        ..sale.with(Status::Approved)
    };
    planner.send(sale.slot, sale.click, report);
    if planner.percent(50) {
        let later = sale.slot + planner.between(1, 20);
        planner.send(later, sale.click, sale.with(Status::Approved));
    }
}
