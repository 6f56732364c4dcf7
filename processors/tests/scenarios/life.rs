//! The life of a conversion.

use schemas::events::NetworkStatus;

use crate::{
    click::click,
    document::Group,
    record::{approve, payout_run, reject},
    report::{Report, csv, postback},
    scenario::{Scenario, scenario},
};

pub fn group() -> Group {
    Group {
        title: "The life of a conversion",
        about: "What the network says over time, and what stands in the books then: nothing while \
                it is pending, the whole once it is approved, the difference on an amendment, the \
                reverse of what was booked on a clawback.",
        scenarios: [statuses(), turns(), payments()].concat(),
    }
}

const CONFIRMED: &str = "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator";

fn about(at: &'static str) -> Report {
    postback('A').at(at).order("O1")
}

fn row(at: &'static str) -> Report {
    csv('A').at(at).order("O1")
}

fn statuses() -> Vec<Scenario> {
    let says = |title, status| scenario(title).then(about("1h").status(status).sale("1000"));
    vec![
        says("approved", NetworkStatus::Approved).so([CONFIRMED]),
        says("pending", NetworkStatus::Pending).so(["A: pending"]),
        says("extended", NetworkStatus::Extended).so(["A: pending"]),
        says("cancelled", NetworkStatus::Cancelled)
            .so(["A: rejected [network_cancelled]"])
            .why(["network_cancelled: the network cancelled it"]),
        says("rejected", NetworkStatus::Rejected)
            .so(["A: rejected [network_cancelled]"])
            .why(["network_cancelled: the network rejected it"]),
        says("A status that nobody knows", NetworkStatus::Unknown)
            .so(["A: pending [unknown_status]"])
            .why(["unknown_status: the network sent a status that we don't know"]),
        scenario("No status at all")
            .then(about("1h").sale("1000"))
            .so(["A: pending"]),
        scenario("A status that nobody knows, then approved")
            .then(about("1h").status(NetworkStatus::Unknown).sale("1000"))
            .then(about("2h").approved("1000"))
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update \
                  [unknown_status]",
            ]),
    ]
}

fn turns() -> Vec<Scenario> {
    vec![
        scenario("A stale pending after approved")
            .then(about("1h").approved("1000"))
            .then(about("2h").pending("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update"]),
        scenario("Even a CSV doesn't make an approved sale pending again")
            .then(about("1h").approved("1000"))
            .then(row("1d").pending("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update"]),
        scenario("A clawback before payment")
            .then(about("1h").approved("1000"))
            .so([CONFIRMED])
            .then(row("5d").cancelled())
            .so(["A: reversed; ledgered, update [network_cancelled]"]),
        scenario("A clawback takes back what was booked, not what the cancellation says")
            .then(about("1h").approved("1000"))
            .then(row("5d").cancelled().sale("1500"))
            .so(["A: reversed; ledgered, update [network_cancelled]"]),
        scenario("Approved, then rejected as fraud")
            .then(about("1h").approved("1000"))
            .then(about("2h").rejected())
            .so(["A: reversed; ledgered, update [network_cancelled]"]),
        scenario("Pending, then cancelled")
            .then(about("1h").pending("1000"))
            .then(about("2h").cancelled())
            .so(["A: rejected; ledgered, update [network_cancelled]"]),
        scenario("Cancelled, then approved by postback: not believed")
            .then(about("1h").approved("1000"))
            .then(about("2h").cancelled())
            .then(about("3h").approved("1000"))
            .so(["A: reversed; ledgered, update, update [network_cancelled]"]),
        scenario("Cancelled, then approved by CSV: reinstated")
            .then(about("1h").approved("1000"))
            .then(about("2h").cancelled())
            .so(["A: reversed; ledgered, update [network_cancelled]"])
            .then(row("1d").approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; \
                  ledgered, update, update"]),
        scenario("Cancelled, then pending by CSV: still cancelled")
            .then(about("1h").approved("1000"))
            .then(about("2h").cancelled())
            .then(row("1d").pending("1000"))
            .so(["A: reversed; ledgered, update, update [network_cancelled]"]),
        scenario("Approved without an amount, then cancelled: nothing was ever owed")
            .then(about("1h").status(NetworkStatus::Approved))
            .so(["A: review [amount_missing]"])
            .then(row("1d").cancelled())
            .so(["A: rejected; ledgered, update [network_cancelled]"]),
        scenario("A later report sends a confirmed claim to a person: out of the books until then")
            .then(about("1h").approved("1000"))
            .so([CONFIRMED])
            .then(about("2h").offer(2).approved("1000"))
            .so(["A: review; ledgered, update [offer_mismatch]"])
            .then(approve(1).at("1d"))
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update \
                  [operator_approved]",
            ]),
        scenario("The network takes back its own sale, however late")
            .then(about("1h").approved("1000"))
            .then(row("400d").cancelled())
            .so(["A: reversed; ledgered, update [network_cancelled]"]),
        scenario("Cancelled while it waited for a person")
            .then(about("1h").offer(2).approved("1000"))
            .so(["A: review [offer_mismatch]"])
            .then(row("1d").cancelled())
            .so(["A: rejected; ledgered, update [network_cancelled, offer_mismatch]"]),
    ]
}

