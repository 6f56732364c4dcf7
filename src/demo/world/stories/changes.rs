//! Sales that change while they are open.

use crate::demo::world::{
    Report, Status,
    coin::{Coin, Exact},
    planner::{Planner, Sale},
};

/// A sale that can be made larger and smaller: hundreds of units, in whatever currency.
pub fn sizeable(planner: &mut Planner, room: usize) -> Sale {
    let mut sale = planner.sale(room);
    let units = i64::try_from(planner.between(400, 9_000)).unwrap_or(400);
    amend(&mut sale, units);
    sale
}

/// Sets the sale's amount in whole units, and its payout where that is an amount.
pub fn amend(sale: &mut Sale, units: i64) {
    sale.report.sale_amount = Some(Exact::from_units(units));
    if sale.report.payout.is_some() && sale.report.network_id.get() == 1 {
        // Three percent of a whole number of rupees is a whole number of paise: as many
        // different payouts as sales.
        sale.report.payout = Some(Exact::from_minor(units * 3, Coin::Inr));
    }
}

/// Held, then accepted.
pub fn extended_then_approved(planner: &mut Planner) {
    let sale = planner.sale(40);
    planner.send(sale.slot, sale.click, sale.with(Status::Pending));
    let held = sale.slot + planner.between(2, 15);
    planner.send(held, sale.click, sale.with(Status::Extended));
    let later = held + planner.between(1, 25);
    planner.send(later, sale.click, sale.with(Status::Approved));
}

/// A status that nobody documented; half of them are accepted later.
pub fn undocumented_status(planner: &mut Planner) {
    let sale = planner.sale(20);
    planner.send(sale.slot, sale.click, sale.with(Status::OnHold));
    if planner.percent(50) {
        let later = sale.slot + planner.between(1, 20);
        planner.send(later, sale.click, sale.with(Status::Approved));
    }
}

/// Nothing was ever owed.
pub fn cancelled_before_approval(planner: &mut Planner) {
    let sale = planner.sale(30);
    planner.send(sale.slot, sale.click, sale.with(Status::Pending));
    let later = sale.slot + planner.between(1, 30);
    planner.send(later, sale.click, sale.with(Status::Cancelled));
}

/// The network calls it fraud.
pub fn refused_as_fraud(planner: &mut Planner) {
    let sale = planner.sale(30);
    planner.send(sale.slot, sale.click, sale.with(Status::Pending));
    let later = sale.slot + planner.between(1, 30);
    planner.send(later, sale.click, sale.with(Status::Rejected));
}

/// A refund before anyone was paid. A pending report that straggles in doesn't bring it back.
pub fn cancelled_after_approval(planner: &mut Planner) {
    let sale = sizeable(planner, 40);
    planner.send(sale.slot, sale.click, sale.with(Status::Approved));
    let later = sale.slot + planner.between(1, 30);
    planner.send(later, sale.click, sale.with(Status::Cancelled));
    if planner.percent(30) {
        let straggler = later + planner.between(1, 10);
        planner.send(straggler, sale.click, sale.with(Status::Pending));
    }
}

/// The basket changes before or after approval, up or down.
pub fn amended(planner: &mut Planner) {
    let mut sale = sizeable(planner, 40);
    let before = if planner.percent(50) {
        Status::Pending
    } else {
        Status::Approved
    };
    planner.send(sale.slot, sale.click, sale.with(before));
    let units = i64::try_from(planner.between(100, 399)).unwrap_or(100);
    let up = planner.percent(50);
    amend(&mut sale, if up { 9_000 + units } else { units });
    let later = sale.slot + planner.between(1, 30);
    planner.send(later, sale.click, sale.with(Status::Approved));
}

/// Down, then up: never back to where it was.
pub fn amended_twice(planner: &mut Planner) {
    let mut sale = sizeable(planner, 40);
    let mut slot = sale.slot;
    planner.send(slot, sale.click, sale.with(Status::Approved));
    for units in [321, 9_876] {
        amend(&mut sale, units);
        slot += planner.between(1, 20);
        planner.send(slot, sale.click, sale.with(Status::Approved));
    }
}

/// A postback with an earlier amount is a straggler, and isn't believed.
pub fn amended_and_back(planner: &mut Planner) {
    let mut sale = sizeable(planner, 40);
    let first = planner.send(sale.slot, sale.click, sale.with(Status::Approved));
    amend(&mut sale, 222);
    let amendment = sale.slot + planner.between(1, 20);
    planner.send(amendment, sale.click, sale.with(Status::Approved));
    let straggler = amendment + planner.between(1, 20);
    planner.again(straggler, first);
}

/// The approval overtakes the first report.
pub fn approved_before_pending(planner: &mut Planner) {
    let sale = planner.sale(12);
    planner.send(sale.slot, sale.click, sale.with(Status::Approved));
    let later = sale.slot + planner.between(1, 12);
    planner.send(later, sale.click, sale.with(Status::Pending));
}

/// A postback can't bring a cancelled sale back.
pub fn approved_after_cancelled(planner: &mut Planner) {
    let sale = sizeable(planner, 40);
    planner.send(sale.slot, sale.click, sale.with(Status::Pending));
    let cancelled = sale.slot + planner.between(1, 20);
    planner.send(cancelled, sale.click, sale.with(Status::Cancelled));
    let later = cancelled + planner.between(1, 20);
    planner.send(later, sale.click, sale.with(Status::Approved));
}

/// A pending report after the approval changes the amount, and not the status.
pub fn amended_by_a_pending_report(planner: &mut Planner) {
    let mut sale = sizeable(planner, 20);
    planner.send(sale.slot, sale.click, sale.with(Status::Approved));
    amend(&mut sale, 333);
    let later = sale.slot + planner.between(1, 20);
    let report = Report {
        country: None,
        ..sale.with(Status::Pending)
    };
    planner.send(later, sale.click, report);
}
