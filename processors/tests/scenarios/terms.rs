//! Terms as they stood at the click.

use schemas::events::{CommissionSource, PayoutMeans};

use crate::{
    click::click,
    document::Group,
    record::approve,
    report::{Report, csv, postback},
    scenario::{Scenario, scenario},
    world::{World, amount, currency, percent, percentage},
};

pub fn group() -> Group {
    Group {
        title: "Terms",
        about: "Offer, campaign and creator count as they stood at the click. The commission rests \
                on our own rate or on the network's payout, as the offer says; the other one is \
                shown.",
        scenarios: [edits(), payouts(), conflicts()].concat(),
    }
}

const CONFIRMED: &str = "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator";

fn sale() -> Report {
    postback('A').approved("1000")
}

fn edits() -> Vec<Scenario> {
    let ten_percent = |title| {
        scenario(title).given("the offer pays 10% from +30min on", |world| {
            world.offer_from("30min", |terms| terms.commission = percentage("10"));
        })
    };
    vec![
        ten_percent("The offer's rate is edited between click and sale")
            .then(sale())
            .so([CONFIRMED]),
        ten_percent("A click a millisecond before the edit")
            .click(click('A').at("30min-1ms"))
            .then(sale().at("2h"))
            .so([CONFIRMED]),
        ten_percent("A click at the edit")
            .click(click('A').at("30min"))
            .then(sale().at("2h"))
            .so(["A: confirmed, 100.00 = 60.00 shopper + 40.00 creator"]),
        ten_percent("An amendment long after the edit is priced as the click was")
            .then(sale().order("O1"))
            .then(csv('A').at("20d").order("O1").approved("2000"))
            .so(["A: confirmed, 160.00 = 96.00 shopper + 64.00 creator; ledgered, update"]),
        scenario("The campaign's share is edited between click and sale")
            .given("the campaign shares 40% from +30min on", |world| {
                world.campaign_from("30min", |terms| terms.share = Some(percent("40")));
            })
            .then(sale())
            .so([CONFIRMED]),
        scenario("A campaign without a share: the creator's own")
            .given(
                "the campaign names no share, the creator's is 50%",
                |world| {
                    world.campaign(|terms| terms.share = None);
                },
            )
            .then(sale())
            .so(["A: confirmed, 80.00 = 40.00 shopper + 40.00 creator"]),
        scenario("The creator's share is edited between click and sale")
            .given(
                "the campaign names no share, the creator's is 50%",
                |world| {
                    world.campaign(|terms| terms.share = None);
                },
            )
            .given("and 55% from +30min on", |world| {
                world.creator_from("30min", |settings| settings.default_share = percent("55"));
            })
            .then(sale())
            .so(["A: confirmed, 80.00 = 40.00 shopper + 40.00 creator"]),
        scenario("A share of 0%")
            .given("the campaign shares nothing", |world| {
                world.campaign(|terms| terms.share = Some(percent("0")));
            })
            .then(sale())
            .so(["A: confirmed, 80.00 = 0.00 shopper + 80.00 creator"]),
        scenario("A share of 100%")
            .given("the campaign shares everything", |world| {
                world.campaign(|terms| terms.share = Some(percent("100")));
            })
            .then(sale())
            .so(["A: confirmed, 80.00 = 80.00 shopper + 0.00 creator"]),
        scenario("A fee that comes after the click")
            .given("the platform takes 10% from +30min on", |world| {
                world.creator_from("30min", |settings| settings.platform_fee = percent("10"));
            })
            .then(sale())
            .so([CONFIRMED]),
    ]
}

fn by_payout(world: &mut World) {
    world.offer(|terms| terms.commission_source = CommissionSource::Payout);
}