fn payments() -> Vec<Scenario> {
    let paid = |title| {
        scenario(title)
            .then(about("1h").approved("2000"))
            .then(payout_run("31d"))
            .so([
                "A: paid, 160.00 = 96.00 shopper + 64.00 creator, paid 96.00",
                "shopper 1: balance 0.00",
            ])
    };
    vec![
        scenario("Paid in whole rupees: the rest stays")
            .then(about("1h").approved("1999"))
            .then(payout_run("31d"))
            .so([
                "A: confirmed, 159.92 = 95.95 shopper + 63.97 creator, paid 95.00",
                "shopper 1: balance 0.95",
            ]),
        scenario("A payout run a millisecond too early pays nothing")
            .then(about("1h").approved("2000"))
            .then(payout_run("30d+1h"))
            .so(["A: confirmed, 160.00 = 96.00 shopper + 64.00 creator"])
            .then(payout_run("30d+1h+1ms"))
            .so([
                "A: paid, 160.00 = 96.00 shopper + 64.00 creator, paid 96.00",
                "shopper 1: balance 0.00",
            ]),
        paid("A clawback after payment: the shopper owes it")
            .then(row("40d").cancelled())
            .so([
                "A: reversed, paid 96.00; ledgered, update [network_cancelled]",
                "shopper 1: balance -96.00",
            ]),
        paid("The next sale fills the debt first")
            .click(click('B').by(1).at("41d"))
            .then(row("40d").cancelled())
            .then(postback('B').at("42d").order("O2").approved("3000"))
            .then(payout_run("80d"))
            .so([
                "A: reversed, paid 96.00; ledgered, update [network_cancelled]",
                "B: confirmed, 240.00 = 144.00 shopper + 96.00 creator, paid 48.00",
                "shopper 1: balance 0.00",
            ]),
        paid("The amount goes up after payment: the difference is owed")
            .then(row("40d").approved("3000"))
            .so([
                "A: confirmed, 240.00 = 144.00 shopper + 96.00 creator, paid 96.00; \
                 ledgered, update",
                "shopper 1: balance 48.00",
            ]),
        paid("The amount goes down after payment: the difference is a debt")
            .then(row("40d").approved("1000"))
            .so([
                "A: paid, 80.00 = 48.00 shopper + 32.00 creator, paid 96.00; ledgered, update",
                "shopper 1: balance -48.00",
            ]),
        paid("An operator rejects what was paid: the shopper owes it")
            .then(reject(1).at("40d"))
            .so([
                "A: rejected, paid 96.00 [operator_rejected]",
                "shopper 1: balance -96.00",
            ]),
        paid("Clawed back after payment, then reinstated")
            .then(row("40d").cancelled())
            .then(row("50d").approved("2000"))
            .so([
                "A: paid, 160.00 = 96.00 shopper + 64.00 creator, paid 96.00; \
                 ledgered, update, update",
                "shopper 1: balance 0.00",
            ]),
    ]
}
