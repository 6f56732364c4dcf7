//! The money of one conversion.

use crate::{
    click::click,
    document::Group,
    report::{csv, postback},
    scenario::{Scenario, scenario},
    world::{World, amount, currency, percent, percentage, rule},
};

pub fn group() -> Group {
    Group {
        title: "The money of one conversion",
        about: "Commission, fee and the shopper's part are each rounded once, half to even, to the \
                currency's minor unit; the creator gets the rest.",
        scenarios: [examples(), currencies(), halves(), extremes()].concat(),
    }
}

fn examples() -> Vec<Scenario> {
    let example = |title| scenario(title).then(postback('A').approved("1999.00"));
    let ten_percent_and_two = |world: &mut World| {
        world.creator(|settings| {
            settings.platform_fee = percent("10");
            settings.platform_fee_flat = amount("2");
        });
    };
    let subsidy_of_20 =
        |world: &mut World| world.creator(|settings| settings.subsidy = amount("20"));
    vec![
        example("The design's example: ₹1,999.00 at 8%, 60% to the shopper")
            .so(["A: confirmed, 159.92 = 95.95 shopper + 63.97 creator"])
            .rated(["by the offer's rate of 8.00%: 159.92"]),
        example("With a fee of 10% and 2.00")
            .given("the platform takes 10% and 2.00", ten_percent_and_two)
            .so(["A: confirmed, 159.92 = 85.16 shopper + 56.77 creator + 17.99 fee"]),
        example("With a fee above the commission: at most the whole")
            .given("the platform takes 500.00", |world| {
                world.creator(|settings| settings.platform_fee_flat = amount("500"));
            })
            .so(["A: confirmed, 159.92 = 0.00 shopper + 0.00 creator + 159.92 fee"]),
        example("With a subsidy of 20.00")
            .given("the platform adds 20.00", subsidy_of_20)
            .so(["A: confirmed, 159.92 + 20.00 subsidy = 107.95 shopper + 71.97 creator"]),
        example("With both: the fee is taken of the subsidy too")
            .given("the platform adds 20.00", subsidy_of_20)
            .given("the platform takes 10% and 2.00", ten_percent_and_two)
            .so(["A: confirmed, 159.92 + 20.00 subsidy = \
                  95.96 shopper + 63.97 creator + 19.99 fee"]),
        example("By a click of nobody known: the shopper's part is unclaimed")
            .click(click('A').by_nobody())
            .so(["A: confirmed, 159.92 = 95.95 unclaimed + 63.97 creator"]),
        scenario("Amended up and back: not a paisa remains")
            .then(postback('A').order("O1").approved("1999.00"))
            .then(csv('A').at("1d").order("O1").approved("2222.22"))
            .so(["A: confirmed, 177.78 = 106.67 shopper + 71.11 creator; ledgered, update"])
            .then(csv('A').at("2d").order("O1").approved("1999.00"))
            .so(["A: confirmed, 159.92 = 95.95 shopper + 63.97 creator; \
                  ledgered, update, update"]),
    ]
}

fn currencies() -> Vec<Scenario> {
    let in_currency = |title, words, code: &'static str| {
        scenario(title).given(words, move |world: &mut World| {
            world.offer(|terms| terms.currency = currency(code));
            world.network(|network| network.default_currency = currency(code));
        })
    };
    vec![
        in_currency(
            "Yen, which have no minor unit",
            "the offer pays in yen",
            "JPY",
        )
        .then(postback('A').approved("1999"))
        .so(["A: confirmed, JPY 160 = 96 shopper + 64 creator"]),
        in_currency(
            "Yen: half a yen is rounded to even",
            "the offer pays in yen",
            "JPY",
        )
        .given("the campaign shares 50%", |world| {
            world.campaign(|terms| terms.share = Some(percent("50")));
        })
        .then(postback('A').approved("62.5"))
        .so(["A: confirmed, JPY 5 = 2 shopper + 3 creator"]),
        in_currency(
            "Kuwaiti dinars, which have a thousand fils",
            "the offer pays in Kuwaiti dinars",
            "KWD",
        )
        .then(postback('A').approved("19.995"))
        .so(["A: confirmed, KWD 1.600 = 0.960 shopper + 0.640 creator"]),
    ]
}

fn halves() -> Vec<Scenario> {
    let at_half = |title| {
        scenario(title).given("the campaign shares 50%", |world| {
            world.campaign(|terms| terms.share = Some(percent("50")));
        })
    };
    vec![
        scenario("A commission of 0.005: to even, which is nothing")
            .then(postback('A').approved("0.0625"))
            .so(["A: confirmed"]),
        scenario("A commission of 0.015: to even, which is 0.02")
            .then(postback('A').approved("0.1875"))
            .so(["A: confirmed, 0.02 = 0.01 shopper + 0.01 creator"]),
        at_half("A shopper's part of 0.025: to even, which is 0.02")
            .then(postback('A').approved("0.625"))
            .so(["A: confirmed, 0.05 = 0.02 shopper + 0.03 creator"]),
        at_half("A shopper's part of 0.075: to even, which is 0.08")
            .then(postback('A').approved("1.875"))
            .so(["A: confirmed, 0.15 = 0.08 shopper + 0.07 creator"]),
        scenario("A fee of 0.025: to even, which is 0.02")
            .given("the platform takes 50%", |world| {
                world.creator(|settings| settings.platform_fee = percent("50"));
            })
            .then(postback('A').approved("0.625"))
            .so(["A: confirmed, 0.05 = 0.02 shopper + 0.01 creator + 0.02 fee"]),
    ]
}

fn extremes() -> Vec<Scenario> {
    vec![
        scenario("A sale of a millionth")
            .then(postback('A').approved("0.000001"))
            .so(["A: confirmed"]),
        scenario("The largest sale there is, 10^12")
            .then(postback('A').approved("1000000000000"))
            .so(["A: confirmed, 80000000000.00 = 48000000000.00 shopper + \
                  32000000000.00 creator"]),
        scenario("The largest sale, all of it commission, all of it the shopper's")
            .given("the offer pays 100%, the campaign shares 100%", |world| {
                world.offer(|terms| terms.commission = percentage("100"));
                world.campaign(|terms| terms.share = Some(percent("100")));
            })
            .then(postback('A').approved("1000000000000"))
            .so(["A: confirmed, 1000000000000.00 = 1000000000000.00 shopper + 0.00 creator"]),
        scenario("A rule that lifts the commission beyond any range")
            .given("×1000000000000", |world| {
                let vast = rule("vast", |scoped| {
                    scoped.rule.multiply = Some(amount("1000000000000"));
                });
                world.commission_rules(schemas::events::RuleApplication::First, vec![vast]);
            })
            .then(postback('A').approved("1000000000000"))
            .so(["A: review [commission_above_max]"])
            .why(["commission_above_max: the commission is beyond any range"]),
    ]
}
