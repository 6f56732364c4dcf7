//! Too many claims of one shopper.

use schemas::events::DuplicatePolicy;

use crate::{
    click::click,
    document::Group,
    record::approve,
    report::{Report, csv, postback},
    scenario::{Scenario, scenario},
};

pub fn group() -> Group {
    Group {
        title: "Velocity",
        about: "A shopper's fifth and later claim by clicks within 24 hours goes to review.",
        scenarios: [counts(), late()].concat(),
    }
}

const A: &str = "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator";
const B: &str = "B: confirmed, 80.00 = 48.00 shopper + 32.00 creator";
const C: &str = "C: confirmed, 80.00 = 48.00 shopper + 32.00 creator";
const D: &str = "D: confirmed, 80.00 = 48.00 shopper + 32.00 creator";
const E: &str = "E: confirmed, 80.00 = 48.00 shopper + 32.00 creator";

/// A sale of an order of its own, two days after the beginning.
fn sale(name: char) -> Report {
    postback(name)
        .at("2d")
        .order(&format!("O-{name}"))
        .approved("1000")
}

/// Shopper 1 clicks A to D, an hour apart, and E at a time.
fn shopping(title: &'static str, last: &'static str) -> Scenario {
    scenario(title)
        .click(click('A').by(1))
        .click(click('B').by(1).at("1h"))
        .click(click('C').by(1).at("2h"))
        .click(click('D').by(1).at("3h"))
        .click(click('E').by(1).at(last))
}

fn five(title: &'static str, last: &'static str) -> Scenario {
    "ABCDE".chars().fold(shopping(title, last), |so_far, name| {
        so_far.then(sale(name))
    })
}

fn counts() -> Vec<Scenario> {
    vec![
        five("The fifth claim of a day", "4h")
            .so([A, B, C, D, "E: review [velocity]"])
            .why(["E: velocity: 5 claims of the shopper by clicks within 24 hours"]),
        five("An operator approves the fifth claim of a day", "4h")
            .then(approve(5).at("3d"))
            .so([
                A,
                B,
                C,
                D,
                "E: confirmed, 80.00 = 48.00 shopper + 32.00 creator [operator_approved]",
            ]),
        five("The first click a millisecond within 24 hours", "24h-1ms").so([
            A,
            B,
            C,
            D,
            "E: review [velocity]",
        ]),
        five("The first click exactly 24 hours ago", "24h").so([A, B, C, D, E]),
        shopping("A duplicate doesn't count", "4h")
            .then(sale('A').order("O1"))
            .then(sale('B').order("O1"))
            .then(sale('C'))
            .then(sale('D'))
            .then(sale('E'))
            .so([A, "B: rejected [duplicate_order]", C, D, E]),
        shopping(
            "Two claims on one order, where both own it, count once",
            "4h",
        )
        .given("the offer accepts several claims on an order", |world| {
            world.offer(|terms| terms.duplicate_orders = DuplicatePolicy::Accept);
        })
        .then(sale('A').order("O1"))
        .then(sale('B').order("O1"))
        .then(sale('C'))
        .then(sale('D'))
        .then(sale('E'))
        .so([A, B, C, D, E]),
        shopping("A cancelled sale counts", "4h")
            .then(postback('A').at("2d").order("O-A").cancelled().sale("1000"))
            .then(sale('B'))
            .then(sale('C'))
            .then(sale('D'))
            .then(sale('E'))
            .so([
                "A: rejected [network_cancelled]",
                B,
                C,
                D,
                "E: review [velocity]",
            ]),
        shopping("Clicks of nobody known have no velocity", "4h")
            .click(click('E').by_nobody().at("4h"))
            .then(sale('A'))
            .then(sale('B'))
            .then(sale('C'))
            .then(sale('D'))
            .then(sale('E'))
            .so([
                A,
                B,
                C,
                D,
                "E: confirmed, 80.00 = 48.00 unclaimed + 32.00 creator",
            ]),
        scenario("A creator who looks at the second claim")
            .given(
                "the creator's own rules: review from the 2nd claim in 1 hour",
                |world| {
                    world.creators_fraud_rules(|rules| {
                        rules.velocity_claims = 2;
                        rules.velocity_hours = 1;
                    });
                },
            )
            .click(click('B').by(1).at("1h-1ms"))
            .then(sale('A'))
            .then(sale('B'))
            .so([A, "B: review [velocity]"])
            .why(["B: velocity: 2 claims of the shopper by clicks within 1 hours"]),
    ]
}

fn late() -> Vec<Scenario> {
    let without_c = |title| {
        shopping(title, "4h")
            .then(sale('A'))
            .then(sale('B'))
            .then(sale('D'))
            .then(sale('E'))
            .so([A, B, D, E])
    };
    vec![
        without_c("A claim that comes late moves the open one after it")
            .then(sale('C').at("10d"))
            .so([A, B, C, D, "E: review [velocity]"]),
        without_c("A claim that comes when the one after it is closed")
            .then(sale('C').at("40d"))
            .so([
                A,
                B,
                C,
                D,
                "E: confirmed, 80.00 = 48.00 shopper + 32.00 creator [closed_flagged]",
            ]),
        shopping(
            "One of the five turns out to be a duplicate while the fifth is open",
            "4h",
        )
        .then(sale('A'))
        .then(sale('B').conversion("c-B").order("O-B"))
        .then(sale('C'))
        .then(sale('D'))
        .then(sale('E'))
        .so([A, B, C, D, "E: review [velocity]"])
        .then(
            csv('B')
                .at("3d")
                .conversion("c-B")
                .order("O-A")
                .approved("1000"),
        )
        .so([
            A,
            "B: rejected; duplicate, update [duplicate_order]",
            C,
            D,
            E,
        ]),
    ]
}
