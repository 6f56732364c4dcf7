//! Self-purchases, orders claimed more than once, and clicks that look wrong.

use crate::demo::world::{
    ClickRoute, OddSigns, Report, Status,
    calendar::{Calendar, Slot},
    coin::Exact,
    market,
    planner::{Planner, Sale},
};

/// A member of the tenant shops through the tenant's link: in person, or under another account
/// with the same phone number or e-mail address, differently written.
pub fn self_purchase(planner: &mut Planner) {
    let link = planner.any_link();
    let tenant_id = planner.seeds.tenant_of(link).tenant_id;
    let members = planner
        .seeds
        .members
        .iter()
        .filter(|member| member.tenant_id == tenant_id);
    let members: Vec<_> = members.map(|member| member.user_id).collect();
    let member = members[planner.between(0, members.len() - 1)];
    let contacts = planner.user_mut(member).clone();
    let disguise = planner.between(0, 2);
    let shopper = if disguise == 0 {
        member
    } else {
        planner.newcomer()
    };
    if disguise == 1 {
        let (country, number) = contacts.phone.split_at(3);
        planner.user_mut(shopper).phone = format!("{country} {number}");
    } else if disguise == 2 {
        planner.user_mut(shopper).email = contacts.email.to_uppercase();
    }
    let slot = planner.between(0, 130);
    let sale = planner.sale_of(slot, 2, link, Some(shopper));
    planner.send(sale.slot, sale.click, sale.with(Status::Pending));
    planner.send(sale.slot + 5, sale.click, sale.with(Status::Approved));
}

/// The offers whose order numbers name orders, and can't be claimed twice.
fn order_link(planner: &mut Planner) -> usize {
    let offers = [market::FASHION, market::ELECTRONICS, market::TRAVEL];
    let offer = offers[planner.between(0, offers.len() - 1)];
    planner.link_of(offer)
}

/// Another sale that claims the order of `first`, through a link of the same offer.
fn claimant(planner: &mut Planner, first: &Sale, slot: Slot, report_slot: Slot) -> Sale {
    let link = planner.click_mut(first.click).link;
    let offer_id = planner.seeds.links[link].offer_id;
    let link = planner.link_of(offer_id);
    let mut sale = planner.sale_at(slot, report_slot - slot, link);
    sale.report.txn_id.clone_from(&first.report.txn_id);
    sale.report.goal_id.clone_from(&first.report.goal_id);
    // Payable only after its receipt, so that it is open when it is judged.
    sale.report.converted_at = None;
    sale
}

/// The same order under another click: the second is a duplicate, whatever it says later.
pub fn order_claimed_twice(planner: &mut Planner) {
    let link = order_link(planner);
    let first = planner.sale_through(link, 30);
    planner.send(first.slot, first.click, first.with(Status::Approved));
    let second = claimant(planner, &first, first.slot, first.slot + 7);
    planner.send(second.slot, second.click, second.with(Status::Pending));
    planner.send(
        second.slot + 20,
        second.click,
        second.with(Status::Approved),
    );
}

/// Within thirty days of the owner a duplicate, after that a new order, which others duplicate.
pub fn three_claimants(planner: &mut Planner) {
    let link = order_link(planner);
    let slot = planner.between(0, 6);
    let first = planner.sale_at(slot, 2, link);
    planner.send(first.slot, first.click, first.with(Status::Approved));
    let late = Calendar::LATE + planner.between(4, 8);
    for (slot, report_slot) in [(120, 150), (155, late), (158, late + 3)] {
        let next = claimant(planner, &first, slot, report_slot);
        planner.send(report_slot, next.click, next.with(Status::Approved));
    }
}

/// A millisecond short of thirty days, and thirty days.
pub fn anniversary_of_an_order(planner: &mut Planner) {
    let link = planner.link_of(market::FASHION);
    let first = planner.sale_at(Calendar::CELEBRATED - 2, 2, link);
    planner.send(first.slot, first.click, first.with(Status::Approved));
    for report_slot in [Calendar::BEFORE_ANNIVERSARY, Calendar::ANNIVERSARY] {
        let next = claimant(planner, &first, 150, report_slot);
        planner.send(report_slot, next.click, next.with(Status::Approved));
    }
}

