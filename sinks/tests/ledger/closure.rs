//! What has to be loaded besides the claims that a record is about.

use schemas::{
    EventId, Position, Timestamp, Topic,
    events::{Decision, Heal, HealAuthor},
};

use crate::{
    records::{Logged, T0, click, decision, fields, matched},
    snapshot::Snapshot,
    world::World,
};

/// Folds one record a batch, in this order, and compares with the fold of all.
async fn fold_one_by_one(history: &[Logged]) -> Snapshot {
    let world = World::new().await;
    world.scatter(history, 1).await;
    world.fold(1).await;
    let found = Snapshot::read(&world.owner).await;
    let differences = found.differences(&Snapshot::expect(history));
    assert!(differences.is_empty(), "{differences:#?}");
    found
}

#[tokio::test]
async fn a_closed_claim_counts_what_was_undone_after_it_closed() {
    let sale = |number: i64, on_click: i64, appended_at: Timestamp| {
        let mut sale = decision(number);
        let shopper = (on_click < 6).then_some(9);
        matched(&mut sale).click = click(on_click, shopper);
        matched(&mut sale).click.clicked_at = T0.plus_millis(on_click);
        matched(&mut sale).rules.velocity_claims = 3;
        sale.appended_at = appended_at;
        sale
    };
    let heal = |number: i64, on_click: i64, author, appended_at: Timestamp| {
        let mut heal = sale(number, on_click, appended_at);
        heal.event_id = EventId::new(900);
        heal.heal = Some(Heal {
            heals: Position {
                topic: Topic::Conversions,
                partition: 1,
                offset: 900,
            },
            heal_id: EventId::new(number),
            author,
            click: matched(&mut heal).click.clone(),
        });
        heal
    };
    let mut late = sale(5, 3, T0.plus_days(50));
    late.received_at = T0.plus_days(50);
    let history: Vec<Logged> = [
        sale(1, 1, T0),
        heal(2, 2, HealAuthor::Machine, T0.plus_millis(1)),
        sale(3, 3, T0.plus_millis(2)),
        heal(4, 6, HealAuthor::Operator, T0.plus_days(40)),
        late,
    ]
    .map(Logged::from)
    .into();
    let found = fold_one_by_one(&history).await;
    assert_eq!(
        found.claims[&3].status, "review",
        "it was the third within a day"
    );
}

#[tokio::test]
async fn a_duplicate_does_not_count_whoever_owns_its_order() {
    let sale = |number: i64, shopper: u128, order: &str| {
        let mut sale = decision(number);
        sale.received_at = T0.plus_millis(number);
        matched(&mut sale).click = click(number, Some(shopper));
        matched(&mut sale).click.clicked_at = T0.plus_millis(number);
        matched(&mut sale).rules.velocity_claims = 2;
        fields(&mut sale).txn_id = Some(order.to_owned());
        Logged::from(sale)
    };
    // User 9's first claim is a duplicate of user 8's; so the second is the first that counts.
    let history = [sale(1, 8, "A"), sale(2, 9, "A"), sale(3, 9, "B")];
    let found = fold_one_by_one(&history).await;
    let statuses: Vec<_> = found.claims.values().map(|claim| &*claim.status).collect();
    assert_eq!(statuses, ["confirmed", "rejected", "confirmed"]);
}

/// The only sale on a click of shopper 9, of whom this many claims are too many.
fn sale(number: i64, velocity_claims: i32) -> Decision {
    let mut sale = decision(number);
    matched(&mut sale).click = click(number, Some(9));
    matched(&mut sale).click.clicked_at = T0.plus_millis(number);
    matched(&mut sale).rules.velocity_claims = velocity_claims;
    sale
}

#[tokio::test]
async fn a_claim_with_stricter_rules_than_the_new_ones_is_loaded() {
    // The later click's sale was reported first: the second one's rules alone would let it be.
    let found = fold_one_by_one(&[sale(2, 2), sale(1, 5)].map(Logged::from)).await;
    let statuses: Vec<_> = found.claims.values().map(|claim| &*claim.status).collect();
    assert_eq!(statuses, ["confirmed", "review"]);
}

#[tokio::test]
async fn a_claim_whose_rules_look_further_back_than_the_new_ones_is_loaded() {
    for (days, expected) in [(2, "review"), (3, "confirmed")] {
        let mut later = sale(2, 2);
        matched(&mut later).click.clicked_at = T0.plus_days(days).plus_millis(1);
        matched(&mut later).rules.velocity_hours = 72;
        let found = fold_one_by_one(&[later, sale(1, 2)].map(Logged::from)).await;
        assert_eq!(found.claims[&2].status, expected, "{days} days later");
    }
}

#[tokio::test]
async fn a_report_from_before_its_rules_were_stored_is_loaded() {
    let history = [sale(2, 2), sale(1, 5)].map(Logged::from);
    let world = World::new().await;
    world.scatter(&history[..1], 1).await;
    world.fold(1).await;
    let forgotten =
        sqlx::query("UPDATE conversions SET velocity_claims = NULL, velocity_hours = NULL")
            .execute(&world.owner)
            .await
            .expect("an older row");
    assert_eq!(forgotten.rows_affected(), 1);
    world.scatter(&history[1..], 1).await;
    world.fold(1).await;
    let found = Snapshot::read(&world.owner).await;
    let differences = found.differences(&Snapshot::expect(&history));
    assert!(differences.is_empty(), "{differences:#?}");
}
