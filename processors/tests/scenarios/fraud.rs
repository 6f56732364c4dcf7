//! What speaks against a report.

use schemas::events::{ClickSignals, FraudRules, SelfPurchase};

use crate::{
    click::{Click, click},
    document::Group,
    record::approve,
    report::{Report, csv, postback},
    scenario::{Scenario, scenario},
    world::{OFFER_AT_SALE, amount},
};

pub fn group() -> Group {
    Group {
        title: "Signals, score and self-purchase",
        about: "Each signal adds its weight, 1 by default; at 3 the claim goes to review. A \
                shopper who runs the creator's account is rejected.",
        scenarios: [scores(), signals(), rule_sets(), self_purchases()].concat(),
    }
}

const CONFIRMED: &str = "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator";
const REVIEW: &str = "A: review [score]";

fn from_india() -> Click {
    click('A').in_country("IN")
}

fn sale() -> Report {
    postback('A').approved("1000")
}

fn scores() -> Vec<Scenario> {
    vec![
        scenario("Two signals don't reach the score for review")
            .click(from_india().signal(ClickSignals::BOT))
            .then(sale().country("US"))
            .so([CONFIRMED])
            .why([]),
        scenario("Country, haste and a bot")
            .click(from_india().signal(ClickSignals::BOT))
            .then(sale().country("US").sold("5s-1ms"))
            .so([REVIEW])
            .why([
                "score: score 3, review from 3: clicked in IN, converted in US (+1); sold 4999 \
                   ms after the click, 5000 ms are the least plausible (+1); the click's user \
                   agent names a bot (+1)",
            ]),
        scenario("Data centre, proxy and an unusual sale")
            .given("sales are usually up to 900", |world| {
                world.offer(|terms| terms.usual_sale_max = Some(amount("900")));
            })
            .click(
                click('A')
                    .signal(ClickSignals::DATA_CENTRE)
                    .signal(ClickSignals::PROXY),
            )
            .then(sale())
            .so([REVIEW])
            .why([
                "score: score 3, review from 3: the click came from a data centre (+1); the \
                   click came through an anonymising proxy (+1); sale of 1000.00 INR, usual up to \
                   900.00 INR (+1)",
            ]),
        scenario("An operator approves what the score held back")
            .click(from_india().signal(ClickSignals::BOT))
            .then(sale().country("US").sold("0"))
            .then(approve(1).at("1d"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator [operator_approved]"]),
        scenario("The first report is the one that is scored")
            .given("review from score 1", |world| {
                world.fraud_rules(one_is_enough);
            })
            .click(from_india())
            .then(sale().order("O1"))
            .then(sale().at("2h").order("O1").country("US"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update"]),
        scenario("A row of an older state comes late, ranks first, and is scored")
            .given("review from score 1", |world| {
                world.fraud_rules(one_is_enough);
            })
            .click(from_india())
            .then(sale().order("O1"))
            .then(
                csv('A')
                    .at("1d")
                    .dated("30min")
                    .order("O1")
                    .approved("1000")
                    .country("US"),
            )
            .so(["A: review; ledgered, repetition [score]"]),
    ]
}

fn one_is_enough(rules: &mut FraudRules) {
    rules.review_score = 1;
}

/// Each alone, where one is enough.
fn signals() -> Vec<Scenario> {
    let strict = |title| {
        scenario(title).given("review from score 1", |world| {
            world.fraud_rules(one_is_enough);
        })
    };
    let usual_up_to_1000 = |title| {
        strict(title).given("sales are usually up to 1000", |world| {
            world.offer(|terms| terms.usual_sale_max = Some(amount("1000")));
        })
    };
    vec![
        strict("Another country")
            .click(from_india())
            .then(sale().country("US"))
            .so([REVIEW]),
        strict("The same country")
            .click(from_india())
            .then(sale().country("IN"))
            .so([CONFIRMED]),
        strict("A click from nobody knows where")
            .then(sale().country("US"))
            .so([CONFIRMED]),
        strict("Sold a millisecond too early")
            .then(sale().sold("5s-1ms"))
            .so([REVIEW]),
        strict("Sold after five seconds exactly")
            .then(sale().sold("5s"))
            .so([CONFIRMED]),
        strict("Sold before the click")
            .then(sale().sold("-1ms"))
            .so(["A: rejected [outside_window, score]"]),
        strict("A receipt within a second says nothing of the sale")
            .then(sale().at("1s").timeless())
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator [time_of_receipt]"]),
        strict("A receipt within a second, of a network that reports at the sale")
            .click(click('A').on_offer(OFFER_AT_SALE))
            .then(sale().at("1s").timeless())
            .so(["A: review [score, time_of_receipt]"]),
        strict("A bot")
            .click(click('A').signal(ClickSignals::BOT))
            .then(sale())
            .so([REVIEW]),
        strict("A data centre")
            .click(click('A').signal(ClickSignals::DATA_CENTRE))
            .then(sale())
            .so([REVIEW]),
        strict("A proxy")
            .click(click('A').signal(ClickSignals::PROXY))
            .then(sale())
            .so([REVIEW]),
        usual_up_to_1000("A sale above the usual")
            .then(postback('A').approved("1000.01"))
            .so([REVIEW])
            .why([
                "score: score 1, review from 1: sale of 1000.01 INR, usual up to 1000.00 INR \
                   (+1)",
            ]),
        usual_up_to_1000("A sale of the usual maximum")
            .then(sale())
            .so([CONFIRMED]),
    ]
}

fn rule_sets() -> Vec<Scenario> {
    let by_bot = |title| scenario(title).click(click('A').signal(ClickSignals::BOT));
    vec![
        by_bot("A weight of three makes one signal enough")
            .given("a bot weighs 3", |world| {
                world.fraud_rules(|rules| rules.bot_weight = 3);
            })
            .then(sale())
            .so([REVIEW]),
        by_bot("A weight of zero switches a signal off")
            .given("a bot weighs 0, review from score 1", |world| {
                world.fraud_rules(|rules| {
                    rules.bot_weight = 0;
                    rules.review_score = 1;
                });
            })
            .then(sale())
            .so([CONFIRMED]),
        by_bot("Received a millisecond before new rules are in force")
            .given("review from score 1, in force from +1h on", |world| {
                world.fraud_rules_from("1h", one_is_enough);
            })
            .then(sale().at("1h-1ms").sold("30min"))
            .so([CONFIRMED]),
        by_bot("Received when new rules come into force")
            .given("review from score 1, in force from +1h on", |world| {
                world.fraud_rules_from("1h", one_is_enough);
            })
            .then(sale().sold("30min"))
            .so([REVIEW]),
        by_bot("A creator's own rules come before the platform's")
            .given("the creator's own rules: review from score 1", |world| {
                world.creators_fraud_rules(one_is_enough);
            })
            .then(sale())
            .so([REVIEW]),
        scenario("They hold for its own links only")
            .given("creator 1's own rules: review from score 1", |world| {
                world.creators_fraud_rules(one_is_enough);
            })
            .click(click('A').of_creator(2).signal(ClickSignals::BOT))
            .then(sale())
            .so([CONFIRMED]),
    ]
}

fn self_purchases() -> Vec<Scenario> {
    vec![
        scenario("The shopper has a team member's phone number")
            .given(
                "shopper 1 shares a phone number with the team since −30d",
                |world| {
                    world.shared_contact(1, SelfPurchase::Phone, "-30d");
                },
            )
            .then(sale())
            .so(["A: rejected [self_purchase]"])
            .why(["self_purchase: the shopper has the phone number of a member of the tenant"]),
        scenario("The shopper has a team member's e-mail address")
            .given(
                "shopper 1 shares an e-mail address with the team since −30d",
                |world| {
                    world.shared_contact(1, SelfPurchase::Email, "-30d");
                },
            )
            .then(sale())
            .so(["A: rejected [self_purchase]"])
            .why(["self_purchase: the shopper has the e-mail address of a member of the tenant"]),
        scenario("The member joined a millisecond after the click")
            .given(
                "shopper 1 shares a phone number with the team since +1ms",
                |world| {
                    world.shared_contact(1, SelfPurchase::Phone, "1ms");
                },
            )
            .then(sale())
            .so([CONFIRMED]),
        scenario("The member joined when the click was made")
            .given(
                "shopper 1 shares a phone number with the team since +0",
                |world| {
                    world.shared_contact(1, SelfPurchase::Phone, "0");
                },
            )
            .then(sale())
            .so(["A: rejected [self_purchase]"]),
        scenario("A team member buys at another creator's link")
            .given(
                "shopper 1 shares a phone number with creator 1's team",
                |world| {
                    world.shared_contact(1, SelfPurchase::Phone, "-30d");
                },
            )
            .click(click('A').of_creator(2))
            .then(sale())
            .so([CONFIRMED]),
        scenario("A creator who lets its team buy")
            .given(
                "shopper 1 shares a phone number with the team since −30d",
                |world| {
                    world.shared_contact(1, SelfPurchase::Phone, "-30d");
                },
            )
            .given(
                "the creator's own rules don't reject self-purchases",
                |world| {
                    world.creators_fraud_rules(|rules| rules.reject_self_purchase = false);
                },
            )
            .then(sale())
            .so([CONFIRMED]),
        scenario("An operator approves a self-purchase")
            .given(
                "shopper 1 shares a phone number with the team since −30d",
                |world| {
                    world.shared_contact(1, SelfPurchase::Phone, "-30d");
                },
            )
            .then(sale())
            .then(approve(1).at("1d"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator [operator_approved]"]),
    ]
}
