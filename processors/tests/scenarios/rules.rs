//! Commission rules.

use schemas::{
    OfferId,
    events::{CommissionSource, NetworkStatus, Replacement, RuleApplication},
    reference::{PartnerLevel, ScopedRule},
};

use crate::{
    document::Group,
    moment::Moment,
    report::{Report, postback},
    scenario::{Scenario, scenario},
    world::{OTHER_OFFER, World, amount, currency, flat, percentage, rule, tenant},
};

pub fn group() -> Group {
    Group {
        title: "Commission rules",
        about: "Rules with conditions replace the rate, multiply the commission, or add a bonus: \
                the first that holds, or all that do.",
        scenarios: [applications(), actions(), on_the_sale(), on_the_click()].concat(),
    }
}

const CONFIRMED: &str = "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator";
const DOUBLED: &str = "A: confirmed, 160.00 = 96.00 shopper + 64.00 creator";

fn sale() -> Report {
    postback('A').approved("1000")
}

fn bonus_of_10() -> ScopedRule {
    rule("loyalty", |scoped| {
        scoped.currency = Some(currency("INR"));
        scoped.rule.bonus = Some(amount("10"));
    })
}

fn doubling(change: impl FnOnce(&mut ScopedRule)) -> ScopedRule {
    rule("festival", |scoped| {
        scoped.rule.multiply = Some(amount("2"));
        change(scoped);
    })
}

fn replacing(rate: schemas::events::Rate) -> ScopedRule {
    rule("launch", |scoped| {
        scoped.rule.replace = Some(Replacement { rate });
    })
}

fn applying(world: &mut World, rule: ScopedRule) {
    world.commission_rules(RuleApplication::First, vec![rule]);
}

fn applications() -> Vec<Scenario> {
    vec![
        scenario("The first rule that holds")
            .given("the first applies of: +10, ×2", |world| {
                let rules = vec![bonus_of_10(), doubling(|_| ())];
                world.commission_rules(RuleApplication::First, rules);
            })
            .then(sale())
            .so(["A: confirmed, 90.00 = 54.00 shopper + 36.00 creator"])
            .rated(["by the offer's rate of 8.00%: 80.00; rules, version 1: loyalty"]),
        scenario("The first rule that holds isn't the first of the set")
            .given(
                "the first applies of: ×2 from a sale of 5000 on, +10",
                |world| {
                    let from_5000 = doubling(|scoped| {
                        scoped.currency = Some(currency("INR"));
                        scoped.rule.sale_from = Some(amount("5000"));
                    });
                    let rules = vec![from_5000, bonus_of_10()];
                    world.commission_rules(RuleApplication::First, rules);
                },
            )
            .then(sale())
            .so(["A: confirmed, 90.00 = 54.00 shopper + 36.00 creator"]),
        scenario("All rules that hold, in their order")
            .given("all apply of: +10, ×2", |world| {
                let rules = vec![bonus_of_10(), doubling(|_| ())];
                world.commission_rules(RuleApplication::All, rules);
            })
            .then(sale())
            .so(["A: confirmed, 180.00 = 108.00 shopper + 72.00 creator"])
            .rated([
                "by the offer's rate of 8.00%: 80.00; rules, version 1: loyalty, then \
                     festival",
            ]),
        scenario("Their order matters")
            .given("all apply of: ×2, +10", |world| {
                let rules = vec![doubling(|_| ()), bonus_of_10()];
                world.commission_rules(RuleApplication::All, rules);
            })
            .then(sale())
            .so(["A: confirmed, 170.00 = 102.00 shopper + 68.00 creator"]),
    ]
}

fn actions() -> Vec<Scenario> {
    vec![
        scenario("Replaced by another percentage")
            .given("12% instead", |world| {
                applying(world, replacing(percentage("12")));
            })
            .then(sale())
            .so(["A: confirmed, 120.00 = 72.00 shopper + 48.00 creator"])
            .rated(["by the offer's rate of 8.00%: 80.00; rules, version 1: launch"]),
        scenario("Replaced by a percentage, where no sale amount is known")
            .given("12% instead", |world| {
                applying(world, replacing(percentage("12")));
            })
            .given("the offer pays 50 for each conversion", |world| {
                world.offer(|terms| terms.commission = flat("50"));
            })
            .then(postback('A').status(NetworkStatus::Approved))
            .so(["A: review [amount_missing]"]),
        scenario("Replaced, multiplied and topped up by one rule")
            .given("10% instead, ×1.5, +5", |world| {
                let mut all = replacing(percentage("10"));
                all.currency = Some(currency("INR"));
                all.rule.multiply = Some(amount("1.5"));
                all.rule.bonus = Some(amount("5"));
                applying(world, all);
            })
            .then(sale())
            .so(["A: confirmed, 155.00 = 93.00 shopper + 62.00 creator"]),
        scenario("A bonus on top of no commission is none")
            .given("the commission is the network's payout", |world| {
                world.offer(|terms| terms.commission_source = CommissionSource::Payout);
            })
            .given("+10", |world| applying(world, bonus_of_10()))
            .then(sale())
            .so(["A: review [amount_missing]"]),
        scenario("A rule on the network's payout")
            .given("the commission is the network's payout", |world| {
                world.offer(|terms| terms.commission_source = CommissionSource::Payout);
            })
            .given("×2", |world| applying(world, doubling(|_| ())))
            .then(sale().payout("40"))
            .so([CONFIRMED])
            .rated([
                "by the offer's rate of 8.00%: 80.00 (shown only); by the network's payout: \
                     40.00; rules, version 1: festival",
            ]),
        scenario("A rule lifts the commission above the cap")
            .given("a commission is at most 100", |world| {
                world.offer(|terms| terms.commission_max = Some(amount("100")));
            })
            .given("×2", |world| applying(world, doubling(|_| ())))
            .then(sale())
            .so(["A: review [commission_above_max]"]),
        scenario("Rounded once, after the rules")
            .given("×2", |world| applying(world, doubling(|_| ())))
            .then(postback('A').approved("0.1"))
            .so(["A: confirmed, 0.02 = 0.01 shopper + 0.01 creator"]),
    ]
}

