//! What retention and erasure leave in ClickHouse.

use operations::retention::{
    self, Periods, Stores,
    erasure::{self, Order},
};
use prometheus::Registry;
use schemas::UserId;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    events::{START, click},
    world::World,
};

/// Ids of clicks whose address is known.
async fn with_address(world: &World) -> Vec<i64> {
    let query = "SELECT click_id FROM hissaback.v_clicks WHERE address_prefix <> '' ORDER BY 1";
    let clicks = world.client().query(query).fetch_all().await;
    clicks.expect("clicks")
}

#[tokio::test]
async fn old_clicks_and_the_addresses_of_the_erased_go() {
    let world = World::start().await;
    // 2, 4 and 6 are the shopper's; 5 and 6 are past their period.
    for number in 1..=6 {
        let mut click = click(number);
        if number > 4 {
            click.clicked_at = START.plus_days(-900);
        }
        world.append(number.to_string(), &click).await;
    }
    let shutdown = CancellationToken::new();
    let sink = world.sink(&Registry::new());
    let stop = shutdown.clone();
    let sink = tokio::spawn(async move { sink.run(stop).await });
    world.wait_until_complete().await;
    assert_eq!(with_address(&world).await, [1, 2, 3, 4, 5, 6]);

    let client = world.client();
    let stores = Stores {
        pool: &world.pool,
        clickhouse: Some(&client),
        log: &*world.log,
    };
    let summary = retention::run(&stores, Periods::default(), START, false).await;
    assert_eq!(summary.expect("a run").dropped_in_analytics.len(), 1);
    assert_eq!(with_address(&world).await, [1, 2, 3, 4]);

    let shopper = UserId::new(Uuid::from_u128(4));
    sqlx::query("INSERT INTO users (user_id) VALUES ($1)")
        .bind(shopper.uuid())
        .execute(&world.pool)
        .await
        .expect("a user");
    let order = Order {
        user_id: shopper,
        author: "a person".to_owned(),
        reason: "asked for it".to_owned(),
        despite_open_payouts: false,
    };
    let erased = erasure::erase(&world.pool, Some(&client), &order).await;
    assert_eq!(erased.expect("erased").users, 1);
    assert_eq!(with_address(&world).await, [1, 3]);

    shutdown.cancel();
    sink.await.expect("no panic").expect("stopped");
    world.stop().await;
}