/// Order numbers are unique within an offer at best.
pub fn same_number_at_another_offer(planner: &mut Planner) {
    let link = planner.link_of(market::FASHION);
    let first = planner.sale_through(link, 10);
    planner.send(first.slot, first.click, first.with(Status::Approved));
    let elsewhere = planner.link_of(market::ELECTRONICS);
    let mut second = planner.sale_at(first.slot, 4, elsewhere);
    second.report.txn_id.clone_from(&first.report.txn_id);
    planner.send(second.slot, second.click, second.with(Status::Approved));
}

/// Nor do two goals of one number make a duplicate.
pub fn same_number_for_another_goal(planner: &mut Planner) {
    let link = order_link(planner);
    let mut first = planner.sale_through(link, 10);
    first.report.goal_id = Some("deposit".to_owned());
    planner.send(first.slot, first.click, first.with(Status::Approved));
    let mut second = claimant(planner, &first, first.slot, first.slot + 4);
    second.report.goal_id = Some("balance".to_owned());
    planner.send(second.slot, second.click, second.with(Status::Approved));
}

/// A market that begins again at one: the offer accepts it.
pub fn numbers_that_come_again(planner: &mut Planner) {
    let link = planner.link_of(market::MARKET);
    let first = planner.sale_through(link, 10);
    planner.send(first.slot, first.click, first.with(Status::Approved));
    let second = claimant(planner, &first, first.slot, first.slot + 4);
    planner.send(second.slot, second.click, second.with(Status::Approved));
}

/// Three points or more: a person looks.
pub fn everything_speaks_against_it(planner: &mut Planner) {
    let odd = OddSigns {
        bot: true,
        data_centre: true,
        proxy: false,
    };
    match planner.between(0, 2) {
        0 => suspicious(planner, odd, true, false),
        1 => suspicious(planner, OddSigns { proxy: true, ..odd }, false, false),
        _ => suspicious(planner, OddSigns { bot: false, ..odd }, true, true),
    }
}

/// Two points: not enough.
pub fn something_speaks_against_it(planner: &mut Planner) {
    let none = OddSigns::default();
    match planner.between(0, 2) {
        0 => suspicious(planner, OddSigns { bot: true, ..none }, true, false),
        1 => suspicious(
            planner,
            OddSigns {
                data_centre: true,
                proxy: true,
                ..none
            },
            false,
            false,
        ),
        _ => suspicious(planner, none, true, true),
    }
}

/// A sale with odd signs, perhaps from abroad, perhaps of an unusual sum.
fn suspicious(planner: &mut Planner, odd: OddSigns, abroad: bool, unusual: bool) {
    let link = planner.link_of(market::FASHION);
    let sale = planner.sale_through(link, 0);
    planner.click_mut(sale.click).odd = odd;
    let units = if unusual { 66_000 } else { 2_600 };
    let report = Report {
        country: Some(if abroad { "BR" } else { "IN" }),
        sale_amount: Some(Exact::from_units(units)),
        ..sale.with(Status::Approved)
    };
    planner.send(sale.slot, sale.click, report);
}

/// Sold four seconds after the click, by the network's own clock.
pub fn too_soon(planner: &mut Planner) {
    let odd = OddSigns {
        bot: true,
        data_centre: true,
        proxy: false,
    };
    for (odd, after_ms) in [(odd, 4_999), (odd, 5_000)] {
        let link = planner.link_of(market::FASHION);
        let sale = planner.sale_through(link, 0);
        let click = planner.click_mut(sale.click);
        click.odd = odd;
        click.route = ClickRoute::Endpoint;
        let clicked_at = click.at.plus_millis(-2_000);
        click.edge_at = Some(clicked_at);
        let report = Report {
            country: Some("IN"),
            converted_at: Some(clicked_at.plus_millis(after_ms)),
            ..sale.with(Status::Approved)
        };
        planner.send(sale.slot, sale.click, report);
    }
}
