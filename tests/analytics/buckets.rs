//! Aggregates, one thing at a time.

use std::time::Duration;

use operations::creator_analytics::{CreatorAnalytics, CreatorSummary, Period};
use prometheus::{Registry, proto::MetricType};
use schemas::{
    CampaignId, ClickId, Currency, TenantId, Timestamp, Topic, UserId, codec,
    events::{ClaimStatus, ClickSignals, LedgerChanged, Split},
};
use sinks::analytics::{AnalyticsSettings, aggregates};
use stream::{Log, NewRecord};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    events::{START, claim, click, example, split},
    world::{World, append_claim, append_clicks},
};

const HOUR_MS: i64 = 3_600_000;

impl World {
    async fn execute(&self, statement: &str) {
        let done = self.client().query(statement).execute().await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// What the views say, as text.
    async fn shown(&self) -> Vec<String> {
        let mut shown = Vec::new();
        for view in [
            "hourly_clicks",
            "daily_clicks",
            "hourly_conversions",
            "daily_conversions",
        ] {
            let query = format!("SELECT toString(tuple(*)) FROM hissaback.v_{view} ORDER BY ALL");
            let rows = self.client().query(&query).fetch_all::<String>().await;
            shown.extend(rows.expect("rows"));
        }
        shown
    }
}

/// The value of a counter, over all labels.
fn counted(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name);
    let family = family.unwrap_or_else(|| panic!("{name} is registered"));
    let metrics = family.get_metric().iter();
    match family.get_field_type() {
        MetricType::COUNTER => metrics.map(|metric| metric.get_counter().get_value()).sum(),
        MetricType::HISTOGRAM => metrics
            .map(|metric| {
                f64::from(u32::try_from(metric.get_histogram().get_sample_count()).expect("few"))
            })
            .sum(),
        other => panic!("{name} is a {other:?}"),
    }
}

#[tokio::test]
async fn catching_up_computes_a_bucket_for_many_batches_at_once() {
    let world = World::start().await;
    let registry = Registry::new();
    let settings = AnalyticsSettings {
        records_max: 100,
        aggregate_interval: Duration::from_millis(20),
        ..World::impatient()
    };
    let shutdown = CancellationToken::new();
    let sink = world.sink_to(world.client(), &registry, settings);
    let sink = tokio::spawn(sink.run(shutdown.clone()));
    append_clicks(&world, 1..2).await;
    world.wait_until_complete().await;

    // 4,000 clicks of two hours, as after an outage: all at once.
    let records = (2..4_002).map(|number| {
        let mut click = click(number);
        click.clicked_at = START.plus_millis(number % 2 * HOUR_MS);
        let value = codec::encode(&click).expect("it fits its schema");
        NewRecord::new(number.to_string(), value)
    });
    let before = counted(&registry, "hissaback_analytics_buckets_computed_total");
    let appended = world.log.append(Topic::Clicks, records.collect()).await;
    assert_eq!(appended.expect("appended").len(), 4_000);
    world.wait_until_complete().await;
    shutdown.cancel();
    sink.await.expect("no panic").expect("stopped");

    let batches = counted(&registry, "hissaback_analytics_insert_seconds");
    let computed = counted(&registry, "hissaback_analytics_buckets_computed_total") - before;
    // Two hours and a day, of clicks and of claims.
    let all = 6.0;
    assert!(batches >= 40.0, "{batches} batches");
    assert!(
        computed <= 5.0 * all,
        "{computed} buckets were computed for {batches} batches"
    );
    let clicks = "SELECT sum(clicks) FROM hissaback.v_hourly_clicks";
    assert_eq!(world.count(clicks).await, 4_001);
    world.stop().await;
}

#[tokio::test]
async fn what_comes_late_or_comes_again_does_not_count() {
    let world = World::start().await;
    append_clicks(&world, 1..101).await;
    append_claim(&world, &claim(2, 1, ClaimStatus::Confirmed, example())).await;
    world.catch_up().await;
    let before = world.shown().await;
    assert!(before.len() > 100);

    // A computation of long ago arrives: the process that began it is dead.
    for (table, values) in [
        ("hourly_clicks", "clicks * 7 AS clicks"),
        ("daily_clicks", "clicks * 7 AS clicks"),
        (
            "hourly_conversions",
            "posted_commission * 7 AS posted_commission",
        ),
        (
            "daily_conversions",
            "posted_commission * 7 AS posted_commission",
        ),
    ] {
        let old = format!(
            "INSERT INTO hissaback.{table}
             SELECT * REPLACE (toUInt64(0) AS version, {values}) FROM hissaback.{table}"
        );
        world.execute(&old).await;
    }
    assert_eq!(world.shown().await, before);

    // PostgreSQL was restored: its computations begin from the first again, and count all the same.
    sqlx::query("UPDATE analytics_computations SET version = 0")
        .execute(&world.pool)
        .await
        .expect("as after a restore");
    append_claim(
        &world,
        &claim(2, 2, ClaimStatus::Reversed, Split::default()),
    )
    .await;
    world.catch_up().await;
    let booked = "SELECT toUInt64(sum(net_commission) * 100) FROM hissaback.v_daily_conversions";
    assert_eq!(world.count(booked).await, 0);
    append_claim(&world, &claim(2, 3, ClaimStatus::Confirmed, example())).await;
    world.catch_up().await;
    assert_eq!(world.count(booked).await, 15_992);
    world.stop().await;
}

