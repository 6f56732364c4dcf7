//! A campaign gone quiet, on the real ledger.

use operations::silence::{self, SilenceError, SilenceMetrics};
use prometheus::Registry;

use crate::world::{NOW, World, sale, token};

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_went_quiet_is_named_and_counted() {
    let world = World::new().await;
    world.click(1).await;
    world.report(sale(&token(1), "A-1")).await;
    world.settle().await;
    let look = async || {
        silence::look(&world.operator, &*world.log, NOW)
            .await
            .expect("a look")
    };
    assert_eq!(look().await.campaigns, 0, "this hour isn't over");
    // Ten postbacks an hour for five weeks, of that one claim; none for the last six hours.
    world
        .tamper(
            "INSERT INTO conversions
             SELECT (jsonb_populate_record(c, jsonb_build_object(
                 'received_at', c.received_at - h * interval '1 hour',
                 'source_offset', 1000000 + h * 10 + n))).*
             FROM conversions c, generate_series(7, 880) h, generate_series(0, 9) n",
        )
        .await;
    let report = look().await;
    assert_eq!((report.campaigns, report.silent.len()), (1, 1));
    let silent = &report.silent[0];
    assert_eq!((silent.name.as_str(), silent.seen), ("Festive", 0));
    assert_eq!(silent.since.to_string(), "2026-09-21T08:00:00.000Z");
    assert!((silent.expected / 10.0 - 6.0).abs() < 0.01, "{silent:?}");
    let registry = Registry::new();
    SilenceMetrics::register(&registry)
        .expect("once")
        .tell(&report);
    let gauge = registry.gather().remove(0);
    assert_eq!(gauge.name(), "hissaback_silent_campaigns");
    assert!((gauge.get_metric()[0].get_gauge().get_value() - 1.0).abs() < f64::EPSILON);

    // A ledger that is behind says nothing: everything would look quiet.
    world.report(sale(&token(1), "A-1")).await;
    let behind = silence::look(&world.operator, &*world.log, NOW).await;
    assert!(matches!(behind, Err(SilenceError::Behind(_))));
}
