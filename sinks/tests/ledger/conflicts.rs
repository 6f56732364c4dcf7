//! What contradicts what is kept is never taken, and never silent.

use prometheus::{Encoder, Registry, TextEncoder};
use schemas::{
    EventId,
    events::{Command, CommandBody, ReviewClaim, Verdict},
};
use serde_json::Value;

use crate::{
    records::{Logged, T0, decision, fields, matched, recorded},
    world::{Running, World},
};

fn command(reason: &str, verdict: Verdict) -> Logged {
    Logged::Command(Command {
        command_id: EventId::new(77),
        issued_at: T0,
        author: "a person".to_owned(),
        reason: reason.to_owned(),
        body: CommandBody::ReviewClaim(ReviewClaim {
            event_id: EventId::new(1),
            verdict,
        }),
    })
}

/// A report of 1, and one that says otherwise in the same place.
fn two_decisions() -> [Logged; 2] {
    let first = decision(1);
    let mut second = first.clone();
    fields(&mut second).sale_amount = "1.00".parse().ok();
    [first.into(), second.into()]
}

fn two_clicks() -> [Logged; 2] {
    let mut sale = decision(1);
    let first = recorded(&matched(&mut sale).click);
    let mut second = first.clone();
    second.referrer = Some("https://elsewhere.example/".to_owned());
    second.address_hash = Some("ab".repeat(16));
    [Logged::Click(first), Logged::Click(second)]
}

async fn conflicts(world: &World) -> Vec<(String, String, Value)> {
    sqlx::query_as("SELECT kind, key, refused FROM conflicts ORDER BY kind")
        .fetch_all(&world.writer)
        .await
        .expect("conflicts")
}

#[tokio::test]
async fn repetitions_are_no_conflicts() {
    let world = World::new().await;
    let ([decision, _], [click, _]) = (two_decisions(), two_clicks());
    let command = command("a reason", Verdict::Approve);
    for _ in 0..2 {
        for record in [&click, &decision, &command] {
            world.append(record).await;
            world.append(record).await;
        }
        world.fold(10).await;
    }
    assert_eq!(conflicts(&world).await, []);
}

#[tokio::test]
async fn a_contradiction_is_kept_counted_and_not_folded() {
    // All in one batch, and each in its own.
    for batch_records_max in [10, 1] {
        let world = World::new().await;
        let ([decision, other_decision], [click, other_click]) = (two_decisions(), two_clicks());
        let commands = [
            command("a reason", Verdict::Approve),
            command("a reason", Verdict::Reject),
        ];
        for record in [&click, &decision, &commands[0]] {
            world.append(record).await;
        }
        world.fold(batch_records_max).await;
        let before = snapshot(&world).await;

        let registry = Registry::new();
        let running = Running::start(&world.measured_sink(batch_records_max, &registry));
        for record in [&other_click, &other_decision, &commands[1]] {
            world.append(record).await;
            world.append(record).await;
        }
        world.folded().await;
        running.stop().await;
        assert_eq!(snapshot(&world).await, before, "the first one counts");

        let found = conflicts(&world).await;
        let keys: Vec<_> = found
            .iter()
            .map(|(kind, key, _)| (&**kind, &**key))
            .collect();
        assert_eq!(
            keys,
            [
                ("click", "1"),
                ("command", "77"),
                ("decision", "conversions/0/1")
            ]
        );
        assert_eq!(found[0].2["referrer"], "https://elsewhere.example/");
        assert_eq!(found[0].2.get("address_hash"), None, "not personal data");

        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&registry.gather(), &mut text)
            .expect("encoded");
        let text = String::from_utf8(text).expect("UTF-8");
        for kind in ["click", "command", "decision"] {
            let line = format!("hissaback_ledger_conflicts_total{{kind=\"{kind}\"}} 1");
            assert!(text.contains(&line), "{line}\n{text}");
        }
    }
}

/// In its month, and in another one: there is one click under an id.
#[tokio::test]
async fn a_click_at_another_time_is_a_contradiction() {
    for batch_records_max in [10, 1] {
        for days in [1, 100, -400] {
            let world = World::new().await;
            let mut click = recorded(&matched(&mut decision(1)).click);
            world.append(&Logged::Click(click.clone())).await;
            let kept = click.clicked_at.to_datetime();
            click.clicked_at = click.clicked_at.plus_days(days);
            for _ in 0..2 {
                world.append(&Logged::Click(click.clone())).await;
            }
            world.fold(batch_records_max).await;
            let times: Vec<chrono::DateTime<chrono::Utc>> =
                sqlx::query_scalar("SELECT clicked_at FROM clicks")
                    .fetch_all(&world.owner)
                    .await
                    .expect("clicks");
            assert_eq!(times, [kept], "the first one counts");
            let found = conflicts(&world).await;
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!((&*found[0].0, &*found[0].1), ("click", "1"));
        }
    }
}

/// What the ledger holds of the records above.
async fn snapshot(world: &World) -> Vec<Value> {
    sqlx::query_scalar(
        "SELECT to_jsonb(l) FROM ledger l UNION ALL SELECT to_jsonb(c) FROM clicks c
         UNION ALL SELECT to_jsonb(o) FROM conversions o
         UNION ALL SELECT to_jsonb(x) FROM commands x
         UNION ALL SELECT to_jsonb(p) FROM postings p",
    )
    .fetch_all(&world.owner)
    .await
    .expect("rows")
}

#[tokio::test]
async fn two_in_one_batch_are_told_apart() {
    let world = World::new().await;
    let ([decision, other_decision], [click, other_click]) = (two_decisions(), two_clicks());
    for record in [&click, &other_click, &decision, &other_decision] {
        world.append(record).await;
    }
    world.fold(10).await;
    let found = conflicts(&world).await;
    let kinds: Vec<_> = found.iter().map(|(kind, ..)| &**kind).collect();
    assert_eq!(kinds, ["click", "decision"]);
    assert_eq!(
        (world.count("ledger").await, world.count("clicks").await),
        (1, 1)
    );
}
