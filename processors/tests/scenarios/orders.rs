//! Who owns an order.

use schemas::events::DuplicatePolicy;

use crate::{
    click::click,
    document::Group,
    record::{approve, payout_run},
    report::{csv, postback},
    scenario::{Scenario, scenario},
    world::{OFFER_AT_SALE, OTHER_OFFER},
};

pub fn group() -> Group {
    Group {
        title: "One order under several clicks",
        about: "An order is a network, an offer, an order number and a goal. The first claim on it \
                owns it for thirty days; a claim that is already closed keeps what it had.",
        scenarios: [claimants(), closed(), others()].concat(),
    }
}

const A_CONFIRMED: &str = "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator";
const B_CONFIRMED: &str = "B: confirmed, 80.00 = 48.00 shopper + 32.00 creator";

fn claimants() -> Vec<Scenario> {
    let second = |title, at| {
        scenario(title)
            .click(click('B').at("30d"))
            .then(postback('A').order("O1").approved("1000"))
            .then(
                postback('B')
                    .at(at)
                    .sold("30d")
                    .order("O1")
                    .approved("1000"),
            )
    };
    vec![
        scenario("A second click claims the order")
            .then(postback('A').order("O1").approved("1000"))
            .then(postback('B').at("2h").order("O1").approved("1000"))
            .so([A_CONFIRMED, "B: rejected [duplicate_order]"])
            .why(["B: duplicate_order: another claim named order O1 first, within 30 days"]),
        scenario("The same, processed the other way round")
            .then(postback('B').at("2h").order("O1").approved("1000"))
            .so([B_CONFIRMED])
            .then(
                postback('A')
                    .at("1h")
                    .appended("3h")
                    .order("O1")
                    .approved("1000"),
            )
            .so([A_CONFIRMED, "B: rejected [duplicate_order]"]),
        scenario("Three claimants over 40 days: the third begins a new ownership")
            .click(click('B').at("19d"))
            .click(click('C').at("39d"))
            .then(postback('A').order("O1").approved("1000"))
            .then(postback('B').at("20d").order("O1").approved("1000"))
            .then(postback('C').at("40d").order("O1").approved("1000"))
            .so([
                A_CONFIRMED,
                "B: rejected [duplicate_order]",
                "C: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
            ]),
        second(
            "A millisecond before the owner's thirty days end",
            "30d+1h-1ms",
        )
        .so([A_CONFIRMED, "B: rejected [duplicate_order]"]),
        second("When the owner's thirty days end", "30d+1h").so([A_CONFIRMED, B_CONFIRMED]),
        scenario("A cancelled owner keeps its order")
            .then(postback('A').order("O1").approved("1000"))
            .then(postback('B').at("2h").order("O1").approved("1000"))
            .then(csv('A').at("1d").order("O1").cancelled())
            .so([
                "A: reversed; ledgered, update [network_cancelled]",
                "B: rejected [duplicate_order]",
            ]),
        scenario("The owner turns out to be another order: the duplicate takes its place")
            .then(postback('A').conversion("c1").order("O1").approved("1000"))
            .then(postback('B').at("2h").order("O1").approved("1000"))
            .so([A_CONFIRMED, "B: rejected [duplicate_order]"])
            .then(
                csv('A')
                    .at("1d")
                    .conversion("c1")
                    .order("O2")
                    .approved("1000"),
            )
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update",
                B_CONFIRMED,
            ]),
    ]
}

