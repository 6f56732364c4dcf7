//! What later reports of a sale change.

use crate::{
    document::Group,
    record::approve,
    report::{Report, csv, postback},
    scenario::{Scenario, scenario},
};

pub fn group() -> Group {
    Group {
        title: "Redelivery and amendments",
        about: "Reports of one sale are folded field by field. A postback may be old news, so a \
                return to an earlier amount is believed from a CSV only.",
        scenarios: [updates(), missing(), ranks()].concat(),
    }
}

/// A postback about order O1 at 1h, 2h or 3h.
fn about(at: &'static str) -> Report {
    postback('A').at(at).order("O1")
}

fn updates() -> Vec<Scenario> {
    vec![
        scenario("The same postback, delivered three times")
            .then(about("1h").approved("1000"))
            .then(about("2h").approved("1000"))
            .then(about("3h").approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; \
                  ledgered, repetition, repetition"]),
        scenario("A CSV row that says what the postback said")
            .then(about("1h").approved("1000"))
            .then(csv('A').at("1d").order("O1").approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update"]),
        scenario("Pending, then approved")
            .then(about("1h").pending("1000"))
            .so(["A: pending"])
            .then(about("2h").approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update"]),
        scenario("The amount goes up")
            .then(about("1h").approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"])
            .then(about("2h").approved("1500"))
            .so(["A: confirmed, 120.00 = 72.00 shopper + 48.00 creator; ledgered, update"]),
        scenario("The amount goes down")
            .then(about("1h").approved("1000"))
            .then(about("2h").approved("500"))
            .so(["A: confirmed, 40.00 = 24.00 shopper + 16.00 creator; ledgered, update"]),
        scenario("The amount goes to zero")
            .then(about("1h").approved("1000"))
            .then(about("2h").approved("0"))
            .so(["A: confirmed; ledgered, update"]),
        scenario("The amount goes up and back, by postback: the return is not believed")
            .then(about("1h").approved("1000"))
            .then(about("2h").approved("1500"))
            .then(about("3h").approved("1000"))
            .so(["A: confirmed, 120.00 = 72.00 shopper + 48.00 creator; \
                  ledgered, update, update"]),
        scenario("The amount goes up and back, by CSV: the return is believed")
            .then(about("1h").approved("1000"))
            .then(about("2h").approved("1500"))
            .then(csv('A').at("3h").order("O1").approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; \
                  ledgered, update, update"]),
        scenario("The amount goes up and down to a third one, by postback")
            .then(about("1h").approved("1000"))
            .then(about("2h").approved("1500"))
            .then(about("3h").approved("500"))
            .so(["A: confirmed, 40.00 = 24.00 shopper + 16.00 creator; \
                  ledgered, update, update"]),
    ]
}

fn missing() -> Vec<Scenario> {
    vec![
        scenario("A report that lacks the amount doesn't take it away")
            .then(about("1h").approved("1000"))
            .then(about("2h").status(schemas::events::NetworkStatus::Approved))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, repetition"]),
        scenario("A report that lacks the status doesn't take it away")
            .then(about("1h").approved("1000"))
            .then(about("2h").sale("1500"))
            .so(["A: confirmed, 120.00 = 72.00 shopper + 48.00 creator; ledgered, update"]),
        scenario("Approved without an amount, which comes later")
            .then(about("1h").status(schemas::events::NetworkStatus::Approved))
            .so(["A: review [amount_missing]"])
            .then(about("2h").sale("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update"]),
        scenario("Two amounts with nothing to tell them apart, and an operator's approval")
            .then(postback('A').approved("1000"))
            .then(postback('A').at("2h").approved("1500"))
            .so(["A: review; ledgered, update [ambiguous_amount]"])
            .then(approve(1).at("1d"))
            .so([
                "A: confirmed, 120.00 = 72.00 shopper + 48.00 creator; ledgered, update \
                  [operator_approved]",
            ])
            .why(["operator_approved: by command 3"]),
        scenario("Two amounts, one with an order number and one without")
            .then(about("1h").approved("1000"))
            .then(postback('A').at("2h").approved("1500"))
            .so(["A: review; ledgered, update [ambiguous_amount]"])
            .why(["ambiguous_amount: nothing tells apart the reports of 1500.00 and 1000.00"]),
    ]
}

fn ranks() -> Vec<Scenario> {
    vec![
        scenario("Postbacks overtake each other: the one received later counts")
            .then(about("2h").approved("1500"))
            .so(["A: confirmed, 120.00 = 72.00 shopper + 48.00 creator"])
            .then(about("1h").appended("3h").approved("1000"))
            .so(["A: confirmed, 120.00 = 72.00 shopper + 48.00 creator; ledgered, update"]),
        scenario("A CSV row of an older state comes late: it names the claim, and changes nothing")
            .then(about("1h").approved("1500"))
            .then(
                csv('A')
                    .at("1d")
                    .dated("30min")
                    .order("O1")
                    .approved("1000"),
            )
            .so(["A: confirmed, 120.00 = 72.00 shopper + 48.00 creator; ledgered, update"]),
        scenario("Two reports received in one millisecond: the one drawn later counts")
            .then(about("1h").approved("1000"))
            .then(about("1h").approved("1500"))
            .so(["A: confirmed, 120.00 = 72.00 shopper + 48.00 creator; ledgered, update"]),
    ]
}
