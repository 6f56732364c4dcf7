//! From a report to its click.

use schemas::events::Malformed;

use crate::{
    click::click,
    document::Group,
    record::{matched_by_hand, retried},
    report::{Reference, csv, postback},
    scenario::{Scenario, scenario},
    world::OTHER_OFFER,
};

pub fn group() -> Group {
    Group {
        title: "From a report to its click",
        about: "A token is opened, a bare number is looked up. What doesn't lead to a click is \
                parked, and healed when it does.",
        scenarios: [references(), heals()].concat(),
    }
}

fn references() -> Vec<Scenario> {
    vec![
        scenario("A token of the current key")
            .then(postback('A').approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"])
            .why([]),
        scenario("A token of the key before the current one")
            .then(
                postback('A')
                    .refers_by(Reference::OldToken)
                    .approved("1000"),
            )
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("A token of a key that we don't have, which comes back")
            .then(
                postback('A')
                    .refers_by(Reference::StrangeToken)
                    .approved("1000"),
            )
            .so(["1: parked, token_key_unknown"])
            .then(retried(1, 'A').at("3h"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("A forged token, and an operator who knows the click")
            .then(
                postback('A')
                    .refers_by(Reference::ForgedToken)
                    .approved("1000"),
            )
            .so(["1: parked, token_forged"])
            .then(matched_by_hand(1, 'A').at("1d"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("A bare number that the clicks table holds")
            .then(postback('A').refers_by(Reference::Number).approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("A bare number whose click is stored later")
            .then(
                postback('A')
                    .refers_by(Reference::EarlyNumber)
                    .approved("1000"),
            )
            .so(["1: parked, unknown_click"])
            .then(retried(1, 'A').at("1h+1min"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("A reference that is neither a token nor a number")
            .then(postback('A').refers_by(Reference::Text).approved("1000"))
            .so(["1: parked, not_a_reference"]),
        scenario("No reference at all")
            .then(
                postback('A').refused("sale_amount=1000&status=approved", Malformed::MissingClick),
            )
            .so(["1: ignored, missing_click"]),
        scenario("A link to an offer that isn't in the reference data")
            .click(click('A').on_offer(9))
            .then(postback('A').approved("1000"))
            .so(["1: parked, unknown_link"]),
        scenario("An import that names another creator than the click's")
            .then(csv('A').for_tenant(2).approved("1000"))
            .so(["1: parked, other_tenant"]),
        scenario("An import that names the click's creator")
            .then(csv('A').for_tenant(1).approved("1000"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("A report by another network than the offer's")
            .then(postback('A').by_network(2).approved("1000"))
            .so(["1: parked, other_network"]),
        scenario("One shopper, two offers")
            .click(click('B').by(1).on_offer(OTHER_OFFER))
            .then(postback('A').order("O1").approved("1000"))
            .then(postback('B').order("O2").approved("500"))
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
                "B: confirmed, 40.00 = 24.00 shopper + 16.00 creator",
            ]),
    ]
}

fn heals() -> Vec<Scenario> {
    let early = || postback('A').refers_by(Reference::EarlyNumber).order("O1");
    vec![
        scenario("An operator's heal undoes the machine's")
            .then(early().approved("1000"))
            .then(retried(1, 'A').at("2h"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"])
            .then(matched_by_hand(1, 'B').at("3h"))
            .so(["B: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("The machine's heal doesn't undo an operator's")
            .then(early().approved("1000"))
            .then(matched_by_hand(1, 'B').at("2h"))
            .then(retried(1, 'A').at("3h"))
            .so(["B: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("Of two heals by the machine the first made holds")
            .then(early().approved("1000"))
            .then(retried(1, 'A').at("2h"))
            .then(retried(1, 'B').at("3h"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator"]),
        scenario("A parked report reserves no order; healed, it ranks by its first receipt")
            .then(early().approved("1000"))
            .then(postback('B').at("2h").order("O1").approved("1000"))
            .so([
                "B: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
                "1: parked, unknown_click",
            ])
            .then(retried(1, 'A').at("3h"))
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator",
                "B: rejected [duplicate_order]",
            ]),
    ]
}
