//! Which reports of a click speak of one sale.

use crate::{
    document::Group,
    record::approve,
    report::{csv, postback},
    scenario::{Scenario, scenario},
};

pub fn group() -> Group {
    Group {
        title: "Several sales of one click",
        about: "A claim is one sale of one click. Reports name their sale by the network's \
                conversion id, by order number and goal, or by nothing.",
        scenarios: [unnamed(), named(), by_conversion_id(), others()].concat(),
    }
}

fn unnamed() -> Vec<Scenario> {
    vec![
        scenario("No order number at all, twice")
            .then(postback('A').approved("1000"))
            .then(postback('A').at("2h").approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, repetition"]),
        scenario("First without an order number, then with one")
            .then(postback('A').pending("1000"))
            .then(postback('A').at("2h").order("O1").approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update"]),
        scenario("Without an order number, then with two: it could belong to either")
            .then(postback('A').approved("1000"))
            .then(postback('A').at("2h").order("O1").approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update"])
            .then(postback('A').at("3h").order("O2").approved("500"))
            .so([
                "A claim 1: review [ambiguous_report]",
                "A claim 2: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
                "A claim 3: confirmed, 40.00 = 24.00 shopper + 16.00 creator",
            ])
            .why([
                "A claim 1: ambiguous_report: a report could belong to several claims of its \
                   click",
            ]),
        scenario("Two orders, then a cancellation that names neither")
            .then(postback('A').order("O1").approved("1000"))
            .then(postback('A').at("2h").order("O2").approved("500"))
            .then(csv('A').at("1d").cancelled())
            .so([
                "A claim 1: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
                "A claim 2: confirmed, 40.00 = 24.00 shopper + 16.00 creator",
                "A claim 3: rejected [network_cancelled, ambiguous_report]",
            ]),
        scenario("Without an order number, then with two, the first closed before the second came")
            .given("the offer's cool-off is 7 days", |world| {
                world.offer(|terms| terms.cool_off_days = 7);
            })
            .then(postback('A').approved("1000"))
            .then(postback('A').at("2h").order("O1").approved("1000"))
            .then(
                postback('A')
                    .at("20d")
                    .sold("19d")
                    .order("O2")
                    .approved("500"),
            )
            .so([
                "A claim 1: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update",
                "A claim 3: confirmed, 40.00 = 24.00 shopper + 16.00 creator",
            ]),
    ]
}

fn named() -> Vec<Scenario> {
    vec![
        scenario("Two orders of one click")
            .then(postback('A').order("O1").approved("1000"))
            .then(postback('A').at("2h").order("O2").approved("500"))
            .so([
                "A claim 1: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
                "A claim 2: confirmed, 40.00 = 24.00 shopper + 16.00 creator",
            ]),
        scenario("Two goals of one order")
            .then(postback('A').order("O1").goal("signup").approved("500"))
            .then(
                postback('A')
                    .at("2h")
                    .order("O1")
                    .goal("sale")
                    .approved("1000"),
            )
            .so([
                "A claim 1: confirmed, 40.00 = 24.00 shopper + 16.00 creator",
                "A claim 2: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
            ]),
        scenario("Two goals, no order number")
            .then(postback('A').goal("signup").approved("500"))
            .then(postback('A').at("2h").goal("sale").approved("1000"))
            .so([
                "A claim 1: confirmed, 40.00 = 24.00 shopper + 16.00 creator",
                "A claim 2: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
            ]),
        scenario("An order number, then the same with a goal")
            .then(postback('A').order("O1").approved("1000"))
            .then(
                postback('A')
                    .at("2h")
                    .order("O1")
                    .goal("sale")
                    .approved("1000"),
            )
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update"]),
        scenario("An order number, then the same with two goals: it could belong to either")
            .then(postback('A').order("O1").approved("1000"))
            .then(
                postback('A')
                    .at("2h")
                    .order("O1")
                    .goal("signup")
                    .approved("500"),
            )
            .then(
                postback('A')
                    .at("3h")
                    .order("O1")
                    .goal("sale")
                    .approved("1000"),
            )
            .so([
                "A claim 1: review [ambiguous_report]",
                "A claim 2: confirmed, 40.00 = 24.00 shopper + 16.00 creator",
                "A claim 3: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
            ]),
        scenario("A goal, then the order number with it")
            .then(postback('A').goal("sale").pending("1000"))
            .then(
                postback('A')
                    .at("2h")
                    .order("O1")
                    .goal("sale")
                    .approved("1000"),
            )
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update"]),
    ]
}

fn by_conversion_id() -> Vec<Scenario> {
    vec![
        scenario("The network's conversion id binds reports whose order numbers differ")
            .then(postback('A').conversion("c1").order("O1").approved("1000"))
            .then(
                csv('A')
                    .at("1d")
                    .conversion("c1")
                    .order("O1-corrected")
                    .approved("1000"),
            )
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update"]),
        scenario("An order number, then the network's conversion id with it")
            .then(postback('A').order("O1").pending("1000"))
            .then(
                postback('A')
                    .at("2h")
                    .conversion("c1")
                    .order("O1")
                    .approved("1000"),
            )
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update"]),
        scenario("Another goal of the order doesn't join by way of the report without a goal")
            .then(postback('A').conversion("c1").order("O1").approved("500"))
            .then(
                postback('A')
                    .at("2h")
                    .conversion("c1")
                    .order("O1")
                    .goal("signup")
                    .approved("500"),
            )
            .then(
                postback('A')
                    .at("3h")
                    .order("O1")
                    .goal("sale")
                    .approved("1000"),
            )
            .so([
                "A claim 1: confirmed, 40.00 = 24.00 shopper + 16.00 creator; ledgered, update",
                "A claim 3: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
            ]),
        scenario("Two conversion ids on one order: the second is a duplicate")
            .then(postback('A').conversion("c1").order("O1").approved("1000"))
            .then(
                postback('A')
                    .at("2h")
                    .conversion("c2")
                    .order("O1")
                    .approved("1000"),
            )
            .so([
                "A claim 1: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
                "A claim 2: rejected [duplicate_order]",
            ]),
    ]
}

fn others() -> Vec<Scenario> {
    let no_order_numbers = "the offer's txn_id is no order number";
    vec![
        scenario("A report names another offer than the click's; an operator approves")
            .then(postback('A').offer(2).approved("1000"))
            .so(["A: review [offer_mismatch]"])
            .then(approve(1).at("1d"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator [operator_approved]"]),
        scenario("Another offer's number, as a reviewer sees it")
            .then(postback('A').offer(2).approved("1000"))
            .so(["A: review [offer_mismatch]"])
            .why(["offer_mismatch: clicked offer 1, reported offer 2"]),
        scenario("Another offer's number, twice, then the click's own: it stays in review")
            .then(postback('A').order("O1").offer(2).approved("1000"))
            .then(postback('A').at("2h").order("O1").offer(2).approved("1000"))
            .then(csv('A').at("3h").order("O1").offer(1).approved("1000"))
            .so(["A: review; ledgered, repetition, update [offer_mismatch]"]),
        scenario("A report names the click's own offer")
            .then(postback('A').offer(1).approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("A txn_id that is no order number, the same under two clicks")
            .given(no_order_numbers, |world| {
                world.offer(|terms| terms.txn_id_names_order = false);
            })
            .then(postback('A').order("member-42").approved("1000"))
            .then(postback('B').at("2h").order("member-42").approved("1000"))
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
                "B: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
            ]),
        scenario("A txn_id that is no order number tells no sales apart")
            .given(no_order_numbers, |world| {
                world.offer(|terms| terms.txn_id_names_order = false);
            })
            .then(postback('A').order("10:15").approved("1000"))
            .then(postback('A').at("2h").order("11:15").approved("500"))
            .so(["A: review; ledgered, update [ambiguous_amount]"]),
    ]
}
