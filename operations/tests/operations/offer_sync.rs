//! Offers from the fake's campaigns, into the real reference data.

use operations::{
    offer_sync::{OfferSyncReport, OfferSyncSettings, sync},
    reference::Contacts,
    trackier::fake::Fault,
};
use schemas::{contact::ContactKey, events::Rate};
use serde_json::{Value, json};
use sinks::{ledger::reference, sealing::KeyRing};
use stream::Clock;

use crate::{
    trackier::{Served, serve},
    world::{NETWORK, NOW, OFFER, World},
};

fn contacts() -> Contacts {
    Contacts {
        hashed: ContactKey::new([2; 32]),
        sealed: KeyRing::parse(&format!("1:{}", "03".repeat(32)).into()).expect("a ring"),
    }
}

fn campaign(id: i32, pct: f64) -> Value {
    json!({"id": id, "title": format!("Shop {id}"), "currency": "INR", "model": "cps",
           "categories": null, "payouts": [{"payout": pct, "geo": ["IN", "US"]}], "goals": null,
           "tracking_link": "https://network.example/click?p1={your-transaction-id}"})
}

async fn synced(world: &World, served: &Served, dry_run: bool) -> OfferSyncReport {
    let settings = OfferSyncSettings {
        network_id: NETWORK,
        country: "IN".parse().expect("a country"),
        dry_run,
    };
    let (client, now) = (served.client(), || world.clock.now());
    let synced = sync(
        &client,
        &world.operator,
        &contacts(),
        settings,
        now,
        "operator",
    )
    .await;
    synced.expect("synced")
}

/// What is saved of the world's own offer: versions, and the newest one's rate.
async fn saved(world: &World) -> (usize, Rate) {
    let data = reference::load(&world.writer)
        .await
        .expect("reference data");
    let versions = data.offers[&OFFER].terms.all();
    let newest = versions.last().expect("one");
    (versions.len(), newest.value.commission)
}

#[tokio::test(flavor = "multi_thread")]
async fn new_payouts_are_versions_from_now_on_and_a_second_sync_saves_nothing() {
    let world = World::new().await;
    let served = serve().await;
    served.fake.add_campaign(campaign(OFFER.get(), 8.0));
    served.fake.add_campaign(campaign(6_001, 12.5));
    served.fake.add_campaign(campaign(6_002, 5.0));
    served
        .fake
        .add_campaign(json!({"id": 6_003, "title": "Clicks", "model": "cpc"}));
    served.fake.cut_pages(2);
    served
        .fake
        .go_wrong([Fault::ServerError, Fault::None, Fault::Malformed]);

    let told = synced(&world, &served, true).await;
    assert_eq!(
        (told.campaigns, told.new.len(), told.refused.len()),
        (4, 2, 1)
    );
    // The link is another than the one that was imported; the rate is the same.
    assert_eq!(told.changed.len(), 1);
    assert!(told.changed[0].changes.iter().all(|change| !change.money));
    assert!(!told.saved && told.rows > 0);
    assert_eq!(saved(&world).await.0, 1, "a dry run saves nothing");

    let first = synced(&world, &served, false).await;
    assert_eq!((first.new.clone(), first.rows), (told.new, told.rows));
    assert!(first.saved && first.effective_at > Some(NOW.plus_millis(60_000)));
    world.clock.set(NOW.plus_days(1));
    let again = synced(&world, &served, false).await;
    assert_eq!((again.unchanged, again.rows, again.saved), (3, 0, false));

    let pays = json!([{"payout": 9.75, "geo": ["IN"]}]);
    served
        .fake
        .change_campaign(OFFER.get().into(), "payouts", pays);
    served.fake.remove_campaign(6_002);
    let raised = synced(&world, &served, false).await;
    let change = &raised.changed[0].changes[0];
    assert_eq!(
        (change.old.as_deref(), change.new.as_deref()),
        (Some("8.00%"), Some("9.75%"))
    );
    assert!(change.money);
    assert_eq!(
        raised.gone.iter().map(|id| id.get()).collect::<Vec<_>>(),
        [6_002]
    );
    let rate = Rate::Percentage("9.75".parse().expect("a rate"));
    assert_eq!(saved(&world).await, (3, rate));
    let noted = world.number("SELECT count(*) FROM audit_log WHERE action = 'offer_sync'");
    assert_eq!(noted.await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sync_at_a_time() {
    let world = World::new().await;
    let served = serve().await;
    served.fake.add_campaign(campaign(6_001, 5.0));
    served
        .fake
        .go_wrong([Fault::Slow(std::time::Duration::from_millis(500))]);
    let settings = OfferSyncSettings {
        network_id: NETWORK,
        country: "IN".parse().expect("a country"),
        dry_run: false,
    };
    let (client, contacts) = (served.client(), contacts());
    let now = || world.clock.now();
    let one = || {
        sync(
            &client,
            &world.operator,
            &contacts,
            settings,
            now,
            "operator",
        )
    };
    let (first, second) = tokio::join!(one(), one());
    assert_eq!(
        u8::from(first.is_ok()) + u8::from(second.is_ok()),
        1,
        "{first:?} {second:?}"
    );
}
