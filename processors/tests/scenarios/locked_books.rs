//! What comes after a creator's books are locked.

use crate::{
    click::click,
    document::Group,
    record::{approve, reject},
    report::{Report, csv, postback},
    scenario::{Scenario, scenario},
    world::World,
};

pub fn group() -> Group {
    Group {
        title: "Locked books",
        about: "From a lock on, reports of conversions in the locked time wait for an operator's \
                verdict.",
        scenarios: [held(), edges()].concat(),
    }
}

const LOCK: &str = "at +20d creator 1's books are locked for conversions before +10d";
const CONFIRMED: &str = "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator";

fn lock(world: &mut World) {
    world.lock("20d", "10d");
}

fn locked(title: &'static str) -> Scenario {
    scenario(title).given(LOCK, lock)
}

fn row(at: &'static str) -> Report {
    csv('A').at(at).order("O1")
}

fn held() -> Vec<Scenario> {
    let amended = |title| {
        locked(title)
            .then(postback('A').order("O1").approved("1000"))
            .then(row("25d").approved("1500"))
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update \
                  [books_locked]",
            ])
    };
    vec![
        amended("An amendment after the lock waits")
            .why(["books_locked: 1 report(s) came after the books were locked"]),
        amended("An operator's approval lets it in")
            .then(approve(1).at("26d"))
            .so([
                "A: confirmed, 120.00 = 72.00 shopper + 48.00 creator; ledgered, update \
             [operator_approved]",
            ]),
        amended("What comes after the approval waits again")
            .then(approve(1).at("26d"))
            .then(row("27d").approved("500"))
            .so(["A: confirmed, 120.00 = 72.00 shopper + 48.00 creator; \
                  ledgered, update, update [operator_approved, books_locked]"]),
        amended("An operator's rejection takes back what stood there")
            .then(reject(1).at("26d"))
            .so(["A: rejected; ledgered, update [operator_rejected]"]),
        locked("A cancellation after the lock waits")
            .then(postback('A').order("O1").approved("1000"))
            .then(row("25d").cancelled())
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update \
                  [books_locked]",
            ])
            .then(approve(1).at("26d"))
            .so(["A: reversed; ledgered, update [network_cancelled]"]),
        locked("A new claim in the locked time, and its approval")
            .then(postback('A').at("25d").order("O1").approved("1000"))
            .so(["A: review [books_locked]"])
            .then(approve(1).at("26d"))
            .so(["A: confirmed, 80.00 = 48.00 shopper + 32.00 creator [operator_approved]"]),
        locked("An approval given before the report came lets nothing in")
            .then(approve(2).at("21d"))
            .then(postback('A').at("25d").order("O1").approved("1000"))
            .so(["A: review [books_locked]"]),
        locked("A report that would move the sale into the locked time waits")
            .then(
                postback('A')
                    .at("12d")
                    .sold("11d")
                    .order("O1")
                    .approved("1000"),
            )
            .then(row("25d").sold("9d").approved("1500"))
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update \
                  [books_locked]",
            ]),
        locked("A report that would move the sale out of the locked time waits")
            .then(
                postback('A')
                    .at("10d")
                    .sold("9d")
                    .order("O1")
                    .approved("1000"),
            )
            .then(row("25d").sold("11d").approved("1500"))
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update \
                  [books_locked]",
            ]),
        locked("Another creator's books are not locked")
            .click(click('A').of_creator(2))
            .then(postback('A').order("O1").approved("1000"))
            .then(row("25d").approved("1500"))
            .so(["A: confirmed, 120.00 = 72.00 shopper + 48.00 creator; ledgered, update"]),
        locked("A repetition after the lock changes nothing, and waits all the same")
            .then(postback('A').order("O1").approved("1000"))
            .then(postback('A').at("25d").order("O1").approved("1000"))
            .so([
                "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, repetition \
                  [books_locked]",
            ]),
    ]
}

fn edges() -> Vec<Scenario> {
    let sold = |title, sold| {
        locked(title).then(
            postback('A')
                .at("25d")
                .sold(sold)
                .order("O1")
                .approved("1000"),
        )
    };
    let amended = |title, at| {
        locked(title)
            .then(postback('A').order("O1").approved("1000"))
            .then(row(at).approved("1500"))
    };
    vec![
        sold("Sold in the last millisecond of the locked time", "10d-1ms")
            .so(["A: review [books_locked]"]),
        sold("Sold at the end of the locked time", "10d").so([CONFIRMED]),
        amended("Appended a millisecond before the lock", "20d-1ms")
            .so(["A: confirmed, 120.00 = 72.00 shopper + 48.00 creator; ledgered, update"]),
        amended("Appended when the lock sets in", "20d").so([
            "A: confirmed, 80.00 = 48.00 shopper + 32.00 creator; ledgered, update [books_locked]",
        ]),
    ]
}
