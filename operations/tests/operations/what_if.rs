//! History under other rules and terms: nothing changes under those that were recorded, and
//! nothing in the ledger ever.

use std::sync::Arc;

use operations::{
    reference::{ReferenceFile, suppose},
    replay::{Replay, ReplaySettings, WhatIfReport},
};
use serde_json::{Value, json};

use crate::{
    canonical_dump::dump,
    world::{World, sale, token},
};

/// What the world's reference data is.
fn offer(percentage: &str, effective_at: &str) -> Value {
    json!({
        "offers": [{
            "offer_id": 5509, "network_id": 1, "brand": "Kurtas",
            "versions": [{
                "effective_at": effective_at, "currency": "INR",
                "tracking_url": "https://network.example/click",
                "commission_source": "percentage", "base_commission_pct": percentage,
                "cool_off_days": 30, "txn_id_names_order": true, "duplicate_orders": "reject"
            }]
        }]
    })
}

async fn what_if(world: &World, file: &Value) -> WhatIfReport {
    let file = ReferenceFile::parse(&file.to_string()).expect("a reference file");
    let recorded = world.reference.load_full();
    let supposed = suppose(&file, &recorded).expect("supposed");
    let replay = Replay {
        log: world.log.clone(),
        pool: world.operator.clone(),
        reference: recorded,
    };
    let settings = ReplaySettings::default();
    let report = replay.what_if(Arc::new(supposed), &settings, &|_| {}).await;
    report.expect("folded")
}

/// Five sales of one shopper within a day and five of others, one of them a duplicate.
async fn a_day(world: &World) {
    for number in [1, 31, 61, 91, 121, 2, 3, 4, 5] {
        world.click(number).await;
        world
            .report(sale(&token(number), &format!("ORD-{}", number.min(122))))
            .await;
    }
    world.click(6).await;
    world.report(sale(&token(6), "ORD-5")).await;
    world.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_recorded_rules_and_terms_nothing_changes() {
    let world = World::new().await;
    a_day(&world).await;
    let mut file = offer("8", "2020-01-01T00:00:00Z");
    file["fraud_rules"] = json!([{ "effective_at": "2020-01-01T00:00:00Z", "rules": {} }]);
    file["tenants"] = json!([{
        "tenant_id": "00000000-0000-0000-0000-000000000001", "name": "Asha",
        "versions": [{ "effective_at": "2020-01-01T00:00:00Z", "default_share_pct": "50" }]
    }]);
    let report = what_if(&world, &file).await;
    assert_eq!((report.claims, report.changed), (10, 0), "{report}");
    assert!(report.groups.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_rate_changes_what_is_owed_from_its_first_click_on_and_nothing_in_the_ledger() {
    let world = World::new().await;
    a_day(&world).await;
    let before = dump(&world.operator, None).await.0;
    let report = what_if(&world, &offer("10", "2020-01-01T00:00:00Z")).await;
    // Eight are owed; the fifth of the day is in review, and the duplicate rejected: they only
    // would be worth more.
    let owed: Vec<_> = report
        .groups
        .iter()
        .filter(|group| group.status == Some("confirmed"))
        .collect();
    let [owed] = owed[..] else {
        panic!("{report}");
    };
    assert_eq!((owed.claims, owed.reason.as_str()), (8, "terms"));
    // 2% of 1,999.00, eight times; 60% of it the shoppers'.
    assert_eq!(owed.booked.commission.to_string(), "319.84");
    assert_eq!(owed.booked.user.to_string(), "191.92");
    assert_eq!(report.changed, 10);
    let later = what_if(&world, &offer("10", "2030-01-01T00:00:00Z")).await;
    assert_eq!(later.changed, 0, "{later}");
    assert_eq!(dump(&world.operator, None).await.0, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_on_history_are_decided_anew() {
    let world = World::new().await;
    a_day(&world).await;
    let rules = json!({ "fraud_rules": [
        { "effective_at": "2020-01-01T00:00:00Z", "rules": { "velocity_claims": 3 } }
    ]});
    let report = what_if(&world, &rules).await;
    let [group] = &report.groups[..] else {
        panic!("{report}");
    };
    assert_eq!(
        (group.status, group.status_then),
        (Some("confirmed"), Some("review"))
    );
    assert_eq!((group.claims, group.reason.as_str()), (2, "velocity"));
    assert_eq!(group.booked.user.to_string(), "-191.90");

    let lax = json!({ "fraud_rules": [
        { "effective_at": "2020-01-01T00:00:00Z",
          "rules": { "velocity_claims": 9, "duplicate_days": 0 } }
    ]});
    let report = what_if(&world, &lax).await;
    let reasons: Vec<_> = report
        .groups
        .iter()
        .map(|group| group.reason.as_str())
        .collect();
    assert_eq!(reasons, ["no duplicate_order", "no velocity"], "{report}");
    let mut csv = Vec::new();
    report.write_csv(&mut csv).expect("written");
    let csv = String::from_utf8(csv).expect("text");
    let mut lines = csv.lines();
    assert!(
        lines
            .next()
            .is_some_and(|line| line.starts_with("tenant_id,campaign_id,status,"))
    );
    assert_eq!(lines.count(), 2);
}
