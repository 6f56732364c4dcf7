//! The attribution window, to the millisecond.

use crate::{
    click::click,
    document::Group,
    report::{csv, postback},
    scenario::{Scenario, scenario},
    world::OFFER_AT_SALE,
};

pub fn group() -> Group {
    Group {
        title: "The attribution window",
        about: "Half-open, from the click on: a sale at the click counts, one thirty days after it \
                doesn't. It is tested where the network gives its own time of the sale, or sends \
                its reports at the sale.",
        scenarios: [edges(), receipts()].concat(),
    }
}

const CONFIRMED: &str = "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator";

fn edges() -> Vec<Scenario> {
    let sold = |title, at, received| {
        scenario(title).then(postback('A').at(received).sold(at).approved("1000"))
    };
    vec![
        sold("A millisecond before the click", "-1ms", "1h")
            .so(["A: rejected [outside_window]"])
            .why(["outside_window: clicked at 2026-09-01T00:00:00.000Z, \
                   converted at 2026-08-31T23:59:59.999Z, window of 30 days"]),
        sold("In the millisecond of the click", "0", "1h").so([CONFIRMED]),
        sold("A millisecond after the click", "1ms", "1h").so([CONFIRMED]),
        sold("A millisecond before thirty days", "30d-1ms", "31d").so([CONFIRMED]),
        sold("After thirty days exactly", "30d", "31d")
            .so(["A: rejected [outside_window]"])
            .why(["outside_window: clicked at 2026-09-01T00:00:00.000Z, \
                   converted at 2026-10-01T00:00:00.000Z, window of 30 days"]),
        sold("A millisecond after thirty days", "30d+1ms", "31d")
            .so(["A: rejected [outside_window]"]),
        sold(
            "A millisecond before the end of a window of seven days",
            "7d-1ms",
            "8d",
        )
        .given("the campaign's window is 7 days", |world| {
            world.campaign(|terms| terms.attribution_window_days = 7);
        })
        .so([CONFIRMED]),
        sold("At the end of a window of seven days", "7d", "8d")
            .given("the campaign's window is 7 days", |world| {
                world.campaign(|terms| terms.attribution_window_days = 7);
            })
            .so(["A: rejected [outside_window]"]),
        sold("A window shortened after the click", "20d", "21d")
            .given("the campaign's window is 7 days from +1d on", |world| {
                world.campaign_from("1d", |terms| terms.attribution_window_days = 7);
            })
            .so([CONFIRMED]),
    ]
}

fn receipts() -> Vec<Scenario> {
    let at_sale = |title, received| {
        scenario(title)
            .given("network 2 sends its reports at the sale", |_| {})
            .click(click('A').on_offer(OFFER_AT_SALE))
            .then(postback('A').at(received).timeless().approved("1000"))
    };
    vec![
        scenario("A late postback without a time says nothing about the window")
            .then(postback('A').at("45d").timeless().approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator [time_of_receipt]"])
            .why(["time_of_receipt"]),
        at_sale(
            "Sent at the sale, without a time, in the window's last millisecond",
            "30d-1ms",
        )
        .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator [time_of_receipt]"]),
        at_sale(
            "Sent at the sale, without a time, at the window's end",
            "30d",
        )
        .so(["A: rejected [outside_window, time_of_receipt]"]),
        at_sale(
            "The network's own time comes later, and lies in the window",
            "31d",
        )
        .so(["A: rejected [outside_window, time_of_receipt]"])
        .then(csv('A').at("40d").sold("29d").approved("1000"))
        .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update"]),
        scenario("The network corrects its own time, and the sale falls out of the window")
            .then(
                postback('A')
                    .at("30d")
                    .sold("29d")
                    .order("O1")
                    .approved("1000"),
            )
            .so([CONFIRMED])
            .then(csv('A').at("32d").sold("31d").order("O1").approved("1000"))
            .so(["A: rejected; ledgered, update [outside_window]"]),
    ]
}
