//! Who chose a rail is paid by that one, or not at all.

use schemas::Timestamp;

use crate::{
    payouts::{fold, pay, payouts, sale, settle, world},
    records::{T0, user},
    world::World,
};

async fn choose(world: &World, method: &str, effective_at: Timestamp) {
    sqlx::query("INSERT INTO users (user_id) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(user(9).uuid())
        .execute(&world.owner)
        .await
        .expect("a shopper");
    sqlx::query(
        "INSERT INTO user_payout_methods (user_id, effective_at, method) VALUES ($1, $2, $3)",
    )
    .bind(user(9).uuid())
    .bind(effective_at.to_datetime())
    .bind(method)
    .execute(&world.owner)
    .await
    .expect("a choice");
}

#[tokio::test]
async fn a_rail_that_is_not_there_pays_nobody_by_another_one() {
    let world = world().await;
    fold(&world, &[sale(1), sale(2)]).await;
    choose(&world, "bank_transfer", T0.plus_days(-1)).await;
    choose(&world, "agcod", T0.plus_days(33)).await;
    let before = pay(&world, 32).await;
    assert_eq!((before.paid_count, before.rail_missing), (0, 1));
    let after = pay(&world, 34).await;
    assert_eq!((after.paid_count, after.rail_missing), (1, 0));
    settle(&world).await;
    let methods: Vec<String> = payouts(&world)
        .await
        .into_iter()
        .map(|payout| payout.method)
        .collect();
    assert_eq!(methods, ["agcod"]);
}

#[tokio::test]
async fn who_is_owed_too_little_is_not_counted_as_held_back() {
    let world = world().await;
    choose(&world, "bank_transfer", T0.plus_days(-1)).await;
    fold(&world, &[sale(1)]).await;
    assert_eq!(pay(&world, 20).await.rail_missing, 0, "nothing has matured");
}
