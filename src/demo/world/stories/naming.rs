//! How networks name the sales of one click, and how they don't.

use crate::demo::world::{
    Report, Status,
    coin::Exact,
    market,
    planner::{Planner, Sale},
};

use super::changes::amend;

/// A report that says nothing about which sale it is.
fn unnamed(mut report: Report) -> Report {
    report.txn_id = None;
    report.goal_id = None;
    report.conversion_id = None;
    report
}

/// Two orders: two claims.
pub fn two_orders_of_one_click(planner: &mut Planner) {
    let sale = planner.sale(30);
    planner.send(sale.slot, sale.click, sale.with(Status::Approved));
    let mut second = sale.clone();
    amend(&mut second, 640);
    second.report.txn_id = Some(planner.name("OD"));
    second.report.conversion_id = sale
        .report
        .conversion_id
        .as_ref()
        .map(|_| planner.conversion_id());
    let later = sale.slot + planner.between(1, 10);
    planner.send(later, sale.click, second.with(Status::Pending));
    let approval = later + planner.between(1, 20);
    planner.send(approval, sale.click, second.with(Status::Approved));
}

/// A sign-up and a purchase, without order numbers.
pub fn two_goals_of_one_click(planner: &mut Planner) {
    let sale = insurance(planner, 20);
    for (after, goal, units) in [(0, "signup", 200), (5, "purchase", 7_500)] {
        let report = Report {
            goal_id: Some(goal.to_owned()),
            sale_amount: Some(Exact::from_units(units)),
            ..unnamed(sale.with(Status::Approved))
        };
        planner.send(sale.slot + after, sale.click, report);
    }
}

fn insurance(planner: &mut Planner, room: usize) -> Sale {
    let link = planner.link_of(market::INSURANCE);
    planner.sale_through(link, room)
}

/// The first report carries both names, the second only the network's own.
pub fn by_conversion_id_alone(planner: &mut Planner) {
    let mut sale = planner.sale(30);
    sale.report.conversion_id = Some(planner.conversion_id());
    planner.send(sale.slot, sale.click, sale.with(Status::Pending));
    let report = Report {
        txn_id: None,
        ..sale.with(Status::Approved)
    };
    let later = sale.slot + planner.between(1, 30);
    planner.send(later, sale.click, report);
}

/// Nothing but the click: one claim.
pub fn without_a_name(planner: &mut Planner) {
    let sale = planner.sale(30);
    planner.send(sale.slot, sale.click, unnamed(sale.with(Status::Pending)));
    let later = sale.slot + planner.between(1, 30);
    planner.send(later, sale.click, unnamed(sale.with(Status::Approved)));
}

/// Nothing but the click, and two amounts: one sale amended, or two sales? A person decides.
pub fn without_a_name_and_two_amounts(planner: &mut Planner) {
    let mut sale = planner.sale(30);
    for (after, units) in [(0, 1_500), (9, 2_500)] {
        sale.report.sale_amount = Some(Exact::from_units(units));
        let report = unnamed(sale.with(Status::Approved));
        planner.send(sale.slot + after, sale.click, report);
    }
}

/// A transaction id that is the customer's number: the same for everybody's every sale.
pub fn transaction_ids_that_are_no_orders(planner: &mut Planner) {
    for _ in 0..3 {
        let sale = insurance(planner, 10);
        let report = Report {
            txn_id: Some("customer-42".to_owned()),
            conversion_id: None,
            ..sale.with(Status::Approved)
        };
        planner.send(sale.slot, sale.click, report);
    }
}