#[tokio::test]
async fn what_was_there_before_is_aggregated_at_the_start() {
    let world = World::start().await;
    append_clicks(&world, 1..51).await;
    append_claim(&world, &claim(2, 1, ClaimStatus::Confirmed, example())).await;
    world.catch_up().await;
    let before = world.shown().await;
    for table in [
        "hourly_clicks",
        "daily_clicks",
        "hourly_conversions",
        "daily_conversions",
        "aggregate_positions",
        "aggregate_definition",
    ] {
        world
            .execute(&format!("TRUNCATE TABLE hissaback.{table}"))
            .await;
    }
    assert!(world.shown().await.is_empty());
    let empty = aggregates::differences(&world.client())
        .await
        .expect("compared");
    assert_eq!(
        empty.len(),
        4,
        "clicks and claims, by hour and by day: {empty:?}"
    );
    world.catch_up().await;
    assert_eq!(world.shown().await, before);
    let equal = aggregates::differences(&world.client())
        .await
        .expect("compared");
    assert!(equal.is_empty(), "{equal:?}");
    world.stop().await;
}

async fn summary(world: &World, tenant: u128, period: &str) -> CreatorSummary {
    let period: Period = period.parse().expect("a period");
    let analytics = CreatorAnalytics::new(world.client(), world.clock.clone());
    let tenant = TenantId::new(Uuid::from_u128(tenant));
    analytics.summary(tenant, period).await.expect("a summary")
}

#[tokio::test]
async fn a_creator_sees_what_their_own_clicks_of_the_period_came_to() {
    let world = World::start().await;
    let of = |change: LedgerChanged, tenant: u128, clicked_at: Timestamp| LedgerChanged {
        tenant_id: TenantId::new(Uuid::from_u128(tenant)),
        clicked_at,
        ..change
    };
    for (number, tenant, days) in [(1, 1, 0), (2, 1, -29), (3, 1, -30), (4, 2, 0), (5, 1, 0)] {
        let mut click = click(number);
        click.clicked_at = START.plus_days(days);
        click.tenant_id = TenantId::new(Uuid::from_u128(tenant));
        click.signals = if number == 5 {
            ClickSignals::BOT
        } else {
            ClickSignals::default()
        };
        world.append(number.to_string(), &click).await;
        let state = claim(number, number, ClaimStatus::Confirmed, example());
        append_claim(&world, &of(state, tenant, START.plus_days(days))).await;
    }
    let dollars = LedgerChanged {
        currency: Currency::USD,
        ..claim(6, 6, ClaimStatus::Paid, split("3", "2", "1"))
    };
    append_claim(&world, &of(dollars, 1, START)).await;
    world.catch_up().await;

    let json = |summary| serde_json::to_value(summary).expect("json");
    let own = json(summary(&world, 1, "30d").await);
    assert_eq!(own["from"], "2026-08-23");
    assert_eq!(own["to"], "2026-09-21");
    assert_eq!(
        (&own["clicks"], &own["conversions"]),
        (&2.into(), &4.into())
    );
    assert_eq!(
        own["earnings"],
        serde_json::json!({"INR": "191.91", "USD": "1.00"})
    );
    assert_eq!(
        own["shared"],
        serde_json::json!({"INR": "287.85", "USD": "2.00"})
    );
    assert_eq!(own["behind"], false);
    assert_eq!(json(summary(&world, 1, "31d").await)["clicks"], 3);
    assert_eq!(json(summary(&world, 1, "29d").await)["clicks"], 1);
    let other = json(summary(&world, 2, "30d").await);
    assert_eq!(other["earnings"], serde_json::json!({"INR": "63.97"}));
    assert_eq!(summary(&world, 3, "30d").await.conversions, 0);

    // A clawback takes it back; and an answer that nothing keeps up to date says so.
    let clawback = claim(1, 7, ClaimStatus::Reversed, Split::default());
    append_claim(&world, &of(clawback, 1, START)).await;
    world.catch_up().await;
    let own = json(summary(&world, 1, "30d").await);
    assert_eq!(own["earnings"]["INR"], "127.94");
    world.advance(Duration::from_mins(2));
    let own = summary(&world, 1, "30d").await;
    assert!(own.behind);
    assert!(own.complete_up_to.expect("known") <= START.plus_millis(1_000));
    world.stop().await;
}