fn payouts() -> Vec<Scenario> {
    let paying = |title| scenario(title).given("the commission is the network's payout", by_payout);
    let percentages = |title| {
        paying(title).given(
            "the network's payout is a percentage of the sale",
            |world| {
                world.network(|network| network.payout_means = PayoutMeans::Percentage);
            },
        )
    };
    vec![
        scenario("Our own rate, with the network's payout beside it")
            .then(sale().payout("75"))
            .so([CONFIRMED])
            .rated([
                "by the offer's rate of 8.00%: 80.00; by the network's payout: 75.00 (shown \
                     only)",
            ]),
        paying("The network's payout, an amount, with our own rate beside it")
            .then(sale().payout("75"))
            .so(["A: confirmed, 75.00 = 45.00 shopper + 30.00 creator"])
            .rated([
                "by the offer's rate of 8.00%: 80.00 (shown only); by the network's payout: \
                     75.00",
            ]),
        percentages("The network's payout, a percentage")
            .then(sale().payout("7.5"))
            .so(["A: confirmed, 75.00 = 45.00 shopper + 30.00 creator"]),
        paying("No payout where the commission is made of it")
            .then(sale())
            .so(["A: review [amount_missing]"])
            .why(["amount_missing: approved, without the amount that the commission is made of"]),
        paying("A payout without a sale amount")
            .then(
                postback('A')
                    .status(schemas::events::NetworkStatus::Approved)
                    .payout("75"),
            )
            .so(["A: confirmed, 75.00 = 45.00 shopper + 30.00 creator"]),
        paying("A payout of the whole sale")
            .then(sale().payout("1000"))
            .so(["A: confirmed, 1000.00 = 600.00 shopper + 400.00 creator"]),
        paying("A payout above the sale, and an operator who approves it")
            .then(sale().payout("1000.01"))
            .so(["A: review [commission_above_max]"])
            .then(approve(1).at("1d"))
            .so(["A: confirmed, 1000.01 = 600.01 shopper + 400.00 creator [operator_approved]"]),
        percentages("A payout of 150%")
            .then(sale().payout("150"))
            .so(["A: review [commission_above_max]"])
            .why(["commission_above_max: payout of 1500.00 INR for a sale of 1000.00"]),
    ]
}

fn conflicts() -> Vec<Scenario> {
    let capped = |title| {
        scenario(title).given("a commission is at most 100", |world| {
            world.offer(|terms| terms.commission_max = Some(amount("100")));
        })
    };
    vec![
        capped("A commission of the cap")
            .then(postback('A').approved("1250"))
            .so(["A: confirmed, 100.00 = 60.00 shopper + 40.00 creator"]),
        capped("A commission a paisa above the cap")
            .then(postback('A').approved("1250.10"))
            .so(["A: review [commission_above_max]"])
            .why(["commission_above_max: commission of 100.01 INR, 100.00 at most"]),
        capped("A payout above the cap, and an amendment below it")
            .given("the commission is the network's payout", by_payout)
            .then(sale().order("O1").payout("150"))
            .so(["A: review [commission_above_max]"])
            .then(csv('A').at("1d").order("O1").approved("1000").payout("90"))
            .so(["A: confirmed, 90.00 = 54.00 shopper + 36.00 creator; ledgered, update"]),
        scenario("Amounts in another currency than the offer's")
            .then(sale().currency("USD"))
            .so(["A: review [currency_mismatch]"])
            .why(["currency_mismatch: reported in USD, the offer pays in INR"]),
        scenario("Amounts without a currency, of a network that then means dollars")
            .given(
                "the network means dollars where it names no currency",
                |world| {
                    world.network(|network| network.default_currency = currency("USD"));
                },
            )
            .then(sale())
            .so(["A: review [currency_mismatch]"]),
        scenario("The same network names rupees")
            .given(
                "the network means dollars where it names no currency",
                |world| {
                    world.network(|network| network.default_currency = currency("USD"));
                },
            )
            .then(sale().currency("INR"))
            .so([CONFIRMED]),
        scenario("Another currency without an amount says nothing")
            .then(sale().order("O1"))
            .then(
                postback('A')
                    .at("2h")
                    .order("O1")
                    .status(schemas::events::NetworkStatus::Approved)
                    .currency("USD"),
            )
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update"]),
    ]
}
