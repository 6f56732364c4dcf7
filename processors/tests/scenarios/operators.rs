//! What operators decide.

use schemas::events::NetworkStatus;

use crate::{
    document::Group,
    record::{approve, correct, lift_correction, reject},
    report::{Report, csv, postback},
    scenario::{Scenario, scenario},
};

pub fn group() -> Group {
    Group {
        title: "Operators",
        about: "A command outranks every finding of the machine; the newest of its kind holds. A \
                correction names what is to stand in the books.",
        scenarios: [
            verdicts(),
            corrections(),
            corrections_where_nothing_is_rated(),
        ]
        .concat(),
    }
}

fn about(at: &'static str) -> Report {
    postback('A').at(at).order("O1")
}

fn verdicts() -> Vec<Scenario> {
    vec![
        scenario("Rejected, though nothing speaks against it")
            .then(about("1h").approved("1000"))
            .then(reject(1).at("1d"))
            .so(["A: rejected [operator_rejected]"])
            .why(["operator_rejected: by command 2"]),
        scenario("Rejected, then approved")
            .then(about("1h").approved("1000"))
            .then(reject(1).at("1d"))
            .then(approve(1).at("2d"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator [operator_approved]"])
            .why(["operator_approved: by command 3"]),
        scenario("Approved and rejected in one millisecond: the command drawn later holds")
            .then(about("1h").approved("1000"))
            .then(approve(1).at("1d"))
            .then(reject(1).at("1d"))
            .so(["A: rejected [operator_rejected]"]),
        scenario("A rejection outlasts what the network says later")
            .then(about("1h").approved("1000"))
            .then(reject(1).at("1d"))
            .then(csv('A').at("2d").order("O1").approved("1500"))
            .so(["A: rejected; ledgered, update [operator_rejected]"]),
        scenario("An approval can't decide for the network")
            .then(about("1h").pending("1000"))
            .then(approve(1).at("1d"))
            .so(["A: pending [operator_approved]"])
            .then(about("2d").approved("1000"))
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update \
                  [operator_approved]",
            ]),
        scenario("An approval doesn't bring back what the network cancelled")
            .then(about("1h").approved("1000"))
            .then(csv('A').at("1d").order("O1").cancelled())
            .then(approve(1).at("2d"))
            .so(["A: reversed; ledgered, update [network_cancelled]"]),
        scenario("An approval doesn't make up an amount")
            .then(about("1h").status(NetworkStatus::Approved))
            .then(approve(1).at("1d"))
            .so(["A: review [operator_approved, amount_missing]"]),
        scenario("A command names any report of the claim")
            .then(about("1h").approved("1000"))
            .then(about("2h").approved("1500"))
            .then(reject(2).at("1d"))
            .so(["A: rejected; ledgered, update [operator_rejected]"]),
    ]
}

fn corrections() -> Vec<Scenario> {
    vec![
        scenario("Corrected, and the correction withdrawn")
            .then(about("1h").approved("1000"))
            .then(correct(1, "100", "70", "30").at("1d"))
            .so(["A: confirmed, 100.00 = 70.00 shopper + 30.00 creator [corrected]"])
            .then(lift_correction(1).at("2d"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("Given twice, a correction posts once")
            .then(about("1h").approved("1000"))
            .then(correct(1, "100", "70", "30").at("1d"))
            .then(correct(1, "100", "70", "30").at("2d"))
            .so(["A: confirmed, 100.00 = 70.00 shopper + 30.00 creator [corrected]"])
            .why(["corrected: by command 3"]),
        scenario("A correction stands while the amount changes")
            .then(about("1h").approved("1000"))
            .then(correct(1, "100", "70", "30").at("1d"))
            .then(about("2d").approved("1500"))
            .so([
                "A: confirmed, 100.00 = 70.00 shopper + 30.00 creator; ledgered, update \
                  [corrected]",
            ]),
        scenario("A correction stands while the network hasn't decided, and when it cancels")
            .then(about("1h").pending("1000"))
            .then(correct(1, "100", "70", "30").at("1d"))
            .so(["A: pending, 100.00 = 70.00 shopper + 30.00 creator [corrected]"])
            .then(csv('A').at("2d").order("O1").cancelled())
            .so([
                "A: rejected, 100.00 = 70.00 shopper + 30.00 creator; ledgered, update \
                  [network_cancelled, corrected]",
            ]),
        scenario("A correction whose parts don't add up counts as none")
            .then(about("1h").approved("1000"))
            .then(correct(1, "100", "70", "40").at("1d"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("A correction below zero counts as none")
            .then(about("1h").approved("1000"))
            .then(correct(1, "50", "60", "-10").at("1d"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("Corrected, then rejected: the correction stands")
            .then(about("1h").approved("1000"))
            .then(correct(1, "100", "70", "30").at("1d"))
            .then(reject(1).at("2d"))
            .so(["A: rejected, 100.00 = 70.00 shopper + 30.00 creator \
                  [operator_rejected, corrected]"]),
        scenario("Corrected to nothing")
            .then(about("1h").approved("1000"))
            .then(correct(1, "0", "0", "0").at("1d"))
            .so(["A: confirmed [corrected]"]),
    ]
}

fn corrections_where_nothing_is_rated() -> Vec<Scenario> {
    vec![
        scenario("Another currency, and an operator who converts it")
            .then(about("1h").approved("12").currency("USD"))
            .so(["A: review [currency_mismatch]"])
            .then(correct(1, "80", "48", "32").at("1d"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator [corrected]"]),
        scenario("A corrected sale that the network cancels: the correction stands")
            .then(about("1h").status(NetworkStatus::Approved))
            .then(correct(1, "80", "48", "32").at("1d"))
            .then(csv('A').at("2d").order("O1").cancelled())
            .so([
                "A: reversed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update \
                  [network_cancelled, corrected]",
            ]),
        scenario("Another currency, and an operator who approves it: nothing to book yet")
            .then(about("1h").approved("12").currency("USD"))
            .then(approve(1).at("1d"))
            .so(["A: review [operator_approved, amount_missing]"])
            .then(correct(1, "80", "48", "32").at("2d"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator \
                  [operator_approved, corrected]"]),
        scenario("No amount, and an operator who knows it")
            .then(about("1h").status(NetworkStatus::Approved))
            .so(["A: review [amount_missing]"])
            .then(correct(1, "80", "48", "32").at("1d"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator [corrected]"]),
    ]
}
