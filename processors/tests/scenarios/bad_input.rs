//! Input that can't be, and input that can hardly be.

use schemas::events::Malformed;

use crate::{
    click::click,
    document::Group,
    record::approve,
    report::{csv, postback},
    scenario::{Scenario, scenario},
    world::OFFER_AT_SALE,
};

pub fn group() -> Group {
    Group {
        title: "Bad input",
        about: "Postbacks and CSV rows are read by one parser, which refuses what can't be: the \
                record is kept, and *ignored*. (A [test of its own](../tests/refused_input.rs) \
                puts what these rows show through that parser.) \
                What can be, but hardly is, is flagged. Terms and rules out of range are refused \
                when they are written.",
        scenarios: [refused(), times(), contradictions()].concat(),
    }
}

fn refused() -> Vec<Scenario> {
    let refused =
        |title, parameter, reason| scenario(title).then(postback('A').refused(parameter, reason));
    vec![
        refused(
            "A negative sale",
            "click_id=1&sale_amount=-0.01",
            Malformed::SaleAmountNegative,
        )
        .so(["1: ignored, sale_amount_negative"]),
        refused(
            "A sale of 10^18",
            "click_id=1&sale_amount=1000000000000000000",
            Malformed::SaleAmountAbsurd,
        )
        .so(["1: ignored, sale_amount_absurd"]),
        refused(
            "A sale just above 10^12",
            "click_id=1&sale_amount=1000000000001",
            Malformed::SaleAmountAbsurd,
        )
        .so(["1: ignored, sale_amount_absurd"]),
        refused(
            "A sale finer than a millionth",
            "click_id=1&sale_amount=0.0000001",
            Malformed::SaleAmountAbsurd,
        )
        .so(["1: ignored, sale_amount_absurd"]),
        refused(
            "A sale that is no number",
            "click_id=1&sale_amount=1,999.00",
            Malformed::SaleAmountInvalid,
        )
        .so(["1: ignored, sale_amount_invalid"]),
        refused(
            "A negative payout",
            "click_id=1&payout=-5",
            Malformed::PayoutInvalid,
        )
        .so(["1: ignored, payout_invalid"]),
        refused(
            "A currency that there isn't",
            "click_id=1&currency=XXX",
            Malformed::CurrencyUnknown,
        )
        .so(["1: ignored, currency_unknown"]),
        refused(
            "A sale in 1970",
            "click_id=1&created=1970-01-01T00:00:00Z",
            Malformed::ConvertedAtInvalid,
        )
        .so(["1: ignored, converted_at_invalid"]),
        refused(
            "A sale in 2100",
            "click_id=1&created=2100-01-01T00:00:00Z",
            Malformed::ConvertedAtInvalid,
        )
        .so(["1: ignored, converted_at_invalid"]),
        refused(
            "A date that is none",
            "click_id=1&created=yesterday",
            Malformed::ConvertedAtInvalid,
        )
        .so(["1: ignored, converted_at_invalid"]),
        refused(
            "An offer below one",
            "click_id=1&offer_id=0",
            Malformed::OfferIdInvalid,
        )
        .so(["1: ignored, offer_id_invalid"]),
        refused(
            "A click number beyond 63 bits",
            "click_id=9223372036854775808",
            Malformed::ClickIdOutOfRange,
        )
        .so(["1: ignored, click_id_out_of_range"]),
        scenario("A row of a CSV that can't be, then one that can")
            .then(csv('A').refused("p1=1&sale=-1000", Malformed::SaleAmountNegative))
            .then(csv('A').at("2h").approved("1000"))
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
                "1: ignored, sale_amount_negative",
            ]),
    ]
}

fn times() -> Vec<Scenario> {
    vec![
        scenario("A sale at the earliest date that is read, long before its click")
            .then(postback('A').sold("-9740d").approved("1000"))
            .so(["A: rejected [outside_window]"])
            .why(["outside_window: clicked at 2026-09-01T00:00:00.000Z, \
                   converted at 2000-01-01T00:00:00.000Z, window of 30 days"]),
        scenario("A sale at the latest date that is read, long after its click")
            .then(postback('A').sold("26785d-1ms").approved("1000"))
            .so(["A: rejected [outside_window]"])
            .why(["outside_window: clicked at 2026-09-01T00:00:00.000Z, \
                   converted at 2099-12-31T23:59:59.999Z, window of 30 days"]),
        scenario("Received before its click, by a network that reports at the sale")
            .click(click('A').at("2h").on_offer(OFFER_AT_SALE))
            .then(postback('A').timeless().approved("1000"))
            .so(["A: rejected [outside_window, time_of_receipt]"]),
        scenario("Received before its click, with a time of the sale after it")
            .click(click('A').at("2h"))
            .then(postback('A').sold("3h").approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("A command that comes before its report")
            .then(approve(2).at("1min"))
            .then(postback('A').offer(2).approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator [operator_approved]"]),
        scenario("A command about a report that never comes")
            .then(approve(9).at("1min"))
            .then(postback('A').approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
    ]
}

fn contradictions() -> Vec<Scenario> {
    vec![
        scenario("Approved and cancelled in one millisecond: the report drawn later counts")
            .then(postback('A').order("O1").approved("1000"))
            .then(postback('A').order("O1").cancelled())
            .so(["A: reversed; ledgered, update [network_cancelled]"]),
        scenario("Cancelled and approved in one millisecond: a postback takes nothing back")
            .then(postback('A').order("O1").cancelled())
            .then(postback('A').order("O1").approved("1000"))
            .so(["A: rejected; ledgered, update [network_cancelled]"]),
        scenario("An order number of 255 characters")
            .then(postback('A').order(&"9".repeat(255)).approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("A sale of zero")
            .then(postback('A').approved("0"))
            .so(["A: confirmed"]),
    ]
}