#[tokio::test]
async fn credits_sum_to_the_commission_in_every_model() {
    let world = World::start().await;
    let shopper =
        |number: i64| UserId::new(Uuid::from_u128(u128::try_from(number % 5).unwrap() + 10));
    for number in 1..=120 {
        let mut click = click(number);
        click.clicked_at = START.plus_millis(number * 7 * HOUR_MS);
        click.user_id = (number % 4 > 0).then(|| shopper(number));
        click.campaign_id = CampaignId::new(Uuid::from_u128(u128::try_from(number % 3).unwrap()));
        click.signals = if number % 11 == 0 {
            ClickSignals::BOT
        } else {
            ClickSignals::default()
        };
        world.append(number.to_string(), &click).await;
        if number % 3 == 0 {
            let commission = match number % 9 {
                0 => format!("{number}.{number:03}"),
                3 => format!("{}.{:02}", number * 977, number % 100),
                _ => format!("{number}"),
            };
            let change = LedgerChanged {
                click_id: ClickId::new(number),
                clicked_at: click.clicked_at,
                user_id: click.user_id,
                campaign_id: click.campaign_id,
                converted_at: click.clicked_at.plus_millis(number % 50 * HOUR_MS),
                currency: ["KWD", "INR", "JPY"][usize::try_from(number % 9 / 3).unwrap()]
                    .parse()
                    .expect("a currency"),
                ..claim(
                    number,
                    number,
                    ClaimStatus::Confirmed,
                    split(&commission, &commission, "0"),
                )
            };
            append_claim(&world, &change).await;
        }
    }
    world.catch_up().await;

    let claims = "SELECT count() FROM hissaback.v_claims WHERE posted_commission > 0";
    assert_eq!(world.count(claims).await, 40);
    let exact = "SELECT countIf(total = booked) FROM (
            SELECT claim, model, sum(credit) AS total, any(commission) AS booked
            FROM hissaback.v_attribution_credits GROUP BY claim, model)";
    assert_eq!(world.count(exact).await, 160);
    let paths = "SELECT max(touch_count) FROM hissaback.v_attribution";
    assert!(
        world.count(paths).await >= 5,
        "there are paths of several touches"
    );
    // Each model gives what its name says, whole minor units each.
    let wrong = "SELECT count() FROM hissaback.v_attribution
        WHERE first_click != if(touch_number = 1, commission, 0)
           OR last_click != if(touch_number = touch_count, commission, 0)
           OR (touch_count = 1 AND (linear != commission OR time_decay != commission))
           OR (currency = 'JPY' AND (linear != round(linear) OR time_decay != round(time_decay)))
           OR (currency = 'INR' AND time_decay != round(time_decay, 2))";
    assert_eq!(world.count(wrong).await, 0);
    let uneven = "SELECT count() FROM (
            SELECT claim, max(linear) - min(linear) AS spread, any(currency) AS code,
                   arraySort(touch -> touch.1, groupArray((touch_number, time_decay))) AS decayed
            FROM hissaback.v_attribution GROUP BY claim)
        WHERE toFloat64(spread) > transform(code, ['KWD', 'INR'], [0.0010001, 0.010001], 1.0001)
           OR arrayExists(
               (later, earlier) -> later.2 + transform(code, ['KWD', 'INR'], [0.001, 0.01], 1.0)
                   < earlier.2,
               arrayPopFront(decayed), arrayPopBack(decayed))";
    assert_eq!(world.count(uneven).await, 0);
    // Nobody else's clicks, and none of bots, but always the click that is paid for.
    let strangers = "SELECT count() FROM hissaback.v_attribution AS touch
        INNER JOIN hissaback.v_clicks AS click USING (click_id)
        WHERE NOT touch.paid_for AND (click.bot OR click.user_id != touch.user_id)";
    assert_eq!(world.count(strangers).await, 0);
    let paid_for = "SELECT countDistinct(claim) FROM hissaback.v_attribution WHERE paid_for";
    assert_eq!(world.count(paid_for).await, 40);
    world.stop().await;
}