fn closed() -> Vec<Scenario> {
    vec![
        scenario("Who ranks first comes when the owner is payable already")
            .then(postback('A').at("2h").order("O1").approved("1000"))
            .then(
                postback('B')
                    .at("1h")
                    .appended("31d")
                    .order("O1")
                    .approved("1000"),
            )
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator [closed_flagged]",
                "B: review [order_owned_by_closed]",
            ])
            .why([
                "A: closed_flagged: a record that came after it closed would change it",
                "B: order_owned_by_closed: a claim that is closed owns the order, though this one \
                 named it first",
            ]),
        scenario("Who ranks first comes when the owner is paid already")
            .then(postback('A').at("2h").order("O1").approved("2000"))
            .then(payout_run("31d"))
            .then(
                postback('B')
                    .at("1h")
                    .appended("32d")
                    .order("O1")
                    .approved("2000"),
            )
            .so([
                "A: paid, 160.00 = 96.00 shopper + 64.00 creator, paid 96.00 [closed_flagged]",
                "B: review [order_owned_by_closed]",
                "shopper 1: balance 0.00",
            ]),
        scenario("Who ranks first comes a millisecond before the owner is payable")
            .then(postback('A').at("2h").order("O1").approved("1000"))
            .then(
                postback('B')
                    .at("1h")
                    .appended("30d+1h-1ms")
                    .order("O1")
                    .approved("1000"),
            )
            .so(["A: rejected [duplicate_order]", B_CONFIRMED]),
        scenario("Who ranks first comes in the millisecond in which the owner becomes payable")
            .then(postback('A').at("2h").order("O1").approved("1000"))
            .then(
                postback('B')
                    .at("1h")
                    .appended("30d+1h")
                    .order("O1")
                    .approved("1000"),
            )
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator [closed_flagged]",
                "B: review [order_owned_by_closed]",
            ]),
        scenario("A closed claim's own report moves it to an order that another closed claim owns")
            .then(postback('A').conversion("c1").order("O1").approved("1000"))
            .then(postback('B').at("2h").order("O2").approved("1000"))
            .then(
                csv('A')
                    .at("40d")
                    .conversion("c1")
                    .order("O2")
                    .approved("1000"),
            )
            .so([
                "A: review; ledgered, update [order_owned_by_closed]",
                "B: confirmed, 80.00 = 48.00 shopper + 32.00 creator [closed_flagged]",
            ]),
        scenario("A duplicate of an owner that is paid already")
            .click(click('B').at("20d"))
            .then(postback('A').order("O1").approved("2000"))
            .then(payout_run("31d"))
            .then(
                postback('B')
                    .at("21d")
                    .appended("32d")
                    .order("O1")
                    .approved("2000"),
            )
            .so([
                "A: paid, 160.00 = 96.00 shopper + 64.00 creator, paid 96.00",
                "B: rejected [duplicate_order]",
                "shopper 1: balance 0.00",
            ]),
    ]
}

fn others() -> Vec<Scenario> {
    vec![
        scenario("The same order number at another merchant")
            .click(click('B').on_offer(OTHER_OFFER))
            .then(postback('A').order("O1").approved("1000"))
            .then(postback('B').at("2h").order("O1").approved("1000"))
            .so([A_CONFIRMED, B_CONFIRMED]),
        scenario("The same order number by another network")
            .click(click('B').on_offer(OFFER_AT_SALE))
            .then(postback('A').order("O1").approved("1000"))
            .then(postback('B').at("2h").order("O1").approved("1000"))
            .so([A_CONFIRMED, B_CONFIRMED]),
        scenario("The same order number under another creator's link")
            .click(click('B').of_creator(2))
            .then(postback('A').order("O1").approved("1000"))
            .then(postback('B').at("2h").order("O1").approved("1000"))
            .so([A_CONFIRMED, "B: rejected [duplicate_order]"]),
        scenario("Another goal of the order under another click")
            .then(postback('A').order("O1").goal("signup").approved("1000"))
            .then(
                postback('B')
                    .at("2h")
                    .order("O1")
                    .goal("sale")
                    .approved("1000"),
            )
            .so([A_CONFIRMED, B_CONFIRMED]),
        scenario("An offer that accepts duplicates")
            .given("the offer accepts several claims on an order", |world| {
                world.offer(|terms| terms.duplicate_orders = DuplicatePolicy::Accept);
            })
            .then(postback('A').order("O1").approved("1000"))
            .then(postback('B').at("2h").order("O1").approved("1000"))
            .so([A_CONFIRMED, B_CONFIRMED]),
        scenario("A creator whose rules own an order for 7 days")
            .given(
                "the creator's own rules: an order is owned for 7 days",
                |world| {
                    world.creators_fraud_rules(|rules| rules.duplicate_days = 7);
                },
            )
            .click(click('B').at("7d"))
            .then(postback('A').order("O1").approved("1000"))
            .then(postback('B').at("8d").order("O1").approved("1000"))
            .so([A_CONFIRMED, B_CONFIRMED]),
        scenario("An operator approves the duplicate")
            .then(postback('A').order("O1").approved("1000"))
            .then(postback('B').at("2h").order("O1").approved("1000"))
            .then(approve(2).at("1d"))
            .so([
                A_CONFIRMED,
                "B: confirmed, 80.00 = 48.00 shopper + 32.00 creator [operator_approved]",
            ]),
    ]
}
