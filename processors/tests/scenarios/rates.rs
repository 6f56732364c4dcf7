//! Beyond a single rate: flat, per goal, a creator's own.

use schemas::reference::OverrideTerms;

use crate::{
    click::click,
    document::Group,
    moment::Moment,
    report::{Report, postback},
    scenario::{Scenario, scenario},
    world::{World, flat, own, percentage},
};

pub fn group() -> Group {
    Group {
        title: "Rates",
        about: "A rate is a percentage of the sale or a flat amount. A creator's own rate for the \
                goal comes first, then its own for all goals, then the offer's for the goal, then \
                the offer's.",
        scenarios: [offered(), owned(), validity()].concat(),
    }
}

const CONFIRMED: &str = "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator";
const AT_TWELVE: &str = "A: confirmed, 120.00 = 72.00 shopper + 48.00 creator";

fn sale() -> Report {
    postback('A').approved("1000")
}

fn goals(world: &mut World) {
    world.offer(|terms| {
        terms.goal_rates.insert("signup".to_owned(), flat("20"));
        terms.goal_rates.insert("sale".to_owned(), percentage("10"));
    });
}

const GOALS: &str = "the offer pays 20 for a signup and 10% of a sale, else 8%";

fn offered() -> Vec<Scenario> {
    let flat_rate = |title| {
        scenario(title).given("the offer pays 50 for each conversion", |world| {
            world.offer(|terms| terms.commission = flat("50"));
        })
    };
    vec![
        flat_rate("A flat rate")
            .then(sale())
            .so(["A: confirmed, 50.00 = 30.00 shopper + 20.00 creator"])
            .rated(["by the offer's rate of 50.00 flat: 50.00"]),
        flat_rate("A flat rate needs no sale amount")
            .then(postback('A').status(schemas::events::NetworkStatus::Approved))
            .so(["A: confirmed, 50.00 = 30.00 shopper + 20.00 creator"]),
        scenario("A goal with a flat rate")
            .given(GOALS, goals)
            .then(sale().goal("signup"))
            .so(["A: confirmed, 20.00 = 12.00 shopper + 8.00 creator"]),
        scenario("A goal with a percentage")
            .given(GOALS, goals)
            .then(sale().goal("sale"))
            .so(["A: confirmed, 100.00 = 60.00 shopper + 40.00 creator"])
            .rated(["by the offer's rate of 10.00%: 100.00"]),
        scenario("A goal without a rate of its own")
            .given(GOALS, goals)
            .then(sale().goal("survey"))
            .so([CONFIRMED]),
        scenario("No goal, and then one: re-rated as of the click")
            .given(GOALS, goals)
            .then(sale().order("O1"))
            .so([CONFIRMED])
            .then(sale().at("2h").order("O1").goal("sale"))
            .so(["A: confirmed, 100.00 = 60.00 shopper + 40.00 creator; ledgered, update"]),
    ]
}

fn owned() -> Vec<Scenario> {
    let twelve = |title| {
        scenario(title).given("the creator's own rate is 12%", |world| {
            world.own_rate(None, vec![("-10d", own(percentage("12")))]);
        })
    };
    let fifteen_for_sales = |scenario: Scenario| {
        scenario.given("the creator's own rate for a sale is 15%", |world| {
            world.own_rate(Some("sale"), vec![("-10d", own(percentage("15")))]);
        })
    };
    vec![
        twelve("A creator's own rate")
            .then(sale())
            .so([AT_TWELVE])
            .rated(["by the creator's own rate of 12.00%: 120.00"]),
        twelve("A creator's own rate comes before the offer's for the goal")
            .given(GOALS, goals)
            .then(sale().goal("sale"))
            .so([AT_TWELVE]),
        fifteen_for_sales(twelve(
            "Its own rate for the goal comes before its own for all",
        ))
        .then(sale().goal("sale"))
        .so(["A: confirmed, 150.00 = 90.00 shopper + 60.00 creator"]),
        fifteen_for_sales(twelve("Its own rate for all, where the goal is another"))
            .then(sale().goal("signup"))
            .so([AT_TWELVE]),
        fifteen_for_sales(scenario(
            "Its own rate for one goal leaves the others to the offer",
        ))
        .given(GOALS, goals)
        .then(sale().goal("signup"))
        .so(["A: confirmed, 20.00 = 12.00 shopper + 8.00 creator"]),
        twelve("Another creator's sale")
            .click(click('A').of_creator(2))
            .then(sale())
            .so([CONFIRMED])
            .rated(["by the offer's rate of 8.00%: 80.00"]),
    ]
}

fn validity() -> Vec<Scenario> {
    let clicked = |title, at, words, versions: Vec<(&'static str, OverrideTerms)>| {
        scenario(title)
            .given(words, |world| world.own_rate(None, versions))
            .click(click('A').at(at))
            .then(sale().at("3d"))
    };
    let until = || OverrideTerms {
        valid_until: Some(Moment::new("1d").at()),
        ..own(percentage("12"))
    };
    let withdrawn = OverrideTerms {
        rate: None,
        valid_until: None,
    };
    let withdrawal = || vec![("-10d", own(percentage("12"))), ("1d", withdrawn)];
    let starts = "the creator's own rate is 12% from +1d on";
    let ends = "the creator's own rate is 12% until +1d";
    let withdrawn = "the creator's own rate is 12%, withdrawn at +1d";
    vec![
        clicked(
            "A millisecond before its own rate is in force",
            "1d-1ms",
            starts,
            vec![("1d", own(percentage("12")))],
        )
        .so([CONFIRMED]),
        clicked(
            "When its own rate comes into force",
            "1d",
            starts,
            vec![("1d", own(percentage("12")))],
        )
        .so([AT_TWELVE]),
        clicked(
            "In its own rate's last millisecond",
            "1d-1ms",
            ends,
            vec![("-10d", until())],
        )
        .so([AT_TWELVE]),
        clicked(
            "When its own rate has expired",
            "1d",
            ends,
            vec![("-10d", until())],
        )
        .so([CONFIRMED]),
        clicked(
            "A millisecond before its own rate is withdrawn",
            "1d-1ms",
            withdrawn,
            withdrawal(),
        )
        .so([AT_TWELVE]),
        clicked(
            "When its own rate is withdrawn",
            "1d",
            withdrawn,
            withdrawal(),
        )
        .so([CONFIRMED]),
    ]
}