fn on_the_sale() -> Vec<Scenario> {
    let in_the_second_hour = |title, at| {
        scenario(title)
            .given("×2 for sales from +1h until +2h", |world| {
                applying(
                    world,
                    doubling(|scoped| {
                        scoped.rule.converted_from = Some(Moment::new("1h").at());
                        scoped.rule.converted_before = Some(Moment::new("2h").at());
                    }),
                );
            })
            .then(sale().at("3h").sold(at))
    };
    let from_1000_below_2000 = |title, amounts: &str| {
        scenario(title)
            .given("×2 for sales from 1000 and below 2000", |world| {
                applying(
                    world,
                    doubling(|scoped| {
                        scoped.currency = Some(currency("INR"));
                        scoped.rule.sale_from = Some(amount("1000"));
                        scoped.rule.sale_below = Some(amount("2000"));
                    }),
                );
            })
            .then(postback('A').approved(amounts))
    };
    let for_sales = |title| {
        scenario(title).given("×2 for the goal sale", |world| {
            applying(
                world,
                doubling(|scoped| scoped.rule.goals = vec!["sale".to_owned()]),
            );
        })
    };
    vec![
        in_the_second_hour("A millisecond before a rule's first instant", "1h-1ms")
            .so([CONFIRMED])
            .rated(["by the offer's rate of 8.00%: 80.00; rules, version 1: none holds"]),
        in_the_second_hour("A rule's first instant", "1h").so([DOUBLED]),
        in_the_second_hour("A rule's last millisecond", "2h-1ms").so([DOUBLED]),
        in_the_second_hour("When a rule has ended", "2h").so([CONFIRMED]),
        from_1000_below_2000("A paisa below a rule's least sale", "999.99").so([CONFIRMED]),
        from_1000_below_2000("A rule's least sale", "1000").so([DOUBLED]),
        from_1000_below_2000("A paisa below a rule's upper bound", "1999.99")
            .so(["A: confirmed, 320.00 = 192.00 shopper + 128.00 creator"]),
        from_1000_below_2000("A rule's upper bound", "2000").so([DOUBLED]),
        for_sales("A rule's goal")
            .then(sale().goal("sale"))
            .so([DOUBLED]),
        for_sales("Another goal than the rule's")
            .then(sale().goal("signup"))
            .so([CONFIRMED]),
        for_sales("A rule for a goal, and none reported")
            .then(sale())
            .so([CONFIRMED]),
    ]
}

fn on_the_click() -> Vec<Scenario> {
    let for_gold = |title| {
        scenario(title).given("×2 for creators of level gold", |world| {
            applying(
                world,
                doubling(|scoped| scoped.levels = vec![PartnerLevel::Gold]),
            );
        })
    };
    let for_footwear = |title| {
        scenario(title).given("×2 for footwear", |world| {
            applying(
                world,
                doubling(|scoped| scoped.categories = vec!["footwear".to_owned()]),
            );
        })
    };
    vec![
        for_gold("A creator of the rule's level")
            .given("the creator is gold", |world| {
                world.creator(|settings| settings.level = PartnerLevel::Gold);
            })
            .then(sale())
            .so([DOUBLED]),
        for_gold("A creator of another level")
            .then(sale())
            .so([CONFIRMED]),
        for_gold("A creator who rose to the rule's level after the click")
            .given("the creator is gold from +30min on", |world| {
                world.creator_from("30min", |settings| settings.level = PartnerLevel::Gold);
            })
            .then(sale())
            .so([CONFIRMED]),
        for_footwear("An offer of the rule's category")
            .given("the offer sells footwear", |world| {
                world.category("footwear");
            })
            .then(sale())
            .so([DOUBLED]),
        for_footwear("An offer of another category")
            .given("the offer sells books", |world| world.category("books"))
            .then(sale())
            .so([CONFIRMED]),
        for_footwear("An offer of no category")
            .then(sale())
            .so([CONFIRMED]),
        scenario("A rule for another offer")
            .given("×2 for offer 2", |world| {
                let offers = vec![OfferId::new(OTHER_OFFER)];
                applying(world, doubling(|scoped| scoped.offers = offers));
            })
            .then(sale())
            .so([CONFIRMED]),
        scenario("A rule for another creator")
            .given("×2 for creator 2", |world| {
                applying(world, doubling(|scoped| scoped.tenants = vec![tenant(2)]));
            })
            .then(sale())
            .so([CONFIRMED]),
        scenario("A bonus in dollars, for an offer in rupees")
            .given("+10 dollars", |world| {
                let mut dollars = bonus_of_10();
                dollars.currency = Some(currency("USD"));
                applying(world, dollars);
            })
            .then(sale())
            .so([CONFIRMED]),
        scenario("Rules that come after the click")
            .given("×2, in force from +30min on", |world| {
                world.commission_rules_from("30min", vec![doubling(|_| ())]);
            })
            .then(sale())
            .so([CONFIRMED])
            .rated(["by the offer's rate of 8.00%: 80.00"]),
    ]
}
